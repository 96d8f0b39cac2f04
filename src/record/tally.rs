//! The counts of a run, made while its hosts pass by one after the other, and the exit code that follows from them. It
//! keeps names of hosts that need somebody, and nothing else of a host.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{EnrolState, Enrolled, HostEntry, HostResult, HostState};
use crate::domain::HostName;
use crate::plan::Obstacle;
use crate::resource::Verdict;

/// Counts with which every report of an audit, a plan and a change begins. `total` is hosts × controls; `evaluated` are
/// those with a verdict that says something: compliant, drift, or drift that is waived.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, schemars::JsonSchema, Deserialize)]
pub struct Summary {
    /// Number of hosts that were selected.
    pub hosts: usize,
    /// Number of verdicts that were asked for.
    pub total: usize,
    /// Number of verdicts that were evaluated.
    pub evaluated: usize,
    /// Number of compliant verdicts.
    pub compliant: usize,
    /// Number of verdicts that found drift.
    pub drift: usize,
    /// Number of verdicts without an answer.
    pub unknown: usize,
    /// Number of verdicts of controls that do not apply.
    pub not_applicable: usize,
    /// Number of verdicts of drift that is accepted until a day.
    pub waived: usize,
}

/// Counts of an enrolment, by the state of hosts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, schemars::JsonSchema, Deserialize)]
pub struct EnrolSummary {
    /// Number of hosts that were selected.
    pub hosts: usize,
    /// Number of hosts that were enrolled.
    pub enrolled: usize,
    /// Number of hosts that were enrolled before.
    pub unchanged: usize,
    /// Number of hosts that were not reached.
    pub unreachable: usize,
    /// Number of hosts that may not be enrolled.
    pub refused: usize,
    /// Number of hosts that failed.
    pub failed: usize,
}

/// The counts of a run and the hosts that need somebody.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// Counts of verdicts.
    pub summary: Summary,
    /// Counts of an enrolment.
    pub enrolment: EnrolSummary,
    /// Hosts that failed, and of which it is not known what they hold.
    pub lost: Vec<HostName>,
    /// Hosts that took their change back.
    pub rolled_back: Vec<HostName>,
    /// Hosts that were not reached.
    pub unreachable: Vec<HostName>,
    /// Hosts whose turn did not come.
    pub not_started: Vec<HostName>,
    seen: BTreeSet<Seen>,
}

/// Something that at least one host of a run is or has, and that bears on the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Seen {
    /// It failed.
    Failed,
    /// A gate refused it.
    Refused,
    /// It could not be changed, since something could not be read.
    Incomplete,
    /// It did not come to its end, however it ended.
    Undone,
    /// It has a plan with steps.
    Changes,
    /// Something stands in the way of its plan.
    Obstructed,
}

impl Tally {
    /// Of these hosts.
    pub fn of<'a>(hosts: impl IntoIterator<Item = HostEntry<'a>>) -> Self {
        let mut tally = Self::default();
        hosts.into_iter().for_each(|host| tally.add(host));
        tally
    }

    /// One more host.
    pub fn add(&mut self, host: HostEntry<'_>) {
        match host {
            HostEntry::Judged(result) | HostEntry::Installed(result, _) => self.result(result),
            HostEntry::Enrolled(enrolled) => self.enrolled(enrolled),
        }
    }

    /// All hosts of another one.
    pub fn join(&mut self, other: Self) {
        let (mine, theirs) = (&mut self.summary, other.summary);
        mine.hosts += theirs.hosts;
        mine.total += theirs.total;
        mine.evaluated += theirs.evaluated;
        mine.compliant += theirs.compliant;
        mine.drift += theirs.drift;
        mine.unknown += theirs.unknown;
        mine.not_applicable += theirs.not_applicable;
        mine.waived += theirs.waived;
        let (mine, theirs) = (&mut self.enrolment, other.enrolment);
        mine.hosts += theirs.hosts;
        mine.enrolled += theirs.enrolled;
        mine.unchanged += theirs.unchanged;
        mine.unreachable += theirs.unreachable;
        mine.refused += theirs.refused;
        mine.failed += theirs.failed;
        self.lost.extend(other.lost);
        self.rolled_back.extend(other.rolled_back);
        self.unreachable.extend(other.unreachable);
        self.not_started.extend(other.not_started);
        self.seen.extend(other.seen);
    }

    fn result(&mut self, result: &HostResult) {
        let host = || result.host.clone();
        match &result.state {
            HostState::Answered | HostState::Changed => {}
            HostState::Failed { holds, .. } => {
                self.seen.insert(Seen::Failed);
                self.lost.extend(holds.is_none().then(host));
            }
            HostState::RolledBack { .. } => self.rolled_back.push(host()),
            HostState::Refused { .. } => self.seen.extend([Seen::Refused]),
            HostState::Unreachable { .. } => self.unreachable.push(host()),
            HostState::Incomplete { .. } => self.seen.extend([Seen::Incomplete]),
            HostState::NotStarted { .. } => self.not_started.push(host()),
        }
        if !matches!(result.state, HostState::Answered | HostState::Changed) {
            self.seen.insert(Seen::Undone);
        }
        if let Some(plan) = &result.plan {
            let stands = |obstacle: &Obstacle| !matches!(obstacle, Obstacle::Unread { .. });
            self.seen.extend((!plan.is_empty()).then_some(Seen::Changes));
            self.seen.extend(plan.obstacles.iter().any(stands).then_some(Seen::Obstructed));
        }
        let summary = &mut self.summary;
        summary.hosts += 1;
        for (_, verdict) in result.verdicts() {
            summary.total += 1;
            match verdict {
                Verdict::Compliant { .. } => summary.compliant += 1,
                Verdict::Drift { .. } => summary.drift += 1,
                Verdict::Unknown { .. } => summary.unknown += 1,
                Verdict::NotApplicable { .. } => summary.not_applicable += 1,
                Verdict::Waived { .. } => summary.waived += 1,
            }
        }
        summary.evaluated = summary.compliant + summary.drift + summary.waived;
    }

    fn enrolled(&mut self, enrolled: &Enrolled) {
        let summary = &mut self.enrolment;
        summary.hosts += 1;
        match enrolled.state {
            EnrolState::Enrolled => summary.enrolled += 1,
            EnrolState::Unchanged => summary.unchanged += 1,
            EnrolState::Unreachable { .. } => summary.unreachable += 1,
            EnrolState::Refused { .. } => summary.refused += 1,
            EnrolState::Failed { .. } => summary.failed += 1,
        }
    }

    /// The exit code of a run of `verb` that ended so: the first of 1, 5, 6, 4, 3 that holds, else 0. One that was
    /// interrupted failed, unless every host was done already.
    pub fn exit(&self, verb: &str, interrupted: bool) -> u8 {
        let (summary, enrolment) = (&self.summary, &self.enrolment);
        let seen = |what: Seen| self.seen.contains(&what);
        let plans = verb == "plan";
        // What is declared is not what a release is about: what it made worse is a failure of the host's.
        let judges = verb != "patch";
        match () {
            () if interrupted && seen(Seen::Undone) || seen(Seen::Failed) || enrolment.failed > 0 => 1,
            () if !self.rolled_back.is_empty() => 5,
            () if seen(Seen::Refused) || enrolment.refused > 0 || plans && seen(Seen::Obstructed) => 6,
            () if seen(Seen::Incomplete) || !self.unreachable.is_empty() || !self.not_started.is_empty() => 4,
            () if enrolment.unreachable > 0 || judges && summary.unknown > 0 => 4,
            () if judges && summary.drift > 0 || plans && seen(Seen::Changes) => 3,
            () => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Cost;

    fn enrolled(state: EnrolState) -> Enrolled {
        Enrolled {
            host: "web-1".parse().unwrap(),
            address: "192.0.2.1".parse().ok(),
            state,
            fingerprint: None,
            machine_id: None,
            distribution: None,
            changes: Vec::new(),
            rollback_milliseconds: None,
            cost: Cost::default(),
            milliseconds: 6000,
        }
    }

    #[test]
    fn the_counts_of_shards_are_those_of_the_whole() {
        let state = |number: usize| match number % 3 {
            0 => EnrolState::Enrolled,
            1 => EnrolState::Unreachable { reason: "x".to_owned() },
            _ => EnrolState::Failed { reason: "x".to_owned() },
        };
        let hosts: Vec<Enrolled> = (0..7).map(|number| enrolled(state(number))).collect();
        let of = |hosts: &[Enrolled]| Tally::of(hosts.iter().map(HostEntry::Enrolled));
        let mut joined = of(&hosts[..2]);
        joined.join(of(&hosts[2..]));
        assert_eq!(joined, of(&hosts));
    }

    #[test]
    fn the_worst_host_of_an_enrolment_decides_the_exit_code() {
        let exit = |states: &[EnrolState]| {
            let hosts: Vec<Enrolled> = states.iter().cloned().map(enrolled).collect();
            Tally::of(hosts.iter().map(HostEntry::Enrolled)).exit("enrol", false)
        };
        let unreachable = || EnrolState::Unreachable { reason: "x".to_owned() };
        let refused = || EnrolState::Refused { reason: "x".to_owned(), hint: "y".to_owned() };
        let failed = || EnrolState::Failed { reason: "x".to_owned() };
        assert_eq!(exit(&[EnrolState::Enrolled, EnrolState::Unchanged]), 0);
        assert_eq!(exit(&[EnrolState::Enrolled, unreachable()]), 4);
        assert_eq!(exit(&[unreachable(), refused()]), 6);
        assert_eq!(exit(&[unreachable(), refused(), failed()]), 1);
    }
}
