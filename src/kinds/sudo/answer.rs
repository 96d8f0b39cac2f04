//! What a host is asked about sudo, and what it answers: every sudoers file that sudo would read, in its order. Nothing
//! is judged here.

use std::collections::BTreeMap;

use serde::Serialize;

use super::line::{LineKind, canonical, lines};
use crate::kinds::file;
use crate::resource::parts::{field, said};
use crate::resource::{FileState, Frame, Reading, Unread};
use crate::text::{excerpt, visible};

/// sudo's main file.
pub(super) const MAIN: &str = "/etc/sudoers";

/// The directory that it includes on its last line, as Debian delivers it.
const DIRECTORY: &str = "/etc/sudoers.d";

/// Ours.
pub const RULES: &str = "/etc/sudoers.d/palisade";

/// Every sudoers file, and where else sudo is told to look.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Answer {
    /// The main file and all that it includes, in the order in which they are first included.
    pub files: Vec<SudoersFile>,
    /// What sudo reads and is not among `files`, each with its place.
    pub unread: Vec<String>,
    /// Whether sudo reads /etc/sudoers.d.
    pub has_directory: bool,
    /// Lines of /etc/sudo.conf that say something.
    pub conf: Vec<String>,
    /// The `sudoers:` line of /etc/nsswitch.conf; empty where there is none, and sudo reads files alone.
    pub switch: String,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct SudoersFile {
    /// Its path.
    pub path: String,
    /// What stands there.
    pub state: FileState,
}

/// A line in the order in which sudo comes to it.
pub(super) struct SudoLine<'a> {
    /// The file that holds it.
    pub(super) path: &'a str,
    /// The line.
    pub(super) line: super::line::Line<'a>,
    /// Whether sudo comes to our file, or would if there is none yet, before it.
    pub(super) is_behind_ours: bool,
}

impl SudoLine<'_> {
    /// `/etc/sudoers:12`.
    pub(super) fn shown(&self) -> String {
        visible(&format!("{}:{}", self.path, self.line.number))
    }
}

pub(super) fn read(frame: &Frame) -> Reading<Answer> {
    let text = String::from_utf8_lossy(&frame.stdout);
    let marked = |mark: &'static str| {
        text.lines().filter_map(move |line| {
            line.split_once('\t').filter(|(first, _)| *first == mark).map(|(_, rest)| rest)
        })
    };
    if !text.lines().any(|line| line == "whole") {
        return Err(Unread(format!("the sudo rules could not be read{}", said(&frame.stderr))));
    }
    let mut states = file::read_states(frame);
    let mut files = Vec::new();
    for path in marked("file").map(field) {
        let state = states.remove(&path).unwrap_or_else(|| {
            Err(Unread(format!("{} could not be read{}", visible(&path), said(&frame.stderr))))
        })?;
        files.push(SudoersFile { path, state });
    }
    if files.first().is_none_or(|file| file.path != MAIN) {
        return Err(Unread(format!("{MAIN} was not looked at")));
    }
    let entries: Vec<String> = marked("entry").map(field).collect();
    let directories: Vec<String> = marked("directory").map(field).collect();
    let mut answer = Answer {
        unread: Vec::new(),
        has_directory: directories.iter().any(|one| one.trim_end_matches('/') == DIRECTORY),
        conf: marked("conf").map(str::to_owned).collect(),
        switch: marked("switch").collect::<Vec<_>>().join("; "),
        files,
    };
    answer.unread = answer.unread(&entries, &directories);
    Ok(answer)
}

impl Answer {
    /// The main file's state.
    pub(super) fn is_set_up(&self) -> bool {
        self.files.iter().any(|file| file.path == MAIN && file.state != FileState::Absent)
    }

    /// All lines in the order in which sudo comes to them.
    pub(super) fn places(&self) -> Vec<SudoLine<'_>> {
        let by_path: BTreeMap<&str, &SudoersFile> =
            self.files.iter().map(|file| (file.path.as_str(), file)).collect();
        let mut walk = Walk { by_path, above: Vec::new(), is_behind_ours: false, places: Vec::new() };
        walk.follow(MAIN);
        walk.places
    }

    /// Whether a line names the file itself: taking it away would leave sudo with an error.
    pub(super) fn is_named(&self, path: &str) -> bool {
        self.files.iter().any(|file| match &file.state {
            FileState::Present(found) => lines(&found.content).iter().any(
                |line| matches!(line.kind, LineKind::Include(target) if absolute(&file.path, target) == path),
            ),
            _ => false,
        })
    }

    /// What sudo would read and the question did not.
    fn unread(&self, entries: &[String], directories: &[String]) -> Vec<String> {
        let mut unread = Vec::new();
        for file in &self.files {
            match &file.state {
                FileState::Absent => {}
                FileState::Other { kind } if kind == "directory" => {}
                FileState::Other { kind } => {
                    unread.push(format!("{} is a {}, which is not read", visible(&file.path), visible(kind)));
                }
                FileState::Present(found) => {
                    for line in lines(&found.content) {
                        let (target, known) = match line.kind {
                            LineKind::Include(target) => {
                                let path = absolute(&file.path, target);
                                (target, self.files.iter().any(|one| one.path == path))
                            }
                            LineKind::IncludeDirectory(target) => {
                                let path = absolute(&file.path, target);
                                (target, directories.contains(&path))
                            }
                            _ => continue,
                        };
                        if !known {
                            let place = visible(&format!("{}:{}", file.path, line.number));
                            unread.push(format!(
                                "{place} includes `{}`, which is not read",
                                excerpt(target, 120)
                            ));
                        }
                    }
                }
            }
        }
        for entry in entries {
            if !self.files.iter().any(|file| file.path == *entry) {
                unread.push(format!("{} is not read", visible(entry)));
            }
        }
        unread
    }
}

/// sudo's way through the files.
struct Walk<'a> {
    by_path: BTreeMap<&'a str, &'a SudoersFile>,
    above: Vec<&'a str>,
    is_behind_ours: bool,
    places: Vec<SudoLine<'a>>,
}

impl Walk<'_> {
    fn follow(&mut self, path: &str) {
        let Some((path, file)) = self.by_path.get_key_value(path).map(|(path, file)| (*path, *file)) else {
            return;
        };
        let FileState::Present(found) = &file.state else { return };
        if self.above.contains(&path) {
            return;
        }
        self.above.push(path);
        for line in lines(&found.content) {
            match line.kind {
                LineKind::Include(target) => self.follow(&absolute(path, target)),
                LineKind::IncludeDirectory(target) => self.follow_all(&absolute(path, target)),
                LineKind::Defaults | LineKind::Alias | LineKind::Rule => {
                    self.places.push(SudoLine { path, line, is_behind_ours: self.is_behind_ours });
                }
            }
        }
        self.above.pop();
    }

    fn follow_all(&mut self, directory: &str) {
        let directory = directory.trim_end_matches('/');
        let parent = |one: &&str| one.rsplit_once('/').is_some_and(|(parent, _)| parent == directory);
        let inside: Vec<&str> = self.by_path.keys().copied().filter(parent).collect();
        for path in inside {
            self.is_behind_ours |= directory == DIRECTORY && path > RULES;
            self.follow(path);
        }
        self.is_behind_ours |= directory == DIRECTORY;
    }
}

/// A name without a leading slash is relative to the including file's directory (sudoers(5)).
fn absolute(file: &str, target: &str) -> String {
    if target.starts_with('/') {
        return target.to_owned();
    }
    let directory = file.rsplit_once('/').map_or("", |(directory, _)| directory);
    format!("{directory}/{target}")
}

/// A rule in its one form.
pub(super) fn rule(line: &super::line::Line<'_>) -> String {
    canonical(&line.text)
}
