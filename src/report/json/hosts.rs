//! Hosts that were unlocked or forgotten, as JSON documents.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::domain::{HostName, Identifier};
use crate::report::Unlocked;

/// A host that was unlocked.
#[derive(Serialize, schemars::JsonSchema)]
pub(super) struct UnlockDocument<'a> {
    /// Name of the host.
    host: &'a HostName,
    /// Transaction that was pending, or run that held the lease.
    unlocked: &'a Identifier,
    /// Effect, in words.
    done: &'a str,
}

/// Hosts that were forgotten.
#[derive(Serialize, schemars::JsonSchema)]
pub(super) struct RetireDocument<'a> {
    /// Always `retire`.
    verb: &'static str,
    /// Names of the hosts.
    retired: &'a BTreeSet<&'a HostName>,
}

impl<'a> UnlockDocument<'a> {
    /// Of a host.
    pub(super) fn of(unlocked: &Unlocked<'a>) -> Self {
        let Unlocked { host, tx, done } = *unlocked;
        Self { host, unlocked: tx, done }
    }
}

impl<'a> RetireDocument<'a> {
    /// Of these hosts.
    pub(super) fn of(retired: &'a BTreeSet<&'a HostName>) -> Self {
        Self { verb: "retire", retired }
    }
}
