//! What is to be done with each host that was looked at: by its plan, and by a plan that somebody approved.

use crate::domain::{RemotePath, SecretName};
use crate::plan::{HostPlan, Plan};
use crate::record::{HostResult, HostState};
use crate::resource::{Change, SecretFile, Step};

/// What is to be done with a host that was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Nothing.
    Nothing,
    /// It is changed.
    Change,
    /// It is refused: something stands in the way of all of it.
    Refuse,
}

impl Next {
    /// By its plan, where it answered.
    pub fn of(looked: &HostResult) -> Self {
        match &looked.plan {
            Some(plan) if looked.state == HostState::Answered => {
                if plan.is_stuck() {
                    Next::Refuse
                } else if looked.calls_for_work() {
                    Next::Change
                } else {
                    Next::Nothing
                }
            }
            _ => Next::Nothing,
        }
    }
}

/// A host whose plan is not the approved one is refused.
pub fn hold_to(approved: &Plan, results: &mut [HostResult]) {
    for result in results.iter_mut().filter(|result| result.state == HostState::Answered) {
        let wanted = approved.hosts.iter().find(|plan| plan.host == result.host);
        let found = result.plan.as_ref();
        // Applied already, or nothing left of it: an empty plan is no contradiction.
        let same = wanted.zip(found).is_some_and(|(wanted, found)| wanted.does_the_same(found));
        if same || found.is_some_and(HostPlan::is_empty) {
            continue;
        }
        let other = wanted.zip(found).and_then(|(wanted, found)| other_secret(wanted, found));
        let reason = match (wanted, other) {
            (_, Some(name)) => format!(
                "the secret {name} is not the one that the plan saw, or the plan was made by another user or on another \
                 machine; make a new plan"
            ),
            (Some(_), None) => "the host is no longer as the plan saw it; make a new plan".to_owned(),
            (None, None) => "the plan does not name this host".to_owned(),
        };
        result.state = HostState::Refused { reason, holder: None };
    }
}

/// A secret that is another one now than the plan was made for.
fn other_secret<'p>(wanted: &'p HostPlan, found: &HostPlan) -> Option<&'p SecretName> {
    let is_other = |step: &Step, there: &RemotePath, planned: &SecretFile| match &step.change {
        Change::Secret { path, after, .. } => path == there && after.mac != planned.mac,
        _ => false,
    };
    wanted.steps.iter().find_map(|step| match &step.change {
        Change::Secret { path, name, after, .. } => {
            found.steps.iter().any(|step| is_other(step, path, after)).then_some(name)
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::domain::{Digest, Environment};
    use crate::plan::Obstacle;
    use crate::record::Cost;
    use crate::resource::Phase;

    fn plan(ports: &[u16]) -> HostPlan {
        let step = |port: &u16| Step {
            phase: Phase::Narrow,
            summary: port.to_string(),
            change: Change::Ruleset { before: None, load: port.to_string() },
            cuts: Vec::new(),
        };
        HostPlan {
            host: "web-1".parse().unwrap(),
            machine_id: "0123456789abcdef0123456789abcdef".parse().unwrap(),
            desired: Digest::of(b"desired"),
            steps: ports.iter().map(step).collect(),
            cuts: Vec::new(),
            closes: Vec::new(),
            obstacles: Vec::new(),
            blocked: Vec::new(),
        }
    }

    fn looked(plan: Option<HostPlan>) -> HostResult {
        HostResult {
            host: "web-1".parse().unwrap(),
            state: HostState::Answered,
            controls: Vec::new(),
            waivers: Vec::new(),
            facts: None,
            judged: Vec::new(),
            plan,
            ended: Vec::new(),
            raw: Vec::new(),
            cost: Cost::default(),
            milliseconds: 0,
            at: Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn a_host_is_changed_where_its_plan_has_steps_and_refused_where_nothing_of_it_can_be_done() {
        let unread = Obstacle::Unread { resource: "sshd".to_owned(), reason: "x".to_owned() };
        let with = |ports: &[u16]| HostPlan { obstacles: vec![unread.clone()], ..plan(ports) };
        assert_eq!(Next::of(&looked(None)), Next::Nothing);
        assert_eq!(Next::of(&looked(Some(plan(&[])))), Next::Nothing);
        assert_eq!(Next::of(&looked(Some(plan(&[22])))), Next::Change);
        assert_eq!(Next::of(&looked(Some(with(&[22])))), Next::Change);
        assert_eq!(Next::of(&looked(Some(with(&[])))), Next::Refuse);
        let gone = HostState::Unreachable { reason: "x".to_owned() };
        assert_eq!(Next::of(&HostResult { state: gone, ..looked(Some(plan(&[22]))) }), Next::Nothing);
    }

    #[test]
    fn a_host_that_is_not_as_the_approved_plan_saw_it_is_refused() {
        let held = |approved: Vec<HostPlan>, found: HostPlan| {
            let now = Timestamp::UNIX_EPOCH;
            let approved = Plan::new("1", Environment::Prod, now, Digest::of(b""), approved);
            let mut results = [looked(Some(found))];
            hold_to(&approved, &mut results);
            results[0].state.word()
        };
        assert_eq!(held(vec![plan(&[22])], plan(&[22])), "answered");
        assert_eq!(held(vec![plan(&[22])], plan(&[])), "answered", "applied already");
        assert_eq!(held(vec![plan(&[22])], plan(&[23])), "refused");
        assert_eq!(held(vec![], plan(&[22])), "refused", "the plan does not name it");
    }
}
