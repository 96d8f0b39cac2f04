//! Starting a host's supervisor, which boots it, and taking its power away.

use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::{Duration, Instant};

use super::super::archive;
use super::super::base::Base;
use super::super::error::LabError;
use super::super::event::silent;
use super::super::invocation::Invocation;
use super::super::machine::warm::{self, Warm};
use super::super::machine::{self, Accelerator};
use super::super::record::write_whole;
use super::super::spec::{Form, Hardware};
use super::super::switch;
use super::Guest;
use super::processes::{control_groups, processes_below, remove_empty_folders};
use crate::program::Program;

const SUPERVISE: &str = include_str!("../supervise.sh");

impl Guest<'_> {
    /// Starts its supervisor, which boots it. The supervisor outlives us; it is found again by the file that it
    /// writes before it does anything.
    #[expect(clippy::disallowed_methods, reason = "the host's own folder")]
    pub(in crate::lab) fn start(&self, bases: &Path) -> Result<Child, LabError> {
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
        let archive = self.folder.ancestors().nth(2).unwrap_or(&self.folder).join(archive::FOLDER);
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
    pub(in crate::lab) fn warm(&self, bases: &Path) -> Result<Option<Warm>, LabError> {
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
    pub(in crate::lab) fn adopt(&self) -> Result<(), LabError> {
        if self.is_machine() && warm::begins(&self.folder) && self.boots() <= 1 {
            warm::adopt(self)?;
        }
        Ok(())
    }

    /// Takes its power away: the guest's processes are gone at once, none of them asked.
    pub(in crate::lab) fn crash(&self) -> Result<(), LabError> {
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
    pub(in crate::lab) fn stop(&self) -> Result<(), LabError> {
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
