//! Whether a change is what was planned: by what the host says of the configuration that is staged, before it is switched
//! to, and by what a new connection finds afterwards.

use jiff::Timestamp;

use super::verdict::Judged;
use crate::desired::{Desired, Wanted};
use crate::domain::ControlId;
use crate::kinds::{self, Resource};
use crate::probe::Observation;
use crate::resource::{Phase, Verdict};
use crate::shell::{Frame, FrameError};
use crate::text::excerpt;

/// `desired` without what no change touches and takes long to ask.
#[must_use]
pub fn touched(desired: &Desired) -> Desired {
    let mut touched = desired.clone();
    touched.resources.retain(is_asked_again);
    touched
}

fn is_asked_again(wanted: &Wanted) -> bool {
    wanted.enforced || !wanted.resource.stays()
}

/// The verdicts of the first look, each replaced by its newer one where it was asked again.
pub fn judged_anew(desired: &Desired, first: &[Judged], newer: Vec<Judged>) -> Vec<Judged> {
    let mut newer = newer.into_iter();
    let again = |place: usize| desired.resources.get(place).is_none_or(is_asked_again);
    first
        .iter()
        .enumerate()
        .map(|(place, old)| {
            let anew = if again(place) { newer.next() } else { None };
            anew.unwrap_or_else(|| old.clone())
        })
        .collect()
}

/// The resources that are asked of the staged tree too: sshd's configuration, unless one of the `blocked` controls wants it.
pub fn asked_staged<'d>(desired: &'d Desired, blocked: &[ControlId]) -> Vec<&'d Resource> {
    let wanted = desired.resources.iter().filter(|wanted| !is_blocked(wanted, blocked));
    wanted.map(|wanted| &wanted.resource).filter(|resource| resource.is_staged()).collect()
}

/// Why a staged sshd configuration may not be switched to; none where it may. `frame` is the answer to the questions of
/// `resources`, asked of the staged tree.
pub fn staged(
    frame: Result<Frame, FrameError>,
    resources: &[&Resource],
    phase: Phase,
    now: Timestamp,
) -> Option<String> {
    let frame = match frame {
        Ok(frame) => frame,
        Err(error) => return Some(format!("the staged sshd configuration could not be read: {error}")),
    };
    let said = String::from_utf8_lossy(&frame.stdout);
    let first = said.lines().next().unwrap_or_default();
    if first != "sshd-t ok" {
        return Some(format!("sshd -t refuses the staged configuration: {}", excerpt(first, 300)));
    }
    let readings = kinds::read(resources, |_| Ok(frame.clone()));
    for (resource, reading) in resources.iter().zip(readings) {
        match reading {
            Err(unread) => return Some(format!("staged {}: {unread}", resource.name())),
            Ok(answer) => match resource.remedy(&answer) {
                Err(defeated) => return Some(defeated.to_string()),
                Ok(steps) if steps.iter().any(|step| step.phase <= phase) => {
                    return Some(format!(
                        "the staged sshd configuration would still need: {}",
                        steps.first()?.summary
                    ));
                }
                Ok(_) => {
                    if phase == Phase::Narrow
                        && let Verdict::Drift { findings } = resource.judge(&answer, now)
                    {
                        return Some(format!(
                            "the staged sshd configuration does not hold: {}",
                            findings.join("; ")
                        ));
                    }
                }
            },
        }
    }
    None
}

/// What of `phase` is not as planned. Other drift is reported by the verdicts, not taken back; what belongs to one of the
/// `blocked` controls is as it was.
pub fn unfinished(
    desired: &Desired,
    observation: &Observation,
    phase: Phase,
    blocked: &[ControlId],
) -> Vec<String> {
    let mut failures = Vec::new();
    for (wanted, reading) in desired.resources.iter().zip(&observation.readings) {
        if !wanted.enforced || is_blocked(wanted, blocked) {
            continue;
        }
        match reading {
            Err(unread) => failures.push(format!("{}: {unread}", wanted.resource.name())),
            Ok(answer) => match wanted.resource.remedy(answer) {
                Err(defeated) => failures.push(defeated.to_string()),
                Ok(steps) => failures.extend(
                    steps
                        .iter()
                        .filter(|step| step.phase <= phase && !step.change.is_at_anothers_mercy())
                        .map(|step| format!("{}: still to do: {}", wanted.resource.name(), step.summary)),
                ),
            },
        }
    }
    if observation.facts.is_err() {
        failures.push("the host's facts could not be read".to_owned());
    }
    failures
}

/// Whether something stands in the way of it: it is as it was, whatever else is changed.
fn is_blocked(wanted: &Wanted, blocked: &[ControlId]) -> bool {
    wanted.controls.iter().any(|control| blocked.contains(control))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_sshd_refuses_is_not_switched_to() {
        let said = |text: &str| {
            let frame = Frame {
                label: String::new(),
                status: 0,
                stdout: text.as_bytes().to_vec(),
                stderr: Vec::new(),
                cut: false,
            };
            staged(Ok(frame), &[], Phase::Widen, Timestamp::UNIX_EPOCH)
        };
        assert_eq!(said("sshd-t ok\n"), None);
        let why = said("sshd-t line 3: Bad configuration option: Prot\n").unwrap();
        assert!(
            why.starts_with("sshd -t refuses the staged configuration") && why.contains("line 3"),
            "{why}"
        );
        assert!(said("").is_some(), "no answer is no good one");
    }
}
