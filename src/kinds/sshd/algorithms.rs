//! Which algorithms sshd may use, best first, and since when OpenSSH has each: a name that an sshd does not know keeps
//! it from starting. Post-quantum hybrids come first, then curve25519 for clients without them; no NIST curve, no
//! SHA-1, no CBC, and MACs only over ciphertext. Debian's own packages are the measure (12: 9.2, 13: 10.0).

use serde::Serialize;

use super::answer::Version;
use crate::text::excerpt;

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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
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

/// Whether the keyword's value is a list of algorithms, by the name that `sshd -T` gives it.
pub(super) fn is_list(keyword: &str) -> bool {
    matches!(
        keyword,
        "kexalgorithms"
            | "ciphers"
            | "macs"
            | "hostkeyalgorithms"
            | "pubkeyacceptedalgorithms"
            | "casignaturealgorithms"
    )
}

/// How the list `found` differs from the other list `wanted`: what is too much, else what is missing, else the order.
/// Both lists whole would be unreadable; the record of the run has them.
pub(super) fn difference(keyword: &str, found: &str, wanted: &str) -> String {
    let without = |list: &str, other: &str| -> Vec<String> {
        let others: Vec<&str> = other.split(',').collect();
        list.split(',').filter(|name| !others.contains(name)).map(|name| excerpt(name, 60)).collect()
    };
    let (more, less) = (without(found, wanted), without(wanted, found));
    match (more.as_slice(), less.as_slice()) {
        ([], []) => {
            let (found, wanted) = swapped(found, wanted);
            format!("{keyword} has what is declared in another order: {found} before {wanted}")
        }
        (more, []) => format!("{keyword} allows {}, not declared", some(more)),
        ([], less) => format!("{keyword} lacks {}", some(less)),
        (more, less) => format!("{keyword} allows {}, not declared, and lacks {}", some(more), some(less)),
    }
}

/// The first names that differ between two lists of the same names.
fn swapped(found: &str, wanted: &str) -> (String, String) {
    let differing = found.split(',').zip(wanted.split(',')).find(|(one, other)| one != other);
    let (found, wanted) = differing.unwrap_or((found, wanted));
    (excerpt(found, 60), excerpt(wanted, 60))
}

/// Names of one list in a finding, before they are counted.
const NAMED: usize = 3;

fn some(names: &[String]) -> String {
    match names.get(NAMED..) {
        Some(rest) if rest.len() > 1 => {
            let shown = names.get(..NAMED).unwrap_or_default();
            format!("{} and {} more", shown.join(", "), rest.len())
        }
        _ => names.join(", "),
    }
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

    #[test]
    fn a_list_is_told_by_what_it_has_too_much_or_lacks() {
        let said = |found, wanted| difference("macs", found, wanted);
        assert_eq!(said("a,b,c,d,e,f", "a"), "macs allows b, c, d and 2 more, not declared");
        assert_eq!(said("a,b,c,d,e", "a"), "macs allows b, c, d, e, not declared");
        assert_eq!(said("a", "a,b"), "macs lacks b");
        assert_eq!(said("x", "a,b"), "macs allows x, not declared, and lacks a, b");
        assert_eq!(said("a,c,b", "a,b,c"), "macs has what is declared in another order: c before b");
        assert_eq!(said("a,\u{1b}[2J", "a"), "macs allows \\u{1b}[2J, not declared");
    }
}
