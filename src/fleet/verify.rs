//! Whether a change is what was planned: what the host says of the configuration that is staged, before it is switched
//! to, and what new connections find afterwards. Nothing is changed here, and nothing taken back.

use std::time::{Duration, Instant};

use super::look::{observe, understand};
use super::work::{Stop, Work};
use super::{Job, now};
use crate::desired::Wanted;
use crate::domain::TxId;
use crate::kinds::{self, Resource};
use crate::plan::Judged;
use crate::probe::Observation;
use crate::resource::{Phase, Verdict};
use crate::shell;
use crate::transaction::{self, Seen, Switched, Transaction, Verified};
use crate::transport::{Session, Target, TransportError};

/// `job` without what no change touches and takes long to ask.
pub(super) fn touched(job: &Job) -> Job {
    let mut touched = job.clone();
    touched.desired.resources.retain(|wanted| wanted.enforced || !wanted.resource.stays());
    touched
}

/// The verdicts of the first look, each replaced by its newer one where it was asked again.
pub(super) fn judged_anew(job: &Job, first: &[Judged], newer: Vec<Judged>) -> Vec<Judged> {
    let mut newer = newer.into_iter();
    let again = |place: usize| {
        job.desired.resources.get(place).is_none_or(|wanted| wanted.enforced || !wanted.resource.stays())
    };
    first
        .iter()
        .enumerate()
        .map(|(place, old)| {
            let anew = if again(place) { newer.next() } else { None };
            anew.unwrap_or_else(|| old.clone())
        })
        .collect()
}

impl Work<'_> {
    /// The questions that are asked of the staged tree too.
    pub(super) fn staged_questions(&self, id: &TxId) -> Vec<(shell::Question, Vec<&Resource>)> {
        let wanted = self.job.desired.resources.iter().filter(|one| !self.is_blocked(one));
        let resources: Vec<&Resource> =
            wanted.map(|one| &one.resource).filter(|resource| resource.is_staged()).collect();
        kinds::questions(&resources)
            .into_iter()
            .map(|question| (transaction::staged_question(id, &question), resources.clone()))
            .collect()
    }

    /// Whether something stands in the way of it: it is as it was, whatever else is changed.
    fn is_blocked(&self, wanted: &Wanted) -> bool {
        wanted.controls.iter().any(|control| self.blocked.contains(control))
    }

    /// New connections, over every family that worked before, until one verifies or too little time is left.
    pub(super) async fn verify(
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
                self.seen = Some(understand(&self.touched, &observation, &output, now()));
                Ok((session, observation))
            }
            Err(error) => {
                self.end(session).await;
                Err(error)
            }
        }
    }

    /// What of this phase is not as planned. Other drift is reported by the verdicts, not taken back.
    fn seen(&self, observation: &Observation, phase: Phase) -> Seen {
        let mut failures = Vec::new();
        for (wanted, reading) in self.touched.desired.resources.iter().zip(&observation.readings) {
            if !wanted.enforced || self.is_blocked(wanted) {
                continue;
            }
            match reading {
                Err(unread) => failures.push(format!("{}: {unread}", wanted.resource.name())),
                Ok(answer) => match wanted.resource.remedy(answer) {
                    Err(defeated) => failures.push(defeated.to_string()),
                    Ok(steps) => failures.extend(
                        steps
                            .iter()
                            .filter(|step| step.phase <= phase && !step.change.is_at_anothers_mercy())
                            .map(|step| format!("{}: still to do: {}", wanted.resource.name(), step.summary)),
                    ),
                },
            }
        }
        let facts = observation.facts.as_ref().ok();
        if facts.is_none() {
            failures.push("the host's facts could not be read".to_owned());
        }
        Seen {
            pending: facts.and_then(|facts| facts.pending.clone()),
            boot: facts.map(|facts| facts.boot_id.clone()),
            failures,
        }
    }
}

pub(super) fn judge_staged(
    frame: Result<shell::Frame, shell::FrameError>,
    resources: &[&Resource],
    phase: Phase,
) -> Option<String> {
    let frame = match frame {
        Ok(frame) => frame,
        Err(error) => return Some(format!("the staged sshd configuration could not be read: {error}")),
    };
    let said = String::from_utf8_lossy(&frame.stdout);
    let first = said.lines().next().unwrap_or_default();
    if first != "sshd-t ok" {
        return Some(format!(
            "sshd -t refuses the staged configuration: {}",
            crate::text::excerpt(first, 300)
        ));
    }
    let readings = kinds::read(resources, |_| Ok(frame.clone()));
    for (resource, reading) in resources.iter().zip(readings) {
        match reading {
            Err(unread) => return Some(format!("staged {}: {unread}", resource.name())),
            Ok(answer) => match resource.remedy(&answer) {
                Err(defeated) => return Some(defeated.to_string()),
                Ok(steps) if steps.iter().any(|step| step.phase <= phase) => {
                    return Some(format!(
                        "the staged sshd configuration would still need: {}",
                        steps.first()?.summary
                    ));
                }
                Ok(_) => {
                    if phase == Phase::Narrow
                        && let Verdict::Drift { findings } = resource.judge(&answer, now())
                    {
                        return Some(format!(
                            "the staged sshd configuration does not hold: {}",
                            findings.join("; ")
                        ));
                    }
                }
            },
        }
    }
    None
}
