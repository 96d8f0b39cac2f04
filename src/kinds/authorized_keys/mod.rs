//! Which keys open which account: exactly the declared ones, over all accounts of a host. Keys live in files of ours,
//! owned by root, in [`DIRECTORY`]; a key anywhere else is a stranger's, wherever sshd might look for it. What makes
//! sshd look elsewhere, or ask a command or a certificate authority, is found here and mended by sshd's drop-in.

mod declare;
mod answer;
mod line;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::{GroupName, Mode, PublicKey, RemotePath, UserName};
use crate::resource::{
    Change, Defeated, FileContent, FileState, Frame, Kind, Phase, Question, Reading, Step, Verdict,
};
use crate::text::{excerpt, visible};
pub use answer::{Answer, KeyFile};
use line::{Entry, entries};

/// Where palisade keeps keys: a directory of root's, one file per account, named like it.
pub const DIRECTORY: &str = "/etc/ssh/authorized_keys.d";
/// The same for sshd's `AuthorizedKeysFile`.
pub const KEYS_FILE: &str = "/etc/ssh/authorized_keys.d/%u";

/// Findings of one file that are written out; the rest is counted.
const SHOWN_PER_FILE: usize = 20;

/// The keys of all accounts of a host. One per host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuthorizedKeys {
    /// Keys of each account. An account without keys here has none.
    pub declared: BTreeMap<UserName, Vec<PublicKey>>,
}

impl Kind for AuthorizedKeys {
    type Answer = Answer;

    const ACCESS: bool = true;

    fn question(_all: &[&Self]) -> Question {
        Question { label: "authorized-keys", body: answer::question().into(), seconds: 30, cap: 8 << 20 }
    }

    fn read(all: &[&Self], frame: &Frame) -> Vec<Reading<Answer>> {
        let reading = answer::read(frame);
        all.iter().map(|_| reading.clone()).collect()
    }

    fn judge(&self, answer: &Answer, _now: Timestamp) -> Verdict {
        let mut findings = Vec::new();
        for (user, keys) in self.with_keys() {
            let path = format!("{DIRECTORY}/{user}");
            match answer.ours.iter().find(|file| file.path == path) {
                Some(file) => findings.extend(differences(file, keys)),
                None => findings.extend(keys.iter().map(|key| missing(user, key, &path))),
            }
        }
        for file in answer.ours.iter().filter(|file| self.keys_of_ours(file).is_none()) {
            let strangers = strangers(file, &[]);
            if strangers.is_empty() {
                let by_hand = by_hand(file).unwrap_or_default();
                findings.push(format!("{} belongs to no account with declared keys{by_hand}", file.place()));
            }
            findings.extend(strangers);
        }
        for file in &answer.others {
            findings.extend(strangers(file, &self.keys_of_all(file)));
        }
        findings.extend(directory_finding(&answer.directory));
        findings.extend(sources(answer));
        Verdict::from_findings(findings)
    }

    fn remedy(&self, answer: &Answer) -> Result<Vec<Step>, Defeated> {
        if let Some(what) = directory_finding(&answer.directory) {
            let hint =
                format!("see who changed it, then: chown root:root {DIRECTORY} && chmod 0755 {DIRECTORY}");
            return Err(Defeated { what, hint });
        }
        let mut steps = Vec::new();
        for (user, keys) in self.with_keys() {
            let path = format!("{DIRECTORY}/{user}");
            let file = answer.ours.iter().find(|file| file.path == path);
            steps.extend(mend(user, keys, remote(&path)?, file)?);
        }
        // One file that cannot be removed from here is a finding with a command; it is in nobody else's way.
        for file in answer.ours.iter().filter(|file| self.keys_of_ours(file).is_none()) {
            steps.extend(removal(file, &[]));
        }
        for file in &answer.others {
            let declared = self.keys_of_all(file);
            if !strangers(file, &declared).is_empty() {
                steps.extend(removal(file, &declared));
            }
        }
        Ok(steps)
    }

    fn name(&self) -> String {
        "authorized keys of all accounts".to_owned()
    }
}

impl AuthorizedKeys {
    fn with_keys(&self) -> impl Iterator<Item = (&UserName, &[PublicKey])> {
        self.declared.iter().filter(|(_, keys)| !keys.is_empty()).map(|(user, keys)| (user, keys.as_slice()))
    }

    /// The declared keys that a file in [`DIRECTORY`] is for; none where it is for no declared account.
    fn keys_of_ours(&self, file: &KeyFile) -> Option<&[PublicKey]> {
        self.with_keys().find(|(user, _)| file.path == format!("{DIRECTORY}/{user}")).map(|(_, keys)| keys)
    }

    /// Keys that every account of the file may use.
    fn keys_of_all(&self, file: &KeyFile) -> Vec<PublicKey> {
        let of = |account: &String| {
            self.with_keys().find(|(user, _)| user.as_str() == account).map_or(&[][..], |(_, keys)| keys)
        };
        let Some((first, rest)) = file.accounts.split_first() else { return Vec::new() };
        of(first).iter().filter(|key| rest.iter().all(|account| of(account).contains(key))).cloned().collect()
    }
}

fn directory_finding(directory: &str) -> Option<String> {
    (!matches!(directory, "absent" | "755 root root")).then(|| {
        format!("{DIRECTORY} is `{}`, not a directory with mode 0755 of root", excerpt(directory, 60))
    })
}

fn missing(user: &UserName, key: &PublicKey, path: &str) -> String {
    format!("{user}: key {} ({}) is missing from {path}", key.fingerprint(), visible(key.comment()))
}

fn declared(entry: &Entry, keys: &[PublicKey]) -> bool {
    entry.fingerprint.as_ref().is_some_and(|print| keys.iter().any(|key| key.fingerprint().as_str() == print))
}

/// How the file of a declared account differs.
fn differences(file: &KeyFile, keys: &[PublicKey]) -> Vec<String> {
    let FileState::Present(found) = &file.state else {
        let FileState::Other { kind } = &file.state else { return Vec::new() };
        return vec![format!("{} is a {}, not a regular file", file.place(), visible(kind))];
    };
    let mut findings =
        wrong_owner(found).map(|how| format!("{} {how}", file.place())).into_iter().collect::<Vec<_>>();
    let entries = entries(&found.content);
    for key in keys {
        let print = key.fingerprint();
        if !entries
            .iter()
            .any(|one| one.options.is_none() && one.fingerprint.as_deref() == Some(print.as_str()))
        {
            findings.extend(
                file.accounts.iter().filter_map(|user| Some(missing(&user.parse().ok()?, key, &file.path))),
            );
        }
    }
    let strangers = entries.iter().filter(|entry| entry.options.is_some() || !declared(entry, keys));
    findings.extend(listed(strangers.map(|entry| described(file, entry, keys)).collect(), &file.place()));
    findings
}

/// Every entry of a file in which no key belongs.
fn strangers(file: &KeyFile, keys: &[PublicKey]) -> Vec<String> {
    match file.entries() {
        Ok(entries) => {
            let mut findings =
                listed(entries.iter().map(|entry| described(file, entry, keys)).collect(), &file.place());
            if !findings.is_empty() {
                findings.extend(by_hand(file).map(|how| format!("{} stays{how}", file.place())));
            }
            findings
        }
        Err(why) => vec![format!("{}: {why}{}", file.accounts(), by_hand(file).unwrap_or_default())],
    }
}

/// What a person has to do about a file that palisade does not remove: one under a name that it does not handle, or of
/// which it could keep no copy. None where it removes it.
fn by_hand(file: &KeyFile) -> Option<String> {
    let kept = match &file.state {
        FileState::Present(_) | FileState::Absent => true,
        FileState::Other { kind } => kind == "symbolic link" || file.state.is_unread_file(),
    };
    let known = file.path.parse::<RemotePath>().is_ok();
    (!kept || !known).then(|| {
        let path = visible(&file.path).replace('\'', "'\\''");
        format!("; see who put it there, then: rm -r -- '{path}'")
    })
}

fn described(file: &KeyFile, entry: &Entry, keys: &[PublicKey]) -> String {
    let options = entry
        .options
        .as_ref()
        .map_or_else(String::new, |text| format!(", with options `{}`,", excerpt(text, 80)));
    let what = if !declared(entry, keys) {
        "is not declared"
    } else if entry.options.is_some() {
        "is declared without options"
    } else {
        "is declared, but stands outside of /etc/ssh/authorized_keys.d"
    };
    format!("{}: {} in {}{options} {what}", file.accounts(), entry.shown(), file.place())
}

fn listed(mut findings: Vec<String>, place: &str) -> Vec<String> {
    let more = findings.len().saturating_sub(SHOWN_PER_FILE);
    if more > 0 {
        findings.truncate(SHOWN_PER_FILE);
        findings.push(format!("{place} holds {more} more"));
    }
    findings
}

/// Where else sshd takes keys from, or whom else it asks.
fn sources(answer: &Answer) -> Vec<String> {
    let mut findings = Vec::new();
    for (keyword, name, wanted) in [
        ("authorizedkeysfile", "AuthorizedKeysFile", KEYS_FILE),
        ("authorizedkeyscommand", "AuthorizedKeysCommand", "none"),
        ("trustedusercakeys", "TrustedUserCAKeys", "none"),
    ] {
        let mut said = BTreeSet::new();
        if let Some(found) = answer.effective.get(keyword).filter(|found| *found != wanted) {
            let place = match answer.config.origin(keyword, found) {
                Some(origin) => {
                    said.insert(origin.place());
                    origin.place()
                }
                None => "sshd's default".to_owned(),
            };
            findings.push(format!("{name} is `{}`, not {wanted} ({place})", excerpt(found, 120)));
        }
        for one in answer.config.live(keyword) {
            let within = one.within.as_deref().unwrap_or_default();
            if one.keyword == "include" {
                findings.push(format!(
                    "{} includes `{}`, which is not read",
                    one.place(),
                    excerpt(&one.value(), 120)
                ));
            } else if !within.is_empty() && one.value() != wanted && said.insert(one.place()) {
                findings.push(format!(
                    "{name} is `{}`, not {wanted}, for `Match {}` ({})",
                    excerpt(&one.value(), 120),
                    excerpt(within, 80),
                    one.place()
                ));
            }
        }
    }
    let mut seen = BTreeSet::new();
    findings.retain(|finding| seen.insert(finding.clone()));
    findings
}

/// sshd reads these files as the account (`StrictModes` wants them root's or the account's, and not writable by others).
fn wrong_owner(found: &FileContent) -> Option<String> {
    let is = (found.mode, &found.owner, &found.group);
    let wanted = (Mode::PUBLIC, &UserName::root(), &GroupName::root());
    (is != wanted).then(|| format!("is {} {}:{}, not 0644 root:root", found.mode, found.owner, found.group))
}

fn remote(path: &str) -> Result<RemotePath, Defeated> {
    path.parse().map_err(|_| Defeated {
        what: format!("{} holds keys under a name that palisade does not handle", visible(path)),
        hint: "remove it by hand".to_owned(),
    })
}

fn of_ours(content: String) -> FileState {
    FileState::Present(FileContent {
        content,
        mode: Mode::PUBLIC,
        owner: UserName::root(),
        group: GroupName::root(),
    })
}

/// The declared keys of one account as a file: sorted, so that the same keys are always the same bytes.
fn content(user: &UserName, keys: &[PublicKey]) -> String {
    let lines: BTreeSet<String> = keys.iter().map(ToString::to_string).collect();
    lines.into_iter().fold(
        format!("# Keys of {user}, written by palisade: what else is added here is removed again.\n"),
        |text, line| text + &line + "\n",
    )
}

/// First the declared keys beside what is there, then the declared keys alone.
fn mend(
    user: &UserName,
    keys: &[PublicKey],
    path: RemotePath,
    file: Option<&KeyFile>,
) -> Result<Vec<Step>, Defeated> {
    if file.is_some_and(|file| differences(file, keys).is_empty()) {
        return Ok(Vec::new());
    }
    let found = file.map_or(FileState::Absent, |file| file.state.clone());
    let (present, usable) = match &found {
        FileState::Present(found) => (entries(&found.content), wrong_owner(found).is_none()),
        FileState::Absent => (Vec::new(), false),
        FileState::Other { kind } if kind == "symbolic link" => (Vec::new(), false),
        FileState::Other { kind } => {
            return Err(Defeated {
                what: format!("{path} is a {}, not a regular file", visible(kind)),
                hint: "move it out of the way by hand, after finding out who put it there".to_owned(),
            });
        }
    };
    let exact = content(user, keys);
    let strangers: Vec<&Entry> =
        present.iter().filter(|entry| entry.options.is_some() || !declared(entry, keys)).collect();
    let has = |key: &PublicKey| {
        let print = key.fingerprint();
        present.iter().any(|one| one.options.is_none() && one.fingerprint.as_deref() == Some(print.as_str()))
    };
    let mut steps = Vec::new();
    let mut before = found;
    if !usable || !keys.iter().all(has) {
        let after = of_ours(strangers.iter().fold(exact.clone(), |text, entry| text + &entry.text + "\n"));
        steps.push(Step {
            phase: Phase::Widen,
            summary: format!("write the declared keys of {user} to {path}"),
            change: Change::File { path: path.clone(), before: before.clone(), after: after.clone() },
            cuts: Vec::new(),
        });
        before = after;
    }
    let after = of_ours(exact);
    if before != after {
        steps.push(Step {
            phase: Phase::Narrow,
            summary: format!("leave only the declared keys of {user} in {path}"),
            cuts: strangers.iter().map(|entry| format!("{} of {user} in {path}", entry.shown())).collect(),
            change: Change::File { path, before, after },
        });
    }
    Ok(steps)
}

/// None where a person has to remove it ([`by_hand`]).
fn removal(file: &KeyFile, keys: &[PublicKey]) -> Option<Step> {
    if by_hand(file).is_some() {
        return None;
    }
    let path = file.path.parse().ok()?;
    let cuts = match file.entries() {
        Ok(entries) => entries
            .iter()
            .filter(|entry| !declared(entry, keys))
            .map(|entry| format!("{} of {} in {}", entry.shown(), file.accounts(), file.place()))
            .collect(),
        Err(why) => vec![why],
    };
    Some(Step {
        phase: Phase::Narrow,
        summary: format!("remove {path}"),
        change: Change::File { path, before: file.state.clone(), after: FileState::Absent },
        cuts,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJtYgSQuN0axUYAgZ84dlRdPEpyl+AVIrtjnDlVUEGyQ old";
    const NEW: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIg9rd5mngds1/F0CDH1A7vDtgdKprwMEyH9n7NHgf28 new";

    fn changes(found: &str, mode: &str) -> Vec<(Phase, FileState, FileState)> {
        let state = FileState::Present(FileContent {
            content: found.to_owned(),
            mode: mode.parse().unwrap(),
            owner: UserName::root(),
            group: GroupName::root(),
        });
        let path = "/etc/ssh/authorized_keys.d/alice";
        let file = KeyFile { path: path.to_owned(), accounts: vec!["alice".to_owned()], state, target: None };
        let keys = [NEW.parse().unwrap()];
        mend(&"alice".parse().unwrap(), &keys, path.parse().unwrap(), Some(&file))
            .unwrap()
            .into_iter()
            .map(|step| match step.change {
                Change::File { before, after, .. } => (step.phase, before, after),
                other => panic!("{other:?}"),
            })
            .collect()
    }

    fn text(state: &FileState) -> Vec<&str> {
        match state {
            FileState::Present(found) => {
                found.content.lines().filter(|line| !line.starts_with('#')).collect()
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_key_that_is_replaced_works_until_narrow() {
        let steps = changes(&format!("{OLD}\n"), "0644");
        let [(Phase::Widen, before, both), (Phase::Narrow, widened, after)] = steps.as_slice() else {
            panic!("{steps:?}")
        };
        assert_eq!(text(before), [OLD]);
        assert_eq!(text(both), [NEW, OLD]);
        assert_eq!(widened, both);
        assert_eq!(text(after), [NEW]);
    }

    #[test]
    fn a_file_that_sshd_would_not_take_is_widened() {
        assert!(matches!(changes(&format!("{NEW}\n"), "0664").as_slice(), [(Phase::Widen, _, _)]));
    }

    #[test]
    fn a_declared_key_with_options_does_not_count() {
        let steps = changes(&format!("command=\"/bin/false\" {NEW}\n"), "0644");
        assert!(matches!(steps.as_slice(), [(Phase::Widen, ..), (Phase::Narrow, ..)]));
    }

    #[test]
    fn the_declared_keys_alone_need_nothing() {
        assert!(changes(&format!("# by hand\n\n  {NEW} else\n"), "0644").is_empty());
    }
}
