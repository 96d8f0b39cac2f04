//! SSH in this process: what [`crate::transport`] promises, over the crate russh.
//!
//! A connection is TCP (or a channel through a jump host), a handshake with the few algorithms that we accept, the
//! host key's judgement, and one authentication attempt with one key. A host that drops us in the handshake, as sshd
//! does beyond `MaxStartups`, is tried again within the time allowed; every other failure is final at once. The user's
//! ssh configuration is not read.

#![expect(clippy::disallowed_methods, reason = "who waited for a jump host that failed is told by the clock")]

mod client;
mod identity;
mod route;
mod session;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use ::russh::AlgorithmKind;
use ::russh::client::{Config, Handle, connect_stream};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use self::client::{Client, Policy, SharedSeen, config, seen};
pub(super) use self::identity::refuse_undeclared;
use self::identity::{Choices, Rejected};
use self::route::{Hop, Link, Routes, Slot, open};
use self::session::RusshSession;
use super::exec::Counts;
use super::{
    ATTEMPTS, BACKOFF, Connector, Identity, Jump, LONGEST_BACKOFF, LockedKey, Session, Target,
    TransportError, jitter,
};
use crate::domain::{HostName, PublicKey, UserName};
use crate::known_hosts::Judgement;
use crate::text::excerpt;

/// Opens connections over russh. One connector per run: jump hosts' connections are shared within it.
pub struct RusshConnector {
    config: Arc<Config>,
    routes: Routes,
    choices: Choices,
}

impl Default for RusshConnector {
    fn default() -> Self {
        Self::new()
    }
}

/// A handshake that succeeded.
struct Shaken {
    handle: Handle<Client>,
    seen: SharedSeen,
    alive: watch::Receiver<()>,
    connections: u32,
}

impl Shaken {
    fn link(self, host: &HostName, way: Option<Arc<Link>>) -> Link {
        Link { host: host.clone(), handle: self.handle, seen: self.seen, alive: self.alive, _way: way }
    }
}

/// How a handshake ended without success.
enum Fault {
    /// The host dropped us before it showed a key: it may take us a moment later.
    Dropped(String),
    Final(TransportError),
}

/// What is under way, for the message when time runs out.
#[derive(Debug, Clone, Copy)]
enum Stage {
    Server,
    Reach,
    Handshake,
    Proof,
}

/// The stage that a connection is in.
struct Progress(Mutex<Stage>);

impl Progress {
    fn new() -> Self {
        Self(Mutex::new(Stage::Server))
    }

    fn enter(&self, stage: Stage) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = stage;
    }

    fn stage(&self) -> Stage {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The result of `work`, or of running out of the target's time.
async fn in_time<T>(
    target: &Target,
    progress: &Progress,
    work: impl Future<Output = Result<T, TransportError>>,
) -> Result<T, TransportError> {
    let seconds = target.connect_timeout.as_secs();
    let unreachable =
        |why| Err(TransportError::Unreachable { host: target.host.clone(), address: target.address, why });
    let slow = |what| Err(TransportError::TooSlow { host: target.host.clone(), what, seconds });
    timeout(target.connect_timeout, work).await.unwrap_or_else(|_| match progress.stage() {
        Stage::Server => unreachable(format!("its jump host took more than {seconds} s")),
        Stage::Reach => unreachable(format!("port {}: no answer within {seconds} s", target.port)),
        Stage::Handshake => slow("finish the handshake"),
        Stage::Proof => slow("finish the authentication"),
    })
}

impl Connector for RusshConnector {
    fn connect<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, Result<Box<dyn Session>, TransportError>> {
        async move {
            let progress = Progress::new();
            let session = in_time(target, &progress, self.open_session(target, &progress)).await?;
            Ok(Box::new(session) as Box<dyn Session>)
        }
        .boxed()
    }

    fn connections(&self) -> BTreeMap<HostName, u32> {
        self.routes.connections()
    }
}

impl RusshConnector {
    /// Nothing is contacted yet.
    pub fn new() -> Self {
        Self { config: config(), routes: Routes::default(), choices: Choices::default() }
    }

    /// Whether `identity` has a key that can be offered, before anything is contacted.
    pub async fn check_identity(identity: &Identity) -> Result<(), TransportError> {
        identity::choose(identity).await.map(drop)
    }

    /// The key of the file in `identity`, where a passphrase protects it, it may be offered, and the agent does not hold
    /// it: what [`KeyAgent`](super::KeyAgent) serves once it is unlocked. An RSA key is none, for it is not signed with here.
    pub async fn locked_key(identity: &Identity) -> Result<Option<LockedKey>, TransportError> {
        identity::locked(identity).await
    }

    /// TCP connections to each jump host so far, shared and fresh ones alike.
    pub fn jump_connections(&self) -> BTreeMap<HostName, u32> {
        self.routes.jump_connections()
    }

    /// First contact: the key that the host at `target` holds, as it proves in the handshake. Nothing is offered to it
    /// and it is not judged (`target.host_keys` is not looked at); jump hosts on the way are.
    pub async fn scan_host_key(&self, target: &Target) -> Result<PublicKey, TransportError> {
        let progress = Progress::new();
        in_time(target, &progress, self.scan(target, &progress)).await
    }

    async fn scan(&self, target: &Target, progress: &Progress) -> Result<PublicKey, TransportError> {
        let link = self.way(&target.jumps, target.fresh_jumps).await?;
        let hop = Hop::from(target);
        let _permit = self.routes.permit(hop, &target.jumps).await;
        let mut taken = None;
        let shaken = self.shake(hop, link.as_deref(), &Policy::TakeDown, progress, &mut taken).await;
        match (taken, shaken) {
            (Some(key), _) => Ok(key),
            (None, Err(error)) => Err(error),
            (None, Ok(_)) => Err(TransportError::Broken {
                host: target.host.clone(),
                why: "it went on without showing a host key".to_owned(),
            }),
        }
    }

    async fn open_session(
        &self,
        target: &Target,
        progress: &Progress,
    ) -> Result<RusshSession, TransportError> {
        let is_root = target.user == UserName::root();
        let session = |link, connections| RusshSession {
            link,
            is_root,
            is_shared: target.shared,
            connections,
            counts: Counts::default(),
        };
        if target.shared {
            progress.enter(Stage::Reach);
            return Ok(session(self.shared(&Jump::from(target), &target.jumps).await?, 0));
        }
        let way = self.way(&target.jumps, target.fresh_jumps).await?;
        let shaken = self.enter(Hop::from(target), &target.jumps, way.as_deref(), progress).await?;
        let connections = shaken.connections;
        Ok(session(Arc::new(shaken.link(&target.host, way)), connections))
    }

    /// The connection to the innermost of `jumps`; none without any.
    fn way<'a>(
        &'a self,
        jumps: &'a [Jump],
        fresh: bool,
    ) -> BoxFuture<'a, Result<Option<Arc<Link>>, TransportError>> {
        async move {
            let Some((jump, before)) = jumps.split_last() else { return Ok(None) };
            if fresh {
                self.link(jump, before, true).await.map(Some)
            } else {
                self.shared(jump, before).await.map(Some)
            }
        }
        .boxed()
    }

    /// The one connection to `jump`, behind `before`, that all who stand behind it share.
    async fn shared(&self, jump: &Jump, before: &[Jump]) -> Result<Arc<Link>, TransportError> {
        let asked = Instant::now();
        let slot = self.routes.slot(jump, before);
        let mut slot = slot.lock().await;
        match &*slot {
            Slot::Up(link) if !link.handle.is_closed() => return Ok(Arc::clone(link)),
            Slot::Failed(when, error) if *when > asked => return Err(error.clone()),
            _ => {}
        }
        let made = self.link(jump, before, false).await;
        *slot = match &made {
            Ok(link) => Slot::Up(Arc::clone(link)),
            Err(error) => Slot::Failed(Instant::now(), error.clone()),
        };
        made
    }

    async fn link(&self, jump: &Jump, before: &[Jump], fresh: bool) -> Result<Arc<Link>, TransportError> {
        let way = self.way(before, fresh).await?;
        let progress = Progress::new();
        let shaken = self.enter(Hop::from(jump), before, way.as_deref(), &progress).await?;
        self.routes.count_jump(&jump.host, shaken.connections);
        Ok(Arc::new(shaken.link(&jump.host, way)))
    }

    /// Handshake and authentication.
    async fn enter(
        &self,
        hop: Hop<'_>,
        before: &[Jump],
        link: Option<&Link>,
        progress: &Progress,
    ) -> Result<Shaken, TransportError> {
        let offer = self.choices.choose(hop.identity).await?;
        let offered = offer.describe();
        let _permit = self.routes.permit(hop, before).await;
        let policy = Policy::Judge(hop.host_keys.clone());
        let mut shaken = self.shake(hop, link, &policy, progress, &mut None).await?;
        progress.enter(Stage::Proof);
        let proved = offer.authenticate(&mut shaken.handle, hop.user.as_str()).await;
        proved.map(|()| shaken).map_err(|rejected| refused(hop, &offered, rejected))
    }

    /// A handshake, tried again where the host drops us before it shows a key. `taken` is the key that it showed.
    async fn shake(
        &self,
        hop: Hop<'_>,
        link: Option<&Link>,
        policy: &Policy,
        progress: &Progress,
        taken: &mut Option<PublicKey>,
    ) -> Result<Shaken, TransportError> {
        let mut backoff = BACKOFF;
        let mut attempt = 1;
        loop {
            progress.enter(Stage::Reach);
            let stream = open(hop, link).await?;
            self.routes.count(hop.host);
            progress.enter(Stage::Handshake);
            let shared = SharedSeen::default();
            let (sender, alive) = watch::channel(());
            let client = Client::new(hop.host.clone(), policy.clone(), Arc::clone(&shared), sender);
            let error = match connect_stream(Arc::clone(&self.config), stream, client).await {
                Ok(handle) => return Ok(Shaken { handle, seen: shared, alive, connections: attempt }),
                Err(error) => error,
            };
            *taken = seen(&shared, |seen| seen.key.clone());
            match handshake_fault(hop, &shared, &error) {
                Fault::Final(error) => return Err(error),
                // A host that is busy takes us later; one that hangs up on everybody does not.
                Fault::Dropped(why) if attempt >= ATTEMPTS && !why.contains("MaxStartups") => {
                    return Err(TransportError::Unreachable {
                        host: hop.host.clone(),
                        address: hop.address,
                        why: format!("{why}, {attempt} times"),
                    });
                }
                Fault::Dropped(_) => {
                    sleep(backoff + jitter(backoff)).await;
                    backoff = LONGEST_BACKOFF.min(backoff * 2);
                    attempt += 1;
                }
            }
        }
    }
}

fn handshake_fault(hop: Hop<'_>, shared: &SharedSeen, error: &::russh::Error) -> Fault {
    use ::russh::Error as E;
    let host = || hop.host.clone();
    let (key, refusal) = seen(shared, |seen| (seen.key.clone(), seen.refusal));
    if let (Some(key), Some(refusal)) = (&key, refusal) {
        let shown = key.fingerprint();
        return Fault::Final(match refusal {
            Judgement::Unknown => TransportError::KeyUnknown { host: host(), shown },
            Judgement::Revoked => TransportError::KeyRevoked { host: host(), shown },
            Judgement::Changed | Judgement::Accepted => TransportError::KeyChanged { host: host(), shown },
        });
    }
    let unsupported =
        |why: String| Fault::Final(TransportError::Unsupported { host: host(), address: hop.address, why });
    match error {
        E::NoCommonAlgo { kind: AlgorithmKind::Key, theirs, .. } => unsupported(format!(
            "it has no ssh-ed25519 host key, only {}; make one on it with `ssh-keygen -A`, then restart its ssh service",
            excerpt(&theirs.join(", "), 200),
        )),
        E::NoCommonAlgo { kind, ours, theirs } => unsupported(format!(
            "no {kind:?} algorithm in common: it offers {}; accepted are {}",
            excerpt(&theirs.join(", "), 300),
            ours.join(", "),
        )),
        E::Version => unsupported("what answers there does not speak SSH 2".to_owned()),
        E::IO(_) | E::HUP | E::Disconnect if key.is_none() => {
            let ended = seen(shared, |seen| seen.ended.clone());
            Fault::Dropped(
                ended.unwrap_or_else(|| "it closed the connection during the handshake".to_owned()),
            )
        }
        error => Fault::Final(TransportError::Broken {
            host: host(),
            why: format!("in the handshake: {}", excerpt(&error.to_string(), 200)),
        }),
    }
}

fn refused(hop: Hop<'_>, offered: &str, rejected: Rejected) -> TransportError {
    let host = hop.host.clone();
    match rejected {
        Rejected::ByHost { takes, partial } => {
            let takes = if takes.is_empty() { "nothing more".to_owned() } else { takes.join(", ") };
            let why = if partial {
                format!("it took {offered}, and wants another proof besides ({takes})")
            } else {
                format!("it was offered {offered}; it takes {takes}")
            };
            TransportError::Refused { host, user: hop.user.clone(), why }
        }
        Rejected::BySigner(why) => TransportError::NoIdentity { why: format!("{offered}: {why}") },
        Rejected::Broken(why) => TransportError::Broken { host, why },
    }
}
