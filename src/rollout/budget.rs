//! When a run stops: how many hosts may fail, and who may begin by how the others ended.

use std::collections::BTreeMap;

use super::order::Unit;
use crate::domain::{Environment, HostName};
use crate::record::HostState;

/// How many hosts may fail before no further one is begun, and what stops a run at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// So many may fail; unreachable and refused hosts count.
    pub max_failures: usize,
    /// Whether the first host that is taken back, or whose state is not known, stops the run whatever else may fail.
    pub stops_at_rollback: bool,
}

impl Budget {
    /// None may fail in prod. Elsewhere one in ten may, and at least one, unless `given` says otherwise; in prod what
    /// is given is for hosts that could not be changed, and a rollback stops the run all the same.
    pub fn of(environment: Environment, given: Option<usize>, hosts: usize) -> Self {
        let prod = environment == Environment::Prod;
        let usual = if prod { 0 } else { (hosts / 10).max(1) };
        Self { max_failures: given.unwrap_or(usual), stops_at_rollback: prod }
    }
}

/// Who may begin, by how the others ended.
#[derive(Debug, Clone)]
pub struct Gate {
    budget: Budget,
    failed: BTreeMap<HostName, &'static str>,
    stopped: Option<String>,
}

impl Gate {
    /// Nobody ended yet.
    pub fn new(budget: Budget) -> Self {
        Self { budget, failed: BTreeMap::new(), stopped: None }
    }

    /// `host` ended so. `canary`: it was in the first batch, all of which must end well.
    pub fn ended(&mut self, host: &HostName, state: &HostState, canary: bool) {
        let Some(how) = failure(state) else { return };
        self.failed.insert(host.clone(), how);
        let taken_back = matches!(state, HostState::RolledBack { .. } | HostState::Failed { .. });
        let why = if taken_back && self.budget.stops_at_rollback {
            format!("{host} {how}, and prod stops at the first")
        } else if self.failed.len() > self.budget.max_failures {
            let count = self.failed.len();
            let (hosts, most) = (if count == 1 { "host" } else { "hosts" }, self.budget.max_failures);
            format!("{host} {how}: {count} {hosts} failed, and --max-failures is {most}")
        } else if canary {
            format!("{host} went first and {how}")
        } else {
            return;
        };
        self.stopped.get_or_insert(why);
    }

    /// Why `unit` may not begin; none where it may.
    pub fn holds_back(&self, unit: &Unit, replicas: &[&HostName]) -> Option<String> {
        if let Some(why) = &self.stopped {
            return Some(why.clone());
        }
        let failed = |host: &HostName| self.failed.get(host).map(|how| (host.clone(), *how));
        let way =
            unit.behind.iter().find_map(failed).map(|(host, how)| format!("its jump host {host} {how}"));
        way.or_else(|| {
            let (host, how) = replicas.iter().find_map(|host| failed(host))?;
            Some(format!("its replica {host} {how}"))
        })
    }
}

/// What went wrong with a host, as the end of a sentence that begins with its name.
fn failure(state: &HostState) -> Option<&'static str> {
    match state {
        HostState::Answered | HostState::Changed | HostState::NotStarted { .. } => None,
        HostState::Unreachable { .. } => Some("could not be reached"),
        HostState::Refused { .. } => Some("was refused"),
        HostState::Incomplete { .. } => Some("could not be read"),
        HostState::RolledBack { .. } => Some("was taken back"),
        HostState::Failed { .. } => Some("failed"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Holds;
    use crate::resource::Phase;

    fn name(text: &str) -> HostName {
        text.parse().unwrap()
    }

    fn unreachable() -> HostState {
        HostState::Unreachable { reason: "no answer".to_owned() }
    }

    fn taken_back() -> HostState {
        HostState::RolledBack { phase: Phase::Widen, reason: "x".to_owned(), holds: Holds::Old }
    }

    fn gate(environment: Environment, given: Option<usize>, ends: &[(&str, HostState)]) -> Option<String> {
        let mut gate = Gate::new(Budget::of(environment, given, 5));
        for (host, state) in ends {
            gate.ended(&name(host), state, *host == "first");
        }
        let next = Unit { host: name("next"), behind: vec![name("way")], replica_of: None };
        gate.holds_back(&next, &[&name("replica")])
    }

    #[test]
    fn the_budget_counts_whatever_did_not_end_well() {
        use Environment::{Prod, Test};
        let fine = ("first", HostState::Changed);
        assert_eq!(gate(Prod, None, &[fine.clone(), ("b", HostState::Answered)]), None);
        assert_eq!(
            gate(Prod, None, &[fine.clone(), ("b", unreachable())]).unwrap(),
            "b could not be reached: 1 host failed, and --max-failures is 0"
        );
        assert_eq!(gate(Prod, Some(1), &[fine.clone(), ("b", unreachable())]), None);
        assert_eq!(
            gate(Prod, Some(9), &[fine.clone(), ("b", taken_back())]).unwrap(),
            "b was taken back, and prod stops at the first"
        );
        assert_eq!(gate(Test, None, &[fine.clone(), ("b", taken_back())]), None);
        assert_eq!(
            gate(Test, None, &[fine, ("b", taken_back()), ("c", unreachable())]).unwrap(),
            "c could not be reached: 2 hosts failed, and --max-failures is 1"
        );
        assert!(gate(Test, Some(0), &[("b", taken_back())]).is_some());
        assert_eq!(Budget::of(Test, None, 40).max_failures, 4);
    }

    #[test]
    fn a_canary_that_fails_stops_the_run_whatever_the_budget() {
        assert_eq!(
            gate(Environment::Dev, Some(9), &[("first", unreachable())]).unwrap(),
            "first went first and could not be reached"
        );
    }

    #[test]
    fn a_host_waits_for_its_way_and_its_replica_whatever_the_budget() {
        let held = |host: &str| gate(Environment::Dev, Some(9), &[(host, taken_back())]);
        assert_eq!(held("way").unwrap(), "its jump host way was taken back");
        assert_eq!(held("replica").unwrap(), "its replica replica was taken back");
        assert_eq!(held("other"), None);
    }
}
