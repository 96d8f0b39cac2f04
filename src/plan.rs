//! From what is desired and what was observed to verdicts and steps. An immutable value with a hash; it says what
//! would change, in which phase, and what would be cut off. It decides; it changes nothing.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::desired::Desired;
use crate::domain::{ControlId, Digest, Environment, HostName, MachineId, RemotePath};
use crate::probe::Observation;
use crate::resource::{Answer, Change, FileState, Phase, Resource, Step, UnitState, Verdict};
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
    /// Which.
    pub host: HostName,
    /// The machine that was observed.
    pub machine_id: MachineId,
    /// Digest of what is wanted of it.
    pub desired: Digest,
    /// In the order of phases.
    pub steps: Vec<Step>,
    /// What stops working for somebody.
    pub cuts: Vec<String>,
    /// What stands in the way; nothing is changed while there is any.
    pub obstacles: Vec<Obstacle>,
}

/// Why a host cannot be changed as it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "obstacle", rename_all = "kebab-case")]
pub enum Obstacle {
    /// Something that would be enforced could not be read.
    Unread {
        /// Which resource.
        resource: String,
        /// Why.
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
        /// Which file.
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
        if let Some(obstacle) = self.obstacles.first() {
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
        Change::Package { .. } | Change::Account { .. } | Change::Kernel { .. } => false,
    }
}

/// What would change on one host, from what was observed there.
pub fn plan(desired: &Desired, observation: &Observation, machine_id: MachineId) -> HostPlan {
    let mut steps = Vec::new();
    let mut obstacles = Vec::new();
    let mut cuts = Vec::new();
    for (wanted, reading) in desired.resources.iter().zip(&observation.readings) {
        match reading {
            Ok(answer) if wanted.enforced => match wanted.resource.remedy(answer) {
                Ok(more) => steps.extend(more),
                Err(defeated) => {
                    obstacles.push(Obstacle::Defeated { what: defeated.what, hint: defeated.hint });
                }
            },
            Ok(answer) => cuts.extend(cut_off(&wanted.resource, answer)),
            Err(unread) if wanted.enforced => obstacles
                .push(Obstacle::Unread { resource: wanted.resource.name(), reason: unread.0.clone() }),
            Err(_) => {}
        }
    }
    let steps = in_phases(steps, &mut obstacles);
    // An undeclared listener is cut off only where the firewall changes.
    if !steps.iter().any(|step| matches!(step.change, Change::Ruleset { .. })) {
        cuts.clear();
    }
    for cut in steps.iter().flat_map(|step| &step.cuts) {
        if !cuts.contains(cut) {
            cuts.push(cut.clone());
        }
    }
    HostPlan { host: desired.host.clone(), machine_id, desired: desired.digest(), steps, cuts, obstacles }
}

fn cut_off(resource: &Resource, answer: &Answer) -> Vec<String> {
    match (resource, answer) {
        (Resource::Sockets(sockets), Answer::Sockets(answer)) => sockets.undeclared(answer),
        _ => Vec::new(),
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
    /// Which environment.
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
mod tests {
    use super::*;
    use crate::domain::{GroupName, Mode, UserName};
    use crate::resource::FileContent;

    fn file(content: &str) -> FileState {
        FileState::Present(FileContent {
            content: content.to_owned(),
            mode: Mode::PUBLIC,
            owner: UserName::root(),
            group: GroupName::root(),
        })
    }

    fn step(phase: Phase, path: &str, before: FileState, after: FileState) -> Step {
        let change = Change::File { path: path.parse().unwrap(), before, after };
        Step { phase, summary: path.to_owned(), change, cuts: Vec::new() }
    }

    #[test]
    fn narrow_begins_where_widen_ends() {
        let mut obstacles = Vec::new();
        let steps = in_phases(
            vec![
                step(Phase::Narrow, "/etc/a", file("old"), file("new")),
                step(Phase::Widen, "/etc/a", file("old"), file("both")),
                step(Phase::Narrow, "/etc/b", FileState::Absent, FileState::Absent),
                step(Phase::Widen, "/etc/b", FileState::Absent, file("for now")),
            ],
            &mut obstacles,
        );
        let seen: Vec<_> = steps
            .iter()
            .map(|step| match &step.change {
                Change::File { path, before, after } => {
                    (step.phase, path.as_str(), before.clone(), after.clone())
                }
                _ => panic!("no other change was given"),
            })
            .collect();
        assert_eq!(
            seen,
            [
                (Phase::Widen, "/etc/a", file("old"), file("both")),
                (Phase::Widen, "/etc/b", FileState::Absent, file("for now")),
                (Phase::Narrow, "/etc/a", file("both"), file("new")),
                (Phase::Narrow, "/etc/b", file("for now"), FileState::Absent),
            ]
        );
        assert_eq!(obstacles, []);
    }

    #[test]
    fn two_wishes_for_one_file_are_an_obstacle_and_the_same_wish_twice_is_one() {
        let mut obstacles = Vec::new();
        let wish = step(Phase::Narrow, "/etc/a", file("old"), file("new"));
        let steps = in_phases(vec![wish.clone(), wish.clone()], &mut obstacles);
        assert_eq!((steps.len(), obstacles.len()), (1, 0));
        let other = step(Phase::Narrow, "/etc/a", file("old"), file("else"));
        in_phases(vec![wish, other], &mut obstacles);
        assert_eq!(obstacles, [Obstacle::Conflict { path: "/etc/a".parse().unwrap() }]);
    }

    #[test]
    fn what_is_left_of_a_plan_begins_elsewhere_and_leads_to_the_same() {
        let of = |steps: Vec<Step>| HostPlan {
            host: "web-1".parse().unwrap(),
            machine_id: "0123456789abcdef0123456789abcdef".parse().unwrap(),
            desired: Digest::of(b"desired"),
            steps,
            cuts: Vec::new(),
            obstacles: Vec::new(),
        };
        let widen = step(Phase::Widen, "/etc/a", file("old"), file("both"));
        let narrow = step(Phase::Narrow, "/etc/a", file("both"), file("new"));
        let original = of(vec![widen.clone(), narrow.clone()]);
        let left = of(vec![step(Phase::Narrow, "/etc/a", file("found"), file("new"))]);
        assert!(original.continues(&original) && left.continues(&original));
        assert!(!original.continues(&left), "more is to be done than was left");
        for other in [
            step(Phase::Narrow, "/etc/b", file("both"), file("new")),
            step(Phase::Narrow, "/etc/a", file("both"), file("else")),
            step(Phase::Widen, "/etc/a", file("both"), file("new")),
        ] {
            assert!(!of(vec![other]).continues(&original));
        }
        let wish = HostPlan { desired: Digest::of(b"another"), ..of(vec![narrow]) };
        assert!(!wish.continues(&original));
    }

    #[test]
    fn what_a_package_brings_may_begin_elsewhere_and_nothing_else_may() {
        let plan = |steps: Vec<Step>| HostPlan {
            host: "web-1".parse().unwrap(),
            machine_id: "0123456789abcdef0123456789abcdef".parse().unwrap(),
            desired: Digest::of(b"desired"),
            steps,
            cuts: Vec::new(),
            obstacles: Vec::new(),
        };
        let change = |phase, change| Step { phase, summary: "it".to_owned(), change, cuts: Vec::new() };
        let package = change(Phase::Package, Change::Package { name: "fail2ban".parse().unwrap() });
        let unit = |name: &str, before: (&str, &str), after: (&str, &str)| {
            let state = |(enabled, active): (&str, &str)| UnitState {
                enabled: enabled.to_owned(),
                active: active.to_owned(),
            };
            let unit = name.parse().unwrap();
            change(Phase::Narrow, Change::Unit { unit, before: state(before), after: state(after) })
        };
        let brought = "fail2ban.service";
        let waiting = unit(brought, ("not-found", "inactive"), ("enabled", "active"));
        let started = unit("other.service", ("not-found", "inactive"), ("not-found", "active"));
        let there = step(Phase::Narrow, "/etc/a", file("old"), file("new"));
        let missing = step(Phase::Narrow, "/etc/b", FileState::Absent, file("new"));
        let approved =
            plan(vec![package.clone(), there.clone(), missing.clone(), waiting.clone(), started.clone()]);
        let judged = |steps: &[&Step]| {
            plan(steps.iter().map(|step| (*step).clone()).collect()).after_packages(&approved)
        };
        assert_eq!(judged(&[&there, &missing, &waiting, &started]), Ok(()));
        assert_eq!(judged(&[&there]), Ok(()), "the packages brought the rest as it shall be");
        let conffile = step(Phase::Narrow, "/etc/b", file("the package's"), file("new"));
        let installed = unit(brought, ("enabled", "failed"), ("enabled", "active"));
        let other = unit("other.service", ("disabled", "inactive"), ("disabled", "active"));
        assert_eq!(judged(&[&there, &conffile, &installed, &other]), Ok(()));

        for refused in [
            vec![&package, &there],
            vec![&missing],
            vec![&step(Phase::Narrow, "/etc/a", file("edited"), file("new"))],
            vec![&there, &step(Phase::Narrow, "/etc/b", FileState::Absent, file("else"))],
            vec![&there, &step(Phase::Widen, "/etc/b", FileState::Absent, file("new"))],
            vec![&there, &step(Phase::Narrow, "/etc/c", FileState::Absent, file("new"))],
            vec![&there, &unit(brought, ("enabled", "active"), ("disabled", "inactive"))],
            vec![&there, &unit("other.service", ("disabled", "inactive"), ("enabled", "active"))],
            vec![&there, &Step { cuts: vec!["somebody".to_owned()], ..missing.clone() }],
        ] {
            assert!(judged(&refused).is_err(), "{refused:?}");
        }
        let path = "/etc/a".parse().unwrap();
        let stuck = HostPlan { obstacles: vec![Obstacle::Conflict { path }], ..approved.clone() };
        assert!(stuck.after_packages(&approved).is_err());
    }

    #[test]
    fn unknown_outweighs_drift_and_nothing_asked_is_unknown() {
        let compliant = Verdict::compliant();
        let drift = Verdict::Drift { findings: vec!["x".to_owned()] };
        let unknown = Verdict::Unknown { reason: "cut".to_owned() };
        let none = Verdict::NotApplicable { reason: "no such thing".to_owned() };
        assert_eq!(control_verdict([&compliant, &drift, &unknown].into_iter()).word(), "unknown");
        assert_eq!(control_verdict([&compliant, &drift, &none].into_iter()).word(), "drift");
        assert_eq!(control_verdict([&compliant, &none].into_iter()).word(), "compliant");
        assert_eq!(control_verdict([&none].into_iter()).word(), "not-applicable");
        assert_eq!(control_verdict([].into_iter()).word(), "unknown");
    }

    fn waived(verdict: Verdict, expires: &str) -> Verdict {
        let control: ControlId = "hosting".parse().unwrap();
        let judged = Judged {
            resource: "x".to_owned(),
            kind: "x".to_owned(),
            enforced: false,
            controls: vec![control.clone()],
            waived: false,
            verdict,
        };
        let expires: jiff::civil::Date = expires.parse().unwrap();
        let waiver = Exception {
            control: control.clone(),
            owner: "Alice Martin".parse().unwrap(),
            reason: "a test".to_owned(),
            expires,
            expired: expires < jiff::civil::date(2026, 11, 28),
        };
        verdicts(&[control], &[judged], &[waiver]).remove(0).1
    }

    #[test]
    fn a_waiver_excepts_from_what_differs_and_never_from_what_could_not_be_read() {
        let drift = || Verdict::Drift { findings: vec!["x".to_owned()] };
        let unknown = Verdict::Unknown { reason: "cut".to_owned() };
        let valid = "2026-11-28";
        assert_eq!(
            waived(drift(), valid),
            Verdict::Waived {
                findings: vec!["x".to_owned()],
                owner: "Alice Martin".to_owned(),
                reason: "a test".to_owned(),
                expires: valid.parse().unwrap(),
            }
        );
        assert_eq!(waived(unknown.clone(), valid), unknown);
        let none = Verdict::NotApplicable { reason: "no such thing".to_owned() };
        assert_eq!(waived(none.clone(), valid), none);
        let Verdict::Compliant { notes } = waived(Verdict::compliant(), valid) else { panic!("it holds") };
        assert_eq!(notes, ["the waiver of Alice Martin until 2026-11-28 is not needed"]);
    }

    #[test]
    fn a_waiver_that_ran_out_fails_by_itself() {
        let ran_out = "the waiver of Alice Martin ran out on 2026-11-27: renew it or remove it (a test)";
        let over = |verdict: Verdict| waived(verdict, "2026-11-27");
        let Verdict::Drift { findings } = over(Verdict::Drift { findings: vec!["x".to_owned()] }) else {
            panic!("drift stays drift")
        };
        assert_eq!(findings, ["x", ran_out]);
        for verdict in [Verdict::compliant(), Verdict::NotApplicable { reason: "none".to_owned() }] {
            assert_eq!(over(verdict), Verdict::Drift { findings: vec![ran_out.to_owned()] });
        }
        assert_eq!(over(Verdict::Unknown { reason: "cut".to_owned() }).word(), "unknown");
    }

    #[test]
    fn a_plan_that_was_edited_or_grew_old_is_refused() {
        let made: Timestamp = "2026-11-28T22:00:00Z".parse().unwrap();
        let inputs = Digest::of(b"inputs");
        let plan = Plan::new("0.1.0", Environment::Prod, made, inputs.clone(), Vec::new());
        let hours = |hours: i64| made + jiff::SignedDuration::from_hours(hours);
        assert_eq!(plan.fresh("0.1.0", &inputs, hours(23)), Ok(()));
        assert_eq!(plan.fresh("0.1.0", &inputs, hours(25)), Err(Stale::Old));
        assert_eq!(plan.fresh("0.1.0", &inputs, hours(-1)), Err(Stale::Early));
        assert_eq!(plan.fresh("0.2.0", &inputs, made), Err(Stale::Tool("0.1.0".to_owned())));
        assert_eq!(plan.fresh("0.1.0", &Digest::of(b"others"), made), Err(Stale::Inputs));
        let edited = Plan { environment: Environment::Dev, ..plan };
        assert_eq!(edited.fresh("0.1.0", &inputs, made), Err(Stale::Hash));
    }
}
