//! SSH through the user's own ssh(1): what [`crate::transport`] promises, for hosts whose way needs what only ssh
//! knows (`ProxyCommand`, certificates, security keys, an agent of their own).
//!
//! Each session is a master process of its own, and therefore a connection of its own; execs go over its control
//! socket. Our settings come before the user's in a configuration that is made for each host, and ssh takes the first
//! value of each: the host, its pinned key, the account and what may be offered are ours, the rest is the user's. A
//! master ends with its session; one whose palisade was killed ends by itself, and the next palisade sweeps.

#![expect(
    clippy::disallowed_methods,
    reason = "ssh reads pins from a file; who waited for a jump host that failed is told by the clock"
)]

mod config;
mod master;
mod control_folder;
mod proxy;
mod session;
mod verdict;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use self::config::Ours;
pub use self::config::included;
pub use self::control_folder::{ControlFolder, leave_nothing};
use self::master::{Master, NotStarted};
use self::session::OpensshSession;
use self::verdict::Fault;
use super::exec::Counts;
use super::russh::refuse_undeclared;
use super::{
    ATTEMPTS, BACKOFF, Connector, HANDSHAKES, HostKeys, Jump, LONGEST_BACKOFF, Session, Target,
    TransportError, jitter,
};
use crate::domain::{HostName, UserName};
use crate::known_hosts::KnownHosts;
use crate::text::excerpt;

/// A master whose palisade was killed ends after so long without an exec. Between two execs of one session there is
/// never as much: what waits for a person or a host waits without a session.
const IDLE: u32 = 60;

/// How much longer than its own `ConnectTimeout` ssh may take, before it is given up.
const GRACE: Duration = Duration::from_secs(2);

/// A shared connection to a jump host, or the failure that those who waited for it share too.
#[derive(Default)]
enum Slot {
    #[default]
    Empty,
    Up(Arc<Master>),
    Failed(Instant, TransportError),
}

/// Opens connections by ssh(1). One connector per run: jump hosts' connections are shared within it.
pub struct OpensshConnector {
    place: Arc<ControlFolder>,
    /// The user's configuration, then the system's, where there are any.
    include: Vec<PathBuf>,
    /// Seconds without an exec after which a master ends by itself.
    idle: u32,
    /// The files of pins that were written: one for all hosts that are judged by the same.
    pins: Mutex<Vec<(Arc<KnownHosts>, PathBuf)>>,
    /// The agent that signs with the key of a file that was unlocked.
    agent: Arc<OnceLock<PathBuf>>,
    made: AtomicUsize,
    gates: Mutex<BTreeMap<String, Arc<Semaphore>>>,
    links: Mutex<BTreeMap<String, Arc<tokio::sync::Mutex<Slot>>>>,
    connections: Mutex<BTreeMap<HostName, u32>>,
}

impl Connector for OpensshConnector {
    fn connect<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, Result<Box<dyn Session>, TransportError>> {
        async move {
            let master = if target.shared {
                self.shared(&Jump::from(target), &target.jumps, target.connect_timeout).await?
            } else {
                let way = self.way(&target.jumps, target.fresh_jumps, target.connect_timeout).await?;
                self.enter(&Jump::from(target), way, target.connect_timeout).await?
            };
            Ok(Box::new(OpensshSession {
                is_root: target.user == UserName::root(),
                is_shared: target.shared,
                counts: Counts::default(),
                master,
            }) as Box<dyn Session>)
        }
        .boxed()
    }

    fn connections(&self) -> BTreeMap<HostName, u32> {
        lock(&self.connections).clone()
    }
}

impl OpensshConnector {
    /// With control sockets below `place`, and the settings of the configurations in `include`, which come after ours.
    /// Nothing is contacted yet.
    pub fn new(place: ControlFolder, include: Vec<PathBuf>) -> Self {
        Self {
            place: Arc::new(place),
            include,
            idle: IDLE,
            pins: Mutex::default(),
            agent: Arc::default(),
            made: AtomicUsize::new(0),
            gates: Mutex::default(),
            links: Mutex::default(),
            connections: Mutex::default(),
        }
    }

    /// With masters that end after so many seconds without an exec, where their palisade was killed.
    #[must_use]
    pub fn ending_after(self, idle: u32) -> Self {
        Self { idle, ..self }
    }

    /// Where the agent is named, once it serves, that signs with the key of a file which was unlocked.
    pub fn agent(&self) -> Arc<OnceLock<PathBuf>> {
        Arc::clone(&self.agent)
    }

    /// The file of the pins by which a host is judged.
    fn pins(&self, host_keys: &HostKeys) -> io::Result<PathBuf> {
        let HostKeys::Pinned(known) = host_keys else {
            let why = "first contact is made within this process (--transport russh)";
            return Err(io::Error::new(io::ErrorKind::Unsupported, why));
        };
        let mut written = lock(&self.pins);
        if let Some((_, path)) = written.iter().find(|(there, _)| Arc::ptr_eq(there, known)) {
            return Ok(path.clone());
        }
        let path = self.place.path().join(format!("pins.{}", written.len()));
        std::fs::write(&path, known.text())?;
        written.push((Arc::clone(known), path.clone()));
        Ok(path)
    }

    /// The connection to the innermost of `jumps`; none without any.
    fn way<'a>(
        &'a self,
        jumps: &'a [Jump],
        fresh: bool,
        within: Duration,
    ) -> BoxFuture<'a, Result<Option<Arc<Master>>, TransportError>> {
        async move {
            let Some((jump, before)) = jumps.split_last() else { return Ok(None) };
            if fresh {
                let way = self.way(before, true, within).await?;
                return self.enter(jump, way, within).await.map(Some);
            }
            self.shared(jump, before, within).await.map(Some)
        }
        .boxed()
    }

    /// The one connection to `jump` that all who stand behind it share.
    async fn shared(
        &self,
        jump: &Jump,
        before: &[Jump],
        within: Duration,
    ) -> Result<Arc<Master>, TransportError> {
        let asked = Instant::now();
        let slot = Arc::clone(lock(&self.links).entry(route(jump, before)).or_default());
        let mut slot = slot.lock().await;
        match &*slot {
            Slot::Up(master) if master.is_alive().await => return Ok(Arc::clone(master)),
            Slot::Failed(when, error) if *when > asked => return Err(error.clone()),
            _ => {}
        }
        let made = match self.way(before, false, within).await {
            Ok(way) => self.enter(jump, way, within).await,
            Err(error) => Err(error),
        };
        *slot = match &made {
            Ok(master) => Slot::Up(Arc::clone(master)),
            Err(error) => Slot::Failed(Instant::now(), error.clone()),
        };
        made
    }

    /// A new connection to `hop`, through `way` where there is one; tried again where the host drops us before it
    /// shows a key, as sshd does beyond `MaxStartups`.
    async fn enter(
        &self,
        hop: &Jump,
        way: Option<Arc<Master>>,
        within: Duration,
    ) -> Result<Arc<Master>, TransportError> {
        let gate = Arc::clone(
            lock(&self.gates)
                .entry(format!("{} {}", hop.address, hop.port))
                .or_insert_with(|| Arc::new(Semaphore::new(HANDSHAKES))),
        );
        refuse_undeclared(&hop.identity).await?;
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        let broken = |why: String| TransportError::Broken { host: hop.host.clone(), why };
        let file = self.pins(&hop.host_keys).and_then(|pins| {
            let ours = Ours { pins: &pins, agent: self.agent.get().map(PathBuf::as_path), within };
            config::write(&self.place, number, hop, &ours, way.as_deref(), &self.include)
        });
        let file =
            file.map_err(|error| broken(format!("ssh's configuration could not be written: {error}")))?;
        let mut backoff = BACKOFF;
        let mut attempt = 1;
        // Only a closed semaphore gives none, and nothing closes it.
        let _permit = gate.acquire().await.ok();
        let work = async {
            loop {
                *lock(&self.connections).entry(hop.host.clone()).or_default() += 1;
                let place = Arc::clone(&self.place);
                let error = match Master::start(place, &hop.host, &file, way.clone(), self.idle).await {
                    Ok(master) => return Ok(master),
                    Err(NotStarted::Said(said)) => said,
                    Err(NotStarted::Failed(error)) => return Err(broken(excerpt(&error.to_string(), 200))),
                };
                let on_the_way = way.as_deref().map(|way| (&way.host, way.said(&file)));
                let on_the_way = on_the_way.as_ref().map(|(host, said)| (*host, said.as_str()));
                match verdict::read(hop, &error, on_the_way, within) {
                    Fault::Final(error) => return Err(error),
                    // A host that is busy takes us later; one that hangs up on everybody does not.
                    Fault::Dropped { why, is_busy: false } if attempt >= ATTEMPTS => {
                        return Err(TransportError::Unreachable {
                            host: hop.host.clone(),
                            address: hop.address,
                            why: format!("{why}, {attempt} times"),
                        });
                    }
                    Fault::Dropped { .. } => {
                        sleep(backoff + jitter(backoff)).await;
                        backoff = LONGEST_BACKOFF.min(backoff * 2);
                        attempt += 1;
                    }
                }
            }
        };
        let made = timeout(within + GRACE, work).await.unwrap_or_else(|_| {
            let (host, seconds) = (hop.host.clone(), within.as_secs());
            Err(TransportError::TooSlow { host, what: "finish the handshake", seconds })
        });
        made.map(Arc::new)
    }
}

/// Names a jump host's connection: its address behind these jump hosts, and the account.
fn route(jump: &Jump, before: &[Jump]) -> String {
    let hop = |jump: &Jump| format!("{}@{}|{}", jump.user, jump.address, jump.port);
    before.iter().chain([jump]).map(hop).collect::<Vec<_>>().join(" ")
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
