//! The verbs that contact nothing, as a person types them: what they print, where, and the exit code.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests write projects and start the program, and end where they cannot go on"
)]

use std::fs;
use std::path::Path;

use assert_cmd::Command;

struct Shown {
    code: Option<i32>,
    out: String,
    err: String,
}

fn palisade(folder: &Path, arguments: &[&str]) -> Shown {
    let mut command = Command::cargo_bin("palisade").unwrap();
    let output = command
        .current_dir(folder)
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .args(arguments)
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    Shown { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
}

/// A fresh example project.
fn project() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let shown = palisade(folder.path(), &["init", "."]);
    assert_eq!(shown.code, Some(0), "{}", shown.err);
    folder
}

#[test]
fn init_writes_a_project_that_check_accepts_and_nothing_over_it() {
    let folder = project();
    let shown = palisade(folder.path(), &["check"]);
    assert_eq!((shown.code, shown.err.as_str()), (Some(0), ""));
    assert!(shown.out.ends_with("nothing is refused\n"), "{}", shown.out);
    assert!(!shown.out.contains("differs"), "what init writes is what is built in: {}", shown.out);

    fs::write(folder.path().join("inventories/dev.yaml"), "mine").unwrap();
    let shown = palisade(folder.path(), &["init"]);
    assert_eq!((shown.code, shown.out.as_str()), (Some(2), ""));
    assert!(shown.err.contains("overwrites nothing"), "{}", shown.err);
    assert_eq!(fs::read_to_string(folder.path().join("inventories/dev.yaml")).unwrap(), "mine");
}

#[test]
fn check_shows_every_refusal_with_its_line_and_json_is_one_document() {
    let folder = project();
    let path = folder.path().join("inventories/prod.yaml");
    let text = fs::read_to_string(&path)
        .unwrap()
        .replace("from: role:web", "from: role:wbe")
        .replace("port: 80,", "port: 0,");
    fs::write(&path, text).unwrap();
    let shown = palisade(folder.path(), &["check"]);
    assert_eq!((shown.code, shown.out.as_str()), (Some(2), ""));
    insta::assert_snapshot!(shown.err, @r"
    error: roles.web.listeners[0].port: the number is out of bounds
      --> inventories/prod.yaml:19:28
       |
    19 |       - {name: http, port: 0, from: internet}
       |                            ^
       |
       = help: write a whole number from 1 to 65535

    error: roles.database.listeners[0].from: no such role
      --> inventories/prod.yaml:27:44
       |
    27 |       - {name: postgres, port: 5432, from: role:wbe}
       |                                            ^^^^^^^^
       |
       = help: did you mean `web`?

    2 things were refused; nothing was contacted
    ");
    let shown = palisade(folder.path(), &["check", "--format", "json"]);
    assert_eq!((shown.code, shown.err.as_str()), (Some(2), ""));
    let document: serde_json::Value = serde_json::from_str(&shown.out).unwrap();
    assert_eq!(document["refusals"].as_array().unwrap().len(), 2);
    let expected = serde_json::json!({
        "file": "inventories/prod.yaml",
        "line": 19,
        "column": 28,
        "field": "roles.web.listeners[0].port",
        "value": "0",
        "why": "the number is out of bounds",
        "fix": "write a whole number from 1 to 65535",
    });
    assert_eq!(document["refusals"][0], expected);
}

#[test]
fn a_control_and_a_template_of_ones_own_are_said_to_differ() {
    let folder = project();
    let path = folder.path().join("playbooks/baseline.yaml");
    let text = fs::read_to_string(&path).unwrap().replacen("severity: critical", "severity: high", 1);
    fs::write(&path, text).unwrap();
    fs::write(folder.path().join("templates/motd.tera"), "{{ host }}\n").unwrap();
    let shown = palisade(folder.path(), &["check"]);
    assert!(
        shown.out.contains("control `firewall` (changed), template `motd.tera` (project)"),
        "{}",
        shown.out
    );
}

#[test]
fn an_empty_folder_is_no_project() {
    let folder = tempfile::tempdir().unwrap();
    for verb in [&["check"][..], &["inventory", "prod"]] {
        let shown = palisade(folder.path(), verb);
        assert_eq!((shown.code, shown.out.as_str()), (Some(2), ""));
        assert!(shown.err.contains("inventories/fleet.yaml: the file is missing"), "{}", shown.err);
    }
}

#[test]
fn the_inventory_is_shown_as_tables_and_as_json() {
    let folder = project();
    let shown = palisade(folder.path(), &["inventory", "prod", "--limit", "role:web"]);
    assert_eq!((shown.code, shown.err.as_str()), (Some(0), ""));
    insta::assert_snapshot!(shown.out, @r"
    Example SAS, prod

    Hosts
      NAME   ROLES          PUBLIC                          PRIVATE    SSH  VIA  WHERE        ENROLLED
      web-1  admin-ui, web  198.51.100.21, 2001:db8:20::21  10.20.0.4  22   -    ovh gra3 FR  no

    Listeners
      ROLE      LISTENER  PORT      FROM      HOSTS
      admin-ui  console   8443/tcp  admin     web-1
      web       http      80/tcp    internet  web-1
      web       https     443/tcp   internet  web-1

    Networks
      NETWORK     ADDRESSES
      admin       198.51.100.10, 198.51.100.11, 198.51.100.12
      private     10.20.0.0/24
      automation  198.51.100.60

    People
      USER   NAME          TITLE              APPROVES  ACCESS  KEYS
      alice  Alice Martin  CTO                yes       yes     SHA256:3a3DRDXpuOX1GJkIdpPlIxgPL5h5nxPAWeUjQpTiClQ
      bob    Bob Diallo    Back-end engineer  no        yes     SHA256:tu0gC9XIzcMbCAxV0KoaXxdx2P5oi8QWpWk4cHY321g

    Accounts
      ACCOUNT  PURPOSE     SUDO  KEYS
      ci       automation  ALL   SHA256:zlHK7+4b1pAB2ol9xczPDqBlurVzI84s88OFe3at3zg
    ");
    let shown = palisade(folder.path(), &["inventory", "prod", "--format", "json"]);
    let document: serde_json::Value = serde_json::from_str(&shown.out).unwrap();
    assert_eq!(document["hosts"].as_array().unwrap().len(), 3);
    assert_eq!(document["hosts"][0]["name"], "db-1");
}

#[test]
fn a_selection_that_finds_nothing_is_bad_usage() {
    let folder = project();
    for (arguments, said) in [
        (
            &["inventory", "prod", "--limit", "wbe-1"][..],
            "`wbe-1` selects no host of prod; did you mean `web-1`?",
        ),
        (&["inventory", "prod", "--limit", ""], "selects no host of prod"),
        (&["inventory", "staging"], "invalid value 'staging'"),
        (&["inventory"], "<ENV>"),
        (&["frobnicate"], "unrecognized subcommand"),
    ] {
        let shown = palisade(folder.path(), arguments);
        assert_eq!((shown.code, shown.out.as_str()), (Some(2), ""), "{arguments:?}");
        assert!(shown.err.contains(said), "{arguments:?}: {}", shown.err);
    }
    fs::remove_file(folder.path().join("inventories/dev.yaml")).unwrap();
    let shown = palisade(folder.path(), &["inventory", "dev"]);
    assert_eq!(shown.code, Some(2));
    assert!(shown.err.contains("the project has no environment dev"), "{}", shown.err);
}

#[test]
fn completions_and_manual_pages_are_data() {
    let folder = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish"] {
        let shown = palisade(folder.path(), &["completions", shell]);
        assert_eq!((shown.code, shown.err.as_str()), (Some(0), ""));
        assert!(shown.out.contains("inventory"), "{shell}");
    }
    assert!(palisade(folder.path(), &["man"]).out.starts_with(".ie"));
    assert!(palisade(folder.path(), &["man", "check"]).out.contains("palisade\\-check"));
    assert!(palisade(folder.path(), &["man", "chekc"]).err.contains("did you mean `check`?"));
}

/// Rules name other hosts' roles, so a selection may leave out hosts that the change concerns. Without a key nothing is
/// contacted.
#[test]
fn plan_and_apply_name_the_hosts_that_a_selection_leaves_out() {
    let folder = project();
    let identity = |name: &str, id: &str| {
        format!(
            "  {name}: {{machine_id: {id}, environment: prod, distribution: debian-12, enrolled: \"2026-11-01T10:00:00Z\", by: alice}}\n"
        )
    };
    let hosts = [("web-1", "a1"), ("db-1", "b2"), ("db-2", "c3")]
        .map(|(name, digits)| identity(name, &digits.repeat(16)))
        .concat();
    fs::write(folder.path().join("inventories/identities.yaml"), format!("hosts:\n{hosts}")).unwrap();
    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPdPYWQMzlMD9aJ9lXVu+UTF/iDDzb4DdBmbR97ZwXsY";
    let pins = ["web-1", "db-1", "db-2"].map(|name| format!("{name} {key}\n")).concat();
    fs::write(folder.path().join("inventories/known_hosts"), pins).unwrap();
    let note = "note: not selected, but their rules name selected hosts; they may need a change too\n  \
                db-1: web-1 as role:web and as its jump host\n  \
                db-2: web-1 as its jump host\n  \
                see: palisade plan prod --limit db-1,db-2\n";
    for verb in ["plan", "apply"] {
        let of = |limit: &[&str]| {
            palisade(
                folder.path(),
                &[&[verb, "prod", "--as", "alice", "--format", "json", "--yes"], limit].concat(),
            )
        };
        let shown = of(&["--limit", "web-1"]);
        assert!(shown.err.starts_with(note), "{verb}: {}", shown.err);
        assert_eq!(shown.code, Some(2), "{verb}: {}", shown.err);
        let shown = of(&[]);
        assert!(shown.err.contains("no key to connect with"), "{verb}: {}", shown.err);
        assert!(!shown.err.contains("note:"), "{verb} of all: {}", shown.err);
    }
}

#[test]
fn a_schema_of_another_palisade_is_named_with_what_renews_it() {
    let folder = project();
    let path = folder.path().join(".palisade/schema/inventory.json");
    assert!(!palisade(folder.path(), &["check"]).out.contains("another palisade"));
    fs::write(&path, "{}\n").unwrap();
    let shown = palisade(folder.path(), &["check"]);
    assert_eq!(shown.code, Some(0), "{}", shown.err);
    let renew = "`palisade schema inventory > .palisade/schema/inventory.json`";
    assert!(shown.out.contains(renew) && !shown.out.contains("schema fleet"), "{}", shown.out);
    let json = palisade(folder.path(), &["check", "--format", "json"]).out;
    assert!(json.contains("\"stale_schemas\": [\n    \".palisade/schema/inventory.json\"\n  ]"), "{json}");
    fs::write(&path, palisade(folder.path(), &["schema", "inventory"]).out).unwrap();
    assert!(!palisade(folder.path(), &["check"]).out.contains("another palisade"));
}

#[test]
fn schemas_are_printed_as_init_writes_them() {
    let folder = project();
    for file in ["fleet", "inventory", "playbook", "waivers", "release"] {
        let shown = palisade(folder.path(), &["schema", file]);
        assert_eq!((shown.code, shown.err.as_str()), (Some(0), ""));
        let path = folder.path().join(format!(".palisade/schema/{file}.json"));
        assert_eq!(fs::read_to_string(path).unwrap(), shown.out, "{file}");
        let document: serde_json::Value = serde_json::from_str(&shown.out).unwrap();
        let data = palisade(folder.path(), &["schema", file, "--format", "json"]);
        assert_eq!(serde_json::from_str::<serde_json::Value>(&data.out).unwrap(), document);
    }
    let shown = palisade(folder.path(), &["schema", "identities"]);
    assert_eq!(shown.code, Some(2));
    assert!(
        shown.err.contains("[possible values: fleet, inventory, playbook, waivers, release]"),
        "{}",
        shown.err
    );
}
