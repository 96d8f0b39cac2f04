//! Who is in a group, such as `sudo`. It judges membership; the group itself comes with the distribution.

mod declare;

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::{FoundName, GroupName, UserName};
use crate::resource::{
    AccountAction, Change, Defeated, Frame, Kind, Phase, Question, Reading, Step, Unread, Verdict,
};
use crate::shell::Perl;
use crate::text::visible;

/// A group, and exactly who is in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// The group.
    pub group: GroupName,
    /// Its members, and no others.
    pub only: Vec<UserName>,
}

/// Who is in it, as the host writes the names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Answer {
    /// Whether there is such a group.
    pub exists: bool,
    /// Those that group(5) lists.
    pub members: BTreeSet<String>,
    /// Those whose primary group it is.
    pub primary: BTreeSet<String>,
}

impl Group {
    fn strangers<'a>(&'a self, names: &'a BTreeSet<String>) -> impl Iterator<Item = &'a str> {
        names.iter().map(String::as_str).filter(|name| !self.only.iter().any(|user| user.as_str() == *name))
    }

    fn missing<'a>(&'a self, answer: &'a Answer) -> impl Iterator<Item = &'a UserName> {
        self.only
            .iter()
            .filter(|user| !answer.members.contains(user.as_str()) && !answer.primary.contains(user.as_str()))
    }
}

impl Kind for Group {
    type Answer = Answer;

    const ACCESS: bool = true;

    fn question(_all: &[&Self]) -> Question {
        let body = Perl::new(include_str!("question.pl")).into();
        Question { label: "group", body, seconds: 30, cap: 4 << 20 }
    }

    fn read(all: &[&Self], frame: &Frame) -> Vec<Reading<Answer>> {
        let groups = Groups::read(frame);
        all.iter().map(|one| groups.clone().map(|groups| groups.answer(&one.group))).collect()
    }

    fn judge(&self, answer: &Answer, _now: Timestamp) -> Verdict {
        let group = &self.group;
        if !answer.exists {
            return if self.only.is_empty() {
                Verdict::compliant()
            } else {
                Verdict::Drift { findings: vec![format!("there is no group {group}")] }
            };
        }
        let mut findings: Vec<String> =
            self.missing(answer).map(|user| format!("{user} is not in group {group}")).collect();
        findings.extend(self.strangers(&answer.members).map(|name| {
            let by_hand =
                if name.parse::<FoundName>().is_ok() { "" } else { "; take it out by hand: gpasswd -d" };
            format!("{} is in group {group} and not declared{by_hand}", visible(name))
        }));
        findings.extend(
            self.strangers(&answer.primary).map(|name| {
                format!("{} has {group} as its primary group and is not declared", visible(name))
            }),
        );
        Verdict::from_findings(findings)
    }

    fn remedy(&self, answer: &Answer) -> Result<Vec<Step>, Defeated> {
        let group = &self.group;
        if !answer.exists {
            if self.only.is_empty() {
                return Ok(Vec::new());
            }
            return Err(Defeated {
                what: format!("there is no group {group}"),
                hint: format!("install the package that brings it, or make it: groupadd --system {group}"),
            });
        }
        if let Some(name) = self.strangers(&answer.primary).next() {
            let name = visible(name);
            return Err(Defeated {
                what: format!("{name} has {group} as its primary group"),
                hint: format!("give it a primary group of its own: usermod -g GROUP {name}"),
            });
        }
        let mut steps: Vec<Step> = self
            .missing(answer)
            .map(|user| Step {
                phase: Phase::Widen,
                summary: format!("add {user} to group {group}"),
                change: Change::Account {
                    action: AccountAction::Join { user: user.clone(), group: group.clone() },
                },
                cuts: Vec::new(),
            })
            .collect();
        for name in self.strangers(&answer.members) {
            // One whose name no command is given is a finding that says what to do.
            let Ok(user) = name.parse::<FoundName>() else { continue };
            steps.push(Step {
                phase: Phase::Narrow,
                summary: format!("take {user} out of group {group}"),
                cuts: vec![format!("{user} loses what group {group} may do")],
                change: Change::Account { action: AccountAction::Leave { user, group: group.clone() } },
            });
        }
        Ok(steps)
    }

    fn name(&self) -> String {
        format!("members of group {}", self.group)
    }
}

/// All groups of a host.
#[derive(Debug, Clone)]
struct Groups {
    /// Name, id, members.
    groups: Vec<(String, String, BTreeSet<String>)>,
    /// Id of the primary group, account.
    primary: Vec<(String, String)>,
}

impl Groups {
    fn read(frame: &Frame) -> Reading<Self> {
        let text = String::from_utf8_lossy(&frame.stdout);
        let unread = |what: &str| {
            Unread(format!("{what} (exit {}){}", frame.status, crate::resource::parts::said(&frame.stderr)))
        };
        let mut groups = Vec::new();
        let mut primary = Vec::new();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("group:") {
                let [name, id, members] = rest.split(':').collect::<Vec<_>>()[..] else {
                    return Err(unread("a group has another form"));
                };
                let members = members.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect();
                groups.push((name.to_owned(), id.to_owned(), members));
            } else if let Some((id, name)) =
                line.strip_prefix("primary:").and_then(|rest| rest.split_once(':'))
            {
                primary.push((id.to_owned(), name.to_owned()));
            }
        }
        let counted = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)?.parse::<usize>().ok());
        if counted("groups:") != Some(groups.len()) || counted("accounts:") != Some(primary.len()) {
            return Err(unread("the list of groups is not whole"));
        }
        // Root's group and root stand on every host: lists without them were not read.
        let root = groups.iter().any(|(name, id, _)| name == "root" && id == "0")
            && primary.iter().any(|(id, name)| name == "root" && id == "0");
        if root { Ok(Self { groups, primary }) } else { Err(unread("the list of groups lacks root")) }
    }

    fn answer(&self, group: &GroupName) -> Answer {
        let mut answer = Answer { exists: false, members: BTreeSet::new(), primary: BTreeSet::new() };
        for (_, id, members) in self.groups.iter().filter(|(name, ..)| name == group.as_str()) {
            answer.exists = true;
            answer.members.extend(members.iter().cloned());
            answer.primary.extend(
                self.primary.iter().filter(|(primary, _)| primary == id).map(|(_, name)| name.clone()),
            );
        }
        answer
    }
}
