//! Which one key is offered, and how it signs: by the agent, or in this process from a key file.
//!
//! Keys are never tried one after the other: sshd counts each as a failed attempt. Nothing is offered whose public half
//! is not declared. A passphrase is never asked for here: an encrypted key file works through an agent, which may be one
//! within this process.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use russh::client::{AuthResult, Handle};
use russh::keys::agent::AgentIdentity;
use russh::keys::agent::client::AgentClient;
use russh::keys::{HashAlg, PrivateKey, PrivateKeyWithHashAlg, decode_secret_key};
use tokio::net::UnixStream;

use super::client::Client;
use crate::domain::{KeyAlgorithm, PublicKey};
use crate::text::{excerpt, visible};
use crate::transport::{Identity, LockedKey, TransportError};

/// A key file larger than this is none. The largest RSA keys in use stay under 16 KiB.
const LARGEST_KEY_FILE: u64 = 64 << 10;

/// The key that will be offered, and what signs with it.
#[derive(Clone)]
pub(super) struct Offer {
    key: PublicKey,
    signer: Signer,
}

#[derive(Clone)]
enum Signer {
    File(Arc<PrivateKey>),
    /// The agent behind this socket. Each connection asks it anew, and for nothing but its signature.
    Agent(PathBuf),
}

/// The keys that were chosen in a run. Files are read, and agents asked what they hold, once: not for each host.
#[derive(Default)]
pub(super) struct Choices(tokio::sync::Mutex<Vec<(Identity, Result<Offer, TransportError>)>>);

impl Choices {
    /// The key for `identity`.
    pub(super) async fn choose(&self, identity: &Identity) -> Result<Offer, TransportError> {
        let mut made = self.0.lock().await;
        if let Some((_, choice)) = made.iter().find(|(known, _)| known == identity) {
            return choice.clone();
        }
        let choice = choose(identity).await;
        made.push((identity.clone(), choice.clone()));
        choice
    }
}

/// Why one offer did not lead to a session.
pub(super) enum Rejected {
    /// The host said no; what it takes instead.
    ByHost { takes: Vec<&'static str>, partial: bool },
    /// The agent did not sign, or the key cannot be used with this host.
    BySigner(String),
    /// The connection went away.
    Broken(String),
}

/// Chooses the key for `identity` before anything is sent to a host.
pub(super) async fn choose(identity: &Identity) -> Result<Offer, TransportError> {
    let no_identity = |why: String| TransportError::NoIdentity { why };
    match &identity.file {
        Some(path) => from_file(path, identity).await.map_err(no_identity),
        None => from_agent(identity).await.map_err(no_identity),
    }
}

/// The encrypted key that `identity` names, where nothing but its passphrase is missing.
pub(super) async fn locked(identity: &Identity) -> Result<Option<LockedKey>, TransportError> {
    let Some(path) = &identity.file else { return Ok(None) };
    // Whatever is wrong with the file is said by `choose`.
    let Ok(text) = read_key_file(path).await else { return Ok(None) };
    let Ok(KeyFile::Encrypted(private)) = parse_key_file(&text) else { return Ok(None) };
    let key = PublicKey::from_inner(private.public_key().clone());
    let is_declared = identity.declared.as_ref().is_none_or(|declared| declared.contains(&key));
    if !is_declared || matches!(key.algorithm(), KeyAlgorithm::Rsa(_)) {
        return Ok(None);
    }
    if let Some(socket) = &identity.agent
        && ask_agent(socket).await.is_ok_and(|held| held.contains(&key))
    {
        return Ok(None);
    }
    refuse_open_mode(path).await.map_err(|why| TransportError::NoIdentity {
        why: format!("{}: {why}", visible(&path.to_string_lossy())),
    })?;
    Ok(Some(LockedKey::new(path.clone(), Arc::unwrap_or_clone(private))))
}

async fn from_agent(identity: &Identity) -> Result<Offer, String> {
    let Some(declared) = &identity.declared else {
        return Err("no key file was given; name one with --identity FILE".to_owned());
    };
    if declared.is_empty() {
        return Err("no key is declared for the account in the inventory".to_owned());
    }
    let Some(socket) = &identity.agent else {
        return Err("neither an agent (SSH_AUTH_SOCK) nor --identity FILE was given".to_owned());
    };
    let held = ask_agent(socket).await?;
    let Some(key) = declared.iter().find(|key| held.contains(key)) else {
        return Err(format!(
            "the agent holds {} key(s), none of them declared for the account ({}); add one with `ssh-add FILE`, or \
             name it with --identity FILE",
            held.len(),
            fingerprints(declared),
        ));
    };
    Ok(Offer { key: key.clone(), signer: Signer::Agent(socket.clone()) })
}

async fn from_file(path: &Path, identity: &Identity) -> Result<Offer, String> {
    let shown = visible(&path.to_string_lossy());
    let text = read_key_file(path).await.map_err(|why| format!("{shown}: {why}"))?;
    let file = parse_key_file(&text).map_err(|why| format!("{shown}: {why}"))?;
    let key = file.public();
    if let Some(declared) = &identity.declared {
        declares(declared, &key, &shown)?;
    }
    let why_agent = match file {
        KeyFile::Private(private) if !matches!(key.algorithm(), KeyAlgorithm::Rsa(_)) => {
            refuse_open_mode(path).await.map_err(|why| format!("{shown}: {why}"))?;
            return Ok(Offer { key, signer: Signer::File(private) });
        }
        KeyFile::Private(_) => "an RSA key file is used through the agent only",
        KeyFile::Encrypted(_) => {
            "the key is protected by a passphrase, which is asked for at a terminal alone; elsewhere an agent holds it"
        }
        KeyFile::Public(_) => "it is a public key, whose private half only an agent can hold",
    };
    let Some(socket) = &identity.agent else {
        return Err(format!("{shown}: {why_agent}; start one with `eval $(ssh-agent)`, then `ssh-add FILE`"));
    };
    let held = ask_agent(socket).await?;
    if held.contains(&key) {
        Ok(Offer { key, signer: Signer::Agent(socket.clone()) })
    } else {
        Err(format!("{shown}: {why_agent}, and the agent does not hold it; add it with `ssh-add FILE`"))
    }
}

/// Refuses the file in `identity` where its key is not declared, or cannot be told: for who offers it without reading it.
pub(in crate::transport) async fn refuse_undeclared(identity: &Identity) -> Result<(), TransportError> {
    let (Some(path), Some(declared)) = (&identity.file, &identity.declared) else { return Ok(()) };
    let shown = visible(&path.to_string_lossy());
    let no_identity = |why: String| TransportError::NoIdentity { why };
    let text = read_key_file(path).await.map_err(|why| no_identity(format!("{shown}: {why}")))?;
    let key = match parse_key_file(&text) {
        Ok(file) => file.public(),
        // In a format that only ssh itself reads; the public half stands beside it.
        Err(why) => {
            let beside = read_key_file(&path.with_added_extension("pub")).await.ok();
            let beside = beside.and_then(|text| text.trim().parse().ok());
            beside.ok_or_else(|| no_identity(format!("{shown}: {why}")))?
        }
    };
    declares(declared, &key, &shown).map_err(no_identity)
}

/// Refuses the `key` in the file `shown` where it is none of those.
fn declares(declared: &[PublicKey], key: &PublicKey, shown: &str) -> Result<(), String> {
    if declared.contains(key) {
        return Ok(());
    }
    Err(format!(
        "{shown} holds {}, which is not declared for the account ({}); declare its .pub line in the inventory, or name \
         another file",
        key.fingerprint(),
        fingerprints(declared),
    ))
}

enum KeyFile {
    Public(PublicKey),
    Encrypted(Arc<PrivateKey>),
    Private(Arc<PrivateKey>),
}

impl KeyFile {
    fn public(&self) -> PublicKey {
        match self {
            Self::Public(key) => key.clone(),
            Self::Encrypted(private) | Self::Private(private) => {
                PublicKey::from_inner(private.public_key().clone())
            }
        }
    }
}

async fn read_key_file(path: &Path) -> Result<String, String> {
    let size = tokio::fs::metadata(path).await.map_err(|error| error.to_string())?.len();
    if size > LARGEST_KEY_FILE {
        return Err(format!("{size} bytes are more than a key file has"));
    }
    tokio::fs::read_to_string(path).await.map_err(|error| error.to_string())
}

fn parse_key_file(text: &str) -> Result<KeyFile, String> {
    if !text.contains("PRIVATE KEY") {
        return text
            .trim()
            .parse()
            .map(KeyFile::Public)
            .map_err(|_| "neither a private key nor one line of a .pub file".to_owned());
    }
    // OpenSSH's own format shows the public half even where the private one is encrypted.
    let private = match PrivateKey::from_openssh(text) {
        Ok(private) => private,
        Err(_) => decode_secret_key(text, None).map_err(|error| match error {
            russh::keys::Error::KeyIsEncrypted => {
                "the key is protected by a passphrase in an old format; give the .pub file instead, and add the key \
                 to the agent with `ssh-add FILE`"
                    .to_owned()
            }
            error => format!("the private key cannot be read: {}", excerpt(&error.to_string(), 120)),
        })?,
    };
    let is_encrypted = private.is_encrypted();
    let private = Arc::new(private);
    Ok(if is_encrypted { KeyFile::Encrypted(private) } else { KeyFile::Private(private) })
}

/// As ssh(1) does: a private key that others can read is not used.
async fn refuse_open_mode(path: &Path) -> Result<(), String> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode =
        tokio::fs::metadata(path).await.map_err(|error| error.to_string())?.permissions().mode() & 0o777;
    if mode.trailing_zeros() >= 6 {
        Ok(())
    } else {
        Err(format!("the private key is open to others (mode {mode:04o}); run `chmod 600` on it"))
    }
}

async fn reach_agent(socket: &Path) -> Result<AgentClient<UnixStream>, String> {
    AgentClient::connect_uds(socket).await.map_err(|error| {
        let shown = visible(&socket.to_string_lossy());
        format!("the agent at {shown} does not answer: {}", excerpt(&error.to_string(), 120))
    })
}

async fn ask_agent(socket: &Path) -> Result<Vec<PublicKey>, String> {
    let shown = visible(&socket.to_string_lossy());
    let mut agent = reach_agent(socket).await?;
    let held = agent.request_identities().await.map_err(|error| {
        format!("the agent at {shown} lists no keys: {}", excerpt(&error.to_string(), 120))
    })?;
    let held = held
        .into_iter()
        .filter_map(|identity| match identity {
            AgentIdentity::PublicKey { key, .. } => Some(PublicKey::from_inner(key)),
            AgentIdentity::Certificate { .. } => None,
        })
        .collect();
    Ok(held)
}

fn fingerprints(keys: &[PublicKey]) -> String {
    let list: Vec<String> = keys.iter().map(|key| key.fingerprint().to_string()).collect();
    if list.is_empty() { "none is".to_owned() } else { list.join(", ") }
}

impl Offer {
    /// `SHA256:… (comment)`.
    pub(super) fn describe(&self) -> String {
        let print = self.key.fingerprint();
        match self.key.comment() {
            "" => print.to_string(),
            comment => format!("{print} ({})", excerpt(comment, 60)),
        }
    }

    /// One attempt.
    pub(super) async fn authenticate(self, handle: &mut Handle<Client>, user: &str) -> Result<(), Rejected> {
        let result = match self.signer {
            Signer::File(private) => handle
                .authenticate_publickey(user, PrivateKeyWithHashAlg::new(private, None))
                .await
                .map_err(|error| Rejected::Broken(excerpt(&error.to_string(), 120)))?,
            Signer::Agent(socket) => {
                let mut agent = reach_agent(&socket).await.map_err(Rejected::BySigner)?;
                let hash = rsa_hash(&self.key, handle).await?;
                // Keys that are bound to destinations show themselves to a bound connection only; other agents may
                // not know the extension, and need not.
                if let Some(binding) = handle.agent_session_binding() {
                    let _ = agent.bind_session(binding, false).await;
                }
                handle
                    .authenticate_publickey_with(user, self.key.inner().clone(), hash, &mut agent)
                    .await
                    .map_err(|error| {
                        Rejected::BySigner(format!(
                            "the agent did not sign: {}",
                            excerpt(&error.to_string(), 120)
                        ))
                    })?
            }
        };
        match result {
            AuthResult::Success => Ok(()),
            AuthResult::Failure { remaining_methods, .. }
                if remaining_methods.is_empty() && handle.is_closed() =>
            {
                Err(Rejected::Broken("it closed the connection during authentication".to_owned()))
            }
            AuthResult::Failure { remaining_methods, partial_success } => Err(Rejected::ByHost {
                takes: remaining_methods.iter().map(Into::into).collect(),
                partial: partial_success,
            }),
        }
    }
}

/// The hash for an RSA key's signature, by what the host announced; none for other keys.
async fn rsa_hash(key: &PublicKey, handle: &Handle<Client>) -> Result<Option<HashAlg>, Rejected> {
    if !matches!(key.algorithm(), KeyAlgorithm::Rsa(_)) {
        return Ok(None);
    }
    match handle.best_supported_rsa_hash().await {
        Ok(Some(None)) => Err(Rejected::BySigner("the host takes RSA keys with SHA-1 only".to_owned())),
        Ok(Some(hash)) => Ok(hash),
        Ok(None) => Ok(Some(HashAlg::Sha512)),
        Err(error) => Err(Rejected::Broken(excerpt(&error.to_string(), 120))),
    }
}
