//! Running something inside a virtual machine, whatever its network does: through the qemu guest agent, whose port is a
//! socket in the machine's folder. One request at a time; who waits for a long program asks again and again, so that
//! others get their turn.

use std::io::{BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::shell::{Exit, Output};
use crate::text;

/// How long the agent may take for one answer. An emulated machine on a busy one is slow; a dead one is none the wiser.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// Most bytes of one answer: 16 MiB of output (qemu's own bound), in base64.
const MOST: u64 = 48 << 20;

/// The agent of one machine.
pub(super) struct Agent {
    socket: PathBuf,
    lock: PathBuf,
}

/// Why it said nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum Silent {
    /// Nobody listens, or nobody answers in time: the machine boots, or is off.
    #[error("its agent does not answer: {0}")]
    Absent(String),
    /// It refused.
    #[error("its agent refused: {0}")]
    Refused(String),
}

impl From<std::io::Error> for Silent {
    fn from(error: std::io::Error) -> Self {
        Self::Absent(error.to_string())
    }
}

impl Agent {
    pub(super) fn new(folder: &Path) -> Self {
        Self { socket: folder.join("agent"), lock: folder.join("agent.lock") }
    }

    /// Runs `program` with `input`, and waits for its end until `deadline` is over.
    #[expect(clippy::disallowed_methods, reason = "the lab waits for programs")]
    pub(super) fn run(&self, program: &[&str], input: &[u8], deadline: Duration) -> Result<Output, Silent> {
        let Some((path, arguments)) = program.split_first() else {
            return Err(Silent::Refused("no program".to_owned()));
        };
        let begun = Instant::now();
        let started: Started = self.ask(
            "guest-exec",
            &json!({
                "path": path,
                "arg": arguments,
                "input-data": STANDARD.encode(input),
                "capture-output": true,
            }),
        )?;
        let mut pause = Duration::from_millis(10);
        loop {
            let status: Status = self.ask("guest-exec-status", &json!({ "pid": started.pid }))?;
            if status.exited {
                let bytes = |text: &str| STANDARD.decode(text).unwrap_or_default();
                return Ok(Output {
                    exit: status.exitcode.map_or(Exit::Unknown, Exit::Status),
                    stdout: bytes(&status.out_data),
                    stderr: bytes(&status.err_data),
                });
            }
            if begun.elapsed() > deadline {
                return Err(Silent::Absent(format!("a program did not end within {} s", deadline.as_secs())));
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(200));
        }
    }

    #[expect(clippy::disallowed_methods, reason = "a lock in the machine's own folder")]
    fn ask<A: DeserializeOwned>(&self, command: &str, arguments: &Value) -> Result<A, Silent> {
        let lock = std::fs::File::create(&self.lock)?;
        lock.lock()?;
        let mut stream = UnixStream::connect(&self.socket)?;
        stream.set_read_timeout(Some(ANSWER_WITHIN))?;
        stream.set_write_timeout(Some(ANSWER_WITHIN))?;
        // what an earlier client left unread stands before the answer to this number, behind a byte that no JSON has
        let number = getrandom::u32().unwrap_or_default();
        let sync = json!({ "execute": "guest-sync-delimited", "arguments": { "id": number } });
        stream.write_all(&[0xff])?;
        stream.write_all(format!("{sync}\n").as_bytes())?;
        let mut answers = BufReader::new(stream.try_clone()?).take(MOST);
        loop {
            let line = line(&mut answers)?;
            let text = line.rsplit(|byte| *byte == 0xff).next().unwrap_or_default();
            if serde_json::from_slice::<Answer<u32>>(text).is_ok_and(|answer| answer.value == number) {
                break;
            }
        }
        let order = json!({ "execute": command, "arguments": arguments });
        stream.write_all(format!("{order}\n").as_bytes())?;
        let said = line(&mut answers)?;
        serde_json::from_slice::<Answer<A>>(&said)
            .map(|answer| answer.value)
            .map_err(|_| Silent::Refused(text::excerpt(&String::from_utf8_lossy(&said), 200)))
    }
}

/// What an order is answered with.
#[derive(Deserialize)]
struct Answer<A> {
    #[serde(rename = "return")]
    value: A,
}

/// `guest-exec`'s answer.
#[derive(Deserialize)]
struct Started {
    pid: u64,
}

/// `guest-exec-status`'s answer.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Status {
    exited: bool,
    exitcode: Option<u32>,
    #[serde(default)]
    out_data: String,
    #[serde(default)]
    err_data: String,
}

fn line(answers: &mut impl std::io::BufRead) -> Result<Vec<u8>, Silent> {
    let mut line = Vec::new();
    answers.read_until(b'\n', &mut line)?;
    if line.last() != Some(&b'\n') {
        return Err(Silent::Absent("it ended in the middle of an answer".to_owned()));
    }
    Ok(line)
}
