//! The project that a lab writes about itself: a copy of a fleet ([`super::copy`]) with keys whose private halves are
//! here, so that every verb can be tried on the lab's hosts.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Lab;
use super::copy::{KeyOwner, files, key_owners, yaml};
use super::error::LabError;
use super::invocation::Invocation;
use super::waivers::waivers;
use crate::domain::{Malformed, PublicKey};
use crate::inventory::{self, Fleet};
use crate::playbook;
use crate::program::Program;
use crate::schema::{self, Subject};
use crate::source::{Refusals, Sources};
use crate::waiver::{WAIVERS_FILE, Waivers};

impl Lab {
    /// Writes the project whose hosts are this lab's. Playbooks and templates are those of the project in `original`,
    /// where there is one. Gives its folder.
    #[expect(clippy::disallowed_methods, reason = "the lab's own folder")]
    pub fn write_project(
        &self,
        fleet: &Fleet,
        original: Option<&Path>,
        rollback_timeout: Duration,
    ) -> Result<PathBuf, LabError> {
        let mut keys = BTreeMap::new();
        for owner in key_owners(fleet) {
            let key = self.new_key(&owner.file_name(), &format!("{}@lab", owner.user))?;
            keys.insert(owner, key);
        }
        let files = files(fleet, &self.record, &keys, rollback_timeout)?;
        let mut sources = Sources::new();
        let project = self.project();
        for (path, text) in &files {
            let path_here = project.join(path);
            let folder = path_here.parent().unwrap_or(&project);
            std::fs::create_dir_all(folder).map_err(LabError::file("make", folder))?;
            std::fs::write(&path_here, text).map_err(LabError::file("write", &path_here))?;
            sources.insert(path, text.as_str());
        }
        let schemas = project.join(schema::DIRECTORY);
        std::fs::create_dir_all(&schemas).map_err(LabError::file("make", &schemas))?;
        for subject in Subject::ALL {
            let path = project.join(subject.path());
            std::fs::write(&path, subject.text()).map_err(LabError::file("write", &path))?;
        }
        if let Some(original) = original {
            for folder in ["playbooks", "templates"] {
                let (from, to) = (original.join(folder), project.join(folder));
                if from.is_dir() {
                    Invocation::of(Program::Cp).arg("-r").arg("--").arg(&from).arg(&to).run()?;
                }
            }
        }
        let refused = |refusals: Refusals| LabError::Spec { why: refusals.annotated(false) };
        let copy = inventory::parse(&sources).map_err(refused)?;
        if let Some(original) = original {
            add_playbooks(original, &mut sources)?;
            add_file(&original.join(WAIVERS_FILE), WAIVERS_FILE, &mut sources)?;
        }
        let playbook = playbook::parse(&sources).map_err(refused)?;
        let own = Waivers::parse(&sources, &copy, &playbook).map_err(refused)?;
        let machines = self.hosts().any(|host| host.is_machine());
        let text = yaml(WAIVERS_FILE, &waivers(&playbook, &own, self.record.made, machines))?;
        let path = project.join(WAIVERS_FILE);
        std::fs::write(&path, text).map_err(LabError::file("write", &path))?;
        Ok(project)
    }

    /// Where [`Self::write_project`] writes.
    pub fn project(&self) -> PathBuf {
        self.folder.join("project")
    }

    /// The private half of the key of someone whom the project declares.
    pub fn identity(&self, owner: &KeyOwner) -> PathBuf {
        self.private_key(&owner.file_name())
    }

    /// The fingerprints of all host keys, for `enrol`: a YAML map from a host's name to its keys', Ed25519 first.
    pub fn fingerprints(&self) -> PathBuf {
        self.folder.join("fingerprints.yaml")
    }

    /// The private half of a key of the lab's: `vendor` opens `debian` on every host, `former` opens `root`.
    pub fn private_key(&self, name: &str) -> PathBuf {
        self.folder.join("keys").join(name)
    }

    /// A new key pair of the lab's: `keys/NAME` and `keys/NAME.pub`.
    #[expect(clippy::disallowed_methods, reason = "the lab's own folder")]
    pub(super) fn new_key(&self, name: &str, comment: &str) -> Result<PublicKey, LabError> {
        let folder = self.folder.join("keys");
        std::fs::create_dir_all(&folder).map_err(LabError::file("make", &folder))?;
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o700))
            .map_err(LabError::file("set the mode of", &folder))?;
        let private = self.private_key(name);
        Invocation::of(Program::SshKeygen)
            .args(["-q", "-t", "ed25519", "-N", "", "-C", comment, "-f"])
            .arg(&private)
            .run()?;
        let public = private.with_extension("pub");
        let line = std::fs::read_to_string(&public).map_err(LabError::file("read", &public))?;
        line.trim().parse().map_err(|why: Malformed| LabError::Record { path: public, why: why.to_string() })
    }
}

/// The playbooks of a project, which decide what its copy is judged by.
#[expect(clippy::disallowed_methods, reason = "the project that is copied")]
fn add_playbooks(original: &Path, sources: &mut Sources) -> Result<(), LabError> {
    let folder = original.join(playbook::DIRECTORY);
    let Ok(entries) = std::fs::read_dir(&folder) else { return Ok(()) };
    for entry in entries.flatten() {
        if let Some(name) = entry.file_name().to_str().filter(|name| !name.starts_with('.')) {
            add_file(&entry.path(), &format!("{}/{name}", playbook::DIRECTORY), sources)?;
        }
    }
    Ok(())
}

/// A file of the project that is copied, where there is one.
#[expect(clippy::disallowed_methods, reason = "the project that is copied")]
fn add_file(from: &Path, path: &str, sources: &mut Sources) -> Result<(), LabError> {
    if from.is_file() {
        sources.insert(path, std::fs::read(from).map_err(LabError::file("read", from))?);
    }
    Ok(())
}
