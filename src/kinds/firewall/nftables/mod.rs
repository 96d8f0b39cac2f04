//! The firewall on a host: whether the declared ruleset is what the kernel has loaded, and what it loads at boot.
//!
//! nft prints rules in its own words, which differ between versions. So the declared text is loaded on the host itself,
//! into an empty network namespace, and listed there by the same nft as the live table: the two listings are compared,
//! without what sets gathered meanwhile.
//! Tables of others are reported, never touched.

mod others;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use self::others::{Others, PassedOn};
use super::live::FORWARDING;
use super::ruleset::{self, Ruleset};
use crate::domain::{Cidr, GroupName, Mode, Port, RemotePath, UserName};
use crate::resource::sections::Sections;
use crate::resource::{
    Change, Defeated, FileContent, FileState, Frame, Kind, Phase, Question, Reading, Step, Unread, Verdict,
    parts,
};
use crate::shell::{Arg, Perl};
use crate::text::{excerpt, visible};

/// The declared firewall.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nftables {
    /// Rules that shall be loaded.
    pub ruleset: Ruleset,
    /// Sources for which SSH must stay open while the rules change.
    pub management: Vec<Cidr>,
    /// Port of sshd.
    pub ssh_port: Port,
}

/// What a host has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Answer {
    /// What the kernel has loaded; none where nft is not installed.
    pub tables: Option<Tables>,
    /// What is loaded at boot.
    pub file: FileState,
    /// Whether the host passes packets on between networks: containers, virtual machines, routing.
    pub forwards: bool,
    /// Firewalls that filter by iptables, where nft is not there to list what they do.
    pub unlisted: Vec<&'static str>,
}

/// What the kernel has loaded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Tables {
    /// The declared ruleset, as this host's nft lists it.
    pub desired: String,
    /// The live table of ours; none where there is none.
    pub live: Option<String>,
    /// Chains of others that drop what they do not accept: ours cannot overrule them.
    pub dropping: Vec<String>,
    /// Other tables, but fail2ban's, which come and go with its bans.
    pub others: Vec<String>,
    /// What they do to packets from elsewhere.
    pub beside: Others,
}

impl Tables {
    fn matches(&self) -> bool {
        self.live.as_deref() == Some(self.desired.as_str())
    }

    /// Whether the live table lets the management in just as the declared one does.
    fn lets_management_in(&self, live: &str) -> bool {
        let head = Ruleset::head(&self.desired);
        head > 0 && self.desired.lines().take(head).eq(live.lines().take(head))
    }
}

impl Nftables {
    fn wanted(&self) -> FileContent {
        FileContent {
            content: self.ruleset.render(),
            mode: Mode::PRIVATE,
            owner: UserName::root(),
            group: GroupName::root(),
        }
    }

    /// What tables of others make of what is declared.
    fn beside(&self, tables: &Tables, findings: &mut Vec<String>, notes: &mut Vec<String>) {
        const MOST: usize = 5;
        let Others { passed, drops, writers } = &tables.beside;
        for one in passed {
            let declared = self.ruleset.opens().any(|(protocol, port)| one.is_about(protocol, port));
            let told = format!("{} is passed on by {} ({})", one.told(), one.chain, one.rule);
            if self.lets_through(one) {
                notes.push(format!("{told}, as declared"));
            } else if declared && !one.narrowed {
                findings.push(format!(
                    "{told} before palisade's rules see it, and nothing is let through: what is declared there does \
                     not answer; declare the listener with `container: true`, or publish it on 127.0.0.1 behind a \
                     program of the host"
                ));
            } else {
                notes.push(format!("{told}; palisade's table lets nothing through"));
            }
        }
        for (table, programs) in writers {
            let firewalls = programs.iter().filter(|who| others::FIREWALLS.contains(who));
            findings.extend(firewalls.map(|who| others::second(who, &format!("table {}", visible(table)))));
        }
        notes.extend(
            parts::listed(drops, MOST)
                .into_iter()
                .map(|rule| format!("dropped whatever palisade accepts: {rule}")),
        );
        let named = |table: &String| match writers.get(table) {
            Some(programs) => {
                format!("{table} ({})", programs.iter().copied().collect::<Vec<_>>().join(", "))
            }
            None => table.clone(),
        };
        if !tables.others.is_empty() {
            let all: Vec<String> = tables.others.iter().map(named).collect();
            notes.push(format!("tables of others: {}", all.join(", ")));
        }
    }

    /// Whether it is a port of a container that is declared to be one.
    fn lets_through(&self, passed: &PassedOn) -> bool {
        self.ruleset.passes_on().any(|(protocol, port)| passed.is_about(protocol, port))
    }

    /// The rules to put in front of the live ones while they change; empty where the live table lets the management in
    /// already.
    fn missing_accepts(&self, tables: &Tables, live: &str) -> Vec<String> {
        if tables.lets_management_in(live) || !live.lines().any(|line| line == CHAIN) {
            return Vec::new();
        }
        ruleset::widening(&self.management, self.ssh_port)
            .into_iter()
            .filter(|rule| !live.lines().any(|line| line.trim() == rule))
            .collect()
    }
}

const CHAIN: &str = "\tchain input {";

impl Kind for Nftables {
    type Answer = Answer;

    const ACCESS: bool = true;

    fn question(all: &[&Self]) -> Question {
        let body = Perl::new(FORWARDING)
            .then(include_str!("question.pl"))
            .given("rulesets", all.iter().map(|one| Arg::lossy(one.ruleset.render())))
            .given("files", [Arg::from(&RemotePath::firewall())])
            .into();
        Question { label: "nftables", body, seconds: 30, cap: 4 << 20 }
    }

    fn read(all: &[&Self], frame: &Frame) -> Vec<Reading<Answer>> {
        let asked = Asked::read(frame);
        all.iter().enumerate().map(|(place, _)| asked.answer(frame, place)).collect()
    }

    fn judge(&self, answer: &Answer, _now: Timestamp) -> Verdict {
        let mut findings = Vec::new();
        let mut notes = Vec::new();
        match &answer.tables {
            None => {
                findings.push("nft is not installed (package nftables), so nothing is filtered".to_owned());
                findings.extend(answer.unlisted.iter().map(|who| others::second(who, "by iptables")));
            }
            Some(tables) => {
                match &tables.live {
                    None => findings.push("no table inet palisade is loaded".to_owned()),
                    Some(live) if *live != tables.desired => {
                        findings.extend(differences(live, &tables.desired));
                    }
                    Some(_) => {}
                }
                notes.extend(tables.dropping.iter().map(|chain| {
                    format!("{chain} drops what it does not accept, whatever palisade accepts")
                }));
                self.beside(tables, &mut findings, &mut notes);
            }
        }
        findings.extend(crate::kinds::file::differences(
            &RemotePath::firewall(),
            &answer.file,
            Some(&self.wanted()),
        ));
        if findings.is_empty() {
            return Verdict::Compliant { notes };
        }
        // What others do is worth knowing all the more where something is wrong.
        findings.append(&mut notes);
        Verdict::Drift { findings }
    }

    fn remedy(&self, answer: &Answer) -> Result<Vec<Step>, Defeated> {
        let mut steps = Vec::new();
        let mut live = answer.tables.as_ref().and_then(|tables| tables.live.clone());
        let mut file = answer.file.clone();
        if let (Some(tables), Some(text)) = (&answer.tables, &live) {
            let accepts = if tables.matches() { Vec::new() } else { self.missing_accepts(tables, text) };
            if !accepts.is_empty() {
                let widened = with_rules_in_front(text, &accepts);
                let load = inserts(&accepts);
                if let FileState::Present(content) = &file {
                    let after = FileState::Present(FileContent {
                        content: format!("{}\n{load}", content.content.trim_end_matches('\n')),
                        ..content.clone()
                    });
                    steps.push(step(
                        Phase::Widen,
                        "let the management sources in at boot too",
                        Change::File { path: RemotePath::firewall(), before: file, after: after.clone() },
                    ));
                    file = after;
                }
                steps.push(step(
                    Phase::Widen,
                    "let the management sources in, in front of the live rules",
                    Change::Ruleset { before: live, load },
                ));
                live = Some(widened);
            }
        }
        let after = FileState::Present(self.wanted());
        if file != after {
            let change = Change::File { path: RemotePath::firewall(), before: file, after };
            steps.push(step(Phase::Narrow, "write the firewall's rules for boot", change));
        }
        if !answer.tables.as_ref().is_some_and(Tables::matches) {
            let change = Change::Ruleset { before: live, load: self.ruleset.render() };
            let mut load = step(Phase::Narrow, "load the firewall's rules", change);
            if answer.forwards {
                load.cuts.push(
                    "packets that this host passes on between networks (forwarding is switched on): containers, \
                     virtual machines, routing"
                        .to_owned(),
                );
                let passed = answer.tables.iter().flat_map(|tables| &tables.beside.passed);
                load.cuts.extend(
                    passed
                        .filter(|one| !self.lets_through(one))
                        .map(|one| format!("{}, which {} passes on: {}", one.told(), one.chain, one.rule)),
                );
            }
            steps.push(load);
        }
        Ok(steps)
    }

    fn name(&self) -> String {
        "firewall rules (table inet palisade)".to_owned()
    }
}

fn step(phase: Phase, summary: &str, change: Change) -> Step {
    Step { phase, summary: summary.to_owned(), change, cuts: Vec::new() }
}

/// What nft loads to put `rules` first, in their order: each `insert` goes in front of the one before.
fn inserts(rules: &[String]) -> String {
    rules
        .iter()
        .rev()
        .fold(String::new(), |text, rule| text + "insert rule inet palisade input " + rule + "\n")
}

/// `listing` as nft will print it once `rules` were inserted: behind the line that says what chain it is.
fn with_rules_in_front(listing: &str, rules: &[String]) -> String {
    let mut lines = Vec::new();
    let mut within = false;
    for line in listing.lines() {
        lines.push(line.to_owned());
        if line == CHAIN {
            within = true;
        } else if within && line.starts_with("\t\ttype filter hook input ") {
            within = false;
            lines.extend(rules.iter().map(|rule| format!("\t\t{rule}")));
        }
    }
    lines.join("\n")
}

/// The rules that one listing has and the other lacks, at most ten of each.
pub(crate) fn differences(live: &str, desired: &str) -> Vec<String> {
    const MOST: usize = 10;
    let diff = similar::TextDiff::from_lines(live, desired);
    let (mut extra, mut missing) = (Vec::new(), Vec::new());
    for change in diff.iter_all_changes() {
        let shown = excerpt(change.value(), 200);
        match change.tag() {
            similar::ChangeTag::Delete => extra.push(format!("loaded, and not declared: {shown}")),
            similar::ChangeTag::Insert => missing.push(format!("declared, and not loaded: {shown}")),
            similar::ChangeTag::Equal => {}
        }
    }
    let more = extra.len().saturating_sub(MOST) + missing.len().saturating_sub(MOST);
    extra.truncate(MOST);
    missing.truncate(MOST);
    let mut findings = extra;
    findings.extend(missing);
    if more > 0 {
        findings.push(format!("{more} more lines differ"));
    }
    findings
}

/// The question's answer, taken apart.
struct Asked {
    /// Whether nft is there, where that was said.
    tool: Option<bool>,
    sections: Sections,
}

impl Asked {
    fn read(frame: &Frame) -> Self {
        let sections = Sections::read(frame);
        Self { tool: sections.line("nft is ").map(|word| word == "present"), sections }
    }

    fn output(&self, frame: &Frame, name: &str, number: usize) -> Reading<&str> {
        self.sections.output(frame, name, number)
    }

    fn answer(&self, frame: &Frame, place: usize) -> Reading<Answer> {
        let path = RemotePath::firewall();
        let file = crate::kinds::file::read_states(frame)
            .remove(path.as_str())
            .unwrap_or_else(|| Err(Unread(format!("{path} could not be read (exit {})", frame.status))))?;
        let forwards = self.output(frame, "forwards", 0)?;
        if forwards.is_empty() {
            return Err(Unread("the kernel did not say whether it forwards".to_owned()));
        }
        let forwards = forwards.lines().any(|line| line.trim() != "0");
        let mut unlisted = Vec::new();
        if self.tool == Some(false)
            && let Ok(chains) = self.output(frame, "iptables", 0)
        {
            unlisted.extend(others::by_iptables(chains));
        }
        let tables = match self.tool {
            Some(false) => None,
            Some(true) => Some(self.tables(frame, place)?),
            None => return Err(Unread("the host did not say whether nft is there".to_owned())),
        };
        Ok(Answer { tables, file, forwards, unlisted })
    }

    fn tables(&self, frame: &Frame, place: usize) -> Reading<Tables> {
        let desired = self.output(frame, "desired", place)?;
        // An nft that says nothing has loaded nothing: no listing of its own is empty.
        if !desired.starts_with("table inet palisade {") {
            return Err(Unread("nft listed nothing of what it was given to load".to_owned()));
        }
        let names: Vec<&str> = self.output(frame, "tables", 0)?.lines().collect();
        let live = if names.contains(&"table inet palisade") {
            let live = self.output(frame, "live", 0)?;
            if !live.starts_with("table inet palisade {") {
                return Err(Unread("nft listed nothing of the live table".to_owned()));
            }
            Some(live.to_owned())
        } else {
            None
        };
        let beside: Vec<&str> = names
            .iter()
            .filter_map(|line| line.strip_prefix("table "))
            .filter(|name| !others::is_ours(name))
            .collect();
        // A table of bans may have gone between two questions.
        let of_others: Vec<&str> = beside.iter().copied().filter(|name| !others::holds_bans(name)).collect();
        let beside = if beside.is_empty() {
            Others::default()
        } else {
            others::read(self.output(frame, "rules", 0)?, &of_others)?
        };
        let mut others: Vec<String> = of_others.into_iter().map(visible).collect();
        others.sort();
        let legacy = self.output(frame, "legacy", 0)?;
        if !legacy.is_empty() {
            others.push("iptables-legacy's".to_owned());
        }
        Ok(Tables {
            desired: desired.to_owned(),
            live,
            dropping: dropping(self.output(frame, "chains", 0)?)?,
            others,
            beside,
        })
    }
}

/// Base chains of others at hook input or forward whose policy is to drop, from `nft -j list chains`.
fn dropping(json: &str) -> Reading<Vec<String>> {
    let wrong = || Unread("nft's list of chains is not the expected JSON".to_owned());
    let list: ChainList = serde_json::from_str(json).map_err(|_| wrong())?;
    // nft says its version in front of whatever it lists.
    if !list.nftables.iter().any(|item| item.metainfo.is_some()) {
        return Err(wrong());
    }
    Ok(list
        .nftables
        .into_iter()
        .filter_map(|item| item.chain)
        .filter(|chain| (chain.family.as_str(), chain.table.as_str()) != ("inet", "palisade"))
        .filter(|chain| chain.policy.as_deref() == Some("drop"))
        .filter_map(|chain| {
            let hook = chain.hook.filter(|hook| matches!(hook.as_str(), "input" | "forward"))?;
            Some(format!(
                "chain {} of table {} {} (hook {hook})",
                visible(&chain.name),
                visible(&chain.family),
                visible(&chain.table)
            ))
        })
        .collect())
}

#[derive(Deserialize)]
struct ChainList {
    nftables: Vec<ChainItem>,
}

#[derive(Deserialize)]
struct ChainItem {
    metainfo: Option<serde_json::Value>,
    chain: Option<Chain>,
}

#[derive(Deserialize)]
struct Chain {
    family: String,
    table: String,
    name: String,
    hook: Option<String>,
    policy: Option<String>,
}

#[cfg(test)]
mod tests;
