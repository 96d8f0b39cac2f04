//! Whether a host has the security updates that there are, by its own apt and without any network: what the security
//! archive had when its index was last fetched, what is held back or broken, whether a reboot is due, and
//! whether programs still run what an update replaced. Nothing is fetched, and nothing is installed: that is the patch train's.

mod answer;
mod declare;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::kinds::machine::CONTAINER;
use crate::resource::{Defeated, Frame, Kind, Question, Reading, Step, Verdict, parts};
use crate::shell::Perl;
use crate::text::visible;

pub use self::answer::{Answer, Stale, Update};

/// Days after which an index says nothing of today. Debian's security archive signs its index anew within a week, and
/// says so in the index (`Valid-Until`).
const STALE: i64 = 7;

/// What is said of a host whose apt has none.
const NO_SOURCE: &str = "apt has no source of security updates: none would ever be seen";

/// Findings of one sort that are written out.
const SHOWN: usize = 20;

/// How the finding begins that names what runs old code. A release that went well may leave some: services that nothing
/// restarts but a reboot or a person, and programs that people started.
pub const OLD_CODE: &str = "what an update replaced still runs";

/// Shell text that defines `palisade_service_of DIRECTORY`, the service that a process of /proc belongs to, if any: that of the
/// machine's own service manager, and no user's or container's; and `palisade_stale`, for each process that runs a program or a
/// library whose file was replaced: its id, its service or `-`, and what it calls itself, in a line whatever that is.
pub const PROCESSES: &str = r#"palisade_service_of() {
  sed -n '/^0::/{/\.scope\//d;s#\.service/.*#.service#;s#.*/##;/\.service$/p;}' "$1/cgroup" 2>/dev/null
}
palisade_stale() {
  for palisade_path in $(grep -lE '^[^ ]+ r.x. .* /(usr|lib|opt)/.* \(deleted\)$' /proc/[0-9]*/maps 2>/dev/null); do
    palisade_path=${palisade_path%/maps}
    palisade_calls=$(cat "$palisade_path/comm" 2>/dev/null | tr '\n' ' ')
    palisade_service=$(palisade_service_of "$palisade_path")
    # One that ended meanwhile runs nothing.
    [ -z "$palisade_calls" ] || printf '%s %s %s\n' "${palisade_path#/proc/}" "${palisade_service:--}" "${palisade_calls% }"
  done
}"#;

/// The security updates of a host. One per host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Updates {}

impl Kind for Updates {
    type Answer = Answer;

    const STAYS: bool = true;

    fn question(_all: &[&Self]) -> Question {
        let body =
            Perl::new(CONTAINER).then(include_str!("stale.pl")).then(include_str!("question.pl")).into();
        Question { label: "updates", body, seconds: 60, cap: 4 << 20 }
    }

    fn read(all: &[&Self], frame: &Frame) -> Vec<Reading<Answer>> {
        let reading = answer::read(frame);
        all.iter().map(|_| reading.clone()).collect()
    }

    fn judge(&self, answer: &Answer, now: Timestamp) -> Verdict {
        let mut findings = Vec::new();
        let mut notes = Vec::new();
        let mut unknown = None;
        if answer.source {
            unknown = answer.says_nothing(now);
            if let Some(index) = answer.index {
                findings.extend(pending(answer, now.duration_since(index)));
                notes.push(format!("by the security archive's index of {}", index.strftime("%Y-%m-%d")));
            }
        } else {
            findings.push(NO_SOURCE.to_owned());
        }
        findings
            .extend(answer.held.iter().map(|package| format!("{package} is held back: it gets no updates")));
        findings.extend(
            answer
                .broken
                .iter()
                .map(|package| format!("{package}: run `dpkg --configure -a` and `apt-get -f install`")),
        );
        findings.extend(reboot(answer));
        if !answer.stale.is_empty() {
            let stale: Vec<String> = answer.stale.iter().map(ToString::to_string).collect();
            findings.push(format!("{OLD_CODE}: {}; start it anew", parts::listed(&stale, SHOWN).join(", ")));
        }
        if let Some(mut reason) = unknown {
            if !findings.is_empty() {
                reason = format!("{reason}; known all the same: {}", parts::listed(&findings, 3).join("; "));
            }
            return Verdict::Unknown { reason };
        }
        let others = answer.pending.iter().filter(|update| !update.security).count();
        if others > 0 {
            notes.push(format!("{others} other updates are pending"));
        }
        if findings.is_empty() { Verdict::Compliant { notes } } else { Verdict::Drift { findings } }
    }

    fn remedy(&self, _answer: &Answer) -> Result<Vec<Step>, Defeated> {
        Ok(Vec::new())
    }

    fn name(&self) -> String {
        "security updates".to_owned()
    }
}

impl Answer {
    /// Why nothing is known of what is pending at `now`: by which index, or none.
    pub fn says_nothing(&self, now: Timestamp) -> Option<String> {
        if !self.source {
            return Some(NO_SOURCE.to_owned());
        }
        let Some(index) = self.index else {
            let why = "the security archive's index was never fetched: run `apt-get update` on the host";
            return Some(why.to_owned());
        };
        let days = now.duration_since(index).as_hours() / 24;
        (days >= STALE).then(|| {
            format!(
                "the security archive's index is {days} days old, and says nothing of today: run `apt-get update` on the host"
            )
        })
    }
}

/// The security updates that are not installed. How long each has been there is not known to a host: at least as long as
/// the index that names it.
fn pending(answer: &Answer, age: SignedDuration) -> Vec<String> {
    let security: Vec<String> = answer
        .pending
        .iter()
        .filter(|update| update.security)
        .map(|update| {
            let since = match age.as_hours() / 24 {
                ..=0 => "today or longer".to_owned(),
                1 => "1 day or longer".to_owned(),
                days => format!("{days} days or longer"),
            };
            format!("a security update is pending for {since}: {} {}", update.package, update.versions)
        })
        .collect();
    parts::listed(&security, SHOWN)
}

/// Why a reboot is due, where it is; never of a container, whose kernel is the machine's below.
pub fn reboot(answer: &Answer) -> Option<String> {
    if answer.container.is_some() {
        return None;
    }
    if let Some(newest) = answer.newest.as_ref().filter(|newest| **newest != answer.running) {
        return Some(format!(
            "a reboot is due: {} runs, and {} is installed",
            visible(&answer.running),
            visible(newest)
        ));
    }
    answer.asked.then(|| "a reboot is due: a package asks for it (/run/reboot-required)".to_owned())
}
