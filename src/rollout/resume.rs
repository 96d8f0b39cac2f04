//! What a run that was killed leaves to do, by its journal and by what hosts say of its transactions. A host that is done is
//! not touched again; one that is no longer as the run's plan saw it is refused.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::domain::HostName;
use crate::plan::{HostPlan, Plan};
use crate::record::{HostResult, HostState};

/// How far a host came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema, Deserialize)]
#[serde(tag = "progress", rename_all = "kebab-case")]
pub enum Progress {
    /// It may hold anything between old and new.
    Begun,
    /// It ended.
    Ended {
        /// How: `changed`, `rolled-back`, `failed` ...
        state: String,
    },
}

/// What a host says of the transactions of a run, once nothing of it is pending there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Settled {
    /// So many were confirmed.
    pub confirmed: usize,
    /// So many were taken back, now or before.
    pub taken_back: usize,
}

/// What is left to do on the hosts of a run that is taken up again: `plan` is what it was to do, `progress` how far it came,
/// and `results` are of a new look.
pub fn take_up(
    plan: &Plan,
    progress: &BTreeMap<HostName, Progress>,
    settled: &[(HostName, Result<Settled, String>)],
    results: &mut [HostResult],
) {
    for result in results.iter_mut().filter(|result| result.state == HostState::Answered) {
        let said = settled.iter().find(|(host, _)| *host == result.host).map(|(_, said)| said);
        let original = plan.hosts.iter().find(|plan| plan.host == result.host);
        let found = result.plan.as_ref().filter(|_| result.calls_for_work());
        if let Some(state) = left(progress.get(&result.host), said, original, found) {
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
