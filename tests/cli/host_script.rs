//! The half of a transaction that runs on hosts, asked in a shell of this machine: what it says of a transaction at
//! moments that a real host passes through too quickly to be caught there.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use palisade::program::Program;
use support::Needs;

support::tests! {
    Needs::programs(&[Program::Sh, Program::Head, Program::Sed, Program::Tail]) => [
        a_host_that_is_just_going_back_has_not_failed_to,
        a_release_that_is_being_installed_keeps_all_others_away,
    ],
}

const ID: &str = "20261128t220000123z-1a2b3c4d";

/// What `palisade_outcome` answers where the state folder is `state`.
fn outcome(state: &Path) -> String {
    let script = concat!(
        include_str!("../../src/transaction/host.sh"),
        include_str!("../../src/transaction/rollback.sh"),
        "\npalisade_state=$1\npalisade_outcome \"$2\"\n"
    );
    let output =
        Program::Sh.command().args(["-c", script, "sh"]).arg(state).arg(ID).output().expect("a shell");
    let said = String::from_utf8_lossy(&output.stdout);
    said.split_whitespace().nth(1).unwrap_or_default().to_owned()
}

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

const BEGUN: &str =
    "1795903200 7de1efa4-ea2f-4175-bcf4-e39e0bce8ea0 begun aaaa bob 20261128t220000123z-00000001\n";

/// What `palisade_alone` answers to who works on `release`, where the unit of 2026-11-28 is `state` by systemd.
fn alone(folder: &Path, state: &str, release: &str) -> String {
    let systemctl = folder.join("systemctl");
    std::fs::write(&systemctl, format!("#!/bin/sh\n[ -z '{state}' ] || echo '{state}'\nexit 3\n"))
        .expect("a file");
    std::fs::set_permissions(&systemctl, std::fs::Permissions::from_mode(0o755)).expect("a program");
    let script = concat!(
        include_str!("../../src/transaction/host.sh"),
        "\npalisade_state=$1 palisade_units=$1 palisade_units_at_boot=$1 PATH=$1:$PATH\npalisade_alone $2\necho alone\n"
    );
    let mut shell = Program::Sh.command();
    let output = shell.args(["-c", script, "sh"]).arg(folder).arg(release).output().expect("a shell");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn a_release_that_is_being_installed_keeps_all_others_away() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let journal = folder.join("releases/2026-11-28");
    std::fs::create_dir_all(&journal).expect("the journal's folder");
    std::fs::write(journal.join("journal"), BEGUN).expect("the journal");
    assert_eq!(alone(folder, "active", ""), "alone\n", "there is no unit");
    std::fs::write(folder.join("palisade-release-2026-11-28.service"), "").expect("the unit");
    for release in ["", "2026-12-26"] {
        // A systemd that does not answer is no proof that it ended.
        for state in ["active", "deactivating", ""] {
            let said = alone(folder, state, release);
            let begin =
                "refused installing release 2026-11-28 is being installed there for bob (run 20261128t2";
            assert!(said.starts_with(begin) && !said.contains("alone"), "{said}");
        }
        for state in ["inactive", "failed"] {
            assert_eq!(alone(folder, state, release), "alone\n");
        }
    }
    assert_eq!(alone(folder, "active", "2026-11-28"), "alone\n", "its own run attaches");
}
