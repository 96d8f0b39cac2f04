//! A terminal of a test's own, script(1)'s: what is typed at it, and what stands on it.

use std::io::{Read as _, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use palisade::program::Program;

use crate::wait::PATIENCE;

/// A command at a terminal.
#[derive(Debug)]
pub struct Typing {
    child: Child,
    shown: Arc<Mutex<Vec<u8>>>,
}

impl Typing {
    /// script(1) with a line of shell, which is the one process at the terminal where it begins with `exec`.
    pub fn command(line: &str) -> Command {
        // Ctrl-C does nothing where whoever runs the tests was started with SIGINT ignored, as a shell without job control
        // starts what it puts into the background.
        let mut script = Program::Env.command();
        script.args(["--default-signal=INT", Program::Script.name(), "-qfec", line, "/dev/null"]);
        script
    }

    /// `command` is [`Self::command`]'s, whatever stands around it.
    pub fn start(mut command: Command) -> Self {
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let shown = Arc::new(Mutex::new(Vec::new()));
        let (mut out, seen) = (child.stdout.take().unwrap(), Arc::clone(&shown));
        std::thread::spawn(move || {
            let mut some = [0; 4096];
            while let Ok(length @ 1..) = out.read(&mut some) {
                seen.lock().unwrap().extend_from_slice(some.get(..length).unwrap());
            }
        });
        Self { child, shown }
    }

    /// What stands on it.
    pub fn shown(&self) -> String {
        String::from_utf8_lossy(&self.shown.lock().unwrap()).into_owned()
    }

    /// Waits until `text` stands on it.
    pub fn wait_for(&self, text: &str) {
        let until = Instant::now() + PATIENCE;
        while !self.shown().contains(text) {
            assert!(Instant::now() < until, "no {text:?} in {:?}", self.shown());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Types `text`.
    pub fn types(&mut self, text: &str) {
        let input = self.child.stdin.as_mut().unwrap();
        input.write_all(text.as_bytes()).unwrap();
        input.flush().unwrap();
    }

    /// The exit code, and what stood on the terminal.
    pub fn end(mut self) -> (Option<i32>, String) {
        let until = Instant::now() + PATIENCE;
        while self.child.try_wait().unwrap().is_none() {
            assert!(Instant::now() < until, "it does not end: {:?}", self.shown());
            std::thread::sleep(Duration::from_millis(10));
        }
        (self.child.wait().unwrap().code(), self.shown())
    }
}

impl Drop for Typing {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            drop(self.child.kill());
            drop(self.child.wait());
        }
    }
}
