//! What must hold before anything on a host is touched: that it is the one that was planned for, that nobody else works
//! on it, that it would let us in again, and that it is in order.

use jiff::Timestamp;

use crate::domain::{Cidr, Environment, Identifier, MachineId, TxId};
use crate::enrolment::identity_mismatch;
use crate::plan::HostPlan;
use crate::probe::Facts;
use crate::record::HostState;
use crate::shell::{self, Script};

/// What stays free on / and on /var for a change: files are written beside their targets, and journals. 20 MiB.
const LEAST_FREE_KILOBYTES: u64 = 20 << 10;

/// Inodes that stay free there.
const LEAST_FREE_INODES: u64 = 500;

/// What a host has to be.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// The machine that was enrolled under its name; none where it was not.
    pub machine_id: Option<&'a MachineId>,
    /// Where it belongs.
    pub environment: Environment,
    /// From where it may be managed.
    pub management: &'a [Cidr],
}

/// Why `run` may not begin on a host that says this of itself; none where nobody else is at work there.
pub fn held(facts: &Facts, run: &Identifier, now: Timestamp) -> Option<HostState> {
    let holder = facts.holder(run.as_str())?;
    Some(HostState::Refused { reason: holder.told(now), holder: Some(holder) })
}

/// What preflight's facts amount to.
pub enum Preflight {
    /// Nothing stands in the way.
    Clear,
    /// Something does.
    Refused(HostState),
    /// A change stands there whose time is over: its timer was taken away.
    Overdue(TxId),
}

/// Whether a change may begin on a host that says `facts` of itself; `run` is the one that would change it.
pub fn judge(
    expected: Expected<'_>,
    plan: &HostPlan,
    facts: &Facts,
    run: &Identifier,
    now: Timestamp,
) -> Preflight {
    let refused = |reason: String| Preflight::Refused(HostState::Refused { reason, holder: None });
    if let Some(reason) = stranger(expected, plan, facts) {
        return refused(reason);
    }
    if let Some(state) = held(facts, run, now) {
        return Preflight::Refused(state);
    }
    // Pending, and yet nobody's: its time is over.
    if let Some(tx) = &facts.pending {
        return Preflight::Overdue(tx.clone());
    }
    match unfit(expected, facts) {
        Some(reason) => refused(reason),
        None => Preflight::Clear,
    }
}

fn stranger(expected: Expected<'_>, plan: &HostPlan, facts: &Facts) -> Option<String> {
    if let Some(reason) = identity_mismatch(expected.machine_id, expected.environment, facts) {
        return Some(reason);
    }
    (facts.machine_id != plan.machine_id)
        .then(|| "another machine answers than the one that was planned for".to_owned())
}

/// What of the host itself stands in the way of any change.
fn unfit(expected: Expected<'_>, facts: &Facts) -> Option<String> {
    if !facts.recovery {
        return Some("its recovery unit is not enabled; enrol the host again".to_owned());
    }
    match facts.from {
        None => return Some("the host does not say from where it sees this connection come".to_owned()),
        Some(from) if !expected.management.iter().any(|source| source.contains(from)) => {
            return Some(format!(
                "the host sees this connection come from {from}, which is no management source; applying would lock \
                 you out (declare it under networks.admin, or come from a declared address)"
            ));
        }
        Some(_) => {}
    }
    if let Some(point) = facts.read_only.first() {
        return Some(format!("{point} is mounted read-only"));
    }
    if facts.free_kilobytes.iter().any(|free| *free < LEAST_FREE_KILOBYTES) {
        return Some(format!("less than {} MiB are free on / or /var", LEAST_FREE_KILOBYTES >> 10));
    }
    if facts.free_inodes.iter().any(|free| *free < LEAST_FREE_INODES) {
        return Some(format!("fewer than {LEAST_FREE_INODES} inodes are free on / or /var"));
    }
    if !facts.dpkg_audit.is_empty() {
        return Some(format!("dpkg --audit says: {}", facts.dpkg_audit));
    }
    None
}

/// Asks whether sshd runs, takes its configuration, and whether palisade's folder can be written.
pub fn question() -> shell::Question {
    let body = Script::new().text(
        "printf 'ssh %s %s\\n' \"$(systemctl is-active ssh.service)\" \"$(systemctl is-active ssh.socket)\"\n\
         if said=$(/usr/sbin/sshd -t 2>&1); then echo 'sshd-t ok'; else printf 'sshd-t %s\\n' \"$said\"; fi\n\
         probe=$(mktemp /var/lib/palisade/.writable-XXXXXX) && rm \"$probe\" && echo 'writable yes'",
    );
    shell::Question { label: "preflight", body: body.into(), seconds: 20, cap: 64 << 10 }
}

/// Why the answer to [`question`] stands in the way; none where it does not.
pub fn checks(frame: &Result<shell::Frame, shell::FrameError>) -> Option<String> {
    let frame = match frame {
        Ok(frame) => frame,
        Err(error) => return Some(error.to_string()),
    };
    let text = String::from_utf8_lossy(&frame.stdout);
    let line = |name: &str| text.lines().find_map(|line| line.strip_prefix(name));
    match line("ssh ") {
        Some(states) if states.split(' ').any(|state| state == "active") => {}
        _ => return Some("neither ssh.service nor ssh.socket is active there".to_owned()),
    }
    match line("sshd-t ") {
        Some("ok") => {}
        Some(said) => {
            return Some(format!(
                "sshd -t refuses the present configuration: {}",
                crate::text::excerpt(said, 200)
            ));
        }
        None => return Some("sshd -t gave no answer".to_owned()),
    }
    (line("writable ") != Some("yes")).then(|| "/var/lib/palisade cannot be written".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Digest;

    const MACHINE: &str = "0123456789abcdef0123456789abcdef";
    const TX: &str = "20261128t220000123z-1a2b3c4d";

    fn facts() -> Facts {
        Facts {
            machine_id: MACHINE.parse().unwrap(),
            boot_id: "7de1efa4-ea2f-4175-bcf4-e39e0bce8ea0".parse().unwrap(),
            distribution: "debian-13".to_owned(),
            environment: Some(Environment::Prod),
            from: "198.51.100.10".parse().ok(),
            uid: 0,
            pending: None,
            pending_seconds: None,
            pending_watched: false,
            lease: None,
            installing: None,
            recovery: true,
            free_kilobytes: vec![LEAST_FREE_KILOBYTES, LEAST_FREE_KILOBYTES],
            free_inodes: vec![LEAST_FREE_INODES, LEAST_FREE_INODES],
            read_only: Vec::new(),
            dpkg_audit: String::new(),
        }
    }

    /// `clear`, `overdue`, or why it is refused.
    fn said(facts: &Facts) -> String {
        let enrolled: MachineId = MACHINE.parse().unwrap();
        let management = ["198.51.100.10".parse().unwrap()];
        let expected =
            Expected { machine_id: Some(&enrolled), environment: Environment::Prod, management: &management };
        let plan = HostPlan {
            host: "web-1".parse().unwrap(),
            machine_id: enrolled.clone(),
            desired: Digest::of(b"desired"),
            steps: Vec::new(),
            cuts: Vec::new(),
            closes: Vec::new(),
            obstacles: Vec::new(),
            blocked: Vec::new(),
        };
        let run = "20261128t220000123z-00000001".parse().unwrap();
        match judge(expected, &plan, facts, &run, Timestamp::UNIX_EPOCH) {
            Preflight::Clear => "clear".to_owned(),
            Preflight::Overdue(_) => "overdue".to_owned(),
            Preflight::Refused(HostState::Refused { reason, .. }) => reason,
            Preflight::Refused(other) => other.word().to_owned(),
        }
    }

    #[test]
    fn a_host_in_order_is_changed_and_one_that_is_not_says_why() {
        assert_eq!(said(&facts()), "clear");
        let full = Facts { free_kilobytes: vec![1 << 20, LEAST_FREE_KILOBYTES - 1], ..facts() };
        assert_eq!(said(&full), "less than 20 MiB are free on / or /var");
        let crowded = Facts { free_inodes: vec![LEAST_FREE_INODES - 1], ..facts() };
        assert_eq!(said(&crowded), "fewer than 500 inodes are free on / or /var");
        let uncounted = Facts { free_inodes: Vec::new(), ..facts() };
        assert_eq!(said(&uncounted), "clear", "a file system that counts no inodes");
        let fixed = Facts { read_only: vec!["/etc".to_owned()], ..facts() };
        assert_eq!(said(&fixed), "/etc is mounted read-only");
        let broken = Facts { dpkg_audit: "nginx".to_owned(), ..facts() };
        assert_eq!(said(&broken), "dpkg --audit says: nginx");
        assert!(said(&Facts { recovery: false, ..facts() }).contains("enrol the host again"));
    }

    #[test]
    fn whoever_would_lock_themselves_out_is_refused() {
        let elsewhere = Facts { from: "203.0.113.7".parse().ok(), ..facts() };
        assert!(said(&elsewhere).contains("203.0.113.7, which is no management source"));
        assert!(said(&Facts { from: None, ..facts() }).contains("does not say"));
    }

    #[test]
    fn another_machine_is_refused_before_anything_else() {
        let other = "f".repeat(32).parse().unwrap();
        let full = Facts { machine_id: other, free_kilobytes: vec![0], ..facts() };
        assert!(said(&full).starts_with("it answers as another machine"));
        let moved = Facts { environment: Some(Environment::Dev), ..facts() };
        assert_eq!(said(&moved), "it is marked as a dev machine, not prod");
    }

    #[test]
    fn a_pending_change_holds_the_host_until_its_time_is_over() {
        let pending = |left| Facts { pending: TX.parse().ok(), pending_seconds: Some(left), ..facts() };
        assert!(said(&pending(20)) != "clear" && said(&pending(20)) != "overdue");
        assert_eq!(said(&pending(-3600)), "overdue");
    }
}
