//! What a host keeps of the releases that were installed there: `/var/lib/palisade/releases/ID/journal`, text ↔ events. Pure.
//!
//! A line is `SECONDS BOOT EVENT [DETAIL]`: when, by the host's own clock, in UTC since 1970; in which boot; and what happened.
//! Lines are appended and synced, and never rewritten. A last line without its end is what a power cut left: it is dropped
//! here, and cut off by whoever appends next, so that two lines never become one. Any other line that is not one of
//! ours makes the whole journal [`Broken`]: it says nothing then, least of all that a release was completed.
//!
//! `completed` is the last event; it stands right behind `checked`, with `installed` before that. A journal that says it without
//! them is broken. A journal is a host's own word: it shows what was done, and proves nothing against a host whose root is hostile.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::{BootId, Digest, Identifier, Malformed, UnitName, UserName};
use crate::text::{excerpt, visible};

/// Where a host keeps a folder for each release (root, 0700).
pub const DIRECTORY: &str = "/var/lib/palisade/releases";

/// The journal's name in that folder.
pub const FILE: &str = "journal";

/// Longest journal that is read, in bytes. One release is a few dozen lines; ours have at most [`LONGEST`] bytes.
pub const LARGEST: usize = 1 << 20;

/// Longest line that is written or read, in bytes, without its end.
const LONGEST: usize = 1000;

/// Longest reason, in bytes: with all else that stands in a line it stays below [`LONGEST`].
const REASON: usize = 500;

/// Why something failed, or does not wait: one line that can be shown as it is, of 1 to 500 bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Reason(String);

impl Reason {
    /// `text` made fit: on one line, harmless to show, and cut where it is too long.
    pub fn lossy(text: &str) -> Self {
        let mut line = visible(text.trim());
        line.truncate(line.floor_char_boundary(REASON));
        let line = line.trim();
        Self(if line.is_empty() { "it does not say why".to_owned() } else { line.to_owned() })
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for Reason {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let good = (1..=REASON).contains(&text.len()) && text.trim() == text && visible(text) == text;
        if good {
            Ok(Self(text.to_owned()))
        } else {
            Err(Malformed::new("not a reason", "write one line of plain text, of at most 500 bytes"))
        }
    }
}

impl TryFrom<String> for Reason {
    type Error = Malformed;

    fn try_from(text: String) -> Result<Self, Malformed> {
        text.parse()
    }
}

impl From<Reason> for String {
    fn from(reason: Reason) -> Self {
        reason.0
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// A run began to install the release; the first event, and of each later run that goes on.
    Begun {
        /// The digest of the release's file as it was carried.
        sha256: Digest,
        /// Account that runs it.
        by: UserName,
        /// The run.
        run: Identifier,
    },
    /// The run may do without window, soak and notice, for this reason. Follows `begun`.
    Emergency {
        /// As it was given.
        reason: Reason,
    },
    /// The packages are on the host, each with the digest that the release says.
    Carried,
    /// The host's own unit installs them.
    Installing,
    /// They are installed, exactly these.
    Installed,
    /// A service was started anew.
    Restarted {
        /// The unit.
        unit: UnitName,
    },
    /// The host is about to be rebooted.
    RebootAsked,
    /// It was: by its boot id, it is another boot.
    Rebooted,
    /// Services, listeners and what an audit asks of packages are as before.
    Checked,
    /// The release is on the host, and nothing is left to do.
    Completed,
    /// It did not go on. Events behind it are of a later run that did.
    Failed {
        /// Failure in a word: `disk-full`.
        word: Identifier,
        /// Failure in a line.
        reason: Reason,
    },
}

impl Event {
    /// The word that stands for it in a line.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Begun { .. } => "begun",
            Self::Emergency { .. } => "emergency",
            Self::Carried => "carried",
            Self::Installing => "installing",
            Self::Installed => "installed",
            Self::Restarted { .. } => "restarted",
            Self::RebootAsked => "reboot-asked",
            Self::Rebooted => "rebooted",
            Self::Checked => "checked",
            Self::Completed => "completed",
            Self::Failed { .. } => "failed",
        }
    }

    fn read(text: &str) -> Option<Self> {
        let (word, detail) = match text.split_once(' ') {
            Some((word, detail)) => (word, Some(detail)),
            None => (text, None),
        };
        let event = match (word, detail) {
            ("begun", Some(detail)) => {
                let mut fields = detail.split(' ');
                let event = Self::Begun {
                    sha256: fields.next()?.parse().ok()?,
                    by: fields.next()?.parse().ok()?,
                    run: fields.next()?.parse().ok()?,
                };
                if fields.next().is_some() {
                    return None;
                }
                event
            }
            ("emergency", Some(reason)) => Self::Emergency { reason: reason.parse().ok()? },
            ("carried", None) => Self::Carried,
            ("installing", None) => Self::Installing,
            ("installed", None) => Self::Installed,
            ("restarted", Some(unit)) => Self::Restarted { unit: unit.parse().ok()? },
            ("reboot-asked", None) => Self::RebootAsked,
            ("rebooted", None) => Self::Rebooted,
            ("checked", None) => Self::Checked,
            ("completed", None) => Self::Completed,
            ("failed", Some(detail)) => {
                let (word, reason) = detail.split_once(' ')?;
                Self::Failed { word: word.parse().ok()?, reason: reason.parse().ok()? }
            }
            _ => return None,
        };
        Some(event)
    }
}

/// The event and its detail, as they stand in a line behind the time and the boot.
impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())?;
        match self {
            Self::Begun { sha256, by, run } => write!(f, " {sha256} {by} {run}"),
            Self::Emergency { reason } => write!(f, " {reason}"),
            Self::Restarted { unit } => write!(f, " {unit}"),
            Self::Failed { word, reason } => write!(f, " {word} {reason}"),
            _ => Ok(()),
        }
    }
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema, Deserialize)]
pub struct Entry {
    /// Time, by the host's clock, to the second.
    pub at: Timestamp,
    /// The boot in which it was written.
    pub boot: BootId,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

impl Entry {
    fn read(line: &[u8]) -> Option<Self> {
        let line = std::str::from_utf8(line).ok().filter(|line| line.len() <= LONGEST)?;
        let (seconds, rest) = line.split_once(' ')?;
        let (boot, event) = rest.split_once(' ')?;
        let plain = (1..=11).contains(&seconds.len())
            && seconds.bytes().all(|b| b.is_ascii_digit())
            && (seconds == "0" || !seconds.starts_with('0'));
        let seconds = plain.then(|| seconds.parse::<i64>().ok()).flatten()?;
        let at = Timestamp::from_second(seconds).ok()?;
        Some(Self { at, boot: boot.parse().ok()?, event: Event::read(event)? })
    }
}

/// The line, without its end.
impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.at.as_second(), self.boot, self.event)
    }
}

/// Why a journal says nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema, thiserror::Error)]
#[error("its journal is not as palisade writes it: {why}")]
pub struct Broken {
    why: String,
}

/// One release's journal, every line of which is one of ours and stands where it may.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema, Deserialize)]
#[serde(try_from = "Vec<Entry>", into = "Vec<Entry>")]
pub struct Journal(Vec<Entry>);

impl TryFrom<Vec<Entry>> for Journal {
    type Error = Broken;

    fn try_from(entries: Vec<Entry>) -> Result<Self, Broken> {
        let mut journal = Self(Vec::with_capacity(entries.len()));
        for entry in entries {
            journal.push(entry).map_err(|why| Broken { why })?;
        }
        Ok(journal)
    }
}

impl From<Journal> for Vec<Entry> {
    fn from(journal: Journal) -> Self {
        journal.0
    }
}

/// How a release was completed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Completion {
    /// The digest of the release's file.
    pub sha256: Digest,
    /// Time, by the host's clock.
    pub at: Timestamp,
    /// Account that ran it last.
    pub by: UserName,
    /// The run that ended it.
    pub run: Identifier,
}

/// How far a release is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum State {
    /// Nothing was begun: there is no whole line.
    Untouched,
    /// It was begun, and neither ended nor failed.
    Underway {
        /// The last event's word.
        after: &'static str,
        /// Time of that event.
        since: Timestamp,
    },
    /// It failed, and nothing went on since.
    Failed {
        /// Failure in a word.
        word: Identifier,
        /// Failure in a line.
        reason: Reason,
        /// Time of the failure.
        since: Timestamp,
    },
    /// It is done.
    Completed(Completion),
}

impl Journal {
    /// The journal that `bytes` are.
    pub fn parse(bytes: &[u8]) -> Result<Self, Broken> {
        let broken = |why: String| Err(Broken { why });
        if bytes.len() > LARGEST {
            return broken(format!("it has more than {LARGEST} bytes"));
        }
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let mut journal = Self(Vec::new());
        for (number, line) in
            bytes.get(..whole).unwrap_or_default().split_inclusive(|b| *b == b'\n').enumerate()
        {
            let number = number + 1;
            let line = line.strip_suffix(b"\n").unwrap_or(line);
            let Some(entry) = Entry::read(line) else {
                let shown = excerpt(&visible(&String::from_utf8_lossy(line)), 80);
                return broken(format!("line {number} is none of its events (`{shown}`)"));
            };
            if let Err(why) = journal.push(entry) {
                return broken(why);
            }
        }
        Ok(journal)
    }

    /// Adds `entry` where it may stand; or says why it may not.
    fn push(&mut self, entry: Entry) -> Result<(), String> {
        if let Err(why) = self.may_follow(&entry) {
            return Err(format!("line {} says `{}` {why}", self.0.len() + 1, entry.event.word()));
        }
        self.0.push(entry);
        Ok(())
    }

    /// Its text.
    pub fn to_text(&self) -> String {
        use fmt::Write as _;
        self.0.iter().fold(String::new(), |mut text, entry| {
            let _ = writeln!(text, "{entry}");
            text
        })
    }

    /// Its lines, oldest first.
    pub fn entries(&self) -> &[Entry] {
        &self.0
    }

    /// How far the release is.
    pub fn state(&self) -> State {
        let (Some(last), Some((sha256, by, run))) = (self.0.last(), self.begun()) else {
            return State::Untouched;
        };
        match &last.event {
            Event::Completed => State::Completed(Completion {
                sha256: sha256.clone(),
                at: last.at,
                by: by.clone(),
                run: run.clone(),
            }),
            Event::Failed { word, reason } => {
                State::Failed { word: word.clone(), reason: reason.clone(), since: last.at }
            }
            other => State::Underway { after: other.word(), since: last.at },
        }
    }

    /// How it was completed, if it was.
    pub fn completion(&self) -> Option<Completion> {
        match self.state() {
            State::Completed(completion) => Some(completion),
            _ => None,
        }
    }

    /// The file that the last run installs, and who runs it.
    pub fn begun(&self) -> Option<(&Digest, &UserName, &Identifier)> {
        self.0.iter().rev().find_map(|entry| match &entry.event {
            Event::Begun { sha256, by, run } => Some((sha256, by, run)),
            _ => None,
        })
    }

    /// Why a run did without window, soak and notice: the last such reason.
    pub fn emergency(&self) -> Option<&Reason> {
        self.0.iter().rev().find_map(|entry| match &entry.event {
            Event::Emergency { reason } => Some(reason),
            _ => None,
        })
    }

    /// Whether the host was asked to reboot, and no line is of a later boot.
    pub fn awaits_reboot(&self) -> bool {
        let asked = self.0.iter().rposition(|entry| entry.event == Event::RebootAsked);
        asked.is_some_and(|at| {
            let mut later = self.0.get(at..).unwrap_or_default().iter();
            later.next().is_some_and(|asked| later.all(|entry| entry.boot == asked.boot))
        })
    }

    /// Whether `entry` may be the next one; or why not.
    fn may_follow(&self, entry: &Entry) -> Result<(), &'static str> {
        let last = self.0.last().map(|entry| &entry.event);
        match (&entry.event, last) {
            (Event::Begun { .. }, _) => Ok(()),
            (_, None) => Err("before anything was begun"),
            (_, Some(Event::Completed)) => Err("behind the end"),
            (Event::Rebooted, _) => {
                let asked = self.0.iter().rev().find(|entry| entry.event == Event::RebootAsked);
                match asked {
                    None => Err("where no reboot was asked for"),
                    Some(asked) if asked.boot == entry.boot => Err("in the boot in which it was asked for"),
                    Some(_) => Ok(()),
                }
            }
            (Event::Completed, _) => self.may_end(),
            _ => Ok(()),
        }
    }

    /// Whether all has been done that a completed release needs: these very files installed, and nothing done since they
    /// were checked.
    fn may_end(&self) -> Result<(), &'static str> {
        if self.0.last().is_none_or(|entry| entry.event != Event::Checked) {
            return Err("without `checked` right before it");
        }
        let Some((current, ..)) = self.begun() else { return Err("before anything was begun") };
        let mut of_current = false;
        let mut installed = false;
        for entry in &self.0 {
            match &entry.event {
                Event::Begun { sha256, .. } if sha256 != current => (of_current, installed) = (false, false),
                Event::Begun { .. } => of_current = true,
                Event::Installed => installed = of_current,
                // What is installed anew is not installed until it is said again.
                Event::Installing => installed = false,
                _ => {}
            }
        }
        if installed { Ok(()) } else { Err("without `installed` before it") }
    }
}

#[cfg(test)]
mod tests;
