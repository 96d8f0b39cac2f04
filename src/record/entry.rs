//! What a run has of one host, whatever the run did.

use super::{Enrolled, HostResult, Installed};

/// What a run has of one host.
#[derive(Debug, Clone, Copy)]
pub enum HostEntry<'a> {
    /// Of an audit, a plan or an apply.
    Judged(&'a HostResult),
    /// Of the installation of a release.
    Installed(&'a HostResult, &'a Installed),
    /// Of an enrolment.
    Enrolled(&'a Enrolled),
}

/// Something that a run has of one host, owned.
pub trait AsHostEntry {
    /// The same, borrowed.
    fn entry(&self) -> HostEntry<'_>;
}

impl AsHostEntry for HostResult {
    fn entry(&self) -> HostEntry<'_> {
        HostEntry::Judged(self)
    }
}

impl AsHostEntry for (HostResult, Installed) {
    fn entry(&self) -> HostEntry<'_> {
        HostEntry::Installed(&self.0, &self.1)
    }
}

impl AsHostEntry for Enrolled {
    fn entry(&self) -> HostEntry<'_> {
        HostEntry::Enrolled(self)
    }
}
