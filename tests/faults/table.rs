//! The table of faults that docs/safety.md shows: what is expected of each, and on which distributions a run held it. A run
//! that is not whole, or a document that says something else, fails. It judges no host.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Mutex;

use crate::fault::{CLOCK, End, Fault, HOST_GROUPS, HostGroup, MACHINE_LANE, Step, TURN, strikes};
use crate::faults::suites_of;
use crate::machines::MACHINES;
use support::{Needs, section, tail};

support::tests! {
    Needs::LAB => [
        the_document_shows_what_is_struck,
        what_others_show_is_there,
        every_fault_has_a_name_of_its_own,
        four_turns_strike_each_fault_in_each_phase_on_each_distribution,
    ],
}

const BEGIN: &str = "<!-- faults: written by tests/faults, held by a test -->\n";
const END: &str = "<!-- faults end -->\n";

/// The distributions on whose machines all of it was seen to hold. A run takes longer than `cargo test` may.
const SEEN_ON_MACHINES: &str = "12, 13";

/// What is shown of a fault that is not a [`Fault`]: struck in a lane of its own.
struct Other {
    group: &'static str,
    name: &'static str,
    step: &'static str,
    /// What widen leaves, then what narrow leaves.
    leaves: [&'static str; 2],
    exit: &'static str,
}

const OTHERS: [Other; 9] = [
    Other {
        group: "Killed",
        name: "control node killed behind the rename that commits",
        step: "8",
        leaves: ["widened", "new"],
        exit: "killed",
    },
    Other {
        group: "PowerCut",
        name: "power cut behind the rename that commits",
        step: "8",
        leaves: ["widened; it goes on", "new"],
        exit: "0",
    },
    Other {
        group: "deaf",
        name: "the answer to the commit is lost",
        step: "8",
        leaves: ["widened; it goes on", "new"],
        exit: "0",
    },
    Other {
        group: "StaleLease",
        name: "a lease of another boot (widen), one whose time is over (narrow)",
        step: "2",
        leaves: ["widened; it is taken over", "new"],
        exit: "0",
    },
    Other {
        group: "gate",
        name: "an allowlist without our address",
        step: "1",
        leaves: ["old, untouched", "widened, untouched"],
        exit: "6",
    },
    Other {
        group: "race",
        name: "two operators at once",
        step: "2",
        leaves: ["one works, one is told who", "the same"],
        exit: "0 and 6",
    },
    Other {
        group: "pkg",
        name: "dpkg is killed in a package's script",
        step: "package",
        leaves: ["old, until somebody mends dpkg", ""],
        exit: "1, then 6",
    },
    Other {
        group: "pkg",
        name: "apt-daily holds dpkg's lock",
        step: "package",
        leaves: ["widened; it is waited for", "new"],
        exit: "0",
    },
    Other {
        group: "late",
        name: "the timer is stopped by hand, and the control node killed",
        step: "7",
        leaves: ["pending; old by the next run", ""],
        exit: "6",
    },
];

/// Faults that other tests let strike: what, how it must end, and which test of which file shows it.
const ELSEWHERE: [(&str, &str, &str, &str, &str); 8] = [
    (
        "host key changed",
        "refused, exit 6",
        "tests/lab/hostile.rs",
        include_str!("../lab/hostile.rs"),
        "hostile_hosts_harm_nobody_but_themselves",
    ),
    (
        "a dev address that answers with the prod host",
        "refused, exit 6",
        "tests/lab/enrol.rs",
        include_str!("../lab/enrol.rs"),
        "a_machine_of_another_environment_is_refused",
    ),
    (
        "sudo is broken from the start",
        "unreachable, exit 4",
        "tests/lab/hostile.rs",
        include_str!("../lab/hostile.rs"),
        "hostile_hosts_harm_nobody_but_themselves",
    ),
    (
        "forged frames, terminal escapes, garbage",
        "unknown, exit 4",
        "tests/lab/hostile.rs",
        include_str!("../lab/hostile.rs"),
        "hostile_hosts_harm_nobody_but_themselves",
    ),
    (
        "a host that never answers, slowly, or without end",
        "unreachable, exit 4",
        "tests/lab/hostile.rs",
        include_str!("../lab/hostile.rs"),
        "hostile_hosts_harm_nobody_but_themselves",
    ),
    (
        "a stale resume: the host changed meanwhile",
        "refused, exit 6",
        "tests/lab/fleet.rs",
        include_str!("../lab/fleet.rs"),
        "a_run_is_not_resumed_over_what_changed_meanwhile",
    ),
    (
        "a run over five hosts is killed, and resumed",
        "new, none touched twice, exit 0",
        "tests/lab/fleet.rs",
        include_str!("../lab/fleet.rs"),
        "a_run_that_was_killed_in_the_middle_goes_on_and_touches_nothing_twice",
    ),
    (
        "the control node is killed at random moments",
        "old, widened or new",
        "tests/faults/random.rs",
        include_str!("random.rs"),
        "a_run_that_is_killed_at_any_moment_leaves_a_whole_host",
    ),
];

/// Whether a fault is struck in a phase.
fn in_phase(other: &Other, phase: usize) -> bool {
    !other.leaves[phase].is_empty()
}

/// What was struck: fault, distribution, phase, and the seconds until all was in order.
#[derive(Default)]
pub(crate) struct Table(Mutex<BTreeMap<(String, String, &'static str), f32>>);

impl Table {
    fn note(&self, fault: &str, host: &str, phase: &'static str, took: f32) {
        let suite = host.rsplit('-').next().unwrap_or_default().to_owned();
        self.0.lock().unwrap().insert((fault.to_owned(), suite, phase), took);
    }

    pub(crate) fn struck(&self, fault: &Fault, host: &str, phase: &'static str, took: f32) {
        self.note(fault.name, host, phase, took);
    }

    /// A host was brought into the next state in this way.
    pub(crate) fn stepped(&self, step: Step, host: &str, phase: &'static str) {
        let group = format!("{step:?}");
        for other in OTHERS.iter().filter(|other| other.group == group) {
            self.note(other.name, host, phase, 0.0);
        }
    }

    /// All of a lane that is no list of faults.
    pub(crate) fn special(&self, group: &str, host: &str) {
        for other in OTHERS.iter().filter(|other| other.group == group) {
            for (number, phase) in ["widen", "narrow"].into_iter().enumerate() {
                if in_phase(other, number) {
                    self.note(other.name, host, phase, 0.0);
                }
            }
        }
    }

    pub(crate) fn strikes(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    /// Everything that the document says was struck.
    pub(crate) fn must_be_whole(&self) {
        let struck: BTreeSet<_> = self.0.lock().unwrap().keys().cloned().collect();
        let missing: Vec<_> = expected().into_iter().filter(|one| !struck.contains(one)).collect();
        assert!(missing.is_empty(), "not struck: {missing:?}");
    }

    /// Everything that is to be struck on machines.
    pub(crate) fn must_be_whole_on_machines(&self) {
        let struck: BTreeSet<_> = self.0.lock().unwrap().keys().cloned().collect();
        let missing: Vec<_> =
            expected_on_machines().into_iter().filter(|one| !struck.contains(one)).collect();
        assert!(missing.is_empty(), "not struck: {missing:?}");
    }

    /// The table of this run, with the seconds that each strike took, beside the test's other files.
    pub(crate) fn write(&self, file: &str, took: f32) {
        let mut text = format!("{} strikes in {took:.0} s\n\n", self.strikes());
        text.push_str("| fault | Debian | phase | seconds until all was in order |\n|---|---|---|---|\n");
        for ((fault, suite, phase), seconds) in self.0.lock().unwrap().iter() {
            let _ = writeln!(text, "| {fault} | {suite} | {phase} | {seconds:.1} |");
        }
        std::fs::write(Path::new(env!("CARGO_TARGET_TMPDIR")).join(file), text).unwrap();
    }
}

fn expected() -> Vec<(String, String, &'static str)> {
    let mut all = Vec::new();
    for suite in ["12", "13"] {
        for (number, phase) in ["widen", "narrow"].into_iter().enumerate() {
            let faults = HOST_GROUPS.iter().flat_map(|group| group.faults().enumerate());
            let faults = faults.filter(|(at, fault)| tail() || strikes(*TURN, *at, fault, phase, suite));
            let faults = faults.map(|(_, fault)| fault).filter(|fault| fault.in_widen || phase == "narrow");
            let faults = faults.map(|fault| fault.name);
            // The timer's own test has a lab of its own.
            let here = |group: &str| suites_of(group).any(|(one, _)| one == suite);
            let others = OTHERS
                .iter()
                .filter(|other| in_phase(other, number) && other.group != "late" && here(other.group));
            for name in faults.chain(others.map(|other| other.name)) {
                all.push((name.to_owned(), suite.to_owned(), phase));
            }
        }
    }
    all
}

fn expected_on_machines() -> Vec<(String, String, &'static str)> {
    let mut all = Vec::new();
    for (suite, _) in MACHINES {
        for phase in ["widen", "narrow"] {
            let faults = on_machines().filter(|fault| fault.in_widen || phase == "narrow");
            let names = faults.map(|fault| fault.name).chain(steps_of_machines().map(|other| other.name));
            all.extend(names.map(|name| (name.to_owned(), suite.to_owned(), phase)));
        }
    }
    all
}

fn four_turns_strike_each_fault_in_each_phase_on_each_distribution() {
    let mut struck = BTreeMap::new();
    for (group, turn) in HOST_GROUPS.iter().flat_map(|group| (0..4).map(move |turn| (group, turn))) {
        for (at, fault) in group.faults().enumerate() {
            let mut struck_now = 0;
            for (phase, suite) in [("widen", "12"), ("widen", "13"), ("narrow", "12"), ("narrow", "13")] {
                if strikes(turn, at, fault, phase, suite) {
                    struck_now += 1;
                    struck.entry(fault.name).or_insert_with(BTreeSet::new).insert((phase, suite));
                }
            }
            assert_eq!(struck_now, 1, "{}", fault.name);
        }
    }
    for fault in HOST_GROUPS.iter().flat_map(HostGroup::faults) {
        assert_eq!(struck[fault.name].len(), if fault.in_widen { 4 } else { 2 }, "{}", fault.name);
    }
}

/// What strikes virtual machines.
fn on_machines() -> impl Iterator<Item = &'static Fault> {
    MACHINE_LANE.faults().filter(|fault| fault.strikes_machines())
}

/// How a machine is brought from one state to the next.
fn steps_of_machines() -> impl Iterator<Item = &'static Other> {
    let step = format!("{:?}", MACHINE_LANE.step);
    OTHERS.iter().filter(move |other| other.group == step)
}

fn leaves(fault: &Fault, state: &str) -> String {
    let by: Vec<&str> = fault
        .back_by
        .iter()
        .map(|by| match *by {
            "timer" => "by its timer",
            "asked" => "asked to",
            "boot" => "at boot",
            other => other,
        })
        .collect();
    if by.is_empty() { format!("{state}, untouched") } else { format!("{state}, {}", by.join(" or ")) }
}

fn row(text: &mut String, fault: &Fault, suites: &str) {
    let exit = fault.end.exit().map_or_else(|| "killed".to_owned(), |code| code.to_string());
    let unknown = if fault.end == End::Unknown { ": not known" } else { "" };
    let _ = writeln!(
        text,
        "| {} | {} | {} | {} | {exit}{unknown} | {suites} |",
        fault.name,
        fault.step,
        if fault.in_widen { leaves(fault, "old") } else { String::new() },
        leaves(fault, "widened")
    );
}

fn other_row(text: &mut String, other: &Other, suites: &str) {
    let Other { name, step, leaves: [old, widened], exit, .. } = other;
    let _ = writeln!(text, "| {name} | {step} | {old} | {widened} | {exit} | {suites} |");
}

fn render() -> String {
    const HEAD: &str = "| fault | step | struck in widen, it leaves | struck in narrow, it leaves | exit | Debian |\n|---|---|---|---|---|---|\n";
    let by_step = |mut faults: Vec<&'static Fault>| {
        faults.sort_by_key(|fault| (fault.step, fault.name));
        faults
    };
    let mut text = String::from(HEAD);
    for fault in by_step(HOST_GROUPS.iter().flat_map(HostGroup::faults).collect()) {
        row(&mut text, fault, "12, 13");
    }
    for other in &OTHERS {
        other_row(&mut text, other, "12, 13");
    }
    text.push_str("\nStruck on virtual machines, which lose what was not yet written, and boot a kernel of their own:\n\n");
    text.push_str(HEAD);
    for fault in by_step(on_machines().collect()) {
        row(&mut text, fault, SEEN_ON_MACHINES);
    }
    for other in steps_of_machines() {
        other_row(&mut text, other, SEEN_ON_MACHINES);
    }
    text.push_str("\nStruck by other tests:\n\n| fault | end | test |\n|---|---|---|\n");
    for (fault, end, file, _, test) in &ELSEWHERE {
        let _ = writeln!(text, "| {fault} | {end} | `{file}`, `{test}` |");
    }
    text
}

fn the_document_shows_what_is_struck() {
    let table = format!("\n{}\n", render());
    section("docs/safety.md", BEGIN, END, &table);
}

fn what_others_show_is_there() {
    for (_, _, file, text, test) in &ELSEWHERE {
        assert!(text.contains(&format!("fn {test}(")), "{test} is not in {file}");
    }
}

fn every_fault_has_a_name_of_its_own() {
    let names: Vec<&str> = HOST_GROUPS
        .iter()
        .flat_map(HostGroup::faults)
        .map(|fault| fault.name)
        .chain(CLOCK.iter().map(|fault| fault.name))
        .chain(OTHERS.iter().map(|other| other.name))
        .collect();
    let distinct: BTreeSet<&str> = names.iter().copied().collect();
    assert_eq!(names.len(), distinct.len());
    assert!(names.iter().all(|name| !name.is_empty()));
}
