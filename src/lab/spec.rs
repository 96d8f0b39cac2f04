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
}

impl HostSpec {
    /// A host on the public and the first private network, in both families, with sshd on port 22.
    pub fn new(name: HostName, suite: Suite) -> Self {
        Self { name, suite, public: Attachment::BOTH, private: vec![Attachment::BOTH], ssh_port: Port::SSH }
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
