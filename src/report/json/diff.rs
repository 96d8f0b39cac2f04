//! Two runs compared, as a JSON document.

use jiff::Timestamp;
use serde::Serialize;

use crate::domain::{Environment, Identifier};
use crate::record::{DiffSummary, Difference, Header, SCHEMA};
use crate::report::Compared;

/// What differs between two runs.
#[derive(Serialize, schemars::JsonSchema)]
pub(super) struct DiffDocument<'a> {
    /// Version of the document's format.
    schema: u32,
    /// Environment of both runs.
    environment: Environment,
    /// The earlier run.
    before: ComparedRun<'a>,
    /// The later run.
    after: ComparedRun<'a>,
    /// Exit code: 3 where something is worse, or new and not as declared; else 0.
    exit: u8,
    /// Counts of verdicts.
    summary: DiffSummary,
    /// Differences: the worse ones first, then by control.
    differences: &'a [Difference],
}

/// A run that is compared.
#[derive(Serialize, schemars::JsonSchema)]
pub(super) struct ComparedRun<'a> {
    /// Id of the run.
    run: &'a Identifier,
    /// Verb of the run.
    verb: &'a str,
    /// Version of palisade.
    tool: &'a str,
    /// Time of its beginning.
    began: Timestamp,
}

impl<'a> DiffDocument<'a> {
    /// Of two runs.
    pub(super) fn of(compared: &Compared<'a>) -> Self {
        let run = |header: &'a Header| ComparedRun {
            run: &header.run,
            verb: &header.verb,
            tool: &header.tool,
            began: header.began,
        };
        Self {
            schema: SCHEMA,
            environment: compared.after.environment,
            before: run(compared.before),
            after: run(compared.after),
            exit: compared.diff.exit(),
            summary: compared.diff.summary,
            differences: &compared.diff.differences,
        }
    }
}
