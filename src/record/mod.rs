//! A run as a value: what was asked, answered, judged, changed, on which machines, from which inputs. It is written and
//! read one JSON document a line, host by host, so that a large fleet's is never held as text; a manifest has the digests.
//! Where it lies is `store`'s business.

mod diff;
mod enrolled;
mod entry;
mod host;
mod hosts;
mod installed;
mod line;
mod merge;
mod read;
mod tally;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::{ControlId, Digest, Environment, HostName, Identifier, UserName};

pub use diff::{Diff, DiffSummary, Difference, Direction, Incomparable, Word, comparable};
pub use enrolled::{EnrolState, Enrolled};
pub use entry::{AsHostEntry, HostEntry};
pub use host::{Cost, Holds, HostResult, HostState};
pub use hosts::Hosts;
pub use installed::{Installed, PackageLine, PackageSet, ReleaseLine};
pub use line::{ControlVerdict, HostLine, Line};
pub use merge::{Shard, Unmergeable, merged_footer, merged_header};
pub use read::{Damaged, Reader, Recorded, RunRecord};
pub use tally::{EnrolSummary, Summary, Tally};

/// Version of the record's format.
pub const SCHEMA: u32 = 1;

/// What a run is about.
#[derive(Debug, Clone, Serialize, schemars::JsonSchema, Deserialize)]
pub struct Header {
    /// Version of the record's format.
    pub schema: u32,
    /// The run's id.
    pub run: Identifier,
    /// palisade's version.
    pub tool: String,
    /// `audit`, `plan`, `apply` ...
    pub verb: String,
    /// The environment.
    pub environment: Environment,
    /// Account that ran it.
    pub by: Option<UserName>,
    /// Machine on which it ran.
    pub from: String,
    /// Time of its beginning.
    pub began: Timestamp,
    /// The files that it went by, with their digests.
    pub inputs: BTreeMap<String, Digest>,
    /// The hosts that were selected.
    pub hosts: Vec<String>,
    /// The controls that were judged, in the playbook's order. Records before November 2026 have none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub controls: Vec<ControlLine>,
    /// The hash of the plan file that was applied, if one was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<Digest>,
}

/// What a record says of a control.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema, Deserialize)]
pub struct ControlLine {
    /// Its id.
    pub id: ControlId,
    /// Its title.
    pub title: String,
    /// Severity of the control.
    pub severity: String,
    /// The promise that it keeps.
    pub promise: String,
    /// `builtin`, `changed` or `project`.
    pub origin: String,
}

/// How it ended.
#[derive(Debug, Clone, Serialize, schemars::JsonSchema, Deserialize)]
pub struct Footer {
    /// Time of its end.
    pub ended: Timestamp,
    /// palisade's exit code.
    pub exit: u8,
    /// Counts of the run.
    pub summary: Counts,
    /// True where it was told to end before its time.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub interrupted: bool,
    /// Connections to jump hosts, by host; of an enrolment alone.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub jump_connections: BTreeMap<HostName, u32>,
}

/// Counts of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, schemars::JsonSchema, Deserialize)]
#[serde(untagged)]
pub enum Counts {
    /// Of verdicts.
    Judged(Summary),
    /// Of an enrolment.
    Enrolled(EnrolSummary),
}

/// The digests of a run's files, and of the manifest before it: a record that is taken out of the middle, or put there,
/// leaves a gap. Whoever writes all of them anew leaves none; only a copy elsewhere shows that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema, Deserialize)]
pub struct Manifest {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The run's id.
    pub run: Identifier,
    /// File name to SHA-256.
    pub files: BTreeMap<String, Digest>,
    /// The run whose record was the last one when this was written; none where it was the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Previous>,
}

/// The record before another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema, Deserialize)]
pub struct Previous {
    /// Its folder's name.
    pub run: String,
    /// The digest of its manifest.
    pub manifest: Digest,
}

impl Manifest {
    /// Of files with these digests, written after `previous`.
    pub fn new(run: Identifier, files: BTreeMap<String, Digest>, previous: Option<Previous>) -> Self {
        Self { schema: SCHEMA, run, files, previous }
    }
}
