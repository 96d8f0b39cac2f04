//! The release that each host has, as a JSON document.

use jiff::Timestamp;
use serde::Serialize;

use crate::calendar::Turn;
use crate::domain::Environment;
use crate::release::status::{HostStatus, exit};
use crate::report::Releases;

/// The releases that the hosts of an environment have.
#[derive(Serialize, schemars::JsonSchema)]
pub(super) struct ReleasesDocument<'a> {
    /// The environment.
    environment: Environment,
    /// Time at which the hosts were asked.
    at: Timestamp,
    /// Number of days between two releases.
    cycle_days: u32,
    /// Turns of the environment around that time.
    turns: &'a [Turn],
    /// The hosts that were selected.
    hosts: &'a [HostStatus],
    /// Exit code.
    exit: u8,
}

impl<'a> ReleasesDocument<'a> {
    /// Of hosts that were asked.
    pub(super) fn of(releases: &Releases<'a>) -> Self {
        let Releases { environment, plan, turns, hosts, now } = *releases;
        Self { environment, at: now, cycle_days: plan.cycle_weeks * 7, turns, hosts, exit: exit(hosts) }
    }
}
