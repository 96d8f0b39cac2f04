//! What the lab says while it works, as values. Whoever started it decides how they are shown.

use std::fmt;
use std::time::Duration;

use super::spec::Suite;
use crate::domain::{HostName, Identifier};

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LabEvent {
    /// Packages that this machine lacks are about to be installed.
    Installing(Vec<&'static str>),
    /// Another process is building what we need, and we wait for it.
    Waiting(Suite),
    /// The base of a suite is being built.
    Building(Suite),
    /// A base whose hosts have what palisade installs is being made.
    Stocking(Suite),
    /// The programs that virtual machines run under are being fetched.
    BuildingTools,
    /// How virtual machines run here, and why, where that is slow.
    Accelerator(&'static str),
    /// The packages that guests may install are being fetched.
    Fetching(Suite),
    /// A line of a program that takes its time.
    Detail(String),
    /// What a lab left behind whose owner is gone is being removed.
    Sweeping(Identifier),
    /// A host was started.
    Starting(HostName),
    /// A host answers SSH, this long after it was started.
    Ready(HostName, Duration),
    /// A lab is being taken down.
    TakingDown(Identifier),
}

impl fmt::Display for LabEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Installing(packages) => {
                write!(f, "installing what the lab needs on this machine: {}", packages.join(" "))
            }
            Self::Waiting(suite) => write!(f, "waiting for another palisade to finish the base of {suite}"),
            Self::Building(suite) => {
                write!(f, "building the base of {suite} (once; about half a minute)")
            }
            Self::Stocking(suite) => {
                write!(
                    f,
                    "installing what palisade installs in a copy of the base of {suite} (once; about 10 s)"
                )
            }
            Self::BuildingTools => {
                write!(f, "fetching qemu into a folder of the lab's own (once; about half a minute)")
            }
            Self::Accelerator(how) => write!(f, "virtual machines: {how}"),
            Self::Fetching(suite) => write!(f, "fetching the packages that {suite} hosts may install"),
            Self::Detail(line) => write!(f, "  {line}"),
            Self::Sweeping(lab) => write!(f, "removing what lab {lab} left behind"),
            Self::Starting(host) => write!(f, "starting {host}"),
            Self::Ready(host, after) => write!(f, "{host} answers SSH after {:.1} s", after.as_secs_f64()),
            Self::TakingDown(lab) => write!(f, "taking lab {lab} down"),
        }
    }
}

/// Where events go.
pub type Sink<'a> = &'a (dyn Fn(&LabEvent) + Sync);

/// For those who want to hear nothing.
pub fn silent(_: &LabEvent) {}
