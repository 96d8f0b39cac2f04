//! Many hosts and several operators, on real hosts: who holds a host is told and waited for, what dead runs leave is
//! given free.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::Duration;

use crate::enrolled::{Enrolled, host, read};
use crate::lane::runs_here;
use crate::{text, wait_for};
use palisade::lab::{Spec, Suites, practice_fleet};
use serde_json::Value;

/// How long hosts wait for confirmation: a slow machine must not have them go back on their own.
const PATIENT: Duration = Duration::from_mins(3);

/// Enrolled hosts in `test`, and a folder for what holds runs back.
struct World {
    hosts: Enrolled,
    folder: tempfile::TempDir,
}

impl Deref for World {
    type Target = Enrolled;

    fn deref(&self) -> &Enrolled {
        &self.hosts
    }
}

impl World {
    fn up(test: &str, hosts: u8) -> Option<Self> {
        if !runs_here(test) {
            return None;
        }
        let fleet = practice_fleet(hosts).expect("a fleet");
        let spec = Spec::copy_of(&fleet, Suites::InTurn).expect("a lab");
        let folder = tempfile::tempdir().expect("a folder");
        Some(Self { hosts: Enrolled::up(&fleet, &spec, PATIENT), folder })
    }

    /// Lets hosts wait so long for confirmation from now on.
    fn rollback_after(&self, before: Duration, after: Duration) {
        let seconds = |time: Duration| format!("{}s", time.as_secs());
        self.edit("inventories/fleet.yaml", &seconds(before), &seconds(after));
    }

    /// Starts an apply that stops before `stage` until it is let go.
    fn held(&self, stage: &str, args: &[&str]) -> Held {
        let file = self.folder.path().join(format!("hold-{stage}"));
        std::fs::write(&file, "").expect("a file");
        let reached = self.folder.path().join(format!("hold-{stage}.reached"));
        drop(std::fs::remove_file(&reached));
        let child = self
            .palisade(&["apply", "test"])
            .args(args)
            .env("PALISADE_LAB_HOLD", format!("{stage}:{}", file.display()))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("palisade starts");
        wait_for(&format!("{stage} is reached"), || reached.exists());
        Held { child, file }
    }

    /// How many transactions of a host ended so; one was taken back when it was enrolled.
    fn ended(&self, host: &str, how: &str) -> usize {
        let state = self.host(host).expect("a host").sh("ls /var/lib/palisade").expect("an answer");
        state.lines().filter(|name| name.strip_prefix(how).is_some_and(|rest| rest.starts_with('-'))).count()
    }
}

/// An apply that was stopped in the middle.
struct Held {
    child: Child,
    file: PathBuf,
}

impl Held {
    fn goes_on(self) -> (i32, Value, String) {
        std::fs::remove_file(&self.file).expect("let go");
        read(&self.child.wait_with_output().expect("it ends"))
    }

    /// kill -9
    fn dies(mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("it is gone");
        std::fs::remove_file(&self.file).expect("let go");
    }
}

#[test]
fn of_two_operators_one_works_and_the_other_is_told_who_or_waits() {
    let Some(world) = World::up("of_two_operators_one_works_and_the_other_is_told_who_or_waits", 1) else {
        return;
    };
    let first = world.held("widen.verifying", &[]);

    let (exit, status, _) = world.run(&["status", "test"]);
    let shown = host(&status, "host-1");
    assert_eq!((exit, &shown["state"], &shown["holder"]["who"]), (6, &"pending".into(), &"alice".into()));

    let (exit, refused, said) = world.run(&["apply", "test"]);
    let shown = host(&refused, "host-1");
    assert_eq!((exit, &shown["state"]), (6, &"refused".into()), "{said}");
    let reason = shown["reason"].as_str().expect("a reason");
    let from = std::fs::read_to_string("/proc/sys/kernel/hostname").expect("a name");
    for part in ["a change of alice", &format!("from {}", from.trim()), " since 2", " goes back at 2"] {
        assert!(reason.contains(part), "{part} is not in {reason}");
    }
    assert_eq!(shown["holder"]["run"].as_str(), status["hosts"][0]["holder"]["run"].as_str());
    let (exit, _, _) = world.run(&["apply", "test", "--wait-lease", "1s"]);
    assert_eq!(exit, 6, "the time is over and it is still held");

    let second = world
        .palisade(&["apply", "test", "--wait-lease", "10min"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("palisade starts");
    std::thread::sleep(Duration::from_secs(2));
    let (exit, document, said) = first.goes_on();
    assert_eq!((exit, &host(&document, "host-1")["state"]), (0, &"changed".into()), "{said}");
    let (exit, document, said) = read(&second.wait_with_output().expect("it ends"));
    assert_eq!((exit, &host(&document, "host-1")["state"]), (0, &"answered".into()), "{said}");
    assert!(said.contains("host-1: a change of alice") && said.contains("; waiting"), "{said}");
    assert_eq!((world.ended("host-1", "confirmed"), world.ended("host-1", "rolled-back")), (2, 1));
    assert_eq!(world.run(&["status", "test"]).0, 0);
    world.hosts.down();
}

#[test]
fn what_a_dead_run_leaves_is_shown_and_given_free_by_name_alone() {
    let Some(world) = World::up("what_a_dead_run_leaves_is_shown_and_given_free_by_name_alone", 2) else {
        return;
    };
    let one = &["--limit", "host-1"];
    let unlock =
        |id: &str| world.palisade(&["unlock", "host-1", "--tx", id]).output().expect("palisade starts");

    // Between the two phases: nothing is pending, the lease stands.
    world.held("narrow.arming", one).dies();
    let (exit, status, _) = world.run(&["status", "test"]);
    assert_eq!((exit, &host(&status, "host-1")["state"]), (6, &"held".into()), "{status:#}");
    assert_eq!(host(&status, "host-2")["state"], "free");
    let run = host(&status, "host-1")["holder"]["run"].as_str().expect("a run").to_owned();
    assert_eq!(world.run(&["apply", "test", "--limit", "host-1"]).0, 6);
    let wrong = unlock("20200101t000000z-00000000");
    assert_eq!(wrong.status.code(), Some(6), "{}", text(&wrong.stderr));
    assert!(text(&wrong.stderr).contains(&run), "{}", text(&wrong.stderr));
    assert_eq!(unlock(&run).status.code(), Some(0));
    assert_eq!(host(&world.run(&["status", "test"]).1, "host-1")["state"], "free");
    assert_eq!(unlock(&run).status.code(), Some(6), "nobody holds it any more");

    // Within narrow: it is pending, and goes back to widened at once.
    world.held("narrow.verifying", one).dies();
    let (exit, status, _) = world.run(&["status", "test"]);
    let shown = host(&status, "host-1");
    assert_eq!((exit, &shown["state"]), (6, &"pending".into()), "{status:#}");
    let tx = shown["pending"].as_str().expect("a transaction").to_owned();
    assert_eq!(unlock(&run).status.code(), Some(6), "it is another run's");
    assert_eq!(unlock(&tx).status.code(), Some(0));
    assert_eq!(world.run(&["status", "test"]).0, 0);
    assert_eq!((world.ended("host-1", "confirmed"), world.ended("host-1", "rolled-back")), (1, 2));

    // A dead run's change goes back by itself, and who waits for that needs no unlocking.
    let soon = Duration::from_mins(1);
    world.rollback_after(PATIENT, soon);
    world.held("narrow.verifying", one).dies();
    world.rollback_after(soon, PATIENT);
    let (exit, _, said) = world.run(&["apply", "test", "--limit", "host-1", "--wait-lease", "10min"]);
    assert_eq!(exit, 0, "{said}");
    assert_eq!((world.ended("host-1", "confirmed"), world.ended("host-1", "rolled-back")), (2, 3));
    world.hosts.down();
}

/// The transactions of every host but the one from its enrolment, by id.
impl World {
    fn transactions(&self) -> BTreeMap<String, BTreeSet<String>> {
        let of = |host: &str| {
            let state = self.host(host).expect("a host").sh("ls /var/lib/palisade").expect("an answer");
            let ended = state
                .lines()
                .filter(|name| name.starts_with("confirmed-") || name.starts_with("rolled-back-"));
            ended.map(str::to_owned).collect()
        };
        self.hosts.hosts().map(|host| (host.name().to_string(), of(host.name().as_str()))).collect()
    }

    /// Starts an apply over all hosts, one after the other, and kills it when `done` of them are done and the next one
    /// is before `stage`.
    fn killed(&self, stage: &str, done: usize) {
        let file = self.folder.path().join("hold");
        let reached = self.folder.path().join("hold.reached");
        let said = self.folder.path().join("said");
        let mut child = self
            .palisade(&["apply", "test", "--batch", "1"])
            .env("PALISADE_LAB_HOLD", format!("{stage}:{}", file.display()))
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(&said).expect("a file"))
            .spawn()
            .expect("palisade starts");
        let finished = || text(&std::fs::read(&said).expect("read")).matches("changed and confirmed").count();
        wait_for(&format!("{done} hosts are done"), || finished() >= done);
        std::fs::write(&file, "").expect("a file");
        drop(std::fs::remove_file(&reached));
        wait_for(&format!("{stage} is reached"), || reached.exists());
        child.kill().expect("killed");
        child.wait().expect("it is gone");
        assert_eq!(finished(), done, "it was killed where it should be");
        std::fs::remove_file(&file).expect("let go");
    }
}

#[test]
fn a_run_that_was_killed_in_the_middle_goes_on_and_touches_nothing_twice() {
    let Some(world) = World::up("a_run_that_was_killed_in_the_middle_goes_on_and_touches_nothing_twice", 5)
    else {
        return;
    };
    world.killed("narrow.verifying", 2);
    let killed = world.transactions();
    let (exit, status, _) = world.run(&["status", "test"]);
    let shown: Vec<&str> =
        status["hosts"].as_array().expect("hosts").iter().filter_map(|h| h["state"].as_str()).collect();
    assert_eq!((exit, shown), (6, vec!["free", "free", "pending", "free", "free"]));
    let (_, runs, _) = world.run(&["runs"]);
    let open = &runs["unfinished"][0];
    let run = open["run"].as_str().expect("a run").to_owned();
    assert_eq!((&open["goes_on"], open["progress"].as_object().expect("progress").len()), (&false.into(), 3));

    let (exit, document, said) = world.run(&["apply", "--resume", &run, "--wait-lease", "1s"]);
    assert_eq!(exit, 0, "{said}");
    let hosts = document["hosts"].as_array().expect("hosts");
    assert!(hosts.iter().all(|host| host["state"] == "changed") && hosts.len() == 5, "{document:#}");
    let after = world.transactions();
    for (host, before) in &killed {
        let new: Vec<&String> = after[host].difference(before).collect();
        let (confirmed, taken_back): (Vec<&String>, Vec<&String>) =
            new.iter().partition(|name| name.starts_with("confirmed-"));
        let expected = match host.as_str() {
            "host-1" | "host-2" => (0, 0),
            // Its widen was confirmed before, its narrow was in the middle.
            "host-3" => (1, 1),
            _ => (2, 0),
        };
        assert_eq!((confirmed.len(), taken_back.len()), expected, "{host}: {new:?}");
    }
    let (_, runs, _) = world.run(&["runs"]);
    assert!(runs["unfinished"].as_array().expect("a list").is_empty());
    assert!(world.project().join("runs").join(&run).join("record.jsonl").is_file());
    assert_eq!(world.run(&["status", "test"]).0, 0);
    assert_eq!(world.run(&["audit", "test"]).0, 0, "all are as declared");
    let again = world.palisade(&["apply", "--resume", &run]).output().expect("palisade starts");
    assert_eq!(again.status.code(), Some(2));
    assert!(text(&again.stdout).contains("has ended"), "{}", text(&again.stdout));
    world.hosts.down();
}

#[test]
fn a_run_is_not_resumed_over_what_changed_meanwhile() {
    let Some(world) = World::up("a_run_is_not_resumed_over_what_changed_meanwhile", 3) else { return };
    world.killed("widen.arming", 0);
    let (_, runs, _) = world.run(&["runs"]);
    let run = runs["unfinished"][0]["run"].as_str().expect("a run").to_owned();

    let inventory = world.project().join("inventories/test.yaml");
    let before = std::fs::read_to_string(&inventory).expect("an inventory");
    std::fs::write(&inventory, format!("{before}# later\n")).expect("written");
    let (exit, refused, said) = world.run(&["apply", "--resume", &run]);
    assert_eq!(exit, 2, "{said}");
    let why = refused["error"].as_str().expect("why");
    assert!(why.contains("cannot be resumed") && why.contains("another state of the inventory"), "{why}");
    std::fs::write(&inventory, before).expect("written");

    // Somebody did a part of it on a host that was not begun.
    let other = world.host("host-2").expect("a host");
    other.sh("echo 'PermitRootLogin no' > /etc/ssh/sshd_config.d/00-palisade.conf").expect("written");
    let (exit, document, said) = world.run(&["apply", "--resume", &run, "--max-failures", "1"]);
    assert_eq!(exit, 6, "{said}");
    let state = |name: &str| host(&document, name)["state"].as_str().expect("a state").to_owned();
    assert_eq!(
        [state("host-1"), state("host-2"), state("host-3")],
        ["changed", "refused", "changed"].map(str::to_owned)
    );
    assert!(
        host(&document, "host-2")["reason"]
            .as_str()
            .expect("why")
            .contains("no longer as the run's plan saw it")
    );
    assert_eq!(world.run(&["apply", "test"]).0, 0, "starting anew is always safe");
    world.hosts.down();
}
