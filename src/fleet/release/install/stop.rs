//! How a host's part of a release ends before its end.

use crate::record::HostState;

/// Why a host's part ended before its end.
pub(super) type Stop = Box<HostState>;

pub(super) fn failed(reason: impl Into<String>) -> Stop {
    Box::new(HostState::Failed { reason: reason.into(), holds: None })
}

pub(super) fn refused(reason: impl Into<String>) -> Stop {
    Box::new(HostState::Refused { reason: reason.into(), holder: None })
}

pub(super) fn incomplete(reason: &impl ToString) -> Stop {
    Box::new(HostState::Incomplete { reason: reason.to_string() })
}
