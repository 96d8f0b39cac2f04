//! One rollback, really fired: a line that means nothing is changed in a transaction that nobody confirms, and the
//! host is watched until its own timer has brought the old line back.

use std::time::Duration;

use super::super::{entropy, instant, nonce, now};
use super::Enrol;
use crate::domain::{HostName, TxId};
use crate::enrolment::{Rehearsed, rehearsal_question, rehearsal_step, rehearsed};
use crate::event::Event;
use crate::resource::Phase;
use crate::shell::Script;
use crate::transaction::{self, Outcome, Refused, Replies, Transaction};
use crate::transport::{Bounds, Entry, Session};

/// Seconds until the timer fires; a longer one where a host is too slow to be changed within the shorter.
const TIMEOUTS: [u64; 4] = [5, 20, 60, 180];

/// How long after its time a host may take to go back.
const GRACE: Duration = Duration::from_secs(20);

/// How often the host is asked.
const PAUSE: Duration = Duration::from_millis(500);

enum Miss {
    /// The timer was quicker than the change.
    TooSlow,
    Failed(String),
}

impl From<String> for Miss {
    fn from(why: String) -> Self {
        Self::Failed(why)
    }
}

impl Enrol {
    /// From arming to the old state, as seen from here.
    pub(super) async fn rehearse(&self, session: &dyn Session, host: &HostName) -> Result<Duration, String> {
        for seconds in TIMEOUTS {
            match self.rehearse_within(session, host, Duration::from_secs(seconds)).await {
                Ok(took) => return Ok(took),
                Err(Miss::TooSlow) => {}
                Err(Miss::Failed(why)) => return Err(format!("the rehearsed rollback failed: {why}")),
            }
        }
        Err("the rehearsed rollback fired before the change was made: the host is too slow".to_owned())
    }

    async fn rehearse_within(
        &self,
        session: &dyn Session,
        host: &HostName,
        timeout: Duration,
    ) -> Result<Duration, Miss> {
        let step = rehearsal_step().map_err(|error| error.to_string())?;
        let id = TxId::new(now(), entropy());
        let armed_at = instant();
        let prepared =
            Transaction::prepare(id.clone(), self.operator.clone(), Phase::Widen, &[step], timeout);
        let asked = nonce();
        let output = exec(session, &prepared.arm_script(&asked)).await?;
        let armed = prepared.armed(&asked, &output).map_err(|refused| refused.to_string())?;
        let asked = nonce();
        let output = exec(session, &armed.stage_script(&asked, &[])).await?;
        let staged = match armed.staged(&asked, &output) {
            Ok(staged) => staged,
            Err((_, refused)) => return Err(missed(session, &id, &refused).await),
        };
        let asked = nonce();
        let output = exec(session, &staged.switch_script(&asked)).await?;
        if let Err((_, refused)) = staged.switched(&asked, &output) {
            return Err(missed(session, &id, &refused).await);
        }
        if look(session).await? != Rehearsed::After {
            return Err(Miss::TooSlow);
        }
        self.events.emit(Event::Note {
            text: format!(
                "{host}: a harmless line was changed, and nobody confirms it; in {} s the host takes it back",
                timeout.as_secs()
            ),
        });
        // Before its time there is nothing to see, and each question costs the host some ten processes.
        tokio::time::sleep(timeout.saturating_sub(armed_at.elapsed())).await;
        loop {
            tokio::time::sleep(PAUSE).await;
            let asked = nonce();
            let output = exec(session, &transaction::outcome(&id, &asked)).await?;
            match Replies::read(&output, &asked).outcome() {
                Some(Outcome::RolledBack) => break,
                Some(Outcome::Pending { .. }) if armed_at.elapsed() < timeout + GRACE => {}
                Some(Outcome::Pending { .. }) => {
                    return Err(Miss::Failed(format!(
                        "{id} was still pending {} s after its time",
                        GRACE.as_secs()
                    )));
                }
                Some(Outcome::RollbackFailed) => {
                    return Err(Miss::Failed(format!(
                        "the host could not take it back; read /var/lib/palisade/tx/{id}/outcome there"
                    )));
                }
                Some(Outcome::Confirmed | Outcome::None) | None => {
                    return Err(Miss::Failed(format!("the host does not say how {id} ended")));
                }
            }
        }
        let took = armed_at.elapsed();
        if look(session).await? != Rehearsed::Before {
            return Err(Miss::Failed(
                "the host says that it went back, but the old line is not there".to_owned(),
            ));
        }
        let text = format!("{host}: it took the change back by itself, after {:.1} s", took.as_secs_f64());
        self.events.emit(Event::Note { text });
        Ok(took)
    }
}

/// Why a step of the change failed. A rollback that comes first ends the step's own script, wherever that stands: then its
/// answer is cut, and the host's outcome says why.
async fn missed(session: &dyn Session, id: &TxId, refused: &Refused) -> Miss {
    let begun = instant();
    let cut = matches!(refused.code.as_str(), "not-pending" | "garbled");
    while cut && begun.elapsed() < GRACE {
        let asked = nonce();
        match exec(session, &transaction::outcome(id, &asked)).await {
            Ok(output) => match Replies::read(&output, &asked).outcome() {
                Some(Outcome::RolledBack) => return Miss::TooSlow,
                Some(Outcome::Pending { .. }) => tokio::time::sleep(PAUSE).await,
                _ => break,
            },
            Err(_) => break,
        }
    }
    Miss::Failed(refused.to_string())
}

async fn exec(session: &dyn Session, script: &Script) -> Result<crate::shell::Output, String> {
    session.run(script, Entry::Root, Bounds::default()).await.map_err(|error| error.to_string())
}

async fn look(session: &dyn Session) -> Result<Rehearsed, String> {
    let nonce = nonce();
    let output = exec(session, &Script::new().framed(&nonce, &[rehearsal_question()])).await?;
    rehearsed(&nonce, &output)
}
