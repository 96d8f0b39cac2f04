//! `palisade lab` as people type it, on a copy of the example fleet.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use palisade::lab::{LabRecord, Place, Power};
use serde_json::Value;

use crate::lane::{runs_here, say};
use crate::traces::traces;

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

/// How long things may take on a machine that does other things too.
const WITHIN: Duration = Duration::from_mins(10);

/// `lab up --vm`.
fn up(name: &str) -> Child {
    Command::new(env!("CARGO_BIN_EXE_palisade"))
        .args(["lab", "up", "--vm", "--hosts", "1", "--name", name])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("palisade starts")
}

/// The lab of this name, as soon as its machine's qemu runs; the system in there is not waited for.
fn begun(name: &str) -> LabRecord {
    let until = Instant::now() + WITHIN;
    loop {
        if let Ok(lab) = Place::default().find(Some(name))
            && lab.hosts().all(|host| host.power() == Power::On)
        {
            return lab.record().clone();
        }
        assert!(Instant::now() < until, "{name} does not begin");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Ends the process that keeps the lab's machine running, as the kernel does where memory is short.
fn kill_supervisor(lab: &LabRecord) {
    let file = format!("/var/cache/palisade/lab/labs/{}/hosts/{}/supervisor", lab.id, lab.hosts[0].spec.name);
    let text = std::fs::read_to_string(file).expect("its supervisor");
    let pid = text.split(' ').next().expect("an id");
    assert!(Command::new("kill").args(["-KILL", pid]).status().expect("kill starts").success());
}

fn runs_qemu(lab: &LabRecord) -> bool {
    traces(lab).iter().any(|trace| trace.ends_with("/mountinfo"))
}

fn machine_is(lab: &LabRecord, power: Power) {
    let until = Instant::now() + WITHIN;
    loop {
        let found = Place::default().find(Some(lab.id.as_str())).expect("the lab");
        if found.hosts().all(|host| host.power() == power) {
            return;
        }
        assert!(Instant::now() < until, "{} is never {power}", lab.name);
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn nothing_is_left_of_machines_whatever_was_killed() {
    if !runs_here("nothing_is_left_of_machines_whatever_was_killed") {
        return;
    }
    // palisade is killed while its machine boots
    let name = format!("killed-{}", std::process::id());
    let mut child = up(&name);
    let lab = begun(&name);
    assert!(runs_qemu(&lab), "{:?}", traces(&lab));
    child.kill().expect("killed");
    child.wait().expect("gone");
    let status = palisade(&["lab", "status"]);
    // another test's lab may have swept it meanwhile
    let said = text(&status.stderr);
    assert!(said.contains(&format!("{name} is left of a palisade")) || traces(&lab).is_empty(), "{said}");
    let down = palisade(&["lab", "down", &name]);
    assert!(down.status.success() || traces(&lab).is_empty(), "{}", text(&down.stderr));
    assert_eq!(traces(&lab), [""; 0], "a killed palisade's machine is gone");

    // the supervisor is killed: palisade says so at once, and leaves nothing
    let name = format!("orphan-{}", std::process::id());
    let child = up(&name);
    let lab = begun(&name);
    kill_supervisor(&lab);
    let ended = child.wait_with_output().expect("it ends");
    assert_eq!(ended.status.code(), Some(1), "{}", text(&ended.stderr));
    assert_eq!(traces(&lab), [""; 0], "a killed supervisor's machine is gone");

    // both are, and the lab was to stay
    let name = format!("kept-{}", std::process::id());
    let mut child = up(&name);
    let mut lab = begun(&name);
    lab.owner = None;
    let record = format!("/var/cache/palisade/lab/labs/{}/lab.json", lab.id);
    std::fs::write(record, serde_json::to_vec(&lab).expect("JSON")).expect("written");
    child.kill().expect("killed");
    child.wait().expect("gone");
    machine_is(&lab, Power::On);
    kill_supervisor(&lab);
    machine_is(&lab, Power::Dead);
    let until = Instant::now() + WITHIN;
    while runs_qemu(&lab) {
        assert!(Instant::now() < until, "qemu outlives its supervisor: {:?}", traces(&lab));
        std::thread::sleep(Duration::from_millis(50));
    }
    let status = text(&palisade(&["lab", "status"]).stdout);
    let line = status.lines().find(|line| line.contains(&name)).unwrap_or_default();
    assert!(line.contains("dead"), "{status}");
    let down = palisade(&["lab", "down", &name]);
    assert!(down.status.success(), "{}", text(&down.stderr));
    assert_eq!(traces(&lab), [""; 0]);
}
