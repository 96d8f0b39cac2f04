//! What a host says of its programs that lend rights, and of what everyone may write.

use std::collections::{HashMap, HashSet};

use super::capability;
use super::program::{Answer, Lends, Origin, Program};
use crate::resource::{Frame, Reading, Unread, parts};

/// The diverter of an administrator, in dpkg's file of diversions.
const LOCAL: &str = ":";

/// Reads the answer to `question.pl`.
pub(super) fn read(frame: &Frame) -> Reading<Answer> {
    let walk = parts::succeeded(frame, "walk")?;
    match walk.lines().last().and_then(|line| line.strip_prefix("found ")).unwrap_or_default() {
        "0" => {}
        "124" => return Err(Unread("the local file systems are too large to be walked in 25 s".to_owned())),
        status => {
            let said = parts::said(&frame.stderr);
            return Err(Unread(format!("the local file systems could not be walked (exit {status}){said}")));
        }
    }
    let owners = parts::succeeded(frame, "owners")?;
    let changed = parts::succeeded(frame, "changed")?;
    let diverted = parts::succeeded(frame, "diverted")?;
    if !walk.lines().any(|line| line == "walked") {
        return Err(Unread("find said nothing of the local file systems".to_owned()));
    }
    if !walk.lines().any(|line| line == "asked") {
        return Err(Unread("file capabilities are read on x86-64 and AArch64 alone".to_owned()));
    }
    if !owners.lines().any(|line| line == "self dpkg") || changed.lines().next() != Some("looked") {
        return Err(Unread("dpkg did not say whose programs they are".to_owned()));
    }
    let origins = Origins {
        packages: owners
            .lines()
            .filter_map(|line| line.split_once(": "))
            // "local diversion from", "diversion by dash to"
            .filter(|(package, _)| !package.contains("diversion "))
            // the first that brought it
            .fold(HashMap::new(), |mut all, (package, path)| {
                all.entry(path).or_insert(package);
                all
            }),
        diversions: diverted
            .lines()
            .filter_map(|line| {
                let (end, rest) = line.split_once(' ')?;
                let (by, path) = rest.split_once(' ')?;
                Some((path, (end, by)))
            })
            .collect(),
        changed: changed.lines().filter_map(|line| line.rsplit(' ').next()).collect(),
    };
    let mut answer = Answer { programs: Vec::new(), writable: Vec::new() };
    for line in walk.lines() {
        if let Some(path) = line.strip_prefix("writable ") {
            answer.writable.push(path.to_owned());
        } else if let Some(rest) = line.strip_prefix("set-id ") {
            let fields: Vec<&str> = rest.splitn(3, ' ').collect();
            let [mode, owner, path] = fields.as_slice() else {
                return Err(Unread(format!("find wrote a line of another form: {}", parts::line(line))));
            };
            let lends = Lends::SetId { mode: (*mode).to_owned(), owner: (*owner).to_owned() };
            answer.programs.push(origins.program(path, lends));
        } else if let Some(rest) = line.strip_prefix("capable ") {
            let read = rest.split_once(' ').and_then(|(held, path)| Some((capability::names(held)?, path)));
            let Some((names, path)) = read else {
                return Err(Unread(format!(
                    "the capabilities of a file could not be read: {}",
                    parts::line(line)
                )));
            };
            answer.programs.push(origins.program(path, Lends::Capabilities(names)));
        }
    }
    Ok(answer)
}

/// What dpkg says of files, by path.
struct Origins<'a> {
    packages: HashMap<&'a str, &'a str>,
    /// Which end of a diversion that is, and who made it.
    diversions: HashMap<&'a str, (&'a str, &'a str)>,
    changed: HashSet<&'a str>,
}

impl Origins<'_> {
    fn program(&self, path: &str, lends: Lends) -> Program {
        // dpkg may know a path by its name from before /bin became /usr/bin.
        let names = || [Some(path), path.strip_prefix("/usr")].into_iter().flatten();
        let diverted = names().find_map(|name| self.diversions.get(name));
        let origin = match (diverted, names().find_map(|name| self.packages.get(name))) {
            (Some(("to", _)), _) => Origin::Renamed,
            (Some((_, LOCAL)), _) => Origin::Diverted,
            (Some((_, by)), _) => Origin::Package((*by).to_owned()),
            (None, Some(package)) => Origin::Package((*package).to_owned()),
            (None, None) => Origin::Nobody,
        };
        let changed = names().any(|name| self.changed.contains(name));
        Program { path: path.to_owned(), lends, origin, changed }
    }
}
