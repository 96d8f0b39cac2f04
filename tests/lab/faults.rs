//! What hits a change in the middle, on hosts of both distributions. After each fault the host is exactly as it was
//! before the phase that was hit, or as that phase makes it, never a mixture; palisade's word for it is the truth; and
//! a fresh login works in time.
//!
//! Hosts of one distribution differ in which faults they see. On each, every fault strikes in widen, then every fault
//! in narrow; each run finds what the one before left, and a plain apply ends it.

use std::time::{Duration, Instant};

use palisade::lab::{Fault as Loss, Suite, differences};
use serde_json::Value;

use crate::lane::{runs_here, say};
use crate::state::{Known, comparable, leftovers, snapshot};
use crate::world::{Inventory, Project, Ran, Running, World, host};

/// How long a host waits for confirmation in these tests.
const TIMEOUT: Duration = Duration::from_secs(8);

/// How much longer it may take until it can be entered.
const GRACE: Duration = Duration::from_secs(20);

/// What strikes while a change is held.
#[derive(Debug, Clone, Copy)]
enum Blow {
    /// palisade is killed, and can do nothing more.
    Kill,
    /// New connections are lost until the host has gone back.
    LoseConnections,
    /// New connections are lost until palisade has given up.
    LoseConnectionsForGood,
    /// The host is rebooted, as by its own administrator.
    Reboot,
    /// The host loses its power, and gets it back.
    PowerCut,
    /// Somebody presses Ctrl-C, or a supervisor ends palisade.
    Signal(&'static str),
    /// New connections are lost, and somebody presses Ctrl-C until palisade leaves.
    LeaveAlone,
}

/// One fault, whichever phase it strikes in.
#[derive(Debug)]
struct Fault {
    name: &'static str,
    /// Before which part of the phase.
    at: &'static str,
    blow: Blow,
    /// palisade's exit code; none where it was killed.
    exit: Option<i32>,
    /// What the JSON document says of the host; none where there is no document.
    state: Option<&'static str>,
    /// Words of the reason that it gives.
    reason: &'static str,
    /// What took the host back, as it wrote down itself.
    back_by: &'static str,
}

const KILLED_ARMED: Fault = Fault {
    name: "killed once armed",
    at: "validating",
    blow: Blow::Kill,
    exit: None,
    state: None,
    reason: "",
    back_by: "timer",
};
const KILLED_SWITCHED: Fault = Fault { name: "killed once switched", at: "verifying", ..KILLED_ARMED };
const CONNECTIONS_LOST: Fault = Fault {
    name: "new connections lost once switched",
    at: "verifying",
    blow: Blow::LoseConnections,
    exit: Some(5),
    state: Some("rolled-back"),
    reason: "unreachable",
    back_by: "timer",
};
const CONNECTIONS_LOST_FOR_GOOD: Fault = Fault {
    name: "new connections lost for good once switched",
    blow: Blow::LoseConnectionsForGood,
    exit: Some(1),
    state: Some("failed"),
    reason: "its state is not known",
    ..CONNECTIONS_LOST
};
const REBOOTED: Fault = Fault {
    name: "rebooted once switched",
    at: "verifying",
    blow: Blow::Reboot,
    exit: Some(5),
    state: Some("rolled-back"),
    reason: "no longer names this transaction as pending",
    back_by: "boot",
};
const POWER_CUT: Fault = Fault { name: "power cut once switched", blow: Blow::PowerCut, ..REBOOTED };
const INTERRUPTED_ARMED: Fault = Fault {
    name: "interrupted once armed",
    at: "validating",
    blow: Blow::Signal("INT"),
    exit: Some(1),
    state: Some("rolled-back"),
    reason: "interrupted",
    back_by: "asked",
};
const TERMINATED_SWITCHED: Fault = Fault {
    name: "terminated once switched",
    at: "verifying",
    blow: Blow::Signal("TERM"),
    ..INTERRUPTED_ARMED
};
const LEFT_ALONE: Fault = Fault {
    name: "interrupted twice while new connections are lost",
    at: "verifying",
    blow: Blow::LeaveAlone,
    state: Some("failed"),
    reason: "left before it was seen to go back: it does so by itself within",
    back_by: "timer",
    ..INTERRUPTED_ARMED
};

/// The hosts of one distribution, and what strikes each.
const LANES: [(&str, &[Fault]); 5] = [
    ("kill", &[KILLED_ARMED, KILLED_SWITCHED]),
    ("loss", &[CONNECTIONS_LOST]),
    ("gone", &[CONNECTIONS_LOST_FOR_GOOD]),
    ("boot", &[REBOOTED, POWER_CUT]),
    ("stop", &[INTERRUPTED_ARMED, TERMINATED_SWITCHED, LEFT_ALONE]),
];

const SUITES: [(&str, Suite); 2] = [("12", Suite::Bookworm), ("13", Suite::Trixie)];

#[test]
fn a_change_that_is_hit_is_taken_back_whole() {
    if !runs_here("a_change_that_is_hit_is_taken_back_whole") {
        return;
    }
    let names = |suffix: &str| {
        LANES
            .map(|(lane, _)| lane)
            .into_iter()
            .chain(["gate", "deaf", "race"])
            .map(|lane| format!("{lane}-{suffix}"))
            .collect()
    };
    let all: Vec<(Vec<String>, Suite)> = SUITES.map(|(suffix, suite)| (names(suffix), suite)).into();
    let world = World::up(all.iter().flat_map(|(names, suite)| names.iter().map(|name| host(name, *suite))));
    let projects = &ready(&world);
    let ends: Vec<Vec<(String, palisade::lab::Snapshot)>> = std::thread::scope(|scope| {
        let lanes: Vec<Vec<_>> = SUITES
            .iter()
            .map(|(suffix, _)| {
                let mut lanes: Vec<_> = LANES
                    .iter()
                    .map(|(lane, faults)| {
                        let name = format!("{lane}-{suffix}");
                        scope.spawn(move || (name.clone(), strike_all(projects, &name, faults)))
                    })
                    .collect();
                let gate = format!("gate-{suffix}");
                lanes.push(scope.spawn(move || (gate.clone(), gates(projects, &gate))));
                let deaf = format!("deaf-{suffix}");
                lanes.push(scope.spawn(move || (deaf.clone(), answers_lost(projects, &deaf))));
                let race = format!("race-{suffix}");
                lanes.push(scope.spawn(move || (race.clone(), both_at_once(projects, &race))));
                lanes
            })
            .collect();
        lanes.into_iter().map(|lanes| lanes.into_iter().map(|lane| lane.join().unwrap()).collect()).collect()
    });
    // Whatever a host went through, it ends as one that nothing befell.
    for lanes in &ends {
        let (calm, reference) = lanes.last().unwrap();
        for (name, end) in lanes {
            let differs = differences(&comparable(reference), &comparable(end));
            assert!(differs.is_empty(), "{name} does not end as {calm}: {differs:?}");
        }
    }
}

/// Two projects about the same hosts.
struct Projects<'w> {
    /// Where a host goes back by its timer.
    quick: Project<'w>,
    /// Where nothing is to go back by its timer, however slow the machine is.
    patient: Project<'w>,
}

impl<'w> Projects<'w> {
    fn of(&self, fault: &Fault) -> &Project<'w> {
        if fault.back_by == "timer" { &self.quick } else { &self.patient }
    }
}

/// All hosts of `world` enrolled; what apply would install is there, so that the rest is all that it changes.
fn ready(world: &World) -> Projects<'_> {
    for host in world.lab.hosts() {
        host.sh("apt-get -q update && apt-get -q -y install nftables").unwrap();
    }
    let patient = world.project("patient", &Inventory::default());
    patient.enrol();
    let quick = patient.variant("quick", &Inventory { rollback_timeout: "8s", ..Inventory::default() });
    Projects { quick, patient }
}

/// Every fault in widen, then every fault in narrow, then a plain apply and another one. Returns the end state.
fn strike_all(projects: &Projects, name: &str, faults: &[Fault]) -> palisade::lab::Snapshot {
    let world = projects.quick.world;
    let mut known = Known::default();
    if faults.iter().any(|fault| fault.back_by == "boot") {
        // What a system does once, at its first boot, is no part of what is compared. Somebody's user manager that is
        // told to stop while it starts would hold a reboot up for two minutes (systemd 257).
        world
            .host(name)
            .sh("mkdir /etc/systemd/system/user@.service.d && printf '[Service]\\nTimeoutStopSec=3\\n' \
                 >/etc/systemd/system/user@.service.d/lab.conf && systemctl daemon-reload")
            .unwrap();
        world.host(name).reboot().unwrap();
    }
    known.learn("old", snapshot(world, name));
    for fault in faults {
        let place = format!("widen.{}", fault.at);
        let mut run = projects.of(fault).apply_held(name, &[&place]);
        run.reaches(&place);
        struck(world, name, &known, fault, run, &Place { at: &place, state: "old", says: "old" });
    }
    let mut widening = projects.patient.apply_held(name, &["narrow.arming", "narrow.verifying"]);
    widening.reaches("narrow.arming");
    known.learn("widened", snapshot(world, name));
    let mut widening = Some(widening);
    for fault in faults {
        let place = format!("narrow.{}", fault.at);
        let (mut run, says) = match widening.take() {
            // In the run that widened, palisade knows at which of its two steps the host stands.
            Some(run) if fault.back_by == "boot" => {
                run.release("narrow.arming");
                (run, "widened")
            }
            Some(run) => {
                let id = killed_with_its_lease(projects, name, run);
                unlock(&projects.quick, name, &id, 0);
                (projects.of(fault).apply_held(name, &[&place]), "old")
            }
            None => (projects.of(fault).apply_held(name, &[&place]), "old"),
        };
        run.reaches(&place);
        struck(world, name, &known, fault, run, &Place { at: &place, state: "widened", says });
    }
    ends_well(&projects.patient, name, &mut known)
}

/// Where a fault strikes, the state in which the host is afterwards, and what palisade calls it: `old` is what its own
/// run found.
struct Place<'a> {
    at: &'a str,
    state: &'a str,
    says: &'a str,
}

/// Lets `fault` strike `run`, which stands at `place`, and checks the host afterwards.
fn struck(world: &World, name: &str, known: &Known, fault: &Fault, run: Running, place: &Place<'_>) {
    let title = format!("{name}, {}, {}", fault.name, place.at);
    let mut at = Instant::now();
    let ran = match fault.blow {
        Blow::Kill => {
            run.signal("KILL");
            run.end()
        }
        Blow::LoseConnections => {
            world.host(name).inject(Loss::NewConnections).unwrap();
            run.release(place.at);
            let back = gone_back(world, name, at + TIMEOUT + GRACE);
            world.host(name).lift_fault().unwrap();
            back.unwrap_or_else(|why| panic!("{title}: {why}"));
            run.end()
        }
        Blow::LoseConnectionsForGood => {
            world.host(name).inject(Loss::NewConnections).unwrap();
            run.release(place.at);
            let ran = run.end();
            world.host(name).lift_fault().unwrap();
            at = Instant::now();
            ran
        }
        Blow::Reboot => {
            world.host(name).reboot().unwrap();
            run.release(place.at);
            run.end()
        }
        Blow::PowerCut => {
            world.host(name).crash().unwrap();
            run.release(place.at);
            run.end()
        }
        Blow::Signal(signal) => {
            run.signal(signal);
            run.end()
        }
        Blow::LeaveAlone => {
            world.host(name).inject(Loss::NewConnections).unwrap();
            run.signal("INT");
            std::thread::sleep(Duration::from_millis(500));
            run.signal("INT");
            let ran = run.end();
            let left = at.elapsed();
            world.host(name).lift_fault().unwrap();
            assert!(left < TIMEOUT / 2, "{title}: it did not leave at once, but after {left:?}");
            ran
        }
    };
    let checked = judge(fault, &ran, place.says)
        .and_then(|()| holds(world, name, known, place.state, at + TIMEOUT + GRACE))
        .and_then(|()| went_back_by(world, name, fault.back_by));
    checked.unwrap_or_else(|why| panic!("{title}: {why}\n{}", ran.said));
    say(&format!("{title}: {} again after {:.1} s", place.state, at.elapsed().as_secs_f32()));
}

/// Whether palisade's word is the truth.
fn judge(fault: &Fault, ran: &Ran, state: &str) -> Result<(), String> {
    if ran.code != fault.exit {
        return Err(format!("exit {:?}, not {:?}", ran.code, fault.exit));
    }
    let Some(wanted) = fault.state else { return Ok(()) };
    let document = ran.json();
    let host = &document["hosts"][0];
    if host["state"] != wanted {
        return Err(format!("state {}, not {wanted}", host["state"]));
    }
    let holds = if wanted == "failed" { Value::Null } else { Value::from(state) };
    if host["holds"] != holds {
        return Err(format!("it says that the host holds {}, not {holds}", host["holds"]));
    }
    let reason = host["reason"].as_str().unwrap_or_default();
    if !reason.contains(fault.reason) {
        return Err(format!("the reason does not say `{}`: {reason}", fault.reason));
    }
    // What was seen of a change that was taken back is no verdict about the host.
    let verdict = if wanted == "failed" { "unknown" } else { "drift" };
    let judged: Vec<&Value> =
        host["controls"].as_array().into_iter().flatten().map(|control| &control["verdict"]).collect();
    let as_it_is = if wanted == "failed" {
        !judged.is_empty() && judged.iter().all(|word| **word == verdict)
    } else {
        judged.iter().any(|word| **word == verdict)
    };
    if as_it_is { Ok(()) } else { Err(format!("not {verdict}: {judged:?}")) }
}

/// Waits until nothing is pending on `name`, seen without its network.
fn gone_back(world: &World, name: &str, until: Instant) -> Result<(), String> {
    while world.has(name, "/var/lib/palisade/pending") || world.host(name).root().is_err() {
        if Instant::now() > until {
            return Err("it is still switched, and pending".to_owned());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// Whether, by `until`, nothing is pending, a fresh login works, nothing is left lying about, and everything is
/// exactly as in `state`.
fn holds(world: &World, name: &str, known: &Known, state: &str, until: Instant) -> Result<(), String> {
    gone_back(world, name, until)?;
    world.login(name, until)?;
    loop {
        let left = leftovers(world, name);
        if left.is_empty() {
            break;
        }
        if Instant::now() > until {
            return Err(format!("left behind: {left:?}"));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    known.expect(state, &snapshot(world, name))
}

/// Whether the last transaction of `name` was taken back by `what`.
fn went_back_by(world: &World, name: &str, what: &str) -> Result<(), String> {
    let said = world
        .host(name)
        .sh("cat \"$(ls -td /var/lib/palisade/tx/*/ | head -n 1)outcome\"")
        .map_err(|error| error.to_string())?;
    if said == format!("rolled-back {what}\n") {
        Ok(())
    } else {
        Err(format!("the host says {said:?}, not {what}"))
    }
}

/// A plain apply makes it new; another one asks once and changes nothing.
fn ends_well(project: &Project, name: &str, known: &mut Known) -> palisade::lab::Snapshot {
    let world = project.world;
    let ran = project.apply(name);
    assert_eq!(ran.code, Some(0), "{name}: {}", ran.said);
    known.learn("new", snapshot(world, name));
    nothing_more(project, name, known);
    known.get("new").clone()
}

fn nothing_more(project: &Project, name: &str, known: &Known) {
    let world = project.world;
    let ran = project.apply(name);
    assert_eq!(ran.code, Some(0), "{name}: {}", ran.said);
    let cost = &ran.json()["hosts"][0]["cost"];
    assert_eq!((&cost["connections"], &cost["execs"]), (&Value::from(1), &Value::from(1)), "{name}: {cost}");
    holds(world, name, known, "new", Instant::now() + GRACE).unwrap_or_else(|why| panic!("{name}: {why}"));
}

/// An allowlist without our address, and a second operator: refused before anything is touched, in either phase.
fn gates(projects: &Projects, name: &str) -> palisade::lab::Snapshot {
    let Projects { quick, patient } = projects;
    let world = quick.world;
    let mut known = Known::default();
    known.learn("old", snapshot(world, name));
    without_our_address(quick, name, &known, "old");

    let mut first = patient.apply_held(name, &["widen.validating", "narrow.arming"]);
    first.reaches("widen.validating");
    let armed = second_operator(quick, name);
    first.release("widen.validating");
    first.reaches("narrow.arming");
    known.learn("widened", snapshot(world, name));
    let leased = second_operator(quick, name);
    assert_eq!(armed["run"], leased["run"], "{name}: one run held it all the time");

    let run = killed_with_its_lease(projects, name, first);
    assert_eq!(leased["run"], run.as_str());
    unlock(quick, name, "20200101t000000z-00000000", 6);
    unlock(quick, name, &run, 0);
    let status = quick.run(quick.palisade(&["status", "prod", "--limit", name]));
    assert_eq!(status.code, Some(0), "{}", status.said);
    holds(world, name, &known, "widened", Instant::now() + GRACE)
        .unwrap_or_else(|why| panic!("{name}: {why}"));

    without_our_address(quick, name, &known, "widened");
    two_at_the_same_moment(patient, name, "narrow.arming");
    known.learn("new", snapshot(world, name));
    nothing_more(quick, name, &known);
    known.get("new").clone()
}

/// Kills `run`, which stands between two phases: it leaves its lease behind, and nothing else. Returns its id.
fn killed_with_its_lease(projects: &Projects, name: &str, run: Running) -> String {
    run.signal("KILL");
    assert_eq!(run.end().code, None);
    let holder = second_operator(&projects.quick, name);
    let id = holder["run"].as_str().unwrap().to_owned();
    let status = projects.quick.run(projects.quick.palisade(&["status", "prod", "--limit", name]));
    assert_eq!(status.code, Some(6), "{}", status.said);
    assert!(status.out.contains(&id), "{}", status.said);
    let runs = projects.patient.run(projects.patient.palisade(&["runs", "--format", "json"])).json();
    let open = runs["unfinished"].as_array().unwrap().iter();
    let (began, random) = id.split_once('-').unwrap();
    let name = format!("{began}-prod-apply-{random}");
    assert!(open.clone().any(|one| one["run"] == name.as_str()), "{name}: {runs}");
    id
}

fn unlock(project: &Project, name: &str, id: &str, code: i32) {
    let ran = project.run(project.palisade(&["unlock", name, "--tx", id]));
    assert_eq!(ran.code, Some(code), "{name}: {}", ran.said);
}

/// A second run while another one holds the host: exit 6, and who holds it.
fn second_operator(project: &Project, name: &str) -> Value {
    let ran = project.apply(name);
    assert_eq!(ran.code, Some(6), "{name}: {}", ran.said);
    let holder = ran.json()["hosts"][0]["holder"].clone();
    assert_eq!(holder["who"], "alice", "{name}: {}", ran.said);
    holder
}

/// The project's admin networks do not hold the address that the host sees us come from.
fn without_our_address(project: &Project, name: &str, known: &Known, state: &str) {
    let world = project.world;
    let elsewhere = project.variant(
        &format!("elsewhere-{name}-{state}"),
        &Inventory { admin: Some("192.0.2.10"), ..Inventory::default() },
    );
    // The units are judged by `holds`; some start for a moment because the look asks them.
    let own = || {
        let mut own = world.host(name).snapshot(&["/var/lib/palisade"]).unwrap();
        own.retain(|path, _| path.as_str() != "units");
        own
    };
    let before = own();
    let ran = elsewhere.apply(name);
    assert_eq!(ran.code, Some(6), "{name}: {}", ran.said);
    let document = ran.json();
    assert_eq!(document["hosts"][0]["state"], "refused", "{name}: {}", ran.said);
    assert!(ran.said.contains("which is no management source"), "{name}: {}", ran.said);
    holds(world, name, known, state, Instant::now() + GRACE)
        .unwrap_or_else(|why| panic!("{name}, elsewhere: {why}"));
    let written = differences(&before, &own());
    assert!(written.is_empty(), "{name}: something was written: {written:#?}");
}

/// Two runs that arm at the same moment: one does its work, the other is told who does.
fn two_at_the_same_moment(project: &Project, name: &str, place: &str) {
    let mut runs = [project.apply_held(name, &[place]), project.apply_held(name, &[place])];
    for run in &mut runs {
        run.reaches(place);
    }
    for run in &runs {
        run.release(place);
    }
    let mut ended: Vec<Ran> = runs.into_iter().map(Running::end).collect();
    ended.sort_by_key(|ran| ran.code);
    let [won, lost] = ended.as_slice() else { unreachable!() };
    assert_eq!((won.code, lost.code), (Some(0), Some(6)), "{name}: {}\n{}", won.said, lost.said);
    let holder = &lost.json()["hosts"][0]["holder"];
    assert_eq!(holder["run"], won.json()["run"], "{name}: {}", lost.said);
    assert_eq!(holder["who"], "alice", "{name}: {}", lost.said);
}

/// Two operators who begin at once, from the state in which a host is delivered.
fn both_at_once(projects: &Projects, name: &str) -> palisade::lab::Snapshot {
    let world = projects.patient.world;
    two_at_the_same_moment(&projects.patient, name, "widen.arming");
    let mut known = Known::default();
    known.learn("new", snapshot(world, name));
    nothing_more(&projects.quick, name, &known);
    known.get("new").clone()
}

/// The answers to both commits are lost with their connections: they count all the same. Then a signal between the
/// phases of a run that has nothing to do is none, and the host is free.
fn answers_lost(projects: &Projects, name: &str) -> palisade::lab::Snapshot {
    let world = projects.patient.world;
    // Between the commit and its answer, the timer is stopped.
    world
        .host(name)
        .sh("cat >/usr/local/sbin/systemctl <<'END'
#!/bin/sh
/usr/bin/systemctl \"$@\"
status=$?
case \"$*\" in 'stop palisade-rollback-'*) pkill -KILL -u alice sshd; echo lost >>/root/answers ;; esac
exit $status
END
chmod 0755 /usr/local/sbin/systemctl")
        .unwrap();
    let mut run = projects.patient.apply_held(name, &["narrow.arming"]);
    run.reaches("narrow.arming");
    run.signal("TERM");
    let ran = run.end();
    assert_eq!(ran.code, Some(1), "{name}: {}", ran.said);
    let document = ran.json();
    let host = &document["hosts"][0];
    assert_eq!(
        (&host["state"], &host["holds"]),
        (&Value::from("failed"), &Value::from("widened")),
        "{}",
        ran.said
    );
    assert!(ran.said.contains("confirmed; only the answer was lost"), "{name}: {}", ran.said);
    let status = projects.quick.run(projects.quick.palisade(&["status", "prod", "--limit", name]));
    assert_eq!(status.code, Some(0), "{name}: {}", status.said);

    let ran = projects.patient.apply(name);
    assert_eq!(ran.code, Some(0), "{name}: {}", ran.said);
    assert!(ran.said.contains("confirmed; only the answer was lost"), "{name}: {}", ran.said);
    assert_eq!(
        world.host(name).sh("cat /root/answers; rm /root/answers /usr/local/sbin/systemctl").unwrap(),
        "lost\nlost\n"
    );
    let mut known = Known::default();
    known.learn("new", snapshot(world, name));
    nothing_more(&projects.quick, name, &known);
    known.get("new").clone()
}

/// The proof of these tests: with the timer taken away, a host stays switched, and `holds` says so.
#[test]
fn a_host_whose_timer_is_taken_away_fails_these_tests() {
    if !runs_here("a_host_whose_timer_is_taken_away_fails_these_tests") {
        return;
    }
    let world = World::up(SUITES.map(|(suffix, suite)| host(&format!("late-{suffix}"), suite)));
    let projects = ready(&world);
    let hasty =
        projects.patient.variant("hasty", &Inventory { rollback_timeout: "5s", ..Inventory::default() });
    for (suffix, _) in SUITES {
        let name = &format!("late-{suffix}");
        let mut known = Known::default();
        known.learn("old", snapshot(&world, name));
        let mut run = hasty.apply_held(name, &["widen.verifying"]);
        run.reaches("widen.verifying");
        world.host(name).sh("systemctl stop 'palisade-rollback-*.timer'").unwrap();
        run.signal("KILL");
        run.end();
        let why = holds(&world, name, &known, "old", Instant::now() + Duration::from_secs(8)).unwrap_err();
        assert_eq!(why, "it is still switched, and pending");
        let why = known.expect("old", &snapshot(&world, name)).unwrap_err();
        assert!(why.contains("00-palisade-widen.conf"), "{why}");

        // The next run finds a change whose time is over, takes it back first, and asks to be run again.
        let ran = hasty.apply(name);
        assert_eq!(ran.code, Some(6), "{}", ran.said);
        holds(&world, name, &known, "old", Instant::now() + GRACE)
            .unwrap_or_else(|why| panic!("{name}: {why}"));
        went_back_by(&world, name, "asked").unwrap();
        ends_well(&projects.patient, name, &mut known);
    }
}
