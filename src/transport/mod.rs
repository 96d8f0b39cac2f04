//! How a script reaches a host and its output comes back. A transport decides nothing about hosts; it refuses an
//! unknown, changed or revoked host key, and bounds time and bytes.

mod either;
mod exec;
mod key_agent;
mod local;
mod openssh;
mod russh;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;

use crate::domain::{Address, HostName, Port, PublicKey, UserName};
use crate::known_hosts::KnownHosts;
use crate::record::Cost;
use crate::shell::{Output, Script};

pub use self::either::EitherConnector;
pub use self::key_agent::{KeyAgent, LockedKey, UnlockedKey};
pub use self::openssh::{ControlFolder, OpensshConnector, included, leave_nothing};
pub use self::russh::RusshConnector;
pub use local::LocalSession;

/// Handshakes under way with one server. Against sshd's default `MaxStartups 10:30:100`, 32 at once lost 29 of 100
/// connections and 8 lost none (measured on Debian 12).
const HANDSHAKES: usize = 8;

/// Handshakes tried with a server that drops them and does not say that it is busy. They take eight to twelve seconds; of
/// a thousand connections to one sshd with its default limit, 64 at a time, six attempts lost one.
const ATTEMPTS: u32 = 9;

/// Before the second attempt; doubled before each further one.
const BACKOFF: Duration = Duration::from_millis(100);

/// Between two further ones. How long a host that is busy is tried, the time allowed for the connection decides.
const LONGEST_BACKOFF: Duration = Duration::from_millis(1600);

/// Up to half of `backoff`, so that many hosts behind one gate do not knock in step.
fn jitter(backoff: Duration) -> Duration {
    let random = getrandom::u32().unwrap_or_default() % 512;
    backoff / 1024 * random
}

/// One authenticated connection to a host.
pub trait Session: Send + Sync {
    /// Runs `script` on the host as one exec and waits for its end.
    fn run<'a>(
        &'a self,
        script: &'a Script,
        entry: Entry,
        bounds: Bounds,
    ) -> BoxFuture<'a, Result<Output, TransportError>>;

    /// What this connection cost so far.
    fn cost(&self) -> Cost;

    /// Closes it and waits, a second at most, until the socket is shut. Dropping does the same without waiting.
    fn close(&self) -> BoxFuture<'_, ()>;
}

/// Opens sessions.
pub trait Connector: Send + Sync {
    /// One new connection: TCP (through the jump host where there is one), host key, authentication. Where the target
    /// may be shared and is connected to already for those behind it, that connection.
    fn connect<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, Result<Box<dyn Session>, TransportError>>;

    /// TCP connections to each host so far, whatever they were for: as a jump host, as a target, shared or not, refused
    /// or dropped.
    fn connections(&self) -> BTreeMap<HostName, u32>;
}

/// Where to connect, as whom.
#[derive(Debug, Clone)]
pub struct Target {
    /// The host's name, under which its key is pinned and by which errors call it.
    pub host: HostName,
    /// Its address.
    pub address: Address,
    /// Its sshd's port.
    pub port: Port,
    /// The account.
    pub user: UserName,
    /// What may prove it.
    pub identity: Identity,
    /// The way, outermost first.
    pub jumps: Vec<Jump>,
    /// Whether the jump hosts' connections are made anew for this session alone. Otherwise one connection per jump
    /// host is shared by everything behind it, which proves nothing about the jump host itself.
    pub fresh_jumps: bool,
    /// Whether it may be the connection over which those behind the host are reached, and is kept for them. Never
    /// for what a new connection is to prove.
    pub shared: bool,
    /// Which host keys are accepted.
    pub host_keys: HostKeys,
    /// For TCP, handshake and authentication together.
    pub connect_timeout: Duration,
}

impl Target {
    /// Lets the agent behind `socket` sign, on the way too.
    pub fn sign_by(&mut self, socket: &Path) {
        let jumps = self.jumps.iter_mut().map(|jump| &mut jump.identity);
        for identity in jumps.chain([&mut self.identity]) {
            identity.agent = Some(socket.to_owned());
        }
    }
}

impl From<&Target> for Jump {
    fn from(target: &Target) -> Self {
        Self {
            host: target.host.clone(),
            address: target.address,
            port: target.port,
            user: target.user.clone(),
            identity: target.identity.clone(),
            host_keys: target.host_keys.clone(),
        }
    }
}

/// A host on the way. It has an account and pins of its own: a host that is being enrolled as `debian` may stand
/// behind one that only `alice` may enter.
#[derive(Debug, Clone)]
pub struct Jump {
    /// Its name.
    pub host: HostName,
    /// Its address, as the hop before it reaches it.
    pub address: Address,
    /// Its sshd's port.
    pub port: Port,
    /// The account.
    pub user: UserName,
    /// What may prove it.
    pub identity: Identity,
    /// Which host keys are accepted.
    pub host_keys: HostKeys,
}

/// What may prove an account. Exactly one key is offered, and only one whose public half is in `declared`: `file`
/// where it is given, else the first declared key that the agent holds. At `enrol`, where nothing is declared yet,
/// `declared` is none and the file's key is offered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identity {
    /// A private key file, or the public half of a key that the agent holds.
    pub file: Option<PathBuf>,
    /// The agent's socket.
    pub agent: Option<PathBuf>,
    /// The keys declared for the account.
    pub declared: Option<Vec<PublicKey>>,
}

/// Which host keys are accepted.
#[derive(Debug, Clone)]
pub enum HostKeys {
    /// Those of this file, under our strict policy: unknown, changed and revoked are refused.
    Pinned(Arc<KnownHosts>),
    /// First contact: a key with this fingerprint, which a person confirmed or gave. Any other counts as changed.
    Confirmed(crate::domain::Fingerprint),
}

/// How the script's shell is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// Through sudo, or directly where the account is root.
    Root,
    /// As the account itself.
    Plain,
}

/// Most that one exec may take.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// From start to end.
    pub deadline: Duration,
    /// Bytes of standard output and of standard error, each. More ends the exec with [`TransportError::TooMuch`].
    pub bytes: usize,
}

impl Default for Bounds {
    /// Two minutes, 16 MiB.
    fn default() -> Self {
        Self { deadline: Duration::from_mins(2), bytes: 16 << 20 }
    }
}

/// Why a connection or an exec failed. Every text from a host in it is already made visible.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransportError {
    /// No TCP connection, or no SSH behind it.
    #[error("{host} is unreachable at {address}: {why}")]
    Unreachable {
        /// The host.
        host: HostName,
        /// The address at which it was reached.
        address: Address,
        /// What failed.
        why: String,
    },
    /// It speaks SSH, but nothing that we accept.
    #[error("{host} cannot be connected to at {address}: {why}")]
    Unsupported {
        /// The host.
        host: HostName,
        /// The address at which it was reached.
        address: Address,
        /// What it offers, and what is accepted.
        why: String,
    },
    /// No key is pinned for the host.
    #[error("no host key is pinned for {host}; it shows {shown}")]
    KeyUnknown {
        /// The host.
        host: HostName,
        /// The fingerprint of the key it shows.
        shown: crate::domain::Fingerprint,
    },
    /// Another key is pinned.
    #[error("{host} shows another host key than the pinned one: {shown}")]
    KeyChanged {
        /// The host.
        host: HostName,
        /// The fingerprint of the key it shows.
        shown: crate::domain::Fingerprint,
    },
    /// The key it shows is marked revoked.
    #[error("{host} shows a revoked host key: {shown}")]
    KeyRevoked {
        /// The host.
        host: HostName,
        /// The fingerprint of the key it shows.
        shown: crate::domain::Fingerprint,
    },
    /// The host refused every key offered.
    #[error("{host} refused {user}: {why}")]
    Refused {
        /// The host.
        host: HostName,
        /// The account.
        user: UserName,
        /// What was offered, what the host takes.
        why: String,
    },
    /// No usable key on our side. Nothing was offered to the host.
    #[error("no key to connect with: {why}")]
    NoIdentity {
        /// What was looked at.
        why: String,
    },
    /// It took too long.
    #[error("{host} did not {what} within {seconds} s")]
    TooSlow {
        /// The host.
        host: HostName,
        /// What it did not do: `answer`, `finish the handshake`.
        what: &'static str,
        /// The bound.
        seconds: u64,
    },
    /// It answered more than the cap.
    #[error("{host} answered more than {bytes} bytes; the rest was not read")]
    TooMuch {
        /// The host.
        host: HostName,
        /// The cap.
        bytes: usize,
    },
    /// The connection broke.
    #[error("the connection to {host} broke: {why}")]
    Broken {
        /// The host.
        host: HostName,
        /// What failed.
        why: String,
    },
}

impl TransportError {
    /// The same where `host` was named just before: what is said of it says "it".
    pub fn about(&self, host: &HostName) -> String {
        let text = self.to_string();
        match text.strip_prefix(host.as_str()).and_then(|rest| rest.strip_prefix(' ')) {
            Some(rest) => format!("it {rest}"),
            None => text,
        }
    }
}
