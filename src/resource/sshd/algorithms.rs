//! Which algorithms sshd may use, best first, and since when OpenSSH has each: a name that an sshd does not know keeps
//! it from starting. Post-quantum hybrids come first, then curve25519 for clients without them; no NIST curve, no
//! SHA-1, no CBC, and MACs only over ciphertext. Debian's own packages are the measure (12: 9.2, 13: 10.0).

use serde::Serialize;

use super::answer::Version;

/// A name, and the first version that knows it; 0.0 for all that matter here.
type Algorithm = (&'static str, Version);

const ALWAYS: Version = Version { major: 0, minor: 0 };
/// OpenSSH 9.9 brought mlkem768x25519-sha256, and sntrup761x25519-sha512 under its registered name.
const V9_9: Version = Version { major: 9, minor: 9 };

/// `KexAlgorithms`.
const KEY_EXCHANGE: [Algorithm; 5] = [
    ("mlkem768x25519-sha256", V9_9),
    ("sntrup761x25519-sha512", V9_9),
    ("sntrup761x25519-sha512@openssh.com", ALWAYS),
    ("curve25519-sha256", ALWAYS),
    ("curve25519-sha256@libssh.org", ALWAYS),
];
/// `Ciphers`.
const CIPHERS: [Algorithm; 6] = [
    ("chacha20-poly1305@openssh.com", ALWAYS),
    ("aes256-gcm@openssh.com", ALWAYS),
    ("aes128-gcm@openssh.com", ALWAYS),
    ("aes256-ctr", ALWAYS),
    ("aes192-ctr", ALWAYS),
    ("aes128-ctr", ALWAYS),
];
/// `MACs`.
const MACS: [Algorithm; 3] = [
    ("hmac-sha2-512-etm@openssh.com", ALWAYS),
    ("hmac-sha2-256-etm@openssh.com", ALWAYS),
    ("umac-128-etm@openssh.com", ALWAYS),
];
/// `HostKeyAlgorithms`.
const HOST_KEYS: [Algorithm; 3] =
    [("ssh-ed25519", ALWAYS), ("rsa-sha2-512", ALWAYS), ("rsa-sha2-256", ALWAYS)];
/// `PubkeyAcceptedAlgorithms`. Security keys too; certificates have no place where no authority is trusted.
const PUBLIC_KEYS: [Algorithm; 4] = [
    ("ssh-ed25519", ALWAYS),
    ("sk-ssh-ed25519@openssh.com", ALWAYS),
    ("rsa-sha2-512", ALWAYS),
    ("rsa-sha2-256", ALWAYS),
];

/// What the sshd of one distribution may use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Algorithms {
    /// `KexAlgorithms`.
    pub key_exchange: Vec<&'static str>,
    /// `Ciphers`.
    pub ciphers: Vec<&'static str>,
    /// `MACs`.
    pub macs: Vec<&'static str>,
    /// `HostKeyAlgorithms`.
    pub host_keys: Vec<&'static str>,
    /// `PubkeyAcceptedAlgorithms`.
    pub public_keys: Vec<&'static str>,
}

impl Algorithms {
    /// Those of `distribution`, such as `debian-12`. Another one gets what the oldest supported sshd knows, which every
    /// later one knows too.
    pub fn of(distribution: &str) -> Self {
        let version = match distribution {
            "debian-13" => Version { major: 10, minor: 0 },
            _ => Version { major: 9, minor: 2 },
        };
        let known = |list: &[Algorithm]| {
            list.iter().filter(|(_, since)| *since <= version).map(|(name, _)| *name).collect()
        };
        Self {
            key_exchange: known(&KEY_EXCHANGE),
            ciphers: known(&CIPHERS),
            macs: known(&MACS),
            host_keys: known(&HOST_KEYS),
            public_keys: known(&PUBLIC_KEYS),
        }
    }
}

/// `list`, names between commas, without those that an sshd of `version` does not know: one declaration serves hosts
/// of several versions.
pub(super) fn without_unknown(list: &str, version: Version) -> String {
    let known = |name: &&str| !KEY_EXCHANGE.iter().any(|(one, since)| one == name && *since > version);
    list.split(',').filter(known).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_is_weak() {
        for distribution in ["debian-12", "debian-13"] {
            let all = Algorithms::of(distribution);
            for name in [all.key_exchange, all.ciphers, all.macs, all.host_keys, all.public_keys].concat() {
                let weak = ["nistp", "sha1", "cbc", "ssh-rsa", "dss", "md5", "3des", "umac-64"];
                assert!(!weak.iter().any(|part| name.contains(part)), "{name}");
            }
        }
    }

    #[test]
    fn a_hybrid_comes_first_and_a_classical_exchange_last() {
        for (distribution, first) in
            [("debian-12", "sntrup761x25519-sha512@openssh.com"), ("debian-13", "mlkem768x25519-sha256")]
        {
            let kex = Algorithms::of(distribution).key_exchange;
            assert_eq!((kex.first(), kex.last()), (Some(&first), Some(&"curve25519-sha256@libssh.org")));
        }
    }

    #[test]
    fn one_declaration_serves_both() {
        let all = Algorithms::of("debian-13").key_exchange.join(",");
        let old = Version { major: 9, minor: 2 };
        assert_eq!(without_unknown(&all, old), Algorithms::of("debian-12").key_exchange.join(","));
    }
}
