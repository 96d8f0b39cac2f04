//! The lockout: whether the kernel drops whatever comes from an address that failed too often, whether fail2ban watches
//! sshd with the declared numbers and exemptions, and whether sshd writes down what fail2ban counts.
//!
//! What fail2ban says of its bans proves nothing, since its action may have failed: each address that it names is looked
//! for in the kernel's own sets, and the table around them is held against the declared one, loaded by the same nft into
//! an empty network namespace. It bans nobody, and lets nobody off.

pub mod declare;
mod answer;

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use answer::{Answer, Jail, Kernel, Sshd, Watch};

use crate::domain::Cidr;
use crate::resource::{Change, Defeated, Frame, Kind, Phase, Question, Reading, Step, Verdict};
use crate::shell::{Arg, Perl};
use crate::text::visible;

/// How long failures are remembered, and how long an address is blocked, in seconds: a day each. Long enough that a
/// patient stranger gains nothing, short enough that nobody has to be let in again by hand.
pub const BLOCKED_SECONDS: u32 = 86_400;

/// What fail2ban reads of the journal: what sshd writes as root, by what it calls itself. Of a process that is gone before
/// journald looks, that learns no unit and no command.
pub const JOURNAL_MATCH: &str = "_UID=0 SYSLOG_IDENTIFIER=sshd + _UID=0 SYSLOG_IDENTIFIER=sshd-session";

/// The file by which the jail is ours. Of those beside it, one that sorts behind it is read later, and wins.
const JAIL_FILE: &str = "/etc/fail2ban/jail.d/zz-palisade.local";

/// The lockout of one host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lockout {
    /// After how many failed attempts an address is blocked.
    pub attempts: u32,
    /// Sources that are exempt, in every layer.
    pub management: Vec<Cidr>,
    /// Text from which the table `inet palisade-bans` is loaded.
    pub table: String,
}

impl Lockout {
    /// What fail2ban's jail says of itself, by the words of `fail2ban-client get sshd`.
    fn wanted(&self) -> [(&'static str, String); 7] {
        [
            ("maxretry", self.attempts.to_string()),
            ("findtime", BLOCKED_SECONDS.to_string()),
            ("bantime", BLOCKED_SECONDS.to_string()),
            ("usedns", "no".to_owned()),
            ("ignoreself", "False".to_owned()),
            ("actions", "palisade".to_owned()),
            ("journalmatch", JOURNAL_MATCH.to_owned()),
        ]
    }

    fn exempt(&self) -> BTreeSet<String> {
        self.management.iter().map(ToString::to_string).collect()
    }

    /// What is wrong with fail2ban, and with what it knows.
    fn against_fail2ban(&self, watch: &Watch) -> Vec<String> {
        let jail = match watch {
            Watch::Missing => return vec!["fail2ban is not installed, so nobody is banned".to_owned()],
            Watch::Off(why) => return vec![format!("fail2ban does not watch sshd: {}", visible(why))],
            Watch::Jail(jail) => jail,
        };
        let mut findings = Vec::new();
        for (name, wanted) in self.wanted() {
            let found = jail.value(name);
            if found != Some(wanted.as_str()) {
                let found = found.map_or_else(|| "not set".to_owned(), visible);
                findings.push(format!("{name} of fail2ban's jail sshd is {found}, not {wanted}"));
            }
        }
        let exempt = self.exempt();
        findings.extend(
            exempt.difference(&jail.ignored).map(|one| format!("fail2ban may ban the management ({one})")),
        );
        findings.extend(
            jail.ignored
                .difference(&exempt)
                .map(|one| format!("fail2ban never bans {}, which is no management", visible(one))),
        );
        findings
    }

    /// What is wrong with what the kernel drops.
    fn against_kernel(kernel: &Kernel, watch: &Watch) -> Vec<String> {
        let Kernel { desired, live, .. } = kernel;
        let Some(live) = live else {
            return vec!["the kernel has no table inet palisade-bans: no ban blocks anybody".to_owned()];
        };
        let mut findings = crate::kinds::firewall::nftables::differences(live, desired);
        if let Watch::Jail(jail) = watch {
            findings.extend(jail.banned.iter().filter(|one| !kernel.blocks(one)).map(|one| {
                format!("fail2ban says that it bans {}, and the kernel does not drop it", visible(one))
            }));
        }
        findings
    }

    fn against_sshd(&self, sshd: &Sshd) -> Vec<String> {
        let mut findings = Vec::new();
        if !matches!(sshd.log_level.as_str(), "VERBOSE" | "DEBUG" | "DEBUG1" | "DEBUG2" | "DEBUG3") {
            findings.push(format!(
                "sshd does not write down the keys that it refuses (LogLevel {}), so nobody counts them",
                visible(&sshd.log_level)
            ));
        }
        if sshd.penalties.as_deref().is_some_and(|penalties| penalties != "no") {
            let spared: BTreeSet<&str> =
                sshd.spared.as_deref().unwrap_or_default().split([',', ' ']).collect();
            findings.extend(
                self.exempt()
                    .iter()
                    .filter(|one| !spared.contains(one.as_str()))
                    .map(|one| format!("sshd's own penalties may hit the management ({one})")),
            );
        }
        findings
    }

    /// What a new start of fail2ban would mend.
    fn stale(&self, answer: &Answer) -> bool {
        let kernel = answer.kernel.as_ref();
        !self.against_fail2ban(&answer.watch).is_empty()
            || kernel.is_none_or(|kernel| !Self::against_kernel(kernel, &answer.watch).is_empty())
    }
}

/// What is lost of a file that is read before ours.
fn overruled(file: &str) -> String {
    format!(
        "what {} says of fail2ban's jail sshd: palisade's settings overrule it, the file stays",
        visible(file)
    )
}

impl Kind for Lockout {
    type Answer = Answer;

    const ACCESS: bool = true;

    fn question(all: &[&Self]) -> Question {
        let body = Perl::new(include_str!("question.pl"))
            .given("file", [Arg::word(JAIL_FILE)])
            .given("queries", [Arg::lossy(answer::queries())])
            .given("tables", all.iter().map(|one| Arg::lossy(one.table.clone())))
            .into();
        Question { label: "lockout", body, seconds: 30, cap: 4 << 20 }
    }

    fn read(all: &[&Self], frame: &Frame) -> Vec<Reading<Answer>> {
        all.iter().enumerate().map(|(place, _)| answer::read(frame, place)).collect()
    }

    fn judge(&self, answer: &Answer, _now: Timestamp) -> Verdict {
        let mut findings = self.against_fail2ban(&answer.watch);
        let mut notes = Vec::new();
        match &answer.kernel {
            None => findings.push("nft is not installed (package nftables), so no ban blocks".to_owned()),
            Some(kernel) => {
                findings.extend(Self::against_kernel(kernel, &answer.watch));
                notes.push(format!("blocked now: {}", kernel.banned.len()));
            }
        }
        findings.extend(self.against_sshd(&answer.sshd));
        if let Watch::Jail(jail) = &answer.watch
            && !jail.others.is_empty()
        {
            let others: Vec<String> = jail.others.iter().map(|name| visible(name)).collect();
            notes.push(format!("fail2ban's jails of others: {}", others.join(", ")));
        }
        notes.extend(answer.overruled.iter().map(|file| {
            format!("{} sets the jail sshd too: what {JAIL_FILE} says of it counts", visible(file))
        }));
        if findings.is_empty() { Verdict::Compliant { notes } } else { Verdict::Drift { findings } }
    }

    /// Files, packages and the unit are other resources; what runs is put in order by a new start.
    fn remedy(&self, answer: &Answer) -> Result<Vec<Step>, Defeated> {
        if !self.stale(answer) {
            return Ok(Vec::new());
        }
        if let Some(file) = answer.later.first() {
            return Err(Defeated {
                what: format!(
                    "{} is read after {JAIL_FILE}, and may set the jail sshd otherwise",
                    visible(file)
                ),
                hint:
                    "take its section [sshd] out, or give the file a name that sorts before zz-palisade.local"
                        .to_owned(),
            });
        }
        Ok(vec![Step {
            phase: Phase::Narrow,
            summary: "start fail2ban anew, with the table of its bans".to_owned(),
            change: Change::Bans,
            cuts: answer.overruled.iter().map(|file| overruled(file)).collect(),
        }])
    }

    fn name(&self) -> String {
        "lockout (fail2ban's jail sshd, table inet palisade-bans)".to_owned()
    }
}

#[cfg(test)]
mod tests;
