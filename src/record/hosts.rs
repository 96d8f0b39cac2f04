//! The hosts of a run, one after the other: those that a run has in hand, and those that a record on disk holds, are read
//! in the same way, so that whatever is made of a run can be made of its record, and no large fleet is held whole.

use std::io;

use super::Tally;
use super::entry::{AsHostEntry, HostEntry};

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
