//! Signatures by a real ssh-keygen, and by a key that was unlocked here: for what was signed, by whoever may, and for
//! nothing else.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use palisade::domain::{PublicKey, UserName};
use palisade::program::Program;
use palisade::signing::{Signer, SigningError, sign, verify};
use palisade::transport::{ControlFolder, Identity, KeyAgent, RusshConnector};
use support::{Needs, block_on, make_key};

support::tests! {
    Needs::programs(&[Program::SshKeygen]) => [
        a_signature_counts_for_what_was_signed_by_whoever_may,
        an_unlocked_key_signs_as_its_file_does,
        without_a_key_nothing_is_signed,
    ],
}

/// A new key: what signs with it, and its public half.
fn key(folder: &Path, name: &str) -> (Signer, PublicKey) {
    let public = make_key(folder, name, "ed25519", "");
    (Signer::File(folder.join(name)), public)
}

fn a_signature_counts_for_what_was_signed_by_whoever_may() {
    let folder = tempfile::tempdir().unwrap();
    let (alice, alice_key) = key(folder.path(), "alice");
    let (mallory, _) = key(folder.path(), "mallory");
    let allowed: Vec<(UserName, Vec<PublicKey>)> =
        vec![("alice".parse().unwrap(), vec![alice_key]), ("bob".parse().unwrap(), Vec::new())];
    let signature = sign(&alice, "x", b"text").unwrap();
    assert_eq!(verify(&allowed, "x", b"text", &signature).unwrap().as_str(), "alice");
    for (namespace, bytes) in [("x", &b"texu"[..]), ("y", b"text"), ("x", b"")] {
        let refused = verify(&allowed, namespace, bytes, &signature);
        assert!(matches!(refused, Err(SigningError::NotValid(_))), "{namespace} {bytes:?}: {refused:?}");
    }
    let foreign = sign(&mallory, "x", b"text").unwrap();
    assert!(matches!(verify(&allowed, "x", b"text", &foreign), Err(SigningError::NotValid(_))));
    assert!(matches!(verify(&allowed, "x", b"text", b"nonsense"), Err(SigningError::NotValid(_))));
    assert!(matches!(verify(&[], "x", b"text", &signature), Err(SigningError::NotValid(_))));
}

fn an_unlocked_key_signs_as_its_file_does() {
    let folder = tempfile::tempdir().unwrap();
    let public = make_key(folder.path(), "locked", "ed25519", "a passphrase");
    let identity = Identity {
        file: Some(folder.path().join("locked")),
        agent: None,
        declared: Some(vec![public.clone()]),
    };
    let locked = block_on(RusshConnector::locked_key(&identity)).unwrap().unwrap();
    let place = ControlFolder::open(&folder.path().join("s")).unwrap();
    let agent = KeyAgent::serve(place, locked.unlock(b"a passphrase").unwrap()).unwrap();
    let shown = format!("{agent:?}");
    assert!(shown.contains("socket") && !shown.contains("key:"), "{shown}");
    let signer = Signer::Unlocked(Arc::new(agent));
    let allowed = vec![("alice".parse().unwrap(), vec![public])];
    for bytes in [&b""[..], b"text", &vec![0xff; 100_000]] {
        let signature = sign(&signer, "x", bytes).unwrap();
        assert_eq!(verify(&allowed, "x", bytes, &signature).unwrap().as_str(), "alice");
        assert!(matches!(verify(&allowed, "y", bytes, &signature), Err(SigningError::NotValid(_))));
    }
    assert!(sign(&signer, "", b"text").is_err(), "a signature for nothing in particular is none");
}

fn without_a_key_nothing_is_signed() {
    let missing = Signer::File(PathBuf::from("/nonexistent/key"));
    assert!(matches!(sign(&missing, "x", b"text"), Err(SigningError::NotSigned(_))));
    let agent = Signer::Agent(PathBuf::from("/nonexistent/agent"), Vec::new());
    assert!(matches!(sign(&agent, "x", b"text"), Err(SigningError::NotSigned(_))));
}
