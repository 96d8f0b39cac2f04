//! Programs that run with more rights than whoever starts them, and what everyone may write: one walk over the local file
//! systems, against what the distribution's packages bring. It changes nothing: whose a file is, is for people to find
//! out. What containers and guests have in their own roots is theirs, and left out.

mod declare;

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::RemotePath;
use crate::resource::{Defeated, Frame, Kind, Question, Reading, Step, Unread, Verdict, parts};
use crate::shell::Perl;
use crate::text::visible;

/// Findings of one sort that are written out.
const SHOWN: usize = 20;

/// What may be so. One per host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Permissions {
    /// Programs that may have their owner's or group's rights, where a package of the distribution brought them.
    pub set_id: Vec<RemotePath>,
    /// Files, and directories without the sticky bit, that everyone may write.
    pub writable: Vec<RemotePath>,
}

/// What the host says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Answer {
    /// Programs with the setuid or setgid bit.
    pub set_id: Vec<Program>,
    /// What everyone may write.
    pub writable: Vec<String>,
}

/// A program with the setuid or setgid bit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Program {
    /// Its path.
    pub path: String,
    /// Its permission bits.
    pub mode: String,
    /// Its owner and group.
    pub owner: String,
    /// The package that brought it; none where no package did.
    pub package: Option<String>,
    /// Whether its content is no longer the package's.
    pub changed: bool,
}

impl Kind for Permissions {
    type Answer = Answer;

    const STAYS: bool = true;

    fn question(_all: &[&Self]) -> Question {
        let body = Perl::new(include_str!("question.pl")).into();
        Question { label: "permissions", body, seconds: 60, cap: 4 << 20 }
    }

    fn read(all: &[&Self], frame: &Frame) -> Vec<Reading<Answer>> {
        let reading = answer(frame);
        all.iter().map(|_| reading.clone()).collect()
    }

    fn judge(&self, answer: &Answer, _now: Timestamp) -> Verdict {
        let mut programs = Vec::new();
        for program in &answer.set_id {
            let shown = visible(&format!("{} ({} {})", program.path, program.mode, program.owner));
            match &program.package {
                None => programs.push(format!("{shown} lends its owner's rights, and no package brought it")),
                Some(package) if !self.set_id.iter().any(|path| path.as_str() == program.path) => {
                    let package = visible(package);
                    programs.push(format!(
                        "{shown} of {package} lends its owner's rights, and is not among those that may"
                    ));
                }
                Some(package) if program.changed => {
                    programs.push(format!(
                        "{shown} lends its owner's rights, and is not as {} brought it",
                        visible(package)
                    ));
                }
                Some(_) => {}
            }
        }
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

fn answer(frame: &Frame) -> Reading<Answer> {
    let walk = parts::succeeded(frame, "walk")?;
    match walk.lines().last().and_then(|line| line.strip_prefix("found ")).unwrap_or_default() {
        "0" => {}
        "124" => return Err(Unread("the local file systems are too large to be walked in 25 s".to_owned())),
        status => {
            let said = crate::resource::parts::said(&frame.stderr);
            return Err(Unread(format!("the local file systems could not be walked (exit {status}){said}")));
        }
    }
    let owners = parts::succeeded(frame, "owners")?;
    let changed = parts::succeeded(frame, "changed")?;
    if !walk.lines().any(|line| line == "walked") {
        return Err(Unread("find said nothing of the local file systems".to_owned()));
    }
    if !owners.lines().any(|line| line == "self dpkg") || changed.lines().next() != Some("looked") {
        return Err(Unread("dpkg did not say whose programs they are".to_owned()));
    }
    let mut package_of: HashMap<&str, &str> = HashMap::new();
    for (package, path) in owners.lines().filter_map(|line| line.split_once(": ")) {
        package_of.entry(path).or_insert(package);
    }
    let changed: HashSet<&str> = changed.lines().filter_map(|line| line.rsplit(' ').next()).collect();
    let mut answer = Answer { set_id: Vec::new(), writable: Vec::new() };
    for line in walk.lines() {
        if let Some(path) = line.strip_prefix("writable ") {
            answer.writable.push(path.to_owned());
        } else if let Some(rest) = line.strip_prefix("set-id ") {
            let fields: Vec<&str> = rest.splitn(3, ' ').collect();
            let [mode, owner, path] = fields.as_slice() else {
                return Err(Unread(format!("find wrote a line of another form: {}", parts::line(line))));
            };
            // dpkg may know a path by its name from before /bin became /usr/bin.
            let names = || [Some(*path), path.strip_prefix("/usr")].into_iter().flatten();
            answer.set_id.push(Program {
                path: (*path).to_owned(),
                mode: (*mode).to_owned(),
                owner: (*owner).to_owned(),
                package: names().find_map(|name| package_of.get(name)).map(|package| (*package).to_owned()),
                changed: names().any(|name| changed.contains(name)),
            });
        }
    }
    Ok(answer)
}
