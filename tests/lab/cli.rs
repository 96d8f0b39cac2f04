//! `palisade lab` as people type it, on a copy of the example fleet.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::lane::{runs_here, say};
use serde_json::Value;

fn palisade(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_palisade")).args(args).output().expect("palisade starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Takes the lab down, whatever became of the test.
struct Down(String);

impl Drop for Down {
    fn drop(&mut self) {
        say(&text(&palisade(&["lab", "down", &self.0]).stderr));
    }
}

#[test]
fn a_copy_of_a_fleet_comes_up_is_entered_and_goes() {
    if !runs_here("a_copy_of_a_fleet_comes_up_is_entered_and_goes") {
        return;
    }
    let name = format!("copy-{}", std::process::id());
    let down = Down(name.clone());
    let up = palisade(&[
        "lab",
        "up",
        "--name",
        &name,
        "--from",
        "inventories",
        "--suite",
        "13",
        "--format",
        "json",
    ]);
    assert!(up.status.success(), "{}", text(&up.stderr));
    let document: Value = serde_json::from_slice(&up.stdout).expect("one JSON document");
    let lab = &document["labs"][0];
    let hosts: Vec<&str> =
        lab["hosts"].as_array().expect("hosts").iter().filter_map(|h| h["name"].as_str()).collect();
    assert_eq!(hosts, ["dev-db-1", "dev-web-1", "test-db-1", "test-web-1", "db-1", "db-2", "web-1"]);
    assert!(lab["hosts"].as_array().expect("hosts").iter().all(|host| host["state"] == "on"), "{lab:#}");

    let project = PathBuf::from(lab["project"].as_str().expect("a project"));
    let folder = PathBuf::from(lab["folder"].as_str().expect("a folder"));
    let check = palisade(&["--project", &project.to_string_lossy(), "check"]);
    assert!(check.status.success(), "{}", text(&check.stderr));
    for key in ["person-alice", "prod-ci", "vendor", "former"] {
        assert!(folder.join("keys").join(key).is_file(), "{key}");
    }

    let twice = palisade(&["lab", "up", "--name", &name, "--hosts", "1"]);
    assert_eq!(twice.status.code(), Some(2), "{}", text(&twice.stderr));
    let shell = |host: &str, command: &str| {
        palisade(&["lab", "shell", "--lab", &name, host, "--", "sh", "-c", command])
    };
    assert_eq!(text(&shell("db-1", "hostname").stdout), "db-1\n");
    assert_eq!(shell("db-1", "exit 7").status.code(), Some(7), "the command's own exit status");
    assert_eq!(shell("db-9", "true").status.code(), Some(2), "no such host");

    // db-1 is reached from web-1, which shares its network, and not from dev's, which shares its wire alone
    let database = address(lab, "db-1");
    let probe = format!("nc -z -w 2 {database} 22");
    assert_eq!(shell("web-1", &probe).status.code(), Some(0));
    assert_ne!(shell("dev-web-1", &probe).status.code(), Some(0));

    let status = palisade(&["lab", "status"]);
    assert!(text(&status.stdout).lines().any(|line| line.contains(&name) && line.contains("db-2")));
    drop(down);
    assert!(!Path::new(&folder).exists());
    let gone = palisade(&["lab", "down", &name]);
    assert_eq!(gone.status.code(), Some(2), "{}", text(&gone.stderr));
}

fn address(lab: &Value, host: &str) -> String {
    let hosts = lab["hosts"].as_array().expect("hosts");
    let found = hosts.iter().find(|found| found["name"] == host).expect("the host");
    found["private"][0].as_str().expect("an address").to_owned()
}
