//! Keyed digests (HMAC-SHA-256, RFC 2104): what compares bytes that are written down nowhere. Whoever has the digest and not
//! the key cannot test a guess against it.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::{Digest, checked_text};

checked_text!(
    /// HMAC-SHA-256 in 64 lower-case hexadecimal digits.
    Mac,
    check_mac
);

fn check_mac(text: &str) -> Result<(), super::Malformed> {
    text.parse::<Digest>().map(drop)
}

/// A key of 32 bytes. It is never shown, and never written into a record or a plan.
#[derive(Clone, PartialEq, Eq)]
pub struct MacKey([u8; 32]);

impl std::fmt::Debug for MacKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MacKey(not shown)")
    }
}

impl MacKey {
    /// From 32 random bytes.
    pub fn new(random: [u8; 32]) -> Self {
        Self(random)
    }

    /// The digest of `bytes` by this key.
    pub fn mac(&self, bytes: &[u8]) -> Mac {
        Mac(hex(&self.sum(&[bytes])))
    }

    /// Another key, which follows from this one and these words and from nothing else. It says nothing about this one.
    #[must_use]
    pub fn derived(&self, words: &[&str]) -> Self {
        // the length in front of each word keeps two lists of words apart
        let lengths: Vec<[u8; 8]> =
            words.iter().map(|word| u64::try_from(word.len()).unwrap_or(u64::MAX).to_be_bytes()).collect();
        let parts: Vec<&[u8]> = lengths
            .iter()
            .zip(words)
            .flat_map(|(length, word)| [length.as_slice(), word.as_bytes()])
            .collect();
        Self(self.sum(&parts))
    }

    /// As hexadecimal digits, for a host that has to make a digest by it.
    pub fn digits(&self) -> String {
        hex(&self.0)
    }

    fn sum(&self, parts: &[&[u8]]) -> [u8; 32] {
        // HMAC fills a key up with zeros to the block of its hash, which has 64 bytes
        let mut block = [0; 64];
        for (to, byte) in block.iter_mut().zip(self.0) {
            *to = byte;
        }
        let mut mac = Hmac::<Sha256>::new(&block.into());
        for part in parts {
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }
}

fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or('0');
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_that_of_rfc_4231() {
        // test case 2, whose key is padded with zeros as HMAC pads it
        let mut key = [0; 32];
        key[..4].copy_from_slice(b"Jefe");
        let mac = MacKey::new(key).mac(b"what do ya want for nothing?");
        assert_eq!(mac.as_str(), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    }

    #[test]
    fn keys_of_other_words_are_other_keys_and_no_key_is_shown() {
        let key = MacKey::new([7; 32]);
        let derived = |words: &[&str]| key.derived(words).digits();
        assert_eq!(derived(&["a", "b"]), derived(&["a", "b"]));
        assert_ne!(derived(&["a", "b"]), derived(&["ab", ""]));
        assert_ne!(derived(&["a", "b"]), derived(&["b", "a"]));
        assert_ne!(derived(&[]), key.digits());
        assert_eq!(format!("{key:?}"), "MacKey(not shown)");
    }
}
