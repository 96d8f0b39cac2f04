//! Digests and identifiers.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

use super::{Malformed, checked_text};

checked_text!(
    /// SHA-256 in 64 lower-case hexadecimal digits (FIPS 180-4).
    Digest,
    check_digest
);
checked_text!(
    /// A machine's id: 32 lower-case hexadecimal digits (machine-id(5)).
    MachineId,
    check_hex32
);
checked_text!(
    /// One boot of a machine: the kernel's random boot id (random(4)), 36 characters with dashes.
    BootId,
    check_boot_id
);
checked_text!(
    /// A transaction: UTC time and randomness, `20261128t220000123z-1a2b3c4d`. It stands in unit and file names.
    TxId,
    check_identifier
);
checked_text!(
    /// An identifier of ours for runs and labs: lower-case letters, digits and dashes, at most 64.
    Identifier,
    check_identifier
);

/// A digest of something that comes in pieces.
#[derive(Debug, Clone, Default)]
pub struct Digesting(Sha256);

impl Digesting {
    /// The next piece.
    pub fn add(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of all of them.
    pub fn end(self) -> Digest {
        Digest::from_sha256(&self.0.finalize())
    }
}

impl Digest {
    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self::from_sha256(&Sha256::digest(bytes))
    }

    fn from_sha256(sum: &[u8]) -> Self {
        let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or('0');
        Self(sum.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect())
    }
}

impl TxId {
    /// From the time, in seconds since 1970, and four random bytes.
    pub fn new(now: jiff::Timestamp, random: [u8; 4]) -> Self {
        Self(stamp(now, random))
    }
}

impl Identifier {
    /// From the time and four random bytes.
    pub fn new(now: jiff::Timestamp, random: [u8; 4]) -> Self {
        Self(stamp(now, random))
    }
}

/// To the millisecond, so that of two runs in one second the later one sorts behind the earlier one.
fn stamp(now: jiff::Timestamp, random: [u8; 4]) -> String {
    let time = now.strftime("%Y%m%dt%H%M%S%3fz").to_string();
    random.iter().fold(format!("{time}-"), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

fn check_digest(text: &str) -> Result<(), Malformed> {
    if hex(text, 64) {
        Ok(())
    } else {
        Err(Malformed::new("not a SHA-256 digest", "64 lower-case hexadecimal digits"))
    }
}

fn check_hex32(text: &str) -> Result<(), Malformed> {
    if hex(text, 32) {
        Ok(())
    } else {
        Err(Malformed::new("not a machine id", "32 lower-case hexadecimal digits"))
    }
}

fn check_boot_id(text: &str) -> Result<(), Malformed> {
    let dashed = text.len() == 36 && text.bytes().filter(|b| *b == b'-').count() == 4;
    if dashed && hex(&text.replace('-', ""), 32) {
        Ok(())
    } else {
        Err(Malformed::new("not a boot id", "32 lower-case hexadecimal digits with four dashes"))
    }
}

fn check_identifier(text: &str) -> Result<(), Malformed> {
    let good = (1..=64).contains(&text.len())
        && !text.starts_with('-')
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if good {
        Ok(())
    } else {
        Err(Malformed::new("not an identifier", "lower-case letters, digits and dashes, at most 64"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_runs_in_one_second_the_later_one_sorts_behind() {
        let at =
            |millisecond| jiff::Timestamp::from_millisecond(1_795_903_200_000_i64 + millisecond).unwrap();
        let (first, second) = (Identifier::new(at(2), [255; 4]), Identifier::new(at(10), [0; 4]));
        assert_eq!(first.as_str(), "20261128t220000002z-ffffffff");
        assert!(first.as_str() < second.as_str(), "{second}");
    }
}
