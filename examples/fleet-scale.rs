//! What thousands of hosts cost: memory, processor and time of an audit with all controls, record included, for fleets of
//! several sizes. No network: the hosts are simulated from what this machine answers, each after a random while, two of a
//! hundred sick. Every size runs in a process of its own, so that each begins with nothing.
//!
//!     cargo run --release --example fleet-scale -- [HOSTS ...]
//!
//! And a thousand real connections at the same machine, by SSH within this process, to an sshd on as many addresses of the
//! loopback network (root, /usr/sbin/sshd):
//!
//!     cargo run --release --example fleet-scale -- connections [HOSTS]
//!
//! And records of a large fleet, to measure what reading them takes:
//!
//!     cargo run --release --example fleet-scale -- records DIR HOSTS
//!
//! `FLEET_SCALE_SEED` repeats what befell the hosts.

#![expect(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a benchmark starts programs, reads clocks, prints what it saw, and ends where anything fails"
)]

#[path = "fleet-scale/connections.rs"]
mod connections;
#[path = "fleet-scale/records.rs"]
mod records;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use palisade::domain::Environment;
use palisade::event::{Event, Sink};
use palisade::fleet::{Interrupt, Run, run_id};
use palisade::program;

use palisade::record::{AsHostEntry as _, HostState, Line};
use palisade::report::text::Text;
use palisade::report::{Depth, Head, Page, Report, View};
use palisade::store::{Spool, Writing};
use palisade::transaction::Operator;
use palisade::transport::Connector;

use support::simulated::{Luck, Recorded, Simulated, SimulatedFleet};

/// Hosts at a time, where nothing else is asked for: palisade's own default.
const AT_A_TIME: usize = 32;
/// The longest that a simulated host takes.
const SLOWEST: Duration = Duration::from_millis(50);

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let seed = match std::env::var("FLEET_SCALE_SEED") {
        Ok(text) => text.parse().context("FLEET_SCALE_SEED is a number")?,
        Err(_) => u64::from(getrandom::u32()?),
    };
    match args.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["one", hosts] => one(hosts.parse()?, seed),
        ["connections"] => connections::all(1000),
        ["connections", hosts] => connections::all(hosts.parse()?),
        ["records", folder, hosts] => records::write(Path::new(folder), hosts.parse()?),
        sizes => {
            let sizes = if sizes.is_empty() { vec!["1000", "2500", "5000", "10000"] } else { sizes.to_vec() };
            println!("seed {seed}\n");
            println!(
                "| hosts | parse, resolve | ask, read, judge | record, report | CPU | most memory | record |"
            );
            println!("|---|---|---|---|---|---|---|");
            for hosts in sizes {
                let mut again = program::at(std::env::current_exe()?);
                again.args(["one", hosts]).env("FLEET_SCALE_SEED", seed.to_string());
                ensure!(again.status()?.success(), "{hosts} hosts failed");
            }
            Ok(())
        }
    }
}

struct Nobody;

impl Sink for Nobody {
    fn emit(&self, _: Event) {}
}

/// A run over hosts that `connector` reaches.
pub(crate) fn run_over(connector: Arc<dyn Connector>, concurrency: usize) -> Run {
    Run {
        connector,
        events: Arc::new(Nobody),
        operator: Operator { run: run_id(), who: "alice".parse().expect("a name"), from: "here".to_owned() },
        concurrency,
        rollback_timeout: Duration::from_mins(3),
        keep_sessions: false,
        interrupt: Interrupt::never(),
        breakpoints: None,
    }
}

fn one(hosts: usize, seed: u64) -> Result<()> {
    let root = tempfile::tempdir()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let begun = Instant::now();
    let fleet = SimulatedFleet::new(hosts, &[]);
    let jobs = fleet.jobs();
    let resolved = begun.elapsed();

    let recorded = runtime.block_on(Recorded::here(jobs.first().context("a host")?));
    let simulated = Arc::new(Simulated::new(seed, SLOWEST, recorded));
    let run = run_over(Arc::clone(&simulated) as _, AT_A_TIME);
    let begun = Instant::now();
    let mut spool = Spool::open(root.path(), &run.operator.run)?;
    let mut each = |result: &mut palisade::record::HostResult| {
        let raw = std::mem::take(&mut result.raw);
        spool.put(&result.host, &raw).expect("room on the disk");
    };
    let results = runtime.block_on(run.look_each(&jobs, &mut each));
    let looked = begun.elapsed();
    ensure!(results.len() == hosts, "{} of {hosts} hosts came back", results.len());
    let sick = jobs.iter().filter(|job| simulated.luck(&job.desired.host) != Luck::Well).count();
    let failed = results.iter().filter(|result| result.state != HostState::Answered).count();
    ensure!(sick == failed, "{failed} hosts failed, {sick} are sick");

    let begun = Instant::now();
    let head = Head {
        verb: "audit".to_owned(),
        environment: Some(Environment::Prod),
        run: run.operator.run.clone(),
        tool: env!("CARGO_PKG_VERSION").to_owned(),
        controls: Vec::new(),
        release: None,
        jump_connections: BTreeMap::new(),
        interrupted: false,
        evidence: None,
    };
    let report = Report::new(head, results);
    let mut record = Writing::begin(root.path(), "bench")?;
    for (job, result) in jobs.iter().zip(report.hosts()) {
        let (host, digest) = (&result.host, job.desired.digest());
        record.line(&Line::Desired { host, digest, resources: &job.desired.resources })?;
        let raw = spool.take(host)?.unwrap_or_default();
        record.line(&Line::Answer { host, at: result.at, raw: &raw })?;
        for line in result.entry().lines() {
            record.line(&line)?;
        }
    }
    let folder = record.finish(&run.operator.run)?;
    let text = Text { view: View { width: 100, all: false } };
    let shown = text.words(&Page::Run(&report, Depth::Diffs))?;
    ensure!(shown.lines().count() < 6 * sick + 200, "{} lines are not readable", shown.lines().count());
    let kept = begun.elapsed();
    let size = std::fs::metadata(folder.join(palisade::store::RECORD))?.len();
    println!(
        "| {hosts} | {:.2} s | {:.2} s | {:.2} s | {:.2} s | {} MB | {} MB |",
        resolved.as_secs_f64(),
        looked.as_secs_f64(),
        kept.as_secs_f64(),
        cpu().as_secs_f64(),
        most_memory() / 1000,
        size / 1_000_000
    );
    Ok(())
}

/// What this process used of the processors, its children not counted.
pub(crate) fn cpu() -> Duration {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // Behind the program's name, which may hold blanks: utime and stime are the 12th and 13th fields (proc(5)).
    let fields: Vec<&str> = text.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    let ticks: u64 = [11, 12].iter().filter_map(|at| fields.get(*at)?.parse::<u64>().ok()).sum();
    // USER_HZ is 100 on every architecture that Debian supports.
    Duration::from_millis(ticks * 10)
}

/// The most memory that this process held at any time, in kilobytes.
pub(crate) fn most_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or_default()
}
