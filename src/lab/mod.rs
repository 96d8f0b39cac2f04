//! Throwaway real Debian hosts on this machine: systemd, sshd, nftables and apt in containers of systemd-nspawn, on
//! networks of their own, delivered as a provider delivers a server. For tests, for the demo, and for people who want
//! to practise on a copy of their fleet.
//!
//! Everything that a lab makes on this machine is derived from its id, which is written down first: one folder, one
//! network namespace with the bridges, one interface, and per host one process with a control group. A host's mounts,
//! processes and namespaces all die with that one process, so that nothing can be left half taken down. Nothing
//! here knows what palisade does to hosts, and nothing is ever found or killed by a name alone.

mod addresses;
mod agent;
mod archive;
mod attached;
mod base;
mod copy;
mod delivery;
mod down;
mod error;
mod event;
mod fault;
mod guest;
mod host;
mod inotify;
mod invocation;
mod machine;
mod folder;
mod practice;
mod project;
mod record;
mod snapshot;
mod spec;
mod switch;
mod tree;
mod up;
mod waivers;

pub use addresses::{Networks, Pair, Subnet};
pub use archive::{Content, Made, Part, SOURCES};
pub use attached::Lab;
pub use base::PACKAGES;
pub use copy::KeyOwner;
pub use error::LabError;
pub use event::{LabEvent, Sink, silent};
pub use fault::Fault;
pub use folder::{Availability, LabFolder, availability, available};
pub use guest::Power;
pub use host::Host;
pub use invocation::{NEEDED, missing_packages};
pub use practice::practice_fleet;
pub use record::{HostRecord, LabRecord, ProcessRecord};
pub use snapshot::{STATE, Snapshot, SshCounts, differences};
pub use spec::{Attachment, Disk, Form, Hardware, HostSpec, MOST_PRIVATE, Spec, Suite, Suites};

impl Lab {
    /// Its hosts, in the order in which they were asked for.
    pub fn hosts(&self) -> impl Iterator<Item = Host<'_>> {
        self.record.hosts.iter().map(|record| Host::new(self, record))
    }

    /// The host called `name`.
    pub fn host(&self, name: &str) -> Result<Host<'_>, LabError> {
        self.hosts()
            .find(|host| host.name().as_str() == name)
            .ok_or_else(|| LabError::NoSuchHost { host: name.to_owned(), lab: self.record.name.clone() })
    }

    /// Lets the control node's own network lose something.
    pub fn inject(&self, fault: Fault) -> Result<(), LabError> {
        fault::inject(&self.record, fault::At::Control, fault)
    }

    /// Lets the control node's own network lose nothing any more.
    pub fn lift_fault(&self) -> Result<(), LabError> {
        fault::lift(&self.record, fault::At::Control)
    }
}
