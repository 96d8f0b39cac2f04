//! The record of a run on disk, read back: as its manifest says, or not at all. It is read twice and never held: once for
//! its digest and its counts, and once more, host by host, by whoever shows it.

use std::fs;
use std::io::{self, BufRead as _};
use std::path::{Path, PathBuf};

use super::{MANIFEST, RECORD, names};
use crate::domain::{Digest, Digesting};
use crate::record::{AsHostEntry as _, Damaged, HostEntry, Hosts, Manifest, Reader, RunRecord, Tally};

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
    #[error("{run}: the record is not what its manifest says; it was changed or cut")]
    NotIntact {
        /// The run's folder.
        run: String,
    },
    /// It cannot be read.
    #[error("{run}/{RECORD}: {why}")]
    Damaged {
        /// The run's folder.
        run: String,
        /// What is wrong.
        why: Damaged,
    },
    /// The disk gave it not.
    #[error("{run}: {error}")]
    Unreadable {
        /// The run's folder.
        run: String,
        /// What went wrong.
        error: io::Error,
    },
}

/// A record that is what its manifest says.
#[derive(Debug)]
pub struct RecordFile {
    /// Its folder.
    pub folder: PathBuf,
    /// Its beginning and its end.
    pub run: RunRecord,
    /// The digest of its manifest.
    pub manifest: Digest,
    tally: Tally,
    file: fs::File,
    /// How errors name it.
    shown: String,
}

impl RecordFile {
    /// The record of the run that `name` means: its folder's name, its path, or its id; the newest where there is no name.
    pub fn find(root: &Path, name: Option<&str>) -> Result<Self, RecordError> {
        let runs = root.join("runs");
        let asked = name.unwrap_or("any run");
        let all =
            names(&runs).map_err(|error| RecordError::Unreadable { run: format!("runs/{asked}"), error })?;
        let run = match name {
            None => all.last().cloned().ok_or_else(|| RecordError::Missing(asked.to_owned()))?,
            Some(name) => {
                let last =
                    Path::new(name).file_name().map_or_else(|| name.into(), |last| last.to_string_lossy());
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
        Self::open(runs.join(&run), format!("runs/{run}"))
    }

    /// The record in `folder`, which errors name as `shown`.
    pub fn open(folder: PathBuf, shown: String) -> Result<Self, RecordError> {
        let unreadable = |error| RecordError::Unreadable { run: shown.clone(), error };
        let bytes = fs::read(folder.join(MANIFEST)).map_err(unreadable)?;
        let written = serde_json::from_slice::<Manifest>(&bytes).ok();
        let written = written.and_then(|mut manifest| manifest.files.remove(RECORD));
        let mut file = fs::File::open(folder.join(RECORD)).map_err(unreadable)?;
        let (mut reader, mut digest, mut tally) = (Reader::default(), Digesting::default(), Tally::default());
        let mut damaged = None;
        lines(&mut file, &mut |line| {
            digest.add(line);
            if damaged.is_none() {
                match reader.line(String::from_utf8_lossy(line).trim_end()) {
                    Ok(host) => host.iter().for_each(|host| tally.add(host.entry())),
                    Err(why) => damaged = Some(why),
                }
            }
            Ok(())
        })
        .map_err(unreadable)?;
        if written != Some(digest.end()) {
            return Err(RecordError::NotIntact { run: shown });
        }
        let read = match damaged {
            Some(why) => Err(why),
            None => reader.end(),
        };
        let run = read.map_err(|why| RecordError::Damaged { run: shown.clone(), why })?;
        Ok(Self { folder, run, manifest: Digest::of(&bytes), tally, file, shown })
    }

    /// Visits its lines, each with its end.
    pub fn lines(&self, visit: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        lines(&mut &self.file, visit)
    }
}

impl Hosts for RecordFile {
    fn each(&self, visit: &mut dyn FnMut(HostEntry<'_>) -> io::Result<()>) -> io::Result<()> {
        let mut reader = Reader::default();
        self.lines(&mut |line| {
            let host = reader
                .line(String::from_utf8_lossy(line).trim_end())
                .map_err(|why| io::Error::other(RecordError::Damaged { run: self.shown.clone(), why }))?;
            host.iter().try_for_each(|host| visit(host.entry()))
        })
    }

    fn tally(&self) -> Tally {
        self.tally.clone()
    }
}

/// Visits the lines of a file from its beginning, one at a time.
fn lines(
    file: &mut (impl io::Read + io::Seek),
    visit: &mut dyn FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    file.rewind()?;
    let mut file = io::BufReader::new(file);
    let mut line = Vec::new();
    while file.read_until(b'\n', &mut line)? > 0 {
        visit(&line)?;
        line.clear();
    }
    Ok(())
}

/// Whether a run's folder is that of the run `id`: `<time>-<random>` of `<time>-<env>-<verb>-<random>`.
fn has_id(folder: &str, id: &str) -> bool {
    let parts = (folder.split('-').next(), folder.rsplit('-').next());
    id.split_once('-').is_some_and(|(time, random)| parts == (Some(time), Some(random)))
}
