//! Keys of a test's own.

use std::path::Path;

use palisade::domain::PublicKey;
use palisade::program::Program;

/// Makes `name` and `name.pub` in `folder`, and gives the public half. `kind` is ssh-keygen's word for the algorithm.
pub fn make_key(folder: &Path, name: &str, kind: &str, passphrase: &str) -> PublicKey {
    let made = Program::SshKeygen
        .command()
        .args(["-q", "-t", kind, "-C", name, "-N", passphrase, "-f"])
        .arg(folder.join(name))
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    std::fs::read_to_string(folder.join(format!("{name}.pub"))).unwrap().trim().parse().unwrap()
}
