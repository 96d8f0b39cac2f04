//! An agent within this process, for the key of one file that a person unlocked. It serves both transports: ssh(1) can be
//! given a key in no other way without writing it down.
//!
//! The key is in this process's memory alone, and is wiped when the agent ends, which is with its value. The socket lies
//! in a folder that nobody else may enter, and answers nobody but this account. What is signed for whoever asks there is a
//! proof of an account to a host and nothing else: no message, no commit. Keys are neither added nor shown. Messages are
//! signed for this process alone, which asks the value and not the socket.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use russh::keys::signature::Signer as _;
use russh::keys::ssh_key::LineEnding;
use russh::keys::{HashAlg, PrivateKey};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::oneshot;

use super::ControlFolder;

/// What an agent is asked and answers (draft-ietf-sshm-ssh-agent, section 6.1).
const FAILURE: u8 = 5;
const REQUEST_IDENTITIES: u8 = 11;
const IDENTITIES_ANSWER: u8 = 12;
const SIGN_REQUEST: u8 = 13;
const SIGN_RESPONSE: u8 = 14;

/// The message that a proof of an account is made over (RFC 4252, section 7).
const USERAUTH_REQUEST: u8 = 50;

/// A proof of an account is some hundred bytes long; with a certificate, some thousand.
const LONGEST_REQUEST: usize = 64 << 10;

/// The private key of a file, protected by a passphrase.
pub struct LockedKey {
    file: PathBuf,
    private: PrivateKey,
}

/// It, unlocked. Wiped when it is dropped.
pub struct UnlockedKey(PrivateKey);

impl LockedKey {
    pub(super) fn new(file: PathBuf, private: PrivateKey) -> Self {
        Self { file, private }
    }

    /// Where it lies.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// None where that is not its passphrase. Takes a good part of a second: that is what protects it.
    pub fn unlock(&self, passphrase: &[u8]) -> Option<UnlockedKey> {
        self.private.decrypt(passphrase).ok().map(UnlockedKey)
    }
}

/// The agent. Its socket goes with it.
pub struct KeyAgent {
    held: Arc<Held>,
    socket: PathBuf,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    _place: ControlFolder,
}

impl KeyAgent {
    /// Serves `key` on a socket in `place`, in a thread of its own, from now on.
    pub fn serve(place: ControlFolder, key: UnlockedKey) -> io::Result<Self> {
        let blob = key.0.public_key().to_bytes().map_err(io::Error::other)?;
        let socket = place.path().join("agent");
        let listener = std::os::unix::net::UnixListener::bind(&socket)?;
        listener.set_nonblocking(true)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel();
        let held = Arc::new(Held { key: key.0, blob });
        let served = Arc::clone(&held);
        let thread = std::thread::Builder::new().name("agent".to_owned()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    _ = stopped => {}
                    () = accept(listener, served) => {}
                }
            });
        })?;
        Ok(Self { held, socket, stop: Some(stop), thread: Some(thread), _place: place })
    }

    /// The signature of `bytes` for `namespace`, as `ssh-keygen -Y sign` makes it (OpenSSH's PROTOCOL.sshsig).
    pub fn sign(&self, namespace: &str, bytes: &[u8]) -> io::Result<Vec<u8>> {
        let signature = self.held.key.sign(namespace, HashAlg::Sha512, bytes).map_err(io::Error::other)?;
        signature.to_pem(LineEnding::LF).map(String::into_bytes).map_err(io::Error::other)
    }

    /// Where it listens.
    pub fn socket(&self) -> &Path {
        &self.socket
    }
}

/// Without the key.
impl fmt::Debug for KeyAgent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyAgent").field("socket", &self.socket).finish_non_exhaustive()
    }
}

impl Drop for KeyAgent {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

struct Held {
    key: PrivateKey,
    blob: Vec<u8>,
}

async fn accept(listener: std::os::unix::net::UnixListener, held: Arc<Held>) {
    let Ok(listener) = UnixListener::from_std(listener) else { return };
    let ours = rustix::process::geteuid().as_raw();
    loop {
        match listener.accept().await {
            Ok((stream, _)) if stream.peer_cred().is_ok_and(|peer| peer.uid() == ours) => {
                tokio::spawn(serve(stream, Arc::clone(&held)));
            }
            Ok(_) => {}
            // There are no more files to be had for a while.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

/// Answers one client until it goes, or says something that is no request.
async fn serve(mut stream: UnixStream, held: Arc<Held>) {
    loop {
        let Ok(length) = stream.read_u32().await else { return };
        let Some(length) = usize::try_from(length).ok().filter(|length| *length <= LONGEST_REQUEST) else {
            return;
        };
        let mut request = vec![0; length];
        if stream.read_exact(&mut request).await.is_err() {
            return;
        }
        let answer = held.answer(&request).unwrap_or_else(|| vec![FAILURE]);
        if stream.write_all(&string(&answer)).await.is_err() {
            return;
        }
    }
}

impl Held {
    /// None where it is not for this agent.
    fn answer(&self, request: &[u8]) -> Option<Vec<u8>> {
        let mut request = Reader(request);
        match request.byte()? {
            REQUEST_IDENTITIES => {
                let comment = self.key.comment().as_bytes();
                Some([&[IDENTITIES_ANSWER, 0, 0, 0, 1], &*string(&self.blob), &string(comment)].concat())
            }
            SIGN_REQUEST if request.string()? == self.blob => {
                let data = request.string()?;
                if !self.proves_an_account(data)? {
                    return None;
                }
                let signature = self.key.try_sign(data).ok()?;
                let algorithm = signature.algorithm();
                let signature =
                    [string(algorithm.as_str().as_bytes()), string(signature.as_bytes())].concat();
                Some([&[SIGN_RESPONSE], &*string(&signature)].concat())
            }
            _ => None,
        }
    }

    /// Whether `data` is what a client signs to enter a host with this key: by RFC 4252, section 7, or by OpenSSH's
    /// `publickey-hostbound-v00@openssh.com`, which names the host's key besides.
    fn proves_an_account(&self, data: &[u8]) -> Option<bool> {
        let mut data = Reader(data);
        let _session = data.string()?;
        let is_request = data.byte()? == USERAUTH_REQUEST;
        let _user = data.string()?;
        let service = data.string()?;
        let method = data.string()?;
        let is_signed = data.byte()? == 1;
        let _algorithm = data.string()?;
        let blob = data.string()?;
        let is_bound = method == b"publickey-hostbound-v00@openssh.com";
        if is_bound {
            data.string()?;
        }
        let is_whole = data.0.is_empty();
        Some(
            is_request
                && service == b"ssh-connection"
                && (is_bound || method == b"publickey")
                && is_signed
                && blob == self.blob
                && is_whole,
        )
    }
}

/// `bytes` with their length before them (RFC 4251, section 5).
fn string(bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    [&length.to_be_bytes(), bytes].concat()
}

/// What is left to read of a message.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn string(&mut self) -> Option<&'a [u8]> {
        let (length, rest) = self.0.split_first_chunk::<4>()?;
        let (text, rest) = rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
        self.0 = rest;
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use russh::keys::ssh_key::private::Ed25519Keypair;

    use super::*;

    fn held() -> Held {
        let key = PrivateKey::from(Ed25519Keypair::from_seed(&[7; 32]));
        let blob = key.public_key().to_bytes().unwrap();
        Held { key, blob }
    }

    fn sign(held: &Held, data: &[u8]) -> Option<Vec<u8>> {
        held.answer(&[&[SIGN_REQUEST], &*string(&held.blob), &string(data), &[0; 4]].concat())
    }

    fn proof(held: &Held, method: &str, more: &[u8]) -> Vec<u8> {
        let words = [string(b"alice"), string(b"ssh-connection"), string(method.as_bytes())].concat();
        let key = [&[1], &*string(b"ssh-ed25519"), &string(&held.blob)].concat();
        [&*string(b"a session"), &[USERAUTH_REQUEST], &words, &key, more].concat()
    }

    #[test]
    fn a_proof_of_an_account_is_signed_and_nothing_else() {
        let held = held();
        let (plain, bound) = ("publickey", "publickey-hostbound-v00@openssh.com");
        let answer = sign(&held, &proof(&held, plain, b"")).unwrap();
        assert_eq!(answer.first(), Some(&SIGN_RESPONSE));
        assert!(sign(&held, &proof(&held, bound, &string(b"a host key"))).is_some());
        for other in [
            b"SSHSIG\0\0\0\x04file".to_vec(),
            b"commit 1".to_vec(),
            Vec::new(),
            proof(&held, plain, b"more"),
            proof(&held, bound, b""),
            proof(&held, "password", b""),
        ] {
            assert_eq!(sign(&held, &other), None);
        }
        let foreign = [&[SIGN_REQUEST], &*string(b"another"), &string(&proof(&held, plain, b""))].concat();
        assert_eq!(held.answer(&foreign), None);
        // To add a key, to remove all, to lock, an extension; a request that ends too early.
        for kind in [17, 19, 22, 27, SIGN_REQUEST] {
            assert_eq!(held.answer(&[kind]), None);
        }
        assert_eq!(held.answer(&[]), None);
    }

    #[test]
    fn it_ends_with_its_value() {
        let folder = tempfile::tempdir().unwrap();
        let place = ControlFolder::open(&folder.path().join("s")).unwrap();
        let agent = KeyAgent::serve(place, UnlockedKey(held().key)).unwrap();
        let socket = agent.socket().to_owned();
        assert!(std::os::unix::net::UnixStream::connect(&socket).is_ok());
        drop(agent);
        assert!(!socket.exists() && !socket.parent().unwrap().exists());
    }
}
