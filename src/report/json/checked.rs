//! A project without refusals, and a verb's failure, as JSON documents.

use serde::Serialize;

use crate::report::{Checked, Counts};
use crate::source::Refusal;

/// A project without refusals.
#[derive(Serialize, schemars::JsonSchema)]
pub(super) struct CheckDocument<'a> {
    /// Numbers of what was checked.
    checked: Counts,
    /// Controls and templates that differ from those that palisade comes with.
    differs: &'a [String],
    /// Schemas of the project that are of another palisade.
    stale_schemas: Vec<String>,
    /// Always empty: a project with refusals fails.
    refusals: [Refusal; 0],
}

impl<'a> CheckDocument<'a> {
    /// Of a project.
    pub(super) fn of(checked: &Checked<'a>) -> Self {
        Self {
            checked: checked.counts(),
            differs: checked.differs,
            stale_schemas: checked.stale.iter().map(|subject| subject.path()).collect(),
            refusals: [],
        }
    }
}
