//! What begins to run by itself, or with somebody else's rights: units, timers, cron, hooks, PAM, udev, what shells and every
//! program load. It is what a package brought and as that brought it, or it is declared. It changes nothing: whose a file is, is
//! for people to find out. What runs without standing in one of these places it does not see: docs/threats.md has the list.

mod declare;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::resource::{Defeated, Frame, Kind, Question, Reading, Step, Unread, Verdict, parts};
use crate::shell::Perl;
use crate::text::visible;

/// Findings that are written out.
const SHOWN: usize = 40;

/// What may be there beside what packages brought. One per host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Persistence {
    /// Paths, and folders with `/*` behind them for all that stands directly in them.
    pub declared: Vec<String>,
}

/// What the host says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Answer {
    /// What is not as a package brought it.
    pub entries: Vec<Entry>,
    /// Accounts whose own units could not be read.
    pub unread: Vec<String>,
    /// How many files are as packages brought them.
    pub brought: u32,
}

/// Something that begins something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Entry {
    /// Its path.
    pub path: String,
    /// What it begins, in a word of [`PLACES`].
    pub place: String,
    /// Owner, group and mode, as a host says them; empty for a line of a file.
    pub owner: String,
    /// What is strange about it.
    pub what: What,
}

/// What is strange about an entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// No package brought it; the first digits of its SHA-256, where it could be read.
    Stray {
        /// Twelve digits.
        sha256: String,
    },
    /// It is not as this package brought it.
    Changed {
        /// The package.
        package: String,
        /// Twelve digits.
        sha256: String,
    },
    /// It leads to what no package brought.
    Link {
        /// Where it leads.
        to: String,
    },
    /// A line of PAM's that no profile of a package has: its number, and how many bytes it has.
    Line {
        /// From 1.
        number: u32,
        /// Bytes.
        length: u32,
    },
    /// A unit of an account's own systemd.
    Unit {
        /// The account.
        account: String,
    },
}

/// What is begun in which sort of place.
const PLACES: [(&str, &str); 18] = [
    ("account", "its account's own systemd runs it"),
    ("apt", "apt or dpkg run what it says"),
    ("binfmt", "the kernel starts what it says for files of a form"),
    ("boot", "it runs at boot, or goes into what boots"),
    ("cron", "cron or at run what it says"),
    ("dbus", "the message bus starts what it says"),
    ("environment", "every login loads what it says"),
    ("kernel", "the kernel starts it"),
    ("linger", "programs of this account run without a login"),
    ("login", "it runs at a login"),
    ("logrotate", "logrotate runs what it says"),
    ("modprobe", "it runs where a module is loaded"),
    ("network", "it runs where the network changes"),
    ("pam", "it decides who logs in, and runs where somebody does"),
    ("polkit", "it decides who may do what as root"),
    ("preload", "programs load what it says"),
    ("systemd", "systemd runs it, or what it says"),
    ("udev", "it runs where a device comes or goes"),
];

impl Persistence {
    fn is_declared(&self, path: &str) -> bool {
        self.declared.iter().any(|declared| match declared.strip_suffix("/*") {
            Some(folder) => path
                .strip_prefix(folder)
                .and_then(|rest| rest.strip_prefix('/'))
                .is_some_and(|name| !name.contains('/')),
            None => declared == path,
        })
    }
}

impl Entry {
    fn told(&self) -> String {
        let begins = PLACES.iter().find(|(word, _)| *word == self.place);
        let begins = begins.map_or("it begins something", |(_, says)| says);
        let (path, owner) = (visible(&self.path), visible(&self.owner));
        match &self.what {
            What::Stray { sha256 } => {
                format!("{path} ({owner}{}): {begins}, and no package brought it", digits(sha256))
            }
            What::Changed { package, sha256 } => format!(
                "{path} ({owner}{}): {begins}, and it is not as {} brought it",
                digits(sha256),
                visible(package)
            ),
            What::Link { to } => {
                format!("{path} leads to {}: {begins}, and no package brought that", visible(to))
            }
            What::Line { number, length } => {
                format!("{path}:{number} ({length} bytes): {begins}, and no package has a profile with it")
            }
            What::Unit { account } => {
                format!("{path} of {}: {begins}, and nobody declared it", visible(account))
            }
        }
    }
}

fn digits(sha256: &str) -> String {
    if sha256.is_empty() { String::new() } else { format!(", sha256 {}…", visible(sha256)) }
}

impl Kind for Persistence {
    type Answer = Answer;

    const STAYS: bool = true;

    fn question(_all: &[&Self]) -> Question {
        let body = Perl::new(include_str!("question.pl")).into();
        Question { label: "persistence", body, seconds: 60, cap: 4 << 20 }
    }

    fn read(all: &[&Self], frame: &Frame) -> Vec<Reading<Answer>> {
        let reading = answer(frame);
        all.iter().map(|_| reading.clone()).collect()
    }

    fn judge(&self, answer: &Answer, _now: Timestamp) -> Verdict {
        let strange = answer.entries.iter().filter(|entry| !self.is_declared(&entry.path));
        let told: Vec<String> = strange.map(Entry::told).collect();
        if told.is_empty() && !answer.unread.is_empty() {
            let accounts =
                answer.unread.iter().map(|account| visible(account)).collect::<Vec<_>>().join(", ");
            return Verdict::Unknown { reason: format!("the units of {accounts} could not be read") };
        }
        Verdict::from_findings(parts::listed(&told, SHOWN))
    }

    fn remedy(&self, _answer: &Answer) -> Result<Vec<Step>, Defeated> {
        Ok(Vec::new())
    }

    fn name(&self) -> String {
        "what begins to run by itself".to_owned()
    }
}

fn answer(frame: &Frame) -> Reading<Answer> {
    let dpkg = parts::succeeded(frame, "dpkg")?;
    if !dpkg.lines().any(|line| line == "self dpkg") {
        return Err(Unread("dpkg did not say whose files they are".to_owned()));
    }
    let told = parts::succeeded(frame, "entries")?;
    let form = |line: &str| Unread(format!("the host says it in another form: {}", parts::line(line)));
    let (mut entries, mut sums, mut unread) = (Vec::new(), BTreeMap::new(), Vec::new());
    let mut brought = None;
    let decoded = |word: &str| parts::field(word);
    for line in told.lines() {
        let words: Vec<&str> = line.split('\t').collect();
        let entry = |place: &str, path: &str, owner: &str, mode: &str, what: What| {
            let owner = format!("{} {mode}", decoded(owner));
            Entry { path: decoded(path), place: place.to_owned(), owner, what }
        };
        match words.as_slice() {
            ["file", place, path, owner, mode, _] => {
                entries.push(entry(place, path, owner, mode, What::Stray { sha256: String::new() }));
            }
            ["changed", place, path, owner, mode, _, package] => {
                let package = decoded(package);
                entries.push(entry(
                    place,
                    path,
                    owner,
                    mode,
                    What::Changed { package, sha256: String::new() },
                ));
            }
            ["link", _, _, _, _, _, _, "package" | "entry"] | ["account", _, "read"] => {}
            ["link", place, path, owner, mode, _, to, "nothing"] => {
                let to = decoded(to);
                entries.push(entry(place, path, owner, mode, What::Link { to }));
            }
            ["pam", path, number, length] => entries.push(Entry {
                path: decoded(path),
                place: "pam".to_owned(),
                owner: String::new(),
                what: What::Line {
                    number: number.parse().map_err(|_| form(line))?,
                    length: length.parse().map_err(|_| form(line))?,
                },
            }),
            ["unit", account, path] => entries.push(Entry {
                path: decoded(path),
                place: "account".to_owned(),
                owner: String::new(),
                what: What::Unit { account: decoded(account) },
            }),
            ["account", account, "unread"] => unread.push(decoded(account)),
            ["sum", path, sum] => {
                sums.insert(decoded(path), sum.get(..12).ok_or_else(|| form(line))?.to_owned());
            }
            ["brought", count] => brought = Some(count.parse().map_err(|_| form(line))?),
            _ => return Err(form(line)),
        }
    }
    let brought: u32 = brought.ok_or_else(|| Unread("the host's answer ends early".to_owned()))?;
    // Every Debian has hundreds: a host that says none was not looked at.
    if brought == 0 {
        return Err(Unread("the host says that packages brought nothing that runs".to_owned()));
    }
    for entry in &mut entries {
        if let What::Stray { sha256 } | What::Changed { sha256, .. } = &mut entry.what {
            *sha256 = sums.remove(&entry.path).unwrap_or_default();
        }
    }
    Ok(Answer { entries, unread, brought })
}
