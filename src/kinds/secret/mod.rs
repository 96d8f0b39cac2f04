//! A file that holds a secret of whoever runs palisade. It is compared by a keyed digest: the host is given a key, never the
//! value, and answers a digest, never the bytes. A secret that cannot be read here makes its own resource unknown and no
//! other. It reads no secret; `command` gives each resource what it [`Held`].

pub mod declare;
mod answer;
mod held;

use jiff::Timestamp;

pub use answer::{Answer, MAC};
pub use held::{Held, Secret, Value};

use crate::resource::{Change, Defeated, Frame, Kind, Phase, Question, Reading, SecretState, Step, Verdict};

impl Kind for Secret {
    type Answer = Answer;

    fn question(all: &[&Self]) -> Question {
        answer::question(all)
    }

    fn read(all: &[&Self], frame: &Frame) -> Vec<Reading<Answer>> {
        answer::read(all, frame)
    }

    fn judge(&self, answer: &Answer, _now: Timestamp) -> Verdict {
        let Held::Read(value) = &self.held else {
            return Verdict::Unknown { reason: self.held.why().to_owned() };
        };
        let path = &self.path;
        let wanted = self.wanted(value);
        let mut findings = Vec::new();
        match answer {
            Answer::Other(what) => findings.push(format!("{path} is {what}")),
            Answer::Found { state, folder_is_roots } => {
                if !folder_is_roots {
                    findings
                        .push(format!("a folder above {path} may be written by another account than root"));
                }
                match state {
                    SecretState::Absent => findings.push(format!("{path} is missing")),
                    SecretState::Present(found) => {
                        if found.mac != wanted.mac {
                            findings.push(format!("{path} does not hold the secret {}", self.name));
                        }
                        if found.mode != wanted.mode {
                            findings.push(format!("{path} has mode {}, not {}", found.mode, wanted.mode));
                        }
                        if (&found.owner, &found.group) != (&wanted.owner, &wanted.group) {
                            findings.push(format!(
                                "{path} belongs to {}:{}, not {}:{}",
                                found.owner, found.group, wanted.owner, wanted.group
                            ));
                        }
                    }
                }
            }
        }
        Verdict::from_findings(findings)
    }

    fn remedy(&self, answer: &Answer) -> Result<Vec<Step>, Defeated> {
        let Held::Read(value) = &self.held else { return Ok(Vec::new()) };
        let path = &self.path;
        let state = match answer {
            Answer::Other(what) => {
                return Err(Defeated {
                    what: format!("{path} is {what}"),
                    hint: "move it out of the way by hand, after finding out who put it there".to_owned(),
                });
            }
            Answer::Found { folder_is_roots: false, .. } => {
                return Err(Defeated {
                    what: format!("a folder above {path} may be written by another account than root"),
                    hint:
                        "declare a path below folders of root's, such as /etc/NAME/, or take the right away"
                            .to_owned(),
                });
            }
            Answer::Found { state, .. } => state,
        };
        let after = self.wanted(value);
        let summary = match state {
            SecretState::Present(found) if *found == after => return Ok(Vec::new()),
            SecretState::Absent => format!("write the secret {} to {path}", self.name),
            SecretState::Present(found) if found.mac != after.mac => {
                format!("replace the content of {path} with the secret {}", self.name)
            }
            SecretState::Present(_) => format!("change the owner or mode of {path}"),
        };
        Ok(vec![Step {
            phase: Phase::Narrow,
            summary,
            change: Change::Secret {
                path: path.clone(),
                name: self.name.clone(),
                before: state.clone(),
                after,
            },
            cuts: Vec::new(),
        }])
    }

    fn name(&self) -> String {
        format!("secret {}", self.path)
    }
}
