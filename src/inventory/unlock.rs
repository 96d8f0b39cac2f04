//! How a host whose root is encrypted is opened when it boots. Declared, never guessed: a host that waits for a passphrase
//! which nobody can give is lost. It opens nothing itself, and no passphrase belongs into an inventory.

use serde::Serialize;

use crate::source::Value;

/// The words of `unlock:`.
pub(super) const WORDS: &[&str] = &["console", "dropbear", "clevis", "tpm2"];

/// Who or what opens an encrypted root at boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Unlock {
    /// Somebody types the passphrase at the provider's console.
    Console,
    /// Somebody, or a machine of theirs, sends it over SSH to the dropbear of the initramfs (`dropbear-initramfs`).
    Dropbear,
    /// clevis asks a Tang server on the network, or a TPM: nobody has to be there.
    Clevis,
    /// The machine's TPM gives it, by what `systemd-cryptenroll(1)` left there: nobody has to be there.
    Tpm2,
}

impl Unlock {
    pub(super) fn read(value: &Value<'_>) -> Option<Self> {
        value.one_of(&[
            ("console", Self::Console),
            ("dropbear", Self::Dropbear),
            ("clevis", Self::Clevis),
            ("tpm2", Self::Tpm2),
        ])
    }

    /// Its word in an inventory.
    pub fn word(self) -> &'static str {
        match self {
            Self::Console => "console",
            Self::Dropbear => "dropbear",
            Self::Clevis => "clevis",
            Self::Tpm2 => "tpm2",
        }
    }

    /// What somebody has to do while the host boots; none where it opens by itself.
    pub fn waits_for(self) -> Option<&'static str> {
        match self {
            Self::Console => Some("somebody types its passphrase at the provider's console"),
            Self::Dropbear => Some("its passphrase is sent to the dropbear of its initramfs"),
            Self::Clevis | Self::Tpm2 => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_of_the_schema_is_read_and_written() {
        let all = [Unlock::Console, Unlock::Dropbear, Unlock::Clevis, Unlock::Tpm2];
        assert_eq!(all.map(Unlock::word), WORDS);
        for one in all {
            assert_eq!(serde_json::to_value(one).unwrap(), one.word());
        }
    }
}
