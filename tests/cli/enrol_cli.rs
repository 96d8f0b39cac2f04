//! What `enrol` and `retire` refuse before they contact anything, and what `retire` does to the files.

use std::path::Path;

use support::Needs;

support::tests! {
    Needs::NOTHING => [
        enrol_refuses_before_it_contacts_anything,
        retire_takes_pins_and_identity_and_nothing_else,
        a_damaged_pin_stops_both,
    ],
}

const A: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJZPZT0xPypwCdpyR1rpPhiuQ9I9vMF4zqOBlLxnGf73";
const B: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILtb7UgAi5OmvXSJFg9DSn6rc5CAhQtRUJWcA2spuWPA";

/// The example project, with db-1 and web-1 enrolled.
fn project() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    let inventories = root.path().join("inventories");
    std::fs::create_dir(&inventories).unwrap();
    for file in ["fleet.yaml", "dev.yaml", "test.yaml", "prod.yaml"] {
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("inventories").join(file);
        std::fs::copy(from, inventories.join(file)).unwrap();
    }
    std::fs::write(inventories.join("known_hosts"), format!("# ours\ndb-1 {B}\nweb-1 {A}\n@revoked * {B}\n"))
        .unwrap();
    let identity = |name: &str, id: &str| {
        format!(
            "  {name}: {{machine_id: \"{}\", environment: prod, distribution: debian-12, \
             enrolled: \"2026-11-01T00:00:00Z\", by: alice}}\n",
            id.repeat(32)
        )
    };
    std::fs::write(
        inventories.join("identities.yaml"),
        format!("hosts:\n{}{}", identity("db-1", "b"), identity("web-1", "a")),
    )
    .unwrap();
    root
}

/// Exit status and standard error of `palisade ARGS` in `root`; standard output must be empty where it fails.
fn run(root: &Path, args: &[&str]) -> (i32, String) {
    let ran = support::palisade(args).alone().within(root).run();
    let code = ran.code.unwrap();
    assert!(code == 0 || ran.out.is_empty(), "{}", ran.out);
    (code, ran.err)
}

fn text(root: &Path, file: &str) -> String {
    std::fs::read_to_string(root.join("inventories").join(file)).unwrap()
}

fn enrol_refuses_before_it_contacts_anything() {
    let root = project();
    let print = "SHA256:uNiVztksCsDhcc0u9e8BrJXL44DoIKgiZEPj0GSqIGE";
    for (args, words) in [
        (vec!["enrol", "prod"], "name yourself with --as: alice, bob"),
        (vec!["enrol", "prod", "--as", "carol"], "carol is not a person with access to prod today"),
        (vec!["enrol", "prod", "--as", "ci"], "ci is not a person"),
        (vec!["enrol", "prod", "--as", "alice", "web-9"], "did you mean `web-1`?"),
        (vec!["enrol", "prod", "--as", "alice", "web-1", "--limit", "db-*"], "cannot be used with"),
        (vec!["enrol", "prod", "--as", "alice", "web-1", "--replace", "db-1"], "not among those to enrol"),
        (vec!["enrol", "prod", "--as", "alice", "--fingerprint", print], "write HOST=SHA256"),
        (vec!["enrol", "prod", "--as", "alice", "--fingerprint", "web-1=MD5:x"], "SHA-256 fingerprint"),
        (
            vec!["enrol", "prod", "--as", "alice", "--fingerprints", "missing.yaml"],
            "missing.yaml cannot be read",
        ),
        (vec!["enrol", "prod", "--as", "alice", "--bootstrap-identity", "x"], "--bootstrap-user"),
        (vec!["enrol", "staging", "--as", "alice"], "possible values: dev, test, prod"),
    ] {
        let (code, said) = run(root.path(), &args);
        assert_eq!(code, 2, "{args:?}: {said}");
        assert!(said.contains(words), "{args:?}: {said}");
    }
    assert!(!root.path().join("runs").exists(), "no run began");
}

fn retire_takes_pins_and_identity_and_nothing_else() {
    let root = project();
    let (code, said) = run(root.path(), &["retire", "web-2", "--yes"]);
    assert_eq!(code, 2);
    assert!(said.contains("web-2 is not enrolled") && said.contains("did you mean `web-1`?"), "{said}");
    let before = text(root.path(), "known_hosts");
    let (code, said) = run(root.path(), &["retire", "web-1"]);
    assert_eq!(code, 2, "without a terminal nobody confirms");
    assert!(said.contains("web-1 stays enrolled"), "{said}");
    assert_eq!(text(root.path(), "known_hosts"), before);

    let (code, said) = run(root.path(), &["retire", "web-1", "--yes"]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("erase their disks"), "{said}");
    assert_eq!(text(root.path(), "known_hosts"), format!("# ours\ndb-1 {B}\n@revoked * {B}\n"));
    let identities = text(root.path(), "identities.yaml");
    assert!(identities.contains("db-1") && !identities.contains("web-1"), "{identities}");
}

fn a_damaged_pin_stops_both() {
    let root = project();
    let file = root.path().join("inventories/known_hosts");
    std::fs::write(&file, format!("web-1 {A}\ndb-1 ssh-ed25519 AAAA\n")).unwrap();
    for args in [&["enrol", "prod", "--as", "alice"][..], &["retire", "web-1", "--yes"]] {
        let (code, said) = run(root.path(), args);
        assert_eq!(code, 2, "{said}");
        assert!(said.contains("known_hosts") && said.contains('2'), "{said}");
    }
}
