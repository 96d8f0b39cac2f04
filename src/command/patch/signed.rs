//! A release of the project as somebody signed it, and who may sign.
#![expect(clippy::disallowed_methods, reason = "releases are files of the project")]

use std::fs;
use std::path::Path;

use jiff::Timestamp;

use crate::command::passphrase;
use crate::domain::{Digest, Environment, PublicKey, ReleaseId, UserName};
use crate::failure::{Failure, Kind};
use crate::inventory::Fleet;
use crate::project::Project;
use crate::release::{self, Release};
use crate::signing::{self, Signer, SigningError};
use crate::transport::Identity;

/// What a signature of a release is for; it counts for nothing else.
pub(super) const NAMESPACE: &str = "palisade-release";

/// What signs for whoever connects.
pub(super) fn signer(identity: &Identity) -> Result<Signer, Failure> {
    if let Some(agent) = identity.file.as_deref().and_then(passphrase::serving) {
        return Ok(Signer::Unlocked(agent));
    }
    match (&identity.file, &identity.agent, &identity.declared) {
        (Some(file), ..) => Ok(Signer::File(file.clone())),
        (None, Some(agent), Some(declared)) => Ok(Signer::Agent(agent.clone(), declared.clone())),
        _ => Err(Failure::refused("no key to sign with")
            .hint("--identity FILE, or an agent that holds a key of yours")),
    }
}

/// Who may sign a release: everybody with access to any server at `now`, and the machine accounts.
pub(super) fn signers(fleet: &Fleet, now: Timestamp) -> Vec<(UserName, Vec<PublicKey>)> {
    let today = now.to_zoned(jiff::tz::TimeZone::UTC).date();
    let enters = |person: &crate::inventory::Person| {
        Environment::ALL.into_iter().any(|environment| person.has_access(environment, today))
    };
    let people = fleet.people.values().filter(|person| enters(person));
    let machines = fleet.environments.values().filter_map(|estate| estate.automation.as_ref());
    people
        .map(|person| (person.user.clone(), person.keys.clone()))
        .chain(machines.map(|machine| (machine.user.clone(), machine.keys.clone())))
        .collect()
}

/// A release as it stands in the project, which somebody with access signed.
pub(in crate::command) struct Signed {
    pub(in crate::command) release: Release,
    /// Its file's bytes.
    pub(in crate::command) bytes: Vec<u8>,
    /// The signature's.
    pub(in crate::command) signature: Vec<u8>,
    /// The account that signed it.
    pub(in crate::command) by: UserName,
    /// Of its file.
    pub(in crate::command) file: Digest,
}

/// The release `id`, or the newest; refused where it is not what was signed.
pub(in crate::command) fn read_signed(
    project: &Project,
    id: Option<&ReleaseId>,
    now: Timestamp,
) -> Result<Signed, Failure> {
    let id = match id {
        Some(id) => id.clone(),
        None => newest(&project.root)?,
    };
    let path = project.root.join(Release::path(&id));
    let bytes = fs::read(&path).map_err(|error| {
        Failure::refused(format!("{} cannot be read: {error}", Release::path(&id)))
            .hint("palisade patch plan dev writes one")
    })?;
    let release = Release::parse(&id, &bytes)?;
    let signature = fs::read(path.with_extension("yaml.sig")).map_err(|error| {
        Failure::new(Kind::Gate, anyhow::anyhow!("{}.sig cannot be read: {error}", Release::path(&id)))
            .hint("a release without its signature is nobody's")
    })?;
    let by = signing::verify(&signers(&project.fleet, now), NAMESPACE, &bytes, &signature);
    let by = by.map_err(|error| match error {
        SigningError::NotValid(_) => Failure::new(
            Kind::Gate,
            anyhow::anyhow!("{}: {error}", Release::path(&id)),
        )
        .hint(
            "it was edited, or whoever signed it has no access any more: take it from the repository again",
        ),
        other => Failure::new(Kind::Failed, other),
    })?;
    Ok(Signed { release, by, file: Digest::of(&bytes), bytes, signature })
}

/// The newest release of the project, by its name.
fn newest(root: &Path) -> Result<ReleaseId, Failure> {
    let entries = fs::read_dir(root.join(release::DIRECTORY)).into_iter().flatten().flatten();
    let ids = entries
        .filter_map(|entry| entry.file_name().to_str()?.strip_suffix(".yaml")?.parse::<ReleaseId>().ok());
    ids.max().ok_or_else(|| {
        Failure::refused("the project has no release").hint("palisade patch plan dev writes one")
    })
}
