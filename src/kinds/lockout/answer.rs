//! What a host says of its lockout, and how that is read. Whatever was not said is unknown: a fail2ban or an nft that
//! says nothing and exits 0 proves nothing.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::domain::{Address, Cidr};
use crate::resource::parts::said;
use crate::resource::sections::Sections;
use crate::resource::{Frame, Reading, Unread};

/// What a host has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Answer {
    /// What fail2ban does.
    pub watch: Watch,
    /// What the kernel drops; none where nft is not installed.
    pub kernel: Option<Kernel>,
    /// How sshd is set.
    pub sshd: Sshd,
    /// Files of `jail.d` with a section `[sshd]` that are read after ours.
    pub later: Vec<String>,
    /// Files of others with such a section that are read before ours.
    pub overruled: Vec<String>,
}

/// What fail2ban does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub enum Watch {
    /// It is not installed.
    Missing,
    /// It does not run, or has no jail for sshd; in its own words.
    Off(String),
    /// It watches.
    Jail(Jail),
}

/// fail2ban's jail for sshd.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Jail {
    /// What [`VALUES`] are, each in fail2ban's words.
    pub values: BTreeMap<String, String>,
    /// Whom it does not count.
    pub ignored: BTreeSet<String>,
    /// Whom it says that it bans: IPv4 addresses, and what stands for an IPv6 /64.
    pub banned: BTreeSet<String>,
    /// Other jails.
    pub others: Vec<String>,
}

impl Jail {
    /// What a value of the jail is.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }
}

/// What the kernel has loaded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Kernel {
    /// The declared table and who is exempt in it, as this host's nft lists them.
    pub desired: String,
    /// The live ones; none where there is no such table.
    pub live: Option<String>,
    /// Whom it drops.
    pub banned: BTreeSet<Cidr>,
}

impl Kernel {
    /// Whether whatever comes from `banned`, in fail2ban's words, is dropped.
    pub fn blocks(&self, banned: &str) -> bool {
        let address = banned.parse::<Address>().or_else(|_| format!("{banned}::").parse());
        address.is_ok_and(|address| self.banned.iter().any(|network| network.contains(address)))
    }
}

/// How sshd is set, by `sshd -T`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Sshd {
    /// `loglevel`.
    pub log_level: String,
    /// `persourcepenalties`; none where this sshd has none.
    pub penalties: Option<String>,
    /// `persourcepenaltyexemptlist`.
    pub spared: Option<String>,
}

/// What is asked of the jail, beside whom it ignores and bans.
const VALUES: [&str; 7] =
    ["maxretry", "findtime", "bantime", "usedns", "ignoreself", "actions", "journalmatch"];

/// What the client asks the server for, a line each.
pub(super) fn queries() -> String {
    let mut lines = String::from("status\n");
    for name in VALUES.iter().chain(&["ignoreip", "banip"]) {
        lines.push_str("get sshd ");
        lines.push_str(name);
        lines.push('\n');
    }
    lines + "exit\n"
}

/// What stands before the name of a file that is read before ours.
const OVERRULED: &str = "overruled ";

/// What stands before each of the client's answers.
const PROMPT: &str = "fail2ban> ";

/// The answer of the `place`th resource.
pub(super) fn read(frame: &Frame, place: usize) -> Reading<Answer> {
    let sections = Sections::read(frame);
    let present = |what: &str| match sections.line(what) {
        Some(" is present") => Ok(true),
        Some(" is missing") => Ok(false),
        _ => Err(Unread(format!("the host did not say whether {what} is there{}", said(&frame.stderr)))),
    };
    let watch =
        if present("fail2ban")? { watch(sections.output(frame, "client", 0)?)? } else { Watch::Missing };
    let kernel = if present("nft")? { Some(kernel(&sections, frame, place)?) } else { None };
    let (overruled, later): (Vec<&str>, Vec<&str>) =
        sections.output(frame, "later", 0)?.lines().partition(|line| line.starts_with(OVERRULED));
    Ok(Answer {
        watch,
        kernel,
        sshd: sshd(sections.output(frame, "sshd", 0)?)?,
        later: later.into_iter().map(str::to_owned).collect(),
        overruled: overruled
            .into_iter()
            .filter_map(|line| line.strip_prefix(OVERRULED))
            .map(str::to_owned)
            .collect(),
    })
}

/// From the client's conversation: one answer behind each prompt, in the order of [`queries`].
fn watch(text: &str) -> Reading<Watch> {
    let unread = |why: &str| Unread(format!("fail2ban's answer is not understood: {why}"));
    let mut answers = text.split(PROMPT).map(str::trim);
    answers.next().ok_or_else(|| unread("it is empty"))?;
    let answers: Vec<&str> = answers.collect();
    if let Some(error) = answers.iter().find(|answer| answer.contains("ERROR")) {
        let says = error.lines().rfind(|line| !line.trim().is_empty()).unwrap_or(error);
        let says = says.split_once("ERROR").map_or(says, |(_, rest)| rest).trim();
        let off = error.contains("Failed to access socket") || error.contains("does not exist");
        return if off {
            Ok(Watch::Off(says.to_owned()))
        } else {
            Err(unread(&crate::text::excerpt(says, 200)))
        };
    }
    // The last prompt is the one that `exit` answers.
    let [status, rest @ .., ignored, banned, _] = answers.as_slice() else {
        return Err(unread("there is less of it than was asked for"));
    };
    if rest.len() != VALUES.len() {
        return Err(unread("there is another number of answers than of questions"));
    }
    let jails = status
        .lines()
        .find_map(|line| line.split_once("Jail list:"))
        .ok_or_else(|| unread("it does not list its jails"))?
        .1;
    let mut values = BTreeMap::new();
    for (name, answer) in VALUES.iter().zip(rest) {
        // The last line of each: what fail2ban says before it is for people.
        let value = answer.lines().last().unwrap_or_default().trim();
        if value.is_empty() {
            return Err(unread(&format!("it does not say {name}")));
        }
        values.insert((*name).to_owned(), value.to_owned());
    }
    let ignored = match ignored.lines().next() {
        Some(first) if first.contains("ignored") => {
            ignored.lines().filter_map(|line| Some(line.split_once("- ")?.1.trim().to_owned())).collect()
        }
        _ => return Err(unread("it does not say whom it ignores")),
    };
    Ok(Watch::Jail(Jail {
        values,
        ignored,
        banned: banned.split_whitespace().map(str::to_owned).collect(),
        others: jails
            .split(',')
            .map(str::trim)
            .filter(|name| !name.is_empty() && *name != "sshd")
            .map(str::to_owned)
            .collect(),
    }))
}

fn kernel(sections: &Sections, frame: &Frame, place: usize) -> Reading<Kernel> {
    const HEAD: &str = "table inet palisade-bans {";
    let whole = |listing: &str| listing.starts_with(HEAD) && listing.contains("chain input {");
    let desired = sections.output(frame, "desired", place)?;
    // An nft that says nothing has loaded nothing: no listing of its own is empty.
    if !whole(desired) || !desired.contains("set management6 {") {
        return Err(Unread("nft listed nothing of what it was given to load".to_owned()));
    }
    let tables = sections.output(frame, "tables", 0)?;
    if !tables.lines().any(|line| line == "table inet palisade-bans") {
        return Ok(Kernel { desired: desired.to_owned(), live: None, banned: BTreeSet::new() });
    }
    let live = sections.output(frame, "live", 0)?;
    if !live.starts_with(HEAD) {
        return Err(Unread("nft listed nothing of the live table of bans".to_owned()));
    }
    let held = sections.output(frame, "held", 0)?;
    let mut banned = BTreeSet::new();
    for set in held.lines() {
        banned.extend(elements(set)?);
    }
    Ok(Kernel { desired: desired.to_owned(), live: Some(live.to_owned()), banned })
}

/// The networks of a set, from `nft -j list set`.
fn elements(json: &str) -> Reading<Vec<Cidr>> {
    let wrong = || Unread("nft's list of a set is not the expected JSON".to_owned());
    let list: serde_json::Value = serde_json::from_str(json).map_err(|_| wrong())?;
    let items = list.get("nftables").and_then(serde_json::Value::as_array).ok_or_else(wrong)?;
    let set = items.iter().find_map(|item| item.get("set")).ok_or_else(wrong)?;
    let Some(elements) = set.get("elem") else { return Ok(Vec::new()) };
    let elements = elements.as_array().ok_or_else(wrong)?;
    elements
        .iter()
        .map(|element| {
            let value = element.pointer("/elem/val").unwrap_or(element);
            let text = match (value.as_str(), value.pointer("/prefix/addr"), value.pointer("/prefix/len")) {
                (Some(address), ..) => address.to_owned(),
                (None, Some(address), Some(length)) => {
                    format!("{}/{length}", address.as_str().ok_or_else(wrong)?)
                }
                _ => return Err(wrong()),
            };
            text.parse().map_err(|_| wrong())
        })
        .collect()
}

fn sshd(text: &str) -> Reading<Sshd> {
    let value = |name: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))
            .map(|value| value.trim().to_owned())
    };
    Ok(Sshd {
        log_level: value("loglevel")
            .ok_or_else(|| Unread("sshd does not say its LogLevel (sshd -T)".to_owned()))?,
        penalties: value("persourcepenalties"),
        spared: value("persourcepenaltyexemptlist"),
    })
}
