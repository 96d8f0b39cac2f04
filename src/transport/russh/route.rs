//! The way to a host: TCP, or a channel through jump hosts whose connections are shared; and how many handshakes may
//! be under way with one server at a time.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use russh::ChannelOpenFailure;
use russh::client::Handle;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::client::{Client, SharedSeen};
use crate::domain::{Address, HostName, Port, UserName};
use crate::transport::{HANDSHAKES, HostKeys, Identity, Jump, Target, TransportError};

/// One server on the way or at its end.
#[derive(Clone, Copy)]
pub(super) struct Hop<'a> {
    pub(super) host: &'a HostName,
    pub(super) address: Address,
    pub(super) port: Port,
    pub(super) user: &'a UserName,
    pub(super) identity: &'a Identity,
    pub(super) host_keys: &'a HostKeys,
}

impl<'a> From<&'a Target> for Hop<'a> {
    fn from(target: &'a Target) -> Self {
        Self {
            host: &target.host,
            address: target.address,
            port: target.port,
            user: &target.user,
            identity: &target.identity,
            host_keys: &target.host_keys,
        }
    }
}

impl<'a> From<&'a Jump> for Hop<'a> {
    fn from(jump: &'a Jump) -> Self {
        Self {
            host: &jump.host,
            address: jump.address,
            port: jump.port,
            user: &jump.user,
            identity: &jump.identity,
            host_keys: &jump.host_keys,
        }
    }
}

/// An authenticated connection.
pub(super) struct Link {
    pub(super) host: HostName,
    pub(super) handle: Handle<Client>,
    pub(super) seen: SharedSeen,
    /// Told when russh's task has shut the socket.
    pub(super) alive: watch::Receiver<()>,
    /// The link that this one stands on, kept for as long.
    pub(super) _way: Option<Arc<Link>>,
}

/// What a connection is made over.
pub(super) trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

/// A connection to one server, before SSH.
pub(super) type Stream = Pin<Box<dyn Wire>>;

/// A shared jump connection, or the failure that those who waited for it share too: otherwise each of a hundred
/// dependants would knock at a jump host that refuses us.
pub(super) enum Slot {
    Empty,
    Up(Arc<Link>),
    Failed(Instant, TransportError),
}

/// Names a server as seen from here: its address and port behind these jump hosts, and the account where it matters.
type Server = String;

/// What the connections of one run share.
#[derive(Default)]
pub(super) struct Routes {
    gates: Mutex<HashMap<Server, Arc<Semaphore>>>,
    links: Mutex<HashMap<Server, Arc<tokio::sync::Mutex<Slot>>>>,
    connections: Mutex<BTreeMap<HostName, u32>>,
    jump_connections: Mutex<BTreeMap<HostName, u32>>,
}

impl Routes {
    /// Leave for one more handshake with the server at `hop`, behind `jumps`; given back when it is dropped.
    pub(super) async fn permit(&self, hop: Hop<'_>, jumps: &[Jump]) -> Option<OwnedSemaphorePermit> {
        let gate = {
            let mut gates = lock(&self.gates);
            Arc::clone(
                gates.entry(way(hop, jumps, None)).or_insert_with(|| Arc::new(Semaphore::new(HANDSHAKES))),
            )
        };
        // Only a closed semaphore gives none, and nothing closes it.
        gate.acquire_owned().await.ok()
    }

    /// Where the shared connection to `jump`, behind `before`, is kept.
    pub(super) fn slot(&self, jump: &Jump, before: &[Jump]) -> Arc<tokio::sync::Mutex<Slot>> {
        let way = way(jump.into(), before, Some(&jump.user));
        Arc::clone(
            lock(&self.links).entry(way).or_insert_with(|| Arc::new(tokio::sync::Mutex::new(Slot::Empty))),
        )
    }

    /// One more connection to a host.
    pub(super) fn count(&self, host: &HostName) {
        *lock(&self.connections).entry(host.clone()).or_default() += 1;
    }

    /// Connections to each host so far.
    pub(super) fn connections(&self) -> BTreeMap<HostName, u32> {
        lock(&self.connections).clone()
    }

    /// One more connection to a jump host.
    pub(super) fn count_jump(&self, host: &HostName, connections: u32) {
        *lock(&self.jump_connections).entry(host.clone()).or_default() += connections;
    }

    /// Connections to each jump host so far.
    pub(super) fn jump_connections(&self) -> BTreeMap<HostName, u32> {
        lock(&self.jump_connections).clone()
    }
}

fn way(hop: Hop<'_>, jumps: &[Jump], user: Option<&UserName>) -> Server {
    let mut way = String::new();
    for jump in jumps {
        let _ = write!(way, "{}@{}|{} ", jump.user, jump.address, jump.port);
    }
    if let Some(user) = user {
        way.push_str(user.as_str());
    }
    way + &format!("@{}|{} {}", hop.address, hop.port, hop.host)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A new connection to `hop`: by TCP, or through `link`.
pub(super) async fn open(hop: Hop<'_>, link: Option<&Link>) -> Result<Stream, TransportError> {
    match link {
        None => open_tcp(hop).await,
        Some(link) => open_through(hop, link).await,
    }
}

async fn open_tcp(hop: Hop<'_>) -> Result<Stream, TransportError> {
    let unreachable = |error: &std::io::Error| TransportError::Unreachable {
        host: hop.host.clone(),
        address: hop.address,
        why: format!("port {}: {error}", hop.port),
    };
    let stream =
        TcpStream::connect((hop.address.ip(), hop.port.number())).await.map_err(|e| unreachable(&e))?;
    stream.set_nodelay(true).map_err(|error| unreachable(&error))?;
    Ok(Box::pin(stream))
}

async fn open_through(hop: Hop<'_>, link: &Link) -> Result<Stream, TransportError> {
    let opened = link
        .handle
        .channel_open_direct_tcpip(hop.address.to_string(), hop.port.number().into(), "127.0.0.1", 0)
        .await;
    let jump = &link.host;
    let why = match opened {
        Ok(channel) => return Ok(Box::pin(channel.into_stream())),
        Err(russh::Error::ChannelOpenFailure(ChannelOpenFailure::AdministrativelyProhibited)) => {
            format!(
                "{jump} does not forward to port {} there; its sshd's AllowTcpForwarding and PermitOpen decide",
                hop.port
            )
        }
        Err(russh::Error::ChannelOpenFailure(_)) => {
            format!("{jump} gets no answer at port {} there", hop.port)
        }
        Err(_) => {
            let ended = super::client::seen(&link.seen, |seen| seen.ended.clone());
            format!(
                "the connection to {jump} broke: {}",
                ended.unwrap_or_else(|| "no reason was given".to_owned())
            )
        }
    };
    Err(TransportError::Unreachable { host: hop.host.clone(), address: hop.address, why })
}
