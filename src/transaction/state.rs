//! A transaction as a value: its changes in the order in which they are switched, and how far it is, in its type.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::domain::{BootId, FoundName, Identifier, RemotePath, TxId, UserName};
use crate::kinds::secret::Value;
use crate::resource::{AccountAction, Change, Phase, Step};

/// The version of what palisade keeps on a host.
pub const PROTOCOL: u32 = 1;

/// Who works on a host, for the lease and for whoever meets it.
#[derive(Debug, Clone)]
pub struct Operator {
    /// The run; the lease is held by it over both phases.
    pub run: Identifier,
    /// The account that runs it.
    pub who: UserName,
    /// From which machine, one word.
    pub from: String,
}

/// Planned; nothing was done.
#[derive(Debug)]
pub struct Prepared;

/// The host will go back by itself; nothing is switched.
#[derive(Debug)]
pub struct Armed;

/// Accounts are made, new files lie beside their targets, and what could be checked beforehand was.
#[derive(Debug)]
pub struct Staged;

/// The changes are live.
#[derive(Debug)]
pub struct Switched;

/// Seen to work over a new connection.
#[derive(Debug)]
pub struct Verified;

/// The changes of one phase on one host.
#[derive(Debug)]
pub struct Transaction<State> {
    pub(super) id: TxId,
    pub(super) operator: Operator,
    pub(super) phase: Phase,
    pub(super) changes: Vec<Change>,
    /// The values of secrets, by the paths that they go to; none in a preview.
    values: BTreeMap<RemotePath, Arc<Value>>,
    pub(super) timeout: Duration,
    pub(super) boot: Option<BootId>,
    pub(super) state: std::marker::PhantomData<State>,
}

/// What of a change's consequences is brought about once it is confirmed.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ending<'e> {
    /// Whether sessions, processes and connections go on.
    pub keep_sessions: bool,
    /// TCP ports that the rules no longer let in.
    pub closes: &'e [u16],
}

impl Transaction<Prepared> {
    /// The steps of one phase, in the order in which they are switched. `timeout` is how long the host waits for
    /// confirmation before it goes back.
    pub fn prepare(id: TxId, operator: Operator, phase: Phase, steps: &[Step], timeout: Duration) -> Self {
        let mut changes: Vec<Change> =
            steps.iter().filter(|step| step.phase == phase).map(|step| step.change.clone()).collect();
        changes.sort_by_key(rank);
        Self {
            id,
            operator,
            phase,
            changes,
            values: BTreeMap::new(),
            timeout,
            boot: None,
            state: std::marker::PhantomData,
        }
    }

    /// The same, with what its secrets hold. Without it the scripts can be shown to anybody, and the host refuses to begin a
    /// change that has a secret.
    #[must_use]
    pub fn with_values(self, values: BTreeMap<RemotePath, Arc<Value>>) -> Self {
        Self { values, ..self }
    }
}

impl Transaction<Verified> {
    /// The ports on which connections end with it: those that its rules no longer let in.
    pub(super) fn closed_ports<'e>(&self, ending: Ending<'e>) -> &'e [u16] {
        let filters = self.changes.iter().any(|change| matches!(change, Change::Ruleset { .. }));
        if filters && self.phase == Phase::Narrow { ending.closes } else { &[] }
    }

    /// The accounts that it closes.
    pub(super) fn closed(&self) -> impl Iterator<Item = &FoundName> {
        self.changes.iter().filter_map(|change| match change {
            Change::Account { action: AccountAction::Close { user } } => Some(user),
            _ => None,
        })
    }
}

impl<State> Transaction<State> {
    /// The transaction's id.
    pub fn id(&self) -> &TxId {
        &self.id
    }

    /// Which phase it makes.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// How long the host waits.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Whether it touches sshd's configuration or the files that it reads keys from.
    pub fn touches_ssh(&self) -> bool {
        self.changes.iter().any(|change| match change {
            Change::File { path, .. } => path.is_below("/etc/ssh"),
            Change::Account { .. } => true,
            _ => false,
        })
    }

    pub(super) fn into_state<Next>(self) -> Transaction<Next> {
        let Self { id, operator, phase, changes, values, timeout, boot, state: _ } = self;
        Transaction { id, operator, phase, changes, values, timeout, boot, state: std::marker::PhantomData }
    }

    /// The value that a change puts in place, and no other than the one that was planned.
    pub(super) fn value(&self, change: &Change) -> Option<&Value> {
        let Change::Secret { path, after, .. } = change else { return None };
        self.values.get(path).map(Arc::as_ref).filter(|value| value.mac() == after.mac)
    }
}

/// Seconds that must remain when a transaction is confirmed.
pub(super) fn margin(timeout: Duration) -> u64 {
    (timeout.as_secs() / 4).min(10)
}

/// Safest first: inert files, units, sudo, keys, sshd, and the firewall last.
pub(super) fn rank(change: &Change) -> u8 {
    match change {
        Change::Account { .. } | Change::Package { .. } => 0,
        Change::File { path, .. } if is_unit_file(path) => 2,
        Change::Unit { unit, .. } if unit.as_str() == "palisade-firewall.service" => 9,
        Change::Unit { .. } | Change::Kernel { .. } | Change::Bans => 3,
        Change::File { path, .. } if path.as_str().starts_with("/etc/sudoers") => 4,
        Change::File { path, .. } if is_sshd_config(path) => 6,
        Change::File { path, .. } if path.is_below("/etc/ssh") || path.as_str().contains("/.ssh/") => 5,
        Change::File { .. } | Change::Secret { .. } => 1,
        Change::Ruleset { .. } => 8,
    }
}

pub(super) fn is_unit_file(path: &RemotePath) -> bool {
    path.is_below("/etc/systemd/system")
}

pub(super) fn is_sshd_config(path: &RemotePath) -> bool {
    path.as_str() == "/etc/ssh/sshd_config" || path.is_below("/etc/ssh/sshd_config.d")
}
