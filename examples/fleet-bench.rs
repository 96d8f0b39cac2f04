//! What an audit of a fleet costs against the floor, in one run, on hosts of a lab:
//!
//! - (a) `xargs -P ssh host true`, which asks nothing: what a login costs,
//! - (b) `xargs -P ssh host sh -s` with the very same questions, at the same key exchange: the floor,
//! - (c) `palisade audit` with SSH in its own process,
//! - (d) `palisade audit --transport openssh`,
//! - Ansible and pyinfra reading about the same, where they are on the path or in the folder `FLEET_BENCH_PEERS` names.
//!
//! The contenders take turns, each round begun by another, so that what the machine does meanwhile befalls all of them;
//! ratios are taken within a round. Wall time, CPU time and memory are those of the whole contender, its ssh processes
//! included (a control group each). A turn in which something failed is taken again, twice at most, and said.
//!
//!     cargo build --release && cargo run --release --example fleet-bench -- [HOSTS] [ROUNDS] [CONTROL ...]
//!
//! With controls named, all contenders but the peers ask for these alone: a cheap one (`time`) shows what entering costs,
//! where all of them together show what the hosts' answering costs. It needs root, and brings up and takes down what it needs. For the peers, before it:
//!
//!     python3 -m venv ~/peers && ~/peers/bin/pip install ansible-core pyinfra; export FLEET_BENCH_PEERS=~/peers/bin

#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a benchmark starts programs, reads clocks, and prints what it saw"
)]

#[path = "fleet-bench/peers.rs"]
mod peers;

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use palisade::domain::{ControlId, Environment};
use palisade::fleet::{Access, Job, JobInputs};
use palisade::known_hosts::KnownHosts;
use palisade::lab::{Host, Lab, LabEvent, LabFolder, Spec, Suite, Suites, practice_fleet};
use palisade::playbook::Control;
use palisade::probe;
use palisade::program::{self, Program};
use palisade::project::Project;
use palisade::shell::{ENTRY_ROOT, Nonce};
use palisade::transport::Identity;

/// How many hosts are worked on at a time, by every contender.
pub(crate) const CONCURRENCY: &str = "32";

/// How often a turn is taken in which something failed.
const ATTEMPTS: u32 = 3;

/// The contender that the ratios are of.
const FLOOR: &str = "ssh, by xargs";

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let hosts: u8 = args.next().map_or(Ok(10), |text| text.parse()).context("HOSTS is a number up to 200")?;
    let rounds: usize = args.next().map_or(Ok(10), |text| text.parse()).context("ROUNDS is a number")?;
    let only: Vec<ControlId> = args.map(|id| id.parse()).collect::<Result<_, _>>()?;
    let palisade = build()?;
    let fleet = practice_fleet(hosts)?;
    // Debian 12's sshd and ssh know the same best key exchange as palisade: Curve25519.
    let spec = Spec::copy_of(&fleet, Suites::All(Suite::Bookworm))?;
    let tell = |event: &LabEvent| {
        if !matches!(event, LabEvent::Detail(_) | LabEvent::Ready(..)) {
            eprintln!("{event}");
        }
    };
    let lab = Lab::up(&LabFolder::default(), &spec, &tell)?;
    let measured = measure(&lab, &fleet, &palisade, rounds, &only);
    drop(fs::remove_file(said()));
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
    /// How it ends where all went well.
    expected: i32,
    command: Command,
    turns: Vec<Turn>,
}

impl Contender {
    fn new(name: &'static str, expected: i32, command: Command) -> Self {
        Self { name, expected, command, turns: Vec::new() }
    }

    fn turn(&self) -> Result<Turn> {
        for attempt in 1..=ATTEMPTS {
            let (turn, status) = timed(&self.command)?;
            if status == Some(self.expected) {
                return Ok(turn);
            }
            let said = fs::read_to_string(said()).unwrap_or_default();
            let lines: Vec<&str> = said.lines().collect();
            eprintln!("{}", lines.get(lines.len().saturating_sub(12)..).unwrap_or_default().join("\n"));
            eprintln!(
                "{} ended with {status:?}, not {}: turn {attempt} does not count",
                self.name, self.expected
            );
        }
        bail!("{} failed {ATTEMPTS} times in a row", self.name)
    }
}

fn measure(
    lab: &Lab,
    fleet: &palisade::inventory::Fleet,
    palisade: &Path,
    rounds: usize,
    only: &[ControlId],
) -> Result<Vec<Contender>> {
    let root = lab.write_project(fleet, None, Duration::from_secs(30))?;
    let run = |verb: &[&str]| {
        let mut command = program::at(palisade);
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
    let floor = floor(lab, &root, only)?;
    let audit = |transport: &str| {
        let mut command = run(&["audit", "test", "--transport", transport]);
        for id in only {
            command.arg("--control").arg(id.as_str());
        }
        command
    };
    // Hosts that were enrolled and not changed yet are not as declared, unless what is asked for is so anyway.
    let expected =
        audit("russh").status()?.code().filter(|code| [0, 3].contains(code)).context("an audit")?;
    let mut contenders = vec![
        Contender::new("ssh and `true`", 0, floor.command("login")),
        Contender::new(FLOOR, 0, floor.command("one")),
        Contender::new("palisade, own SSH", expected, audit("russh")),
        Contender::new("palisade, ssh(1)", expected, audit("openssh")),
    ];
    if only.is_empty() {
        contenders.extend(peers(lab, &floor)?);
    }
    let count = contenders.len();
    // The first round warms caches and counts for nobody.
    for round in 0..=rounds {
        for place in 0..count {
            let Some(contender) = contenders.get_mut((place + round) % count) else { continue };
            let turn = contender.turn()?;
            if round > 0 {
                contender.turns.push(turn);
            }
        }
        eprintln!("round {round} of {rounds}");
    }
    Ok(contenders)
}

/// Those that are installed, with what they need on the hosts.
fn peers(lab: &Lab, floor: &Floor) -> Result<Vec<Contender>> {
    let known_hosts = lab.folder().join("known_hosts");
    let key = lab.private_key("person-alice");
    let enter = peers::Entrance { addresses: &floor.addresses, known_hosts: &known_hosts, key: &key };
    let mut found = Vec::new();
    match peers::find("ansible-playbook") {
        None => eprintln!("ansible-playbook is not installed: it does not take part"),
        Some(program) => {
            for host in lab.hosts() {
                host.sh("apt-get -qq update; DEBIAN_FRONTEND=noninteractive apt-get -qq -y install python3")?;
            }
            found.push(Contender::new("Ansible", 0, peers::ansible(&program, &floor.folder, &enter)?));
        }
    }
    match peers::find("pyinfra") {
        None => eprintln!("pyinfra is not installed: it does not take part"),
        Some(program) => {
            found.push(Contender::new("pyinfra", 0, peers::pyinfra(&program, &floor.folder, &enter)?));
        }
    }
    Ok(found)
}

/// The same questions by plain ssh.
struct Floor {
    folder: PathBuf,
    addresses: Vec<String>,
}

fn floor(lab: &Lab, root: &Path, only: &[ControlId]) -> Result<Floor> {
    let folder = lab.folder().join("bench");
    fs::create_dir_all(&folder)?;
    let project = Project::read(root).map_err(|refusals| anyhow::anyhow!("{}", refusals.annotated(false)))?;
    let inventory = project.fleet.environments.get(&Environment::Test).context("an environment")?;
    let controls = project.playbook.select(only).map_err(|error| anyhow::anyhow!("{error:?}"))?;
    let controls: Vec<Control> = controls.into_iter().cloned().collect();
    let ground = JobInputs {
        fleet: &project.fleet,
        inventory,
        controls: &controls,
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
    let hosts: Vec<_> = inventory.hosts.values().collect();
    let jobs: Vec<Job> = ground.jobs(&hosts).map_err(|errors| anyhow::anyhow!("{errors:?}"))?;
    let mut addresses = Vec::new();
    for job in &jobs {
        let host = lab.host(job.desired.host.as_str())?;
        let address = Host::public_address(&host).context("a public address")?;
        addresses.push(address.to_string());
        let script = probe::script(&job.desired, &Nonce::new(*b"the floor of all"));
        fs::write(folder.join(format!("{address}.sh")), script.to_stdin())?;
    }
    fs::write(folder.join("addresses"), addresses.join("\n") + "\n")?;
    fs::write(folder.join("entry"), ENTRY_ROOT)?;
    let ssh = format!(
        "exec ssh -F none -o BatchMode=yes -o StrictHostKeyChecking=yes -o UserKnownHostsFile={} -o IdentitiesOnly=yes \
         -o IdentityAgent=none -o KexAlgorithms=curve25519-sha256 -o Ciphers=chacha20-poly1305@openssh.com -i {} alice@\"$1\"",
        lab.folder().join("known_hosts").display(),
        lab.private_key("person-alice").display(),
    );
    let at = folder.display();
    let output = format!(">{at}/\"$1\".out 2>{at}/\"$1\".err");
    fs::write(folder.join("login"), format!("{ssh} true </dev/null {output}\n"))?;
    fs::write(folder.join("one"), format!("{ssh} \"$(cat {at}/entry)\" <{at}/\"$1\".sh {output}\n"))?;
    Ok(Floor { folder, addresses })
}

impl Floor {
    /// A script of the folder, for each host.
    fn command(&self, script: &str) -> Command {
        let mut command = Program::Xargs.command();
        command.args(["-P", CONCURRENCY, "-I{}", "-a"]).arg(self.folder.join("addresses"));
        command.arg("sh").arg(self.folder.join(script)).arg("{}").stdin(Stdio::null());
        command
    }
}

/// Where a turn's output goes, to be shown where it failed.
fn said() -> PathBuf {
    std::env::temp_dir().join(format!("palisade-bench-{}.out", std::process::id()))
}

/// Runs `command` in a control group of its own.
fn timed(command: &Command) -> Result<(Turn, Option<i32>)> {
    let group = Group::new()?;
    let mut inside = Program::Sh.command();
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
    let said = fs::File::create(said())?;
    inside.stdin(Stdio::null()).stdout(said.try_clone()?).stderr(said);
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
            // A master of ssh that was told to end may need a moment; one that a peer keeps for later is ended.
            for attempt in 0..100 {
                let left = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
                if attempt >= 4 {
                    for process in left.lines() {
                        drop(Program::Kill.command().arg(process).stderr(Stdio::null()).status());
                    }
                }
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
        "\n{hosts} hosts, medians of {} turns each (least to most), {CONCURRENCY} at a time; ratios within a round\n\n\
         | contender | wall | CPU | most memory | wall, of a login | wall, of the floor | CPU, of the floor |\n\
         |---|---|---|---|---|---|---|\n",
        contenders.first().map_or(0, |one| one.turns.len())
    );
    let Some(login) = contenders.first() else { return text };
    let Some(floor) = contenders.iter().find(|one| one.name == FLOOR) else { return text };
    for one in contenders {
        let times = |of: fn(&Turn) -> Duration| {
            let all: Vec<Duration> = one.turns.iter().map(of).collect();
            let (least, most) = (all.iter().min()?.as_secs_f64(), all.iter().max()?.as_secs_f64());
            Some(format!("{:.2} s ({least:.2} to {most:.2})", median(all)?.as_secs_f64()))
        };
        // In thousandths, which have an order.
        let ratio = |to: &Contender, of: fn(&Turn) -> Duration| {
            let pairs = one.turns.iter().zip(&to.turns);
            let all = pairs.map(|(one, to)| of(one).as_micros() * 1000 / of(to).as_micros().max(1));
            Some(format!(
                "{:.2}",
                Duration::from_millis(u64::try_from(median(all.collect())?).ok()?).as_secs_f64()
            ))
        };
        let memory = median(one.turns.iter().map(|turn| turn.most_memory).collect()).unwrap_or_default();
        let cells = [times(|turn| turn.wall), times(|turn| turn.cpu)];
        let ratios =
            [ratio(login, |turn| turn.wall), ratio(floor, |turn| turn.wall), ratio(floor, |turn| turn.cpu)];
        let [wall, cpu] = cells.map(Option::unwrap_or_default);
        let [login_ratio, wall_ratio, cpu_ratio] = ratios.map(Option::unwrap_or_default);
        let name = one.name;
        let _ = writeln!(
            text,
            "| {name} | {wall} | {cpu} | {} MB | {login_ratio} | {wall_ratio} | {cpu_ratio} |",
            memory / 1_000_000
        );
    }
    text
}
