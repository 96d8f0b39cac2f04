//! Many hosts and several operators, on real hosts: who holds a host is told and waited for, what dead runs leave is
//! given free.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use palisade::lab::{Spec, Suites, practice_fleet};
use support::{Needs, PATIENT, Running, World, of_host, wait_for};

support::tests! {
    Needs::LAB => [
        of_two_operators_one_works_and_the_other_is_told_who_or_waits,
        what_a_dead_run_leaves_is_shown_and_given_free_by_name_alone,
        a_run_that_was_killed_in_the_middle_goes_on_and_touches_nothing_twice,
        a_run_is_not_resumed_over_what_changed_meanwhile,
    ],
}

/// What is applied here: enough for both phases. The questions and packages of all other controls take a host four times
/// as long, and whoever holds it does not matter to them.
const THESE: [&str; 6] = ["--control", "firewall", "--control", "key-only", "--control", "server-access"];

/// `apply test` of these controls, with more words.
fn apply<'a>(words: &[&'a str]) -> Vec<&'a str> {
    [&["apply", "test"], &THESE[..], words].concat()
}

/// So many enrolled hosts, of both distributions in turn, in the environment test.
fn enrolled(hosts: u8) -> World {
    let fleet = practice_fleet(hosts).expect("a fleet");
    let spec = Spec::copy_of(&fleet, Suites::InTurn).expect("a lab").stocked();
    World::enrolled(&fleet, &spec, PATIENT)
}

/// Lets hosts wait so long for confirmation from now on.
fn rollback_after(world: &World, before: Duration, after: Duration) {
    let seconds = |time: Duration| format!("{}s", time.as_secs());
    world.edit("inventories/fleet.yaml", &seconds(before), &seconds(after));
}

/// An apply that stands before `stage` until it is let go.
fn held(world: &World, stage: &str, words: &[&str]) -> Running {
    let mut run = world.palisade(apply(words)).held(&[stage]);
    run.reaches(stage);
    run
}

/// How many transactions of a host ended so; one was taken back when it was enrolled.
fn ended(world: &World, host: &str, how: &str) -> usize {
    let state = world.sh(host, "ls /var/lib/palisade");
    state.lines().filter(|name| name.strip_prefix(how).is_some_and(|rest| rest.starts_with('-'))).count()
}

/// The transactions of every host, by id, with the one from its enrolment.
fn transactions(world: &World) -> BTreeMap<String, BTreeSet<String>> {
    let of = |host: &str| {
        let state = world.sh(host, "ls /var/lib/palisade");
        let ended =
            state.lines().filter(|name| name.starts_with("confirmed-") || name.starts_with("rolled-back-"));
        ended.map(str::to_owned).collect()
    };
    world.hosts().map(|host| (host.name().to_string(), of(host.name().as_str()))).collect()
}

/// An apply over all hosts, one after the other, that stands within the narrow phase of one, after `done` others that are
/// changed and confirmed.
fn held_after(world: &World, done: usize) -> Running {
    let [begin, middle] = ["widen.arming", "narrow.verifying"];
    let mut run = world.palisade(apply(&["--batch", "1"])).held(&[begin, middle]);
    for host in 0..=done {
        run.reaches(begin);
        if host > 0 {
            run.hold_again(middle);
        }
        run.release(begin);
        run.reaches(middle);
        if host < done {
            run.hold_again(begin);
            run.release(middle);
        }
    }
    let finished = || run.said().matches("changed and confirmed").count();
    wait_for(&format!("{done} hosts are done"), || finished() >= done);
    assert_eq!(finished(), done, "it stands where it should");
    run
}

/// Lines of a narrow terminal as one.
fn unwrapped(said: &str) -> String {
    said.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn of_two_operators_one_works_and_the_other_is_told_who_or_waits() {
    let world = enrolled(1);
    let first = held(&world, "widen.verifying", &[]);

    let (exit, status, _) = world.run(&["status", "test"]);
    let shown = of_host(&status, "host-1");
    assert_eq!((exit, &shown["state"], &shown["holder"]["who"]), (6, &"pending".into(), &"alice".into()));

    let (exit, refused, said) = world.run(&apply(&[]));
    let shown = of_host(&refused, "host-1");
    assert_eq!((exit, &shown["state"]), (6, &"refused".into()), "{said}");
    let reason = shown["reason"].as_str().expect("a reason");
    let from = std::fs::read_to_string("/proc/sys/kernel/hostname").expect("a name");
    for part in ["a change of alice", &format!("from {}", from.trim()), " since 2", " goes back at 2"] {
        assert!(reason.contains(part), "{part} is not in {reason}");
    }
    assert_eq!(shown["holder"]["run"].as_str(), status["hosts"][0]["holder"]["run"].as_str());
    let (exit, _, _) = world.run(&apply(&["--wait-lease", "1s"]));
    assert_eq!(exit, 6, "the time is over and it is still held");

    let mut second = world.palisade(apply(&["--wait-lease", "10min"])).start();
    wait_for("the second one waits", || {
        let ended = second.has_ended();
        let waits = unwrapped(&second.said()).contains("; waiting");
        assert!(waits || !ended, "it does not wait: {}", second.said());
        waits
    });
    let first = first.goes_on().exits(0);
    assert_eq!(of_host(&first.json(), "host-1")["state"], "changed", "{}", first.err);
    let second = second.end().exits(0);
    assert_eq!(of_host(&second.json(), "host-1")["state"], "answered", "{}", second.err);
    assert!(unwrapped(&second.err).contains("host-1: a change of alice"), "{}", second.err);
    assert_eq!((ended(&world, "host-1", "confirmed"), ended(&world, "host-1", "rolled-back")), (2, 1));
    assert_eq!(world.run(&["status", "test"]).0, 0);
    world.down();
}

fn what_a_dead_run_leaves_is_shown_and_given_free_by_name_alone() {
    let world = enrolled(2);
    let one = &["--limit", "host-1"];
    let unlock = |id: &str| world.palisade(["unlock", "host-1", "--tx", id]).run();

    // Between the two phases: nothing is pending, the lease stands.
    held(&world, "narrow.arming", one).dies();
    let (exit, status, _) = world.run(&["status", "test"]);
    assert_eq!((exit, &of_host(&status, "host-1")["state"]), (6, &"held".into()), "{status:#}");
    assert_eq!(of_host(&status, "host-2")["state"], "free");
    let run = of_host(&status, "host-1")["holder"]["run"].as_str().expect("a run").to_owned();
    assert_eq!(world.run(&apply(&["--limit", "host-1"])).0, 6);
    let wrong = unlock("20200101t000000z-00000000");
    assert_eq!(wrong.code, Some(6), "{}", wrong.said());
    assert!(wrong.err.contains(&run), "{}", wrong.err);
    let _ = unlock(&run).exits(0);
    assert_eq!(of_host(&world.run(&["status", "test"]).1, "host-1")["state"], "free");
    assert_eq!(unlock(&run).code, Some(6), "nobody holds it any more");

    // Within narrow: it is pending, and goes back to widened at once.
    held(&world, "narrow.verifying", one).dies();
    let (exit, status, _) = world.run(&["status", "test"]);
    let shown = of_host(&status, "host-1");
    assert_eq!((exit, &shown["state"]), (6, &"pending".into()), "{status:#}");
    let tx = shown["pending"].as_str().expect("a transaction").to_owned();
    assert_eq!(unlock(&run).code, Some(6), "it is another run's");
    let _ = unlock(&tx).exits(0);
    assert_eq!(world.run(&["status", "test"]).0, 0);
    assert_eq!((ended(&world, "host-1", "confirmed"), ended(&world, "host-1", "rolled-back")), (1, 2));

    // A dead run's change goes back by itself, and who waits for that needs no unlocking.
    let soon = Duration::from_mins(1);
    rollback_after(&world, PATIENT, soon);
    held(&world, "narrow.verifying", one).dies();
    rollback_after(&world, soon, PATIENT);
    let (exit, _, said) = world.run(&apply(&["--limit", "host-1", "--wait-lease", "10min"]));
    assert_eq!(exit, 0, "{said}");
    assert_eq!((ended(&world, "host-1", "confirmed"), ended(&world, "host-1", "rolled-back")), (2, 3));
    world.down();
}

fn a_run_that_was_killed_in_the_middle_goes_on_and_touches_nothing_twice() {
    let world = enrolled(5);
    held_after(&world, 2).dies();
    let killed = transactions(&world);
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
    let after = transactions(&world);
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
    assert_eq!(world.run(&[&["audit", "test"], &THESE[..]].concat()).0, 0, "all are as declared");
    let again = world.palisade(["apply", "--resume", &run]).run().exits(2);
    assert!(again.out.contains("has ended"), "{}", again.said());
    world.down();
}

fn a_run_is_not_resumed_over_what_changed_meanwhile() {
    let world = enrolled(3);
    held(&world, "widen.arming", &["--batch", "1"]).dies();
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
    world.sh("host-2", "echo 'PermitRootLogin no' > /etc/ssh/sshd_config.d/00-palisade.conf");
    let (exit, document, said) = world.run(&["apply", "--resume", &run, "--max-failures", "1"]);
    assert_eq!(exit, 6, "{said}");
    let state = |name: &str| of_host(&document, name)["state"].as_str().expect("a state").to_owned();
    assert_eq!(
        [state("host-1"), state("host-2"), state("host-3")],
        ["changed", "refused", "changed"].map(str::to_owned)
    );
    assert!(
        of_host(&document, "host-2")["reason"]
            .as_str()
            .expect("why")
            .contains("no longer as the run's plan saw it")
    );
    assert_eq!(world.run(&apply(&[])).0, 0, "starting anew is always safe");
    world.down();
}
