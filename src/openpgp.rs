//! Signatures of archives by gpgv, with keyrings that the project or this machine has, never a host's. It starts that program
//! and nothing else; which keyring is an archive's is its caller's to say.
#![expect(clippy::disallowed_methods, reason = "gpgv reads and writes files")]

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use crate::program::Program;
use crate::text::{excerpt, from_base64, visible};

/// Why a text is not one that an archive signed.
#[derive(Debug, thiserror::Error)]
pub enum OpenPgpError {
    /// gpgv could not be started.
    #[error("gpgv could not be used: {0}")]
    Io(#[from] io::Error),
    /// The keyring is not there, or is none.
    #[error("{path} is no keyring that can be read: {why}")]
    Keyring {
        /// Its path.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// No key of the keyring signed it, or it was changed.
    #[error("{0}")]
    NotSigned(String),
}

/// The text within `signed`, an `InRelease`, where a key of `keyring` signed it: gpgv's own copy of what it verified, and not what
/// stands around it. A keyring may be armoured.
pub fn verified(signed: &[u8], keyring: &Path) -> Result<String, OpenPgpError> {
    let folder = tempfile::tempdir()?;
    let keys = fs::read(keyring)
        .map_err(|error| OpenPgpError::Keyring { path: keyring.to_owned(), why: error.to_string() })?;
    let keys = dearmored(&keys).map_err(|why| OpenPgpError::Keyring { path: keyring.to_owned(), why })?;
    let [keyring, message, text] = ["keyring.gpg", "InRelease", "text"].map(|name| folder.path().join(name));
    fs::write(&keyring, keys)?;
    fs::write(&message, signed)?;
    let done = Program::Gpgv
        .command()
        .env("GNUPGHOME", folder.path())
        .args(["--status-fd", "1", "--keyring"])
        .arg(&keyring)
        .arg("--output")
        .arg(&text)
        .arg(&message)
        .stdin(Stdio::null())
        .output()?;
    let status = String::from_utf8_lossy(&done.stdout);
    let says = |word: &str| {
        status.lines().any(|line| {
            line.strip_prefix("[GNUPG:] ").is_some_and(|line| line.split(' ').next() == Some(word))
        })
    };
    // An archive signs with several keys, and an older keyring lacks the newest of them: one good signature is enough, and a bad
    // one is never.
    if says("GOODSIG")
        && says("VALIDSIG")
        && !["BADSIG", "EXPSIG", "REVKEYSIG", "FAILURE", "NODATA"].iter().any(|word| says(word))
    {
        let text = fs::read(&text)?;
        return String::from_utf8(text)
            .map_err(|_| OpenPgpError::NotSigned("what was signed is no text".to_owned()));
    }
    let said = String::from_utf8_lossy(&done.stderr);
    let said = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("gpgv does not say why");
    Err(OpenPgpError::NotSigned(format!(
        "no key of the keyring signed it ({})",
        excerpt(&visible(said), 200)
    )))
}

/// The keys of an armoured keyring; what is not armoured as it is.
fn dearmored(keys: &[u8]) -> Result<Vec<u8>, String> {
    let Ok(text) = std::str::from_utf8(keys) else { return Ok(keys.to_vec()) };
    if !text.contains("-----BEGIN PGP PUBLIC KEY BLOCK-----") {
        return Ok(keys.to_vec());
    }
    let mut all = Vec::new();
    for block in text.split("-----BEGIN PGP PUBLIC KEY BLOCK-----").skip(1) {
        let (block, _) = block.split_once("-----END").ok_or("its last block has no end")?;
        let body = block.replace('\r', "");
        // Headers end with an empty line; the checksum begins with an equals sign.
        let (_, body) = body.split_once("\n\n").ok_or("a block has no body")?;
        let base64: String = body.lines().take_while(|line| !line.starts_with('=')).map(str::trim).collect();
        all.extend(from_base64(&base64).ok_or("a block is not base64")?);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn armour_is_taken_off_each_block() {
        let block = |body: &str| {
            format!(
                "-----BEGIN PGP PUBLIC KEY BLOCK-----\nComment: a key\n\n{body}\n=abcd\n-----END PGP PUBLIC KEY BLOCK-----\n"
            )
        };
        assert_eq!(
            dearmored(format!("{}{}", block("aGVs\nbG8="), block("IQ==")).as_bytes()),
            Ok(b"hello!".to_vec())
        );
        assert_eq!(dearmored(b"\x99\x01binary"), Ok(b"\x99\x01binary".to_vec()));
        assert!(dearmored(block("not base64").as_bytes()).is_err());
        assert!(dearmored(b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\naGVs").is_err());
    }
}
