//! What is written down about a lab before it exists, so that it can always be found and taken down: its id, from
//! which every name is derived that it uses on this machine, its addresses, its hosts, and whose it is.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::error::LabError;
use super::spec::HostSpec;
use crate::domain::{Address, Cidr, HostName, Identifier};

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

/// The addresses of a lab.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Networks {
    /// Everything in IPv4, a /23.
    pub all_v4: Cidr,
    /// Everything in IPv6, a unique local /48 (RFC 4193).
    pub all_v6: Cidr,
    /// The network that the control node is on.
    pub public_v4: Cidr,
    /// The same in IPv6.
    pub public_v6: Cidr,
    /// The network that hosts alone are on.
    pub private_v4: Cidr,
    /// The same in IPv6.
    pub private_v6: Cidr,
    /// The control node's address on the public network.
    pub control_v4: Address,
    /// The same in IPv6.
    pub control_v6: Address,
}

/// One host of a lab.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct HostRecord {
    /// What was asked for.
    pub spec: HostSpec,
    /// Its number in the lab, from which its ports on the switch and its addresses are derived.
    pub number: u8,
    /// The base that it stands on, by the name of its folder.
    pub base: String,
    /// Its addresses on the public network, IPv4 first.
    pub public: Vec<Address>,
    /// Its addresses on the private network, IPv4 first.
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

impl Networks {
    /// The lab's part of a /23 that starts at `first`, and of a unique local /48 with this global id.
    pub(super) fn new(first: Ipv4Addr, global_id: [u8; 5]) -> Option<Self> {
        let [a, b, c, _] = first.octets();
        let [g1, g2, g3, g4, g5] = global_id;
        let group = |high: u8, low: u8| u16::from_be_bytes([high, low]);
        let v6 = |subnet: u16, last: u16| {
            Ipv6Addr::new(group(0xfd, g1), group(g2, g3), group(g4, g5), subnet, 0, 0, 0, last)
        };
        let cidr = |text: String| text.parse::<Cidr>().ok();
        Some(Self {
            all_v4: cidr(format!("{first}/23"))?,
            all_v6: cidr(format!("{}/48", v6(0, 0)))?,
            public_v4: cidr(format!("{first}/24"))?,
            public_v6: cidr(format!("{}/64", v6(1, 0)))?,
            private_v4: cidr(format!("{}/24", Ipv4Addr::new(a, b, c.checked_add(1)?, 0)))?,
            private_v6: cidr(format!("{}/64", v6(2, 0)))?,
            control_v4: Address::new(Ipv4Addr::new(a, b, c, 1).into()),
            control_v6: Address::new(v6(1, 1).into()),
        })
    }

    /// The address of host `number` on one of the networks.
    pub(super) fn address(network: Cidr, number: u8) -> Address {
        let last = FIRST_HOST.saturating_add(number);
        match network.first().ip() {
            std::net::IpAddr::V4(first) => {
                let [a, b, c, _] = first.octets();
                Address::new(Ipv4Addr::new(a, b, c, last).into())
            }
            std::net::IpAddr::V6(first) => {
                let [a, b, c, d, ..] = first.segments();
                Address::new(Ipv6Addr::new(a, b, c, d, 0, 0, 0, u16::from(last)).into())
            }
        }
    }
}

/// The last byte of the first host's address.
const FIRST_HOST: u8 = 10;

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

    #[test]
    fn networks_lie_in_the_labs_own() {
        let networks = Networks::new(Ipv4Addr::new(10, 130, 6, 0), [1, 2, 3, 4, 5]).expect("a /23");
        let host = Networks::address(networks.private_v6, 3);
        assert_eq!(host.to_string(), "fd01:203:405:2::d");
        assert!(networks.all_v6.contains(host) && networks.private_v6.contains(host));
        assert_eq!(Networks::address(networks.private_v4, 0).to_string(), "10.130.7.10");
        assert!(networks.all_v4.contains(Networks::address(networks.private_v4, 0)));
        assert!(networks.public_v4.contains(networks.control_v4));
    }
}
