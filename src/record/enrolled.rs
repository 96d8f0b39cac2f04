//! The outcome of the first contact with a host, as `enrol` shows and keeps it.

use serde::{Deserialize, Serialize};

use super::Cost;
use crate::domain::{Address, Fingerprint, HostName, MachineId};

/// Outcome of one host's enrolment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema, Deserialize)]
pub struct Enrolled {
    /// Name of the host.
    pub host: HostName,
    /// Address under which the host was looked for.
    pub address: Option<Address>,
    /// End of its enrolment.
    #[serde(flatten)]
    pub state: EnrolState,
    /// Fingerprint of the key that the host showed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<Fingerprint>,
    /// Machine id of the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine_id: Option<MachineId>,
    /// `ID` and `VERSION_ID` of its distribution.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distribution: Option<String>,
    /// Changes that were made on the host.
    pub changes: Vec<String>,
    /// Duration of the rehearsed rollback, from arming to the old state, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback_milliseconds: Option<u64>,
    /// Connections, execs, bytes.
    pub cost: Cost,
    /// Duration of the host's part, in milliseconds.
    pub milliseconds: u64,
}

/// End of a host's enrolment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum EnrolState {
    /// Enrolled and recorded.
    Enrolled,
    /// Enrolled before, with everything in place.
    Unchanged,
    /// Not reached, or without an answer.
    Unreachable {
        /// The reason.
        reason: String,
    },
    /// Not allowed to be enrolled.
    Refused {
        /// The reason.
        reason: String,
        /// Advice.
        hint: String,
    },
    /// Failed; nothing was recorded.
    Failed {
        /// The reason.
        reason: String,
    },
}

impl EnrolState {
    /// The state in one word, as in reports for programs.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Enrolled => "enrolled",
            Self::Unchanged => "unchanged",
            Self::Unreachable { .. } => "unreachable",
            Self::Refused { .. } => "refused",
            Self::Failed { .. } => "failed",
        }
    }
}
