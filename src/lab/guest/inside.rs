//! Running a program inside a host.

use std::io::{IsTerminal as _, Read as _, Write as _};
use std::time::Duration;

use super::super::agent::Silent;
use super::super::error::LabError;
use super::super::invocation::Invocation;
use super::Guest;
use crate::program::Program;
use crate::shell::{Output, Script};
use crate::text;

/// The environment of what runs inside: nothing of ours.
const INSIDE: [&str; 5] = [
    "/usr/bin/env",
    "-i",
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LC_ALL=C",
    "HOME=/root",
];

impl Guest<'_> {
    /// nsenter(1) into the guest, before the program to run there.
    pub(in crate::lab) fn enter(&self) -> Result<Invocation, LabError> {
        let init = self.init().ok_or_else(|| LabError::NotRunning { host: self.host.spec.name.clone() })?;
        Ok(Invocation::of(Program::Nsenter)
            .arg(format!("--target={}", init.pid))
            .args(["--all", "--root", "--wd"]))
    }

    /// Runs `script` inside as root, and kills it after `deadline`.
    pub(in crate::lab) fn run(&self, script: &Script, deadline: Duration) -> Result<Output, LabError> {
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
    pub(in crate::lab) fn run_in_machine(
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
    pub(in crate::lab) fn shell(&self, command: &[String]) -> Result<u8, LabError> {
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
}
