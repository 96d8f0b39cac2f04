//! What russh asks us during a connection, and the algorithms that we offer.
//!
//! The host key is judged here, before anything of ours is sent. What the host says in words (banner, reason to
//! disconnect) is kept for error messages, made visible. Channels that a host opens towards us are refused.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use russh::client::{ChannelOpenHandle, Config, DisconnectReason, Handler, Msg, Session};
use russh::keys::{Algorithm, PublicKeyOrCertificate};
use russh::{Channel, Preferred, cipher, compression, kex, mac};
use tokio::sync::watch;

use crate::domain::{HostName, PublicKey};
use crate::known_hosts::Judgement;
use crate::text::excerpt;
use crate::transport::HostKeys;

/// Post-quantum hybrid first, then Curve25519; nothing on NIST curves, no finite-field groups, no SHA-1. The last two
/// names are no algorithms: they announce RFC 8308 and strict key exchange (CVE-2023-48795).
const KEX: &[kex::Name] = &[
    kex::MLKEM768X25519_SHA256,
    kex::CURVE25519,
    kex::CURVE25519_PRE_RFC_8731,
    kex::EXTENSION_SUPPORT_AS_CLIENT,
    kex::EXTENSION_OPENSSH_STRICT_KEX_AS_CLIENT,
];

/// Ed25519 alone. RSA host keys would need russh's `rsa` feature, whose crate has an open timing advisory
/// (RUSTSEC-2023-0071); every Debian host has an Ed25519 key unless somebody removed it.
const HOST_KEYS: &[Algorithm] = &[Algorithm::Ed25519];

const CIPHERS: &[cipher::Name] = &[
    cipher::CHACHA20_POLY1305,
    cipher::AES_256_GCM,
    cipher::AES_128_GCM,
    cipher::AES_256_CTR,
    cipher::AES_128_CTR,
];

/// Encrypt-then-MAC only.
const MACS: &[mac::Name] = &[mac::HMAC_SHA512_ETM, mac::HMAC_SHA256_ETM];

const UNCOMPRESSED: &[compression::Name] = &[compression::NONE];

/// A dead peer is noticed after four intervals without any sign of life.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// One configuration for all connections.
pub(super) fn config() -> Arc<Config> {
    Arc::new(Config {
        preferred: Preferred {
            kex: Cow::Borrowed(KEX),
            key: Cow::Borrowed(HOST_KEYS),
            host_key_certificates: Cow::Borrowed(&[]),
            cipher: Cow::Borrowed(CIPHERS),
            mac: Cow::Borrowed(MACS),
            compression: Cow::Borrowed(UNCOMPRESSED),
        },
        keepalive_interval: Some(KEEPALIVE),
        keepalive_max: 3,
        inactivity_timeout: None,
        nodelay: true,
        ..Config::default()
    })
}

/// What a connection saw. Shared with russh's task.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// The key that the host proved to hold.
    pub(super) key: Option<PublicKey>,
    /// Why that key was not accepted.
    pub(super) refusal: Option<Judgement>,
    /// Its banner, visible and cut.
    pub(super) banner: Option<String>,
    /// Why the connection ended, visible and cut.
    pub(super) ended: Option<String>,
}

/// Shared with russh's task.
pub(super) type SharedSeen = Arc<Mutex<Seen>>;

/// Runs `with` on what was seen.
pub(super) fn seen<T>(shared: &SharedSeen, with: impl FnOnce(&mut Seen) -> T) -> T {
    with(&mut shared.lock().unwrap_or_else(PoisonError::into_inner))
}

/// How host keys are judged on one connection.
#[derive(Debug, Clone)]
pub(super) enum Policy {
    /// By the pins or the confirmed fingerprint.
    Judge(HostKeys),
    /// The key is taken down and the connection ends there: [`super::RusshConnector::scan_host_key`].
    TakeDown,
}

/// Our end of russh's callbacks.
pub(super) struct Client {
    host: HostName,
    policy: Policy,
    seen: SharedSeen,
    /// Dropped with the client, when russh's task has shut the socket: that is how `close` knows.
    _alive: watch::Sender<()>,
}

impl Client {
    pub(super) fn new(host: HostName, policy: Policy, seen: SharedSeen, alive: watch::Sender<()>) -> Self {
        Self { host, policy, seen, _alive: alive }
    }
}

/// A host has no business to open channels towards us: dropping the reply refuses them.
macro_rules! refuse_channels {
    ($($name:ident($($detail:ty),*))*) => {
        $(async fn $name(
            &mut self,
            _: Channel<Msg>,
            $(_: $detail,)*
            _: ChannelOpenHandle,
            _: &mut Session,
        ) -> Result<(), Self::Error> {
            Ok(())
        })*
    };
}

impl Handler for Client {
    type Error = russh::Error;

    async fn check_server_key(&mut self, shown: &PublicKeyOrCertificate) -> Result<bool, Self::Error> {
        let PublicKeyOrCertificate::PublicKey { key, .. } = shown else { return Ok(false) };
        let key = PublicKey::from_inner(key.clone());
        let judgement = match &self.policy {
            Policy::TakeDown => None,
            Policy::Judge(HostKeys::Pinned(known)) => Some(known.judge(self.host.as_str(), &key)),
            Policy::Judge(HostKeys::Confirmed(print)) if key.fingerprint() == *print => {
                Some(Judgement::Accepted)
            }
            Policy::Judge(HostKeys::Confirmed(_)) => Some(Judgement::Changed),
        };
        let accepted = judgement == Some(Judgement::Accepted);
        seen(&self.seen, |seen| {
            seen.key = Some(key);
            seen.refusal = judgement.filter(|_| !accepted);
        });
        Ok(accepted)
    }

    async fn auth_banner(&mut self, banner: &str, _: &mut Session) -> Result<(), Self::Error> {
        seen(&self.seen, |seen| seen.banner = Some(excerpt(banner, 200)));
        Ok(())
    }

    async fn disconnected(&mut self, reason: DisconnectReason<Self::Error>) -> Result<(), Self::Error> {
        let reason = match reason {
            DisconnectReason::ReceivedDisconnect(info) => {
                format!("the host ended it: {}", excerpt(&info.message, 200))
            }
            DisconnectReason::Error(russh::Error::KeepaliveTimeout) => {
                "no sign of life for a minute".to_owned()
            }
            DisconnectReason::Error(error) => excerpt(&error.to_string(), 200),
        };
        seen(&self.seen, |seen| seen.ended = Some(reason));
        Ok(())
    }

    refuse_channels! {
        server_channel_open_forwarded_tcpip(&str, u32, &str, u32)
        server_channel_open_forwarded_streamlocal(&str)
        server_channel_open_agent_forward()
        server_channel_open_session()
        server_channel_open_direct_tcpip(&str, u32, &str, u32)
        server_channel_open_direct_streamlocal(&str)
        server_channel_open_x11(&str, u32)
    }
}
