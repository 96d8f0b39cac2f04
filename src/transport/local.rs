//! The machine that palisade runs on, as a session: for `audit --local`. The same entry, the same bounds, no network.

use std::os::unix::fs::MetadataExt as _;
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;
use tokio::time::timeout;

use super::{Bounds, Entry, Session, TransportError};
use crate::domain::HostName;
use crate::program::Program;
use crate::record::Cost;
use crate::shell::{ENTRY_PLAIN, ENTRY_ROOT, Exit, Output, Script};

/// A shell on this machine.
#[derive(Debug)]
pub struct LocalSession {
    host: HostName,
    is_root: bool,
    execs: AtomicU32,
    sent: AtomicU64,
    received: AtomicU64,
}

impl LocalSession {
    /// `host` is the name that errors and the record call this machine by.
    pub fn new(host: HostName) -> Self {
        // The owner of /proc/self is the user that we are (proc(5)); where there is no /proc, sudo is tried.
        let is_root = std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0);
        Self { host, is_root, execs: 0.into(), sent: 0.into(), received: 0.into() }
    }

    async fn exec(&self, script: &Script, entry: Entry, bounds: Bounds) -> Result<Output, TransportError> {
        let entry = match entry {
            Entry::Root if !self.is_root => ENTRY_ROOT,
            Entry::Root | Entry::Plain => ENTRY_PLAIN,
        };
        let mut child = shell(entry)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| self.broken(&error))?;
        self.execs.fetch_add(1, Ordering::Relaxed);
        let group = child.id();
        let (Some(mut stdin), Some(stdout), Some(stderr)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(self.broken(&std::io::Error::other("/bin/sh has no standard streams")));
        };
        let text = script.to_stdin();
        let feed = async move {
            // A shell that ends before it has read everything is judged by its exit status.
            let _ = stdin.write_all(text.as_bytes()).await;
            drop(stdin);
            self.sent.fetch_add(u64::try_from(text.len()).unwrap_or(u64::MAX), Ordering::Relaxed);
            Ok(())
        };
        let ended = timeout(bounds.deadline, async {
            let ((), stdout, stderr) =
                tokio::try_join!(feed, self.read(stdout, bounds.bytes), self.read(stderr, bounds.bytes))?;
            let status = child.wait().await.map_err(|error| self.broken(&error))?;
            let exit =
                status.code().and_then(|code| u32::try_from(code).ok()).map_or(Exit::Unknown, Exit::Status);
            Ok(Output { exit, stdout, stderr })
        })
        .await
        .unwrap_or_else(|_| {
            Err(TransportError::TooSlow {
                host: self.host.clone(),
                what: "answer",
                seconds: bounds.deadline.as_secs(),
            })
        });
        if let (Err(_), Some(group)) = (&ended, group) {
            end_group(group).await;
        }
        ended
    }

    async fn read(&self, mut stream: impl AsyncRead + Unpin, cap: usize) -> Result<Vec<u8>, TransportError> {
        let mut bytes = Vec::new();
        let limit = u64::try_from(cap).unwrap_or(u64::MAX).saturating_add(1);
        (&mut stream).take(limit).read_to_end(&mut bytes).await.map_err(|error| self.broken(&error))?;
        self.received.fetch_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX), Ordering::Relaxed);
        if bytes.len() > cap {
            return Err(TransportError::TooMuch { host: self.host.clone(), bytes: cap });
        }
        Ok(bytes)
    }

    fn broken(&self, error: &std::io::Error) -> TransportError {
        TransportError::Broken { host: self.host.clone(), why: error.to_string() }
    }
}

fn shell(command: &str) -> Command {
    let mut shell = Command::from(Program::Sh.command());
    shell.arg("-c").arg(command).current_dir("/").process_group(0).kill_on_drop(true);
    shell
}

/// Ends what the shell left behind. What runs as root through sudo is out of our reach; its own time limits end it.
async fn end_group(group: u32) {
    let end = Script::new().set("group", group).text("kill -KILL -- \"-$group\"");
    let _ = shell(end.body()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().await;
}

impl Session for LocalSession {
    fn run<'a>(
        &'a self,
        script: &'a Script,
        entry: Entry,
        bounds: Bounds,
    ) -> BoxFuture<'a, Result<Output, TransportError>> {
        self.exec(script, entry, bounds).boxed()
    }

    fn cost(&self) -> Cost {
        Cost {
            connections: 0,
            execs: self.execs.load(Ordering::Relaxed),
            bytes_sent: self.sent.load(Ordering::Relaxed),
            bytes_received: self.received.load(Ordering::Relaxed),
        }
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        async {}.boxed()
    }
}
