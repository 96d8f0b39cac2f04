//! The one way to call the palisade that was built: as a command to its end, or started, held at a step, signalled and
//! ended. It judges nothing but that what should be one JSON document is one.

use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::OnceLock;
use std::time::Instant;

use palisade::program::{self, Program};
use serde_json::Value;

use crate::wait::PATIENCE;

static BINARY: OnceLock<&'static str> = OnceLock::new();

pub(crate) fn set_binary(path: &'static str) {
    let _ = BINARY.set(path);
}

/// The palisade that was built.
pub fn binary() -> &'static str {
    BINARY.get().expect("support::run has begun")
}

/// Processes that tests start of their own program, by name: a test says [`role`] and starts [`as_role`].
static ROLES: OnceLock<&'static [Role]> = OnceLock::new();

/// What a process of a test program can be, beside running tests: its name, and what it does until it ends.
pub type Role = (&'static str, fn());

const ROLE: &str = "PALISADE_TEST_ROLE";

/// What this program can be started as, beside running tests. Called before [`crate::run`].
pub fn roles(all: &'static [Role]) {
    let _ = ROLES.set(all);
}

/// This very test program, in a role.
pub fn as_role(name: &str) -> Command {
    let mut command = program::at(std::env::current_exe().expect("this program"));
    command.env(ROLE, name).stdin(Stdio::null());
    command
}

/// Plays the role that the environment names, if it names one.
pub(crate) fn played_role() -> Option<ExitCode> {
    let name = std::env::var(ROLE).ok()?;
    let (_, act) = ROLES.get()?.iter().find(|(role, _)| *role == name)?;
    act();
    Some(ExitCode::SUCCESS)
}

/// palisade about to be called: nothing to read, no agent of whoever runs the tests.
#[derive(Debug)]
pub struct Call {
    command: Command,
}

/// palisade with these words.
pub fn palisade<A: AsRef<OsStr>>(words: impl IntoIterator<Item = A>) -> Call {
    let mut command = program::at(binary());
    command.args(words).env_remove("SSH_AUTH_SOCK").stdin(Stdio::null());
    Call { command }
}

impl Call {
    /// One word more.
    #[must_use]
    pub fn arg(mut self, word: impl AsRef<OsStr>) -> Self {
        self.command.arg(word);
        self
    }

    /// More words.
    #[must_use]
    pub fn args<A: AsRef<OsStr>>(mut self, words: impl IntoIterator<Item = A>) -> Self {
        self.command.args(words);
        self
    }

    /// For a document on standard output.
    #[must_use]
    pub fn json(self) -> Self {
        self.args(["--format", "json"])
    }

    /// A variable of its environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Nothing of the environment of whoever runs the tests.
    #[must_use]
    pub fn alone(mut self) -> Self {
        self.command.env_clear().env("PATH", program::SYSTEM_PATH);
        self
    }

    /// Where it runs.
    #[must_use]
    pub fn within(mut self, folder: &Path) -> Self {
        self.command.current_dir(folder);
        self
    }

    /// The command itself, for whoever wraps it.
    pub fn command(self) -> Command {
        self.command
    }

    /// To its end.
    pub fn run(mut self) -> Ran {
        let output = self.command.output().expect("palisade starts");
        Ran {
            code: output.status.code(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Starts it, with what it says in files, so that nothing is lost when it is killed.
    pub fn start(self) -> Running {
        self.held(&[])
    }

    /// Starts it, held before each of `places` (`widen.arming` …) in turn.
    pub fn held(mut self, places: &[&str]) -> Running {
        let folder = tempfile::tempdir().expect("a folder");
        let holds: Vec<(String, PathBuf)> = places
            .iter()
            .map(|place| ((*place).to_owned(), folder.path().join(format!("hold-{place}"))))
            .collect();
        if !holds.is_empty() {
            let setting: Vec<String> = holds
                .iter()
                .map(|(place, file)| {
                    std::fs::write(file, b"").unwrap();
                    format!("{place}:{}", file.display())
                })
                .collect();
            self.command.env("PALISADE_LAB_HOLD", setting.join(","));
        }
        let file = |name: &str| File::create(folder.path().join(name)).unwrap();
        let child = self.command.stdout(file("out")).stderr(file("err")).spawn().expect("palisade starts");
        Running { child, folder, holds }
    }
}

/// What came of a run.
#[derive(Debug, Clone)]
pub struct Ran {
    /// None where a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Ran {
    /// Both outputs, for whoever reads why a test failed.
    pub fn said(&self) -> String {
        format!("{}{}", self.out, self.err)
    }

    /// The JSON document.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}", self.said()))
    }

    /// Itself, where it ended with `code`.
    #[must_use]
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{}", self.said());
        self
    }
}

/// palisade at work.
#[derive(Debug)]
pub struct Running {
    child: Child,
    folder: tempfile::TempDir,
    holds: Vec<(String, PathBuf)>,
}

impl Running {
    fn file(&self, name: &str) -> String {
        let bytes = std::fs::read(self.folder.path().join(name)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// What it said until now.
    pub fn said(&self) -> String {
        self.file("out") + &self.file("err")
    }

    /// What it wrote to standard output until now.
    pub fn out(&self) -> String {
        self.file("out")
    }

    /// Its process.
    pub fn process(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Waits until it stands before `place`.
    pub fn reaches(&mut self, place: &str) {
        let reached = self.reaches_or_ends(place);
        assert!(reached, "it ended before {place}: {:?}\n{}", self.child.try_wait(), self.said());
    }

    /// Waits until it stands before `place`, or has ended.
    pub fn reaches_or_ends(&mut self, place: &str) -> bool {
        let reached = format!("{}.reached", self.hold(place).display());
        let reached = Path::new(&reached);
        let begun = Instant::now();
        while !reached.exists() {
            if self.has_ended() {
                return reached.exists();
            }
            assert!(begun.elapsed() < RUN_WITHIN, "it never comes to {place}\n{}", self.said());
            std::thread::sleep(LOOK);
        }
        true
    }

    fn hold(&self, place: &str) -> &Path {
        let hold = self.holds.iter().find(|(name, _)| name == place);
        &hold.unwrap_or_else(|| panic!("it is not held before {place}")).1
    }

    /// Lets it go on from `place`.
    pub fn release(&self, place: &str) {
        std::fs::remove_file(self.hold(place)).unwrap();
    }

    /// Holds it before `place` once more, where it comes there again: with the next host.
    pub fn hold_again(&self, place: &str) {
        let hold = self.hold(place);
        std::fs::write(hold, b"").unwrap();
        drop(std::fs::remove_file(format!("{}.reached", hold.display())));
    }

    /// Lets it go on from wherever it is held, to its end.
    pub fn goes_on(self) -> Ran {
        for (_, file) in &self.holds {
            drop(std::fs::remove_file(file));
        }
        self.end()
    }

    /// Sends it a signal, by kill(1)'s name of it.
    pub fn signal(&self, name: &str) {
        let process = self.child.id().to_string();
        assert!(Program::Kill.command().args(["-s", name, &process]).status().unwrap().success());
    }

    /// kill -9, and nothing of it is left.
    pub fn dies(self) -> Ran {
        self.signal("KILL");
        self.end()
    }

    /// Waits for its end.
    pub fn end(mut self) -> Ran {
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(begun.elapsed() < RUN_WITHIN, "it does not end:\n{}", self.said());
            std::thread::sleep(LOOK);
        };
        Ran { code: status.code(), out: self.file("out"), err: self.file("err") }
    }
}

impl Drop for Running {
    /// A test that fails leaves no palisade behind.
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            drop(self.child.kill());
            drop(self.child.wait());
        }
    }
}

/// What any run may take before a test calls it stuck: emulated machines are slow, and busy ones more so.
const RUN_WITHIN: std::time::Duration = PATIENCE.saturating_mul(3);

const LOOK: std::time::Duration = std::time::Duration::from_millis(20);
