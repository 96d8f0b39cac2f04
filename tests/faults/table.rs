//! The table of faults that docs/safety.md shows: what is expected of each, and on which distributions a run held it. A run
//! that is not whole, or a document that says something else, fails. It judges no host.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Mutex;

use crate::fault::{CLOCK_LANE, End, Fault, LANES, Step, machine_lanes};

const SAFETY: &str = include_str!("../../docs/safety.md");
const BEGIN: &str = "<!-- faults: written by tests/faults, held by a test -->\n";
const END: &str = "<!-- faults end -->\n";

/// What is shown of a fault that is not a [`Fault`]: struck in a lane of its own.
struct Other {
    lane: &'static str,
    name: &'static str,
    step: &'static str,
    /// What widen leaves, then what narrow leaves.
    leaves: [&'static str; 2],
    exit: &'static str,
}

const OTHERS: [Other; 9] = [
    Other {
        lane: "Killed",
        name: "control node killed behind the rename that commits",
        step: "8",
        leaves: ["widened", "new"],
        exit: "killed",
    },
    Other {
        lane: "PowerCut",
        name: "power cut behind the rename that commits",
        step: "8",
        leaves: ["widened; it goes on", "new"],
        exit: "0",
    },
    Other {
        lane: "deaf",
        name: "the answer to the commit is lost",
        step: "8",
        leaves: ["widened; it goes on", "new"],
        exit: "0",
    },
    Other {
        lane: "StaleLease",
        name: "a lease of another boot (widen), one whose time is over (narrow)",
        step: "2",
        leaves: ["widened; it is taken over", "new"],
        exit: "0",
    },
    Other {
        lane: "gate",
        name: "an allowlist without our address",
        step: "1",
        leaves: ["old, untouched", "widened, untouched"],
        exit: "6",
    },
    Other {
        lane: "race",
        name: "two operators at once",
        step: "2",
        leaves: ["one works, one is told who", "the same"],
        exit: "0 and 6",
    },
    Other {
        lane: "pkg",
        name: "dpkg is killed in a package's script",
        step: "package",
        leaves: ["old, until somebody mends dpkg", ""],
        exit: "1, then 6",
    },
    Other {
        lane: "pkg",
        name: "apt-daily holds dpkg's lock",
        step: "package",
        leaves: ["widened; it is waited for", "new"],
        exit: "0",
    },
    Other {
        lane: "late",
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
        "tests/weather.rs",
        include_str!("../weather.rs"),
        "sick_hosts_harm_nobody_but_themselves",
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
        "tests/weather.rs",
        include_str!("../weather.rs"),
        "sick_hosts_harm_nobody_but_themselves",
    ),
    (
        "forged frames, terminal escapes, garbage",
        "unknown, exit 4",
        "tests/weather.rs",
        include_str!("../weather.rs"),
        "sick_hosts_harm_nobody_but_themselves",
    ),
    (
        "a host that never answers, slowly, or without end",
        "unreachable, exit 4",
        "tests/weather.rs",
        include_str!("../weather.rs"),
        "sick_hosts_harm_nobody_but_themselves",
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
        let lane = format!("{step:?}");
        for other in OTHERS.iter().filter(|other| other.lane == lane) {
            self.note(other.name, host, phase, 0.0);
        }
    }

    /// All of a lane that is no list of faults.
    pub(crate) fn special(&self, lane: &str, host: &str) {
        for other in OTHERS.iter().filter(|other| other.lane == lane) {
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
    pub(crate) fn write(&self, took: f32) {
        let mut text = format!("{} strikes in {took:.0} s\n\n", self.strikes());
        text.push_str("| fault | Debian | phase | seconds until all was in order |\n|---|---|---|---|\n");
        for ((fault, suite, phase), seconds) in self.0.lock().unwrap().iter() {
            let _ = writeln!(text, "| {fault} | {suite} | {phase} | {seconds:.1} |");
        }
        std::fs::write(Path::new(env!("CARGO_TARGET_TMPDIR")).join("faults.md"), text).unwrap();
    }
}

fn expected() -> Vec<(String, String, &'static str)> {
    let mut all = Vec::new();
    for suite in ["12", "13"] {
        for (number, phase) in ["widen", "narrow"].into_iter().enumerate() {
            let faults = LANES.iter().flat_map(|lane| lane.faults);
            let faults = faults.filter(|fault| fault.in_widen || phase == "narrow").map(|fault| fault.name);
            // The timer's own test has a lab of its own.
            let others = OTHERS.iter().filter(|other| in_phase(other, number) && other.lane != "late");
            for name in faults.chain(others.map(|other| other.name)) {
                all.push((name.to_owned(), suite.to_owned(), phase));
            }
        }
    }
    all
}

fn expected_on_machines() -> Vec<(String, String, &'static str)> {
    let mut all = Vec::new();
    for suite in ["12", "13"] {
        for lane in machine_lanes() {
            let step = format!("{:?}", lane.step);
            for phase in ["widen", "narrow"] {
                let faults = lane.faults.iter().filter(|fault| fault.strikes_machines());
                let faults =
                    faults.filter(|fault| fault.in_widen || phase == "narrow").map(|fault| fault.name);
                let steps = OTHERS.iter().filter(|other| other.lane == step).map(|other| other.name);
                all.extend(faults.chain(steps).map(|name| (name.to_owned(), suite.to_owned(), phase)));
            }
        }
    }
    all
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

fn render() -> String {
    let mut text = String::from(
        "| fault | step | struck in widen, it leaves | struck in narrow, it leaves | exit | Debian |\n|---|---|---|---|---|---|\n",
    );
    let mut faults: Vec<&Fault> = LANES.iter().flat_map(|lane| lane.faults).collect();
    faults.sort_by_key(|fault| (fault.step, fault.name));
    for fault in faults {
        let exit = fault.end.exit().map_or_else(|| "killed".to_owned(), |code| code.to_string());
        let unknown = if fault.end == End::Unknown { ": not known" } else { "" };
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {exit}{unknown} | 12, 13 |",
            fault.name,
            fault.step,
            if fault.in_widen { leaves(fault, "old") } else { String::new() },
            leaves(fault, "widened")
        );
    }
    for other in &OTHERS {
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | 12, 13 |",
            other.name, other.step, other.leaves[0], other.leaves[1], other.exit
        );
    }
    text.push_str("\nStruck by other tests:\n\n| fault | end | test |\n|---|---|---|\n");
    for (fault, end, file, _, test) in &ELSEWHERE {
        let _ = writeln!(text, "| {fault} | {end} | `{file}`, `{test}` |");
    }
    text
}

fn section() -> String {
    let (_, rest) = SAFETY.split_once(BEGIN).expect("docs/safety.md has the table");
    rest.split_once(END).expect("the table ends").0.to_owned()
}

#[test]
fn the_document_shows_what_is_struck() {
    let table = format!("\n{}\n", render());
    if std::env::var_os("PALISADE_UPDATE_SAFETY").is_some() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/safety.md");
        let (before, rest) = SAFETY.split_once(BEGIN).unwrap();
        let (_, after) = rest.split_once(END).unwrap();
        std::fs::write(path, format!("{before}{BEGIN}{table}{END}{after}")).unwrap();
        return;
    }
    assert_eq!(section(), table, "PALISADE_UPDATE_SAFETY=1 writes it");
}

#[test]
fn what_others_show_is_there() {
    for (_, _, file, text, test) in &ELSEWHERE {
        assert!(text.contains(&format!("fn {test}(")), "{test} is not in {file}");
    }
}

#[test]
fn every_fault_has_a_name_of_its_own() {
    let names: Vec<&str> = LANES
        .iter()
        .chain([&CLOCK_LANE])
        .flat_map(|lane| lane.faults)
        .map(|fault| fault.name)
        .chain(OTHERS.iter().map(|other| other.name))
        .collect();
    let distinct: BTreeSet<&str> = names.iter().copied().collect();
    assert_eq!(names.len(), distinct.len());
    assert!(names.iter().all(|name| !name.is_empty()));
}
