//! Verdicts: of each resource, and of each control by those that serve it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::desired::Desired;
use crate::domain::ControlId;
use crate::probe::Observation;
use crate::resource::Verdict;
use crate::waiver::Exception;

/// The verdict of one resource on one host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema, Deserialize)]
pub struct Judged {
    /// Name of the resource, for people.
    pub resource: String,
    /// Its kind.
    pub kind: String,
    /// True where palisade would make it so.
    pub enforced: bool,
    /// The controls that it serves.
    pub controls: Vec<ControlId>,
    /// True where every control that it serves is waived on the host.
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
