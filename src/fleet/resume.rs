//! Taking up a run that was killed: what the hosts say of its transactions, and what that and its journal leave to do.
//! A host that is done is not touched again; one that is no longer as the run's plan saw it is refused.

use futures::StreamExt as _;

use super::{Job, Run, nonce};
use crate::domain::HostName;
use crate::event::Event;
use crate::plan::HostPlan;
use crate::record::{HostResult, HostState};
use crate::store::{OpenRun, Progress};
use crate::transaction::{self, Outcome, Replies};
use crate::transport::{Bounds, Entry};

/// What a host says of the transactions of a run, once nothing of it is pending there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Settled {
    /// So many were confirmed.
    pub confirmed: usize,
    /// So many were taken back, now or before.
    pub taken_back: usize,
}

impl Run {
    /// Takes back what this run, when it was killed, left pending on the hosts that were begun, and asks these how its
    /// transactions ended; in the order of `jobs`, or why a host could not say.
    pub async fn settle(&self, jobs: &[Job], open: &OpenRun) -> Vec<(HostName, Result<Settled, String>)> {
        let begun = jobs.iter().filter(|job| open.progress.contains_key(&job.desired.host));
        let mut all: Vec<_> = futures::stream::iter(begun.enumerate())
            .map(|(place, job)| async move {
                let host = job.desired.host.clone();
                let settled = self.settle_one(job).await;
                if let Ok(Settled { confirmed, taken_back }) = settled {
                    let text = format!("{host}: of this run {confirmed} confirmed, {taken_back} taken back");
                    self.emit(Event::Note { text });
                }
                (place, host, settled)
            })
            .buffer_unordered(self.concurrency.max(1))
            .collect()
            .await;
        all.sort_by_key(|(place, ..)| *place);
        all.into_iter().map(|(_, host, settled)| (host, settled)).collect()
    }

    async fn settle_one(&self, job: &Job) -> Result<Settled, String> {
        let session = self.connector.connect(&job.target).await.map_err(|error| error.to_string())?;
        let run = &self.operator.run;
        let nonce = nonce();
        let answer = session.run(&transaction::settle(run, &nonce), Entry::Root, Bounds::default()).await;
        session.close().await;
        let replies = Replies::read(&answer.map_err(|error| error.to_string())?, &nonce);
        replies.expect("settled", run).map_err(|refused| refused.to_string())?;
        let count = |wanted: Outcome| replies.outcomes().filter(|outcome| *outcome == wanted).count();
        if replies
            .outcomes()
            .any(|outcome| matches!(outcome, Outcome::RollbackFailed | Outcome::Pending { .. }))
        {
            return Err("what the run left pending there could not be taken back".to_owned());
        }
        Ok(Settled { confirmed: count(Outcome::Confirmed), taken_back: count(Outcome::RolledBack) })
    }
}

/// What is left to do on the hosts of a run that is taken up again: `results` are of a new look.
pub fn take_up(open: &OpenRun, settled: &[(HostName, Result<Settled, String>)], results: &mut [HostResult]) {
    for result in results.iter_mut().filter(|result| result.state == HostState::Answered) {
        let said = settled.iter().find(|(host, _)| *host == result.host).map(|(_, said)| said);
        let original = open.plan.hosts.iter().find(|plan| plan.host == result.host);
        let found = result.plan.as_ref().filter(|_| result.calls_for_work());
        if let Some(state) = left(open.progress.get(&result.host), said, original, found) {
            result.state = state;
        }
    }
}

/// How a host stands that has nothing to do, or may not be changed; none where the run goes on with it.
fn left(
    progress: Option<&Progress>,
    said: Option<&Result<Settled, String>>,
    original: Option<&HostPlan>,
    found: Option<&HostPlan>,
) -> Option<HostState> {
    let refused = |reason: &str| Some(HostState::Refused { reason: reason.to_owned(), holder: None });
    let changed = matches!(progress, Some(Progress::Ended { state }) if state == "changed");
    let confirmed = said.is_some_and(|said| said.as_ref().is_ok_and(|settled| settled.confirmed > 0));
    let Some(found) = found else {
        return Some(if changed || confirmed { HostState::Changed } else { HostState::Answered });
    };
    if let Some(Err(reason)) = said {
        return Some(HostState::Incomplete { reason: reason.clone() });
    }
    if changed {
        return refused("this run changed it already, and it is no longer as declared; apply anew");
    }
    let Some(original) = original else {
        return refused("the run's plan does not name this host; apply anew");
    };
    let as_planned = match progress {
        Some(_) => found.continues(original),
        None => found.does_the_same(original),
    };
    if as_planned { None } else { refused("the host is no longer as the run's plan saw it; apply anew") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Digest;
    use crate::resource::{Change, FileState, Phase, Step};

    fn plan(places: &[&str]) -> HostPlan {
        let step = |path: &&str| Step {
            phase: Phase::Narrow,
            summary: (*path).to_owned(),
            change: Change::File {
                path: path.parse().unwrap(),
                before: FileState::Other { kind: "link".to_owned() },
                after: FileState::Absent,
            },
            cuts: Vec::new(),
        };
        HostPlan {
            host: "web-1".parse().unwrap(),
            machine_id: "0123456789abcdef0123456789abcdef".parse().unwrap(),
            desired: Digest::of(b"desired"),
            steps: places.iter().map(step).collect(),
            cuts: Vec::new(),
            closes: Vec::new(),
            obstacles: Vec::new(),
            blocked: Vec::new(),
        }
    }

    fn word(
        progress: Option<&str>,
        said: Option<&Result<Settled, String>>,
        original: Option<&HostPlan>,
        found: Option<&HostPlan>,
    ) -> &'static str {
        let progress = progress.map(|state| match state {
            "begun" => Progress::Begun,
            state => Progress::Ended { state: state.to_owned() },
        });
        left(progress.as_ref(), said, original, found).map_or("goes on", |state| state.word())
    }

    const NONE: Option<&Result<Settled, String>> = Some(&Ok(Settled { confirmed: 0, taken_back: 1 }));
    const ONE: Option<&Result<Settled, String>> = Some(&Ok(Settled { confirmed: 1, taken_back: 0 }));

    #[test]
    fn what_is_done_is_not_touched_again() {
        let whole = plan(&["/etc/a", "/etc/b"]);
        assert_eq!(word(Some("changed"), ONE, Some(&whole), None), "changed");
        assert_eq!(
            word(Some("begun"), ONE, Some(&whole), None),
            "changed",
            "killed before it was written down"
        );
        assert_eq!(word(None, None, Some(&whole), None), "answered", "somebody else did it");
        assert_eq!(word(Some("changed"), ONE, Some(&whole), Some(&whole)), "refused", "it drifted since");
    }

    #[test]
    fn what_was_begun_goes_on_with_what_is_left_and_the_rest_only_as_planned() {
        let (whole, part, other) = (plan(&["/etc/a", "/etc/b"]), plan(&["/etc/b"]), plan(&["/etc/c"]));
        assert_eq!(word(None, None, Some(&whole), Some(&whole)), "goes on");
        assert_eq!(word(Some("begun"), NONE, Some(&whole), Some(&whole)), "goes on");
        assert_eq!(word(Some("begun"), ONE, Some(&whole), Some(&part)), "goes on");
        assert_eq!(word(Some("rolled-back"), NONE, Some(&whole), Some(&whole)), "goes on");
        assert_eq!(word(None, None, Some(&whole), Some(&part)), "refused", "somebody else was there");
        assert_eq!(word(Some("begun"), ONE, Some(&whole), Some(&other)), "refused");
        assert_eq!(word(None, None, None, Some(&whole)), "refused");
        let silent = Some(Err("no answer".to_owned()));
        assert_eq!(word(Some("begun"), silent.as_ref(), Some(&whole), Some(&whole)), "incomplete");
    }
}
