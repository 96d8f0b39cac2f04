//! What a host says of its updates, and how that is read: the words of apt, dpkg and the kernel. What was not said is
//! unknown. It judges nothing.

use std::fmt;

use jiff::Timestamp;
use serde::Serialize;

use crate::domain::UnitName;
use crate::kinds::machine;
use crate::resource::{Frame, Reading, Unread, parts};
use crate::text::visible;

/// What the host says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Stale {
    /// Name by which the program calls itself, harmless to show.
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Update {
    /// The package.
    pub package: String,
    /// From and to which version: `1.2 → 1.3`; the new one alone where it is not installed yet.
    pub versions: String,
    /// Whether the security archive has it.
    pub security: bool,
}

/// The answer, whole.
pub(super) fn read(frame: &Frame) -> Reading<Answer> {
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
