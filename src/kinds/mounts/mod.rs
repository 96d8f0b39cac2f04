//! Folders that everyone may write into, where they are file systems of their own: which options they are mounted with. It
//! changes nothing: what fstab(5) and units say decides at the next boot, and a line that is wrong there keeps a server
//! from booting; a folder without a file system of its own has the options of the one it lies on.

mod declare;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::RemotePath;
use crate::resource::{Defeated, Frame, Kind, Question, Reading, Step, Unread, Verdict, parts};
use crate::shell::Perl;
use crate::text::visible;

/// Mount points, and the options that each has where it is one. One per host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mounts {
    /// The folders.
    pub at: Vec<RemotePath>,
    /// Mount options of each path.
    pub options: Vec<MountOption>,
}

/// An option that takes something away (mount(8)).
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, schemars::JsonSchema, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum MountOption {
    /// Devices there are none.
    Nodev,
    /// Programs there lend nobody's rights.
    Nosuid,
    /// Programs there do not run.
    Noexec,
}

impl MountOption {
    /// All of them, as they are written.
    pub const ALL: [(&'static str, Self); 3] =
        [("nodev", Self::Nodev), ("nosuid", Self::Nosuid), ("noexec", Self::Noexec)];

    fn as_str(self) -> &'static str {
        match self {
            Self::Nodev => "nodev",
            Self::Nosuid => "nosuid",
            Self::Noexec => "noexec",
        }
    }
}

/// What the kernel says of each, in their order; none where nothing is mounted there.
pub type Answer = Vec<Option<Mounted>>;

/// A file system that is mounted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Mounted {
    /// Its type: `tmpfs`.
    pub kind: String,
    /// The options of this mount, and not of the file system: `rw,nosuid,nodev`.
    pub options: Vec<String>,
}

impl Kind for Mounts {
    type Answer = Answer;

    fn question(_all: &[&Self]) -> Question {
        let body = Perl::new(include_str!("question.pl")).into();
        Question { label: "mounts", body, seconds: 20, cap: 4 << 20 }
    }

    fn read(all: &[&Self], frame: &Frame) -> Vec<Reading<Answer>> {
        let mounts = mounts(frame);
        // The last one at a place lies on top of the others there.
        let at = |path: &RemotePath, mounts: &[(String, Mounted)]| {
            mounts.iter().rev().find(|(at, _)| at == path.as_str()).map(|(_, mounted)| mounted.clone())
        };
        let answer = |one: &&Self| -> Reading<Answer> {
            let mounts = mounts.as_ref().map_err(Clone::clone)?;
            Ok(one.at.iter().map(|path| at(path, mounts)).collect())
        };
        all.iter().map(answer).collect()
    }

    fn judge(&self, answer: &Answer, _now: Timestamp) -> Verdict {
        let (mut findings, mut bare) = (Vec::new(), Vec::new());
        for (path, mounted) in self.at.iter().zip(answer) {
            let Some(mounted) = mounted else {
                bare.push(path.to_string());
                continue;
            };
            let lacks = self.options.iter().map(|option| option.as_str());
            let lacks: Vec<&str> =
                lacks.filter(|option| !mounted.options.iter().any(|has| has == option)).collect();
            if !lacks.is_empty() {
                findings.push(format!(
                    "{path} ({}) is mounted without {}",
                    visible(&mounted.kind),
                    lacks.join(" and ")
                ));
            }
        }
        let notes = if bare.is_empty() {
            Vec::new()
        } else {
            vec![format!("no file system of its own: {}", bare.join(", "))]
        };
        if !findings.is_empty() {
            return Verdict::Drift { findings };
        }
        if bare.len() == self.at.len() {
            return Verdict::NotApplicable { reason: notes.concat() };
        }
        Verdict::Compliant { notes }
    }

    fn remedy(&self, _answer: &Answer) -> Result<Vec<Step>, Defeated> {
        Ok(Vec::new())
    }

    fn name(&self) -> String {
        "mount options".to_owned()
    }
}

/// Each mount point with what is mounted there, in the order in which they were (`proc_pid_mountinfo(5)`).
fn mounts(frame: &Frame) -> Reading<Vec<(String, Mounted)>> {
    let part = parts::succeeded(frame, "mounts")?;
    let mut mounts = Vec::new();
    for line in part.lines() {
        let strange = || Unread(format!("the kernel wrote a line of another form: {}", parts::line(line)));
        let (about, of) = line.split_once(" - ").ok_or_else(strange)?;
        let fields: Vec<&str> = about.split(' ').collect();
        let [_, _, _, _, at, options, ..] = fields.as_slice() else { return Err(strange()) };
        let kind = of.split(' ').next().unwrap_or_default().to_owned();
        let options = options.split(',').map(str::to_owned).collect();
        mounts.push((plain(at), Mounted { kind, options }));
    }
    // Everything stands on one.
    if !mounts.iter().any(|(at, _)| at == "/") {
        return Err(Unread("the kernel named no file system at /".to_owned()));
    }
    Ok(mounts)
}

/// A path without the escapes of blanks and backslashes.
fn plain(path: &str) -> String {
    path.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")
}
