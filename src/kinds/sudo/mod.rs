//! Who may do what as root: exactly the declared rules, in one file of ours. Of other files' rules only those stay that
//! Debian delivers (root's own, and group sudo's, whose members are another kind's matter). Rules of others that cannot
//! be read, and options that take the meaning from ours, refuse the plan. sudo itself checks our file before it is put
//! in place (`visudo -cf`).

mod declare;
mod answer;
mod line;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::{GroupName, Malformed, Mode, RemotePath, UserName};
use crate::resource::{
    Change, Defeated, FileContent, FileState, Frame, Kind, Phase, Question, Reading, Step, Verdict,
};
use crate::shell::Perl;
use crate::text::{excerpt, visible};
pub use answer::{Answer, RULES, SudoersFile};
use answer::{MAIN, SudoLine, rule};
use line::{LineKind, canonical, defaults, lines};

/// What Debian's own sudoers grants, in its one form; it stays in the main file.
const DELIVERED: [&str; 4] =
    ["root ALL=(ALL:ALL)ALL", "root ALL=(ALL)ALL", "%sudo ALL=(ALL:ALL)ALL", "%sudo ALL=(ALL)ALL"];

/// The sudo rules of a host. One per host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sudo {
    /// Sudo rules of each account, without a password: there are none. An account that is not named may do nothing.
    pub rules: BTreeMap<UserName, Grant>,
}

/// What an account may do as root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Grant {
    /// Everything, as anybody.
    All,
    /// These commands alone.
    Commands(Vec<SudoCommand>),
}

/// A command in sudoers' syntax: an absolute path and its arguments, with `,` `:` `=` `\` escaped by a backslash.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, schemars::JsonSchema, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SudoCommand(String);

impl FromStr for SudoCommand {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let fix =
            "write an absolute path and its arguments on one line, with a backslash before , : = # ! and \\";
        if !text.starts_with('/') || text.trim() != text {
            return Err(Malformed::new("a command for sudo is an absolute path", fix));
        }
        let mut characters = text.chars();
        while let Some(character) = characters.next() {
            let sound = match character {
                '\\' => characters.next().is_some_and(|next| !next.is_control()),
                ',' | ':' | '=' | '#' | '!' | '"' => false,
                other => !other.is_control(),
            };
            if !sound {
                return Err(Malformed::new(
                    "a command for sudo with a character that means something else in sudoers",
                    fix,
                ));
            }
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for SudoCommand {
    type Error = Malformed;

    fn try_from(text: String) -> Result<Self, Malformed> {
        text.parse()
    }
}

impl From<SudoCommand> for String {
    fn from(command: SudoCommand) -> Self {
        command.0
    }
}

impl fmt::Display for SudoCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl Kind for Sudo {
    type Answer = Answer;

    const ACCESS: bool = true;

    fn question(_all: &[&Self]) -> Question {
        Question {
            label: "sudo",
            body: Perl::new(include_str!("question.pl")).into(),
            seconds: 20,
            cap: 8 << 20,
        }
    }

    fn read(all: &[&Self], frame: &Frame) -> Vec<Reading<Answer>> {
        let reading = answer::read(frame);
        all.iter().map(|_| reading.clone()).collect()
    }

    fn judge(&self, answer: &Answer, _now: Timestamp) -> Verdict {
        let mut findings = Vec::new();
        if !answer.is_set_up() {
            findings.push(format!("{MAIN} is missing: sudo is not installed"));
        }
        findings.extend(self.ours(answer).findings);
        let places = answer.places();
        findings.extend(
            places.iter().filter(|place| is_stranger(place)).map(|place| {
                format!("{}: `{}` is not declared", place.shown(), excerpt(&place.line.text, 200))
            }),
        );
        findings.extend(answer.files.iter().filter_map(|file| match &file.state {
            FileState::Present(found) if file.path != RULES => {
                is_open(found).then(|| format!("{} {}", visible(&file.path), owned(found)))
            }
            _ => None,
        }));
        findings.extend(self.defeats(answer, &places).into_iter().map(|defeat| defeat.what));
        Verdict::from_findings(findings)
    }

    fn remedy(&self, answer: &Answer) -> Result<Vec<Step>, Defeated> {
        let places = answer.places();
        if let Some(defeat) = self.defeats(answer, &places).into_iter().next() {
            return Err(defeat);
        }
        let mut steps = self.ours(answer).steps()?;
        for file in answer.files.iter().filter(|file| file.path != RULES) {
            let strangers: Vec<&SudoLine<'_>> =
                places.iter().filter(|place| place.path == file.path && is_stranger(place)).collect();
            steps.extend(cleaned(file, &strangers, answer.is_named(&file.path))?);
        }
        Ok(steps)
    }

    fn name(&self) -> String {
        "sudo rules".to_owned()
    }
}

/// Our file as it is and as it shall be.
struct Ours {
    found: FileState,
    declared: Vec<String>,
    /// Declared rules that are not there.
    missing: Vec<String>,
    /// Lines that are there and not declared, and whether each is part of a rule.
    extra: Vec<(String, bool)>,
    /// Whether sudo would take the file as it is.
    usable: bool,
    findings: Vec<String>,
}

impl Sudo {
    /// The declared rules, as they stand in our file.
    fn declared(&self) -> Vec<String> {
        self.rules
            .iter()
            .filter_map(|(user, grant)| match grant {
                Grant::All => Some(format!("{user} ALL=(ALL:ALL) NOPASSWD: ALL")),
                Grant::Commands(commands) if commands.is_empty() => None,
                Grant::Commands(commands) => {
                    let all: Vec<&str> = commands.iter().map(|one| one.0.as_str()).collect();
                    Some(format!("{user} ALL=(root) NOPASSWD: {}", all.join(", ")))
                }
            })
            .collect()
    }

    fn ours(&self, answer: &Answer) -> Ours {
        let found = answer
            .files
            .iter()
            .find(|file| file.path == RULES)
            .map_or(FileState::Absent, |file| file.state.clone());
        let declared = self.declared();
        let mut ours = Ours {
            missing: declared.clone(),
            declared,
            extra: Vec::new(),
            usable: false,
            findings: Vec::new(),
            found,
        };
        if let FileState::Present(found) = &ours.found {
            let wanted: BTreeSet<String> = ours.declared.iter().map(|rule| canonical(rule)).collect();
            let present = lines(&found.content);
            let rules: BTreeSet<String> = present.iter().map(rule).collect();
            ours.missing.retain(|rule| !rules.contains(&canonical(rule)));
            ours.extra = present
                .iter()
                .filter(|line| !wanted.contains(&rule(line)))
                .map(|line| (line.text.clone(), matches!(line.kind, LineKind::Rule | LineKind::Alias)))
                .collect();
            ours.usable = (found.mode, &found.owner, &found.group)
                == (Mode::SUDOERS, &UserName::root(), &GroupName::root());
            if !ours.usable {
                ours.findings.push(format!("{RULES} {}", owned(found)));
            }
        }
        ours.findings.extend(ours.missing.iter().map(|rule| format!("`{rule}` is missing from {RULES}")));
        ours.findings.extend(
            ours.extra.iter().map(|(text, _)| format!("{RULES}: `{}` is not declared", excerpt(text, 200))),
        );
        ours
    }

    /// What palisade does not change and what takes the meaning from the rules that it does.
    fn defeats(&self, answer: &Answer, places: &[SudoLine<'_>]) -> Vec<Defeated> {
        let mut defeats: Vec<Defeated> = answer
            .unread
            .iter()
            .map(|what| Defeated {
                what: what.clone(),
                hint: "move its rules to a plain file in /etc/sudoers.d, so that they can be seen".to_owned(),
            })
            .collect();
        if answer.is_set_up() && !answer.has_directory {
            defeats.push(Defeated {
                what: format!("{MAIN} does not include /etc/sudoers.d"),
                hint: "put `@includedir /etc/sudoers.d` on its last line, as Debian delivers it".to_owned(),
            });
        }
        defeats.extend(answer.conf.iter().filter(|line| line.starts_with("Plugin")).map(|line| Defeated {
            what: format!(
                "/etc/sudo.conf: `{}` makes sudo ask something else than its files",
                excerpt(line, 120)
            ),
            hint: "take the line out: Debian's sudo needs none".to_owned(),
        }));
        let switch = answer.switch.split_once(':').map_or("", |(_, rest)| rest.trim());
        if !matches!(switch, "" | "files") {
            defeats.push(Defeated {
                what: format!(
                    "/etc/nsswitch.conf: `{}` makes sudo ask something else than its files",
                    excerpt(&answer.switch, 120)
                ),
                hint: "write `sudoers: files`, or take the line out".to_owned(),
            });
        }
        for place in
            places.iter().filter(|place| place.path != RULES && place.line.kind == LineKind::Defaults)
        {
            defeats.extend(self.defaults_defeat(place));
        }
        let later = places.iter().filter(|place| place.is_behind_ours && place.path != RULES);
        defeats.extend(later.filter_map(|place| self.overrule(place)));
        defeats
    }

    /// Options that keep our rules from working without a terminal and a password, or give them to everybody.
    fn defaults_defeat(&self, place: &SudoLine<'_>) -> Option<Defeated> {
        let (scope, parameters) = defaults(&place.line.text);
        let others = scope.strip_prefix(':').is_some_and(|users| {
            users.split(',').map(str::trim).all(|user| {
                user.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
                    && !self.rules.keys().any(|declared| declared.as_str() == user)
            })
        });
        let parameter = parameters.into_iter().find(|parameter| {
            let name = parameter.split(['=', '+', '-']).next().unwrap_or_default().trim();
            let harmless_root = name == "runas_default" && parameter.trim_end_matches('"').ends_with("root");
            matches!(
                name,
                "requiretty"
                    | "noexec"
                    | "targetpw"
                    | "rootpw"
                    | "runaspw"
                    | "exempt_group"
                    | "runas_default"
                    | "!authenticate"
            ) && !harmless_root
        })?;
        (!others).then(|| Defeated {
            what: format!(
                "{}: `{}` changes what rules mean (`{}`)",
                place.shown(),
                excerpt(&place.line.text, 120),
                excerpt(parameter, 60)
            ),
            hint: "take that option out; palisade does not rewrite options of others".to_owned(),
        })
    }

    /// The last rule that matches counts: one behind ours that asks for a password keeps a declared account out.
    fn overrule(&self, place: &SudoLine<'_>) -> Option<Defeated> {
        let text = rule(&place.line);
        if place.line.kind != LineKind::Rule || text.contains("NOPASSWD") {
            return None;
        }
        let (whom, what) = text.split_once('=')?;
        let what = what.rsplit(')').next()?;
        let mut whom: Vec<&str> = whom.split([' ', ',']).collect();
        whom.pop();
        let hit =
            whom.iter().any(|user| *user == "ALL" || self.rules.keys().any(|one| one.as_str() == *user));
        (hit && what.split([',', ':']).any(|command| command == "ALL")).then(|| Defeated {
            what: format!(
                "{}: `{}` comes after palisade's rules and asks for a password",
                place.shown(),
                excerpt(&place.line.text, 120)
            ),
            hint: "take it out, or move it before `@includedir /etc/sudoers.d`: the last rule that matches counts".to_owned(),
        })
    }
}

impl Ours {
    /// First the declared rules beside those that are there, then the declared rules alone.
    fn steps(&self) -> Result<Vec<Step>, Defeated> {
        if self.findings.is_empty() && (!self.declared.is_empty() || self.found == FileState::Absent) {
            return Ok(Vec::new());
        }
        let path = remote(RULES)?;
        if let FileState::Other { kind } = &self.found {
            return Err(Defeated {
                what: format!("{RULES} is a {}, not a regular file", visible(kind)),
                hint: "move it out of the way by hand, after finding out who put it there".to_owned(),
            });
        }
        let mut steps = Vec::new();
        let mut before = self.found.clone();
        if !self.missing.is_empty() || (!self.usable && !self.declared.is_empty()) {
            let kept = self.extra.iter().filter(|(_, is_rule)| *is_rule).map(|(text, _)| text);
            // An alias stands before the rules that use it.
            let after = sudoers(content(kept.chain(&self.declared)));
            steps.push(Step {
                phase: Phase::Widen,
                summary: format!("write the declared sudo rules to {RULES}"),
                change: Change::File { path: path.clone(), before, after: after.clone() },
                cuts: Vec::new(),
            });
            before = after;
        }
        let after =
            if self.declared.is_empty() { FileState::Absent } else { sudoers(content(self.declared.iter())) };
        if before != after {
            steps.push(Step {
                phase: Phase::Narrow,
                summary: format!("leave only the declared sudo rules in {RULES}"),
                change: Change::File { path, before, after },
                cuts: self
                    .extra
                    .iter()
                    .map(|(text, _)| format!("`{}` in {RULES}", excerpt(text, 200)))
                    .collect(),
            });
        }
        Ok(steps)
    }
}

/// Whether a rule of others has to go.
fn is_stranger(place: &SudoLine<'_>) -> bool {
    place.line.kind == LineKind::Rule
        && place.path != RULES
        && !(place.path == MAIN && DELIVERED.contains(&rule(&place.line).as_str()))
}

/// A file of others without the rules of strangers, root's alone to write.
fn cleaned(
    file: &SudoersFile,
    strangers: &[&SudoLine<'_>],
    is_named: bool,
) -> Result<Option<Step>, Defeated> {
    let FileState::Present(found) = &file.state else { return Ok(None) };
    if strangers.is_empty() && !is_open(found) {
        return Ok(None);
    }
    let gone = |at: usize| strangers.iter().any(|place| place.line.lines.contains(&at));
    let kept: String = found
        .content
        .split_inclusive('\n')
        .enumerate()
        .filter_map(|(at, line)| (!gone(at)).then_some(line))
        .collect();
    let path = remote(&file.path)?;
    let (summary, after) = if strangers.is_empty() {
        (format!("take {path} from everybody but root"), sudoers(kept))
    } else if file.path != MAIN && !is_named && lines(&kept).is_empty() {
        (format!("remove {path}"), FileState::Absent)
    } else {
        (format!("take undeclared sudo rules out of {path}"), sudoers(kept))
    };
    let cuts = strangers
        .iter()
        .map(|place| format!("`{}` in {}", excerpt(&place.line.text, 200), visible(&file.path)))
        .collect();
    let change = Change::File { path, before: file.state.clone(), after };
    Ok(Some(Step { phase: Phase::Narrow, summary, change, cuts }))
}

fn content<'a>(rules: impl Iterator<Item = &'a String>) -> String {
    rules.fold(
        "# Written by palisade: who may do what as root. What else is added here is removed again.\n"
            .to_owned(),
        |text, rule| text + rule + "\n",
    )
}

fn sudoers(content: String) -> FileState {
    let (owner, group) = (UserName::root(), GroupName::root());
    FileState::Present(FileContent { content, mode: Mode::SUDOERS, owner, group })
}

/// Whether somebody else than root may write it.
fn is_open(found: &FileContent) -> bool {
    let mode = found.mode.to_string();
    let writable = |digit: Option<char>| matches!(digit, Some('2' | '3' | '6' | '7'));
    let mut digits = mode.chars().rev();
    let others = writable(digits.next());
    let group = writable(digits.next()) && found.group != GroupName::root();
    others || group || found.owner != UserName::root()
}

fn owned(found: &FileContent) -> String {
    format!("is {} {}:{}, not 0440 root:root", found.mode, found.owner, found.group)
}

fn remote(path: &str) -> Result<RemotePath, Defeated> {
    path.parse().map_err(|_| Defeated {
        what: format!("{} holds sudo rules under a name that palisade does not handle", visible(path)),
        hint: "rename it, or move its rules".to_owned(),
    })
}

#[cfg(test)]
mod tests;
