//! A project as it stands on disk: inventories, playbooks, templates, pinned host keys and identities, read once and
//! parsed together, so that everything wrong with all of them is said at once. It writes nothing.
#![expect(clippy::disallowed_methods, reason = "this is where a project's files are read")]

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::domain::{Digest, TemplateName};
use crate::inventory::{self, Fleet, IDENTITIES_FILE, Identities, LAB_FILE, LabMarker};
use crate::known_hosts::KnownHosts;
use crate::playbook::{self, Playbook};
use crate::source::{Refusals, Report, Sources};
use crate::store::KNOWN_HOSTS_FILE;
use crate::template::{self, Templates};
use crate::text::visible;
use crate::waiver::Waivers;

/// Bytes of one file that are read at most; the parsers refuse less.
const LARGEST: u64 = 16 << 20;

/// Everything that a verb needs to know of a project.
#[derive(Debug, Clone)]
pub struct Project {
    /// Its folder.
    pub root: PathBuf,
    /// What there is.
    pub fleet: Fleet,
    /// What is promised.
    pub playbook: Playbook,
    /// What is excepted from it, by whom and until when.
    pub waivers: Waivers,
    /// What files on hosts are made of.
    pub templates: Templates,
    /// The text of [`KNOWN_HOSTS_FILE`]; empty where there is none yet.
    pub known_hosts: Arc<str>,
    /// What was found out at enrolment; empty where nobody enrolled yet.
    pub identities: Identities,
    /// The lab's marker, in a project that a lab wrote.
    pub lab: Option<LabMarker>,
    /// Every file that was read, with its digest, by its path within the project.
    pub inputs: BTreeMap<String, Digest>,
}

impl Project {
    /// Reads the project in `root`, or everything that is wrong with its files.
    pub fn read(root: &Path) -> Result<Self, Refusals> {
        let report = Report::new();
        let sources = read_sources(root, &report);
        let fleet = kept(inventory::parse(&sources), &report);
        let playbook = kept(playbook::parse(&sources), &report);
        let templates = kept(Templates::read(&sources), &report);
        let identities = match sources.get(IDENTITIES_FILE) {
            Some(bytes) => kept(Identities::parse(bytes), &report),
            None => Some(Identities::default()),
        };
        let lab = sources.get(LAB_FILE).and_then(|bytes| LabMarker::parse(bytes).ok());
        let known_hosts = known_hosts(&sources, &report);
        if let (Some(fleet), Some(identities)) = (&fleet, &identities) {
            identities.check_against(fleet, &report);
            check_host_keys(fleet, &known_hosts, &report);
        }
        if let (Some(playbook), Some(templates)) = (&playbook, &templates) {
            check_templates(playbook, templates, &report);
        }
        let inputs = sources.iter().map(|(path, bytes)| (path.to_owned(), Digest::of(bytes))).collect();
        // Without what they name, waivers cannot be looked up.
        let waivers = fleet
            .as_ref()
            .zip(playbook.as_ref())
            .and_then(|(fleet, playbook)| kept(Waivers::parse(&sources, fleet, playbook), &report));
        let project = fleet.zip(playbook).zip(templates).zip(identities).zip(waivers).map(
            |((((fleet, playbook), templates), identities), waivers)| Self {
                root: root.to_path_buf(),
                fleet,
                playbook,
                waivers,
                templates,
                known_hosts: known_hosts.into(),
                identities,
                lab,
                inputs,
            },
        );
        report.finish(project)
    }
}

/// What was parsed, or none, with the refusals added to `report`.
fn kept<T>(result: Result<T, Refusals>, report: &Report) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(refusals) => {
            report.extend(refusals);
            None
        }
    }
}

fn known_hosts(sources: &Sources, report: &Report) -> String {
    let bytes = sources.get(KNOWN_HOSTS_FILE).unwrap_or_default();
    if std::str::from_utf8(bytes).is_err() {
        report.whole(KNOWN_HOSTS_FILE, "not UTF-8", "restore it: `palisade enrol` alone writes this file");
    }
    String::from_utf8_lossy(bytes).into_owned()
}

/// One key is one machine's: a host key that two environments share is a copied machine, or one machine in both.
fn check_host_keys(fleet: &Fleet, text: &str, report: &Report) {
    let known = match KnownHosts::parse(text) {
        Ok(known) => known,
        Err(refused) => {
            report.line(KNOWN_HOSTS_FILE, refused.line, &refused.why, refused.fix);
            return;
        }
    };
    let mut owners: Vec<(String, &inventory::Host)> = Vec::new();
    for host in fleet.environments.values().flat_map(|inventory| inventory.hosts.values()) {
        for key in known.keys(host.name.as_str()) {
            let material = key.material();
            let other =
                owners.iter().find(|(key, owner)| *key == material && owner.environment != host.environment);
            if let Some((_, other)) = other {
                let why = format!(
                    "{} in {} and {} in {} have the same host key",
                    other.name, other.environment, host.name, host.environment
                );
                report.whole(
                    KNOWN_HOSTS_FILE,
                    &why,
                    "make new host keys on one of them, and enrol it with --replace",
                );
            }
            owners.push((material, host));
        }
    }
}

fn check_templates(playbook: &Playbook, templates: &Templates, report: &Report) {
    for (name, control) in playbook.templates() {
        if templates.origin(name).is_none() {
            let why = format!("control `{}` needs the template `{name}`, which is missing", control.id);
            let known = templates.names().map(TemplateName::as_str);
            let fix = match crate::text::nearest(name.as_str(), known) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("write {}/{name}", template::DIRECTORY),
            };
            let (file, line) = playbook.place(&control.id);
            report.line(file, line, &why, &fix);
        }
    }
}

/// Every file of the project's three folders. A folder that is missing holds nothing; the parsers say what they lack.
fn read_sources(root: &Path, report: &Report) -> Sources {
    let mut sources = Sources::new();
    let us = rustix::process::geteuid().as_raw();
    let lent = std::env::var("SUDO_UID").ok().and_then(|uid| uid.parse::<u32>().ok()).filter(|_| us == 0);
    let trusted = |uid: u32| uid == us || uid == 0 || Some(uid) == lent;
    for folder in [inventory::DIRECTORY, playbook::DIRECTORY, template::DIRECTORY] {
        let entries = match fs::read_dir(root.join(folder)) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => {
                report.whole(folder, &format!("cannot be read: {error}"), "make the folder readable");
                continue;
            }
        };
        refuse_foreign(&root.join(folder), folder, &trusted, report);
        for entry in entries.flatten() {
            let name = entry.file_name();
            let Some(name) = name.to_str().filter(|name| visible(name) == **name) else {
                let shown = visible(&name.to_string_lossy());
                report.whole(
                    folder,
                    &format!("a file with an unprintable name: {shown}"),
                    "rename or remove it",
                );
                continue;
            };
            if name.starts_with('.') || name.ends_with('~') {
                continue;
            }
            let path = format!("{folder}/{name}");
            match read_file(&entry.path()) {
                Ok(Some(bytes)) => {
                    refuse_foreign(&entry.path(), &path, &trusted, report);
                    sources.insert(&path, bytes);
                }
                Ok(None) => {}
                Err(error) => {
                    report.whole(&path, &format!("cannot be read: {error}"), "make the file readable");
                }
            }
        }
    }
    sources
}

/// The bytes of a regular file; none for anything else.
fn read_file(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let metadata = fs::metadata(path)?;
    if !metadata.is_file() {
        return Ok(None);
    }
    if metadata.len() > LARGEST {
        return Err(io::Error::other(format!("it has {} bytes", metadata.len())));
    }
    fs::read(path).map(Some)
}

/// Refuses what somebody else may write: whoever writes a project's files decides what is done to its servers.
fn refuse_foreign(path: &Path, shown: &str, trusted: &impl Fn(u32) -> bool, report: &Report) {
    let Ok(metadata) = fs::metadata(path) else { return };
    if metadata.mode() & 0o002 != 0 {
        report.whole(shown, "everyone may write it", &format!("chmod o-w {shown}"));
    }
    if !trusted(metadata.uid()) {
        let why = format!("it belongs to somebody else (user id {})", metadata.uid());
        report.whole(shown, &why, &format!("read it, then make it yours: chown \"$(id -u)\" {shown}"));
    }
}
