//! The runs of a project, as a JSON document.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use crate::domain::{Environment, HostName, UserName};
use crate::report::{Runs, record_state};
use crate::rollout::Progress;
use crate::store::Unfinished;

/// The runs of a project.
#[derive(Serialize, schemars::JsonSchema)]
pub(super) struct RunsDocument<'a> {
    /// Runs that ended, oldest first.
    runs: Vec<EndedRun<'a>>,
    /// Applies that were killed, or that go on.
    unfinished: Vec<UnfinishedRun<'a>>,
}

/// A run that ended.
#[derive(Serialize, schemars::JsonSchema)]
struct EndedRun<'a> {
    /// Name of its folder in runs/.
    run: &'a str,
    /// First line of its record, whatever palisade wrote it.
    header: &'a Value,
    /// Last line of its record; none where the record is truncated.
    end: Option<&'a Value>,
    /// State of the record: `whole`, `truncated`, `changed since`, `of a newer palisade`; and of the one before it.
    record: String,
}

/// An apply that has not ended.
#[derive(Serialize, schemars::JsonSchema)]
#[serde(untagged)]
enum UnfinishedRun<'a> {
    /// Its journal can be read.
    Open {
        /// Name of its folder in runs/.
        run: &'a str,
        /// True where its process lives.
        goes_on: bool,
        /// Environment of the run.
        environment: Environment,
        /// Time of its beginning.
        began: Timestamp,
        /// Account that began it.
        by: &'a UserName,
        /// Machine on which it was begun.
        from: &'a str,
        /// Names of the hosts that were selected.
        hosts: &'a [HostName],
        /// Progress of the hosts that were begun.
        progress: &'a BTreeMap<HostName, Progress>,
    },
    /// Its journal cannot be read.
    Unreadable {
        /// Name of its folder in runs/.
        run: &'a str,
        /// True where its process lives.
        goes_on: bool,
        /// The reason.
        unreadable: &'a str,
    },
}

impl<'a> RunsDocument<'a> {
    /// Of a project's runs.
    pub(super) fn of(runs: &Runs<'a>) -> Self {
        let ended = runs.runs.iter().map(|run| EndedRun {
            run: &run.name,
            header: &run.header,
            end: run.footer.as_ref(),
            record: record_state(run),
        });
        Self { runs: ended.collect(), unfinished: runs.unfinished.iter().map(unfinished).collect() }
    }
}

fn unfinished(unfinished: &Unfinished) -> UnfinishedRun<'_> {
    let (run, goes_on) = (unfinished.name.as_str(), unfinished.goes_on);
    match &unfinished.open {
        Err(unreadable) => UnfinishedRun::Unreadable { run, goes_on, unreadable },
        Ok(open) => UnfinishedRun::Open {
            run,
            goes_on,
            environment: open.plan.environment,
            began: open.plan.made,
            by: &open.by,
            from: &open.from,
            hosts: &open.hosts,
            progress: &open.progress,
        },
    }
}
