//! A master process of ssh(1): one authenticated connection. It is started here, and never outlives what asked for it:
//! not the value that holds it, and not an attempt that is given up in the middle.

#![expect(clippy::disallowed_methods, reason = "ssh tells of a connection in a file")]

use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};

use openssh::Session;
use tempfile::TempDir;
use tokio::process::Command;

use super::control_folder::{ControlFolder, end_master};
use super::proxy;
use crate::domain::HostName;
use crate::program::Program;

/// One authenticated connection. It ends with this value.
pub(super) struct Master {
    pub(super) host: HostName,
    /// None once it was closed.
    session: Mutex<Option<Arc<Session>>>,
    socket: PathBuf,
    /// The configuration that it was started with.
    file: PathBuf,
    /// The master that this one stands on, kept for as long.
    _way: Option<Arc<Master>>,
    /// Where its socket lies.
    _place: Arc<ControlFolder>,
}

/// Why there is no master.
pub(super) enum NotStarted {
    /// ssh ended without a connection. What it said, at its level `DEBUG1`.
    Said(String),
    /// ssh itself could not be started.
    Failed(io::Error),
}

impl From<io::Error> for NotStarted {
    fn from(error: io::Error) -> Self {
        Self::Failed(error)
    }
}

/// A master that comes to be. Given up, nothing of it is left.
struct Birth(Option<TempDir>);

impl Drop for Birth {
    fn drop(&mut self) {
        let Some(folder) = self.0.take() else { return };
        // Between the fork by which ssh goes into the background and the end of the process that we wait for.
        let socket = folder.path().join("master");
        if socket.exists() {
            end_master(&socket);
        }
    }
}

impl Drop for Master {
    fn drop(&mut self) {
        self.end();
    }
}

impl Master {
    /// Starts one for `host` as the configuration in `file` says, over `way` where there is one. Without an exec for
    /// `idle` seconds it ends by itself.
    pub(super) async fn start(
        place: Arc<ControlFolder>,
        host: &HostName,
        file: &Path,
        way: Option<Arc<Self>>,
        idle: u32,
    ) -> Result<Self, NotStarted> {
        let folder = tempfile::Builder::new().prefix(".m").tempdir_in(place.path())?;
        let at = |name: &str| folder.path().join(name);
        let (log, socket) = (at("log"), at("master"));
        let mut ssh = Command::from(Program::Ssh.command());
        ssh.args(["-M", "-f", "-N", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes", "-o"])
            .arg(format!("ControlPersist={idle}"))
            .arg("-E")
            .arg(&log)
            .arg("-S")
            .arg(&socket)
            .arg("-F")
            .arg(file)
            .arg("--")
            .arg(host.as_str())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Ctrl-C at the terminal is ours to hear: an ssh that heard it too would look like a host that went away
            .process_group(0)
            .kill_on_drop(true);
        let mut birth = Birth(Some(folder));
        // It goes into the background, and this process of it ends, once it is authenticated.
        if !ssh.status().await?.success() {
            return Err(NotStarted::Said(std::fs::read_to_string(log)?));
        }
        let Some(folder) = birth.0.take() else {
            return Err(io::Error::from(io::ErrorKind::NotFound).into());
        };
        Ok(Self {
            host: host.clone(),
            session: Mutex::new(Some(Arc::new(Session::new_native_mux(folder)))),
            socket,
            file: file.to_owned(),
            _way: way,
            _place: place,
        })
    }

    pub(super) async fn is_alive(&self) -> bool {
        match self.session() {
            Some(session) => session.check().await.is_ok(),
            None => false,
        }
    }

    pub(super) fn session(&self) -> Option<Arc<Session>> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Ends it; what runs on it breaks.
    pub(super) fn end(&self) {
        let session = self.session.lock().unwrap_or_else(PoisonError::into_inner).take();
        if session.is_some() {
            end_master(&self.socket);
        }
    }

    /// The command that reaches what stands behind this host. What it complains about goes to `log`.
    pub(super) fn proxy(&self, log: &Path) -> io::Result<String> {
        proxy::command(self.host.as_str(), &self.file, &self.socket, log)
    }

    /// What was said of the way of the host whose configuration is `file`: by the command in it, then, last, by this
    /// master of a channel that the host refused.
    pub(super) fn said(&self, file: &Path) -> String {
        let text = |path: &Path| std::fs::read_to_string(path).unwrap_or_default();
        let log = text(&self.socket.with_file_name("log"));
        let refused = log.lines().rfind(|line| line.contains("open failed")).unwrap_or_default();
        format!("{}\n{refused}", text(&proxy::way_log(file)))
    }
}
