//! One exec over a master's control socket: the script on standard input, both outputs apart, everything bounded.

use std::sync::Arc;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use openssh::Stdio;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};

use super::master::Master;
use crate::record::Cost;
use crate::shell::{Exit, Output, Script};
use crate::text::excerpt;
use crate::transport::exec::{self, Counts};
use crate::transport::{Bounds, Entry, Session, TransportError};

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
        exec::bounded(&self.master.host, bounds, self.exec(script, entry, bounds.bytes)).boxed()
    }

    fn cost(&self) -> Cost {
        self.counts.cost(u32::from(!self.is_shared))
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
        let command = exec::command(entry, self.is_root);
        self.counts.begun();
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
                self.counts.sent(script.len());
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
            self.counts.received(read);
            exec::capped(&self.master.host, collected.len(), cap)?;
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
