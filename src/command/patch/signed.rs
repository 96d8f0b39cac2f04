//! A release of the project as somebody signed it, for which environment, and who may sign for which.
#![expect(clippy::disallowed_methods, reason = "releases are files of the project")]

use std::fs;
use std::path::Path;

use jiff::Timestamp;

use crate::command::passphrase;
use crate::domain::{Digest, Environment, ReleaseId, UserName};
use crate::failure::{Failure, Kind};
use crate::project::Project;
use crate::release::signers::{namespace, signature_path, signers};
use crate::release::{self, Release};
use crate::signing::{self, Signer, SigningError};
use crate::transport::Identity;

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
    let by = checked(project, &id, Environment::Dev, &bytes, &signature, now)?;
    Ok(Signed { release, by, file: Digest::of(&bytes), bytes, signature })
}

/// Who signed the file `bytes` of the release `id` for `environment`: somebody who may.
fn checked(
    project: &Project,
    id: &ReleaseId,
    environment: Environment,
    bytes: &[u8],
    signature: &[u8],
    now: Timestamp,
) -> Result<UserName, Failure> {
    let signers = signers(&project.fleet, environment, now);
    signing::verify(&signers, &namespace(environment), bytes, signature).map_err(|error| match error {
        SigningError::NotValid(_) => Failure::new(
            Kind::Gate,
            anyhow::anyhow!("{}, by {}: {error}", Release::path(id), signature_path(id, environment)),
        )
        .hint(format!(
            "it was edited, or whoever signed it may not sign for {environment} any more: take it from the repository again"
        )),
        other => Failure::new(Kind::Failed, other),
    })
}

/// Who approved a release for `environment`, and the signature; none where nobody has. One that does not count is refused,
/// and not left out.
pub(in crate::command) fn approval(
    project: &Project,
    signed: &Signed,
    environment: Environment,
    now: Timestamp,
) -> Result<Option<(UserName, Vec<u8>)>, Failure> {
    if environment == Environment::Dev {
        return Ok(Some((signed.by.clone(), signed.signature.clone())));
    }
    let id = &signed.release.id;
    let path = signature_path(id, environment);
    let signature = match fs::read(project.root.join(&path)) {
        Ok(signature) => signature,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Failure::refused(format!("{path} cannot be read: {error}"))),
    };
    let by = checked(project, id, environment, &signed.bytes, &signature, now)?;
    Ok(Some((by, signature)))
}

/// Whether `user` may sign a release for `environment` at `now`.
pub(in crate::command) fn may_sign(
    project: &Project,
    environment: Environment,
    user: &UserName,
    now: Timestamp,
) -> bool {
    signers(&project.fleet, environment, now).iter().any(|(signer, _)| signer == user)
}

/// Signs a release for `environment` with what `identity` names, and writes the signature, whose path it gives.
pub(in crate::command) fn approve(
    project: &Project,
    signed: &Signed,
    environment: Environment,
    identity: &Identity,
    now: Timestamp,
) -> Result<String, Failure> {
    let _unlocked = passphrase::unlocked(identity)?;
    let signature =
        signing::sign(&signer(identity)?, &namespace(environment), &signed.bytes).map_err(|error| {
            Failure::new(Kind::Failed, error)
                .hint("sign with a key of yours that the inventory declares: --identity FILE")
        })?;
    let id = &signed.release.id;
    checked(project, id, environment, &signed.bytes, &signature, now)?;
    let path = signature_path(id, environment);
    crate::store::replace(&project.root.join(&path), &signature)?;
    Ok(path)
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
