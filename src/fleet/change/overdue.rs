//! Taking back, before anything else, a change of an earlier run whose time is over and whose timer is gone. What else must
//! hold is for [`crate::rollout::preflight`] to say.

use crate::domain::{HostName, TxId};
use crate::fleet::look::failure;
use crate::fleet::nonce;
use crate::record::HostState;
use crate::transaction::{self, Outcome, Replies};
use crate::transport::{Bounds, Entry, Session};

/// Takes back, before anything else, a change whose time is over. What the plan saw is gone with it.
pub(in crate::fleet) async fn take_back(host: &HostName, session: &dyn Session, tx: &TxId) -> HostState {
    let nonce = nonce();
    let script = transaction::roll_back_and_outcome(tx, &nonce);
    let outcome = match session.run(&script, Entry::Root, Bounds::default()).await {
        Ok(output) => Replies::read(&output, &nonce).outcome(),
        Err(error) => return failure(host, &error),
    };
    let what = format!("an earlier change ({tx}) stood there unconfirmed after its time, without its timer");
    match outcome {
        Some(Outcome::RolledBack) => HostState::Refused {
            reason: format!("{what}; the host has gone back now: apply again"),
            holder: None,
        },
        _ => HostState::Failed {
            reason: format!(
                "{what}, and it could not be taken back; read /var/lib/palisade/tx/{tx}/outcome there"
            ),
            holds: None,
        },
    }
}
