//! Programs that run with more rights than whoever starts them (setuid, setgid, file capabilities), and what everyone may
//! write: one walk over the local file systems, against what the distribution's packages bring. It changes nothing: whose a file is, is for people to find
//! out. What containers and guests have in their own roots is theirs, and left out.

mod answer;
mod capability;
mod declare;
mod program;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use program::{Answer, Lends, Origin, Program};

use crate::domain::RemotePath;
use crate::resource::{Defeated, Frame, Kind, Question, Reading, Step, Verdict, parts};
use crate::shell::Perl;
use crate::text::visible;

/// Findings of one sort that are written out.
const SHOWN: usize = 20;

/// What may be so. One per host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Permissions {
    /// Programs that may have their owner's or group's rights, where a package of the distribution brought them.
    pub set_id: Vec<RemotePath>,
    /// Programs that may have these file capabilities (`capabilities(7)`), where a package of the distribution brought them.
    #[serde(default)]
    pub capabilities: BTreeMap<RemotePath, Vec<String>>,
    /// Files, and directories without the sticky bit, that everyone may write.
    pub writable: Vec<RemotePath>,
}

impl Permissions {
    /// Whether a package may bring a program with such rights.
    fn may(&self, program: &Program) -> bool {
        match &program.lends {
            Lends::SetId { .. } => self.set_id.iter().any(|path| path.as_str() == program.path),
            Lends::Capabilities(names) => self.capabilities.iter().any(|(path, allowed)| {
                path.as_str() == program.path && names.iter().all(|name| allowed.contains(name))
            }),
        }
    }

    /// What is wrong with a program that lends rights.
    fn finding(&self, program: &Program) -> Option<String> {
        let path = &program.path;
        let (subject, does) = match &program.lends {
            Lends::SetId { mode, owner } => {
                (format!("{path} ({mode} {owner})"), "lends its owner's rights".to_owned())
            }
            Lends::Capabilities(names) => (path.clone(), format!("has {}", names.join(" and "))),
        };
        let subject = visible(&subject);
        let does = visible(&does);
        match &program.origin {
            Origin::Nobody => Some(format!("{subject} {does}, and no package brought it")),
            Origin::Diverted => Some(format!(
                "{subject} {does}, and is in the place of a package's file: see dpkg-divert --list"
            )),
            Origin::Renamed => Some(format!(
                "{subject} {does}, and is a package's file under another name: see dpkg-divert --list"
            )),
            Origin::Package(package) if !self.may(program) => {
                Some(format!("{subject} of {} {does}, and is not among those that may", visible(package)))
            }
            Origin::Package(package) if program.changed => {
                Some(format!("{subject} {does}, and is not as {} brought it", visible(package)))
            }
            Origin::Package(_) => None,
        }
    }
}

impl Kind for Permissions {
    type Answer = Answer;

    const STAYS: bool = true;

    fn question(_all: &[&Self]) -> Question {
        let body = Perl::new(include_str!("question.pl")).into();
        Question { label: "permissions", body, seconds: 60, cap: 4 << 20 }
    }

    fn read(all: &[&Self], frame: &Frame) -> Vec<Reading<Answer>> {
        let reading = answer::read(frame);
        all.iter().map(|_| reading.clone()).collect()
    }

    fn judge(&self, answer: &Answer, _now: Timestamp) -> Verdict {
        let programs: Vec<String> =
            answer.programs.iter().filter_map(|program| self.finding(program)).collect();
        let writable: Vec<String> = answer
            .writable
            .iter()
            .filter(|path| !self.writable.iter().any(|allowed| allowed.as_str() == path.as_str()))
            .map(|path| format!("everyone may write {}", visible(path)))
            .collect();
        let mut findings = parts::listed(&programs, SHOWN);
        findings.extend(parts::listed(&writable, SHOWN));
        Verdict::from_findings(findings)
    }

    fn remedy(&self, _answer: &Answer) -> Result<Vec<Step>, Defeated> {
        Ok(Vec::new())
    }

    fn name(&self) -> String {
        "permissions of files".to_owned()
    }
}
