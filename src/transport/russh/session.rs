//! One exec on an authenticated connection: the script on standard input, both outputs apart, everything bounded.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use russh::client::Msg;
use russh::{ChannelMsg, ChannelReadHalf, ChannelWriteHalf, Disconnect};
use tokio::time::timeout;

use super::client::seen;
use super::route::Link;
use crate::record::Cost;
use crate::shell::{Exit, Output, Script};
use crate::text::excerpt;
use crate::transport::exec::{self, Counts};
use crate::transport::{Bounds, Entry, Session, TransportError};

/// How long [`Session::close`] waits for the socket to be shut.
const GOODBYE: Duration = Duration::from_secs(1);

/// RFC 4254 5.2: the one extended data type, standard error.
const STDERR: u32 = 1;

/// Execs on a connection.
pub(super) struct RusshSession {
    pub(super) link: Arc<Link>,
    pub(super) is_root: bool,
    /// Whether the connection stays when this ends, for others that stand on it.
    pub(super) is_shared: bool,
    pub(super) connections: u32,
    pub(super) counts: Counts,
}

impl Session for RusshSession {
    fn run<'a>(
        &'a self,
        script: &'a Script,
        entry: Entry,
        bounds: Bounds,
    ) -> BoxFuture<'a, Result<Output, TransportError>> {
        exec::bounded(&self.link.host, bounds, self.exec(script, entry, bounds.bytes)).boxed()
    }

    fn cost(&self) -> Cost {
        self.counts.cost(self.connections)
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        async move {
            if self.is_shared {
                return;
            }
            let _ = self.link.handle.disconnect(Disconnect::ByApplication, "done", "").await;
            let mut alive = self.link.alive.clone();
            let _ = timeout(GOODBYE, async { while alive.changed().await.is_ok() {} }).await;
        }
        .boxed()
    }
}

impl RusshSession {
    async fn exec(&self, script: &Script, entry: Entry, cap: usize) -> Result<Output, TransportError> {
        let channel = self.link.handle.channel_open_session().await.map_err(|error| self.broken(&error))?;
        let (mut read, write) = channel.split();
        let write = ClosesOnDrop(Arc::new(write));
        self.counts.begun();
        write.0.exec(true, exec::command(entry, self.is_root)).await.map_err(|error| self.broken(&error))?;

        let stdin = script.to_stdin();
        let length = stdin.len();
        let feed = async {
            // The program may end, or the host close, before it has read everything: that is for the reading side to
            // judge, by the exit status and by what was answered.
            if write.0.data_bytes(stdin).await.is_ok() && write.0.eof().await.is_ok() {
                self.counts.sent(length);
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            answer = self.collect(&mut read, cap) => answer,
            () = feed => Err(self.broken(&russh::Error::Disconnect)),
        }
    }

    async fn collect(&self, read: &mut ChannelReadHalf, cap: usize) -> Result<Output, TransportError> {
        let mut output = Output { exit: Exit::Unknown, stdout: Vec::new(), stderr: Vec::new() };
        loop {
            let (stream, data) = match read.wait().await {
                Some(ChannelMsg::Data { data }) => (&mut output.stdout, data),
                Some(ChannelMsg::ExtendedData { data, ext: STDERR }) => (&mut output.stderr, data),
                Some(ChannelMsg::ExitStatus { exit_status }) => {
                    output.exit = Exit::Status(exit_status);
                    continue;
                }
                Some(ChannelMsg::Failure) => {
                    return Err(TransportError::Broken {
                        host: self.link.host.clone(),
                        why: "it refused to start a command for this account".to_owned(),
                    });
                }
                Some(ChannelMsg::Close) => return Ok(output),
                // russh ends the stream after a channel's close as well as with the connection; only an answer whose
                // end we saw is one.
                None if output.exit != Exit::Unknown && !self.link.handle.is_closed() => return Ok(output),
                None => return Err(self.broken(&russh::Error::Disconnect)),
                Some(_) => continue,
            };
            self.counts.received(data.len());
            exec::capped(&self.link.host, stream.len().saturating_add(data.len()), cap)?;
            stream.extend_from_slice(&data);
        }
    }

    fn broken(&self, error: &russh::Error) -> TransportError {
        let ended = seen(&self.link.seen, |seen| seen.ended.clone());
        let why = ended.unwrap_or_else(|| match error {
            russh::Error::Disconnect | russh::Error::SendError => "it ended without a word".to_owned(),
            error => excerpt(&error.to_string(), 120),
        });
        TransportError::Broken { host: self.link.host.clone(), why }
    }
}

/// Closes the channel when the exec is over or given up, so that the host stops sending and its program sees the end.
struct ClosesOnDrop(Arc<ChannelWriteHalf<Msg>>);

impl Drop for ClosesOnDrop {
    fn drop(&mut self) {
        let write = Arc::clone(&self.0);
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                let _ = write.close().await;
            });
        }
    }
}
