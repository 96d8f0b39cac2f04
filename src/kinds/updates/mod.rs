//! Whether a host has the security updates that there are, by its own apt and without any network: what the security
//! archive had when its index was last fetched, what is held back or broken, whether a reboot is due, and
//! whether programs still run what an update replaced. Nothing is fetched, and nothing is installed: that is the patch train's.

mod declare;

use std::fmt;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::domain::UnitName;
use crate::kinds::machine::{self, CONTAINER};
use crate::resource::{Defeated, Frame, Kind, Question, Reading, Step, Unread, Verdict, parts};
use crate::shell::Perl;
use crate::text::visible;

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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Updates {}

/// What the host says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Answer {
    /// Whether apt has a source of security updates.
    pub source: bool,
    /// When the index of the security archive was made: the oldest, where there are several. None where a source was
    /// never fetched.
    pub index: Option<Timestamp>,
    /// Updates that apt would install were nothing held or pinned.
    pub pending: Vec<Update>,
    /// Packages that are held, with their versions.
    pub held: Vec<String>,
    /// Packages that are not installed properly, with their states.
    pub broken: Vec<String>,
    /// The container that it is: then the kernel is the machine's below.
    pub container: Option<String>,
    /// The kernel that runs.
    pub running: String,
    /// The newest kernel that is installed in /boot; none where none is.
    pub newest: Option<String>,
    /// Whether a package asked for a reboot (/run/reboot-required).
    pub asked: bool,
    /// What runs code whose file an update replaced.
    pub stale: Vec<Stale>,
}

/// A process that runs code whose file an update replaced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Stale {
    /// What it calls itself, harmless to show.
    pub program: String,
    /// Its id.
    pub pid: u32,
    /// The service that it belongs to; none where a person or a container started it.
    pub service: Option<UnitName>,
}

/// `sshd (pid 312, ssh.service)`.
impl fmt::Display for Stale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.service {
            Some(service) => write!(f, "{} (pid {}, {service})", self.program, self.pid),
            None => write!(f, "{} (pid {})", self.program, self.pid),
        }
    }
}

/// One update.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Update {
    /// The package.
    pub package: String,
    /// From and to which version: `1.2 → 1.3`; the new one alone where it is not installed yet.
    pub versions: String,
    /// Whether the security archive has it.
    pub security: bool,
}

impl Kind for Updates {
    type Answer = Answer;

    const STAYS: bool = true;

    fn question(_all: &[&Self]) -> Question {
        let body =
            Perl::new(CONTAINER).then(include_str!("stale.pl")).then(include_str!("question.pl")).into();
        Question { label: "updates", body, seconds: 60, cap: 4 << 20 }
    }

    fn read(all: &[&Self], frame: &Frame) -> Vec<Reading<Answer>> {
        let reading = answer(frame);
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

fn answer(frame: &Frame) -> Reading<Answer> {
    let container = machine::container(frame)?;
    let targets = parts::succeeded(frame, "targets")?;
    let declared = parts::succeeded(frame, "declared")?;
    if declared.lines().last() != Some("looked") {
        return Err(Unread("the host did not say which sources it has".to_owned()));
    }
    // apt names the indexes that it fetched alone.
    let mut source = declared.lines().count() > 1;
    let mut indexes = Vec::new();
    let dates = dates(&parts::succeeded(frame, "indexes")?)?;
    for line in targets.lines() {
        let fields: Vec<&str> = line.split('|').collect();
        let [kind, label, release, file, "end"] = fields.as_slice() else {
            return Err(Unread(format!("apt wrote a line of another form: {}", parts::line(line))));
        };
        // A field that a source lacks is printed as its name.
        if *kind != "Packages"
            || !(*label == "Debian-Security" || release.trim_end_matches('/').ends_with("-security"))
        {
            continue;
        }
        source = true;
        indexes
            .push(dates.iter().find(|(prefix, _)| file.starts_with(prefix.as_str())).map(|(_, date)| *date));
    }
    // The oldest; none where one of them was never fetched.
    let index = indexes.into_iter().collect::<Option<Vec<_>>>().and_then(|dates| dates.into_iter().min());
    let simulated = parts::part(frame, "simulated")?;
    // apt simulates nothing on a host whose packages do not fit together.
    let unmet =
        simulated.status != 0 && String::from_utf8_lossy(&frame.stderr).contains("E: Unmet dependencies");
    let simulated = if unmet { simulated } else { parts::succeeded(frame, "simulated")? };
    if !unmet && !simulated.lines().any(|line| line.contains(" upgraded, ")) {
        return Err(Unread("apt-get did not say what it would install".to_owned()));
    }
    let pending = simulated.lines().filter_map(update).collect();
    let states = parts::succeeded(frame, "states")?;
    if !states.lines().any(|line| line.starts_with("install installed ok dpkg ")) {
        return Err(Unread("dpkg-query did not say which packages there are".to_owned()));
    }
    let (mut held, mut broken) = (Vec::new(), Vec::new());
    if unmet {
        broken.push("apt finds packages that lack others (what is pending is not known)".to_owned());
    }
    for line in states.lines() {
        let fields: Vec<&str> = line.splitn(5, ' ').collect();
        let [want, state, flag, package, version] = fields.as_slice() else {
            return Err(Unread(format!("dpkg-query wrote a line of another form: {}", parts::line(line))));
        };
        if *want == "hold" {
            held.push(visible(&format!("{package} {version}")));
        }
        if !matches!(*state, "installed" | "config-files" | "not-installed") || *flag != "ok" {
            broken.push(visible(&format!("{package} is {state} ({flag})")));
        }
    }
    let kernels = parts::succeeded(frame, "kernels")?;
    let value = |name: &str| kernels.lines().find_map(|line| line.strip_prefix(name).map(str::to_owned));
    let running = value("running ").filter(|running| !running.is_empty());
    Ok(Answer {
        source,
        index,
        pending,
        held,
        broken,
        container,
        running: running.ok_or_else(|| Unread("the host did not say which kernel runs".to_owned()))?,
        newest: value("kernel "),
        asked: kernels.lines().any(|line| line == "asked"),
        stale: kernels.lines().filter_map(stale).collect::<Reading<_>>()?,
    })
}

/// `stale 312 ssh.service sshd`. A program may call itself anything.
fn stale(line: &str) -> Option<Reading<Stale>> {
    let rest = line.strip_prefix("stale ")?;
    let read = || {
        let (pid, rest) = rest.split_once(' ')?;
        let (service, program) = rest.split_once(' ')?;
        Some(Stale { program: visible(program), pid: pid.parse().ok()?, service: service.parse().ok() })
    };
    let form = || Unread(format!("the host names a process in another form: {}", parts::line(line)));
    Some(read().ok_or_else(form))
}

/// When each index that was fetched was made, by what its lists' names begin with.
fn dates(part: &parts::Part) -> Reading<Vec<(String, Timestamp)>> {
    let mut dates = Vec::new();
    let mut prefix = None;
    for line in part.lines() {
        if let Some(file) = line.strip_prefix("file ") {
            prefix =
                file.strip_suffix("InRelease").or_else(|| file.strip_suffix("Release")).map(str::to_owned);
        } else if let (Some(date), Some(of)) = (line.strip_prefix("Date: "), prefix.take()) {
            let written = date.trim().replace(" UTC", " +0000");
            let zoned = jiff::fmt::rfc2822::parse(&written).map_err(|_| {
                Unread(format!("an index of apt's has a date of another form: {}", parts::line(date)))
            })?;
            dates.push((of, zoned.timestamp()));
        }
    }
    Ok(dates)
}

/// `Inst perl [5.36.0-7] (5.36.0-8 Debian-Security:12/oldstable-security [amd64]) []`.
fn update(line: &str) -> Option<Update> {
    let rest = line.strip_prefix("Inst ")?;
    let (package, rest) = rest.split_once(' ')?;
    let (old, rest) = match rest.strip_prefix('[') {
        Some(bracketed) => {
            let (old, rest) = bracketed.split_once("] ")?;
            (Some(old), rest)
        }
        None => (None, rest),
    };
    let (new, from) = rest.strip_prefix('(')?.split_once(')')?.0.split_once(' ')?;
    let versions = match old {
        Some(old) => format!("{old} → {new}"),
        None => new.to_owned(),
    };
    Some(Update {
        package: visible(package),
        versions: visible(&versions),
        security: from.contains("Debian-Security:") || from.contains("-security"),
    })
}
