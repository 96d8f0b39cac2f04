//! Runs on disk: written whole or not at all, listed, read back. It reads and writes; it decides nothing.
#![expect(clippy::disallowed_methods, reason = "this is where runs meet the disk")]

mod journal;
mod ledger;
mod pool;
mod spool;

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufRead as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use crate::domain::{Digest, Digesting, Environment, Identifier};
use crate::record::{Damaged, Manifest, Previous, Reader, RunRecord};

pub use journal::{Journal, JournalError, OpenRun, Progress, Unfinished, list_unfinished};
pub use ledger::{Entries, KNOWN_HOSTS_FILE, Ledger, LedgerError};
pub use pool::Pool;
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
    pub fn write(&mut self, text: &str) -> io::Result<()> {
        self.digest.add(text.as_bytes());
        self.record.write_all(text.as_bytes())
    }

    /// One more line of it.
    pub fn line(&mut self, line: &str) -> io::Result<()> {
        self.write(line)?;
        self.write("\n")
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
    writing.write(record)?;
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
    let record = fs::read(folder.join(RECORD)).ok()?;
    let text = String::from_utf8_lossy(&record);
    let header = serde_json::from_str(text.lines().next()?).ok()?;
    let footer = text
        .lines()
        .last()
        .and_then(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter(|line| line.get("entry").and_then(serde_json::Value::as_str) == Some("end"));
    let bytes = fs::read(folder.join(MANIFEST)).ok();
    let manifest = bytes.as_ref().and_then(|bytes| serde_json::from_slice::<Manifest>(bytes).ok());
    let intact = manifest.as_ref().is_some_and(|manifest| {
        manifest.files.iter().all(|(file, digest)| {
            fs::read(folder.join(file)).is_ok_and(|bytes| Digest::of(&bytes) == *digest)
        })
    });
    let previous = manifest.and_then(|manifest| manifest.previous);
    let run = StoredRun { name, header, footer, intact, chain: Chain::Unbroken };
    Some((run, bytes.map(|bytes| Digest::of(&bytes)), previous))
}

/// Why a record was not read back.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// There is none of this name.
    #[error("there is no record of {0} in runs/")]
    Missing(String),
    /// Several runs have this name.
    #[error("{name} may be any of {}", among.join(", "))]
    Ambiguous {
        /// What was asked for.
        name: String,
        /// The folders that it fits.
        among: Vec<String>,
    },
    /// It is not what was written.
    #[error("runs/{run}: the record is not what its manifest says; it was changed or cut")]
    NotIntact {
        /// The run's folder.
        run: String,
    },
    /// It cannot be read.
    #[error("runs/{run}/{RECORD}: {why}")]
    Damaged {
        /// The run's folder.
        run: String,
        /// What is wrong.
        why: Damaged,
    },
    /// The disk gave it not.
    #[error("runs/{run}: {error}")]
    Unreadable {
        /// The run's folder.
        run: String,
        /// What went wrong.
        error: io::Error,
    },
}

/// The record of the run that `name` means: its folder's name, its path, or its id; the newest where there is no name. It is
/// read line by line, and counts only where it is what its manifest says. Returns its folder too.
pub fn read_record(root: &Path, name: Option<&str>) -> Result<(PathBuf, RunRecord), RecordError> {
    let runs = root.join("runs");
    let unreadable = |run: &str| {
        let run = run.to_owned();
        move |error| RecordError::Unreadable { run, error }
    };
    let asked = name.unwrap_or("any run");
    let all = names(&runs).map_err(unreadable(asked))?;
    let run = match name {
        None => all.last().cloned().ok_or_else(|| RecordError::Missing(asked.to_owned()))?,
        Some(name) => {
            let last = Path::new(name).file_name().map_or_else(|| name.into(), |last| last.to_string_lossy());
            let mut fits: Vec<String> =
                all.into_iter().filter(|run| *run == last || has_id(run, &last)).collect();
            match (fits.pop(), fits.is_empty()) {
                (None, _) => return Err(RecordError::Missing(name.to_owned())),
                (Some(run), true) => run,
                (Some(run), false) => {
                    fits.push(run);
                    return Err(RecordError::Ambiguous { name: name.to_owned(), among: fits });
                }
            }
        }
    };
    let folder = runs.join(&run);
    let manifest = fs::read(folder.join(MANIFEST)).map_err(unreadable(&run))?;
    let manifest: Option<Manifest> = serde_json::from_slice(&manifest).ok();
    let file = fs::File::open(folder.join(RECORD)).map_err(unreadable(&run))?;
    let mut file = io::BufReader::new(file);
    let (mut reader, mut digest, mut line) = (Reader::default(), Digesting::default(), Vec::new());
    let mut damaged = None;
    loop {
        line.clear();
        if file.read_until(b'\n', &mut line).map_err(unreadable(&run))? == 0 {
            break;
        }
        digest.add(&line);
        if damaged.is_none() {
            damaged = reader.line(String::from_utf8_lossy(&line).trim_end()).err();
        }
    }
    let written = manifest.and_then(|mut manifest| manifest.files.remove(RECORD));
    if written != Some(digest.end()) {
        return Err(RecordError::NotIntact { run });
    }
    let read = match damaged {
        Some(why) => Err(why),
        None => reader.end(),
    };
    let record = read.map_err(|why| RecordError::Damaged { run, why })?;
    Ok((folder, record))
}

/// Whether a run's folder is that of the run `id`: `<time>-<random>` of `<time>-<env>-<verb>-<random>`.
fn has_id(folder: &str, id: &str) -> bool {
    let parts = (folder.split('-').next(), folder.rsplit('-').next());
    id.split_once('-').is_some_and(|(time, random)| parts == (Some(time), Some(random)))
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
