//! From a phase's changes to the scripts that make them on one host so that they can be taken back: journal, arm,
//! stage, validate, switch, confirm, roll back.
//!
//! The order is in the types: a [`Transaction`] is `Prepared`, then `Armed`, `Staged`, `Switched`, `Verified`, and
//! only a `Verified` one can make the script that confirms. Each transition takes what the host answered. Nothing
//! here connects; `fleet` runs the scripts.

mod reply;
mod scripts;

use std::time::Duration;

pub use reply::{Holder, Outcome, Refused, Replies};
pub use scripts::{
    RECOVER_SCRIPT, RECOVER_UNIT, outcome, release, roll_back, roll_back_and_outcome, staged_question, unlock,
};

use crate::domain::{BootId, Identifier, RemotePath, TxId, UserName};
use crate::resource::{Change, Phase, Step};
use crate::shell::{Nonce, Output, Question, Script};

/// The version of what palisade keeps on a host.
pub const PROTOCOL: u32 = 1;

/// Who works on a host, for the lease and for whoever meets it.
#[derive(Debug, Clone)]
pub struct Operator {
    /// The run; the lease is held by it over both phases.
    pub run: Identifier,
    /// Who.
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
    id: TxId,
    operator: Operator,
    phase: Phase,
    changes: Vec<Change>,
    timeout: Duration,
    boot: Option<BootId>,
    state: std::marker::PhantomData<State>,
}

impl Transaction<Prepared> {
    /// The steps of one phase, in the order in which they are switched. `timeout` is how long the host waits for
    /// confirmation before it goes back.
    pub fn prepare(id: TxId, operator: Operator, phase: Phase, steps: &[Step], timeout: Duration) -> Self {
        let mut changes: Vec<Change> =
            steps.iter().filter(|step| step.phase == phase).map(|step| step.change.clone()).collect();
        changes.sort_by_key(rank);
        Self { id, operator, phase, changes, timeout, boot: None, state: std::marker::PhantomData }
    }

    /// Takes the lease, writes the journal, checks that the host is as planned, and arms the rollback. Nothing is
    /// changed before the timer runs.
    pub fn arm_script(&self, nonce: &Nonce) -> Script {
        scripts::arm(self, nonce)
    }

    /// All scripts in the order in which they would run, for people to read: nothing of this transaction may run
    /// afterwards.
    pub fn preview(self, nonce: &Nonce) -> Vec<(&'static str, Script)> {
        let arm = self.arm_script(nonce);
        let armed: Transaction<Armed> = self.into_state();
        let stage = armed.stage_script(nonce, &[]);
        let staged: Transaction<Staged> = armed.into_state();
        let switch = staged.switch_script(nonce);
        let verified: Transaction<Verified> = staged.into_state();
        vec![("arm", arm), ("stage", stage), ("switch", switch), ("confirm", verified.confirm_script(nonce))]
    }

    /// The rollback is armed, if the host says so.
    pub fn armed(mut self, nonce: &Nonce, output: &Output) -> Result<Transaction<Armed>, Refused> {
        let replies = Replies::read(output, nonce);
        let words = replies.expect("armed", &self.id)?;
        self.boot = words.first().and_then(|boot| boot.parse().ok());
        if self.boot.is_none() {
            return Err(Refused::garbled("the boot id is missing"));
        }
        Ok(self.into_state())
    }
}

impl Transaction<Armed> {
    /// Makes accounts, stages files beside their targets, and validates; then asks `staged` of the tree as it would be.
    pub fn stage_script(&self, nonce: &Nonce, staged: &[Question]) -> Script {
        scripts::stage(self, nonce, staged)
    }

    /// Everything is staged and passed the host's own checks, if the host says so. The staged questions are judged by
    /// the caller.
    pub fn staged(
        self,
        nonce: &Nonce,
        output: &Output,
    ) -> Result<Transaction<Staged>, (Transaction<Armed>, Refused)> {
        match Replies::read(output, nonce).expect("staged", &self.id) {
            Ok(_) => Ok(self.into_state()),
            Err(refused) => Err((self, refused)),
        }
    }
}

impl Transaction<Staged> {
    /// Makes the changes live: services, sudo, users and keys, sshd, the firewall last.
    pub fn switch_script(&self, nonce: &Nonce) -> Script {
        scripts::switch(self, nonce)
    }

    /// The changes are live, if the host says so.
    pub fn switched(
        self,
        nonce: &Nonce,
        output: &Output,
    ) -> Result<Transaction<Switched>, (Transaction<Staged>, Refused)> {
        match Replies::read(output, nonce).expect("switched", &self.id) {
            Ok(_) => Ok(self.into_state()),
            Err(refused) => Err((self, refused)),
        }
    }
}

impl Transaction<Switched> {
    /// Verified: over a *new* connection the host named this transaction as pending, in the same boot, and what was
    /// changed was judged as planned. The caller brings what it saw.
    pub fn verified(self, seen: &Seen) -> Result<Transaction<Verified>, (Transaction<Switched>, Refused)> {
        if seen.pending.as_ref() != Some(&self.id) {
            return Err((self, Refused::unverified("the host no longer names this transaction as pending")));
        }
        if seen.boot.is_none() || seen.boot != self.boot {
            return Err((self, Refused::unverified("the host was rebooted in the middle")));
        }
        if let Some(first) = seen.failures.first() {
            let refused = Refused::unverified(first.clone());
            return Err((self, refused));
        }
        Ok(self.into_state())
    }
}

/// What a new connection saw of a switched transaction.
#[derive(Debug, Clone)]
pub struct Seen {
    /// The transaction that the host names as pending.
    pub pending: Option<TxId>,
    /// The boot that the host is in, where it said so.
    pub boot: Option<BootId>,
    /// What is not as planned; empty is good.
    pub failures: Vec<String>,
}

impl Transaction<Verified> {
    /// The commit, over the connection that verified. Refused by the host where too little of the rollback's time is
    /// left: min(10 s, a quarter of the timeout).
    pub fn confirm_script(&self, nonce: &Nonce) -> Script {
        scripts::confirm(self, nonce)
    }

    /// Committed, if the host says so.
    pub fn confirmed(&self, nonce: &Nonce, output: &Output) -> Result<(), Refused> {
        Replies::read(output, nonce).expect("confirmed", &self.id).map(|_| ())
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

    fn into_state<Next>(self) -> Transaction<Next> {
        let Self { id, operator, phase, changes, timeout, boot, state: _ } = self;
        Transaction { id, operator, phase, changes, timeout, boot, state: std::marker::PhantomData }
    }
}

/// Seconds that must remain when a transaction is confirmed.
fn margin(timeout: Duration) -> u64 {
    (timeout.as_secs() / 4).min(10)
}

/// Safest first: inert files, units, sudo, keys, sshd, and the firewall last.
fn rank(change: &Change) -> u8 {
    match change {
        Change::Account { .. } | Change::Package { .. } => 0,
        Change::File { path, .. } if is_unit_file(path) => 2,
        Change::Unit { unit, .. } if unit.as_str() == "palisade-firewall.service" => 9,
        Change::Unit { .. } => 3,
        Change::File { path, .. } if path.as_str().starts_with("/etc/sudoers") => 4,
        Change::File { path, .. } if is_sshd_config(path) => 6,
        Change::File { path, .. } if path.is_below("/etc/ssh") || path.as_str().contains("/.ssh/") => 5,
        Change::File { .. } => 1,
        Change::Ruleset { .. } => 8,
    }
}

fn is_unit_file(path: &RemotePath) -> bool {
    path.is_below("/etc/systemd/system")
}

fn is_sshd_config(path: &RemotePath) -> bool {
    path.as_str() == "/etc/ssh/sshd_config" || path.is_below("/etc/ssh/sshd_config.d")
}
