//! The failure of a verb, as a JSON document.

use serde::Serialize;

use crate::report::Failed;
use crate::source::Refusals;

/// The failure of a verb.
#[derive(Serialize, schemars::JsonSchema)]
pub(super) struct FailureDocument<'a> {
    /// Message of the failure, or the number of refusals.
    error: &'a str,
    /// Exit code.
    exit: u8,
    /// Advice, a sentence each.
    hints: &'a [String],
    /// Refusals of files; none where the failure is another one.
    refusals: Option<&'a Refusals>,
}

impl<'a> FailureDocument<'a> {
    /// Of a failure.
    pub(super) fn of(failed: &Failed<'a>) -> Self {
        let Failed { error, exit, hints, refusals } = *failed;
        Self { error, exit, hints, refusals }
    }
}
