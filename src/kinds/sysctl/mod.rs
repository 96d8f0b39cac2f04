//! Kernel settings: the values that are in force now, and the file that sets them at every boot. It asks for all of
//! them in one question, and changes only what the host itself decides: in a container that is what belongs to its own
//! network, while everything else is the kernel's below, of which a container must keep its hands.

mod declare;
mod answer;
mod value;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use answer::{Answer, Later, Parameter};
pub use value::{Accepted, check_reversible};

use crate::domain::{GroupName, KernelKey, Mode, RemotePath, UserName};
use crate::kinds::file;
use crate::resource::{
    Change, Defeated, FileContent, Frame, KernelValue, Kind, Phase, Question, Reading, Step, Verdict,
};
use crate::shell::{Arg, Perl};
use crate::text::visible;

/// Settings that one file keeps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sysctl {
    /// The file that sets them at boot (sysctl.d(5)).
    pub file: RemotePath,
    /// Accepted values of each setting.
    pub settings: BTreeMap<KernelKey, Accepted>,
}

/// Where settings are kept unless a playbook says otherwise. systemd-sysctl reads the files of all its folders sorted by
/// their names, and the last one to set a value wins: Debian 12 has a `99-protect-links.conf`, and its own
/// /etc/sysctl.conf comes as `99-sysctl.conf`.
pub const FILE: &str = "/etc/sysctl.d/99-zz-palisade.conf";

const HEAD: &str = "# Written by palisade: kernel settings that a playbook declares. Read at every boot, after all others.\n";

impl Kind for Sysctl {
    type Answer = Answer;

    fn question(all: &[&Self]) -> Question {
        let keys: std::collections::BTreeSet<&KernelKey> =
            all.iter().flat_map(|one| one.settings.keys()).collect();
        let body = Perl::new(crate::kinds::machine::CONTAINER)
            .then(include_str!("question.pl"))
            .given("keys", keys.into_iter().flat_map(|key| [Arg::from(key), Arg::lossy(key.path())]))
            .given("files", all.iter().map(|one| Arg::from(&one.file)))
            .into();
        Question { label: "sysctl", body, seconds: 20, cap: 4 << 20 }
    }

    fn read(all: &[&Self], frame: &Frame) -> Vec<Reading<Answer>> {
        all.iter().map(|one| answer::read(one.settings.keys(), &one.file, frame)).collect()
    }

    fn judge(&self, answer: &Answer, _now: Timestamp) -> Verdict {
        let mut findings = Vec::new();
        let mut notes = Vec::new();
        for (key, accepted) in &self.settings {
            findings.extend(differences(key, accepted, answer));
            if answer.container.is_none() && answer.parameters_of(key).next().is_none() && !accepted.absent()
            {
                if without_ipv6(key, answer) {
                    notes.push(format!("this kernel has no {key}: IPv6 is off"));
                } else {
                    findings.push(format!("this kernel has no {key}"));
                }
            }
        }
        if !self.mine(answer).is_empty() {
            findings.extend(file::differences(&self.file, &answer.file, Some(&self.content(answer))));
        }
        findings.extend(self.defeats(answer).map(|(later, accepted)| {
            format!(
                "{} sets {} to {}, not {accepted}, at the next boot",
                visible(&later.place),
                visible(&later.key),
                visible(&later.value)
            )
        }));
        if !findings.is_empty() {
            return Verdict::Drift { findings };
        }
        match &answer.container {
            Some(container) => {
                let mine = self.mine(answer).len();
                NotOurs { mine, all: self.settings.len(), container }.verdict()
            }
            None => Verdict::Compliant { notes },
        }
    }

    fn remedy(&self, answer: &Answer) -> Result<Vec<Step>, Defeated> {
        if let Some((later, _)) = self.defeats(answer).next() {
            return Err(Defeated {
                what: format!(
                    "{} sets {} to {}, and is read after {}",
                    visible(&later.place),
                    visible(&later.key),
                    visible(&later.value),
                    self.file
                ),
                hint: "take that line out, after finding out who put it there, or declare its value"
                    .to_owned(),
            });
        }
        if self.mine(answer).is_empty() {
            return Ok(Vec::new());
        }
        let kept = file::File { path: self.file.clone(), content: Some(self.content(answer)) };
        let mut steps = kept.remedy(&answer.file)?;
        let values: Vec<KernelValue> = self
            .settings
            .iter()
            .flat_map(|(key, accepted)| {
                let differing =
                    answer.own(key).filter(|found| found.writable && !accepted.takes(&found.value));
                differing.map(|found| KernelValue {
                    parameter: found.parameter.clone(),
                    before: found.value.clone(),
                    after: accepted.first().to_owned(),
                })
            })
            .collect();
        if !values.is_empty() {
            let plural = if values.len() == 1 { "" } else { "s" };
            steps.push(Step {
                phase: Phase::Narrow,
                summary: format!("set {} kernel setting{plural}", values.len()),
                change: Change::Kernel { values },
                cuts: Vec::new(),
            });
        }
        Ok(steps)
    }

    fn name(&self) -> String {
        format!("kernel settings of {}", self.file)
    }
}

impl Sysctl {
    /// A setting that another resource wants to be otherwise.
    pub fn contradicted_by(&self, other: &Self) -> Option<&KernelKey> {
        self.settings
            .iter()
            .find(|(key, accepted)| other.settings.get(key).is_some_and(|theirs| theirs != *accepted))
            .map(|(key, _)| key)
    }

    /// The settings that the host decides itself.
    fn mine<'a>(&'a self, answer: &Answer) -> Vec<(&'a KernelKey, &'a Accepted)> {
        self.settings
            .iter()
            .filter(|(key, _)| answer.container.is_none() || answer.own(key).next().is_some())
            .collect()
    }

    /// What others' files set after ours, and ours does not accept.
    fn defeats<'a>(&'a self, answer: &'a Answer) -> impl Iterator<Item = (&'a Later, &'a Accepted)> {
        let mine = self.mine(answer);
        answer.later.iter().filter_map(move |later| {
            let (_, accepted) = mine.iter().find(|(key, _)| later.sets(key, answer))?;
            (!accepted.takes(&later.value)).then_some((later, *accepted))
        })
    }

    /// What the file shall hold. A value that is in force everywhere and stricter than what we would set, yet accepted,
    /// stays: the file would else undo at the next boot what somebody has hardened.
    fn content(&self, answer: &Answer) -> FileContent {
        let lines = self.mine(answer).into_iter().map(|(key, accepted)| {
            let mut values = answer.own(key).map(|parameter| parameter.value.as_str());
            let first = values.next();
            let common = first.filter(|first| values.all(|value| value == *first) && accepted.takes(first));
            // With a dash before it, a setting that the kernel may lack is no failure of the unit (sysctl.d(5)).
            let dash = if accepted.absent() { "-" } else { "" };
            format!("{dash}{key} = {}\n", common.unwrap_or_else(|| accepted.first()))
        });
        let content = lines.fold(HEAD.to_owned(), |text, line| text + &line);
        FileContent { content, mode: Mode::PUBLIC, owner: UserName::root(), group: GroupName::root() }
    }
}

/// How the values in force of `key` differ, those that differ alike in one line.
fn differences(key: &KernelKey, accepted: &Accepted, answer: &Answer) -> Vec<String> {
    let mut found: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for parameter in answer.own(key).filter(|parameter| !accepted.takes(&parameter.value)) {
        found.entry(&parameter.value).or_default().push(parameter.stands_for(key));
    }
    found
        .into_iter()
        .map(|(value, places)| {
            let value = visible(value);
            if key.is_pattern() {
                format!("{key} is {value}, not {accepted}, for {}", visible(&places.join(", ")))
            } else {
                format!("{key} is {value}, not {accepted}")
            }
        })
        .collect()
}

/// A container's verdict where nothing of its own differs.
struct NotOurs<'a> {
    mine: usize,
    all: usize,
    container: &'a str,
}

impl NotOurs<'_> {
    fn verdict(&self) -> Verdict {
        let Self { mine, all, container } = self;
        let whose = format!("the kernel below this container ({container})");
        if mine == all {
            return Verdict::Compliant {
                notes: vec![format!("all of them belong to the network of this container ({container})")],
            };
        }
        let reason = match mine {
            0 => format!("all {all} settings belong to {whose}"),
            _ => format!("{mine} of {all} settings are as declared; the others belong to {whose}"),
        };
        Verdict::NotApplicable { reason }
    }
}

/// Whether `key` is missing because the kernel has no IPv6, or was started without it.
fn without_ipv6(key: &KernelKey, answer: &Answer) -> bool {
    let ipv6 = |text: &str| text.starts_with("net.ipv6.");
    ipv6(key.as_str())
        && !answer.parameters.iter().any(|found| found.parameter.as_str().starts_with("net/ipv6/"))
}
