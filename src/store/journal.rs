//! What a run keeps of itself while it changes hosts, so that it can be taken up again where it was killed: its plan, and
//! how far each host came, durable before a host is begun and after it ended. What the hosts hold they say themselves.
//! It is no evidence: the record that ends a run is, and the journal goes when that is written.

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::replace;
use crate::domain::{ControlId, HostName, Identifier, UserName};
use crate::plan::Plan;
use crate::rollout::Progress;

/// Version of the journal's format.
const SCHEMA: u32 = 1;
const STATE: &str = "state.json";
const LOCK: &str = "lock";

/// A run that has not ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpenRun {
    /// Version of this format; 1.
    pub schema: u32,
    /// The run's id.
    pub run: Identifier,
    /// Who began it.
    pub by: UserName,
    /// On which machine.
    pub from: String,
    /// The hosts that were selected.
    pub hosts: Vec<HostName>,
    /// The controls that were named; none for all of them.
    pub controls: Vec<ControlId>,
    /// The batches, as they are written.
    pub batches: String,
    /// How many hosts may fail, where that was said.
    pub max_failures: Option<usize>,
    /// What it does; it names the environment, and what it was made from.
    pub plan: Plan,
    /// When the plan file was made that it applies, if it applies one: its secrets are compared as they were then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved: Option<Timestamp>,
    /// The hosts that were begun.
    pub progress: BTreeMap<HostName, Progress>,
}

impl OpenRun {
    /// Nothing was begun.
    pub fn new(run: Identifier, by: UserName, from: String, hosts: Vec<HostName>, plan: Plan) -> Self {
        Self {
            schema: SCHEMA,
            run,
            by,
            from,
            hosts,
            controls: Vec::new(),
            batches: String::new(),
            max_failures: None,
            plan,
            approved: None,
            progress: BTreeMap::new(),
        }
    }

    /// How many hosts ended, however they did.
    pub fn ended(&self) -> usize {
        self.progress.values().filter(|progress| matches!(progress, Progress::Ended { .. })).count()
    }
}

/// Why a run is not taken up again.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// There is no such run.
    #[error("there is no unfinished run {0}")]
    None(String),
    /// It was not killed, or its record was written in time.
    #[error("the run {0} has ended")]
    Ended(String),
    /// The process that began it lives.
    #[error("the run {run} of {by} from {from} still goes on")]
    GoesOn {
        /// The run.
        run: String,
        /// The account that began it.
        by: UserName,
        /// On which machine.
        from: String,
    },
    /// Its journal cannot be read.
    #[error("{path}: {why}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The reason.
        why: String,
    },
}

/// The journal of the run that this process works on. While it lives nobody else takes that run up.
#[derive(Debug)]
pub struct Journal {
    folder: PathBuf,
    open: Mutex<OpenRun>,
    _lock: File,
}

fn folder(root: &Path, name: &str) -> PathBuf {
    root.join("runs").join(format!(".{name}.open"))
}

impl Journal {
    /// Begins the journal of the run that will be recorded as `name`.
    pub fn begin(root: &Path, name: &str, open: OpenRun) -> io::Result<Self> {
        let folder = folder(root, name);
        super::private_folder(&folder)?;
        let lock = super::private_file(&folder.join(LOCK))?;
        lock.try_lock().map_err(io::Error::from)?;
        let journal = Self { folder, open: Mutex::new(open), _lock: lock };
        journal.update(|_| ())?;
        File::open(root.join("runs"))?.sync_all()?;
        Ok(journal)
    }

    /// Takes up the unfinished run that `wanted` names: its folder's name, or its id.
    pub fn take_up(root: &Path, wanted: &str) -> Result<Self, JournalError> {
        let (name, open) = unfinished(root)
            .into_iter()
            .find(|(name, open)| {
                name == wanted || open.as_ref().is_ok_and(|open| open.run.as_str() == wanted)
            })
            .ok_or_else(|| {
                let (time, random) = wanted.split_once('-').unwrap_or((wanted, wanted));
                let ended = |run: &super::StoredRun| {
                    run.name == wanted || (run.name.starts_with(time) && run.name.ends_with(random))
                };
                match super::list_runs(root).unwrap_or_default().iter().find(|run| ended(run)) {
                    Some(run) => JournalError::Ended(run.name.clone()),
                    None => JournalError::None(crate::text::excerpt(wanted, 80)),
                }
            })?;
        let folder = folder(root, &name);
        let unreadable = |file: &str, why: String| JournalError::Unreadable { path: folder.join(file), why };
        let open = open.map_err(|why| unreadable(STATE, why))?;
        let lock = File::options()
            .write(true)
            .open(folder.join(LOCK))
            .map_err(|error| unreadable(LOCK, error.to_string()))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { folder, open: Mutex::new(open), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(JournalError::GoesOn {
                run: name,
                by: open.by,
                from: crate::text::excerpt(&open.from, 64),
            }),
            Err(TryLockError::Error(error)) => Err(unreadable(LOCK, error.to_string())),
        }
    }

    /// The run as it stands.
    pub fn open(&self) -> OpenRun {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Before anything is done to a host.
    pub fn begun(&self, host: &HostName) -> io::Result<()> {
        self.update(|open| {
            open.progress.insert(host.clone(), Progress::Begun);
        })
    }

    /// After it.
    pub fn ended(&self, host: &HostName, state: &str) -> io::Result<()> {
        let ended = Progress::Ended { state: state.to_owned() };
        self.update(|open| {
            open.progress.insert(host.clone(), ended);
        })
    }

    /// The run's record is written; the journal goes.
    pub fn close(&self) -> io::Result<()> {
        fs::remove_dir_all(&self.folder)
    }

    fn update(&self, change: impl FnOnce(&mut OpenRun)) -> io::Result<()> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut open);
        let text = serde_json::to_vec(&*open).map_err(io::Error::other)?;
        replace(&self.folder.join(STATE), &text)
    }
}

/// A run without a record, as `palisade runs` lists it.
#[derive(Debug, Clone)]
pub struct Unfinished {
    /// The name that its record would have.
    pub name: String,
    /// What its journal says, or why that cannot be read.
    pub open: Result<OpenRun, String>,
    /// Whether the process that began it lives.
    pub goes_on: bool,
}

/// All runs without a record, oldest first.
pub fn list_unfinished(root: &Path) -> Vec<Unfinished> {
    let goes_on = |name: &str| {
        let lock = File::options().write(true).open(folder(root, name).join(LOCK));
        lock.is_ok_and(|lock| matches!(lock.try_lock(), Err(TryLockError::WouldBlock)))
    };
    unfinished(root)
        .into_iter()
        .map(|(name, open)| Unfinished { goes_on: goes_on(&name), name, open })
        .collect()
}

fn unfinished(root: &Path) -> Vec<(String, Result<OpenRun, String>)> {
    let runs = root.join("runs");
    let mut names: Vec<String> = fs::read_dir(&runs)
        .into_iter()
        .flatten()
        .map_while(Result::ok)
        .filter_map(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            Some(name.strip_prefix('.')?.strip_suffix(".open")?.to_owned())
        })
        // Killed between its record and the end of its journal.
        .filter(|name| !runs.join(name).exists())
        .collect();
    names.sort();
    let read = |name: &str| {
        let bytes = fs::read(folder(root, name).join(STATE)).map_err(|error| error.to_string())?;
        let open: OpenRun =
            serde_json::from_slice(&bytes).map_err(|error| format!("not a journal: {error}"))?;
        if open.schema == SCHEMA { Ok(open) } else { Err(format!("a journal of version {}", open.schema)) }
    };
    names.into_iter().map(|name| (name.clone(), read(&name))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Digest, Environment};

    const NAME: &str = "20261128t220000123z-test-apply-1a2b3c4d";
    const RUN: &str = "20261128t220000123z-1a2b3c4d";

    fn host(name: &str) -> HostName {
        name.parse().unwrap()
    }

    fn open() -> OpenRun {
        let made = "2026-11-28T22:00:00Z".parse().unwrap();
        let plan = Plan::new("0.1.0", Environment::Test, made, Digest::of(b"inputs"), Vec::new());
        let hosts = vec![host("a"), host("b")];
        OpenRun::new(RUN.parse().unwrap(), "alice".parse().unwrap(), "laptop".to_owned(), hosts, plan)
    }

    #[test]
    fn a_killed_run_is_taken_up_as_far_as_it_came_and_by_one_alone() {
        let root = tempfile::tempdir().unwrap();
        let journal = Journal::begin(root.path(), NAME, open()).unwrap();
        journal.begun(&host("a")).unwrap();
        journal.ended(&host("a"), "changed").unwrap();
        journal.begun(&host("b")).unwrap();
        let listed = list_unfinished(root.path());
        assert!(listed[0].goes_on, "{listed:?}");
        assert_eq!(
            Journal::take_up(root.path(), RUN).unwrap_err().to_string(),
            format!("the run {NAME} of alice from laptop still goes on")
        );
        drop(journal);
        assert!(!list_unfinished(root.path())[0].goes_on);
        for wanted in [RUN, NAME] {
            let again = Journal::take_up(root.path(), wanted).unwrap();
            let open = again.open();
            assert_eq!(open.ended(), 1);
            assert_eq!(open.progress[&host("b")], Progress::Begun);
            assert_eq!(open.progress[&host("a")], Progress::Ended { state: "changed".to_owned() });
        }
    }

    #[test]
    fn an_ended_or_unknown_or_damaged_run_is_not_taken_up() {
        let root = tempfile::tempdir().unwrap();
        let why = |wanted: &str| Journal::take_up(root.path(), wanted).unwrap_err().to_string();
        assert_eq!(why("x"), "there is no unfinished run x");
        let journal = Journal::begin(root.path(), NAME, open()).unwrap();
        let record = "{\"entry\":\"run\"}\n{\"entry\":\"end\"}\n";
        super::super::write_run(root.path(), NAME, &RUN.parse().unwrap(), record).unwrap();
        assert_eq!(why(NAME), format!("the run {NAME} has ended"));
        assert_eq!(why(RUN), format!("the run {NAME} has ended"));
        assert!(list_unfinished(root.path()).is_empty(), "its record was written before it was killed");
        journal.close().unwrap();
        assert_eq!(super::super::list_runs(root.path()).unwrap().len(), 1);

        let other = "20261128t230000z-test-apply-00000000";
        drop(Journal::begin(root.path(), other, open()).unwrap());
        fs::write(folder(root.path(), other).join(STATE), b"{\"schema\":1").unwrap();
        assert!(why(other).contains("not a journal"), "{}", why(other));
        assert!(list_unfinished(root.path())[0].open.is_err());
    }
}
