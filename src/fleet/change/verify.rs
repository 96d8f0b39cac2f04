//! Asking whether a change is what was planned, over new connections, as long as there is time. What the answers mean is
//! for [`crate::plan::verify`] to say. Nothing is changed here, and nothing taken back.

use std::time::{Duration, Instant};

use super::work::{Stop, Work};
use crate::domain::TxId;
use crate::fleet::look::{observe, understand};
use crate::fleet::now;
use crate::kinds::{self, Resource};
use crate::plan::verify;
use crate::probe::Observation;
use crate::resource::Phase;
use crate::shell;
use crate::transaction::{self, Seen, Switched, Transaction, Verified};
use crate::transport::{Session, Target, TransportError};

impl Work<'_> {
    /// The questions that are asked of the staged tree too.
    pub(in crate::fleet) fn staged_questions(&self, id: &TxId) -> Vec<(shell::Question, Vec<&Resource>)> {
        let resources = verify::asked_staged(&self.job.desired, &self.blocked);
        kinds::questions(&resources)
            .into_iter()
            .map(|question| (transaction::staged_question(id, &question), resources.clone()))
            .collect()
    }

    /// New connections, over every family that worked before, until one verifies or too little time is left.
    pub(in crate::fleet) async fn verify(
        &mut self,
        mut switched: Transaction<Switched>,
        phase: Phase,
        armed_at: Instant,
    ) -> Result<(Transaction<Verified>, Box<dyn Session>), Stop> {
        let id = switched.id().clone();
        let timeout = switched.timeout();
        let last_call = timeout.saturating_sub(Duration::from_secs((timeout.as_secs() / 4).min(10) + 1));
        let mut why = "no new connection was tried".to_owned();
        for attempt in 0_u32.. {
            let left = last_call.saturating_sub(armed_at.elapsed());
            if attempt > 0 && left < Duration::from_millis(500) {
                break;
            }
            match self.look_anew(left.max(Duration::from_secs(1))).await {
                Err(error) => {
                    why = error.about(&self.job.desired.host);
                    tokio::time::sleep(Duration::from_millis(300).min(left)).await;
                }
                Ok((session, observation)) => {
                    let seen = self.seen(&observation, phase);
                    match switched.verified(&seen) {
                        Ok(verified) => return Ok((verified, session)),
                        Err((back, refused)) => {
                            self.end(session).await;
                            why = refused.to_string();
                            // What a unit or a socket needs a moment for may still come; what is wrong stays wrong.
                            if attempt >= 3 {
                                break;
                            }
                            switched = *back;
                            tokio::time::sleep(Duration::from_millis(300).min(left)).await;
                        }
                    }
                }
            }
        }
        Err(Stop::Uncertain { tx: id, phase, why })
    }

    async fn look_anew(
        &mut self,
        at_most: Duration,
    ) -> Result<(Box<dyn Session>, Observation), TransportError> {
        let connect_timeout = self.job.target.connect_timeout.min(at_most);
        for target in self.witnesses.clone() {
            let other = self.run.connector.connect(&Target { connect_timeout, ..target }).await?;
            self.end(other).await;
        }
        let target = Target { connect_timeout, fresh_jumps: true, ..self.job.target.clone() };
        let session = self.run.connector.connect(&target).await?;
        // Less would cut off a host that is only slow; the host itself refuses to be confirmed too late.
        let at_most = at_most.max(Duration::from_secs(5)).min(self.run.patience());
        match observe(session.as_ref(), &self.touched, at_most).await {
            Ok((observation, output)) => {
                self.last_look = Some(understand(&self.touched, &observation, &output, now()));
                Ok((session, observation))
            }
            Err(error) => {
                self.end(session).await;
                Err(error)
            }
        }
    }

    fn seen(&self, observation: &Observation, phase: Phase) -> Seen {
        let facts = observation.facts.as_ref().ok();
        Seen {
            pending: facts.and_then(|facts| facts.pending.clone()),
            boot: facts.map(|facts| facts.boot_id.clone()),
            failures: verify::unfinished(&self.touched.desired, observation, phase, &self.blocked),
        }
    }
}
