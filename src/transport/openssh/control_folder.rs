//! Where control sockets lie: a folder per running palisade that nobody else may enter. What a killed one left is
//! swept, its processes first. No process is ended but those of ssh that were started with a path in such a folder.

#![expect(
    clippy::disallowed_methods,
    reason = "this module makes and removes folders, whose age the clock tells, and finds who uses them in /proc"
)]

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use rustix::process::{Pid, Signal, geteuid, kill_process};

/// Longest path of a folder of ours: what ssh binds in it is 55 bytes longer, and a socket's path has 108 (unix(7)).
const LONGEST: usize = 50;

/// Marks a folder's palisade as alive: it holds a lock on this file.
const LOCK: &str = "lock";

/// OpenSSH's PROTOCOL.mux, sections 1 and 7.
const MUX_MSG_HELLO: u32 = 0x0000_0001;
const MUX_VERSION: u32 = 4;
const MUX_C_TERMINATE: u32 = 0x1000_0005;

/// How long a master may take to end. It takes a millisecond; one that takes longer is killed.
const GOODBYE: Duration = Duration::from_secs(1);

/// Longest time in which a folder gets its lock and its name. It takes a millisecond.
const BIRTH: Duration = Duration::from_mins(10);

/// The folders of this process, for [`leave_nothing`].
static OPEN: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

fn open_places() -> MutexGuard<'static, Vec<PathBuf>> {
    OPEN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A folder for one palisade's sockets and configurations, removed with it.
#[derive(Debug)]
pub struct ControlFolder {
    path: PathBuf,
    _lock: File,
}

impl ControlFolder {
    /// A new folder below `base`, which is made where it is missing. Fails where `base` is another user's or open to
    /// others.
    pub fn open(base: &Path) -> io::Result<Self> {
        match fs::DirBuilder::new().mode(0o700).create(base) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let metadata = fs::symlink_metadata(base)?;
        let ours = geteuid().as_raw();
        if !metadata.is_dir() || metadata.uid() != ours || metadata.permissions().mode() & 0o077 != 0 {
            let why = format!("{} is not a folder of yours alone (mode 0700)", base.display());
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
        }
        sweep(base);
        let mut random = [0_u8; 4];
        getrandom::fill(&mut random).map_err(|error| io::Error::other(error.to_string()))?;
        let name = format!("{:08x}", u32::from_be_bytes(random));
        let path = base.join(&name);
        if path.as_os_str().len() > LONGEST {
            let why = format!("{} is too long for the path of a socket", path.display());
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        // Locked before it has the name under which others look at it.
        let unborn = base.join(format!(".{name}"));
        fs::DirBuilder::new().mode(0o700).create(&unborn)?;
        let lock = File::create(unborn.join(LOCK))?;
        lock.lock()?;
        fs::rename(&unborn, &path)?;
        open_places().push(path.clone());
        Ok(Self { path, _lock: lock })
    }

    /// The folder.
    pub(in crate::transport) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for ControlFolder {
    fn drop(&mut self) {
        end_masters(&self.path);
        drop(fs::remove_dir_all(&self.path));
        open_places().retain(|path| *path != self.path);
    }
}

/// Ends on the spot what this process started, and removes its folders: for a process that is about to end without
/// another word to anybody.
pub fn leave_nothing() {
    let open = open_places().clone();
    if open.is_empty() {
        return;
    }
    let folders: Vec<&Path> = open.iter().map(PathBuf::as_path).collect();
    kill_all(&folders);
    for folder in folders {
        drop(fs::remove_dir_all(folder));
    }
}

/// Ends what a killed palisade left: its masters, what was on the way to become one, then its folder.
fn sweep(base: &Path) {
    let Ok(entries) = fs::read_dir(base) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        let is_unborn = entry.file_name().as_encoded_bytes().starts_with(b".");
        if is_unborn {
            // It has no lock yet, or one that is not held yet: only its age tells whether somebody still makes it.
            if entry.metadata().and_then(|data| data.modified()).is_ok_and(|made| is_old(made, BIRTH)) {
                drop(fs::remove_dir_all(&path));
            }
            continue;
        }
        let Ok(lock) = File::open(path.join(LOCK)) else { continue };
        // Held: its palisade lives.
        if lock.try_lock().is_err() {
            continue;
        }
        end_masters(&path);
        kill_all(&[&path]);
        drop(fs::remove_dir_all(&path));
    }
}

fn is_old(made: SystemTime, age: Duration) -> bool {
    SystemTime::now().duration_since(made).is_ok_and(|passed| passed > age)
}

/// Tells all masters to end whose sockets lie below `place`.
fn end_masters(place: &Path) {
    for master in fs::read_dir(place).into_iter().flatten().flatten() {
        let socket = master.path().join("master");
        if socket.exists() {
            end_master(&socket);
        }
    }
}

/// Ends the master behind `socket`, and what runs over it, and waits a moment until it is gone. One that does not hear is
/// killed.
pub(super) fn end_master(socket: &Path) {
    let is_stuck = tell_to_end(socket).is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock);
    if let Some(folder) = socket.parent().filter(|_| is_stuck) {
        kill_all(&[folder]);
    }
}

/// Told to stop, as the crate does it, a master would go on for as long as a command of its host does.
fn tell_to_end(socket: &Path) -> io::Result<()> {
    let mut master = UnixStream::connect(socket)?;
    // OpenSSH's PROTOCOL.mux: the length of a message, its kind, and one number: the version, the request's id.
    let message = |kind: u32, number: u32| [8, kind, number].map(u32::to_be_bytes).concat();
    let words = [message(MUX_MSG_HELLO, MUX_VERSION), message(MUX_C_TERMINATE, 0)].concat();
    master.write_all(&words)?;
    master.set_read_timeout(Some(GOODBYE))?;
    // What it answers does not matter; the end of it is its end.
    master.read_to_end(&mut Vec::new()).map(drop)
}

/// Kills the processes of ssh, ours alone, that were started with a path below one of `folders`. Their names are random,
/// and nobody else may enter them.
fn kill_all(folders: &[&Path]) {
    let ours = geteuid().as_raw();
    let below: Vec<Vec<u8>> =
        folders.iter().map(|folder| [folder.as_os_str().as_encoded_bytes(), b"/"].concat()).collect();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(process) = name.to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw) else {
            continue;
        };
        let says = |file: &str| fs::read(entry.path().join(file)).unwrap_or_default();
        if !entry.metadata().is_ok_and(|data| data.uid() == ours) || says("comm") != b"ssh\n" {
            continue;
        }
        let words = says("cmdline");
        if below.iter().any(|below| memchr::memmem::find(&words, below).is_some()) {
            let _ = kill_process(process, Signal::KILL);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_dead_palisade_left_is_swept_and_a_living_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let base = folder.path().join("s");
        let first = ControlFolder::open(&base).unwrap();
        let dead = base.join("dead");
        fs::create_dir(&dead).unwrap();
        File::create(dead.join(LOCK)).unwrap();
        let second = ControlFolder::open(&base).unwrap();
        assert!(!dead.exists());
        assert!(first.path().exists() && second.path().exists());
        let path = first.path().to_owned();
        drop(first);
        assert!(!path.exists());

        let (young, old) = (base.join(".young"), base.join(".old"));
        for unborn in [&young, &old] {
            fs::create_dir(unborn).unwrap();
        }
        let long_ago = SystemTime::now() - 2 * BIRTH;
        File::open(&old).unwrap().set_modified(long_ago).unwrap();
        let _third = ControlFolder::open(&base).unwrap();
        assert!(young.exists(), "somebody makes it right now");
        assert!(!old.exists());
    }

    #[test]
    fn a_folder_that_others_may_enter_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let base = folder.path().join("s");
        fs::create_dir(&base).unwrap();
        fs::set_permissions(&base, fs::Permissions::from_mode(0o755)).unwrap();
        let error = ControlFolder::open(&base).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
    }
}
