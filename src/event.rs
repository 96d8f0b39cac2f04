//! What happens during a run, as values. Those who work emit them; who shows them is not their business.

use std::time::Duration;

use crate::domain::{HostName, TxId};
use crate::resource::Phase;

/// Something that a person watching would want to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A run begins.
    Started {
        /// `audit`, `plan`, `apply` ...
        verb: &'static str,
        /// How many hosts.
        hosts: usize,
    },
    /// A host is being connected to and asked.
    Asking {
        /// The host.
        host: HostName,
    },
    /// A host answered, or failed to.
    Asked {
        /// The host.
        host: HostName,
        /// What came of it, in a few words.
        summary: String,
        /// Whether all is well with it.
        good: bool,
    },
    /// A host is in this part of its change.
    Stage {
        /// The host.
        host: HostName,
        /// Widen, narrow or package.
        phase: Phase,
        /// What is being done.
        stage: Stage,
    },
    /// A change was not confirmed; the host goes back.
    GoingBack {
        /// The host.
        host: HostName,
        /// Which transaction.
        tx: TxId,
        /// What failed.
        why: String,
        /// How long until its own timer takes it back at the latest.
        at_most: Duration,
    },
    /// Still waiting for a host that goes back.
    Waiting {
        /// The host.
        host: HostName,
        /// Seconds left of its timer, as far as is known.
        seconds_left: u64,
    },
    /// The host could not put everything back, and tries again.
    Stuck {
        /// The host.
        host: HostName,
    },
    /// The host said that it is back.
    Back {
        /// The host.
        host: HostName,
        /// After how long.
        after: Duration,
    },
    /// Somebody else works on a host; it is waited for.
    Held {
        /// The host.
        host: HostName,
        /// How long it is still waited for.
        seconds_left: u64,
    },
    /// A host is done.
    Finished {
        /// The host.
        host: HostName,
        /// What came of it.
        summary: String,
        /// Whether all is well with it.
        good: bool,
    },
    /// Something worth a line.
    Note {
        /// The line.
        text: String,
    },
}

/// Parts of a change, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Checks over a fresh connection.
    Preflight,
    /// Packages are installed by a unit of their own.
    Installing,
    /// The lease is taken and the rollback armed.
    Arming,
    /// Accounts are made, files staged and validated.
    Validating,
    /// The changes become live.
    Switching,
    /// Seen from a new connection.
    Verifying,
    /// Committed.
    Confirming,
}

impl Stage {
    /// For people, and for the lab's holds: `preflight`, `installing`, `arming` ...
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Preflight => "preflight",
            Self::Installing => "installing",
            Self::Arming => "arming",
            Self::Validating => "validating",
            Self::Switching => "switching",
            Self::Verifying => "verifying",
            Self::Confirming => "confirming",
        }
    }
}

/// Takes events; shared by all hosts of a run.
pub trait Sink: Send + Sync {
    /// One event.
    fn emit(&self, event: Event);
}

/// Nobody watches.
pub struct Silent;

impl Sink for Silent {
    fn emit(&self, _event: Event) {}
}
