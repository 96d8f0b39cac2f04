//! The lines of a record, each one JSON document whose `entry` says what it is. What is written is borrowed: a line of
//! answers is larger than everything else that is known of a host.

use jiff::Timestamp;
use serde::Serialize;

use super::{Enrolled, Footer, Header, HostEntry, HostResult, Installed, ReleaseLine, Shard};
use crate::desired::Wanted;
use crate::domain::{ControlId, Digest, HostName, UserName};
use crate::resource::Verdict;

/// A line of a record.
#[derive(Debug, Clone, Serialize, schemars::JsonSchema)]
#[serde(tag = "entry", rename_all = "kebab-case")]
pub enum Line<'a> {
    /// The beginning; the first line.
    Run(&'a Header),
    /// A run that was killed and resumed.
    TakenUp {
        /// Account that began the run.
        begun_by: &'a UserName,
        /// Machine on which it was begun.
        begun_from: &'a str,
        /// Account that resumed it.
        by: &'a UserName,
    },
    /// A shard of the run, in a record that was merged.
    Merged(Shard<'a>),
    /// The release that was installed.
    Release(&'a ReleaseLine),
    /// The desired state of a host.
    Desired {
        /// Name of the host.
        host: &'a HostName,
        /// Digest of all that is desired of it.
        digest: Digest,
        /// Desired resources, each once, with the controls that want it.
        resources: &'a [Wanted],
    },
    /// The answer of a host, as it came.
    Answer {
        /// Name of the host.
        host: &'a HostName,
        /// Time of the last look at it.
        at: Timestamp,
        /// Standard output, then standard error; of a change those of the first look and of the last.
        raw: &'a [String],
    },
    /// The effect of a release on a host; before that host's outcome.
    Installed {
        /// Name of the host.
        host: &'a HostName,
        /// Effect of the release there.
        release: &'a Installed,
    },
    /// The outcome of a host.
    Host(HostLine<'a>),
    /// The end; the last line.
    End(&'a Footer),
}

/// The outcome of a host.
#[derive(Debug, Clone, Serialize, schemars::JsonSchema)]
#[serde(untagged)]
pub enum HostLine<'a> {
    /// Of an audit, a plan or a change.
    Judged {
        /// Outcome of the host.
        result: &'a HostResult,
        /// Verdict of each control, in the playbook's order.
        controls: Vec<ControlVerdict>,
    },
    /// Of an enrolment.
    Enrolled {
        /// Outcome of the host.
        result: &'a Enrolled,
    },
}

/// The verdict of a control on a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct ControlVerdict {
    /// Id of the control.
    pub id: ControlId,
    /// Verdict of all its resources together, waivers taken into account.
    pub verdict: Verdict,
}

impl Line<'_> {
    /// The line, without its end.
    pub fn to_text(&self) -> serde_json::Result<String> {
        serde_json::to_string(self)
    }
}

impl<'a> HostEntry<'a> {
    /// What a record keeps of the host, beside what was desired and answered.
    pub fn lines(self) -> Vec<Line<'a>> {
        let judged = |result: &'a HostResult| {
            let controls = result.verdicts().into_iter().map(|(id, verdict)| ControlVerdict { id, verdict });
            Line::Host(HostLine::Judged { result, controls: controls.collect() })
        };
        match self {
            Self::Judged(result) => vec![judged(result)],
            Self::Installed(result, installed) => {
                vec![Line::Installed { host: &result.host, release: installed }, judged(result)]
            }
            Self::Enrolled(result) => vec![Line::Host(HostLine::Enrolled { result })],
        }
    }
}
