//! What palisade itself adds to a look at a fleet of 1,000 hosts, without any network: parse, resolve, write the
//! questions, read the answers, judge, plan. The answers are those of the machine that this runs on.
//!
//!     cargo bench --bench pipeline

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "a benchmark runs real programs and ends where anything fails"
)]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use jiff::Timestamp;
use palisade::domain::HostName;
use palisade::fleet::{Access, Job, JobInputs};
use palisade::inventory::{self, Fleet, Identities};
use palisade::known_hosts::KnownHosts;
use palisade::playbook::{self, Playbook};
use palisade::shell::{Nonce, Output};
use palisade::source::Sources;
use palisade::template::Templates;
use palisade::transport::{Bounds, Entry, Identity, LocalSession, Session as _};
use palisade::waiver::Waivers;
use palisade::{plan, probe};
use support::simulated::sources;

const HOSTS: usize = 1000;

/// Everything that a run reads from files.
struct Project {
    fleet: Fleet,
    playbook: Playbook,
    templates: Templates,
}

fn parse(sources: &Sources) -> Project {
    Project {
        fleet: inventory::parse(sources).unwrap_or_else(|refusals| {
            eprintln!("{}", refusals.annotated(false));
            std::process::exit(2)
        }),
        playbook: playbook::parse(sources).unwrap(),
        templates: Templates::read(sources).unwrap(),
    }
}

fn jobs(project: &Project) -> Vec<Job> {
    let inventory = project.fleet.environments.values().next().unwrap();
    let ground = JobInputs {
        fleet: &project.fleet,
        inventory,
        controls: &project.playbook.controls,
        identities: &Identities::default(),
        access: Access {
            user: "alice".parse().unwrap(),
            identity: Identity::default(),
            pins: Arc::new(KnownHosts::default()),
            connect_timeout: Duration::from_secs(15),
        },
        day: Timestamp::UNIX_EPOCH.to_zoned(jiff::tz::TimeZone::UTC).date(),
        waivers: &Waivers::default(),
        templates: &project.templates,
    };
    let hosts: Vec<&inventory::Host> = inventory.hosts.values().collect();
    ground.jobs(&hosts).unwrap_or_else(|errors| {
        for error in errors {
            eprintln!("{error}");
        }
        std::process::exit(2)
    })
}

fn nonce() -> Nonce {
    Nonce::new(*b"palisade's bench")
}

/// What this machine answers to the questions of one host.
fn answer(job: &Job) -> Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let session = LocalSession::new("here".parse::<HostName>().unwrap());
    let script = probe::script(&job.desired, &nonce());
    let bounds = Bounds { deadline: Duration::from_mins(1), bytes: 16 << 20 };
    runtime.block_on(session.run(&script, Entry::Plain, bounds)).unwrap()
}

fn understand(job: &Job, output: &Output) -> usize {
    let observation = probe::observe(&job.desired, &nonce(), output);
    let judged = plan::judge(&job.desired, &observation, Timestamp::UNIX_EPOCH);
    let facts = observation.facts.as_ref().unwrap();
    let planned = plan::plan(&job.desired, &observation, facts.machine_id.clone());
    judged.len() + planned.steps.len()
}

/// What this thread used of a processor so far: unlike the clock on the wall it does not count what others do (the first
/// field of proc(5)'s schedstat, in nanoseconds).
fn cpu() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    Duration::from_nanos(text.split(' ').next().and_then(|used| used.parse().ok()).unwrap_or_default())
}

fn pipeline(criterion: &mut Criterion) {
    let files = sources(HOSTS);
    let project = parse(&files);
    let jobs_of_all = jobs(&project);
    let output = answer(jobs_of_all.first().unwrap());
    eprintln!(
        "one host: {} bytes asked, {} bytes answered",
        probe::script(&jobs_of_all.first().unwrap().desired, &nonce()).to_stdin().len(),
        output.stdout.len() + output.stderr.len()
    );

    let mut group = criterion.benchmark_group(format!("{HOSTS} hosts"));
    group.sample_size(10);
    group.bench_function("parse", |bench| bench.iter(|| black_box(parse(&files))));
    group.bench_function("desired", |bench| bench.iter(|| black_box(jobs(&project))));
    group.bench_function("questions", |bench| {
        bench.iter(|| {
            jobs_of_all
                .iter()
                .map(|job| probe::script(&job.desired, &nonce()).to_stdin().len())
                .sum::<usize>()
        });
    });
    group.bench_function("read, judge and plan", |bench| {
        bench.iter(|| jobs_of_all.iter().map(|job| understand(job, &output)).sum::<usize>());
    });
    group.bench_function("all of it", |bench| {
        bench.iter(|| {
            let project = parse(&files);
            jobs(&project)
                .iter()
                .map(|job| probe::script(&job.desired, &nonce()).to_stdin().len() + understand(job, &output))
                .sum::<usize>()
        });
    });
    group.finish();
    let work = |name: &str, part: &dyn Fn() -> usize| {
        let (before, _, after) = (cpu(), black_box(part()), cpu());
        eprintln!("{name}: {} ms of CPU time", after.saturating_sub(before).as_millis());
    };
    let ask = |job: &Job| probe::script(&job.desired, &nonce()).to_stdin().len();
    work("parse", &|| parse(&files).playbook.controls.len());
    work("desired", &|| jobs(&project).len());
    work("questions", &|| jobs_of_all.iter().map(ask).sum());
    work("read, judge and plan", &|| jobs_of_all.iter().map(|job| understand(job, &output)).sum());
    work("all of it", &|| jobs(&parse(&files)).iter().map(|job| ask(job) + understand(job, &output)).sum());
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    for line in status.lines().filter(|line| line.starts_with("VmHWM")) {
        eprintln!("most memory in use: {}", line.split_whitespace().skip(1).collect::<Vec<_>>().join(" "));
    }
}

criterion_group!(benches, pipeline);
criterion_main!(benches);
