//! The passphrase of a key file, asked for at the terminal, once per run. Never without a terminal, never from the
//! environment or standard input, and never shown, logged or kept: what it unlocks is held by an agent within this process.

use std::fs::File;
use std::io::{self, IsTerminal as _, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use super::runtime::block_on;
use super::{reach, signals};
use crate::failure::Failure;
use crate::text::visible;
use crate::transport::{Identity, KeyAgent, RusshConnector};

/// How often it may be wrong.
const ATTEMPTS: u32 = 3;

/// A longer one is none. Its room is taken at once, so that no copy of it is left behind by growing.
const LONGEST: usize = 1024;

/// The agents of this run, each with the file whose key it holds. They live as long as somebody holds them elsewhere.
static SERVING: Mutex<Vec<(PathBuf, Weak<KeyAgent>)>> = Mutex::new(Vec::new());

fn all_serving() -> MutexGuard<'static, Vec<(PathBuf, Weak<KeyAgent>)>> {
    SERVING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The agent with the key of `file`, where its passphrase was asked for in this run.
pub(super) fn serving(file: &Path) -> Option<Arc<KeyAgent>> {
    all_serving().iter().find(|(served, _)| served == file).and_then(|(_, agent)| agent.upgrade())
}

/// The agent with the key of `identity`, where its file is protected by a passphrase, no agent holds it, and there is a
/// person at a terminal to ask. None where there is nothing to ask, or nobody.
pub(super) fn unlocked(identity: &Identity) -> Result<Option<Arc<KeyAgent>>, Failure> {
    let locked = block_on(RusshConnector::locked_key(identity))?
        .map_err(|error| Failure::refused(error.to_string()).hint("nothing was contacted"))?;
    let Some(locked) = locked else { return Ok(None) };
    if let Some(agent) = serving(locked.file()) {
        return Ok(Some(agent));
    }
    if !io::stdin().is_terminal() {
        return Ok(None);
    }
    // The terminal itself, wherever standard output and error lead.
    let Ok(mut terminal) = File::options().read(true).write(true).open("/dev/tty") else { return Ok(None) };
    let file = visible(&locked.file().to_string_lossy());
    for attempt in 1..=ATTEMPTS {
        let again = if attempt > 1 { format!(" (attempt {attempt} of {ATTEMPTS})") } else { String::new() };
        let passphrase = read(&terminal, &format!("passphrase of {file}{again}: "));
        writeln!(terminal)?;
        if let Some(key) = locked.unlock(&passphrase?) {
            let agent = Arc::new(KeyAgent::serve(reach::private_place()?, key)?);
            all_serving().push((locked.file().to_owned(), Arc::downgrade(&agent)));
            return Ok(Some(agent));
        }
    }
    Err(Failure::refused(format!("{file} stays locked: {ATTEMPTS} passphrases were wrong"))
        .hint("nothing was contacted")
        .hint(format!("an agent asks once per login: ssh-add {file}")))
}

/// A line that is not shown. Ctrl-C ends it like anywhere else, and the terminal is as before.
fn read(terminal: &File, question: &str) -> Result<Zeroizing<Vec<u8>>, Failure> {
    // Before the question: whoever answers quickly is not shown either.
    let _hidden = Hidden::new(terminal)?;
    let mut terminal = terminal.try_clone()?;
    terminal.write_all(question.as_bytes())?;
    let line = signals::asking(move || {
        let mut line = Zeroizing::new(Vec::with_capacity(LONGEST));
        let mut byte = [0];
        loop {
            if terminal.read(&mut byte)? == 0 {
                return Ok(None);
            }
            match byte {
                [b'\n' | b'\r'] => return Ok(Some(line)),
                // Ctrl-C, Ctrl-\; Ctrl-D where nothing is typed yet.
                [3 | 28] => return Ok(None),
                [4] if line.is_empty() => return Ok(None),
                // Backspace takes a character, Ctrl-U all of them.
                [8 | 127] => while line.pop().is_some_and(|byte| byte & 0b1100_0000 == 0b1000_0000) {},
                [21] => line.clear(),
                [byte] if byte >= 32 && line.len() < LONGEST => line.push(byte),
                _ => {}
            }
        }
    })?;
    let line: io::Result<Option<_>> = line;
    line?.ok_or_else(signals::interrupted)
}

/// A terminal that shows nothing of what is typed, and hands each key over as it comes.
struct Hidden<'a> {
    terminal: &'a File,
    before: Termios,
}

impl<'a> Hidden<'a> {
    fn new(terminal: &'a File) -> io::Result<Self> {
        let before = tcgetattr(terminal)?;
        let mut hidden = before.clone();
        hidden
            .local_modes
            .remove(LocalModes::ECHO | LocalModes::ECHONL | LocalModes::ICANON | LocalModes::ISIG);
        hidden.special_codes[SpecialCodeIndex::VMIN] = 1;
        hidden.special_codes[SpecialCodeIndex::VTIME] = 0;
        // What was typed before the question is no answer to it.
        tcsetattr(terminal, OptionalActions::Flush, &hidden)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Hidden<'_> {
    fn drop(&mut self) {
        let _ = tcsetattr(self.terminal, OptionalActions::Flush, &self.before);
    }
}
