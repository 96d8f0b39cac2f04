//! A clock that follows a known source: one time daemon, servers that it asks, and a kernel that counts itself as
//! synchronised. It only looks: which daemon and which servers are the operator's choice, and a second daemon beside
//! the one that is there would fight with it.

mod declare;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::resource::{Defeated, Frame, Kind, Question, Reading, Step, Unread, Verdict};
use crate::shell::Perl;
use crate::text::{excerpt, visible};

/// Seconds by which a host's clock may differ from ours when its answers arrive: what a slow script and a slow
/// connection can take, and far below what certificates, tokens and logs bear.
const TOLERANCE: i64 = 120;

/// The clock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Time {
    /// Names or addresses of the servers that may be asked; empty where any may.
    #[serde(default)]
    pub servers: Vec<String>,
}

/// What the host says of its clock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Answer {
    /// The container that it is: then the clock is the machine's below.
    pub container: Option<String>,
    /// The time daemons that run, by their units.
    pub daemons: Vec<String>,
    /// Whether the kernel counts its clock as synchronised (`adjtimex(2)`, through timedated); none where that was not
    /// answered.
    pub synchronised: Option<bool>,
    /// The servers that are asked; none where palisade cannot read them from this daemon.
    pub servers: Option<Vec<String>>,
    /// Its wall clock, in seconds since 1970.
    pub clock: i64,
}

/// The daemons that Debian has (`Provides: time-daemon`), by their units.
impl Kind for Time {
    type Answer = Answer;

    fn question(_all: &[&Self]) -> Question {
        let body = Perl::new(crate::kinds::machine::CONTAINER).then(include_str!("question.pl")).into();
        Question { label: "time", body, seconds: 20, cap: 64 << 10 }
    }

    fn read(all: &[&Self], frame: &Frame) -> Vec<Reading<Answer>> {
        let answer = answer(frame);
        all.iter().map(|_| answer.clone()).collect()
    }

    fn judge(&self, answer: &Answer, now: Timestamp) -> Verdict {
        if let Some(container) = &answer.container {
            return Verdict::NotApplicable {
                reason: format!("the clock is kept by the machine below this container ({container})"),
            };
        }
        let Some(synchronised) = answer.synchronised else {
            return Verdict::Unknown {
                reason: "timedatectl does not say whether the clock is synchronised".to_owned(),
            };
        };
        let mut findings = Vec::new();
        match answer.daemons.as_slice() {
            [] => findings.push(
                "no time daemon runs (looked for systemd-timesyncd, chrony, ntpsec, openntpd)".to_owned(),
            ),
            [_] => {}
            several => {
                findings.push(format!(
                    "several time daemons run, and fight over the clock: {}",
                    several.join(", ")
                ));
            }
        }
        if !synchronised {
            findings.push("the clock is not synchronised".to_owned());
        }
        let off = answer.clock.saturating_sub(now.as_second());
        if off.abs() > TOLERANCE {
            let way = if off > 0 { "ahead of" } else { "behind" };
            findings.push(format!("the clock is {} s {way} the control node's", off.abs()));
        }
        let mut notes = Vec::new();
        match &answer.servers {
            Some(servers) => {
                if servers.is_empty() && !answer.daemons.is_empty() {
                    findings.push(format!("{} has no server to ask", answer.daemons.join(" and ")));
                }
                for server in servers.iter().filter(|server| self.refuses(server)) {
                    findings.push(format!("{} is asked for the time, and is not declared", visible(server)));
                }
                notes.push(format!("{} asks {}", answer.daemons.join(" and "), visible(&servers.join(", "))));
            }
            None if self.servers.is_empty() || !findings.is_empty() => {
                notes.push(format!("palisade does not read what {} asks", answer.daemons.join(" and ")));
            }
            None => {
                let reason =
                    format!("palisade cannot read which servers {} asks", answer.daemons.join(" and "));
                return Verdict::Unknown { reason };
            }
        }
        if findings.is_empty() { Verdict::Compliant { notes } } else { Verdict::Drift { findings } }
    }

    fn remedy(&self, _answer: &Answer) -> Result<Vec<Step>, Defeated> {
        Ok(Vec::new())
    }

    fn name(&self) -> String {
        "clock".to_owned()
    }
}

impl Time {
    fn refuses(&self, server: &str) -> bool {
        !self.servers.is_empty() && !self.servers.iter().any(|declared| declared.eq_ignore_ascii_case(server))
    }
}

fn answer(frame: &Frame) -> Reading<Answer> {
    let text = String::from_utf8_lossy(&frame.stdout);
    let container = crate::kinds::machine::container(frame)?;
    let clock = text.lines().find_map(|line| line.strip_prefix("clock ")?.parse().ok());
    let clock = clock.ok_or_else(|| Unread("the host does not say what time it is".to_owned()))?;
    let states: Vec<(&str, &str)> = text
        .split("\n\n")
        .filter_map(|block| {
            let value = |key: &str| block.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
            value("Id").zip(value("ActiveState"))
        })
        .collect();
    if states.len() != 4 {
        let why = format!(
            "systemctl does not say which time daemons run (exit {}){}",
            frame.status,
            crate::resource::parts::said(&frame.stderr)
        );
        return Err(Unread(why));
    }
    let runs = |state: &str| matches!(state, "active" | "reloading" | "activating");
    let daemons: Vec<String> = states
        .iter()
        .filter(|(_, state)| runs(state))
        .map(|(id, _)| excerpt(id.trim_end_matches(".service"), 60))
        .collect();
    let synchronised = match text.lines().find_map(|line| line.strip_prefix("NTPSynchronized=")) {
        Some("yes") => Some(true),
        Some("no") => Some(false),
        _ => None,
    };
    Ok(Answer { container, daemons, synchronised, servers: servers(&text), clock })
}

/// What timesyncd or chrony said that they ask. timesyncd falls back on its last list only where all others are empty
/// (timesyncd.conf(5)).
fn servers(text: &str) -> Option<Vec<String>> {
    let asked = |who: &str| text.lines().any(|line| line.strip_prefix("asked ") == Some(who));
    let words = |key: &str| -> Vec<String> {
        text.lines()
            .filter_map(|line| line.strip_prefix(key)?.strip_prefix('='))
            .flat_map(str::split_whitespace)
            .map(|word| excerpt(word, 120))
            .collect()
    };
    if asked("timesyncd") {
        let set: Vec<String> =
            ["SystemNTPServers", "RuntimeNTPServers", "LinkNTPServers"].into_iter().flat_map(words).collect();
        return Some(if set.is_empty() { words("FallbackNTPServers") } else { set });
    }
    asked("chrony").then(|| {
        // Mode (^ server, = peer, # local clock), state, name, ... separated by commas (chronyc(1), -c).
        text.lines()
            .filter_map(|line| {
                let mut fields = line.split(',');
                let mode = fields.next()?;
                let (_state, name) = (fields.next()?, fields.next()?);
                matches!(mode, "^" | "=" | "#").then(|| excerpt(name, 120))
            })
            .collect()
    })
}
