//! A systemd unit: whether it starts at boot, and whether it runs now. It asks systemd, and starts nothing itself.

mod declare;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::UnitName;
use crate::resource::{
    Change, Defeated, Frame, Kind, Phase, Question, Reading, Step, UnitState, Unread, Verdict,
};
use crate::shell::{Arg, Perl};
use crate::text::visible;

/// A unit, and how it shall be. What is none is left as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// The unit.
    pub unit: UnitName,
    /// Desired state at boot.
    #[serde(default)]
    pub enabled: Option<bool>,
    /// Desired state now.
    #[serde(default)]
    pub active: Option<bool>,
}

/// What systemd knows of it, in the words of `systemctl show`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Answer {
    /// `LoadState`: loaded, not-found, masked, bad-setting ...
    pub load: String,
    /// `UnitFileState`: enabled, disabled, static, masked ...; empty where no file stands behind the unit.
    pub file: String,
    /// `ActiveState`: active, reloading, inactive, failed, activating ...
    pub active: String,
    /// `SubState`: running, exited, dead, listening ...
    pub sub: String,
}

impl Answer {
    fn state(&self) -> UnitState {
        let enabled = if self.is_absent() { &self.load } else { &self.file };
        UnitState { enabled: enabled.clone(), active: self.active.clone() }
    }

    fn is_absent(&self) -> bool {
        self.load == "not-found"
    }

    fn is_masked(&self) -> bool {
        self.load == "masked" || self.file.starts_with("masked")
    }

    /// Whether `systemctl enable` would have nothing to install: the unit starts because others want it.
    fn cannot_be_enabled(&self) -> bool {
        matches!(self.file.as_str(), "static" | "generated" | "transient")
    }

    fn runs(&self) -> bool {
        matches!(self.active.as_str(), "active" | "reloading")
    }

    fn stands(&self) -> bool {
        !matches!(self.active.as_str(), "inactive" | "failed")
    }
}

impl Service {
    fn enabled_as_declared(&self, answer: &Answer) -> bool {
        match self.enabled {
            None => true,
            Some(true) => answer.file == "enabled",
            Some(false) => !answer.file.starts_with("enabled"),
        }
    }

    fn active_as_declared(&self, answer: &Answer) -> bool {
        match self.active {
            None => true,
            Some(true) => answer.runs(),
            Some(false) => !answer.stands(),
        }
    }
}

impl Kind for Service {
    type Answer = Answer;

    fn question(all: &[&Self]) -> Question {
        let units = all.iter().map(|service| Arg::from(&service.unit));
        let body = Perl::new(include_str!("question.pl")).given("units", units).into();
        Question { label: "service", body, seconds: 20, cap: 1 << 20 }
    }

    fn read(all: &[&Self], frame: &Frame) -> Vec<Reading<Answer>> {
        let text = String::from_utf8_lossy(&frame.stdout);
        // One block per unit, in the order asked; an alias answers with the unit behind it, so the name asked for is
        // looked up among Names.
        let blocks: Vec<&str> = text.split("\n\n").filter(|block| !block.trim().is_empty()).collect();
        all.iter()
            .enumerate()
            .map(|(place, service)| {
                blocks.get(place).and_then(|block| read_block(block, &service.unit)).ok_or_else(|| {
                    Unread(format!(
                        "systemctl said nothing of {} (exit {}){}",
                        service.unit,
                        frame.status,
                        crate::resource::parts::said(&frame.stderr)
                    ))
                })
            })
            .collect()
    }

    fn judge(&self, answer: &Answer, _now: Timestamp) -> Verdict {
        let unit = &self.unit;
        let wanted = self.enabled == Some(true) || self.active == Some(true);
        if answer.is_absent() && wanted {
            return Verdict::Drift { findings: vec![format!("there is no unit {unit}")] };
        }
        if answer.is_masked() && wanted {
            return Verdict::Drift { findings: vec![format!("{unit} is masked, so nothing can start it")] };
        }
        let mut findings = Vec::new();
        if wanted && answer.load != "loaded" {
            findings.push(format!("{unit} cannot be loaded: {}", visible(&answer.load)));
        }
        if !self.enabled_as_declared(answer) {
            findings.push(match self.enabled {
                Some(true) => {
                    format!("{unit} does not start at boot: it is {}", visible(&answer.state().enabled))
                }
                _ => format!("{unit} starts at boot"),
            });
        }
        if !self.active_as_declared(answer) {
            findings.push(match self.active {
                Some(true) => format!("{unit} does not run: it is {}", visible(&answer.active)),
                _ => format!("{unit} runs: it is {} ({})", visible(&answer.active), visible(&answer.sub)),
            });
        }
        Verdict::from_findings(findings)
    }

    fn remedy(&self, answer: &Answer) -> Result<Vec<Step>, Defeated> {
        let enabled_differs = !self.enabled_as_declared(answer);
        if enabled_differs && self.enabled == Some(true) && answer.cannot_be_enabled() {
            return Err(Defeated {
                what: format!("{} is {} and cannot be enabled", self.unit, visible(&answer.file)),
                hint: "declare only that it is active, or enable the unit that starts it".to_owned(),
            });
        }
        let before = answer.state();
        let mut after = before.clone();
        let mut done = Vec::new();
        if answer.is_masked() && self.active == Some(true) && !enabled_differs {
            done.push("unmask");
            "disabled".clone_into(&mut after.enabled);
        }
        if enabled_differs {
            let (word, verb) =
                if self.enabled == Some(true) { ("enabled", "enable") } else { ("disabled", "disable") };
            word.clone_into(&mut after.enabled);
            done.push(verb);
        }
        if !self.active_as_declared(answer) {
            let (word, verb) =
                if self.active == Some(true) { ("active", "start") } else { ("inactive", "stop") };
            word.clone_into(&mut after.active);
            done.push(verb);
        }
        if done.is_empty() {
            return Ok(Vec::new());
        }
        let stops = self.active == Some(false) && answer.stands();
        Ok(vec![Step {
            phase: Phase::Narrow,
            summary: format!("{} {}", done.join(" and "), self.unit),
            change: Change::Unit { unit: self.unit.clone(), before, after },
            cuts: if stops { vec![format!("{}, which runs now, is stopped", self.unit)] } else { Vec::new() },
        }])
    }

    fn name(&self) -> String {
        format!("service {}", self.unit)
    }
}

fn read_block(block: &str, unit: &UnitName) -> Option<Answer> {
    let value = |key: &str| {
        block.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('=')).map(str::to_owned)
    };
    let names = value("Names")?;
    let asked = value("Id")? == unit.as_str() || names.split(' ').any(|name| name == unit.as_str());
    if !asked {
        return None;
    }
    let answer = Answer {
        load: value("LoadState")?,
        file: value("UnitFileState")?,
        active: value("ActiveState")?,
        sub: value("SubState")?,
    };
    (!answer.load.is_empty() && !answer.active.is_empty()).then_some(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(load: &str, file: &str, active: &str) -> Answer {
        Answer { load: load.into(), file: file.into(), active: active.into(), sub: "dead".into() }
    }

    fn service(enabled: Option<bool>, active: Option<bool>) -> Service {
        Service { unit: "x.service".parse().unwrap(), enabled, active }
    }

    fn states(service: &Service, answer: &Answer) -> Option<(UnitState, UnitState)> {
        service.remedy(answer).unwrap().into_iter().next().map(|step| match step.change {
            Change::Unit { before, after, .. } => (before, after),
            other => panic!("{other:?}"),
        })
    }

    #[test]
    fn a_masked_unit_is_unmasked_by_what_needs_it() {
        let masked = answer("masked", "masked", "inactive");
        let wanted = service(Some(true), Some(true));
        assert_eq!(wanted.judge(&masked, Timestamp::UNIX_EPOCH).word(), "drift");
        let (before, after) = states(&wanted, &masked).unwrap();
        assert_eq!((before.enabled.as_str(), after.enabled.as_str()), ("masked", "enabled"));
        let (_, after) = states(&service(None, Some(true)), &masked).unwrap();
        assert_eq!((after.enabled.as_str(), after.active.as_str()), ("disabled", "active"));
        assert_eq!(states(&service(Some(false), Some(false)), &masked), None);
    }

    #[test]
    fn what_is_absent_is_drift_only_where_it_is_wanted() {
        let absent = answer("not-found", "", "inactive");
        assert_eq!(service(None, Some(true)).judge(&absent, Timestamp::UNIX_EPOCH).word(), "drift");
        assert_eq!(
            service(Some(false), Some(false)).judge(&absent, Timestamp::UNIX_EPOCH).word(),
            "compliant"
        );
        let (before, after) = states(&service(None, Some(true)), &absent).unwrap();
        assert_eq!((before.enabled.as_str(), after.enabled.as_str()), ("not-found", "not-found"));
    }

    #[test]
    fn enabled_until_the_next_reboot_is_not_enabled() {
        let runtime = answer("loaded", "enabled-runtime", "active");
        assert_eq!(service(Some(true), None).judge(&runtime, Timestamp::UNIX_EPOCH).word(), "drift");
        assert_eq!(service(Some(false), None).judge(&runtime, Timestamp::UNIX_EPOCH).word(), "drift");
    }

    #[test]
    fn a_static_unit_cannot_be_enabled() {
        let stationary = answer("loaded", "static", "inactive");
        assert!(service(Some(true), None).remedy(&stationary).is_err());
        assert!(states(&service(None, Some(true)), &stationary).is_some());
    }
}
