//! The hosts of a run, one after the other: those that a run has in hand, and those that a record on disk holds, are read
//! in the same way, so that whatever is made of a run can be made of its record, and no large fleet is held whole.

use std::io;

use super::{Enrolled, HostResult, Installed, Tally};

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

/// The hosts of a run.
pub trait Hosts {
    /// Visits them in the run's order, as often as it is called. Ends at the first error, of the visitor or of the disk.
    fn each(&self, visit: &mut dyn FnMut(HostEntry<'_>) -> io::Result<()>) -> io::Result<()>;

    /// Their counts.
    fn tally(&self) -> Tally;
}

impl<T: AsHostEntry> Hosts for Vec<T> {
    fn each(&self, visit: &mut dyn FnMut(HostEntry<'_>) -> io::Result<()>) -> io::Result<()> {
        self.iter().try_for_each(|host| visit(host.entry()))
    }

    fn tally(&self) -> Tally {
        Tally::of(self.iter().map(AsHostEntry::entry))
    }
}
