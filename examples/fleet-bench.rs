//! What an audit of a fleet costs against the floor, in one run, on hosts of a lab:
//!
//! - (a) `xargs -P ssh host sh -s` with the very same questions, at the same key exchange,
//! - (b) `palisade audit` with SSH in its own process,
//! - (c) `palisade audit --transport openssh`.
//!
//! The contenders take turns, so that what the machine does meanwhile befalls all of them. Wall time, CPU time and
//! memory are those of the whole contender, its ssh processes included (a control group each).
//!
//!     cargo run --release --example fleet-bench -- [HOSTS] [ROUNDS]
//!
//! It needs root, and brings up and takes down what it needs.

#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a benchmark starts programs, reads clocks, and prints what it saw"
)]

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use palisade::domain::Environment;
use palisade::fleet::{Access, Ground, Job};
use palisade::known_hosts::KnownHosts;
use palisade::lab::{Host, Lab, LabEvent, Place, Spec, Suite, Suites, practice_fleet};
use palisade::probe;
use palisade::project::Project;
use palisade::shell::{ENTRY_ROOT, Nonce};
use palisade::transport::Identity;

/// How many hosts are worked on at a time, by every contender.
const CONCURRENCY: &str = "32";

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let hosts: u8 = args.next().map_or(Ok(10), |text| text.parse()).context("HOSTS is a number up to 200")?;
    let rounds: usize = args.next().map_or(Ok(10), |text| text.parse()).context("ROUNDS is a number")?;
    let palisade = build()?;
    let fleet = practice_fleet(hosts)?;
    // Debian 12's sshd and ssh know the same best key exchange as palisade: Curve25519.
    let spec = Spec::copy_of(&fleet, Suites::All(Suite::Bookworm))?;
    let tell = |event: &LabEvent| {
        if !matches!(event, LabEvent::Detail(_) | LabEvent::Ready(..)) {
            eprintln!("{event}");
        }
    };
    let lab = Lab::up(&Place::default(), &spec, &tell)?;
    let measured = measure(&lab, &fleet, &palisade, rounds);
    lab.down(&tell)?;
    print!("{}", table(usize::from(hosts), &measured?));
    Ok(())
}

/// The program in the same profile as this example.
fn build() -> Result<PathBuf> {
    let here = std::env::current_exe()?;
    let folder = here.parent().and_then(Path::parent).context("target/PROFILE/examples")?;
    let palisade = folder.join("palisade");
    ensure!(palisade.exists(), "{} is missing: cargo build --release", palisade.display());
    Ok(palisade)
}

/// What one turn of a contender took.
#[derive(Clone, Copy)]
struct Turn {
    wall: Duration,
    cpu: Duration,
    most_memory: u64,
}

struct Contender {
    name: &'static str,
    turns: Vec<Turn>,
}

fn measure(
    lab: &Lab,
    fleet: &palisade::inventory::Fleet,
    palisade: &Path,
    rounds: usize,
) -> Result<Vec<Contender>> {
    let root = lab.write_project(fleet, None, Duration::from_secs(30))?;
    let run = |verb: &[&str]| {
        let mut command = Command::new(palisade);
        command
            .args(verb)
            .args(["--as", "alice", "--format", "json", "--yes", "--concurrency", CONCURRENCY, "--project"])
            .arg(&root)
            .arg("--identity")
            .arg(lab.private_key("person-alice"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    };
    let mut enrol = run(&["enrol", "test", "--bootstrap-user", "debian"]);
    enrol.arg("--bootstrap-identity").arg(lab.private_key("vendor"));
    enrol.arg("--fingerprints").arg(lab.fingerprints());
    ensure!(enrol.status()?.success(), "enrolment failed");
    let floor = floor(lab, &root)?;
    let mut contenders =
        [("ssh, by xargs", Vec::new()), ("palisade, own SSH", Vec::new()), ("palisade, ssh(1)", Vec::new())]
            .map(|(name, turns)| Contender { name, turns });
    // The first round warms caches and counts for nobody.
    for round in 0..=rounds {
        let commands = [
            floor.command(),
            run(&["audit", "test", "--transport", "russh"]),
            run(&["audit", "test", "--transport", "openssh"]),
        ];
        for (place, (contender, command)) in contenders.iter_mut().zip(commands).enumerate() {
            let (turn, status) = timed(&command)?;
            let expected = if place == 0 { Some(0) } else { Some(3) };
            if status != expected {
                bail!("{} ended with {status:?}, not {expected:?}", contender.name);
            }
            if round > 0 {
                contender.turns.push(turn);
            }
        }
        eprintln!("round {round} of {rounds}");
    }
    Ok(contenders.into())
}

/// The same questions by plain ssh.
struct Floor {
    folder: PathBuf,
}

fn floor(lab: &Lab, root: &Path) -> Result<Floor> {
    let folder = lab.folder().join("bench");
    fs::create_dir_all(&folder)?;
    let project = Project::read(root).map_err(|refusals| anyhow::anyhow!("{}", refusals.annotated(false)))?;
    let estate = project.fleet.environments.get(&Environment::Test).context("an environment")?;
    let ground = Ground {
        fleet: &project.fleet,
        estate,
        controls: &project.playbook.controls,
        identities: &project.identities,
        access: Access {
            user: "alice".parse()?,
            identity: Identity::default(),
            pins: Arc::new(KnownHosts::default()),
            connect_timeout: Duration::from_secs(15),
        },
        day: jiff::Zoned::now().date(),
        waivers: &project.waivers,
        templates: &project.templates,
    };
    let hosts: Vec<_> = estate.hosts.values().collect();
    let jobs: Vec<Job> = ground.jobs(&hosts).map_err(|errors| anyhow::anyhow!("{errors:?}"))?;
    let mut addresses = String::new();
    for job in &jobs {
        let host = lab.host(job.desired.host.as_str())?;
        let address = Host::public_address(&host).context("a public address")?;
        writeln!(addresses, "{address}")?;
        let script = probe::script(&job.desired, &Nonce::new(*b"the floor of all"));
        fs::write(folder.join(format!("{address}.sh")), script.to_stdin())?;
    }
    fs::write(folder.join("addresses"), addresses)?;
    fs::write(folder.join("entry"), ENTRY_ROOT)?;
    let one = format!(
        "exec ssh -F none -o BatchMode=yes -o StrictHostKeyChecking=yes -o UserKnownHostsFile={} -o IdentitiesOnly=yes \
         -o IdentityAgent=none -o KexAlgorithms=curve25519-sha256 -o Ciphers=chacha20-poly1305@openssh.com -i {} alice@\"$1\" \
         \"$(cat {folder}/entry)\" <{folder}/\"$1\".sh >{folder}/\"$1\".out 2>{folder}/\"$1\".err\n",
        lab.folder().join("known_hosts").display(),
        lab.private_key("person-alice").display(),
        folder = folder.display(),
    );
    fs::write(folder.join("one"), one)?;
    Ok(Floor { folder })
}

impl Floor {
    fn command(&self) -> Command {
        let mut command = Command::new("xargs");
        command.args(["-P", CONCURRENCY, "-I{}", "-a"]).arg(self.folder.join("addresses"));
        command.arg("sh").arg(self.folder.join("one")).arg("{}").stdin(Stdio::null());
        command
    }
}

/// Runs `command` in a control group of its own.
fn timed(command: &Command) -> Result<(Turn, Option<i32>)> {
    let group = Group::new()?;
    let mut inside = Command::new("sh");
    inside.args([
        "-c",
        "for g in $1; do echo $$ >\"$g/cgroup.procs\" || exit 90; done; shift; exec \"$@\"",
        "sh",
    ]);
    inside.arg(group.folders.iter().map(|folder| folder.display().to_string()).collect::<Vec<_>>().join(" "));
    inside.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => inside.env(name, value),
            None => inside.env_remove(name),
        };
    }
    inside.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let begun = Instant::now();
    let status = inside.status()?;
    let wall = begun.elapsed();
    Ok((Turn { wall, cpu: group.cpu()?, most_memory: group.most_memory()? }, status.code()))
}

/// A control group: of version 2, or the two of version 1 that count CPU time and memory. Removed with this value.
struct Group {
    folders: Vec<PathBuf>,
    is_v2: bool,
}

impl Group {
    fn new() -> Result<Self> {
        let root = Path::new("/sys/fs/cgroup");
        let is_v2 = root.join("cgroup.controllers").exists();
        let parents =
            if is_v2 { vec![root.to_owned()] } else { vec![root.join("cpuacct"), root.join("memory")] };
        let name = format!("palisade-bench-{}", std::process::id());
        let folders: Vec<PathBuf> = parents.iter().map(|parent| parent.join(&name)).collect();
        let group = Self { folders, is_v2 };
        for folder in &group.folders {
            fs::create_dir(folder).with_context(|| format!("control group {}", folder.display()))?;
        }
        Ok(group)
    }

    fn read(&self, which: usize, file: &str) -> Result<String> {
        let path = self.folders.get(which).context("a folder")?.join(file);
        fs::read_to_string(&path).with_context(|| path.display().to_string())
    }

    fn cpu(&self) -> Result<Duration> {
        if self.is_v2 {
            let stat = self.read(0, "cpu.stat")?;
            let line =
                stat.lines().find_map(|line| line.strip_prefix("usage_usec ")).context("usage_usec")?;
            return Ok(Duration::from_micros(line.parse()?));
        }
        Ok(Duration::from_nanos(self.read(0, "cpuacct.usage")?.trim().parse()?))
    }

    fn most_memory(&self) -> Result<u64> {
        let text = if self.is_v2 {
            self.read(0, "memory.peak")?
        } else {
            self.read(1, "memory.max_usage_in_bytes")?
        };
        Ok(text.trim().parse()?)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        for folder in &self.folders {
            // A master of ssh that was told to end may need a moment.
            for _ in 0..100 {
                if fs::remove_dir(folder).is_ok() || !folder.exists() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(50));
            }
        }
        drop(std::io::stderr().flush());
    }
}

/// The middle one.
fn median<T: Copy + Ord>(mut all: Vec<T>) -> Option<T> {
    all.sort_unstable();
    all.get(all.len() / 2).copied()
}

fn table(hosts: usize, contenders: &[Contender]) -> String {
    let mut text = format!(
        "\n{hosts} hosts, medians of {} turns each, {CONCURRENCY} at a time\n\n| contender | wall | CPU | most memory | wall, of the \
         floor | CPU, of the floor |\n|---|---|---|---|---|---|\n",
        contenders.first().map_or(0, |one| one.turns.len())
    );
    let of = |one: &Contender| {
        let wall = median(one.turns.iter().map(|turn| turn.wall).collect());
        let cpu = median(one.turns.iter().map(|turn| turn.cpu).collect());
        let memory = median(one.turns.iter().map(|turn| turn.most_memory).collect());
        Some((wall?.as_secs_f64(), cpu?.as_secs_f64(), memory?))
    };
    let Some(floor) = contenders.first().and_then(of) else { return text };
    for one in contenders {
        let Some((wall, cpu, memory)) = of(one) else { continue };
        let _ = writeln!(
            text,
            "| {} | {wall:.2} s | {cpu:.2} s | {} MB | {:.2} | {:.2} |",
            one.name,
            memory / 1_000_000,
            wall / floor.0,
            cpu / floor.1
        );
    }
    text
}
