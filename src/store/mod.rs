//! Runs on disk: written whole or not at all, listed, read back. It reads and writes; it decides nothing.
#![expect(clippy::disallowed_methods, reason = "this is where runs meet the disk")]

mod journal;
mod ledger;
mod pool;
mod recorded;
mod spool;

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufRead as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use crate::domain::{Digest, Digesting, Environment, Identifier};
use crate::record::{Line, Manifest, Previous};

pub use journal::{Journal, JournalError, OpenRun, Unfinished, list_unfinished};
pub use ledger::{Entries, KNOWN_HOSTS_FILE, Ledger, LedgerError};
pub use pool::Pool;
pub use recorded::{RecordError, RecordFile};
pub use spool::Spool;

/// The record within a run's folder.
pub const RECORD: &str = "record.jsonl";
/// The manifest within a run's folder.
pub const MANIFEST: &str = "manifest.json";

/// A run's folder below `runs/`: `<utc>-<env>-<verb>-<id>`, so that names sort by time.
pub fn folder_name(run: &Identifier, environment: Environment, verb: &str) -> String {
    let (time, random) = run.as_str().split_once('-').unwrap_or((run.as_str(), "0"));
    format!("{time}-{environment}-{verb}-{random}")
}

/// A run's folder that comes to be: its record is written as it is made, so that a large fleet's is never held whole.
#[derive(Debug)]
pub struct Writing {
    runs: PathBuf,
    draft: PathBuf,
    target: PathBuf,
    record: io::BufWriter<fs::File>,
    digest: Digesting,
}

impl Writing {
    /// Begins `runs/NAME`, under another name for now.
    pub fn begin(root: &Path, name: &str) -> io::Result<Self> {
        let runs = root.join("runs");
        private_folder(&runs)?;
        let target = runs.join(name);
        let draft = runs.join(format!(".{name}.draft"));
        if draft.exists() {
            fs::remove_dir_all(&draft)?;
        }
        private_folder(&draft)?;
        let record = io::BufWriter::new(private_file(&draft.join(RECORD))?);
        Ok(Self { runs, draft, target, record, digest: Digesting::default() })
    }

    /// More of the record.
    pub fn write(&mut self, text: &[u8]) -> io::Result<()> {
        self.digest.add(text);
        self.record.write_all(text)
    }

    /// One more line of it.
    pub fn line(&mut self, line: &Line<'_>) -> io::Result<()> {
        self.write(line.to_text()?.as_bytes())?;
        self.write(b"\n")
    }

    /// Adds the manifest, and gives the folder its name once all is durable. Returns the folder.
    pub fn finish(mut self, run: &Identifier) -> io::Result<PathBuf> {
        self.record.flush()?;
        self.record.get_ref().sync_all()?;
        let files = BTreeMap::from([(RECORD.to_owned(), std::mem::take(&mut self.digest).end())]);
        let manifest = Manifest::new(run.clone(), files, last_run(&self.runs)?);
        let manifest = serde_json::to_vec_pretty(&manifest).map_err(io::Error::other)?;
        write_durably(private_file(&self.draft.join(MANIFEST))?, &manifest)?;
        fs::File::open(&self.draft)?.sync_all()?;
        fs::rename(&self.draft, &self.target)?;
        fs::File::open(&self.runs)?.sync_all()?;
        Ok(self.target.clone())
    }
}

impl Drop for Writing {
    /// One that came to its end has its name; any other leaves nothing behind.
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.draft));
    }
}

/// Writes a run's whole record and its manifest to `runs/NAME`. Returns the folder.
pub fn write_run(root: &Path, name: &str, run: &Identifier, record: &str) -> io::Result<PathBuf> {
    let mut writing = Writing::begin(root, name)?;
    writing.write(record.as_bytes())?;
    writing.finish(run)
}

/// Replaces a file's content: written beside it, made durable, renamed.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let draft = folder.join(format!(".{name}.draft"));
    write_durably(fs::File::create(&draft)?, bytes)?;
    fs::rename(&draft, path)?;
    fs::File::open(folder)?.sync_all()
}

/// Makes a folder, and those above it, that only its owner may enter: what hosts said lies there.
pub(crate) fn private_folder(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// An empty file that only its owner may read.
pub(crate) fn private_file(path: &Path) -> io::Result<fs::File> {
    fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)
}

fn write_durably(mut file: fs::File, bytes: &[u8]) -> io::Result<()> {
    file.write_all(bytes)?;
    file.sync_all()
}

/// A run on disk, as `palisade runs` lists it.
#[derive(Debug, Clone)]
pub struct StoredRun {
    /// The folder's name.
    pub name: String,
    /// Its first line, as JSON.
    pub header: serde_json::Value,
    /// Its last line; none where the record is truncated.
    pub footer: Option<serde_json::Value>,
    /// Whether its files have the digests that its manifest says.
    pub intact: bool,
    /// What became of the record before it.
    pub chain: Chain,
}

/// What became of the record that was the last one when another was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Chain {
    /// It is there, as it was; or there was none.
    Unbroken,
    /// It is no longer there.
    Gone(String),
    /// It is there, and another one.
    Other(String),
}

/// All runs, oldest first. A folder that is not a run is left out.
pub fn list_runs(root: &Path) -> io::Result<Vec<StoredRun>> {
    let runs = root.join("runs");
    let read: Vec<(StoredRun, Option<Digest>, Option<Previous>)> =
        names(&runs)?.into_iter().filter_map(|name| read_run(&runs.join(&name), name)).collect();
    let digests: BTreeMap<String, Option<Digest>> =
        read.iter().map(|(run, digest, _)| (run.name.clone(), digest.clone())).collect();
    let chained = |(mut run, _, previous): (StoredRun, _, Option<Previous>)| {
        if let Some(previous) = previous {
            run.chain = match digests.get(&previous.run) {
                None => Chain::Gone(previous.run),
                Some(Some(digest)) if *digest == previous.manifest => Chain::Unbroken,
                Some(_) => Chain::Other(previous.run),
            };
        }
        run
    };
    Ok(read.into_iter().map(chained).collect())
}

/// The last run by its name whose manifest can be read.
fn last_run(runs: &Path) -> io::Result<Option<Previous>> {
    let last = names(runs)?.into_iter().rev().find_map(|run| {
        let manifest = fs::read(runs.join(&run).join(MANIFEST)).ok()?;
        Some(Previous { run, manifest: Digest::of(&manifest) })
    });
    Ok(last)
}

/// The names of the folders that may be runs, sorted.
fn names(runs: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(runs) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut names: Vec<String> = Vec::new();
    for entry in entries {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if !name.starts_with('.') {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// The run, the digest of its manifest, and what the manifest says of the one before.
fn read_run(folder: &Path, name: String) -> Option<(StoredRun, Option<Digest>, Option<Previous>)> {
    let Ends { first, last, digest } = Ends::of(&folder.join(RECORD)).ok()?;
    let header = serde_json::from_slice(&first).ok()?;
    let footer = serde_json::from_slice::<serde_json::Value>(&last)
        .ok()
        .filter(|line| line.get("entry").and_then(serde_json::Value::as_str) == Some("end"));
    let bytes = fs::read(folder.join(MANIFEST)).ok();
    let manifest = bytes.as_ref().and_then(|bytes| serde_json::from_slice::<Manifest>(bytes).ok());
    let intact = manifest.as_ref().is_some_and(|manifest| {
        manifest.files.iter().all(|(file, written)| match file.as_str() {
            RECORD => digest == *written,
            _ => Ends::of(&folder.join(file)).is_ok_and(|found| found.digest == *written),
        })
    });
    let previous = manifest.and_then(|manifest| manifest.previous);
    let run = StoredRun { name, header, footer, intact, chain: Chain::Unbroken };
    Some((run, bytes.map(|bytes| Digest::of(&bytes)), previous))
}

/// The first line of a file, the last one, and the digest of all of it.
struct Ends {
    first: Vec<u8>,
    last: Vec<u8>,
    digest: Digest,
}

impl Ends {
    /// Of the file at `path`, which is never held whole.
    fn of(path: &Path) -> io::Result<Self> {
        let mut file = io::BufReader::new(fs::File::open(path)?);
        let (mut first, mut last, mut line) = (None, Vec::new(), Vec::new());
        let mut digest = Digesting::default();
        while file.read_until(b'\n', &mut line)? > 0 {
            digest.add(&line);
            first.get_or_insert_with(|| line.clone());
            std::mem::swap(&mut last, &mut line);
            line.clear();
        }
        Ok(Self { first: first.unwrap_or_default(), last, digest: digest.end() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_listed_and_a_touched_one_is_not_intact() {
        let root = tempfile::tempdir().unwrap();
        let run: Identifier = "20261128t220000123z-1a2b3c4d".parse().unwrap();
        let name = folder_name(&run, Environment::Prod, "audit");
        assert_eq!(name, "20261128t220000123z-prod-audit-1a2b3c4d");
        let record = "{\"entry\":\"run\"}\n{\"entry\":\"end\"}\n";
        let folder = write_run(root.path(), &name, &run, record).unwrap();
        let listed = list_runs(root.path()).unwrap();
        assert!(listed[0].intact && listed[0].footer.is_some());
        fs::write(folder.join(RECORD), b"{\"entry\":\"run\"}\n").unwrap();
        let listed = list_runs(root.path()).unwrap();
        assert!(!listed[0].intact && listed[0].footer.is_none());
    }

    #[test]
    fn a_record_that_is_taken_out_or_written_anew_leaves_a_gap() {
        let root = tempfile::tempdir().unwrap();
        let write = |number: u32| {
            let run: Identifier = format!("20261128t220000123z-{number}").parse().unwrap();
            let name = folder_name(&run, Environment::Prod, "audit");
            write_run(root.path(), &name, &run, "{\"entry\":\"run\"}\n{\"entry\":\"end\"}\n").unwrap()
        };
        let folders = [1, 2, 3].map(write);
        let chains = || list_runs(root.path()).unwrap().into_iter().map(|run| run.chain).collect::<Vec<_>>();
        assert_eq!(chains(), [Chain::Unbroken, Chain::Unbroken, Chain::Unbroken]);
        let second = "20261128t220000123z-prod-audit-2".to_owned();
        let manifest = folders[1].join(MANIFEST);
        let kept = fs::read(&manifest).unwrap();
        fs::write(&manifest, String::from_utf8_lossy(&kept).replace('\n', "\n ")).unwrap();
        assert_eq!(chains(), [Chain::Unbroken, Chain::Unbroken, Chain::Other(second.clone())]);
        fs::remove_dir_all(&folders[1]).unwrap();
        assert_eq!(chains(), [Chain::Unbroken, Chain::Gone(second)]);
    }
}
