//! What hosts answered, on disk from the moment it was understood until the run's record is written: a fleet's answers
//! are larger than everything else that a run knows. The file has no name and goes with the run, however that ends.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;

use crate::domain::{HostName, Identifier};

/// Answers by host.
#[derive(Debug)]
pub struct Spool {
    file: File,
    length: u64,
    places: BTreeMap<HostName, (u64, usize)>,
}

impl Spool {
    /// An empty one, on the disk that holds the runs below `root`.
    pub fn open(root: &Path, run: &Identifier) -> io::Result<Self> {
        let runs = root.join("runs");
        super::private_folder(&runs)?;
        let path = runs.join(format!(".{run}.answers"));
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
        fs::remove_file(&path)?;
        Ok(Self { file, length: 0, places: BTreeMap::new() })
    }

    /// Puts the answer of `host` away.
    pub fn put(&mut self, host: &HostName, answer: &[String]) -> io::Result<()> {
        let bytes = serde_json::to_vec(answer).map_err(io::Error::other)?;
        self.file.write_all(&bytes)?;
        self.places.insert(host.clone(), (self.length, bytes.len()));
        self.length = self.length.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        Ok(())
    }

    /// The answer of `host`; none where none was put away.
    pub fn take(&self, host: &HostName) -> io::Result<Option<Vec<String>>> {
        let Some((at, length)) = self.places.get(host).copied() else { return Ok(None) };
        let mut bytes = vec![0; length];
        self.file.read_exact_at(&mut bytes, at)?;
        serde_json::from_slice(&bytes).map(Some).map_err(io::Error::other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_come_back_as_they_were_and_leave_nothing_behind() {
        let root = tempfile::tempdir().unwrap();
        let run = "20261128t220000123z-1a2b3c4d".parse().unwrap();
        let host = |name: &str| name.parse::<HostName>().unwrap();
        let mut spool = Spool::open(root.path(), &run).unwrap();
        let answer = |text: &str| vec![text.repeat(1000), "\u{1b}[31m\u{fffd}\n".to_owned()];
        spool.put(&host("web-1"), &answer("a")).unwrap();
        spool.put(&host("web-2"), &answer("bc")).unwrap();
        assert_eq!(spool.take(&host("web-2")).unwrap(), Some(answer("bc")));
        assert_eq!(spool.take(&host("web-1")).unwrap(), Some(answer("a")));
        assert_eq!(spool.take(&host("db-1")).unwrap(), None);
        assert_eq!(fs::read_dir(root.path().join("runs")).unwrap().count(), 0);
    }
}
