//! From a phase's changes to the scripts that make them on one host so that they can be taken back: journal, arm,
//! stage, validate, switch, confirm, roll back.
//!
//! The order is in the types: a [`Transaction`] is `Prepared`, then `Armed`, `Staged`, `Switched`, `Verified`, and
//! only a `Verified` one can make the script that confirms. Each transition takes what the host answered. Nothing
//! here connects; `fleet` runs the scripts.

mod ended;
mod reply;
mod scripts;
mod state;

pub use ended::Ended;
pub use reply::{Outcome, Refused, Replies};
pub use scripts::{
    RECOVER_SCRIPT, RECOVER_UNIT, outcome, release, roll_back, roll_back_and_outcome, settle,
    staged_question, take_lease, unlock,
};

pub use state::{Armed, Ending, Operator, PROTOCOL, Prepared, Staged, Switched, Transaction, Verified};

use crate::domain::{BootId, TxId};
use crate::shell::{Nonce, Output, Question, Script};

impl Transaction<Prepared> {
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
        vec![
            ("arm", arm),
            ("stage", stage),
            ("switch", switch),
            ("confirm", verified.confirm_script(Ending::default(), nonce)),
        ]
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
    ) -> Result<Transaction<Staged>, (Box<Transaction<Armed>>, Refused)> {
        match Replies::read(output, nonce).expect("staged", &self.id) {
            Ok(_) => Ok(self.into_state()),
            Err(refused) => Err((Box::new(self), refused)),
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
    ) -> Result<Transaction<Switched>, (Box<Transaction<Staged>>, Refused)> {
        match Replies::read(output, nonce).expect("switched", &self.id) {
            Ok(_) => Ok(self.into_state()),
            Err(refused) => Err((Box::new(self), refused)),
        }
    }
}

impl Transaction<Switched> {
    /// Verified: over a *new* connection the host named this transaction as pending, in the same boot, and what was
    /// changed was judged as planned. The caller brings what it saw.
    pub fn verified(
        self,
        seen: &Seen,
    ) -> Result<Transaction<Verified>, (Box<Transaction<Switched>>, Refused)> {
        if seen.pending.as_ref() != Some(&self.id) {
            return Err((
                Box::new(self),
                Refused::unverified("the host no longer names this transaction as pending"),
            ));
        }
        if seen.boot.is_none() || seen.boot != self.boot {
            return Err((Box::new(self), Refused::unverified("the host was rebooted in the middle")));
        }
        if let Some(first) = seen.failures.first() {
            let refused = Refused::unverified(first.clone());
            return Err((Box::new(self), refused));
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
    /// What it takes access away from ends with it, as `ending` says.
    pub fn confirm_script(&self, ending: Ending<'_>, nonce: &Nonce) -> Script {
        scripts::confirm(self, ending, nonce)
    }

    /// Committed, if the host says so; and what ended with it, of `ending`.
    pub fn confirmed(
        &self,
        ending: Ending<'_>,
        nonce: &Nonce,
        output: &Output,
    ) -> Result<Vec<Ended>, Refused> {
        let replies = Replies::read(output, nonce);
        let _ = replies.expect("confirmed", &self.id)?;
        let cut = self.closed_ports(ending).iter().filter_map(|port| {
            let words = replies.words("cut", &port.to_string())?;
            let [ended, left] = words.as_slice() else { return None };
            Some(Ended::Connections { port: *port, ended: ended.parse().ok()?, left: left.parse().ok()? })
        });
        let cut: Vec<Ended> = cut.collect();
        let closed = self.closed();
        let gone = closed.filter_map(|user| Ended::read(user, &replies.words("ended", user.as_str())?));
        Ok(gone.chain(cut).collect())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::domain::{GroupName, Mode, UserName};
    use crate::resource::{Change, FileContent, FileState, Phase, Step, UnitState};
    use crate::shell::Exit;

    fn nonce() -> Nonce {
        Nonce::new([0xab; 16])
    }

    fn answer(text: &str) -> Output {
        let stdout = text.replace("NONCE", nonce().as_str()).into_bytes();
        Output { exit: Exit::Status(0), stdout, stderr: Vec::new() }
    }

    fn step(change: Change) -> Step {
        Step { phase: Phase::Narrow, summary: String::new(), change, cuts: Vec::new() }
    }

    fn file(path: &str) -> Step {
        let content = FileContent {
            content: "x\n".to_owned(),
            mode: Mode::PUBLIC,
            owner: UserName::root(),
            group: GroupName::root(),
        };
        let (before, after) = (FileState::Absent, FileState::Present(content));
        step(Change::File { path: path.parse().unwrap(), before, after })
    }

    fn prepared(steps: &[Step]) -> Transaction<Prepared> {
        let operator = Operator {
            run: "20261128t220000123z-00000001".parse().unwrap(),
            who: "alice".parse().unwrap(),
            from: "laptop".to_owned(),
        };
        let id = "20261128t220000123z-1a2b3c4d".parse().unwrap();
        Transaction::prepare(id, operator, Phase::Narrow, steps, Duration::from_mins(3))
    }

    const ID: &str = "20261128t220000123z-1a2b3c4d";
    const BOOT: &str = "7de1efa4-ea2f-4175-bcf4-e39e0bce8ea0";

    #[test]
    fn the_firewall_comes_last_and_sshd_is_reloaded_before_it() {
        let unit = |name: &str| {
            let state =
                |enabled: &str| UnitState { enabled: enabled.to_owned(), active: "inactive".to_owned() };
            step(Change::Unit {
                unit: name.parse().unwrap(),
                before: state("disabled"),
                after: state("enabled"),
            })
        };
        let steps = [
            step(Change::Ruleset { before: None, load: "table inet palisade {}".to_owned() }),
            unit("palisade-firewall.service"),
            file("/etc/ssh/sshd_config.d/00-palisade.conf"),
            file("/etc/systemd/system/palisade-firewall.service"),
            file("/etc/ssh/authorized_keys.d/alice"),
            file("/etc/sudoers.d/palisade"),
            step(Change::Account {
                action: crate::resource::AccountAction::Close { user: "debian".parse().unwrap() },
            }),
        ];
        let scripts = prepared(&steps).preview(&nonce());
        let switch = &scripts.iter().find(|(name, _)| *name == "switch").unwrap().1;
        let calls: Vec<&str> = switch
            .body()
            .lines()
            .skip_while(|line| *line != "palisade_switch_begin")
            .map(|line| line.split(" '").next().unwrap_or(line))
            .collect();
        assert_eq!(
            calls,
            [
                "palisade_switch_begin",
                "palisade_switch_file",
                "palisade_switch_reload_units",
                "palisade_switch_file",
                "palisade_switch_file",
                "palisade_switch_file",
                "palisade_switch_sshd",
                "palisade_switch_ruleset",
                "palisade_switch_unit",
                "palisade_switch_end",
            ]
        );
    }

    #[test]
    fn an_answer_counts_only_with_this_scripts_nonce_and_this_transactions_id() {
        let armed = |text: String| {
            prepared(&[]).armed(&nonce(), &answer(&text)).map(|_| ()).map_err(|refused| refused.code)
        };
        assert_eq!(armed(format!("motd\nNONCE armed {ID} {BOOT}\n")), Ok(()));
        assert_eq!(armed(format!("armed {ID} {BOOT}\n")), Err("garbled".to_owned()));
        assert_eq!(armed(format!("NONCE armed other {BOOT}\n")), Err("garbled".to_owned()));
        assert_eq!(armed(format!("NONCE armed {ID} no-boot-id\n")), Err("garbled".to_owned()));
        assert_eq!(
            armed(format!("NONCE refused leased x\nNONCE armed {ID} {BOOT}\n")),
            Err("leased".to_owned())
        );
    }

    #[test]
    fn who_holds_a_host_is_told() {
        let text = "NONCE holder run-1 42 2026-11-28T22:00:00Z bob from ci-runner\nNONCE refused leased another run\n";
        let refused = prepared(&[]).armed(&nonce(), &answer(text)).unwrap_err();
        let holder = refused.holder.clone().unwrap();
        assert_eq!(
            (holder.who.as_str(), holder.from.as_str(), holder.seconds_left),
            ("bob", "ci-runner", 42)
        );
        assert!(refused.is_gate());
    }

    #[test]
    fn nothing_is_verified_in_another_boot_or_after_the_host_went_back() {
        let switched = || {
            let armed =
                prepared(&[]).armed(&nonce(), &answer(&format!("NONCE armed {ID} {BOOT}\n"))).unwrap();
            let staged =
                armed.staged(&nonce(), &answer(&format!("NONCE staged {ID}\n"))).map_err(|_| ()).unwrap();
            staged.switched(&nonce(), &answer(&format!("NONCE switched {ID}\n"))).map_err(|_| ()).unwrap()
        };
        let seen = |pending: &str, boot: &str| Seen {
            pending: pending.parse().ok(),
            boot: boot.parse().ok(),
            failures: Vec::new(),
        };
        let other_boot = "00000000-ea2f-4175-bcf4-e39e0bce8ea0";
        assert!(switched().verified(&seen(ID, BOOT)).is_ok());
        assert!(switched().verified(&seen("", BOOT)).is_err());
        assert!(switched().verified(&seen("20261128t220000123z-ffffffff", BOOT)).is_err());
        assert!(switched().verified(&seen(ID, other_boot)).is_err());
        assert!(switched().verified(&seen(ID, "")).is_err());
        let failing = Seen { failures: vec!["sshd".to_owned()], ..seen(ID, BOOT) };
        assert!(switched().verified(&failing).is_err());
    }
}
