//! What an exec has in common over every connection: its command, its bounds, and what it cost.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use tokio::time::timeout;

use super::{Bounds, Entry, TransportError};
use crate::domain::HostName;
use crate::record::Cost;
use crate::shell::{ENTRY_PLAIN, ENTRY_ROOT, Output};

/// What is asked of the host's sshd: the shell that the script is fed to.
pub(super) fn command(entry: Entry, is_root: bool) -> &'static str {
    match entry {
        Entry::Root if !is_root => ENTRY_ROOT,
        Entry::Root | Entry::Plain => ENTRY_PLAIN,
    }
}

/// The answer of `work`, or that `host` took longer than it may.
pub(super) async fn bounded(
    host: &HostName,
    bounds: Bounds,
    work: impl Future<Output = Result<Output, TransportError>>,
) -> Result<Output, TransportError> {
    timeout(bounds.deadline, work).await.unwrap_or_else(|_| {
        let (host, seconds) = (host.clone(), bounds.deadline.as_secs());
        Err(TransportError::TooSlow { host, what: "answer", seconds })
    })
}

/// Refuses more than `cap` bytes of one stream.
pub(super) fn capped(host: &HostName, length: usize, cap: usize) -> Result<(), TransportError> {
    if length > cap { Err(TransportError::TooMuch { host: host.clone(), bytes: cap }) } else { Ok(()) }
}

/// What the execs on a connection used so far.
#[derive(Default)]
pub(super) struct Counts {
    execs: AtomicU32,
    sent: AtomicU64,
    received: AtomicU64,
}

impl Counts {
    /// One more exec.
    pub(super) fn begun(&self) {
        self.execs.fetch_add(1, Ordering::Relaxed);
    }

    /// So many bytes of a script more.
    pub(super) fn sent(&self, bytes: usize) {
        self.sent.fetch_add(u64::try_from(bytes).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// So many bytes of output more.
    pub(super) fn received(&self, bytes: usize) {
        self.received.fetch_add(u64::try_from(bytes).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// All of it, over so many connections.
    pub(super) fn cost(&self, connections: u32) -> Cost {
        Cost {
            connections,
            execs: self.execs.load(Ordering::Relaxed),
            bytes_sent: self.sent.load(Ordering::Relaxed),
            bytes_received: self.received.load(Ordering::Relaxed),
        }
    }
}
