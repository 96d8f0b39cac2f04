//! Watching a change that was not confirmed to its end: asking the host to go back at once, waiting for it where it
//! cannot be reached, and saying what is known of it and what is not. It never says more than the host said.

use std::time::Duration;

use super::work::Work;
use crate::domain::TxId;
use crate::event::Event;
use crate::fleet::interrupt::Wish;
use crate::fleet::{instant, nonce};
use crate::record::{Holds, HostState};
use crate::resource::Phase;
use crate::transaction::{self, Outcome, Replies};
use crate::transport::{Bounds, Entry, Target};

/// What a watched transaction came to.
pub(in crate::fleet) enum Watched {
    /// It is over, and so is the host's part of the run.
    Ended(HostState),
    /// It was confirmed after all; only the answer was lost.
    Confirmed,
}

/// How much longer than its timeout a host is watched: what the timer's accuracy, its work and its network may take.
const GRACE: Duration = Duration::from_secs(20);

/// What to say of a host whose rollback failed: what can be done, in order.
pub fn rescue_hint(tx: &TxId, why: &str) -> String {
    format!(
        "{why}; and the host could not put everything back by itself. It goes on trying, and tries at boot too: restart it \
         from the provider's console. If nobody can log in then, start the provider's rescue system, mount the host's disk \
         at /mnt, run `chroot /mnt /bin/sh /var/lib/palisade/recover`, and start the host from its disk. What could not be \
         put back stands in /var/lib/palisade/tx/{tx}/outcome"
    )
}

impl Work<'_> {
    /// Watches a transaction of which it is not known that it was confirmed to its end. Where the host can be reached it
    /// is asked to go back at once; where not, its timer does it.
    pub(in crate::fleet) async fn watch(
        &mut self,
        tx: &TxId,
        phase: Phase,
        why: String,
        held: Holds,
    ) -> Watched {
        let interrupt = self.run.interrupt.clone();
        let left = format!(
            "{why}; left before it was seen to go back: it does so by itself within {} s (transaction {tx})",
            self.time_left().as_secs()
        );
        tokio::select! {
            biased;
            () = interrupt.asked(Wish::Leave) => Watched::Ended(HostState::Failed { reason: left, holds: None }),
            watched = self.watch_to_its_end(tx, phase, why, held) => watched,
        }
    }

    async fn watch_to_its_end(&mut self, tx: &TxId, phase: Phase, why: String, held: Holds) -> Watched {
        let begun = instant();
        let host = self.job.desired.host.clone();
        let at_most = self.time_left();
        self.emit(Event::GoingBack { host: host.clone(), tx: tx.clone(), why: why.clone(), at_most });
        let mut limit = at_most + GRACE;
        let mut asked = false;
        let mut failed = false;
        loop {
            match self.ask_outcome(tx, &mut asked).await {
                Some(Outcome::RolledBack) => {
                    self.emit(Event::Back { host, after: begun.elapsed() });
                    return Watched::Ended(HostState::RolledBack { phase, reason: why, holds: held });
                }
                // It never began.
                Some(Outcome::None) => {
                    return Watched::Ended(HostState::Failed { reason: why, holds: Some(held) });
                }
                Some(Outcome::Confirmed) => {
                    self.note(format!("{host}: confirmed; only the answer was lost ({why})"));
                    return Watched::Confirmed;
                }
                // Its unit tries again every few seconds.
                Some(Outcome::RollbackFailed) if !failed => {
                    failed = true;
                    limit = limit.max(begun.elapsed() + GRACE);
                    self.emit(Event::Stuck { host: host.clone() });
                }
                Some(Outcome::RollbackFailed | Outcome::Pending { .. }) | None => {}
            }
            let elapsed = begun.elapsed();
            if elapsed > limit {
                let reason = if failed {
                    rescue_hint(tx, &why)
                } else {
                    format!(
                        "{why}; whether the host went back could not be seen within {} s: its state is not known",
                        limit.as_secs()
                    )
                };
                return Watched::Ended(HostState::Failed { reason, holds: None });
            }
            self.emit(Event::Waiting {
                host: host.clone(),
                seconds_left: at_most.saturating_sub(elapsed).as_secs(),
            });
            tokio::time::sleep(Duration::from_millis(700)).await;
        }
    }

    /// Until the host goes back by itself at the latest.
    fn time_left(&self) -> Duration {
        let armed_for = self.armed_at.map_or(Duration::ZERO, |at| at.elapsed());
        self.run.rollback_timeout.saturating_sub(armed_for)
    }

    async fn ask_outcome(&mut self, tx: &TxId, asked: &mut bool) -> Option<Outcome> {
        let target = Target { connect_timeout: Duration::from_secs(3), ..self.job.target.clone() };
        let session = self.run.connector.connect(&target).await.ok()?;
        let bounds = Bounds { deadline: Duration::from_mins(1), bytes: 1 << 20 };
        if !*asked {
            *asked = true;
            let nonce = nonce();
            let script = transaction::roll_back_and_outcome(tx, &nonce);
            let answer = session.run(&script, Entry::Root, bounds).await;
            self.end(session).await;
            return answer.ok().and_then(|output| Replies::read(&output, &nonce).outcome());
        }
        let nonce = nonce();
        let answer = session.run(&transaction::outcome(tx, &nonce), Entry::Root, bounds).await;
        self.end(session).await;
        answer.ok().and_then(|output| Replies::read(&output, &nonce).outcome())
    }
}
