//! Running the programs that the lab is made of (`ip`, `mmdebstrap`, `nsenter` …), and which these are. Every program
//! gets its arguments as they are: no shell stands between, but where a script of ours is fed to one on purpose.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::error::LabError;
use super::event::{LabEvent, Sink};
use crate::program::{self, InstallError, Program, SYSTEM_PATH};
use crate::shell::{Exit, Output};
use crate::text;

/// A program about to be run.
pub(super) struct Invocation {
    command: Command,
    shown: String,
    input: Vec<u8>,
}

/// Most bytes of a program's output that are kept in an error.
const SAID: usize = 600;

impl Invocation {
    /// It is looked up in the usual system folders, whatever the caller's PATH says.
    pub(super) fn of(program: Program) -> Self {
        let mut command = program.command();
        command
            .env("PATH", SYSTEM_PATH)
            .env("LC_ALL", "C")
            .env("DEBIAN_FRONTEND", "noninteractive")
            .stdin(Stdio::null());
        Self { command, shown: program.name().to_owned(), input: Vec::new() }
    }

    pub(super) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.shown.push(' ');
        self.shown.push_str(&arg.as_ref().to_string_lossy());
        self.command.arg(arg);
        self
    }

    pub(super) fn args<A: AsRef<OsStr>>(self, args: impl IntoIterator<Item = A>) -> Self {
        args.into_iter().fold(self, Self::arg)
    }

    pub(super) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    pub(super) fn within(mut self, folder: &Path) -> Self {
        self.command.current_dir(folder);
        self
    }

    /// What it reads on standard input.
    pub(super) fn input(mut self, input: impl Into<Vec<u8>>) -> Self {
        self.input = input.into();
        self.command.stdin(Stdio::piped());
        self
    }

    fn could_not_start(&self, why: &std::io::Error) -> LabError {
        LabError::Program {
            program: text::excerpt(&self.shown, SAID),
            ended: "it could not be started".to_owned(),
            said: why.to_string(),
        }
    }

    /// Runs it to its end, whatever that is.
    pub(super) fn output(mut self) -> Result<Output, LabError> {
        self.command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.command.spawn().map_err(|why| self.could_not_start(&why))?;
        let input = std::mem::take(&mut self.input);
        let output = std::thread::scope(|scope| {
            if let Some(mut stdin) = child.stdin.take() {
                // a program may end without reading all of it; its status says what that means
                scope.spawn(move || drop(stdin.write_all(&input)));
            }
            child.wait_with_output()
        })
        .map_err(|why| self.could_not_start(&why))?;
        let exit = output
            .status
            .code()
            .and_then(|code| u32::try_from(code).ok())
            .map_or(Exit::Unknown, Exit::Status);
        Ok(Output { exit, stdout: output.stdout, stderr: output.stderr })
    }

    /// Runs it, and gives its standard output; anything but exit status 0 is an error.
    pub(super) fn run(self) -> Result<String, LabError> {
        let shown = self.shown.clone();
        let output = self.output()?;
        if output.exit.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        Err(failed(&shown, output.exit, &String::from_utf8_lossy(&output.stderr)))
    }

    /// The same for a program that takes its time: each line on its standard error becomes an event.
    pub(super) fn run_aloud(mut self, sink: Sink) -> Result<(), LabError> {
        self.command.stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = self.command.spawn().map_err(|why| self.could_not_start(&why))?;
        let mut last: Vec<String> = Vec::new();
        if let Some(stderr) = child.stderr.take() {
            for line in BufReader::new(stderr.take(MOST_OUTPUT)).split(b'\n').map_while(Result::ok) {
                let line = text::excerpt(&String::from_utf8_lossy(&line), 160);
                if last.len() == 8 {
                    last.remove(0);
                }
                last.push(line.clone());
                sink(&LabEvent::Detail(line));
            }
        }
        let status = child.wait().map_err(|why| self.could_not_start(&why))?;
        if status.success() {
            return Ok(());
        }
        let exit =
            status.code().and_then(|code| u32::try_from(code).ok()).map_or(Exit::Unknown, Exit::Status);
        Err(failed(&self.shown, exit, &last.join("\n")))
    }

    /// Starts it detached from our terminal, with nothing to read and `log` to write to.
    pub(super) fn start(mut self, log: &std::fs::File) -> Result<Child, LabError> {
        let file = || log.try_clone().map(Stdio::from);
        match (file(), file()) {
            (Ok(out), Ok(err)) => self.command.stdout(out).stderr(err),
            (Err(why), _) | (_, Err(why)) => return Err(self.could_not_start(&why)),
        };
        self.command.spawn().map_err(|why| self.could_not_start(&why))
    }

    /// Runs it on our own terminal, and gives its exit status.
    pub(super) fn attached(mut self) -> Result<u8, LabError> {
        self.command.stdin(Stdio::inherit());
        let status = self.command.status().map_err(|why| self.could_not_start(&why))?;
        Ok(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
    }
}

/// 16 MiB of messages is more than any of these programs has to say.
const MOST_OUTPUT: u64 = 16 << 20;

fn failed(program: &str, exit: Exit, said: &str) -> LabError {
    let said = said.trim();
    let from = said.char_indices().rev().nth(SAID).map_or(0, |(at, _)| at);
    LabError::Program {
        program: text::excerpt(program, SAID),
        ended: match exit {
            Exit::Status(status) => format!("status {status}"),
            Exit::Unknown => "killed".to_owned(),
        },
        said: text::visible_block(said.get(from..).unwrap_or_default()),
    }
}

/// What the lab starts, by itself and by the scripts that it feeds to a shell of this machine.
pub const NEEDED: &[Program] = &[
    Program::AptConfig,
    Program::AptFtparchive,
    Program::AptGet,
    Program::ArchiveKeyring,
    Program::Cat,
    Program::Chmod,
    Program::Chroot,
    Program::Cp,
    Program::Cut,
    Program::Date,
    Program::Dpkg,
    Program::DpkgDeb,
    Program::Env,
    Program::Gpg,
    Program::GpgAgent,
    Program::Gpgconf,
    Program::Grep,
    Program::Ip,
    Program::Kill,
    Program::Mkdir,
    Program::Mke2fs,
    Program::Mkfifo,
    Program::Mmdebstrap,
    Program::Mount,
    Program::Mv,
    Program::Nft,
    Program::Nsenter,
    Program::Rm,
    Program::Sed,
    Program::Setsid,
    Program::Sh,
    Program::Sleep,
    Program::Sort,
    Program::SshKeygen,
    Program::SystemdNspawn,
    Program::Tar,
    Program::Timeout,
    Program::Unshare,
    Program::Wc,
];

/// The Debian packages that the lab needs and this machine lacks.
pub fn missing_packages() -> Vec<&'static str> {
    program::missing(NEEDED.iter().copied())
}

/// Installs, through this machine's own apt, what it lacks; says so first.
pub(super) fn install_missing(sink: Sink) -> Result<(), LabError> {
    let missing = missing_packages();
    if missing.is_empty() {
        return Ok(());
    }
    sink(&LabEvent::Installing(missing.clone()));
    let tell = |line: &str| sink(&LabEvent::Detail(line.to_owned()));
    program::install(&missing, &tell).map_err(|error| match error {
        InstallError::NoApt(_) => LabError::Unsupported {
            why: error.to_string(),
            fix: "install these by other means, or use a Debian machine",
        },
        other => LabError::Program {
            program: "apt-get".to_owned(),
            ended: "it installed nothing".to_owned(),
            said: other.to_string(),
        },
    })
}
