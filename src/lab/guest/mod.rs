//! One running host, seen from this machine: starting its supervisor, finding its first process, running something
//! inside, taking its power away. Processes are known by id and start time, never by name alone.

use std::io::{IsTerminal as _, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::{Duration, Instant};

use super::agent::{Agent, Silent};
use super::base::Base;
use super::error::LabError;
use super::event::silent;
use super::invocation::Invocation;
use super::machine::warm::{self, Warm};
use super::machine::{self, Accelerator};
use super::record::{HostRecord, LabRecord, ProcessRecord, write_whole};
use super::spec::{Form, Hardware};
use super::switch;
use crate::program::Program;
use crate::shell::{Output, Script};
use crate::text;

const SUPERVISE: &str = include_str!("supervise.sh");

/// The environment of what runs inside: nothing of ours.
const INSIDE: [&str; 5] = [
    "/usr/bin/env",
    "-i",
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LC_ALL=C",
    "HOME=/root",
];

/// Whether a host runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Power {
    /// Its first process runs.
    On,
    /// Between two boots, or before the first.
    Booting,
    /// It was switched off, or powered itself off.
    Off,
    /// It did not boot three times in a row.
    Failed,
    /// Its supervisor is gone, though nobody switched it off.
    Dead,
}

impl std::fmt::Display for Power {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::On => "on",
            Self::Booting => "booting",
            Self::Off => "off",
            Self::Failed => "failed to boot",
            Self::Dead => "dead",
        })
    }
}

/// The folder and the names of one host.
pub(super) struct Guest<'a> {
    pub(super) lab: &'a LabRecord,
    pub(super) host: &'a HostRecord,
    pub(super) folder: PathBuf,
}

impl<'a> Guest<'a> {
    pub(super) fn new(lab: &'a LabRecord, host: &'a HostRecord, lab_folder: &Path) -> Self {
        Self { lab, host, folder: lab_folder.join("hosts").join(host.spec.name.as_str()) }
    }

    /// Its own layer.
    pub(super) fn upper(&self) -> PathBuf {
        self.folder.join("upper")
    }

    /// Its own layer as an archive, which a machine's first boot unpacks.
    pub(super) fn pack_delivery(&self) -> Result<(), LabError> {
        Invocation::of(Program::Tar)
            .args(["--create", "--numeric-owner", "--file"])
            .arg(self.folder.join("delivery.tar"))
            .arg("--directory")
            .arg(self.upper())
            .arg(".")
            .run()
            .map(drop)
    }

    /// Runs shell text on its disk, with nothing of its system at work, as a provider's rescue system can.
    pub(super) fn rescue(&self, bases: &Path, text: &str) -> Result<String, LabError> {
        let base = Base::at(bases, &self.host.base);
        Invocation::of(Program::Unshare)
            .args(["--mount", "--propagation", "private", "/bin/sh", "-c", RESCUE, "palisade-lab"])
            .arg(&self.folder)
            .arg(base.root())
            .arg(text)
            .run()
    }

    /// Starts its supervisor, which boots it. The supervisor outlives us; it is found again by the file that it
    /// writes before it does anything.
    #[expect(clippy::disallowed_methods, reason = "the host's own folder")]
    pub(super) fn start(&self, bases: &Path) -> Result<Child, LabError> {
        let (supervise, hardware) = match &self.host.spec.form {
            Form::Container => (SUPERVISE, None),
            Form::Machine(hardware) => (machine::SUPERVISE, Some(hardware)),
        };
        if let Some(warm) = self.warm(bases)?
            && self.boots() == 0
        {
            warm.begin(&self.folder)?;
        }
        if hardware.is_none() {
            let root = self.folder.join("root");
            std::fs::create_dir_all(&root).map_err(LabError::file("make", &root))?;
        }
        let archive = self.folder.ancestors().nth(2).unwrap_or(&self.folder).join(super::archive::FOLDER);
        std::fs::create_dir_all(&archive).map_err(LabError::file("make", &archive))?;
        // whoever waits for it takes what is written there for the one that is started now
        forget(&self.process_file())?;
        write_whole(&self.folder.join("want"), b"on\n")?;
        let script = self.folder.join("supervise.sh");
        write_whole(&script, supervise.as_bytes())?;
        let log_path = self.folder.join("supervisor.log");
        let log = std::fs::File::create(&log_path).map_err(LabError::file("make", &log_path))?;
        let base = Base::at(bases, &self.host.base);
        let group = match control_groups() {
            Some(all) => {
                let group = all.join(self.lab.control_group(&self.host.spec.name));
                std::fs::create_dir_all(&group).map_err(LabError::file("make", &group))?;
                group
            }
            None => PathBuf::new(),
        };
        let networks = self.networks();
        let program = Invocation::of(Program::Setsid)
            .args(["/bin/sh", "-c", LAUNCH, "palisade-lab"])
            .arg(self.process_file())
            .arg(&script)
            .arg(&self.folder)
            .arg(self.lab.switch());
        let program = match hardware {
            None => program
                .arg(base.root())
                .arg(base.packages())
                .arg(&group)
                .arg(self.host.spec.name.as_str())
                .arg(self.host.number.to_string())
                .arg(networks)
                .arg(&archive),
            Some(hardware) => self.machine(program, bases, &base, &group, hardware, &networks)?,
        };
        program.start(&log)
    }

    /// The networks that it is on, in one word.
    fn networks(&self) -> String {
        let networks: Vec<&str> =
            [(switch::PUBLIC, &self.host.public), (switch::PRIVATE, &self.host.private)]
                .into_iter()
                .filter_map(|(network, addresses)| (!addresses.is_empty()).then_some(network))
                .collect();
        networks.join(" ")
    }

    /// Where the snapshot is with which machines like this one begin; none for what begins by a boot.
    pub(super) fn warm(&self, bases: &Path) -> Result<Option<Warm>, LabError> {
        let Form::Machine(hardware) = &self.host.spec.form else { return Ok(None) };
        let base = Base::at(bases, &self.host.base);
        let tools = Base::at(bases, &machine::tools_key());
        let accelerator = Accelerator::found(bases, &tools, &base, &silent)?;
        let port = self.host.spec.ssh_port.number();
        Ok(Warm::of(&base, hardware, &self.networks(), port, accelerator))
    }

    /// The arguments of a machine's supervisor.
    fn machine(
        &self,
        program: Invocation,
        bases: &Path,
        base: &Base,
        group: &Path,
        hardware: &Hardware,
        networks: &str,
    ) -> Result<Invocation, LabError> {
        let tools = Base::at(bases, &machine::tools_key());
        let accelerator = Accelerator::found(bases, &tools, base, &silent)?;
        Ok(program
            .arg(tools.root())
            .arg(base.folder())
            .arg(group)
            .arg(self.host.number.to_string())
            .arg(networks)
            .arg(hardware.memory.to_string())
            .arg(accelerator.name())
            .arg(machine::disks(hardware)))
    }

    /// Makes it itself where it began as another; nothing where it booted.
    pub(super) fn adopt(&self) -> Result<(), LabError> {
        if self.is_machine() && warm::begins(&self.folder) && self.boots() <= 1 {
            warm::adopt(self)?;
        }
        Ok(())
    }

    /// How often its console said `words`.
    #[expect(clippy::disallowed_methods, reason = "the host's own folder")]
    pub(super) fn console_says(&self, words: &str) -> usize {
        let bytes = std::fs::read(self.folder.join("console")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).matches(words).count()
    }

    /// Types a line on a machine's console.
    pub(super) fn type_on_console(&self, line: &str) -> Result<(), LabError> {
        let path = self.folder.join("console-in");
        let typed = UnixStream::connect(&path).and_then(|mut console| {
            console.write_all(line.as_bytes())?;
            console.write_all(b"\r")?;
            // qemu takes what is typed as the machine reads it, and drops the rest with the connection
            console.shutdown(std::net::Shutdown::Write)?;
            console.set_read_timeout(Some(Duration::from_secs(5)))?;
            let mut shown = [0; 4096];
            let _ = console.read(&mut shown);
            Ok(())
        });
        typed.map_err(LabError::file("type on", path))
    }

    /// Whether it is a virtual machine.
    pub(super) fn is_machine(&self) -> bool {
        matches!(self.host.spec.form, Form::Machine(_))
    }

    /// What runs programs in a machine.
    pub(super) fn agent(&self) -> Agent {
        Agent::new(&self.folder)
    }

    fn process_file(&self) -> PathBuf {
        self.folder.join("supervisor")
    }

    /// Its supervisor, if it lives.
    pub(super) fn supervisor(&self) -> Option<ProcessRecord> {
        #[expect(clippy::disallowed_methods, reason = "the host's own folder")]
        let text = std::fs::read_to_string(self.process_file()).ok()?;
        let mut words = text.split_whitespace();
        let process =
            ProcessRecord { pid: words.next()?.parse().ok()?, started: words.next()?.parse().ok()? };
        process.is_alive().then_some(process)
    }

    /// Whether its supervisor has written itself down since it was last started.
    pub(super) fn was_started(&self) -> bool {
        self.process_file().exists()
    }

    /// Its first process, once that is systemd; a machine's qemu.
    pub(super) fn init(&self) -> Option<ProcessRecord> {
        if self.is_machine() {
            return self.descendants().get(1).and_then(|pid| ProcessRecord::of(*pid));
        }
        let pid = *self.descendants().get(2)?;
        #[expect(clippy::disallowed_methods, reason = "/proc is where processes are looked up")]
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let first =
            status.lines().find_map(|line| line.strip_prefix("NSpid:"))?.split_whitespace().last()? == "1";
        let program = std::fs::read_link(format!("/proc/{pid}/exe")).ok()?;
        (first && program.ends_with("systemd")).then(|| ProcessRecord::of(pid)).flatten()
    }

    /// The supervisor's shell, its systemd-nspawn, and the guest's first process, as far as they are there; of a machine
    /// the shell and qemu.
    fn descendants(&self) -> Vec<u32> {
        let mut found = Vec::new();
        let Some(supervisor) = self.supervisor() else { return found };
        let mut parent = supervisor.pid;
        let (many, runs) = if self.is_machine() { (2, "qemu-system-x86") } else { (3, "systemd-nspawn") };
        while found.len() < many {
            let below = children_of(parent);
            // the shell has other children for a moment (ip, mount), and ids start anew: no order tells them apart
            let child = match found.len() {
                1 => below.iter().find(|pid| name_of(**pid).as_deref() == Some(runs)),
                _ => below.last(),
            };
            let Some(&child) = child else { break };
            found.push(child);
            parent = child;
        }
        found
    }

    /// Whether it runs.
    pub(super) fn power(&self) -> Power {
        let want = self.want();
        match (want.as_str(), self.supervisor()) {
            ("failed", _) => Power::Failed,
            (_, Some(_)) if self.init().is_some() => Power::On,
            ("on", Some(_)) => Power::Booting,
            ("on", None) => Power::Dead,
            _ => Power::Off,
        }
    }

    #[expect(clippy::disallowed_methods, reason = "the host's own folder")]
    fn want(&self) -> String {
        std::fs::read_to_string(self.folder.join("want")).unwrap_or_default().trim().to_owned()
    }

    /// Its root folder, as its processes see it. A machine's files are on its own disks.
    pub(super) fn root(&self) -> Result<PathBuf, LabError> {
        if self.is_machine() {
            return Err(LabError::Unsupported {
                why: format!("the files of {} lie on disks of its own", self.host.spec.name),
                fix: "ask it for them",
            });
        }
        let init = self.init().ok_or_else(|| LabError::NotRunning { host: self.host.spec.name.clone() })?;
        Ok(PathBuf::from(format!("/proc/{}/root", init.pid)))
    }

    /// nsenter(1) into the guest, before the program to run there.
    pub(super) fn enter(&self) -> Result<Invocation, LabError> {
        let init = self.init().ok_or_else(|| LabError::NotRunning { host: self.host.spec.name.clone() })?;
        Ok(Invocation::of(Program::Nsenter)
            .arg(format!("--target={}", init.pid))
            .args(["--all", "--root", "--wd"]))
    }

    /// Runs `script` inside as root, and kills it after `deadline`.
    pub(super) fn run(&self, script: &Script, deadline: Duration) -> Result<Output, LabError> {
        let init = self.init().ok_or_else(|| LabError::NotRunning { host: self.host.spec.name.clone() })?;
        if self.is_machine() {
            return self.run_in_machine(&["/bin/sh", "-s"], script.to_stdin().as_bytes(), deadline);
        }
        Invocation::of(Program::Timeout)
            .args(["-k", "2"])
            .arg(deadline.as_secs().max(1).to_string())
            .arg("nsenter")
            .arg(format!("--target={}", init.pid))
            .args(["--all", "--root", "--wd"])
            .args(INSIDE)
            .args(["/bin/sh", "-s"])
            .input(script.to_stdin())
            .output()
    }

    /// Runs `program` in a machine as root. One whose agent does not answer counts as not running: it boots, or hangs.
    pub(super) fn run_in_machine(
        &self,
        program: &[&str],
        input: &[u8],
        deadline: Duration,
    ) -> Result<Output, LabError> {
        let seconds = deadline.as_secs().max(1).to_string();
        let bounded = ["/usr/bin/timeout", "-k", "2", seconds.as_str()];
        let all: Vec<&str> = bounded.iter().chain(&INSIDE).chain(program).copied().collect();
        // an emulated machine may take a while to start a program, and to say that it ended
        let patience = deadline + Duration::from_secs(30);
        self.agent().run(&all, input, patience).map_err(|why| match why {
            Silent::Absent(_) => LabError::NotRunning { host: self.host.spec.name.clone() },
            Silent::Refused(_) => LabError::Program {
                program: text::excerpt(&all.join(" "), 160),
                ended: "it was not started".to_owned(),
                said: why.to_string(),
            },
        })
    }

    /// The same for `lab shell`: a command with our standard input, where that is no terminal. There is no terminal in
    /// there.
    fn shell_in_machine(&self, command: &[String]) -> Result<u8, LabError> {
        let terminal = std::io::stdin().is_terminal();
        if command.is_empty() && terminal {
            return Err(LabError::Spec {
                why: format!(
                    "{} is a machine, into which no terminal leads; give a command (`lab shell {0} -- COMMAND`), or use ssh",
                    self.host.spec.name
                ),
            });
        }
        let mut input = Vec::new();
        if !terminal {
            std::io::stdin().read_to_end(&mut input).map_err(LabError::file("read", "standard input"))?;
        }
        let shell = ["/bin/sh".to_owned(), "-s".to_owned()];
        let words: Vec<&str> =
            if command.is_empty() { &shell[..] } else { command }.iter().map(String::as_str).collect();
        let output = self.run_in_machine(&words, &input, Duration::from_hours(1))?;
        let write = |result: std::io::Result<()>| result.map_err(LabError::file("write", "standard output"));
        write(std::io::stdout().write_all(&output.stdout))?;
        write(std::io::stderr().write_all(&output.stderr))?;
        Ok(match output.exit {
            crate::shell::Exit::Status(status) => u8::try_from(status).unwrap_or(1),
            crate::shell::Exit::Unknown => 1,
        })
    }

    /// Runs `command` inside on our own terminal, or a login shell where there is none.
    pub(super) fn shell(&self, command: &[String]) -> Result<u8, LabError> {
        if self.is_machine() {
            return self.shell_in_machine(command);
        }
        let inside = self.enter()?.args(INSIDE).arg("TERM=xterm");
        if command.is_empty() {
            inside.args(["/bin/bash", "--login"]).attached()
        } else {
            inside.args(command).attached()
        }
    }

    /// Takes its power away: the guest's processes are gone at once, none of them asked.
    pub(super) fn crash(&self) -> Result<(), LabError> {
        let missing = || LabError::NotRunning { host: self.host.spec.name.clone() };
        let init = self.init().ok_or_else(missing)?;
        if self.is_machine() {
            return Invocation::of(Program::Kill)
                .args(["-KILL", "--"])
                .arg(init.pid.to_string())
                .run()
                .map(drop);
        }
        let nspawn = *self.descendants().get(1).ok_or_else(missing)?;
        // the kernel ends all processes of a guest with its first one (pid_namespaces(7)); without systemd-nspawn alone
        // the guest would go on, on the disk that its next boot uses too
        let all = [init.pid.to_string(), nspawn.to_string()];
        Invocation::of(Program::Kill).args(["-KILL", "--"]).args(all).run().map(drop)
    }

    /// Ends the supervisor, and the guest with it. What it left in the host's folder stays.
    #[expect(clippy::disallowed_methods, reason = "the lab waits for processes to end")]
    pub(super) fn stop(&self) -> Result<(), LabError> {
        if self.folder.is_dir() {
            write_whole(&self.folder.join("want"), b"off\n")?;
        }
        let until = Instant::now() + Duration::from_mins(1);
        while let Some(supervisor) = self.supervisor() {
            // the shell that unshare(1) waits for is the first process of the guest's world: all goes with it
            Invocation::of(Program::Kill).args(["-KILL", "--"]).arg(supervisor.pid.to_string()).output()?;
            std::thread::sleep(Duration::from_millis(10));
            if Instant::now() > until {
                return Err(self.too_slow("end", 60));
            }
        }
        self.end_control_group(until)
    }

    /// Whatever is left of the guest is in its control group; it goes, and the group with it.
    #[expect(clippy::disallowed_methods, reason = "the lab waits for processes to end")]
    fn end_control_group(&self, until: Instant) -> Result<(), LabError> {
        let Some(all) = control_groups() else { return Ok(()) };
        let group = all.join(self.lab.control_group(&self.host.spec.name));
        while group.is_dir() {
            for pid in processes_below(&group) {
                Invocation::of(Program::Kill).args(["-KILL", "--"]).arg(pid.to_string()).output()?;
            }
            remove_empty_folders(&group);
            if Instant::now() > until {
                return Err(self.too_slow("end", 60));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// How often it was booted.
    #[expect(clippy::disallowed_methods, reason = "the host's own folder")]
    pub(super) fn boots(&self) -> usize {
        std::fs::read_to_string(self.folder.join("boots")).unwrap_or_default().lines().count()
    }

    /// An error that shows the end of the console.
    #[expect(clippy::disallowed_methods, reason = "the host's own folder")]
    pub(super) fn too_slow(&self, what: &'static str, seconds: u64) -> LabError {
        let mut lines: Vec<String> = Vec::new();
        for file in ["supervisor.log", "console"] {
            let bytes = std::fs::read(self.folder.join(file)).unwrap_or_default();
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let all: Vec<&str> = text.lines().collect();
            lines.extend(all.iter().rev().take(12).rev().map(|line| text::excerpt(line, 160)));
        }
        LabError::TooSlow { host: self.host.spec.name.clone(), what, seconds, console: lines.join("\n") }
    }
}

/// Writes down who it is, then becomes the supervisor, in namespaces that die with it.
const LAUNCH: &str = r#"
set -eu
file=$1; shift
started=$(cut -d ' ' -f 22 < "/proc/$$/stat")
printf '%s %s\n' "$$" "$started" > "$file.new"
mv "$file.new" "$file"
exec unshare --pid --fork --kill-child --mount --propagation slave --mount-proc /bin/sh "$@"
"#;

/// Removes a file, if it is there.
#[expect(clippy::disallowed_methods, reason = "the host's own folder")]
fn forget(path: &Path) -> Result<(), LabError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(LabError::file("remove", path)(error))
        }
        _ => Ok(()),
    }
}

/// Mounts a disk where nobody else sees it, and runs a text there. Arguments: folder of the host, base root, text.
const RESCUE: &str = r#"set -eu
rm -rf "$1/work"
mkdir "$1/work"
mount -t overlay overlay -o "lowerdir=$2,upperdir=$1/upper,workdir=$1/work" "$1/root"
exec chroot "$1/root" /bin/sh -c "$3"
"#;

/// Where version 2 control groups are mounted.
fn control_groups() -> Option<PathBuf> {
    #[expect(clippy::disallowed_methods, reason = "/proc is where mounts are looked up")]
    let mounts = std::fs::read_to_string("/proc/self/mounts").ok()?;
    mounts.lines().find_map(|line| {
        let mut words = line.split(' ');
        let (_, path, kind) = (words.next()?, words.next()?, words.next()?);
        (kind == "cgroup2").then(|| PathBuf::from(path))
    })
}

#[expect(clippy::disallowed_methods, reason = "control groups are folders")]
fn processes_below(group: &Path) -> Vec<u32> {
    let mut found: Vec<u32> = std::fs::read_to_string(group.join("cgroup.procs"))
        .unwrap_or_default()
        .lines()
        .filter_map(|line| line.parse().ok())
        .filter(|pid| *pid != 0)
        .collect();
    for below in folders_in(group) {
        found.extend(processes_below(&below));
    }
    found
}

/// From the deepest up; those that still hold processes stay.
fn remove_empty_folders(group: &Path) {
    for below in folders_in(group) {
        remove_empty_folders(&below);
    }
    // a group with processes refuses; the caller looks again
    drop(std::fs::remove_dir(group));
}

#[expect(clippy::disallowed_methods, reason = "control groups are folders")]
fn folders_in(folder: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .map_while(Result::ok)
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect()
}

/// The name of a process's program, as the kernel keeps it.
#[expect(clippy::disallowed_methods, reason = "/proc is where processes are looked up")]
fn name_of(pid: u32) -> Option<String> {
    std::fs::read_to_string(format!("/proc/{pid}/comm")).ok().map(|name| name.trim_end().to_owned())
}

/// The children of a process, in the order of their ids. This is asked many times a second while hosts boot, so it must not
/// look at every process of the machine where the kernel knows better (`CONFIG_PROC_CHILDREN`, as Debian builds it).
#[expect(clippy::disallowed_methods, reason = "/proc is where processes are looked up")]
fn children_of(process: u32) -> Vec<u32> {
    let mut children: Vec<u32> =
        match std::fs::read_to_string(format!("/proc/{process}/task/{process}/children")) {
            Ok(text) => text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect(),
            Err(_) => children_by_stat(process),
        };
    children.sort_unstable();
    children
}

/// The same by what every process says of its parent.
#[expect(clippy::disallowed_methods, reason = "/proc is where processes are looked up")]
fn children_by_stat(process: u32) -> Vec<u32> {
    let all = std::fs::read_dir("/proc").into_iter().flatten().map_while(Result::ok);
    let parent_of = |path: &Path| {
        let stat = std::fs::read_to_string(path.join("stat")).ok()?;
        stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse::<u32>().ok()
    };
    all.filter_map(|entry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        (parent_of(&entry.path())? == process).then_some(pid)
    })
    .collect()
}
