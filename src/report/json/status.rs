//! Who holds each host, as a JSON document.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::domain::{Environment, HostName, TxId};
use crate::probe::{Facts, Holder, Installing};
use crate::report::Status;

/// The hosts of an environment, and who holds them.
#[derive(Serialize, schemars::JsonSchema)]
pub(super) struct StatusDocument<'a> {
    /// The environment.
    environment: Environment,
    /// The hosts that were selected.
    hosts: Vec<HeldHost<'a>>,
}

/// A host, and who holds it.
#[derive(Serialize, schemars::JsonSchema)]
#[serde(untagged)]
enum HeldHost<'a> {
    /// It answered.
    Answered {
        /// Name of the host.
        host: &'a HostName,
        /// `free`, `held`, `installing` or `pending`.
        state: &'static str,
        /// Holder of the host.
        holder: Option<Box<Holder>>,
        /// Transaction that is pending there.
        pending: Option<&'a TxId>,
        /// Seconds until it goes back.
        pending_seconds: Option<i64>,
        /// Lease: `run`, `who`, `from`, `since` and `left` (seconds).
        lease: Option<&'a BTreeMap<String, String>>,
        /// Release that the host installs by itself.
        installing: Option<&'a Installing>,
    },
    /// It did not answer.
    Unknown {
        /// Name of the host.
        host: &'a HostName,
        /// Always `unknown`.
        state: &'static str,
        /// The reason.
        reason: &'a str,
    },
}

impl<'a> StatusDocument<'a> {
    /// Of hosts that were asked.
    pub(super) fn of(status: &Status<'a>) -> Self {
        let hosts = status.hosts.iter().map(|(host, facts)| match facts {
            Err(reason) => HeldHost::Unknown { host, state: "unknown", reason },
            Ok(facts) => held(host, facts),
        });
        Self { environment: status.environment, hosts: hosts.collect() }
    }
}

fn held<'a>(host: &'a HostName, facts: &'a Facts) -> HeldHost<'a> {
    HeldHost::Answered {
        host,
        state: facts.state(),
        holder: facts.holder("").map(Box::new),
        pending: facts.pending.as_ref(),
        pending_seconds: facts.pending_seconds,
        lease: facts.lease.as_ref(),
        installing: facts.installing.as_ref(),
    }
}
