//! Signatures by `ssh-keygen -Y`, which knows agents, security keys and passphrases, and which auditors have. It starts that
//! program and nothing else; who may sign is its caller's to say. With a key that this process unlocked already it signs
//! here, in the same format: nobody is asked for one passphrase twice.
#![expect(clippy::disallowed_methods, reason = "ssh-keygen reads files")]

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use crate::domain::{PublicKey, UserName};
use crate::program::Program;
use crate::text::{excerpt, visible};
use crate::transport::KeyAgent;

/// Why there is no signature, or none that counts.
#[derive(Debug, thiserror::Error)]
pub enum SigningError {
    /// ssh-keygen could not be started, or a file could not be written.
    #[error("ssh-keygen could not be used: {0}")]
    Io(#[from] io::Error),
    /// No key signs.
    #[error("it could not be signed: {0}")]
    NotSigned(String),
    /// The signature is none of anybody who may sign, or the file is another than was signed.
    #[error("{0}")]
    NotValid(String),
}

/// What signs.
#[derive(Debug, Clone)]
pub enum Signer {
    /// A private key file.
    File(PathBuf),
    /// The key of a file that was unlocked.
    Unlocked(Arc<KeyAgent>),
    /// By the agent at this socket, the first of these keys that it holds.
    Agent(PathBuf, Vec<PublicKey>),
}

/// The signature of `bytes` by `signer`, for `namespace`, which keeps a signature of one thing from counting for another.
pub fn sign(signer: &Signer, namespace: &str, bytes: &[u8]) -> Result<Vec<u8>, SigningError> {
    let folder = Folder::new()?;
    match signer {
        Signer::File(path) => signed(path, None, namespace, bytes),
        Signer::Unlocked(agent) => Ok(agent.sign(namespace, bytes)?),
        Signer::Agent(socket, keys) => {
            let mut last = SigningError::NotSigned("no key is declared".to_owned());
            for key in keys {
                let public = folder.write("signer.pub", format!("{key}\n").as_bytes())?;
                match signed(&public, Some(socket), namespace, bytes) {
                    Err(error @ SigningError::NotSigned(_)) => last = error,
                    done => return done,
                }
            }
            Err(last)
        }
    }
}

fn signed(key: &Path, agent: Option<&Path>, namespace: &str, bytes: &[u8]) -> Result<Vec<u8>, SigningError> {
    let mut command = Program::SshKeygen.command();
    command.args(["-q", "-Y", "sign", "-n", namespace, "-f"]).arg(key);
    if let Some(socket) = agent {
        command.env("SSH_AUTH_SOCK", socket);
    }
    let (success, stdout, said) = run(command, bytes)?;
    // Positive evidence: a program that says nothing and ends well has signed nothing.
    if success && stdout.starts_with(b"-----BEGIN SSH SIGNATURE-----") {
        return Ok(stdout);
    }
    Err(SigningError::NotSigned(said))
}

/// Who signed `bytes`: one of `allowed`, each with their keys.
pub fn verify(
    allowed: &[(UserName, Vec<PublicKey>)],
    namespace: &str,
    bytes: &[u8],
    signature: &[u8],
) -> Result<UserName, SigningError> {
    let mut lines = String::new();
    for (user, keys) in allowed {
        for key in keys {
            let _ = writeln!(lines, "{user} namespaces=\"{namespace}\" {key}");
        }
    }
    let folder = Folder::new()?;
    let signers = folder.write("allowed_signers", lines.as_bytes())?;
    let signature = folder.write("signature", signature)?;
    let mut find = Program::SshKeygen.command();
    find.args(["-Y", "find-principals", "-f"]).arg(&signers).arg("-s").arg(&signature);
    let (found, who, said) = run(find, b"")?;
    let who = String::from_utf8_lossy(&who);
    let user = who.lines().next().and_then(|line| line.split(',').next()?.parse::<UserName>().ok());
    let Some(user) = user.filter(|_| found) else {
        return Err(SigningError::NotValid(format!("it is signed by nobody who may sign ({said})")));
    };
    let mut verify = Program::SshKeygen.command();
    verify.args(["-Y", "verify", "-n", namespace, "-I", user.as_str(), "-f"]).arg(&signers);
    verify.arg("-s").arg(&signature);
    let (success, stdout, said) = run(verify, bytes)?;
    let good = format!("Good \"{namespace}\" signature for {user} ");
    if success && String::from_utf8_lossy(&stdout).starts_with(&good) {
        return Ok(user);
    }
    Err(SigningError::NotValid(format!("it is not what {user} signed ({said})")))
}

/// Whether it ended well, what it wrote, and what it said of a failure.
fn run(mut command: Command, input: &[u8]) -> io::Result<(bool, Vec<u8>, String)> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        match stdin.write_all(input) {
            // It ended before it read all: what it says of that is better.
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => return Err(error),
            _ => {}
        }
    }
    let done = child.wait_with_output()?;
    let said = String::from_utf8_lossy(&done.stderr);
    let line = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("ssh-keygen does not say why");
    Ok((done.status.success(), done.stdout, excerpt(&visible(line), 200)))
}

/// A folder of our own that goes with us.
struct Folder(PathBuf);

impl Folder {
    fn new() -> io::Result<Self> {
        use std::os::unix::fs::DirBuilderExt as _;
        let random = getrandom::u64().map_err(io::Error::other)?;
        let path = std::env::temp_dir().join(format!("palisade-signing-{random:016x}"));
        fs::DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }

    fn write(&self, name: &str, bytes: &[u8]) -> io::Result<PathBuf> {
        let path = self.0.join(name);
        fs::write(&path, bytes)?;
        Ok(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
