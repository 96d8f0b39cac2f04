//! From what is desired and what was observed to verdicts and steps. An immutable value with a hash; it says what
//! would change, in which phase, and what would be cut off. It decides; it changes nothing.

mod file;
mod host;
mod verdict;
pub mod verify;

use std::collections::{BTreeMap, BTreeSet};

pub use file::{PLAN_LIFETIME_HOURS, Plan, Stale};
pub use host::{HostPlan, Obstacle};
pub use verdict::{Judged, control_verdict, judge, verdicts};

use crate::desired::{Desired, Wanted};
use crate::domain::{ControlId, MachineId, RemotePath};
use crate::kinds::{Answer, Resource};
use crate::probe::Observation;
use crate::resource::{Change, Phase, Step};

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
        }
        if let Change::File { path, .. } | Change::Secret { path, .. } = &step.change {
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

#[cfg(test)]
mod tests;
