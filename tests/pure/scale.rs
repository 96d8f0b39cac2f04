//! Ten thousand hosts that are not there: none is lost, none is asked twice, no more at a time than was said, and what a
//! person reads begins with those that failed. How long that takes, and how much memory, `examples/fleet-scale.rs` says.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use palisade::domain::{Environment, HostName};
use palisade::event::{Event, Sink};
use palisade::fleet::{Interrupt, Run, run_id};
use palisade::program::Program;
use palisade::record::ControlLine;
use palisade::record::HostState;
use palisade::report::text::{Text, hints};
use palisade::report::{Depth, Head, Page, Report, View};
use palisade::transaction::Operator;
use support::simulated::{Luck, Recorded, Simulated, SimulatedFleet};
use support::{Needs, block_on, note};

support::tests! {
    // What this machine answers is what all hosts answer.
    Needs::programs(&[Program::Sh, Program::Perl]) => [
        ten_thousand_hosts_are_each_asked_once_and_none_is_lost,
    ],
}

const HOSTS: usize = 10_000;
const AT_A_TIME: usize = 64;
const WIDTH: usize = 100;

#[derive(Default)]
struct Counted(Mutex<(BTreeSet<HostName>, BTreeSet<HostName>)>);

impl Sink for Counted {
    fn emit(&self, event: Event) {
        let (asking, asked) = &mut *self.0.lock().unwrap();
        match event {
            Event::Asking { host } => assert!(asking.insert(host), "asked twice"),
            Event::Asked { host, .. } => {
                assert!(asking.contains(&host), "{host} answered before it was asked");
                assert!(asked.insert(host), "it answered twice");
            }
            other => panic!("{other:?}"),
        }
    }
}

fn ten_thousand_hosts_are_each_asked_once_and_none_is_lost() {
    let seed = u64::from(getrandom::u32().unwrap());
    note(&format!("seed {seed}"));
    // Two small controls: what palisade does with a host is the same, whatever it is asked.
    let fleet = SimulatedFleet::new(HOSTS, &["hosting", "time"]);
    let jobs = fleet.jobs();
    let recorded = block_on(Recorded::here(jobs.first().unwrap()));
    let simulated = Arc::new(Simulated::new(seed, Duration::from_millis(20), recorded));
    let events = Arc::new(Counted::default());
    let run = Run {
        connector: Arc::clone(&simulated) as _,
        events: Arc::clone(&events) as _,
        operator: Operator { run: run_id(), who: "alice".parse().unwrap(), from: "here".to_owned() },
        concurrency: AT_A_TIME,
        keep_sessions: false,
        rollback_timeout: Duration::from_mins(3),
        interrupt: Interrupt::never(),
        breakpoints: None,
    };
    let mut raw = 0;
    let mut each = |result: &mut palisade::record::HostResult| {
        raw += usize::from(!std::mem::take(&mut result.raw).is_empty());
    };
    let results = block_on(run.look_each(&jobs, &mut each));

    let wanted: Vec<&HostName> = jobs.iter().map(|job| &job.desired.host).collect();
    let named: Vec<&HostName> = results.iter().map(|result| &result.host).collect();
    assert_eq!(named, wanted, "each once, in the inventory's order");
    assert_eq!(events.0.lock().unwrap().1.len(), HOSTS, "progress told of each");
    let hosts = &simulated.seen;
    assert_eq!(hosts.connections.lock().unwrap().len(), HOSTS);
    assert!(hosts.connections.lock().unwrap().values().all(|connections| *connections == 1));
    assert!(results.iter().all(|result| result.cost.connections == 1));
    assert!(hosts.most_open.load(Ordering::SeqCst) <= AT_A_TIME);
    let luck = |wanted: Luck| wanted_hosts(&simulated, &wanted_names(&jobs), wanted);
    let away = luck(Luck::Away);
    assert_eq!(hosts.execs.load(Ordering::SeqCst), HOSTS - away.len());
    for result in &results {
        let state = match simulated.luck(&result.host) {
            Luck::Well => matches!(result.state, HostState::Answered),
            Luck::Away | Luck::Silent | Luck::Broken => {
                matches!(result.state, HostState::Unreachable { .. })
            }
            Luck::Other => matches!(result.state, HostState::Refused { .. }),
        };
        assert!(state, "{}: {:?}", result.host, result.state);
    }
    assert_eq!(raw, luck(Luck::Well).len() + luck(Luck::Other).len(), "what was answered was handed on");

    let head = Head {
        verb: "audit".to_owned(),
        environment: Some(Environment::Prod),
        run: run_id(),
        tool: "0".to_owned(),
        controls: fleet
            .controls
            .iter()
            .map(|control| ControlLine {
                id: control.id.clone(),
                title: control.title.clone(),
                severity: control.severity.as_str().to_owned(),
                promise: control.promise.as_str().to_owned(),
                origin: control.origin.as_str().to_owned(),
            })
            .collect(),
        release: None,
        jump_connections: BTreeMap::new(),
        interrupted: false,
        evidence: None,
    };
    let report = Report::new(head, results);
    readable(&report, HOSTS - luck(Luck::Well).len());
    let summary = report.tally().summary;
    assert_eq!((summary.hosts, summary.total), (HOSTS, 2 * HOSTS));
    assert_eq!(report.exit(), 6, "a host that is another machine is no small thing");
}

fn wanted_names(jobs: &[palisade::fleet::Job]) -> Vec<HostName> {
    jobs.iter().map(|job| job.desired.host.clone()).collect()
}

fn wanted_hosts(simulated: &Simulated, hosts: &[HostName], luck: Luck) -> Vec<HostName> {
    hosts.iter().filter(|host| simulated.luck(host) == luck).cloned().collect()
}

/// Refused hosts first, then those that gave no answer, then all others in a few lines, and the summary last.
fn readable(report: &Report, failed: usize) {
    let view = View { width: WIDTH, all: false };
    let text = Text { view }.words(&Page::Run(report, Depth::Diffs)).unwrap();
    let text = anstream::adapter::strip_str(&text).to_string();
    let lines: Vec<&str> = text.lines().collect();
    let at = |words: &str| lines.iter().position(|line| line.contains(words));
    let rank = [at("another machine"), at("no route to host"), at("hosts, ")];
    assert!(failed > 0 && rank.iter().all(Option::is_some), "{rank:?}");
    assert!(rank.is_sorted(), "{rank:?}");
    assert!(lines.last().is_some_and(|line| line.starts_with("10000 hosts, ")), "{:?}", lines.last());
    assert!(lines.iter().all(|line| line.chars().count() <= WIDTH));
    // Hosts of which the same is said share a block: what ten thousand amount to fits on a few screens.
    assert!(lines.len() < 6 * failed + 50, "{} lines", lines.len());
    for hint in hints(report) {
        assert!(hint.len() < 400, "{hint}");
    }
}
