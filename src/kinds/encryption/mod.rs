//! Encrypted disks: below every file system and every swap area lies encryption of a known strength, whose key does not
//! lie beside it in plain. It only looks: a root cannot be encrypted where it stands, it needs an installation anew.
//!
//! What counts is the kernel's own table (`dmsetup table`), not a header or a name: a mapping that is called encrypted
//! and is none, or one of a weak cipher, is found. What palisade does not know how to judge (ZFS, hardware that encrypts,
//! key scripts) is unknown, never guessed.

mod declare;
mod answer;
mod layers;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::resource::{Defeated, Frame, Kind, Question, Reading, Step, Verdict};
use crate::shell::Perl;

pub use answer::Answer;

/// Every disk of a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Encryption {
    /// Mount points of file systems that need not be encrypted: what a boot loader and a firmware read. A playbook cannot
    /// name `/` here, which is no path that it could manage.
    #[serde(default)]
    pub except: Vec<String>,
}

impl Kind for Encryption {
    type Answer = Answer;

    const STAYS: bool = true;

    fn question(_all: &[&Self]) -> Question {
        let body = Perl::new(include_str!("question.pl")).into();
        Question { label: "encryption", body, seconds: 30, cap: 2 << 20 }
    }

    fn read(all: &[&Self], frame: &Frame) -> Vec<Reading<Answer>> {
        let answer = answer::read(frame);
        all.iter().map(|_| answer.clone()).collect()
    }

    fn judge(&self, answer: &Answer, _now: Timestamp) -> Verdict {
        match answer {
            Answer::Container(container) => Verdict::NotApplicable {
                reason: format!("the disks belong to the machine below this container ({container})"),
            },
            Answer::Disks(disks) => layers::judge(disks, &self.except),
        }
    }

    fn remedy(&self, _answer: &Answer) -> Result<Vec<Step>, Defeated> {
        Ok(Vec::new())
    }

    fn name(&self) -> String {
        "disks".to_owned()
    }
}
