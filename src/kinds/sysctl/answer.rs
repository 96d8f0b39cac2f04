//! What a host says of its kernel's settings. Every setting that was asked for is named, with its value or as absent; an
//! answer that lacks one is none.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use serde::Serialize;

use super::value::words;
use crate::domain::{KernelKey, KernelParameter, RemotePath};
use crate::kinds::{file, machine};
use crate::resource::{FileState, Frame, Reading, Unread, parts};

/// What the host says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Answer {
    /// The container that it is.
    pub container: Option<String>,
    /// The settings that its kernel has, those that one key stands for side by side.
    pub parameters: Vec<Parameter>,
    /// Where those of a key stand in it: a host may have hundreds, and each is asked for several times.
    #[serde(skip)]
    places: BTreeMap<KernelKey, Range<usize>>,
    /// What stands where palisade keeps them.
    pub file: FileState,
    /// What files set that are read after it.
    pub later: Vec<Later>,
}

/// One setting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Parameter {
    /// The setting.
    pub parameter: KernelParameter,
    /// Its value, the words of a list joined by one space.
    pub value: String,
    /// Whether we may write it.
    pub writable: bool,
}

/// A line of a file that is read after ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Later {
    /// File and line.
    pub place: String,
    /// What it sets, as it is written there, with slashes.
    pub key: String,
    /// To what.
    pub value: String,
}

impl Parameter {
    /// What stands for the `*` of `key`.
    pub(super) fn stands_for(&self, key: &KernelKey) -> String {
        let parts = key.as_str().split('.').zip(self.parameter.as_str().split('/'));
        parts.filter(|(key, _)| *key == "*").map(|(_, part)| part).collect::<Vec<_>>().join(" ")
    }
}

impl Later {
    pub(super) fn sets(&self, key: &KernelKey, answer: &Answer) -> bool {
        answer.own(key).any(|found| crate::text::glob(&self.key, found.parameter.as_str()))
    }
}

impl Answer {
    /// What `key` stands for here.
    pub(super) fn parameters_of(&self, key: &KernelKey) -> impl Iterator<Item = &Parameter> {
        let place = self.places.get(key).cloned().unwrap_or_default();
        self.parameters.get(place).unwrap_or_default().iter()
    }

    /// Of those, what the host decides itself. In a container that is what belongs to its own network, which the machine
    /// below lets it write.
    pub(super) fn own(&self, key: &KernelKey) -> impl Iterator<Item = &Parameter> {
        let outside = self.container.is_none();
        self.parameters_of(key)
            .filter(move |found| outside || found.writable && found.parameter.as_str().starts_with("net/"))
    }
}

/// What the host says of the settings `keys` and of `kept`, the file that sets them at boot.
pub(super) fn read<'k>(
    keys: impl Iterator<Item = &'k KernelKey>,
    kept: &RemotePath,
    frame: &Frame,
) -> Reading<Answer> {
    let text = String::from_utf8_lossy(&frame.stdout);
    let container = machine::container(frame)?;
    let mut sorted: HashMap<&str, Vec<&str>> = HashMap::new();
    for (name, line) in text.lines().filter_map(|line| line.split_once('\t')) {
        sorted.entry(name).or_default().push(line);
    }
    let lines = |name: &'static str| sorted.get(name).into_iter().flatten().copied();
    if container.is_some() && lines("uid").next() != Some("0") {
        return Err(Unread("which settings are a container's own can only be seen as root".to_owned()));
    }
    let mut found: HashMap<&str, bool> = HashMap::new();
    let mut named: HashMap<&str, Vec<KernelParameter>> = HashMap::new();
    for line in lines("key") {
        let mut fields = line.split('\t');
        let (Some(key), Some(path), Some(may), None) =
            (fields.next(), fields.next(), fields.next(), fields.next())
        else {
            return Err(garbled());
        };
        let parameter: KernelParameter =
            path.parse().map_err(|_| Unread("a kernel setting has a name that cannot be used".to_owned()))?;
        found.insert(path, may == "write");
        named.entry(key).or_default().push(parameter);
    }
    let laters: Vec<&str> = lines("later").collect();
    let counts = format!("{}\t{}", found.len(), laters.len());
    if lines("asked").next_back() != Some(counts.as_str()) {
        return Err(garbled());
    }
    let mut values: HashMap<&str, &str> = HashMap::new();
    for line in lines("value") {
        let Some(line) = line.strip_prefix("/proc/sys/") else { continue };
        // The name of an interface may hold a colon: the setting is the one that was asked for.
        for (path, value) in line.match_indices(':').map(|(at, _)| line.split_at(at)) {
            if found.contains_key(path) {
                values.entry(path).or_insert(value.strip_prefix(':').unwrap_or_default());
            }
        }
    }
    let mut parameters = Vec::new();
    let mut places = BTreeMap::new();
    for key in keys {
        let begin = parameters.len();
        let own = named.get(key.as_str()).into_iter().flatten().filter(|parameter| key.names(parameter));
        for parameter in own {
            let value = values.get(parameter.as_str()).ok_or_else(|| {
                Unread(format!("{} could not be read{}", parameter.key(), parts::said(&frame.stderr)))
            })?;
            let writable = found.get(parameter.as_str()).copied().unwrap_or(false);
            parameters.push(Parameter { parameter: parameter.clone(), value: words(value), writable });
        }
        if parameters.len() == begin && !lines("absent").any(|absent| absent == key.as_str()) {
            return Err(garbled());
        }
        places.insert(key.clone(), begin..parameters.len());
    }
    let state = file::read_states(frame).remove(kept.as_str());
    let state = state
        .ok_or_else(|| Unread(format!("{} could not be read{}", kept, parts::said(&frame.stderr))))??;
    let mut later = Vec::new();
    for line in laters {
        let fields: Vec<&str> = line.split('\t').collect();
        let [ours, path, body] = fields.as_slice() else { return Err(garbled()) };
        let bytes = crate::text::from_base64(body).ok_or_else(garbled)?;
        if *ours == kept.as_str() {
            later.extend(settings(path, &String::from_utf8_lossy(&bytes)));
        }
    }
    Ok(Answer { container, parameters, places, file: state, later })
}

fn garbled() -> Unread {
    Unread("the host does not say all of its kernel's settings".to_owned())
}

/// The assignments of a file in the syntax of sysctl.d(5): `key = value`, `-key = value`; comments begin with # or ;.
fn settings(path: &str, text: &str) -> Vec<Later> {
    text.lines()
        .enumerate()
        .filter_map(|(at, line)| {
            let line = line.trim();
            let (key, value) = line.split_once('=').filter(|_| !line.starts_with(['#', ';']))?;
            let key = key.trim().trim_start_matches('-');
            Some(Later { place: format!("{path}:{}", at + 1), key: with_slashes(key), value: words(value) })
        })
        .collect()
}

/// Where the first separator is a dot, dots and slashes change places; where it is a slash, they stay (sysctl.d(5)).
fn with_slashes(key: &str) -> String {
    if key.find('/').is_some_and(|slash| key.find('.').is_none_or(|dot| slash < dot)) {
        return key.to_owned();
    }
    let swapped = |c: char| match c {
        '.' => '/',
        '/' => '.',
        other => other,
    };
    key.chars().map(swapped).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_of_others_are_read_as_systemd_reads_them() {
        let text =
            "# x = 1\n; y = 2\nnet.ipv4.conf.eth0/100.rp_filter=0\n-kernel/x = 4\t4\n-net.ipv4.conf.all.x\n";
        let found: Vec<_> =
            settings("/etc/sysctl.d/z.conf", text).into_iter().map(|l| (l.place, l.key, l.value)).collect();
        let expected = [
            ("/etc/sysctl.d/z.conf:3", "net/ipv4/conf/eth0.100/rp_filter", "0"),
            ("/etc/sysctl.d/z.conf:4", "kernel/x", "4 4"),
        ];
        assert_eq!(found, expected.map(|(a, b, c)| (a.to_owned(), b.to_owned(), c.to_owned())));
    }
}
