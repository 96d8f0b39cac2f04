//! What must hold before anything on a host is touched: that it is the one that was planned for, that nobody else works
//! on it, that it would let us in again, and that it is in order. It changes nothing, but for a change of an earlier run
//! whose time is over and whose timer is gone: that is taken back.

use super::lease::held;
use super::look::{failure, identity};
use super::{Job, nonce};
use crate::domain::{HostName, Identifier, TxId};
use crate::plan::HostPlan;
use crate::probe::Facts;
use crate::record::HostState;
use crate::shell::{self, Script};
use crate::transaction::{self, Outcome, Replies};
use crate::transport::{Bounds, Entry, Session};

/// What preflight's facts amount to.
pub(super) enum Preflight {
    Clear,
    Refused(HostState),
    /// A change stands there whose time is over: its timer was taken away.
    Overdue(TxId),
}

pub(super) fn judge(job: &Job, plan: &HostPlan, facts: &Facts, run: &Identifier) -> Preflight {
    let refused = |reason: String| Preflight::Refused(HostState::Refused { reason, holder: None });
    if let Some(reason) = stranger(job, plan, facts) {
        return refused(reason);
    }
    if let Some(state) = held(facts, run) {
        return Preflight::Refused(state);
    }
    // Pending, and yet nobody's: its time is over.
    if let Some(tx) = &facts.pending {
        return Preflight::Overdue(tx.clone());
    }
    match unfit(job, facts) {
        Some(reason) => refused(reason),
        None => Preflight::Clear,
    }
}

/// Takes back, before anything else, a change whose time is over. What the plan saw is gone with it.
pub(super) async fn take_back(host: &HostName, session: &dyn Session, tx: &TxId) -> HostState {
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

fn stranger(job: &Job, plan: &HostPlan, facts: &Facts) -> Option<String> {
    if let Some(reason) = identity(job, facts) {
        return Some(reason);
    }
    (facts.machine_id != plan.machine_id)
        .then(|| "another machine answers than the one that was planned for".to_owned())
}

/// What of the host itself stands in the way of any change.
fn unfit(job: &Job, facts: &Facts) -> Option<String> {
    if !facts.recovery {
        return Some("its recovery unit is not enabled; enrol the host again".to_owned());
    }
    match facts.from {
        None => return Some("the host does not say from where it sees this connection come".to_owned()),
        Some(from) if !job.desired.management.iter().any(|source| source.contains(from)) => {
            return Some(format!(
                "the host sees this connection come from {from}, which is no management source; applying would lock \
                 you out (declare it under networks.admin, or come from a declared address)"
            ));
        }
        Some(_) => {}
    }
    if let Some(point) = facts.read_only.first() {
        return Some(format!("{point} is mounted read-only"));
    }
    if facts.free_kilobytes.iter().any(|free| *free < 20_480) {
        return Some("less than 20 MiB are free on / or /var".to_owned());
    }
    if facts.free_inodes.iter().any(|free| *free < 500) {
        return Some("fewer than 500 inodes are free on / or /var".to_owned());
    }
    if !facts.dpkg_audit.is_empty() {
        return Some(format!("dpkg --audit says: {}", facts.dpkg_audit));
    }
    None
}

pub(super) fn question() -> shell::Question {
    let body = Script::new().text(
        "printf 'ssh %s %s\\n' \"$(systemctl is-active ssh.service)\" \"$(systemctl is-active ssh.socket)\"\n\
         if said=$(/usr/sbin/sshd -t 2>&1); then echo 'sshd-t ok'; else printf 'sshd-t %s\\n' \"$said\"; fi\n\
         probe=$(mktemp /var/lib/palisade/.writable-XXXXXX) && rm \"$probe\" && echo 'writable yes'",
    );
    shell::Question { label: "preflight", body: body.into(), seconds: 20, cap: 64 << 10 }
}

pub(super) fn checks(frame: &Result<shell::Frame, shell::FrameError>) -> Option<String> {
    let frame = match frame {
        Ok(frame) => frame,
        Err(error) => return Some(error.to_string()),
    };
    let text = String::from_utf8_lossy(&frame.stdout);
    let line = |name: &str| text.lines().find_map(|line| line.strip_prefix(name));
    match line("ssh ") {
        Some(states) if states.split(' ').any(|state| state == "active") => {}
        _ => return Some("neither ssh.service nor ssh.socket is active there".to_owned()),
    }
    match line("sshd-t ") {
        Some("ok") => {}
        Some(said) => {
            return Some(format!(
                "sshd -t refuses the present configuration: {}",
                crate::text::excerpt(said, 200)
            ));
        }
        None => return Some("sshd -t gave no answer".to_owned()),
    }
    (line("writable ") != Some("yes")).then(|| "/var/lib/palisade cannot be written".to_owned())
}
