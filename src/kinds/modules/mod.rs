//! Kernel modules that a host never loads: a file of modprobe's that keeps each from being loaded, whoever asks, and that
//! none of them is loaded now. What is loaded it only names: taking a module out cuts whoever uses it, and a reboot does it
//! too. In a container there is nothing to keep: the modules are the kernel's below.

mod declare;

use std::fmt::Write as _;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::{GroupName, Mode, ModuleName, RemotePath, UserName};
use crate::kinds::{file, machine};
use crate::resource::{
    Defeated, FileContent, FileState, Frame, Kind, Question, Reading, Step, Unread, Verdict, parts,
};
use crate::shell::{Arg, Perl};
use crate::text::visible;

/// Modules that are never loaded. One per host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Modules {
    /// The modules.
    pub never: Vec<ModuleName>,
}

/// What the host says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Answer {
    /// The container that it is.
    pub container: Option<String>,
    /// What modprobe does where it is asked for a module, in the order in which it looks; none where there is no modprobe,
    /// and so nobody whom the kernel could ask.
    pub rules: Option<Vec<Rule>>,
    /// In what state each of the modules is, in their order; none in a container.
    pub states: Vec<State>,
    /// Our file.
    pub file: FileState,
}

/// A line `install MODULE COMMAND` of modprobe's configuration (modprobe.d(5)).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Rule {
    /// The module, with underscores.
    pub module: String,
    /// What is run in its place.
    pub command: String,
}

/// Where a module is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Not in the running kernel.
    Absent,
    /// Loaded.
    Loaded,
    /// A part of the kernel itself.
    BuiltIn,
}

/// Of the files of modprobe's folders, the one that is ours.
const FILE: &str = "/etc/modprobe.d/palisade.conf";
/// What is run in the place of a module: it fails, so that whoever asked is told (modprobe.d(5), `install`).
const REFUSE: &str = "/bin/false";
/// What others write for the same; it says that all is well, and loads nothing.
const SILENT: [&str; 4] = ["/bin/false", "/usr/bin/false", "/bin/true", "/usr/bin/true"];
/// What `modprobe --showconfig` writes behind all lines of its configuration.
const LAST: &str = "# End of configuration files. Dumping indexes now:";

impl Modules {
    fn content(&self) -> FileContent {
        let mut content = String::from(
            "# Written by palisade: modules that this host never loads. Whoever asks for one gets none.\n",
        );
        for module in &self.never {
            let _ = writeln!(content, "install {} {REFUSE}", module.in_kernel());
        }
        FileContent { content, mode: Mode::PUBLIC, owner: UserName::root(), group: GroupName::root() }
    }

    /// What comes of asking for `module`, where it is not nothing.
    fn defeat<'a>(module: &ModuleName, answer: &'a Answer) -> Option<&'a str> {
        let first = answer.rules.iter().flatten().find(|rule| rule.module == module.in_kernel());
        first.map(|rule| rule.command.as_str()).filter(|command| !SILENT.contains(command))
    }

    fn is_kept_out(module: &ModuleName, answer: &Answer) -> bool {
        answer.rules.as_ref().is_none_or(|rules| rules.iter().any(|rule| rule.module == module.in_kernel()))
            && Self::defeat(module, answer).is_none()
    }
}

impl Kind for Modules {
    type Answer = Answer;

    fn question(all: &[&Self]) -> Question {
        let ours: Option<RemotePath> = FILE.parse().ok();
        let body = Perl::new(machine::CONTAINER)
            .then(include_str!("question.pl"))
            .given(
                "modules",
                all.iter().flat_map(|one| &one.never).map(|module| Arg::lossy(module.in_kernel())),
            )
            .given("files", ours.iter().map(Arg::from))
            .into();
        Question { label: "modules", body, seconds: 20, cap: 4 << 20 }
    }

    fn read(all: &[&Self], frame: &Frame) -> Vec<Reading<Answer>> {
        all.iter().map(|one| answer(one, frame)).collect()
    }

    fn judge(&self, answer: &Answer, _now: Timestamp) -> Verdict {
        if let Some(container) = &answer.container {
            let reason =
                format!("the kernel's modules are those of the machine below this container ({container})");
            return Verdict::NotApplicable { reason };
        }
        let mut findings = Vec::new();
        for (module, state) in self.never.iter().zip(&answer.states) {
            match Self::defeat(module, answer) {
                Some(command) => {
                    findings.push(format!("where {module} is asked for, `{}` is run", parts::line(command)));
                }
                None if !Self::is_kept_out(module, answer) => {
                    findings.push(format!("{module} is loaded for whoever asks for it"));
                }
                None => {}
            }
            match state {
                State::Absent => {}
                State::Loaded => findings.push(format!(
                    "{module} is loaded, and stays so until a reboot: find out what asked for it"
                )),
                State::BuiltIn => {
                    findings.push(format!("{module} is built into the kernel, and no file keeps it out"));
                }
            }
        }
        if let Ok(path) = FILE.parse() {
            findings.extend(file::differences(&path, &answer.file, Some(&self.content())));
        }
        if findings.is_empty() && answer.rules.is_none() {
            return Verdict::Compliant {
                notes: vec!["there is no modprobe, so no module is loaded on demand".to_owned()],
            };
        }
        Verdict::from_findings(findings)
    }

    fn remedy(&self, answer: &Answer) -> Result<Vec<Step>, Defeated> {
        if answer.container.is_some() {
            return Ok(Vec::new());
        }
        let defeat = self.never.iter().find_map(|module| Some((module, Self::defeat(module, answer)?)));
        if let Some((module, command)) = defeat {
            return Err(Defeated {
                what: format!(
                    "`install {module} {}` of another file of modprobe's is read first",
                    parts::line(command)
                ),
                hint: format!(
                    "take that line out (grep -r {module} /etc/modprobe.d), or leave {module} out of the playbook"
                ),
            });
        }
        let Ok(path) = FILE.parse() else { return Ok(Vec::new()) };
        file::File { path, content: Some(self.content()) }.remedy(&answer.file)
    }

    fn name(&self) -> String {
        "kernel modules that are never loaded".to_owned()
    }
}

fn answer(one: &Modules, frame: &Frame) -> Reading<Answer> {
    let container = machine::container(frame)?;
    if container.is_some() {
        // What it sees of modules is the kernel's below, if anything.
        return Ok(Answer { container, rules: None, states: Vec::new(), file: FileState::Absent });
    }
    let text = String::from_utf8_lossy(&frame.stdout);
    let rules = match parts::part(frame, "missing") {
        Ok(missing) if missing.text == "modprobe" => None,
        _ => Some(rules(&parts::succeeded(frame, "rules")?)?),
    };
    let state = |module: &ModuleName| {
        let mark = format!("module {} ", module.in_kernel());
        let mut said = text.lines().filter_map(|line| line.strip_prefix(mark.as_str()));
        match (said.next(), said.next()) {
            (Some("absent"), None) => Ok(State::Absent),
            (Some("loaded"), None) => Ok(State::Loaded),
            (Some("built-in"), None) => Ok(State::BuiltIn),
            _ => Err(Unread(format!("the host did not say whether {module} is loaded"))),
        }
    };
    let states = one.never.iter().map(state).collect::<Reading<_>>()?;
    let file = file::read_states(frame).remove(FILE).ok_or_else(|| {
        Unread(format!("{FILE} could not be read{}", crate::resource::parts::said(&frame.stderr)))
    })??;
    Ok(Answer { container, rules, states, file })
}

fn rules(part: &parts::Part) -> Reading<Vec<Rule>> {
    if part.lines().last() != Some(LAST) {
        return Err(Unread("modprobe did not say how it is set".to_owned()));
    }
    let rule = |line: &str| {
        let (module, command) = line.strip_prefix("install ")?.split_once(' ')?;
        Some(Rule { module: visible(&module.replace('-', "_")), command: visible(command.trim()) })
    };
    Ok(part.lines().filter_map(rule).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(rules: Option<&[(&str, &str)]>, state: State) -> Answer {
        let rule =
            |(module, command): &(&str, &str)| Rule { module: (*module).into(), command: (*command).into() };
        Answer {
            container: None,
            rules: rules.map(|rules| rules.iter().map(rule).collect()),
            states: vec![state],
            file: FileState::Present(modules().content()),
        }
    }

    fn modules() -> Modules {
        Modules { never: vec!["ieee802154-socket".parse().unwrap()] }
    }

    fn word(answer: &Answer) -> &'static str {
        modules().judge(answer, Timestamp::UNIX_EPOCH).word()
    }

    #[test]
    fn a_module_is_kept_out_by_the_first_rule_and_not_by_a_later_one() {
        let ours = ("ieee802154_socket", "/bin/false");
        let theirs = ("ieee802154_socket", "/sbin/modprobe --ignore-install ieee802154_socket");
        assert_eq!(word(&answer(Some(&[ours]), State::Absent)), "compliant");
        assert_eq!(word(&answer(Some(&[ours, theirs]), State::Absent)), "compliant");
        let defeated = answer(Some(&[theirs, ours]), State::Absent);
        assert_eq!(word(&defeated), "drift");
        assert!(modules().remedy(&defeated).is_err());
        assert_eq!(
            word(&answer(Some(&[]), State::Absent)),
            "drift",
            "a file that is not read keeps nothing out"
        );
        assert_eq!(word(&answer(None, State::Absent)), "compliant");
        assert_eq!(word(&answer(Some(&[ours]), State::Loaded)), "drift");
        assert_eq!(word(&answer(Some(&[ours]), State::BuiltIn)), "drift");
    }
}
