//! One exec over a master's control socket: the script on standard input, both outputs apart, everything bounded.

#![expect(clippy::disallowed_methods, reason = "ssh tells of a jump host in a file")]

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use openssh::Stdio;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

use super::config;
use super::place::ControlPlace;
use crate::domain::HostName;
use crate::shell::{ENTRY_PLAIN, ENTRY_ROOT, Exit, Output, Script};
use crate::text::excerpt;
use crate::transport::{Bounds, Cost, Entry, Session, TransportError};

/// A master process: one authenticated connection. It ends with this value.
pub(super) struct Master {
    host: HostName,
    /// None once it was closed.
    session: Mutex<Option<Arc<openssh::Session>>>,
    socket: PathBuf,
    /// The configuration that it was started with.
    file: PathBuf,
    /// The master that this one stands on, kept for as long.
    _way: Option<Arc<Master>>,
    /// Where its socket lies.
    _place: Arc<ControlPlace>,
}

impl Master {
    pub(super) fn new(
        host: HostName,
        session: openssh::Session,
        file: PathBuf,
        way: Option<Arc<Self>>,
        place: Arc<ControlPlace>,
    ) -> Self {
        let socket = session.control_socket().to_owned();
        Self { host, session: Mutex::new(Some(Arc::new(session))), socket, file, _way: way, _place: place }
    }

    pub(super) async fn is_alive(&self) -> bool {
        match self.session() {
            Some(session) => session.check().await.is_ok(),
            None => false,
        }
    }

    fn session(&self) -> Option<Arc<openssh::Session>> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Ends it; what runs on it breaks.
    fn end(&self) {
        drop(self.session.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    pub(super) fn host(&self) -> &HostName {
        &self.host
    }

    /// The command that reaches what stands behind this host. What it complains about goes to `log`.
    pub(super) fn proxy(&self, log: &Path) -> io::Result<String> {
        config::proxy(self.host.as_str(), &self.file, &self.socket, log)
    }

    /// What was said of the way of the host whose configuration is `file`: by the command in it, then, last, by this
    /// master of a channel that the host refused.
    pub(super) fn said(&self, file: &Path) -> String {
        let text = |path: &Path| std::fs::read_to_string(path).unwrap_or_default();
        let log = text(&self.socket.with_file_name("log"));
        let refused = log.lines().rfind(|line| line.contains("open failed")).unwrap_or_default();
        format!("{}\n{refused}", text(&config::way_log(file)))
    }
}

/// What was used so far.
#[derive(Default)]
pub(super) struct Counts {
    execs: AtomicU32,
    sent: AtomicU64,
    received: AtomicU64,
}

/// Execs on a master.
pub(super) struct OpensshSession {
    pub(super) master: Arc<Master>,
    pub(super) is_root: bool,
    /// Whether the connection stays when this ends, for others that stand on it.
    pub(super) is_shared: bool,
    pub(super) counts: Counts,
}

impl Session for OpensshSession {
    fn run<'a>(
        &'a self,
        script: &'a Script,
        entry: Entry,
        bounds: Bounds,
    ) -> BoxFuture<'a, Result<Output, TransportError>> {
        async move {
            timeout(bounds.deadline, self.exec(script, entry, bounds.bytes)).await.unwrap_or_else(|_| {
                Err(TransportError::TooSlow {
                    host: self.master.host.clone(),
                    what: "answer",
                    seconds: bounds.deadline.as_secs(),
                })
            })
        }
        .boxed()
    }

    fn cost(&self) -> Cost {
        Cost {
            connections: u32::from(!self.is_shared),
            execs: self.counts.execs.load(Ordering::Relaxed),
            bytes_sent: self.counts.sent.load(Ordering::Relaxed),
            bytes_received: self.counts.received.load(Ordering::Relaxed),
        }
    }

    /// The master is told to end, and closes its socket at once.
    fn close(&self) -> BoxFuture<'_, ()> {
        async {
            if !self.is_shared {
                self.master.end();
            }
        }
        .boxed()
    }
}

impl OpensshSession {
    async fn exec(&self, script: &Script, entry: Entry, cap: usize) -> Result<Output, TransportError> {
        let command = match entry {
            Entry::Root if !self.is_root => ENTRY_ROOT,
            Entry::Root | Entry::Plain => ENTRY_PLAIN,
        };
        self.counts.execs.fetch_add(1, Ordering::Relaxed);
        let Some(session) = self.master.session() else {
            return Err(self.broken(&openssh::Error::Disconnected));
        };
        let mut command = session.arc_raw_command(command);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().await.map_err(|error| self.broken(&error))?;
        let (Some(mut stdin), Some(stdout), Some(stderr)) =
            (child.stdin().take(), child.stdout().take(), child.stderr().take())
        else {
            return Err(self.broken(&openssh::Error::Disconnected));
        };
        let script = script.to_stdin();
        let feed = async {
            // The program may end before it has read everything: that is for the reading side to judge.
            if stdin.write_all(script.as_bytes()).await.is_ok() {
                let sent = u64::try_from(script.len()).unwrap_or(u64::MAX);
                self.counts.sent.fetch_add(sent, Ordering::Relaxed);
            }
            drop(stdin);
            Ok::<_, TransportError>(())
        };
        let ((), stdout, stderr) =
            futures::try_join!(feed, self.collect(stdout, cap), self.collect(stderr, cap))?;
        let exit = match child.wait().await {
            Ok(status) => {
                status.code().and_then(|code| u32::try_from(code).ok()).map_or(Exit::Unknown, Exit::Status)
            }
            // The crate takes this status for its own.
            Err(openssh::Error::Remote(_)) => Exit::Status(127),
            // A signal, or the end of the connection: the protocol of control sockets does not tell them apart.
            Err(openssh::Error::RemoteProcessTerminated) if self.master.is_alive().await => Exit::Unknown,
            Err(error) => return Err(self.broken(&error)),
        };
        Ok(Output { exit, stdout, stderr })
    }

    async fn collect(
        &self,
        mut stream: impl AsyncRead + Unpin,
        cap: usize,
    ) -> Result<Vec<u8>, TransportError> {
        let mut collected = Vec::new();
        loop {
            let read = stream.read_buf(&mut collected).await.map_err(|error| TransportError::Broken {
                host: self.master.host.clone(),
                why: excerpt(&error.to_string(), 120),
            })?;
            self.counts.received.fetch_add(u64::try_from(read).unwrap_or(u64::MAX), Ordering::Relaxed);
            if collected.len() > cap {
                return Err(TransportError::TooMuch { host: self.master.host.clone(), bytes: cap });
            }
            if read == 0 {
                return Ok(collected);
            }
        }
    }

    fn broken(&self, error: &openssh::Error) -> TransportError {
        let why = match error {
            openssh::Error::Disconnected | openssh::Error::RemoteProcessTerminated => {
                "it ended without a word".to_owned()
            }
            error => {
                let below = std::error::Error::source(error).map(|below| format!(": {below}"));
                excerpt(&format!("{error}{}", below.unwrap_or_default()), 160)
            }
        };
        TransportError::Broken { host: self.master.host.clone(), why }
    }
}
