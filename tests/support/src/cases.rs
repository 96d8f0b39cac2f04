//! The form of a case of `tests/cases`: how it is read, run, shown and written, and captured from a host. It judges
//! nothing by itself: what comes of a case is palisade's to say.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use jiff::Timestamp;
use palisade::kinds::{self, Resource};
use palisade::program::Program;
use palisade::resource::{Phase, Question, Verdict};
use palisade::shell::{self, Exit, Frame, FrameError, Nonce, Output, Script};
use serde::Deserialize;

use crate::breaks;

/// One case.
#[derive(Debug, Deserialize)]
#[serde(from = "Written")]
pub struct Case {
    /// What is shown, in a sentence.
    pub about: String,
    /// The resource.
    pub spec: Resource,
    /// Where the answer comes from.
    pub source: Source,
    /// What the host answered.
    #[serde(default)]
    pub raw: Raw,
    /// The time of the judgement.
    pub now: Timestamp,
    /// What shall come of it. Last in the file.
    pub expected: Expected,
}

/// A case as it stands in its file, on one level: what is expected follows what was given.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    about: String,
    spec: Resource,
    source: Source,
    #[serde(default)]
    raw: Raw,
    now: Timestamp,
    verdict: String,
    #[serde(default)]
    findings: Vec<String>,
    #[serde(default)]
    notes: Vec<String>,
    #[serde(default)]
    reason: Option<String>,
    #[serde(default)]
    defeated: Option<String>,
    #[serde(default)]
    steps: Vec<ExpectedStep>,
}

impl From<Written> for Case {
    fn from(written: Written) -> Self {
        let Written { about, spec, source, raw, now, verdict, findings, notes, reason, defeated, steps } =
            written;
        Self {
            about,
            spec,
            source,
            raw,
            now,
            expected: Expected { verdict, findings, notes, reason, defeated, steps },
        }
    }
}

/// Where an answer comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Source {
    /// A real Debian 12 host.
    #[serde(rename = "debian-12")]
    Debian12,
    /// A real Debian 13 host.
    #[serde(rename = "debian-13")]
    Debian13,
    /// Written by hand, for what no healthy host answers.
    #[serde(rename = "made")]
    Made,
}

/// A frame as the host gave it. Status 124 or 137 is a question that ran out of time.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Raw {
    /// Exit status.
    pub status: u32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    #[serde(default)]
    pub stderr: String,
}

/// What shall come of a case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expected {
    /// The verdict's word.
    pub verdict: String,
    /// Drift: each finding.
    pub findings: Vec<String>,
    /// Compliant: each note.
    pub notes: Vec<String>,
    /// Unknown or not applicable: why.
    pub reason: Option<String>,
    /// What defeats a remedy, and what to do.
    pub defeated: Option<String>,
    /// The remedy's steps.
    pub steps: Vec<ExpectedStep>,
}

/// A step, without the bytes that it changes.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExpectedStep {
    /// The phase in which it is made.
    pub phase: Phase,
    /// What it changes, in a few words.
    pub summary: String,
    /// What it cuts off.
    #[serde(default)]
    pub cuts: Vec<String>,
}

impl Case {
    /// From the file's text.
    pub fn parse(text: &str) -> Result<Self, String> {
        serde_saphyr::from_str(text).map_err(|error| error.to_string())
    }

    /// What comes of it.
    pub fn outcome(&self) -> Expected {
        let frame = |_: &Question| {
            let label = self.spec.kind().to_owned();
            match self.raw.status {
                124 | 137 => Err(FrameError::TimedOut(label)),
                status => Ok(Frame {
                    label,
                    status,
                    stdout: self.raw.stdout.clone().into_bytes(),
                    stderr: self.raw.stderr.clone().into_bytes(),
                    cut: false,
                }),
            }
        };
        let mut outcome = Expected::default();
        let reading = kinds::read(&[&self.spec], frame).remove(0);
        let verdict = match &reading {
            Ok(answer) => self.spec.judge(answer, self.now),
            Err(unread) => Verdict::Unknown { reason: unread.to_string() },
        };
        verdict.word().clone_into(&mut outcome.verdict);
        match verdict {
            Verdict::Compliant { notes } => outcome.notes = notes,
            Verdict::Drift { findings } | Verdict::Waived { findings, .. } => outcome.findings = findings,
            Verdict::NotApplicable { reason } | Verdict::Unknown { reason } => outcome.reason = Some(reason),
        }
        match reading.map(|answer| self.spec.remedy(&answer)) {
            Ok(Ok(steps)) => {
                outcome.steps = steps
                    .into_iter()
                    .map(|step| ExpectedStep { phase: step.phase, summary: step.summary, cuts: step.cuts })
                    .collect();
            }
            Ok(Err(defeated)) => {
                outcome.defeated = Some(format!("{} (hint: {})", defeated.what, defeated.hint));
            }
            Err(_) => {}
        }
        outcome
    }
}

impl Expected {
    /// As it stands at the end of a case's file. Empty lists and absent lines are left out, but `steps`.
    pub fn to_yaml(&self) -> String {
        let mut text = format!("verdict: {}\n", self.verdict);
        let mut list = |name: &str, lines: &[String], indent: &str| {
            if !lines.is_empty() {
                let _ = writeln!(text, "{indent}{name}:");
                for line in lines {
                    let _ = writeln!(text, "{indent}  - {}", quoted(line));
                }
            }
        };
        list("findings", &self.findings, "");
        list("notes", &self.notes, "");
        for (name, line) in [("reason", &self.reason), ("defeated", &self.defeated)] {
            if let Some(line) = line {
                let _ = writeln!(text, "{name}: {}", quoted(line));
            }
        }
        if self.steps.is_empty() {
            text.push_str("steps: []\n");
            return text;
        }
        text.push_str("steps:\n");
        for step in &self.steps {
            let phase = serde_json::to_value(step.phase).unwrap();
            let _ = writeln!(text, "  - phase: {}", phase.as_str().unwrap());
            let _ = writeln!(text, "    summary: {}", quoted(&step.summary));
            if !step.cuts.is_empty() {
                text.push_str("    cuts:\n");
                for cut in &step.cuts {
                    let _ = writeln!(text, "      - {}", quoted(cut));
                }
            }
        }
        text
    }
}

/// Every file below `folder`, one level of kinds deep, read as a case; but those that say how a kind is broken.
pub fn found_in(folder: &Path) -> Vec<(PathBuf, Result<Case, String>)> {
    let mut found = Vec::new();
    for kind in entries(folder).into_iter().filter(|path| path.is_dir()) {
        for path in entries(&kind).into_iter().filter(|path| !path.ends_with(breaks::FILE)) {
            let case = if path.extension().is_some_and(|extension| extension == "yaml") {
                Case::parse(&std::fs::read_to_string(&path).unwrap())
            } else {
                Err("not a .yaml file, so no case".to_owned())
            };
            found.push((path, case));
        }
    }
    assert!(!found.is_empty(), "no case in {}", folder.display());
    found
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let mut entries: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    entries
}

/// What is expected and what came, as a diff of lines.
pub fn difference(expected: &Expected, got: &Expected) -> String {
    let (expected, got) = (expected.to_yaml(), got.to_yaml());
    similar::TextDiff::from_lines(&expected, &got).unified_diff().header("expected", "got").to_string()
}

/// Writes `got` in the place of what the file expects.
pub fn rewrite(path: &Path, case: &Case, got: &Expected) {
    let text = std::fs::read_to_string(path).unwrap();
    let Some(at) = text.find("\nverdict:") else {
        panic!("{} ({}): no line `verdict:` to write from", path.display(), case.about);
    };
    let head = &text[..=at];
    std::fs::write(path, format!("{head}{}", got.to_yaml())).unwrap();
}

/// Asks a host the question of the case `PALISADE_CASE` (a path without `.yaml` below `tests/cases`, whose `about`,
/// `spec`, `source` and `now` are written) through the command `PALISADE_VIA`, which must run what it reads on
/// standard input as a root shell of that host; and writes the answer and what comes of it into the file. It is a role of
/// the test program `pure`.
pub fn capture() {
    let name =
        std::env::var("PALISADE_CASE").expect("PALISADE_CASE names the case: sshd/debian-12-delivered");
    let via =
        std::env::var("PALISADE_VIA").expect("PALISADE_VIA is the way to the host: `ssh root@host sh -s`");
    let path = PathBuf::from(format!("tests/cases/{name}.yaml"));
    let text = std::fs::read_to_string(&path).expect("the case's head is written by hand first");
    let now = text.lines().find(|line| line.starts_with("now:")).expect("the case says `now:`");
    let head = text.find("\nraw:").map_or(text.as_str(), |at| &text[..=at]);
    let head = head
        .lines()
        .filter(|line| !line.starts_with("now:"))
        .fold(String::new(), |text, line| text + line + "\n")
        + now
        + "\n";
    let draft = Case::parse(&format!("{head}verdict: unknown\n")).unwrap();
    let questions = kinds::questions(&[&draft.spec]);
    let nonce = Nonce::new(*b"captured fixture");
    let script = Script::new().framed(&nonce, &questions);
    let mut child = Program::Sh
        .command()
        .args(["-c", &via])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), script.to_stdin().as_bytes()).unwrap();
    let done = child.wait_with_output().unwrap();
    let output = Output { exit: Exit::Status(0), stdout: done.stdout, stderr: done.stderr };
    let frame = shell::frame(&output, &nonce, &questions[0]).unwrap();
    write_captured(&path, &head, draft.now, &frame);
}

/// Writes a case: its head (`about`, `spec`, `source`), what was answered to it, and what comes of it.
pub fn write_captured(path: &Path, head: &str, now: Timestamp, frame: &Frame) {
    let head = head
        .lines()
        .filter(|line| !line.starts_with("now:"))
        .fold(String::new(), |text, line| text + line + "\n");
    let head = format!(
        "{head}raw:\n  status: {}\n  stdout: {}\n  stderr: {}\nnow: {now}\n",
        frame.status,
        block(&String::from_utf8(frame.stdout.clone()).unwrap()),
        block(&String::from_utf8(frame.stderr.clone()).unwrap()),
    );
    let expected = Case::parse(&format!("{head}verdict: unknown\n")).unwrap().outcome();
    std::fs::write(path, format!("{head}{}", expected.to_yaml())).unwrap();
}

/// A YAML scalar that reads back as `text`, on one line.
fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap()
}

/// A YAML scalar that reads back as `text`: a literal block where that is exact, else one line.
fn block(text: &str) -> String {
    let plain = text.ends_with('\n')
        && !text.ends_with("\n\n")
        && text.chars().all(|c| matches!(c, '\n' | '\t') || !c.is_control());
    if !plain || text == "\n" {
        return quoted(text);
    }
    text.lines().fold(
        "|2".to_owned(),
        |block, line| {
            if line.is_empty() { block + "\n" } else { block + "\n    " + line }
        },
    )
}
