//! From what is desired and what was observed to verdicts and steps. An immutable value with a hash; it says what
//! would change, in which phase, and what would be cut off. It decides; it changes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::desired::{Desired, Wanted};
use crate::domain::{ControlId, Digest, Environment, HostName, MachineId, RemotePath};
use crate::kinds::{Answer, Resource};
use crate::probe::Observation;
use crate::resource::{Change, FileState, Phase, Step, UnitState, Verdict};
use crate::waiver::Exception;

/// The verdict of one resource on one host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judged {
    /// Which resource, for people.
    pub resource: String,
    /// Its kind.
    pub kind: String,
    /// Whether palisade would make it so.
    pub enforced: bool,
    /// The controls that it serves.
    pub controls: Vec<ControlId>,
    /// Whether every control that it serves is waived on the host.
    #[serde(default, skip_serializing_if = "is_false")]
    pub waived: bool,
    /// What it amounts to.
    #[serde(flatten)]
    pub verdict: Verdict,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_false(flag: &bool) -> bool {
    !flag
}

/// The waiver that bears on `control`, if any.
fn exception<'a>(waivers: &'a [Exception], control: &ControlId) -> Option<&'a Exception> {
    waivers.iter().find(|waiver| waiver.control == *control)
}

/// The verdicts of one host.
pub fn judge(desired: &Desired, observation: &Observation, now: Timestamp) -> Vec<Judged> {
    let waived = |controls: &[ControlId]| {
        controls
            .iter()
            .all(|control| exception(&desired.waivers, control).is_some_and(|waiver| !waiver.expired))
    };
    let unresolved = desired.unresolved.iter().map(|missing| Judged {
        resource: missing.resource.clone(),
        kind: "inventory".to_owned(),
        enforced: missing.enforced,
        controls: vec![missing.control.clone()],
        waived: false,
        verdict: Verdict::Unknown { reason: format!("{}: known from an inventory alone", missing.resource) },
    });
    desired
        .resources
        .iter()
        .zip(&observation.readings)
        .map(|(wanted, reading)| Judged {
            resource: wanted.resource.name(),
            kind: wanted.resource.kind().to_owned(),
            enforced: wanted.enforced,
            controls: wanted.controls.clone(),
            waived: waived(&wanted.controls),
            verdict: match reading {
                Ok(answer) => wanted.resource.judge(answer, now),
                Err(unread) => Verdict::Unknown { reason: unread.0.clone() },
            },
        })
        .chain(unresolved)
        .collect()
}

/// What each of `controls` amounts to on a host, in their order, waivers taken into account.
pub fn verdicts(
    controls: &[ControlId],
    judged: &[Judged],
    waivers: &[Exception],
) -> Vec<(ControlId, Verdict)> {
    controls
        .iter()
        .map(|id| {
            let serving = judged.iter().filter(|judged| judged.controls.contains(id));
            let verdict = control_verdict(serving.map(|judged| &judged.verdict));
            let verdict = match exception(waivers, id) {
                Some(waiver) => excepted(verdict, waiver),
                None => verdict,
            };
            (id.clone(), verdict)
        })
        .collect()
}

/// What `verdict` amounts to under a waiver. It covers what is known to differ, never what could not be read; and one
/// that ran out fails by itself, whatever it once covered, until somebody renews or removes it.
fn excepted(verdict: Verdict, waiver: &Exception) -> Verdict {
    let Exception { owner, reason, expires, .. } = waiver;
    if waiver.expired {
        let ran_out = format!("the waiver of {owner} ran out on {expires}: renew it or remove it ({reason})");
        return match verdict {
            Verdict::Drift { mut findings } => {
                findings.push(ran_out);
                Verdict::Drift { findings }
            }
            Verdict::Unknown { .. } => verdict,
            _ => Verdict::Drift { findings: vec![ran_out] },
        };
    }
    match verdict {
        Verdict::Drift { findings } => {
            Verdict::Waived { findings, owner: owner.to_string(), reason: reason.clone(), expires: *expires }
        }
        Verdict::Compliant { mut notes } => {
            notes.push(format!("the waiver of {owner} until {expires} is not needed"));
            Verdict::Compliant { notes }
        }
        other => other,
    }
}

/// What a control amounts to on a host: the worst of its resources, unknown before drift before compliant. A control
/// all of whose resources are not applicable is not applicable; one without resources is unknown.
pub fn control_verdict<'a>(verdicts: impl Iterator<Item = &'a Verdict>) -> Verdict {
    let (mut unknown, mut findings, mut notes, mut compliant, mut reasons) =
        (None, Vec::new(), Vec::new(), false, Vec::new());
    for verdict in verdicts {
        match verdict {
            Verdict::Unknown { reason } => {
                unknown.get_or_insert_with(|| reason.clone());
            }
            Verdict::Drift { findings: more } | Verdict::Waived { findings: more, .. } => {
                findings.extend(more.iter().cloned());
            }
            Verdict::Compliant { notes: more } => {
                compliant = true;
                notes.extend(more.iter().cloned());
            }
            Verdict::NotApplicable { reason } => reasons.push(reason.clone()),
        }
    }
    if let Some(reason) = unknown {
        Verdict::Unknown { reason }
    } else if !findings.is_empty() {
        Verdict::Drift { findings }
    } else if compliant {
        Verdict::Compliant { notes }
    } else if reasons.is_empty() {
        Verdict::Unknown { reason: "the control asked nothing of this host".to_owned() }
    } else {
        Verdict::NotApplicable { reason: reasons.join("; ") }
    }
}

/// What would change on one host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostPlan {
    /// The host.
    pub host: HostName,
    /// The machine that was observed.
    pub machine_id: MachineId,
    /// Digest of what is wanted of it.
    pub desired: Digest,
    /// In the order of phases.
    pub steps: Vec<Step>,
    /// What stops working for somebody.
    pub cuts: Vec<String>,
    /// TCP ports of undeclared listeners that the new rules no longer let in: connections that stand on them end.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub closes: Vec<u16>,
    /// What stands in the way.
    pub obstacles: Vec<Obstacle>,
    /// The controls that are not enforced while it does; the steps of all others are made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blocked: Vec<ControlId>,
}

/// Why a host cannot be changed as it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "obstacle", rename_all = "kebab-case")]
pub enum Obstacle {
    /// Something that would be enforced could not be read.
    Unread {
        /// Which resource.
        resource: String,
        /// The reason.
        reason: String,
    },
    /// Something of somebody else's defeats it.
    Defeated {
        /// What, with file and line.
        what: String,
        /// What to do.
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
        (one, other) => one == other,
    }
}

/// Whether `new`, which leads where `old` does, begins where it begins.
fn begins_at_the_same(old: &Change, new: &Change) -> bool {
    match (old, new) {
        (Change::File { before: one, .. }, Change::File { before: other, .. }) => one == other,
        (Change::Unit { before: one, .. }, Change::Unit { before: other, .. }) => one == other,
        (Change::Ruleset { before: one, .. }, Change::Ruleset { before: other, .. }) => one == other,
        (one, other) => one == other,
    }
}

/// Whether a step found nothing where it begins, so that a package may bring something there.
fn waits(change: &Change) -> bool {
    match change {
        Change::File { before, .. } => *before == FileState::Absent,
        Change::Unit { before, .. } => before.enabled == "not-found",
        Change::Ruleset { before, .. } => before.is_none(),
        Change::Package { .. } | Change::Account { .. } | Change::Kernel { .. } | Change::Bans => false,
    }
}

/// What would change on one host, from what was observed there.
pub fn plan(desired: &Desired, observation: &Observation, machine_id: MachineId) -> HostPlan {
    let (mut wishes, mut obstructed) = (Vec::new(), Vec::new());
    let mut obstacles = Vec::new();
    let (mut cuts, mut closes) = (Vec::new(), Vec::new());
    for (wanted, reading) in desired.resources.iter().zip(&observation.readings) {
        match reading {
            Ok(answer) if wanted.enforced => match wanted.resource.remedy(answer) {
                Ok(more) => wishes.push((wanted, more)),
                Err(defeated) => {
                    obstructed.push(wanted);
                    obstacles.push(Obstacle::Defeated { what: defeated.what, hint: defeated.hint });
                }
            },
            Ok(answer) => {
                if let (Resource::Sockets(sockets), Answer::Sockets(answer)) = (&wanted.resource, answer) {
                    cuts.extend(sockets.undeclared(answer));
                    closes.extend(sockets.undeclared_ports(answer));
                }
            }
            Err(unread) if wanted.enforced => {
                obstructed.push(wanted);
                obstacles
                    .push(Obstacle::Unread { resource: wanted.resource.name(), reason: unread.0.clone() });
            }
            Err(_) => {}
        }
    }
    let blocked = blocked(&obstructed, &wishes);
    wishes.retain(|(wanted, _)| !wanted.controls.iter().any(|control| blocked.contains(control)));
    let steps = in_phases(wishes.into_iter().flat_map(|(_, steps)| steps).collect(), &mut obstacles);
    let blocked = desired.controls.iter().filter(|control| blocked.contains(*control)).cloned().collect();
    // An undeclared listener is cut off only where the firewall changes.
    if !steps.iter().any(|step| matches!(step.change, Change::Ruleset { .. })) {
        cuts.clear();
        closes.clear();
    }
    for cut in steps.iter().flat_map(|step| &step.cuts) {
        if !cuts.contains(cut) {
            cuts.push(cut.clone());
        }
    }
    HostPlan {
        host: desired.host.clone(),
        machine_id,
        desired: desired.digest(),
        steps,
        cuts,
        closes,
        obstacles,
        blocked,
    }
}

/// The controls that something stands in the way of: those that need it; where it bears on who gets in, all that do; and
/// those that share a step with one of them, which cannot be made for one alone.
fn blocked(obstructed: &[&Wanted], wishes: &[(&Wanted, Vec<Step>)]) -> BTreeSet<ControlId> {
    let mut blocked: BTreeSet<ControlId> =
        obstructed.iter().flat_map(|wanted| wanted.controls.iter().cloned()).collect();
    let access = obstructed.iter().any(|wanted| wanted.resource.bears_on_access());
    loop {
        let before = blocked.len();
        for (wanted, _) in wishes.iter().filter(|(_, steps)| !steps.is_empty()) {
            if (access && wanted.resource.bears_on_access())
                || wanted.controls.iter().any(|control| blocked.contains(control))
            {
                blocked.extend(wanted.controls.iter().cloned());
            }
        }
        if blocked.len() == before {
            return blocked;
        }
    }
}

/// Sorted by phase; each file changed once per phase, and in narrow from what widen leaves behind.
fn in_phases(mut steps: Vec<Step>, obstacles: &mut Vec<Obstacle>) -> Vec<Step> {
    steps.sort_by_key(|step| step.phase);
    let mut left_by_widen = BTreeMap::new();
    let mut seen: BTreeMap<(Phase, RemotePath), Change> = BTreeMap::new();
    let mut kept: Vec<Step> = Vec::new();
    for mut step in steps {
        if let Change::File { path, before, after } = &mut step.change {
            if step.phase == Phase::Narrow
                && let Some(left) = left_by_widen.get(path)
            {
                *before = Clone::clone(left);
            }
            if before == after {
                continue;
            }
            if step.phase == Phase::Widen {
                left_by_widen.insert(path.clone(), after.clone());
            }
            let path = path.clone();
            match seen.get(&(step.phase, path.clone())) {
                Some(same) if *same == step.change => continue,
                Some(_) => {
                    obstacles.push(Obstacle::Conflict { path });
                    continue;
                }
                None => {
                    seen.insert((step.phase, path), step.change.clone());
                }
            }
        } else if kept.iter().any(|other| other.phase == step.phase && other.change == step.change) {
            continue;
        }
        kept.push(step);
    }
    kept
}

/// The plans of a run, as a file that `apply --plan` takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Version of this format; 1.
    pub schema: u32,
    /// palisade's version.
    pub tool: String,
    /// The environment.
    pub environment: Environment,
    /// When it was made.
    pub made: Timestamp,
    /// Digest of the inventory, playbooks and templates that it was made from.
    pub inputs: Digest,
    /// One for each host that answered.
    pub hosts: Vec<HostPlan>,
    /// SHA-256 of all the above.
    pub hash: Digest,
}

/// Most hours between a plan and its apply.
pub const PLAN_LIFETIME_HOURS: i64 = 24;

/// Why a plan file is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Stale {
    /// Edited, truncated, or from another version of the format.
    #[error("the plan's hash does not match what it holds")]
    Hash,
    /// The inventory changed since.
    #[error("the plan was made from another state of the inventory, playbooks or templates")]
    Inputs,
    /// Made by another version of palisade.
    #[error("the plan was made by palisade {0}")]
    Tool(String),
    /// Older than [`PLAN_LIFETIME_HOURS`].
    #[error("the plan is older than {PLAN_LIFETIME_HOURS} hours")]
    Old,
    /// Its time lies ahead.
    #[error("the plan was made in the future, by this machine's clock")]
    Early,
}

impl Plan {
    /// Of these hosts, with its hash.
    pub fn new(
        tool: &str,
        environment: Environment,
        made: Timestamp,
        inputs: Digest,
        hosts: Vec<HostPlan>,
    ) -> Self {
        let mut plan = Self {
            schema: 1,
            tool: tool.to_owned(),
            environment,
            made,
            inputs,
            hosts,
            hash: Digest::of(b""),
        };
        plan.hash = plan.digest();
        plan
    }

    fn digest(&self) -> Digest {
        let body = (self.schema, &self.tool, self.environment, self.made, &self.inputs, &self.hosts);
        Digest::of(serde_json::to_string(&body).unwrap_or_default().as_bytes())
    }

    /// Whether it may be applied now, by this version, from these inputs.
    pub fn fresh(&self, tool: &str, inputs: &Digest, now: Timestamp) -> Result<(), Stale> {
        if self.hash != self.digest() {
            return Err(Stale::Hash);
        }
        if self.tool != tool {
            return Err(Stale::Tool(crate::text::excerpt(&self.tool, 40)));
        }
        if self.inputs != *inputs {
            return Err(Stale::Inputs);
        }
        let age = now.as_second().saturating_sub(self.made.as_second());
        if age < -300 {
            return Err(Stale::Early);
        }
        if age > PLAN_LIFETIME_HOURS * 3600 {
            return Err(Stale::Old);
        }
        Ok(())
    }

    /// How many hosts would change.
    pub fn work(&self) -> usize {
        self.hosts.iter().filter(|plan| !plan.is_empty()).count()
    }

    /// Whether any host would change.
    pub fn is_empty(&self) -> bool {
        self.hosts.iter().all(HostPlan::is_empty)
    }
}

#[cfg(test)]
mod tests;
