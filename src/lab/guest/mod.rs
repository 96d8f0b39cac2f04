//! One running host, seen from this machine: its folder, its processes, its console. Processes are known by id and start
//! time, never by name alone.

mod inside;
mod power;
mod processes;

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use processes::{children_of, name_of};

use super::agent::Agent;
use super::base::Base;
use super::error::LabError;
use super::invocation::Invocation;
use super::record::{HostRecord, LabRecord, ProcessRecord};
use super::spec::Form;
use crate::program::Program;
use crate::text;

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
pub(in crate::lab) struct Guest<'a> {
    pub(in crate::lab) lab: &'a LabRecord,
    pub(in crate::lab) host: &'a HostRecord,
    pub(in crate::lab) folder: PathBuf,
}

impl<'a> Guest<'a> {
    pub(in crate::lab) fn new(lab: &'a LabRecord, host: &'a HostRecord, lab_folder: &Path) -> Self {
        Self { lab, host, folder: lab_folder.join("hosts").join(host.spec.name.as_str()) }
    }

    /// Its own layer.
    pub(in crate::lab) fn upper(&self) -> PathBuf {
        self.folder.join("upper")
    }

    /// Its own layer as an archive, which a machine's first boot unpacks.
    pub(in crate::lab) fn pack_delivery(&self) -> Result<(), LabError> {
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
    pub(in crate::lab) fn rescue(&self, bases: &Path, text: &str) -> Result<String, LabError> {
        let base = Base::at(bases, &self.host.base);
        Invocation::of(Program::Unshare)
            .args(["--mount", "--propagation", "private", "/bin/sh", "-c", RESCUE, "palisade-lab"])
            .arg(&self.folder)
            .arg(base.root())
            .arg(text)
            .run()
    }

    /// How often its console said `words`.
    #[expect(clippy::disallowed_methods, reason = "the host's own folder")]
    pub(in crate::lab) fn console_says(&self, words: &str) -> usize {
        let bytes = std::fs::read(self.folder.join("console")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).matches(words).count()
    }

    /// Types a line on a machine's console.
    pub(in crate::lab) fn type_on_console(&self, line: &str) -> Result<(), LabError> {
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
    pub(in crate::lab) fn is_machine(&self) -> bool {
        matches!(self.host.spec.form, Form::Machine(_))
    }

    /// What runs programs in a machine.
    pub(in crate::lab) fn agent(&self) -> Agent {
        Agent::new(&self.folder)
    }

    fn process_file(&self) -> PathBuf {
        self.folder.join("supervisor")
    }

    /// Its supervisor, if it lives.
    pub(in crate::lab) fn supervisor(&self) -> Option<ProcessRecord> {
        #[expect(clippy::disallowed_methods, reason = "the host's own folder")]
        let text = std::fs::read_to_string(self.process_file()).ok()?;
        let mut words = text.split_whitespace();
        let process =
            ProcessRecord { pid: words.next()?.parse().ok()?, started: words.next()?.parse().ok()? };
        process.is_alive().then_some(process)
    }

    /// Whether its supervisor has written itself down since it was last started.
    pub(in crate::lab) fn was_started(&self) -> bool {
        self.process_file().exists()
    }

    /// Its first process, once that is systemd; a machine's qemu.
    pub(in crate::lab) fn init(&self) -> Option<ProcessRecord> {
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
    pub(in crate::lab) fn power(&self) -> Power {
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
    pub(in crate::lab) fn root(&self) -> Result<PathBuf, LabError> {
        if self.is_machine() {
            return Err(LabError::Unsupported {
                why: format!("the files of {} lie on disks of its own", self.host.spec.name),
                fix: "ask it for them",
            });
        }
        let init = self.init().ok_or_else(|| LabError::NotRunning { host: self.host.spec.name.clone() })?;
        Ok(PathBuf::from(format!("/proc/{}/root", init.pid)))
    }

    /// How often it was booted.
    #[expect(clippy::disallowed_methods, reason = "the host's own folder")]
    pub(in crate::lab) fn boots(&self) -> usize {
        std::fs::read_to_string(self.folder.join("boots")).unwrap_or_default().lines().count()
    }

    /// An error that shows the end of the console.
    #[expect(clippy::disallowed_methods, reason = "the host's own folder")]
    pub(in crate::lab) fn too_slow(&self, what: &'static str, seconds: u64) -> LabError {
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

/// Mounts a disk where nobody else sees it, and runs a text there. Arguments: folder of the host, base root, text.
const RESCUE: &str = r#"set -eu
rm -rf "$1/work"
mkdir "$1/work"
mount -t overlay overlay -o "lowerdir=$2,upperdir=$1/upper,workdir=$1/work" "$1/root"
exec chroot "$1/root" /bin/sh -c "$3"
"#;
