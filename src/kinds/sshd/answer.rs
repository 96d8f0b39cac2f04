//! What a host is asked about sshd, and what it answers: the effective settings for everybody and for each principal
//! from each of its sources, in sshd's own words, with the lines behind them. The question relies on plain paths alone,
//! so that it can be asked of a staged /etc/ssh too. Nothing is judged here.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::config::{self, Config};
use super::wanted::{Principal, Sshd, WIDEN};
use crate::domain::{Address, RemotePath, UserName};
use crate::kinds::file;
use crate::resource::parts::said;
use crate::resource::{FileState, Frame, Reading, Unread};
use crate::shell::{Arg, Perl};
use crate::text::{excerpt, visible};

/// Settings that are read whatever is asked for: who may log in, by what, and two that every sshd has.
const ALWAYS: [&str; 11] = [
    "port",
    "permitrootlogin",
    "pubkeyauthentication",
    "authenticationmethods",
    "authorizedkeysfile",
    "usepam",
    "allowusers",
    "denyusers",
    "allowgroups",
    "denygroups",
    "passwordauthentication",
];

/// What sshd says, on one host, of everybody and of one resource's principals.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Answer {
    /// OpenSSH's version.
    pub version: Version,
    /// Outside of `Match` blocks that ask for an account or an address.
    pub global: Settings,
    /// For each principal from each source.
    pub effective: Vec<Effective>,
    /// The groups of each principal's account; none where there is no such account.
    pub groups: BTreeMap<UserName, Vec<String>>,
    /// The configuration behind it.
    pub config: Config,
    /// `systemctl is-active ssh.service`.
    pub service: String,
    /// `systemctl is-active ssh.socket`.
    pub socket: String,
    /// The drop-in that widens, if there is one.
    pub widen: FileState,
}

/// Settings by keyword, each with the arguments of each of its lines.
pub type Settings = BTreeMap<String, Vec<String>>;

/// The settings for one principal from one source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Effective {
    /// The account.
    pub user: UserName,
    /// The address that it comes from.
    pub source: Address,
    /// What differs from everybody's; none where nothing does.
    pub own: Option<Settings>,
}

impl Answer {
    /// The settings of `one`.
    pub(super) fn settings<'a>(&'a self, one: &'a Effective) -> &'a Settings {
        one.own.as_ref().unwrap_or(&self.global)
    }
}

/// OpenSSH's version, such as 9.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, schemars::JsonSchema)]
pub struct Version {
    /// 9 of 9.2.
    pub major: u16,
    /// 2 of 9.2.
    pub minor: u16,
}

impl Version {
    /// From the start of `sshd -V`: `OpenSSH_9.2p1 Debian-2, OpenSSL 3`.
    fn parse(text: &str) -> Option<Self> {
        let (major, rest) = text.strip_prefix("OpenSSH_")?.split_once('.')?;
        let minor: String = rest.chars().take_while(char::is_ascii_digit).collect();
        Some(Self { major: major.parse().ok()?, minor: minor.parse().ok()? })
    }
}

/// The question for all of `all`, in one.
pub(super) fn question(all: &[&Sshd]) -> Perl {
    let keywords: BTreeSet<&str> =
        all.iter().flat_map(|one| one.settings.keys().map(String::as_str)).chain(ALWAYS).collect();
    let asked: BTreeSet<_> = all
        .iter()
        .flat_map(|one| {
            pairs(&one.principals).map(|(user, source)| (user, source, one.host_address, one.port))
        })
        .collect();
    let users: BTreeSet<&UserName> = asked.iter().map(|(user, ..)| *user).collect();
    let asked = asked.iter().flat_map(|(user, source, address, port)| {
        [Arg::from(*user), source.into(), address.into(), port.into()]
    });
    let widen: Option<RemotePath> = WIDEN.parse().ok();
    Perl::new(config::QUESTION)
        .then(include_str!("question.pl"))
        .given("keywords", keywords.into_iter().map(Arg::lossy))
        .given("asked", asked)
        .given("users", users.into_iter().map(Arg::from))
        .given("files", widen.iter().map(Arg::from))
}

/// Every principal with every source.
fn pairs(principals: &[Principal]) -> impl Iterator<Item = (&UserName, Address)> {
    principals.iter().flat_map(|one| one.sources.iter().map(move |source| (&one.user, *source)))
}

/// What sshd said to one ask.
enum Said {
    /// The same as to everybody.
    Same,
    /// This, and how it exited.
    Own(String, Settings),
}

/// The answer for `one` of the resources that the question was asked for.
pub(super) fn read(one: &Sshd, frame: &Frame) -> Reading<Answer> {
    let text = String::from_utf8_lossy(&frame.stdout);
    let unread = |what: &str| Unread(format!("{what}{}", said(&frame.stderr)));
    let lines = |mark: &'static str| {
        text.lines().filter_map(move |line| {
            line.split_once('\t').filter(|(first, _)| *first == mark).map(|(_, rest)| rest)
        })
    };
    let asks = asks(&text);
    let settings = |whom: &str| match asks.get(whom) {
        Some(Said::Same) => Ok(None),
        Some(Said::Own(status, settings)) => {
            let whole = ["port", "permitrootlogin", "passwordauthentication"]
                .iter()
                .all(|keyword| settings.contains_key(*keyword));
            if status == "0" && whole {
                Ok(Some(settings.clone()))
            } else {
                let shown = visible(status);
                Err(unread(&format!("sshd does not say how it is set: sshd -T exited {shown}")))
            }
        }
        None => Err(unread("sshd was not asked how it is set")),
    };
    let global = settings("*")?.ok_or_else(|| unread("sshd was not asked how it is set"))?;
    let effective = pairs(&one.principals)
        .map(|(user, source)| {
            let own = settings(&format!("{user} {source} {} {}", one.host_address, one.port))?;
            Ok(Effective { user: user.clone(), source, own })
        })
        .collect::<Reading<_>>()?;
    let version = lines("version").next().unwrap_or_default();
    let version = Version::parse(version)
        .ok_or_else(|| unread(&format!("sshd's version `{}` is not readable", excerpt(version, 80))))?;
    let mut units = lines("unit").map(str::to_owned);
    let (Some(service), Some(socket)) = (units.next(), units.next()) else {
        return Err(unread("systemd does not say whether ssh.service and ssh.socket are active"));
    };
    let groups = lines("groups")
        .filter_map(|line| line.split_once('\t'))
        .filter_map(|(user, groups)| {
            Some((user.parse().ok()?, groups.split_whitespace().map(str::to_owned).collect()))
        })
        .collect();
    let widen = file::read_states(frame)
        .remove(WIDEN)
        .unwrap_or_else(|| Err(unread(&format!("{WIDEN} could not be read"))))?;
    let config = Config::read(&text).ok_or_else(|| unread("sshd's configuration could not be read"))?;
    Ok(Answer { version, global, effective, groups, config, service, socket, widen })
}

/// By whom it was asked for: `*`, or user, source, local address and port.
fn asks(text: &str) -> BTreeMap<String, Said> {
    let mut asks = BTreeMap::new();
    let mut current: Option<String> = None;
    for line in text.lines() {
        let mut fields = line.splitn(3, '\t');
        match (fields.next(), fields.next(), fields.next()) {
            (Some("ask"), Some(whom), Some("same")) => {
                asks.insert(whom.to_owned(), Said::Same);
                current = None;
            }
            (Some("ask"), Some(whom), Some(status)) => {
                asks.insert(whom.to_owned(), Said::Own(status.to_owned(), Settings::new()));
                current = Some(whom.to_owned());
            }
            (Some("value"), Some(keyword), Some(value)) => {
                if let Some(Said::Own(_, settings)) = current.as_ref().and_then(|whom| asks.get_mut(whom)) {
                    settings.entry(keyword.to_owned()).or_default().push(value.to_owned());
                }
            }
            _ => {}
        }
    }
    asks
}
