//! What came of one host of a run.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::{ControlId, HostName};
use crate::plan::{self, HostPlan, Judged};
use crate::probe::{Facts, Holder};
use crate::resource::{Phase, Verdict};
use crate::transaction::Ended;
use crate::waiver::Exception;

/// What was used, for the record. Jump hosts' connections are counted on their own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, schemars::JsonSchema, Deserialize)]
pub struct Cost {
    /// TCP connections to the host, those that it dropped in the handshake and that were tried again included; none
    /// of a session on a shared one.
    pub connections: u32,
    /// Execs on them.
    pub execs: u32,
    /// Bytes of scripts sent.
    pub bytes_sent: u64,
    /// Bytes of output received.
    pub bytes_received: u64,
}

/// What came of one host.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema, Deserialize)]
pub struct HostResult {
    /// The host.
    pub host: HostName,
    /// End of the host's part.
    #[serde(flatten)]
    pub state: HostState,
    /// The controls that apply to it.
    pub controls: Vec<ControlId>,
    /// The waivers that bear on it.
    pub waivers: Vec<Exception>,
    /// Facts that the host said of itself.
    pub facts: Option<Facts>,
    /// The verdicts, by the last look at it.
    pub judged: Vec<Judged>,
    /// Planned changes of the host.
    pub plan: Option<HostPlan>,
    /// Sessions and connections that ended with the access of closed accounts and listeners.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ended: Vec<Ended>,
    /// What it answered, as it came: standard output, then standard error; of a change to the first look and to the last,
    /// which does not ask again what no change touches. For the record.
    #[serde(skip)]
    pub raw: Vec<String>,
    /// Connections, execs, bytes.
    pub cost: Cost,
    /// Duration from the first connection to the end, in milliseconds.
    pub milliseconds: u64,
    /// Time of the last look at it.
    pub at: Timestamp,
}

/// How a host's part of a run ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum HostState {
    /// It answered; nothing was to be changed, or this verb changes nothing.
    Answered,
    /// It could not be reached, or did not answer.
    Unreachable {
        /// The reason.
        reason: String,
    },
    /// A gate refused before anything was changed.
    Refused {
        /// The reason.
        reason: String,
        /// Holder of the host, where that is the reason.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        holder: Option<Holder>,
    },
    /// It could not be changed, since something could not be read.
    Incomplete {
        /// The reason.
        reason: String,
    },
    /// Changed and confirmed.
    Changed,
    /// Taken back.
    RolledBack {
        /// Phase of the change.
        phase: Phase,
        /// Failure that led to the rollback.
        reason: String,
        /// State that the host holds now.
        holds: Holds,
    },
    /// Something failed; the reason says what the host holds, or that this is not known.
    Failed {
        /// The reason.
        reason: String,
        /// State that the host holds now, where it is known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        holds: Option<Holds>,
    },
    /// The run was stopped before its turn came; nothing was changed.
    NotStarted {
        /// The reason.
        reason: String,
    },
}

impl HostState {
    /// The reason why a host did not end well; empty where it did.
    pub fn reason(&self) -> &str {
        match self {
            Self::Answered | Self::Changed => "",
            Self::Unreachable { reason }
            | Self::Refused { reason, .. }
            | Self::Incomplete { reason }
            | Self::RolledBack { reason, .. }
            | Self::Failed { reason, .. }
            | Self::NotStarted { reason } => reason,
        }
    }

    /// In one word, as it stands in reports for programs.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Unreachable { .. } => "unreachable",
            Self::Refused { .. } => "refused",
            Self::Incomplete { .. } => "incomplete",
            Self::Changed => "changed",
            Self::RolledBack { .. } => "rolled-back",
            Self::Failed { .. } => "failed",
            Self::NotStarted { .. } => "not-started",
        }
    }
}

/// Which state a host is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, schemars::JsonSchema, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Holds {
    /// As before the run.
    Old,
    /// Widened: old and new both work.
    Widened,
    /// As declared.
    New,
}

impl HostResult {
    /// The verdict of each control on the host, in the playbook's order.
    pub fn verdicts(&self) -> Vec<(ControlId, Verdict)> {
        plan::verdicts(&self.controls, &self.judged, &self.waivers)
    }

    /// Whether apply has anything to do with it: steps, something in their way, or a change of another run that is
    /// not confirmed, whose host may go back behind our back however compliant it looks now.
    pub fn calls_for_work(&self) -> bool {
        self.state == HostState::Answered
            && (self.plan.as_ref().is_some_and(|plan| !plan.is_empty() || !plan.obstacles.is_empty())
                || self.facts.as_ref().is_some_and(|facts| facts.pending.is_some()))
    }
}
