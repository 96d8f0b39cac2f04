//! A terminal of a test's own, script(1)'s: what is typed at it, and what stands on it.

#![expect(clippy::unwrap_used, reason = "a terminal that cannot be had fails the test")]

use std::io::{Read as _, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Far more than anything takes, on a machine that is busy with other things too.
const PATIENCE: Duration = Duration::from_mins(5);

/// The words before a line of shell that runs it at a terminal of its own.
pub(crate) const SCRIPT: [&str; 2] = ["script", "-qfec"];

/// A command at a terminal.
pub(crate) struct Typing {
    child: Child,
    shown: Arc<Mutex<Vec<u8>>>,
}

impl Typing {
    /// `command` is script(1), whatever stands around it.
    pub(crate) fn start(mut command: Command) -> Self {
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

    pub(crate) fn shown(&self) -> String {
        String::from_utf8_lossy(&self.shown.lock().unwrap()).into_owned()
    }

    pub(crate) fn wait_for(&self, text: &str) {
        let until = Instant::now() + PATIENCE;
        while !self.shown().contains(text) {
            assert!(Instant::now() < until, "no {text:?} in {:?}", self.shown());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub(crate) fn types(&mut self, text: &str) {
        let input = self.child.stdin.as_mut().unwrap();
        input.write_all(text.as_bytes()).unwrap();
        input.flush().unwrap();
    }

    /// The exit code, and what stood on the terminal.
    pub(crate) fn end(mut self) -> (Option<i32>, String) {
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
