//! What a host is asked about keys, and what it answers: every file that sshd might take keys from, whether or not it
//! does so today. Nothing is judged here.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::line::{Entry, entries};
use crate::kinds::file;
use crate::kinds::sshd::config::{self, Config};
use crate::resource::parts::{field, said};
use crate::resource::{FileState, Frame, Reading, Unread};
use crate::shell::Perl;
use crate::text::{excerpt, visible};

/// Every file that sshd might take keys from, and what sshd says about where it takes them from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Answer {
    /// How many accounts the host knows; each was looked at.
    pub accounts: usize,
    /// How [`super::DIRECTORY`] is: `755 root root`, `absent`, or what stands there instead.
    pub directory: String,
    /// The files in it.
    pub ours: Vec<KeyFile>,
    /// Every other file.
    pub others: Vec<KeyFile>,
    /// `sshd -T`'s word on where keys come from, by keyword.
    pub effective: BTreeMap<String, String>,
    /// The configuration behind it.
    pub config: Config,
}

/// A file that may hold keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct KeyFile {
    /// Its path.
    pub path: String,
    /// Whose keys they would be.
    pub accounts: Vec<String>,
    /// What stands there.
    pub state: FileState,
    /// Where it is a symbolic link to a file: that file.
    pub target: Option<(String, FileState)>,
}

impl KeyFile {
    /// The entries that sshd would read, or why they cannot be read here.
    pub(super) fn entries(&self) -> Result<Vec<Entry>, String> {
        let (path, state) = match &self.target {
            Some((path, state)) => (path, state),
            None => (&self.path, &self.state),
        };
        match state {
            FileState::Present(found) => Ok(entries(&found.content)),
            // sshd reads regular files only.
            FileState::Other { kind } if kind.contains("file over") || kind.starts_with("regular file") => {
                Err(format!("{} may hold keys and cannot be read: it is a {}", visible(path), visible(kind)))
            }
            FileState::Other { .. } | FileState::Absent => Ok(Vec::new()),
        }
    }

    /// Whose, safe to show.
    pub(super) fn accounts(&self) -> String {
        visible(&self.accounts.join(", "))
    }

    /// Where, safe to show.
    pub(super) fn place(&self) -> String {
        match &self.target {
            Some((target, _)) => format!("{} (a link to {})", visible(&self.path), visible(target)),
            None => visible(&self.path),
        }
    }
}

/// sshd's own word and its configuration, then the accounts with their files.
pub(super) fn question() -> Perl {
    Perl::new(config::QUESTION).then(include_str!("question.pl"))
}

pub(super) fn read(frame: &Frame) -> Reading<Answer> {
    let text = String::from_utf8_lossy(&frame.stdout);
    let unread = |what: &str| Unread(format!("{what}{}", said(&frame.stderr)));
    let lines = |mark: &'static str| {
        text.lines().filter_map(move |line| {
            line.split_once('\t').filter(|(first, _)| *first == mark).map(|(_, rest)| rest)
        })
    };
    let effective: BTreeMap<String, String> = lines("effective")
        .filter_map(|line| line.split_once('\t'))
        .map(|(keyword, value)| (keyword.to_owned(), value.to_owned()))
        .collect();
    let status = lines("sshd").next();
    let whole =
        ["port", "permitrootlogin", "authorizedkeysfile"].iter().all(|one| effective.contains_key(*one));
    if status != Some("0") || !whole {
        let status =
            status.map_or_else(|| "did not run".to_owned(), |code| format!("exited {}", visible(code)));
        return Err(unread(&format!("sshd does not say where it takes keys from: sshd -T {status}")));
    }
    let config = Config::read(&text).ok_or_else(|| unread("sshd's configuration could not be read"))?;
    let named =
        effective.get("authorizedkeysfile").into_iter().flat_map(|value| value.split(' ').map(str::to_owned));
    let written = config.directives.iter().filter(|one| one.keyword == "authorizedkeysfile");
    for pattern in named.chain(written.flat_map(|one| one.arguments.iter().cloned())) {
        if !lines("pattern").any(|one| one == pattern) {
            return Err(unread(&format!("keys in `{}` could not be looked for", excerpt(&pattern, 120))));
        }
    }
    // Every passwd has root; a list without it is no list.
    let accounts = lines("accounts").next().and_then(|count| count.parse().ok()).unwrap_or(0);
    if accounts == 0 || lines("root").next().is_none() {
        return Err(unread("the accounts could not be listed"));
    }
    let directory =
        lines("directory").next().ok_or_else(|| unread("the directory of keys could not be read"))?;
    let found = file::read_states(frame);
    let pairs = |mark: &'static str| {
        let fields = lines(mark).filter_map(|line| line.split_once('\t'));
        fields.map(|(first, second)| (field(first), field(second)))
    };
    // What its account put in the way of one file is that file's, and no other's.
    let unreadable: BTreeMap<String, String> = pairs("unread").collect();
    let state = |path: &str| match (found.get(path), unreadable.get(path)) {
        (Some(state), _) => state.clone(),
        (None, Some(why)) => {
            Ok(FileState::Other { kind: format!("regular file that could not be read ({why})") })
        }
        (None, None) => Err(unread(&format!("{} could not be read", visible(path)))),
    };
    let targets: BTreeMap<String, String> = pairs("link").collect();
    let key_file = |path: &str, accounts: Vec<String>| {
        let target = match targets.get(path) {
            Some(target) => Some((target.clone(), state(target)?)),
            None => None,
        };
        Ok(KeyFile { path: path.to_owned(), accounts, state: state(path)?, target })
    };
    let mut of: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (account, path) in pairs("of") {
        of.entry(path).or_default().insert(account);
    }
    let name = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
    Ok(Answer {
        accounts,
        directory: directory.to_owned(),
        ours: lines("ours")
            .map(field)
            .map(|path| key_file(&path, vec![name(&path)]))
            .collect::<Reading<_>>()?,
        others: of
            .into_iter()
            .map(|(path, accounts)| key_file(&path, accounts.into_iter().collect()))
            .collect::<Reading<_>>()?,
        effective,
        config,
    })
}
