//! One look at a host: one connection, one exec, and what it means.

use super::{HostResult, HostState, Job, Looked, Run, add_cost, instant, nonce, now};
use crate::event::Event;
use crate::plan;
use crate::probe::{self, Facts, Observation};
use crate::resource::{Unread, Verdict};
use crate::transport::{Bounds, Cost, Entry, Session, TransportError};

impl Run {
    /// One connection and one exec: the verdicts and the plan of one host.
    pub(super) async fn look_at(&self, job: &Job) -> HostResult {
        let host = job.desired.host.clone();
        self.emit(Event::Asking { host: host.clone() });
        let begun = instant();
        let mut cost = Cost::default();
        let looked = match self.connector.connect(&job.target).await {
            Err(error) => Err(error),
            Ok(session) => {
                let looked = observe(session.as_ref(), job).await;
                add_cost(&mut cost, session.as_ref());
                session.close().await;
                looked
            }
        };
        let at = now();
        let (state, (facts, judged, plan)) = match looked {
            Ok(observation) => {
                let looked = understand(job, &observation, at);
                match gate(job, &looked) {
                    // What another machine answers says nothing about this host.
                    HostState::Refused { reason, holder } => {
                        let unread = probe::nothing(&job.desired, &reason);
                        let judged = plan::judge(&job.desired, &unread, at);
                        (HostState::Refused { reason, holder }, (looked.0, judged, None))
                    }
                    state => (state, looked),
                }
            }
            Err(error) => (failure(&error), nothing(job, &error)),
        };
        let result = HostResult {
            host: host.clone(),
            state,
            controls: job.desired.controls.clone(),
            facts: facts.ok(),
            judged,
            plan,
            cost,
            milliseconds: u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
            at,
        };
        let (summary, good) = summary(&result);
        self.emit(Event::Asked { host, summary, good });
        result
    }
}

/// The one exec.
pub(super) async fn observe(session: &dyn Session, job: &Job) -> Result<Observation, TransportError> {
    let nonce = nonce();
    let output = session.run(&probe::script(&job.desired, &nonce), Entry::Root, Bounds::default()).await?;
    Ok(probe::observe(&job.desired, &nonce, &output))
}

/// Verdicts and plan, from what was observed.
pub(super) fn understand(job: &Job, observation: &Observation, at: jiff::Timestamp) -> Looked {
    let judged = plan::judge(&job.desired, observation, at);
    let plan = observation
        .facts
        .as_ref()
        .ok()
        .map(|facts| plan::plan(&job.desired, observation, facts.machine_id.clone(), at));
    (observation.facts.clone(), judged, plan)
}

fn nothing(job: &Job, error: &TransportError) -> Looked {
    let observation = probe::nothing(&job.desired, &error.to_string());
    (Err(Unread(error.to_string())), plan::judge(&job.desired, &observation, now()), None)
}

pub(super) fn failure(error: &TransportError) -> HostState {
    if super::unreachable(error) {
        HostState::Unreachable { reason: error.to_string() }
    } else {
        HostState::Refused { reason: error.to_string(), holder: None }
    }
}

fn gate(job: &Job, looked: &Looked) -> HostState {
    match &looked.0 {
        Err(unread) => HostState::Unreachable { reason: unread.to_string() },
        Ok(facts) => identity(job, facts)
            .map_or(HostState::Answered, |reason| HostState::Refused { reason, holder: None }),
    }
}

/// Why the machine that answered is not the one that was enrolled, or not one that is supported.
pub(super) fn identity(job: &Job, facts: &Facts) -> Option<String> {
    let host = &job.desired.host;
    if !matches!(facts.distribution.as_str(), "debian-12" | "debian-13") {
        return Some(format!("{host} runs {}; palisade supports Debian 12 and 13", facts.distribution));
    }
    let Some(enrolled) = &job.machine_id else { return Some(format!("{host} was not enrolled")) };
    if *enrolled != facts.machine_id {
        return Some(format!(
            "{host} answers as another machine ({}) than the one that was enrolled ({enrolled})",
            facts.machine_id
        ));
    }
    match facts.environment {
        Some(environment) if environment == job.environment => None,
        Some(other) => Some(format!("{host} is marked as a {other} machine, not {}", job.environment)),
        None => Some(format!("{host} has no valid environment marker in /etc/palisade/environment")),
    }
}

fn summary(result: &HostResult) -> (String, bool) {
    match &result.state {
        HostState::Unreachable { reason } | HostState::Refused { reason, .. } => (reason.clone(), false),
        _ => {
            let count =
                |word: &str| result.judged.iter().filter(|judged| judged.verdict.word() == word).count();
            let drift: usize = result
                .judged
                .iter()
                .map(|judged| match &judged.verdict {
                    Verdict::Drift { findings } => findings.len(),
                    _ => 0,
                })
                .sum();
            let unknown = count("unknown");
            let text = match (drift, unknown) {
                (0, 0) => "as declared".to_owned(),
                (0, unknown) => format!("{unknown} unknown"),
                (drift, 0) => format!("{drift} findings"),
                (drift, unknown) => format!("{drift} findings, {unknown} unknown"),
            };
            (text, drift == 0 && unknown == 0)
        }
    }
}
