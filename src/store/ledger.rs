//! Which hosts were enrolled: their pinned keys and their identities, on disk. Both files are read and replaced under
//! one lock, so that two runs at once lose nothing, and each is replaced whole or not at all.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::replace;
use crate::inventory::{DIRECTORY, IDENTITIES_FILE, Identities};
use crate::known_hosts::{KnownHosts, Refused};
use crate::source::Refusals;

/// Where the pinned keys stand within a project.
pub const KNOWN_HOSTS_FILE: &str = "inventories/known_hosts";

/// The two files of a project.
#[derive(Debug, Clone)]
pub struct Ledger {
    root: PathBuf,
}

/// What they say.
#[derive(Debug, Clone, Default)]
pub struct Entries {
    /// `known_hosts`, as text.
    pub pins: String,
    /// The identities.
    pub identities: Identities,
}

/// Why they cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// A file cannot be read or written.
    #[error("{path}: {error}")]
    File {
        /// The file.
        path: String,
        /// What went wrong.
        error: io::Error,
    },
    /// A line of the pins is refused.
    #[error("{KNOWN_HOSTS_FILE}:{}: {}", .0.line, .0.why)]
    Pins(#[from] Refused),
    /// The identities are refused.
    #[error("{0}")]
    Identities(#[from] Refusals),
}

impl Ledger {
    /// Of the project at `root`.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// What the files say; nothing where they do not exist yet. Both are checked whole.
    pub fn read(&self) -> Result<Entries, LedgerError> {
        let pins = self.text(KNOWN_HOSTS_FILE)?;
        KnownHosts::parse(&pins)?;
        let identities = self.text(IDENTITIES_FILE)?;
        let identities = if identities.is_empty() {
            Identities::default()
        } else {
            Identities::parse(identities.as_bytes())?
        };
        Ok(Entries { pins, identities })
    }

    /// Reads, edits and replaces both files, alone. The pins are durable before the identity is: a host that has a pin
    /// and no identity counts as not enrolled.
    pub fn update(
        &self,
        edit: impl FnOnce(Entries) -> Result<Entries, Refused>,
    ) -> Result<Entries, LedgerError> {
        let folder = self.root.join(DIRECTORY);
        let lock = fs::File::open(&folder).and_then(|lock| lock.lock().map(|()| lock));
        let _lock = lock.map_err(|error| file_error(DIRECTORY, error))?;
        let before = self.read()?;
        let (old_pins, old_identities) = (before.pins.clone(), before.identities.clone());
        let after = edit(before)?;
        if after.pins != old_pins {
            self.replace(KNOWN_HOSTS_FILE, &after.pins)?;
        }
        if after.identities != old_identities {
            self.replace(IDENTITIES_FILE, &after.identities.to_yaml())?;
        }
        Ok(after)
    }

    fn text(&self, path: &str) -> Result<String, LedgerError> {
        match fs::read_to_string(self.root.join(Path::new(path))) {
            Ok(text) => Ok(text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
            Err(error) => Err(file_error(path, error)),
        }
    }

    fn replace(&self, path: &str, text: &str) -> Result<(), LedgerError> {
        replace(&self.root.join(path), text.as_bytes()).map_err(|error| file_error(path, error))
    }
}

fn file_error(path: &str, error: io::Error) -> LedgerError {
    LedgerError::File { path: path.to_owned(), error }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::HostName;
    use crate::known_hosts::pin;

    const A: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJZPZT0xPypwCdpyR1rpPhiuQ9I9vMF4zqOBlLxnGf73";

    fn ledger() -> (tempfile::TempDir, Ledger) {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join(DIRECTORY)).unwrap();
        let ledger = Ledger::new(root.path());
        (root, ledger)
    }

    #[test]
    fn what_is_recorded_is_read_back_and_an_empty_edit_writes_nothing() {
        let (root, ledger) = ledger();
        assert_eq!(ledger.read().unwrap().pins, "");
        ledger.update(Ok).unwrap();
        assert!(!root.path().join(KNOWN_HOSTS_FILE).exists());
        let host: HostName = "web-1".parse().unwrap();
        ledger
            .update(|entries| {
                let pins = pin(&entries.pins, &host, &[A.parse().unwrap()])?;
                Ok(Entries { pins, ..entries })
            })
            .unwrap();
        assert_eq!(ledger.read().unwrap().pins, format!("web-1 {A}\n"));
    }

    #[test]
    fn hosts_recorded_at_the_same_time_are_all_kept() {
        let (_root, ledger) = ledger();
        std::thread::scope(|scope| {
            for number in 0..20 {
                let ledger = &ledger;
                scope.spawn(move || {
                    let host: HostName = format!("web-{number}").parse().unwrap();
                    ledger
                        .update(|entries| {
                            let pins = pin(&entries.pins, &host, &[A.parse().unwrap()])?;
                            Ok(Entries { pins, ..entries })
                        })
                        .unwrap();
                });
            }
        });
        assert_eq!(ledger.read().unwrap().pins.lines().count(), 20);
    }

    #[test]
    fn a_damaged_file_is_refused_with_its_line() {
        let (root, ledger) = ledger();
        fs::write(root.path().join(KNOWN_HOSTS_FILE), "# fine\nweb-1 ssh-ed25519 AAAA\n").unwrap();
        let error = ledger.read().unwrap_err().to_string();
        assert!(error.starts_with("inventories/known_hosts:2: not a public key"), "{error}");
    }
}
