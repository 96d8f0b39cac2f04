//! What a lab shall be: its hosts, their distributions and networks. Pure.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::error::LabError;
use crate::domain::{HostName, Port};

/// A distribution that hosts of the lab run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Suite {
    /// Debian 12.
    Bookworm,
    /// Debian 13.
    Trixie,
}

impl Suite {
    /// All of them, older ones first.
    pub const ALL: [Self; 2] = [Self::Bookworm, Self::Trixie];

    /// The name by which archives know it.
    pub fn codename(self) -> &'static str {
        match self {
            Self::Bookworm => "bookworm",
            Self::Trixie => "trixie",
        }
    }
}

impl fmt::Display for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Bookworm => "Debian 12",
            Self::Trixie => "Debian 13",
        })
    }
}

/// How many addresses a host has on one network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Attachment {
    /// IPv4 addresses.
    pub v4: u8,
    /// IPv6 addresses.
    pub v6: u8,
}

impl Attachment {
    /// One of each family.
    pub const BOTH: Self = Self { v4: 1, v6: 1 };
    /// Not on this network.
    pub const NONE: Self = Self { v4: 0, v6: 0 };

    /// Whether it is on the network at all.
    pub fn attached(self) -> bool {
        self != Self::NONE
    }
}

/// What a host is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// A container on this machine's kernel: up in seconds, without disks, clock or boot of its own.
    #[default]
    Container,
    /// A virtual machine: its own kernel, disks and boots.
    Machine(Hardware),
}

/// What is built of a base: [`Form`] without what differs between hosts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Shape {
    /// A root folder.
    Container,
    /// One with the packages that palisade installs.
    Stocked,
    /// Images of disks.
    Machine,
}

/// What a machine has beside the disks of its system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hardware {
    /// Its memory, in MiB.
    pub memory: u16,
    /// Further disks, empty, in this order: `/dev/disk/by-id/virtio-data1` and so on.
    pub disks: Vec<Disk>,
}

/// 768 MiB are enough for sshd, fail2ban, apt and LUKS with a cheap key derivation.
const MEMORY: u16 = 768;

impl Default for Hardware {
    fn default() -> Self {
        Self { memory: MEMORY, disks: Vec::new() }
    }
}

/// A further disk of a machine. It takes room on this one only where it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disk {
    /// Its size, in MiB.
    pub mebibytes: u32,
    /// Whether it says of itself that it can be taken out, as a USB stick does.
    pub removable: bool,
}

impl Disk {
    /// A disk that stays in.
    pub fn of(mebibytes: u32) -> Self {
        Self { mebibytes, removable: false }
    }
}

/// How many private networks a lab has.
pub const MOST_PRIVATE: u8 = 15;

/// One host of a lab.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostSpec {
    /// Its name.
    pub name: HostName,
    /// What it runs.
    pub suite: Suite,
    /// Its addresses on the network that the control node is on too.
    pub public: Attachment,
    /// Its addresses on each of the networks that hosts share among themselves, at most [`MOST_PRIVATE`].
    pub private: Vec<Attachment>,
    /// Where its sshd listens.
    pub ssh_port: Port,
    /// Whether it is a container or a machine.
    #[serde(default)]
    pub form: Form,
    /// Whether a container has the packages that palisade installs, disabled, before palisade comes. To install them
    /// takes more than half of the processor time of a first apply.
    #[serde(default)]
    pub stocked: bool,
}

impl HostSpec {
    /// A host on the public and the first private network, in both families, with sshd on port 22.
    pub fn new(name: HostName, suite: Suite) -> Self {
        Self {
            name,
            suite,
            public: Attachment::BOTH,
            private: vec![Attachment::BOTH],
            ssh_port: Port::SSH,
            form: Form::Container,
            stocked: false,
        }
    }

    pub(super) fn shape(&self) -> Shape {
        match &self.form {
            Form::Machine(_) => Shape::Machine,
            Form::Container if self.stocked => Shape::Stocked,
            Form::Container => Shape::Container,
        }
    }

    /// The same with the packages that palisade installs.
    #[must_use]
    pub fn stocked(self) -> Self {
        Self { stocked: true, ..self }
    }

    /// The same as a virtual machine.
    #[must_use]
    pub fn machine(self, hardware: Hardware) -> Self {
        Self { form: Form::Machine(hardware), ..self }
    }

    /// The same, reached by no one but the hosts of its private network.
    #[must_use]
    pub fn private_only(self) -> Self {
        Self { public: Attachment::NONE, ..self }
    }
}

/// Which distributions the hosts of a lab run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Suites {
    /// All of them this one.
    All(Suite),
    /// One after the other, in turn.
    InTurn,
}

impl Suites {
    /// What the host at this place runs.
    pub fn at(self, place: usize) -> Suite {
        match self {
            Self::All(suite) => suite,
            Self::InTurn if place.is_multiple_of(2) => Suite::Bookworm,
            Self::InTurn => Suite::Trixie,
        }
    }
}

/// A lab to bring up.
#[derive(Debug, Clone)]
pub struct Spec {
    /// By what people call it, such as `demo`; the lab's id where there is none.
    pub name: Option<HostName>,
    /// Its hosts.
    pub hosts: Vec<HostSpec>,
}

/// As many as fit a /24 beside the control node's addresses.
const MOST_HOSTS: usize = 200;

impl Spec {
    /// A lab of these hosts.
    pub fn of(hosts: impl IntoIterator<Item = HostSpec>) -> Self {
        Self { name: None, hosts: hosts.into_iter().collect() }
    }

    /// The same, with virtual machines in the place of containers.
    #[must_use]
    pub fn as_machines(self) -> Self {
        let hosts = self.hosts.into_iter().map(|host| host.machine(Hardware::default())).collect();
        Self { hosts, ..self }
    }

    /// The same, with containers that have the packages that palisade installs.
    #[must_use]
    pub fn stocked(self) -> Self {
        let hosts = self.hosts.into_iter().map(HostSpec::stocked).collect();
        Self { hosts, ..self }
    }

    /// The same, called `name`.
    #[must_use]
    pub fn named(self, name: HostName) -> Self {
        Self { name: Some(name), ..self }
    }

    /// Refuses what cannot be brought up.
    pub(super) fn check(&self) -> Result<(), LabError> {
        let refuse = |why: String| Err(LabError::Spec { why });
        if self.hosts.is_empty() {
            return refuse("it has no hosts; ask for at least one".to_owned());
        }
        if self.hosts.len() > MOST_HOSTS {
            return refuse(format!("{} hosts are more than {MOST_HOSTS}", self.hosts.len()));
        }
        let mut names: Vec<&HostName> = self.hosts.iter().map(|host| &host.name).collect();
        names.sort();
        if let Some(twice) = names.windows(2).find_map(|pair| match pair {
            [first, second] if first == second => Some(first),
            _ => None,
        }) {
            return refuse(format!("two hosts are called {twice}; rename one"));
        }
        if let Some(nowhere) = self
            .hosts
            .iter()
            .find(|host| !host.public.attached() && !host.private.iter().any(|network| network.attached()))
        {
            return refuse(format!("{} is on no network; give it an address", nowhere.name));
        }
        if let Some(wide) = self.hosts.iter().find(|host| host.private.len() > usize::from(MOST_PRIVATE)) {
            return refuse(format!("{} is on more than {MOST_PRIVATE} private networks", wide.name));
        }
        Ok(())
    }
}
