//! What is written down about a lab before it exists, so that it can always be found and taken down: its id, from
//! which every name is derived that it uses on this machine, its addresses, its hosts, and whose it is.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::addresses::Networks;
use super::error::LabError;
use super::spec::HostSpec;
use crate::domain::{Address, HostName, Identifier};

/// The record's format. A record of another one is left alone.
const VERSION: u32 = 1;

/// One lab, as its `lab.json` has it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LabRecord {
    /// The format.
    version: u32,
    /// Its id: five lower-case letters and digits. Names of interfaces have at most 15 characters.
    pub id: Identifier,
    /// What people call it.
    pub name: String,
    /// When it was made.
    pub made: jiff::Timestamp,
    /// The process with which it goes; none for a lab that stays until it is taken down.
    pub owner: Option<ProcessRecord>,
    /// Its addresses.
    pub networks: Networks,
    /// Its hosts, in the order in which they were asked for.
    pub hosts: Vec<HostRecord>,
}

/// One host of a lab.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct HostRecord {
    /// What was asked for.
    pub spec: HostSpec,
    /// Its number in the lab, from which its ports on the switch are derived.
    pub number: u8,
    /// The base that it stands on, by the name of its folder.
    pub base: String,
    /// Its addresses on the public network, IPv4 first.
    pub public: Vec<Address>,
    /// Its addresses on private networks, in the order of the networks, IPv4 first.
    pub private: Vec<Address>,
}

/// A process, by what nobody else can have: its id and the moment it started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessRecord {
    /// Its id.
    pub pid: u32,
    /// When it started, in clock ticks since the machine booted (`proc_pid_stat(5)`, field 22).
    pub started: u64,
}

impl ProcessRecord {
    /// The process with this id, if there is one.
    pub fn of(pid: u32) -> Option<Self> {
        Some(Self { pid, started: start_time(pid)? })
    }

    /// This process.
    pub fn own() -> Option<Self> {
        Self::of(std::process::id())
    }

    /// Whether it still runs.
    pub fn is_alive(self) -> bool {
        start_time(self.pid) == Some(self.started)
    }
}

#[expect(clippy::disallowed_methods, reason = "/proc is where processes are looked up")]
fn start_time(pid: u32) -> Option<u64> {
    parse_start_time(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// A zombie is dead, though its entry is still there.
fn parse_start_time(stat: &str) -> Option<u64> {
    // the second field is the program's name in parentheses, which may itself hold spaces and parentheses
    let (_, after_name) = stat.rsplit_once(") ")?;
    let mut fields = after_name.split(' ');
    if fields.next()? == "Z" {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

impl LabRecord {
    /// A new one.
    pub(super) fn new(
        id: Identifier,
        name: String,
        made: jiff::Timestamp,
        owner: Option<ProcessRecord>,
        networks: Networks,
        hosts: Vec<HostRecord>,
    ) -> Self {
        Self { version: VERSION, id, name, made, owner, networks, hosts }
    }

    /// Whether it was to go with a process that is gone.
    pub fn is_left(&self) -> bool {
        self.owner.is_some_and(|owner| !owner.is_alive())
    }

    /// Whether `name` is what people call it, or its id.
    pub fn is_called(&self, name: &str) -> bool {
        self.name == name || self.id.as_str() == name
    }

    /// The namespace that holds the lab's two bridges, by its name in ip-netns(8).
    pub fn switch(&self) -> String {
        format!("palisade-{}", self.id)
    }

    /// The control node's interface on the public network.
    pub fn uplink(&self) -> String {
        format!("pal-{}", self.id)
    }

    /// The control group of one host's processes.
    pub(super) fn control_group(&self, host: &HostName) -> String {
        format!("palisade-{}-{host}", self.id)
    }

    /// Reads the record in `folder`.
    pub(super) fn read(folder: &Path) -> Result<Self, LabError> {
        let path = folder.join(FILE);
        #[expect(clippy::disallowed_methods, reason = "the lab's own record")]
        let text = std::fs::read_to_string(&path).map_err(LabError::file("read", &path))?;
        let record: Self = serde_json::from_str(&text)
            .map_err(|why| LabError::Record { path: path.clone(), why: why.to_string() })?;
        if record.version == VERSION {
            Ok(record)
        } else {
            Err(LabError::Record { path, why: format!("it has format {}, not {VERSION}", record.version) })
        }
    }

    /// Writes it into `folder`, whole or not at all.
    pub(super) fn write(&self, folder: &Path) -> Result<(), LabError> {
        let path = folder.join(FILE);
        let text = serde_json::to_string_pretty(self)
            .map_err(|why| LabError::Record { path: path.clone(), why: why.to_string() })?;
        write_whole(&path, text.as_bytes())
    }
}

const FILE: &str = "lab.json";

/// Writes beside and renames over.
#[expect(clippy::disallowed_methods, reason = "the lab's own files")]
pub(super) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), LabError> {
    let beside: PathBuf = path.with_extension("new");
    std::fs::write(&beside, bytes).map_err(LabError::file("write", &beside))?;
    std::fs::rename(&beside, path).map_err(LabError::file("rename into place", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_by_its_start_whatever_its_name() {
        let fields = "S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20";
        assert_eq!(parse_start_time(&format!("42 (a) b (c) {fields}")), Some(4711));
        assert_eq!(parse_start_time(&format!("42 (x) Z{}", &fields[1..])), None);
        assert!(ProcessRecord::own().expect("we run").is_alive());
    }
}
