//! Signatures of archives by a real gpg, as an archive makes its `InRelease`: what a key of the keyring signed is read as gpgv
//! verified it; what was changed, stands around it, or is another's is not.

use std::path::{Path, PathBuf};

use palisade::openpgp::{OpenPgpError, verified};
use palisade::program::Program;
use support::Needs;

support::tests! {
    Needs::programs(&[Program::Gpg, Program::GpgAgent, Program::Gpgconf, Program::Gpgv]) => [
        what_a_key_of_the_keyring_signed_is_read_and_nothing_else,
    ],
}

const TEXT: &str = "Origin: Lab\nSuite: stable\n- a line that begins with a dash\n";

/// An archive's keys, in a folder of their own.
struct Keys {
    home: PathBuf,
}

impl Keys {
    fn new(folder: &Path, name: &str) -> Self {
        let home = folder.join(name);
        std::fs::create_dir(&home).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        std::fs::set_permissions(&home, mode).unwrap();
        let keys = Self { home };
        keys.gpg(&[
            "--passphrase",
            "",
            "--quick-gen-key",
            &format!("{name} <{name}@example.com>"),
            "ed25519",
            "sign",
            "never",
        ]);
        keys
    }

    fn gpg(&self, words: &[&str]) {
        let done = Program::Gpg
            .command()
            .args(["--batch", "--quiet", "--yes", "--pinentry-mode", "loopback", "--homedir"])
            .arg(&self.home)
            .args(words)
            .output()
            .unwrap();
        assert!(done.status.success(), "{words:?}: {}", String::from_utf8_lossy(&done.stderr));
    }

    fn keyring(&self, armoured: bool) -> PathBuf {
        let path = self.home.join(if armoured { "key.asc" } else { "key.gpg" });
        let words: &[&str] = if armoured { &["--armor"] } else { &[] };
        self.gpg(&[words, &["--output", path.to_str().unwrap(), "--export"]].concat());
        path
    }

    fn signs(&self, text: &str) -> Vec<u8> {
        let (plain, signed) = (self.home.join("text"), self.home.join("signed"));
        std::fs::write(&plain, text).unwrap();
        self.gpg(&["--output", signed.to_str().unwrap(), "--clearsign", plain.to_str().unwrap()]);
        std::fs::read(signed).unwrap()
    }
}

impl Drop for Keys {
    /// gpg leaves its agent behind.
    fn drop(&mut self) {
        drop(
            Program::Gpgconf
                .command()
                .arg("--homedir")
                .arg(&self.home)
                .args(["--kill", "gpg-agent"])
                .status(),
        );
    }
}

fn what_a_key_of_the_keyring_signed_is_read_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let (archive, mallory) = (Keys::new(folder.path(), "archive"), Keys::new(folder.path(), "mallory"));
    let signed = archive.signs(TEXT);
    let keyring = archive.keyring(false);
    assert_eq!(verified(&signed, &keyring).unwrap(), TEXT);
    assert_eq!(verified(&signed, &archive.keyring(true)).unwrap(), TEXT);

    // What stands around the message was signed by nobody.
    let around = [b"Origin: Debian\n".as_slice(), &signed, b"Suite: mine\n"].concat();
    match verified(&around, &keyring) {
        Ok(text) => assert_eq!(text, TEXT),
        Err(error) => assert!(matches!(error, OpenPgpError::NotSigned(_)), "{error}"),
    }
    let refused = |bytes: &[u8], keyring: &Path| {
        let error = verified(bytes, keyring).unwrap_err();
        assert!(matches!(error, OpenPgpError::NotSigned(_)), "{error}");
    };
    let changed = String::from_utf8(signed.clone()).unwrap().replace("stable", "mine");
    refused(changed.as_bytes(), &keyring);
    refused(&signed, &mallory.keyring(false));
    refused(&mallory.signs(TEXT), &keyring);
    refused(TEXT.as_bytes(), &keyring);
    refused(b"", &keyring);
    let nowhere = verified(&signed, &folder.path().join("none.gpg")).unwrap_err();
    assert!(matches!(nowhere, OpenPgpError::Keyring { .. }), "{nowhere}");
}
