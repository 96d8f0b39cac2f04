//! What would change on one host as a value, and whether another plan of it does the same.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::domain::{ControlId, Digest, HostName, MachineId, RemotePath};
use crate::resource::{Change, FileState, Phase, SecretState, Step, UnitState};

/// What would change on one host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema, Deserialize)]
pub struct HostPlan {
    /// The host.
    pub host: HostName,
    /// The machine that was observed.
    pub machine_id: MachineId,
    /// Digest of what is wanted of it.
    pub desired: Digest,
    /// Steps, in the order of phases.
    pub steps: Vec<Step>,
    /// Access that stops working for somebody.
    pub cuts: Vec<String>,
    /// TCP ports of undeclared listeners that the new rules no longer let in: connections that stand on them end.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub closes: Vec<u16>,
    /// Obstacles to the plan.
    pub obstacles: Vec<Obstacle>,
    /// The controls that are not enforced while it does; the steps of all others are made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blocked: Vec<ControlId>,
}

/// Why a host cannot be changed as it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema, Deserialize)]
#[serde(tag = "obstacle", rename_all = "kebab-case")]
pub enum Obstacle {
    /// Something that would be enforced could not be read.
    Unread {
        /// Name of the resource.
        resource: String,
        /// The reason.
        reason: String,
    },
    /// Something of somebody else's defeats it.
    Defeated {
        /// Other setting that defeats it, with file and line.
        what: String,
        /// Advice.
        hint: String,
    },
    /// Two resources want different things of one file.
    Conflict {
        /// The file.
        path: RemotePath,
    },
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unread { resource, reason } => write!(f, "{resource}: {reason}"),
            Self::Defeated { what, hint } => write!(f, "{what}; {hint}"),
            Self::Conflict { path } => write!(f, "two resources want different things of {path}"),
        }
    }
}

impl HostPlan {
    /// Whether anything would change.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Whether nothing of it can be done while something stands in the way: no step is left, or the playbook contradicts
    /// itself.
    pub fn is_stuck(&self) -> bool {
        let conflict = self.obstacles.iter().any(|one| matches!(one, Obstacle::Conflict { .. }));
        conflict || (self.steps.is_empty() && !self.obstacles.is_empty())
    }

    /// Whether it would do the same to the same machine. What is cut off may differ meanwhile: a process was
    /// restarted, a peer hung up.
    pub fn does_the_same(&self, other: &Self) -> bool {
        (&self.host, &self.machine_id, &self.desired, &self.steps, &self.obstacles)
            == (&other.host, &other.machine_id, &other.desired, &other.steps, &other.obstacles)
    }

    /// Whether it is what is left of `original` once a part of that was done: the same is wanted of the same machine,
    /// and every step leads where one of `original`'s leads. From where a step begins may differ: a package brought a
    /// unit, a phase was confirmed.
    pub fn continues(&self, original: &Self) -> bool {
        (&self.host, &self.machine_id, &self.desired)
            == (&original.host, &original.machine_id, &original.desired)
            && self.steps.iter().all(|step| {
                original
                    .steps
                    .iter()
                    .any(|other| other.phase == step.phase && leads_to_the_same(&other.change, &step.change))
            })
    }

    /// Whether it is what `approved` comes to once its packages are installed: `Err` says what is not. It leads where
    /// `approved` leads, and begins where that one begins, but for what waited for a package: a file, a unit or a
    /// table that was not there. Such a thing may be there by now, and even be as it shall be already.
    pub fn after_packages(&self, approved: &Self) -> Result<(), String> {
        if (&self.host, &self.machine_id, &self.desired)
            != (&approved.host, &approved.machine_id, &approved.desired)
        {
            return Err("something else is wanted of it than was approved".to_owned());
        }
        if let Some(obstacle) = self.obstacles.iter().find(|one| !approved.obstacles.contains(one)) {
            return Err(obstacle.to_string());
        }
        let rest: Vec<&Step> = approved.steps.iter().filter(|step| step.phase != Phase::Package).collect();
        let as_approved = |step: &Step| {
            rest.iter().any(|other| {
                other.phase == step.phase
                    && leads_to_the_same(&other.change, &step.change)
                    && (waits(&other.change) || begins_at_the_same(&other.change, &step.change))
                    && step.cuts.iter().all(|cut| other.cuts.contains(cut))
            })
        };
        if let Some(step) = self.steps.iter().find(|step| !as_approved(step)) {
            return Err(format!("this was not approved: {}", step.summary));
        }
        let gone = |step: &&Step| {
            !waits(&step.change)
                && !self
                    .steps
                    .iter()
                    .any(|other| other.phase == step.phase && leads_to_the_same(&step.change, &other.change))
        };
        match rest.into_iter().find(gone) {
            Some(step) => Err(format!("this was approved, and is done by somebody else: {}", step.summary)),
            None => Ok(()),
        }
    }

    /// The steps of one phase.
    pub fn phase(&self, phase: Phase) -> Vec<Step> {
        self.steps.iter().filter(|step| step.phase == phase).cloned().collect()
    }

    /// The same, as the phase finds the host: what widen loaded into the live table is what narrow finds there. `stands` is
    /// what was planned by a look once widen was confirmed.
    pub fn phase_after(&self, phase: Phase, stands: Option<&Self>) -> Vec<Step> {
        let ruleset = |step: &Step| matches!(step.change, Change::Ruleset { .. });
        let mut steps = self.phase(phase);
        if phase != Phase::Narrow || !self.phase(Phase::Widen).iter().any(ruleset) {
            return steps;
        }
        let live = stands.and_then(|stands| {
            stands.steps.iter().find_map(|step| match &step.change {
                Change::Ruleset { before, .. } if step.phase == Phase::Narrow => Some(before.clone()),
                _ => None,
            })
        });
        if let Some(live) = live {
            for step in &mut steps {
                if let Change::Ruleset { before, .. } = &mut step.change {
                    before.clone_from(&live);
                }
            }
        }
        steps
    }
}

/// Whether `new` ends where `old` ends. What a step leaves as it found it is no part of where it leads.
fn leads_to_the_same(old: &Change, new: &Change) -> bool {
    match (old, new) {
        (
            Change::File { path: one, after: one_after, .. },
            Change::File { path: other, after: other_after, .. },
        ) => (one, one_after) == (other, other_after),
        (
            Change::Unit { unit: one, before: one_before, after: one_after },
            Change::Unit { unit: other, before: other_before, after: other_after },
        ) => {
            let same = |of: fn(&UnitState) -> &String| {
                of(one_after) == of(other_after)
                    || (of(one_before) == of(one_after) && of(other_before) == of(other_after))
            };
            one == other && same(|state| &state.enabled) && same(|state| &state.active)
        }
        (Change::Ruleset { load: one, .. }, Change::Ruleset { load: other, .. }) => one == other,
        (
            Change::Secret { path: one, name: one_name, after: one_after, .. },
            Change::Secret { path: other, name: other_name, after: other_after, .. },
        ) => (one, one_name, one_after) == (other, other_name, other_after),
        (one, other) => one == other,
    }
}

/// Whether `new`, which leads where `old` does, begins where it begins.
fn begins_at_the_same(old: &Change, new: &Change) -> bool {
    match (old, new) {
        (Change::File { before: one, .. }, Change::File { before: other, .. }) => one == other,
        (Change::Unit { before: one, .. }, Change::Unit { before: other, .. }) => one == other,
        (Change::Secret { before: one, .. }, Change::Secret { before: other, .. }) => one == other,
        (Change::Ruleset { before: one, .. }, Change::Ruleset { before: other, .. }) => one == other,
        (one, other) => one == other,
    }
}

/// Whether a step found nothing where it begins, so that a package may bring something there.
fn waits(change: &Change) -> bool {
    match change {
        Change::File { before, .. } => *before == FileState::Absent,
        Change::Unit { before, .. } => before.enabled == "not-found",
        Change::Secret { before, .. } => *before == SecretState::Absent,
        Change::Ruleset { before, .. } => before.is_none(),
        Change::Package { .. } | Change::Account { .. } | Change::Kernel { .. } | Change::Bans => false,
    }
}
