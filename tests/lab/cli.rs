//! `palisade lab` as people type it, on a copy of the example fleet.

use std::path::PathBuf;

use palisade::lab::{LabFolder, LabRecord, Power};
use palisade::program::Program;
use serde_json::Value;
use support::{Needs, Running, note, palisade, wait_for, wait_until};

use crate::traces::traces;

support::tests! {
    Needs::LAB => [
        a_copy_of_a_fleet_comes_up_is_entered_and_goes,
        nothing_is_left_of_machines_whatever_was_killed,
    ],
}

/// Takes the lab down, whatever became of the test.
struct Down(String);

impl Drop for Down {
    fn drop(&mut self) {
        note(&palisade(["lab", "down", &self.0]).run().err);
    }
}

fn a_copy_of_a_fleet_comes_up_is_entered_and_goes() {
    let name = format!("copy-{}", std::process::id());
    let down = Down(name.clone());
    let up = palisade(["lab", "up", "--name", &name, "--from", "inventories", "--suite", "13"]);
    let document = up.json().run().exits(0).json();
    let lab = &document["labs"][0];
    let hosts: Vec<&str> =
        lab["hosts"].as_array().expect("hosts").iter().filter_map(|h| h["name"].as_str()).collect();
    assert_eq!(hosts, ["dev-db-1", "dev-web-1", "test-db-1", "test-web-1", "db-1", "db-2", "web-1"]);
    assert!(lab["hosts"].as_array().expect("hosts").iter().all(|host| host["state"] == "on"), "{lab:#}");

    let project = lab["project"].as_str().expect("a project");
    let folder = PathBuf::from(lab["folder"].as_str().expect("a folder"));
    let _ = palisade(["--project", project, "check"]).run().exits(0);
    for key in ["person-alice", "prod-ci", "vendor", "former"] {
        assert!(folder.join("keys").join(key).is_file(), "{key}");
    }

    let _ = palisade(["lab", "up", "--name", &name, "--hosts", "1"]).run().exits(2);
    let shell = |host: &str, command: &str| {
        palisade(["lab", "shell", "--lab", &name, host, "--", "sh", "-c", command]).run()
    };
    assert_eq!(shell("db-1", "hostname").out, "db-1\n");
    assert_eq!(shell("db-1", "exit 7").code, Some(7), "the command's own exit status");
    assert_eq!(shell("db-9", "true").code, Some(2), "no such host");

    // db-1 is reached from web-1, which shares its network, and not from dev's, which shares its wire alone
    let database = address(lab, "db-1");
    let probe = format!("nc -z -w 2 {database} 22");
    assert_eq!(shell("web-1", &probe).code, Some(0));
    assert_ne!(shell("dev-web-1", &probe).code, Some(0));

    let status = palisade(["lab", "status"]).run();
    assert!(
        status.out.lines().any(|line| line.contains(&name) && line.contains("db-2")),
        "{}",
        status.said()
    );
    drop(down);
    assert!(!folder.exists());
    let _ = palisade(["lab", "down", &name]).run().exits(2);
}

fn address(lab: &Value, host: &str) -> String {
    let hosts = lab["hosts"].as_array().expect("hosts");
    let found = hosts.iter().find(|found| found["name"] == host).expect("the host");
    found["private"][0].as_str().expect("an address").to_owned()
}

/// `lab up --vm`.
fn up(name: &str) -> Running {
    palisade(["lab", "up", "--vm", "--hosts", "1", "--name", name]).start()
}

/// The lab of this name, as soon as its machine's qemu runs; the system in there is not waited for.
fn begun(up: &mut Running, name: &str) -> LabRecord {
    wait_until(&format!("the machine of {name} runs"), || {
        assert!(!up.has_ended(), "`lab up` has ended:\n{}", up.said());
        match LabFolder::default().find(Some(name)) {
            Ok(lab) if lab.hosts().all(|host| host.power() == Power::On) => Ok(lab.record().clone()),
            Ok(_) => Err(up.said()),
            Err(error) => Err(format!("{error}\n{}", up.said())),
        }
    })
}

/// Ends the process that keeps the lab's machine running, as the kernel does where memory is short.
fn kill_supervisor(lab: &LabRecord) {
    let file = format!("/var/cache/palisade/lab/labs/{}/hosts/{}/supervisor", lab.id, lab.hosts[0].spec.name);
    let text = std::fs::read_to_string(file).expect("its supervisor");
    let pid = text.split(' ').next().expect("an id");
    assert!(Program::Kill.command().args(["-KILL", pid]).status().expect("kill starts").success());
}

fn runs_qemu(lab: &LabRecord) -> bool {
    traces(lab).iter().any(|trace| trace.ends_with("/mountinfo"))
}

fn machine_is(lab: &LabRecord, power: Power) {
    wait_until(&format!("the machine of {} is {power}", lab.name), || {
        let found = LabFolder::default().find(Some(lab.id.as_str())).expect("the lab");
        let all: Vec<String> = found.hosts().map(|host| host.power().to_string()).collect();
        if all.iter().all(|one| *one == power.to_string()) { Ok(()) } else { Err(all.join(", ")) }
    });
}

fn nothing_is_left_of_machines_whatever_was_killed() {
    // palisade is killed while its machine boots
    let name = format!("killed-{}", std::process::id());
    let mut run = up(&name);
    let lab = begun(&mut run, &name);
    assert!(runs_qemu(&lab), "{:?}", traces(&lab));
    run.dies();
    let status = palisade(["lab", "status"]).run();
    // another test's lab may have swept it meanwhile
    let told = status.err.contains(&format!("{name} is left of a palisade"));
    assert!(told || traces(&lab).is_empty(), "{}", status.said());
    let down = palisade(["lab", "down", &name]).run();
    assert!(down.code == Some(0) || traces(&lab).is_empty(), "{}", down.said());
    assert_eq!(traces(&lab), [""; 0], "a killed palisade's machine is gone");

    // the supervisor is killed: palisade says so at once, and leaves nothing
    let name = format!("orphan-{}", std::process::id());
    let mut run = up(&name);
    let lab = begun(&mut run, &name);
    kill_supervisor(&lab);
    let _ = run.end().exits(1);
    assert_eq!(traces(&lab), [""; 0], "a killed supervisor's machine is gone");

    // both are, and the lab was to stay
    let name = format!("kept-{}", std::process::id());
    let mut run = up(&name);
    let mut lab = begun(&mut run, &name);
    lab.owner = None;
    let record = format!("/var/cache/palisade/lab/labs/{}/lab.json", lab.id);
    std::fs::write(record, serde_json::to_vec(&lab).expect("JSON")).expect("written");
    run.dies();
    machine_is(&lab, Power::On);
    kill_supervisor(&lab);
    machine_is(&lab, Power::Dead);
    wait_for("qemu ends with its supervisor", || !runs_qemu(&lab));
    let status = palisade(["lab", "status"]).run().out;
    let line = status.lines().find(|line| line.contains(&name)).unwrap_or_default();
    assert!(line.contains("dead"), "{status}");
    let _ = palisade(["lab", "down", &name]).run().exits(0);
    assert_eq!(traces(&lab), [""; 0]);
}
