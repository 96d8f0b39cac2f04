//! What ran, what did not and why: of this program, and of all programs of one `cargo test` so far, so that the last line
//! of the last one says it for all. It is kept in the target folder by the process that started them.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::harness::note;

/// A test that did not run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Skipped {
    pub(crate) name: String,
    pub(crate) why: String,
}

/// What came of one program.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Tally {
    pub(crate) program: String,
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) seconds: u64,
    pub(crate) skipped: Vec<Skipped>,
}

impl Tally {
    /// Says it, with what the programs before it said.
    pub(crate) fn told(self) {
        let all = match kept() {
            Some(file) => self.added(&file).unwrap_or_else(|error| {
                note(&format!("the programs before this one are not counted: {}: {error}", file.display()));
                vec![self]
            }),
            None => vec![self],
        };
        for line in lines(&all) {
            note(&line);
        }
    }

    fn added(&self, file: &Path) -> std::io::Result<Vec<Self>> {
        if let Some(folder) = file.parent() {
            fs::create_dir_all(folder)?;
        }
        let mut text = serde_json::to_string(self)?;
        text.push('\n');
        fs::OpenOptions::new().create(true).append(true).open(file)?.write_all(text.as_bytes())?;
        let all = fs::read_to_string(file)?;
        all.lines().map(|line| serde_json::from_str(line).map_err(std::io::Error::from)).collect()
    }
}

/// The lines that end a program. The last one is short, and complete.
fn lines(all: &[Tally]) -> Vec<String> {
    let mut lines = vec![String::new()];
    for one in all {
        lines.push(format!(
            "{:>12}: {} passed, {} failed, {} skipped, in {} s",
            one.program,
            one.passed,
            one.failed,
            one.skipped.len(),
            one.seconds
        ));
    }
    let mut reasons: Vec<(&str, usize)> = Vec::new();
    for skipped in all.iter().flat_map(|one| &one.skipped) {
        match reasons.iter_mut().find(|(why, _)| *why == skipped.why) {
            Some((_, count)) => *count += 1,
            None => reasons.push((&skipped.why, 1)),
        }
    }
    let sum = |of: fn(&Tally) -> u64| all.iter().map(of).sum::<u64>();
    let counts = format!(
        "tests: {} passed, {} failed, {} skipped",
        sum(|one| one.passed),
        sum(|one| one.failed),
        all.iter().map(|one| one.skipped.len()).sum::<usize>()
    );
    if reasons.is_empty() {
        lines.push(counts);
    } else {
        let reasons: Vec<String> = reasons.iter().map(|(why, count)| format!("{count}: {why}")).collect();
        lines.push(format!("{counts} ({})", reasons.join("; ")));
    }
    lines
}

/// Where the programs of this `cargo test` keep what they say; none where each test is a process of its own.
fn kept() -> Option<PathBuf> {
    if std::env::var_os("NEXTEST").is_some() {
        return None;
    }
    let parent = rustix::process::getppid()?.as_raw_nonzero().get();
    let folder = std::env::current_exe().ok()?.parent()?.parent()?.join("palisade-tests");
    for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let process = name.split('-').next().unwrap_or_default();
        if started(process).is_none_or(|at| name != format!("{process}-{at}")) {
            drop(fs::remove_file(entry.path()));
        }
    }
    let process = parent.to_string();
    let at = started(&process)?;
    Some(folder.join(format!("{process}-{at}")))
}

/// When a process began, in the kernel's ticks since boot (proc(5), field 22 of stat).
fn started(process: &str) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(19).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_counts_all_programs_and_says_why() {
        let one = |program: &str, skipped: &[&str]| Tally {
            program: program.to_owned(),
            passed: 3,
            failed: 1,
            seconds: 2,
            skipped: skipped
                .iter()
                .map(|why| Skipped { name: "a".to_owned(), why: (*why).to_owned() })
                .collect(),
        };
        let said = lines(&[one("cli", &["not root", "tail"]), one("lab", &["not root"])]);
        assert_eq!(said.last().unwrap(), "tests: 6 passed, 2 failed, 3 skipped (2: not root; 1: tail)");
        assert_eq!(lines(&[one("cli", &[])]).last().unwrap(), "tests: 3 passed, 1 failed, 0 skipped");
    }
}
