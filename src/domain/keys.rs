//! Public keys of people and machines. Parsed and judged here; nothing here ever holds a private key.

use std::fmt;
use std::str::FromStr;

use russh::keys::ssh_key;
use serde::{Deserialize, Serialize};

use super::{Checked, Malformed};

/// What the type of every certificate ends with (OpenSSH, `PROTOCOL.certkeys`).
const CERTIFICATE: &[u8] = b"-cert-v01@";

/// Which family of keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyAlgorithm {
    /// ssh-ed25519 (RFC 8709).
    Ed25519,
    /// sk-ssh-ed25519@openssh.com: Ed25519 on a security key.
    SkEd25519,
    /// RSA of this many bits.
    Rsa(u32),
    /// ECDSA on a NIST curve.
    NistEcdsa,
    /// DSA.
    Dsa,
    /// Anything else.
    Other,
}

/// A public key in OpenSSH's one-line format, without options. The comment is kept; two keys are equal when their
/// key material is.
#[derive(Debug, Clone, Serialize, schemars::JsonSchema, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PublicKey {
    key: ssh_key::PublicKey,
    comment: String,
}

impl PublicKey {
    /// `type base64`, without the comment: what identifies the key.
    pub fn material(&self) -> String {
        let mut bare = self.key.clone();
        bare.set_comment("");
        bare.to_openssh().unwrap_or_default().trim().to_owned()
    }

    /// The comment; often empty.
    pub fn comment(&self) -> &str {
        &self.comment
    }

    /// SHA256:…, as `ssh-keygen -l` shows it.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint(self.key.fingerprint(ssh_key::HashAlg::Sha256).to_string())
    }

    /// Which family it belongs to.
    pub fn algorithm(&self) -> KeyAlgorithm {
        match self.key.algorithm() {
            ssh_key::Algorithm::Ed25519 => KeyAlgorithm::Ed25519,
            ssh_key::Algorithm::SkEd25519 => KeyAlgorithm::SkEd25519,
            ssh_key::Algorithm::Rsa { .. } => {
                let bits = self.key.key_data().rsa().map_or(0, |rsa| {
                    rsa.n().as_positive_bytes().map_or(0, |n| {
                        let leading = n.first().map_or(0, |byte| byte.leading_zeros());
                        u32::try_from(n.len()).unwrap_or(u32::MAX).saturating_mul(8).saturating_sub(leading)
                    })
                });
                KeyAlgorithm::Rsa(bits)
            }
            ssh_key::Algorithm::Ecdsa { .. } | ssh_key::Algorithm::SkEcdsaSha2NistP256 => {
                KeyAlgorithm::NistEcdsa
            }
            ssh_key::Algorithm::Dsa => KeyAlgorithm::Dsa,
            _ => KeyAlgorithm::Other,
        }
    }

    /// As the parser's own type, for the transports.
    pub fn inner(&self) -> &ssh_key::PublicKey {
        &self.key
    }

    /// From the parser's own type.
    pub fn from_inner(key: ssh_key::PublicKey) -> Self {
        let comment = key.comment().to_string();
        Self { key, comment }
    }
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.key.key_data() == other.key.key_data()
    }
}

impl Eq for PublicKey {}

impl FromStr for PublicKey {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let fix = "write one line of a .pub file: type, base64, comment";
        if text.contains("PRIVATE KEY") {
            return Err(Malformed::new(
                "a private key stands where a public key is meant",
                "remove it everywhere, treat it as leaked, make a new pair, and write the .pub file's line",
            ));
        }
        if text.chars().any(char::is_control) {
            return Err(Malformed::new("a public key is one line without control characters", fix));
        }
        // The parser takes certificates apart recursively, without a limit: a crafted one would exhaust the stack.
        let blob = text.split([' ', '\t']).filter_map(crate::text::from_base64);
        if blob.into_iter().any(|blob| blob.windows(CERTIFICATE.len()).any(|window| window == CERTIFICATE)) {
            return Err(Malformed::new("a certificate stands where a public key is meant", fix));
        }
        let key = ssh_key::PublicKey::from_openssh(text).map_err(|_| {
            Malformed::new(
                "not a public key: its type, its base64 or both are damaged, or options stand before it",
                fix,
            )
        })?;
        Ok(Self::from_inner(key))
    }
}

impl TryFrom<String> for PublicKey {
    type Error = Malformed;

    fn try_from(text: String) -> Result<Self, Malformed> {
        text.parse()
    }
}

impl From<PublicKey> for String {
    fn from(key: PublicKey) -> Self {
        key.to_string()
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.material())?;
        if self.comment.is_empty() { Ok(()) } else { write!(f, " {}", self.comment) }
    }
}

impl Checked for PublicKey {
    fn text(&self) -> std::borrow::Cow<'_, str> {
        std::borrow::Cow::Owned(self.to_string())
    }
}

/// A key's fingerprint, `SHA256:…` in unpadded base64.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, schemars::JsonSchema, Deserialize,
)]
#[serde(try_from = "String", into = "String")]
pub struct Fingerprint(String);

impl Fingerprint {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Fingerprint {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        text.parse::<ssh_key::Fingerprint>()
            .ok()
            .filter(|print| print.is_sha256())
            .map(|print| Self(print.to_string()))
            .ok_or_else(|| {
                Malformed::new("not a SHA-256 fingerprint", "write it as `ssh-keygen -l` shows it: SHA256:…")
            })
    }
}

impl TryFrom<String> for Fingerprint {
    type Error = Malformed;

    fn try_from(text: String) -> Result<Self, Malformed> {
        text.parse()
    }
}

impl From<Fingerprint> for String {
    fn from(print: Fingerprint) -> Self {
        print.0
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod nesting {
    use base64::Engine as _;

    use super::*;

    fn put(blob: &mut Vec<u8>, bytes: &[u8]) {
        blob.extend(u32::try_from(bytes.len()).unwrap().to_be_bytes());
        blob.extend(bytes);
    }

    /// A certificate whose authority is a certificate, and so on.
    fn nested(depth: usize) -> String {
        let mut inner = Vec::new();
        put(&mut inner, b"a@b");
        put(&mut inner, b"");
        for _ in 0..depth {
            let mut blob = Vec::new();
            put(&mut blob, b"a-cert-v01@x");
            put(&mut blob, b"");
            put(&mut blob, b"");
            blob.extend([0; 8]);
            blob.extend([0, 0, 0, 1]);
            put(&mut blob, b"");
            put(&mut blob, b"");
            blob.extend([0; 8]);
            blob.extend([255; 8]);
            for _ in 0..3 {
                put(&mut blob, b"");
            }
            put(&mut blob, &inner);
            let mut signature = Vec::new();
            put(&mut signature, b"a@b");
            put(&mut signature, b"x");
            put(&mut blob, &signature);
            inner = blob;
        }
        format!("a-cert-v01@x {}", base64::engine::general_purpose::STANDARD.encode(inner))
    }

    #[test]
    fn certificates_are_refused_before_they_are_taken_apart() {
        for depth in [1, 2, 5_000] {
            let why = nested(depth).parse::<PublicKey>().unwrap_err().why;
            assert_eq!(why, "a certificate stands where a public key is meant");
        }
    }
}
