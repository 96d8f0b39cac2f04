//! sshd's settings as they take effect, for everybody and for each principal from each source. Judged by sshd's own
//! word (`sshd -T`), never by reading its files; the files only say where a setting comes from. The final drop-in is a
//! file of its own and is checked by this kind before it is put in place.

mod declare;
mod access;
mod algorithms;
mod answer;
pub(crate) mod config;
mod wanted;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::domain::{GroupName, Mode, RemotePath, UserName};
use crate::resource::{
    Change, Defeated, FileContent, FileState, Frame, Kind, Phase, Question, Reading, Step, Verdict,
};
use crate::text::excerpt;
pub use algorithms::Algorithms;
pub use answer::{Answer, Effective, Settings, Version};
pub use wanted::{FINAL, Principal, Sshd, WIDEN};

/// How our drop-ins' paths begin.
const OURS: &str = "/etc/ssh/sshd_config.d/00-palisade";

/// Principals that are named in one finding; the rest is counted.
const NAMED: usize = 3;

/// Whether sshd has to read its configuration again after a change of `path`.
pub fn reload_needed(path: &RemotePath) -> bool {
    path.as_str() == config::MAIN || path.is_below("/etc/ssh/sshd_config.d")
}

impl Kind for Sshd {
    type Answer = Answer;

    const STAGED: bool = true;

    const ACCESS: bool = true;

    fn question(all: &[&Self]) -> Question {
        Question { label: "sshd", body: answer::question(all).into(), seconds: 60, cap: 8 << 20 }
    }

    fn read(all: &[&Self], frame: &Frame) -> Vec<Reading<Answer>> {
        all.iter().map(|one| answer::read(one, frame)).collect()
    }

    fn judge(&self, answer: &Answer, _now: Timestamp) -> Verdict {
        let mut findings = Vec::new();
        // Who may come in by what comes first: of many findings people read the first ones.
        let (first, rest): (Vec<_>, Vec<_>) =
            self.wanted().into_iter().partition(|(keyword, _)| WAYS_IN.contains(keyword));
        for (keyword, wanted) in first.into_iter().chain(rest) {
            findings.extend(differences(
                answer,
                keyword,
                &algorithms::without_unknown(&wanted, answer.version),
            ));
        }
        findings.extend(self.accounts(answer));
        findings.extend(access::exclusions(answer));
        if answer.widen != FileState::Absent {
            findings.push(format!("{WIDEN} was left behind by a change"));
        }
        let mut notes = self.without_effect(answer);
        match (answer.service.as_str(), answer.socket.as_str()) {
            ("active", "active") => notes.push(
                "ssh.socket and ssh.service are both active: a reload ends sshd until the next connection"
                    .to_owned(),
            ),
            ("active", _) | (_, "active") => {}
            (service, socket) => findings.push(format!(
                "sshd is not running: ssh.service is {}, ssh.socket is {}",
                excerpt(service, 40),
                excerpt(socket, 40)
            )),
        }
        if findings.is_empty() { Verdict::Compliant { notes } } else { Verdict::Drift { findings } }
    }

    fn remedy(&self, answer: &Answer) -> Result<Vec<Step>, Defeated> {
        if let Some(defeat) = access::defeat(self, answer) {
            return Err(defeat);
        }
        let Ok(path) = WIDEN.parse::<RemotePath>() else { return Ok(Vec::new()) };
        let mut steps = Vec::new();
        let mut before = answer.widen.clone();
        if let Some(content) = access::widening(self, answer) {
            let after = FileState::Present(FileContent {
                content,
                mode: Mode::PRIVATE,
                owner: UserName::root(),
                group: GroupName::root(),
            });
            if before != after {
                steps.push(Step {
                    phase: Phase::Widen,
                    summary: "let declared accounts in by their keys, beside whoever is let in today"
                        .to_owned(),
                    change: Change::File { path: path.clone(), before, after: after.clone() },
                    cuts: Vec::new(),
                });
            }
            before = after;
        }
        if before != FileState::Absent {
            steps.push(Step {
                phase: Phase::Narrow,
                summary: "leave nothing but the declared settings of sshd".to_owned(),
                change: Change::File { path, before, after: FileState::Absent },
                cuts: Vec::new(),
            });
        }
        Ok(steps)
    }

    fn name(&self) -> String {
        "sshd's effective settings".to_owned()
    }
}

/// What decides whether somebody can come in without a key of their own.
const WAYS_IN: [&str; 6] = [
    "authenticationmethods",
    "kbdinteractiveauthentication",
    "passwordauthentication",
    "permitemptypasswords",
    "permitrootlogin",
    "pubkeyauthentication",
];

impl Sshd {
    /// Every keyword that one value is wanted of.
    fn wanted(&self) -> BTreeMap<&str, String> {
        let settings = self.settings.iter().map(|(keyword, value)| (keyword.as_str(), value.clone()));
        let keys = self.keys_file.iter().map(|path| ("authorizedkeysfile", path.to_string()));
        settings.chain(keys).collect()
    }

    /// What others' lines say of the same settings, where ours count: nobody shall wonder why theirs do nothing.
    fn without_effect(&self, answer: &Answer) -> Vec<String> {
        const MOST: usize = 6;
        let wanted = self.wanted();
        let overruled: Vec<String> = answer
            .config
            .directives
            .iter()
            .filter(|one| !one.file.starts_with(OURS))
            .filter(|one| {
                let other =
                    wanted.get(one.keyword.as_str()).map(|value| !one.value().eq_ignore_ascii_case(value));
                other.unwrap_or_else(|| self.allow_users.is_some() && one.keyword == "allowusers")
            })
            .map(|one| format!("{} `{}`{}", one.keyword, excerpt(&one.value(), 80), place(one)))
            .collect();
        if overruled.is_empty() {
            return Vec::new();
        }
        let all = crate::resource::parts::listed(&overruled, MOST).join(", ");
        vec![format!("without effect beside palisade's settings: {all}")]
    }

    /// Whether exactly the declared accounts may try to log in.
    fn accounts(&self, answer: &Answer) -> Vec<String> {
        let Some(allowed) = &self.allow_users else { return Vec::new() };
        let wanted: BTreeSet<&str> = allowed.iter().map(UserName::as_str).collect();
        let list = |settings: &Settings| -> Option<String> {
            let lines = settings.get("allowusers").map(Vec::as_slice).unwrap_or_default();
            let found: BTreeSet<&str> = lines.iter().flat_map(|line| line.split_whitespace()).collect();
            let shown = found.iter().copied().collect::<Vec<_>>().join(" ");
            (found != wanted).then_some(shown)
        };
        let wanted = wanted.iter().copied().collect::<Vec<_>>().join(" ");
        let what = |found: &str| match found {
            "" => "AllowUsers is not set: every account may log in".to_owned(),
            _ => format!("AllowUsers is `{}`, not `{wanted}`", excerpt(found, 200)),
        };
        let global = list(&answer.global);
        let mut findings: Vec<String> = global.iter().map(|found| what(found)).collect();
        let own = answer.effective.iter().filter(|one| one.own.is_some());
        let mut others: BTreeMap<String, Vec<&Effective>> = BTreeMap::new();
        for one in own {
            match list(answer.settings(one)) {
                Some(found) if Some(&found) != global.as_ref() => others.entry(found).or_default().push(one),
                _ => {}
            }
        }
        findings.extend(others.iter().map(|(found, whom)| format!("{}, for {}", what(found), named(whom))));
        for one in answer.config.live("allowusers") {
            let strange = one.arguments.iter().any(|name| !allowed.iter().any(|user| user.as_str() == name));
            if strange && one.keyword == "allowusers" && one.within.is_some() && one.file != WIDEN {
                findings.push(format!("AllowUsers is `{}`{}", excerpt(&one.value(), 200), place(one)));
            }
        }
        findings
    }
}

/// How `keyword` differs from `wanted`: for everybody, for principals, for whom a `Match` block names.
fn differences(answer: &Answer, keyword: &str, wanted: &str) -> Vec<String> {
    let found = |settings: &Settings| settings.get(keyword).map(|lines| lines.join(" "));
    let wrong = |settings: &Settings| Some(found(settings)).filter(|value| value.as_deref() != Some(wanted));
    let what = |value: &Option<String>| match value {
        Some(value) if algorithms::is_list(keyword) => algorithms::difference(keyword, value, wanted),
        Some(value) => format!("{keyword} is `{}`, not `{}`", excerpt(value, 300), excerpt(wanted, 300)),
        None => {
            format!("{keyword} is not among the settings of this sshd; `{}` is wanted", excerpt(wanted, 300))
        }
    };
    let origin = |value: &Option<String>| {
        let directive = answer.config.origin(keyword, value.as_deref().unwrap_or_default());
        directive.map_or_else(|| " (sshd's default)".to_owned(), place)
    };
    let global = wrong(&answer.global);
    let mut findings: Vec<String> = global.iter().map(|value| what(value) + &origin(value)).collect();
    let mut others: BTreeMap<Option<String>, Vec<&Effective>> = BTreeMap::new();
    for one in answer.effective.iter().filter(|one| one.own.is_some()) {
        match wrong(answer.settings(one)) {
            Some(value) if Some(&value) != global.as_ref() => others.entry(value).or_default().push(one),
            _ => {}
        }
    }
    findings.extend(
        others.iter().map(|(value, whom)| format!("{}, for {}{}", what(value), named(whom), origin(value))),
    );
    // Whoever a block is for that no principal meets: sshd cannot be asked about everybody.
    for one in answer.config.live(keyword) {
        let place = place(one);
        let said = findings.iter().any(|finding| finding.ends_with(&place));
        let theirs = one.keyword == keyword && one.within.is_some() && one.file != WIDEN;
        if theirs && !said && !one.value().eq_ignore_ascii_case(wanted) {
            findings.push(what(&Some(one.value())) + &place);
        }
    }
    findings
}

fn place(one: &config::Directive) -> String {
    match &one.within {
        Some(within) => format!(" ({}, under `Match {}`)", one.place(), excerpt(within, 80)),
        None => format!(" ({})", one.place()),
    }
}

fn named(whom: &[&Effective]) -> String {
    let mut names: Vec<String> =
        whom.iter().take(NAMED).map(|one| format!("{} from {}", one.user, one.source)).collect();
    if whom.len() > NAMED {
        names.push(format!("{} more", whom.len() - NAMED));
    }
    names.join(", ")
}
