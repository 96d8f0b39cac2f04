//! One look at a host: one connection, one exec, and what it means.

mod asking;

pub(in crate::fleet) use asking::Answer;

use std::time::Duration;

use futures::StreamExt as _;

use crate::desired::Desired;
use crate::domain::{HostName, Identifier};
use crate::event::Event;
use crate::fleet::{Job, Looked, Run, add_cost, instant, nonce, now};
use crate::plan;
use crate::probe::{self, Facts, Observation};
use crate::record::{Cost, HostResult, HostState};
use crate::resource::{Unread, Verdict};
use crate::shell::{Output, Script};
use crate::transaction::{self, Refused, Replies};
use crate::transport::{Bounds, Entry, LocalSession, Session, Target, TransportError};

/// Most that one look may take. A healthy host answers in one to three seconds, and no single question may take more
/// than 30; a host that needs longer for all of them together keeps a whole run waiting, and gets no verdict. Where
/// hosts are given more than three minutes to be confirmed, they are slow ones: see [`Run::patience`].
pub(in crate::fleet) const PATIENCE: Bounds = Bounds { deadline: Duration::from_mins(1), bytes: 16 << 20 };

impl Run {
    /// Most that one look may take: a minute, or a third of the rollback timeout where that is more. A change is looked at
    /// within that timeout, so whoever declares a long one expects long looks.
    pub(in crate::fleet) fn patience(&self) -> Duration {
        PATIENCE.deadline.max(self.rollback_timeout / 3)
    }

    /// One connection and one exec: the verdicts and the plan of one host.
    /// Over the connection that those behind it share, where it may be `shared`.
    pub(in crate::fleet) async fn look_at(&self, job: &Job, shared: bool) -> HostResult {
        let host = job.desired.host.clone();
        self.emit(Event::Asking { host: host.clone() });
        let begun = instant();
        let mut cost = Cost::default();
        let looked = match self.connector.connect(&Target { shared, ..job.target.clone() }).await {
            Err(error) => Err(error),
            Ok(session) => {
                let looked = observe(session.as_ref(), job, self.patience()).await;
                add_cost(&mut cost, session.as_ref());
                session.close().await;
                looked
            }
        };
        let at = now();
        let (state, looked) = match looked {
            Ok((observation, output)) => {
                let looked = understand(job, &observation, &output, at);
                match gate(job, &looked) {
                    // What another machine answers says nothing about this host.
                    HostState::Refused { reason, holder } => {
                        let unread = probe::nothing(&job.desired, &reason);
                        let judged = plan::judge(&job.desired, &unread, at);
                        (HostState::Refused { reason, holder }, Looked { judged, plan: None, ..looked })
                    }
                    state => (state, looked),
                }
            }
            Err(error) => (failure(&host, &error), nothing(job, &error)),
        };
        let result = HostResult {
            host: host.clone(),
            state,
            controls: job.desired.controls.clone(),
            waivers: job.desired.waivers.clone(),
            facts: looked.facts.ok(),
            judged: looked.judged,
            plan: looked.plan,
            ended: Vec::new(),
            raw: looked.raw,
            cost,
            milliseconds: u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
            at,
        };
        let (summary, good) = summary(&result);
        self.emit(Event::Asked { host, summary, good });
        result
    }
}

impl Run {
    /// What each host says of itself alone: who holds it, what is pending.
    pub async fn facts(&self, jobs: &[Job]) -> Vec<(HostName, Result<Facts, String>)> {
        let mut all: Vec<(usize, HostName, Result<Facts, String>)> =
            futures::stream::iter(jobs.iter().enumerate())
                .map(
                    |(place, job)| async move { (place, job.desired.host.clone(), self.facts_of(job).await) },
                )
                .buffer_unordered(self.concurrency.max(1))
                .collect()
                .await;
        all.sort_by_key(|(place, ..)| *place);
        all.into_iter().map(|(_, host, facts)| (host, facts)).collect()
    }

    pub(in crate::fleet) async fn facts_of(&self, job: &Job) -> Result<Facts, String> {
        let session = self.connector.connect(&job.target).await.map_err(|error| error.to_string())?;
        let nonce = nonce();
        let script = Script::new().framed(&nonce, &[probe::facts_question()]);
        let bounds = Bounds { deadline: self.patience(), ..PATIENCE };
        let answer = session.run(&script, Entry::Root, bounds).await;
        session.close().await;
        let facts = probe::read_facts(&nonce, &answer.map_err(|error| error.to_string())?);
        let facts = facts.map_err(|unread| unread.to_string())?;
        job.identity_mismatch(&facts).map_or(Ok(facts), Err)
    }

    /// Takes back the pending transaction of a host, or the lease of a run, that `id` names.
    pub async fn unlock(&self, job: &Job, id: &Identifier) -> Result<Vec<String>, Refused> {
        let broken = |text: String| Refused { code: "unreachable".to_owned(), text, holder: None };
        let session = self.connector.connect(&job.target).await.map_err(|error| broken(error.to_string()))?;
        let nonce = nonce();
        let answer = session.run(&transaction::unlock(id, &nonce), Entry::Root, Bounds::default()).await;
        session.close().await;
        let output = answer.map_err(|error| broken(error.to_string()))?;
        Replies::read(&output, &nonce).expect("unlocked", id)
    }
}

/// One look at the machine that palisade runs on, as whoever runs it. It needs no enrolment, and plans nothing.
pub async fn look_here(desired: &Desired) -> HostResult {
    let session = LocalSession::new(desired.host.clone());
    let begun = instant();
    let looked = ask(&session, desired, Entry::Plain, PATIENCE.deadline).await;
    let (state, observation, raw) = match looked {
        Ok((observation, output)) => (HostState::Answered, observation, raw(&output)),
        Err(error) => {
            (failure(&desired.host, &error), probe::nothing(desired, &error.to_string()), Vec::new())
        }
    };
    let at = now();
    HostResult {
        host: desired.host.clone(),
        state,
        controls: desired.controls.clone(),
        waivers: desired.waivers.clone(),
        judged: plan::judge(desired, &observation, at),
        facts: observation.facts.ok(),
        plan: None,
        ended: Vec::new(),
        raw,
        cost: session.cost(),
        milliseconds: u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
        at,
    }
}

/// The one exec, in `at_most` or less.
pub(in crate::fleet) async fn observe(
    session: &dyn Session,
    job: &Job,
    at_most: Duration,
) -> Result<(Observation, Output), TransportError> {
    ask(session, &job.desired, Entry::Root, at_most).await
}

async fn ask(
    session: &dyn Session,
    desired: &Desired,
    entry: Entry,
    at_most: Duration,
) -> Result<(Observation, Output), TransportError> {
    let nonce = nonce();
    let bounds = Bounds { deadline: at_most, ..PATIENCE };
    let output = session.run(&probe::script(desired, &nonce), entry, bounds).await?;
    Ok((probe::observe(desired, &nonce, &output), output))
}

fn raw(output: &Output) -> Vec<String> {
    [&output.stdout, &output.stderr].map(|stream| String::from_utf8_lossy(stream).into_owned()).into()
}

/// Verdicts and plan, from what was observed.
pub(in crate::fleet) fn understand(
    job: &Job,
    observation: &Observation,
    output: &Output,
    at: jiff::Timestamp,
) -> Looked {
    let judged = plan::judge(&job.desired, observation, at);
    let plan = observation
        .facts
        .as_ref()
        .ok()
        .map(|facts| plan::plan(&job.desired, observation, facts.machine_id.clone()));
    Looked { facts: observation.facts.clone(), judged, plan, raw: raw(output) }
}

fn nothing(job: &Job, error: &TransportError) -> Looked {
    let observation = probe::nothing(&job.desired, &error.about(&job.desired.host));
    Looked {
        facts: Err(Unread(error.to_string())),
        judged: plan::judge(&job.desired, &observation, now()),
        plan: None,
        raw: Vec::new(),
    }
}

pub(in crate::fleet) fn failure(host: &HostName, error: &TransportError) -> HostState {
    let reason = error.about(host);
    if crate::fleet::unreachable(error) {
        HostState::Unreachable { reason }
    } else {
        HostState::Refused { reason, holder: None }
    }
}

fn gate(job: &Job, looked: &Looked) -> HostState {
    match &looked.facts {
        Err(unread) => HostState::Unreachable { reason: unread.to_string() },
        Ok(facts) => job
            .identity_mismatch(facts)
            .map_or(HostState::Answered, |reason| HostState::Refused { reason, holder: None }),
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
                    Verdict::Drift { findings } if !judged.waived => findings.len(),
                    _ => 0,
                })
                .sum();
            let unknown = count("unknown");
            let waived = result
                .judged
                .iter()
                .filter(|judged| judged.waived)
                .map(|judged| match &judged.verdict {
                    Verdict::Drift { findings } => findings.len(),
                    _ => 0,
                })
                .sum::<usize>();
            let text = match (drift, unknown) {
                (0, 0) if waived > 0 => format!(
                    "as declared, but for {waived} waived {}",
                    if waived == 1 { "finding" } else { "findings" }
                ),
                (0, 0) => "as declared".to_owned(),
                (0, unknown) => format!("{unknown} unknown"),
                (1, 0) => "1 finding".to_owned(),
                (drift, 0) => format!("{drift} findings"),
                (drift, unknown) => format!("{drift} findings, {unknown} unknown"),
            };
            (text, drift == 0 && unknown == 0)
        }
    }
}
