//! A file with given content, owner and mode, or none at all.

pub mod declare;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::RemotePath;
use crate::resource::{
    Change, Defeated, FileContent, FileState, Frame, Kind, Phase, Question, Reading, Step, Unread, Verdict,
};
use crate::shell::{Arg, Perl};

/// A file, and what shall stand there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// Its path.
    pub path: RemotePath,
    /// What; none for nothing at all.
    pub content: Option<FileContent>,
}

/// What stands there.
pub type Answer = FileState;

impl Kind for File {
    type Answer = Answer;

    fn question(all: &[&Self]) -> Question {
        Question {
            label: "file",
            body: question(all.iter().map(|file| &file.path)).into(),
            seconds: 20,
            cap: 8 << 20,
        }
    }

    fn read(all: &[&Self], frame: &Frame) -> Vec<Reading<Answer>> {
        let known = read_states(frame);
        all.iter()
            .map(|file| {
                known.get(file.path.as_str()).cloned().unwrap_or_else(|| Err(unanswered(frame, &file.path)))
            })
            .collect()
    }

    fn judge(&self, answer: &Answer, _now: Timestamp) -> Verdict {
        Verdict::from_findings(differences(&self.path, answer, self.content.as_ref()))
    }

    fn remedy(&self, answer: &Answer) -> Result<Vec<Step>, Defeated> {
        let after = self.content.clone().map_or(FileState::Absent, FileState::Present);
        if *answer == after {
            return Ok(Vec::new());
        }
        if let FileState::Other { kind } = answer
            && kind != "symbolic link"
        {
            return Err(Defeated {
                what: format!("{} is a {}, not a regular file", self.path, crate::text::visible(kind)),
                hint: "move it out of the way by hand, after finding out who put it there".to_owned(),
            });
        }
        let summary = match (&after, answer) {
            (FileState::Absent, _) => format!("remove {}", self.path),
            (_, FileState::Absent) => format!("write {}", self.path),
            _ => format!("change {}", self.path),
        };
        Ok(vec![Step {
            phase: Phase::Narrow,
            summary,
            change: Change::File { path: self.path.clone(), before: answer.clone(), after },
            cuts: Vec::new(),
        }])
    }

    fn name(&self) -> String {
        format!("file {}", self.path)
    }
}

/// What [`read_states`] reads of `paths`: for each a line `path TAB type TAB mode TAB owner TAB group TAB length TAB base64
/// of the content`, or `path TAB absent`. Regular files only are read, up to 1 MiB each, and through no link that another
/// account could make. Any question may say such lines (`file_state` of the reader).
fn question<'a>(paths: impl Iterator<Item = &'a RemotePath>) -> Perl {
    Perl::new(include_str!("question.pl")).given("files", paths.map(Arg::from))
}

/// What was said of files, by path. Lines that begin with no path are something else. A path that is answered twice is not
/// read.
pub(crate) fn read_states(frame: &Frame) -> BTreeMap<String, Reading<FileState>> {
    let text = String::from_utf8_lossy(&frame.stdout);
    let mut states: BTreeMap<String, Reading<FileState>> = BTreeMap::new();
    let lines = text.lines().filter(|line| line.starts_with('/')).filter_map(|line| line.split_once('\t'));
    for (path, rest) in lines {
        let path = crate::resource::parts::field(path);
        let state = read_state(&path, rest);
        states
            .entry(path)
            .and_modify(|one| *one = Err(Unread("the host answered twice about one file".to_owned())))
            .or_insert(state);
    }
    states
}

fn unanswered(frame: &Frame, path: &RemotePath) -> Unread {
    Unread(format!(
        "{path} could not be read (exit {}){}",
        frame.status,
        crate::resource::parts::said(&frame.stderr)
    ))
}

fn read_state(path: &str, line: &str) -> Reading<FileState> {
    let wrong = |what: &str| Unread(format!("{}: {what}", crate::text::visible(path)));
    if line == "absent" {
        return Ok(FileState::Absent);
    }
    let fields: Vec<&str> = line.split('\t').collect();
    let [kind, mode, owner, group, size, body] = fields.as_slice() else {
        return Err(wrong("the answer has not the expected fields"));
    };
    if !kind.starts_with("regular ") {
        return Ok(FileState::Other { kind: (*kind).to_owned() });
    }
    let bytes = crate::text::from_base64(body).ok_or_else(|| wrong("the content is not whole"))?;
    if bytes.len().to_string() != *size {
        return Err(wrong("the content is not as long as the file"));
    }
    let Ok(content) = String::from_utf8(bytes) else {
        return Ok(FileState::not_text());
    };
    let mode = format!("{mode:0>4}").parse().map_err(|_| wrong("the mode is not octal"))?;
    // An account that is gone, or whose name is none that Debian would give, is no reason to read nothing.
    let (Ok(owner_name), Ok(group_name)) = (owner.parse(), group.parse()) else {
        let whose = crate::resource::parts::field(&format!("{owner}:{group}"));
        return Ok(FileState::of_strange_owner(&whose));
    };
    Ok(FileState::Present(FileContent { content, mode, owner: owner_name, group: group_name }))
}

/// How `found` differs from `wanted`, each in a few words.
pub(crate) fn differences(path: &RemotePath, found: &FileState, wanted: Option<&FileContent>) -> Vec<String> {
    match (found, wanted) {
        (FileState::Absent, None) => Vec::new(),
        (FileState::Absent, Some(_)) => vec![format!("{path} is missing")],
        (FileState::Other { kind }, _) => vec![format!("{path} is a {}", crate::text::visible(kind))],
        (FileState::Present(_), None) => vec![format!("{path} exists")],
        (FileState::Present(found), Some(wanted)) => {
            let mut differences = Vec::new();
            if found.content != wanted.content {
                differences.push(format!("{path} has other content"));
            }
            if found.mode != wanted.mode {
                differences.push(format!("{path} has mode {}, not {}", found.mode, wanted.mode));
            }
            if (&found.owner, &found.group) != (&wanted.owner, &wanted.group) {
                differences.push(format!(
                    "{path} belongs to {}:{}, not {}:{}",
                    found.owner, found.group, wanted.owner, wanted.group
                ));
            }
            differences
        }
    }
}
