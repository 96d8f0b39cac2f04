//! The half of a transaction that runs on hosts, asked in a shell of this machine: what it says of a transaction at
//! moments that a real host passes through too quickly to be caught there.

#![expect(
    clippy::disallowed_methods,
    clippy::expect_used,
    reason = "tests write files, run a shell, and fail"
)]

use std::path::Path;
use std::process::Command;

const ID: &str = "20261128t220000z-1a2b3c4d";

/// What `palisade_outcome` answers where the state folder is `state`.
fn outcome(state: &Path) -> String {
    let script = concat!(
        include_str!("../src/transaction/host.sh"),
        include_str!("../src/transaction/back.sh"),
        "\npalisade_state=$1\npalisade_outcome \"$2\"\n"
    );
    let output =
        Command::new("/bin/sh").args(["-c", script, "sh"]).arg(state).arg(ID).output().expect("a shell");
    let said = String::from_utf8_lossy(&output.stdout);
    said.split_whitespace().nth(1).unwrap_or_default().to_owned()
}

#[test]
fn a_host_that_is_just_going_back_has_not_failed_to() {
    let folder = tempfile::tempdir().expect("a folder");
    let state = folder.path();
    let tx = state.join("tx").join(ID);
    std::fs::create_dir_all(&tx).expect("the journal");
    let write = |name: &str, text: &str| std::fs::write(state.join(name), text).expect("a file");
    assert_eq!(outcome(state), "none");
    write("pending", &format!("{ID}\n"));
    assert_eq!(outcome(state), "pending");
    // Written before `pending` is renamed: whoever asks in between sees both.
    write(&format!("tx/{ID}/outcome"), "rolled-back timer\n");
    assert_eq!(outcome(state), "pending");
    write(&format!("tx/{ID}/outcome"), "rollback-failed /etc/passwd\n");
    assert_eq!(outcome(state), "rollback-failed");
    std::fs::rename(state.join("pending"), state.join(format!("rolled-back-{ID}"))).expect("a rename");
    assert_eq!(outcome(state), "rolled-back");
}
