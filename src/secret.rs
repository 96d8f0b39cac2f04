//! Secrets by name: from a variable of the environment or a file of the user's own, and from nowhere that a project could
//! choose; and to whom each may be sent, which a person says once. Whoever can write to a project can write a name and an
//! address into it, and gets nothing by that.
#![expect(clippy::disallowed_methods, reason = "secrets and their receivers are files of the user's own")]

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use zeroize::Zeroizing;

use crate::domain::{MacKey, SecretName};
use crate::text::visible;

/// What begins the name of a variable that holds a secret: `smtp-password` is `PALISADE_SECRET_SMTP_PASSWORD`.
const VARIABLE: &str = "PALISADE_SECRET_";
/// Longer than any password or key that is sent: in bytes.
const MOST: u64 = 64 << 10;

/// Why a secret is not used. Never holds it.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// It is in neither place.
    #[error("there is no secret `{name}`: neither a variable {variable} nor a file {file}")]
    Missing {
        /// Its name.
        name: SecretName,
        /// The variable.
        variable: String,
        /// The file.
        file: String,
    },
    /// The file is not one that only the user can read, or says nothing.
    #[error("the secret `{name}` is not read from {place}: {why}")]
    Unfit {
        /// Its name.
        name: SecretName,
        /// The variable or the file.
        place: String,
        /// Why not.
        why: String,
    },
    /// Where it may go, or the key by which secrets are compared, could not be read or kept.
    #[error("{}: {source}", path.display())]
    State {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

impl SecretError {
    /// What to do, where the error does not say it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Missing { variable, .. } => Some(format!(
                "write it into that file with mode 0600, or set {variable} where no file can be kept"
            )),
            _ => None,
        }
    }
}

/// `NAME=RECEIVER`: a receiver that is named beforehand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allowed {
    name: SecretName,
    receiver: String,
}

impl Allowed {
    /// Whether it lets this secret go to `receiver`.
    pub fn covers(&self, name: &SecretName, receiver: &str) -> bool {
        self.name == *name && self.receiver == receiver
    }
}

impl std::str::FromStr for Allowed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, receiver) =
            text.split_once('=').ok_or("write NAME=RECEIVER, such as smtp-password=smtp.example.com:587")?;
        let name = name.parse().map_err(|error: crate::domain::Malformed| error.to_string())?;
        Ok(Self { name, receiver: receiver.to_owned() })
    }
}

/// The folders of the user who runs palisade.
#[derive(Debug, Clone)]
pub struct Secrets {
    /// Where secrets lie, a file each.
    folder: PathBuf,
    /// What palisade keeps for the user: to whom each was sent before, and the key by which they are compared.
    state: PathBuf,
    variables: BTreeMap<String, OsString>,
}

impl Secrets {
    /// By the environment (XDG Base Directory): `~/.config/palisade/secrets` and `~/.local/state/palisade`.
    pub fn of_user() -> Self {
        let folder = |variable: &str, usual: &str| {
            std::env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute()).unwrap_or_else(
                || {
                    std::env::var_os("HOME")
                        .map_or_else(|| PathBuf::from("/nonexistent"), PathBuf::from)
                        .join(usual)
                },
            )
        };
        let variables =
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value)));
        Self {
            folder: folder("XDG_CONFIG_HOME", ".config").join("palisade/secrets"),
            state: folder("XDG_STATE_HOME", ".local/state").join("palisade"),
            variables: variables.filter(|(name, _)| name.starts_with(VARIABLE)).collect(),
        }
    }

    /// Whether a secret may go to `receiver` (`smtp.example.com:587`): it did before, or `allowed` names both.
    pub fn may_go(
        &self,
        name: &SecretName,
        receiver: &str,
        allowed: &[Allowed],
    ) -> Result<bool, SecretError> {
        let line = format!("{name} {receiver}");
        Ok(allowed.iter().any(|one| one.covers(name, receiver))
            || self.known()?.lines().any(|one| one == line))
    }

    /// Keeps that a person let it go there.
    pub fn remember(&self, name: &SecretName, receiver: &str) -> Result<(), SecretError> {
        let kept = self.keep(&format!("{name} {receiver}"));
        kept.map_err(|source| SecretError::State { path: self.receivers(), source })
    }

    /// The key by which the secrets of this user are compared. It is made at its first use, and never leaves the machine.
    pub fn comparison_key(&self) -> Result<MacKey, SecretError> {
        let path = self.state.join("comparison-key");
        self.kept_key(&path).map_err(|source| SecretError::State { path, source })
    }

    /// A password: the first line of the secret. `project` must not hold it.
    pub fn line(&self, name: &SecretName, project: &Path) -> Result<String, SecretError> {
        let (bytes, place) = self.found(name, project)?;
        let unfit =
            |why: &str| SecretError::Unfit { name: name.clone(), place: place.clone(), why: why.to_owned() };
        let text = std::str::from_utf8(&bytes).map_err(|_| unfit("it is no text"))?;
        let first = text.lines().next().filter(|line| !line.is_empty());
        first.map(str::to_owned).ok_or_else(|| unfit("it is empty"))
    }

    /// The whole of the secret, the ends of its lines included: a key, a token. `project` must not hold it.
    pub fn whole(&self, name: &SecretName, project: &Path) -> Result<Zeroizing<Vec<u8>>, SecretError> {
        Ok(self.found(name, project)?.0)
    }

    /// Its bytes, at least one, and where they were.
    fn found(&self, name: &SecretName, project: &Path) -> Result<(Zeroizing<Vec<u8>>, String), SecretError> {
        let variable = format!("{VARIABLE}{}", name.as_str().to_uppercase().replace('-', "_"));
        let file = self.folder.join(name.as_str());
        let unfit = |place: String, why: String| SecretError::Unfit { name: name.clone(), place, why };
        let too_long = || format!("it is longer than {MOST} bytes");
        let is_too_long = |bytes: &[u8]| u64::try_from(bytes.len()).is_ok_and(|length| length > MOST);
        if let Some(value) = self.variables.get(&variable) {
            let place = format!("the variable {variable}");
            let bytes = Zeroizing::new(value.clone().into_vec());
            return match bytes.len() {
                0 => Err(unfit(place, "it is empty".to_owned())),
                _ if is_too_long(&bytes) => Err(unfit(place, too_long())),
                _ => Ok((bytes, place)),
            };
        }
        let place = visible(&file.display().to_string());
        let opened = fs::OpenOptions::new()
            .read(true)
            .custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed())
            .open(&file);
        let opened = match opened {
            Ok(opened) => opened,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(SecretError::Missing { name: name.clone(), variable, file: place });
            }
            Err(error) => return Err(unfit(place, error.to_string())),
        };
        let found = opened.metadata().map_err(|error| unfit(place.clone(), error.to_string()))?;
        let us = rustix::process::geteuid().as_raw();
        let why = if !found.is_file() {
            Some("it is no regular file".to_owned())
        } else if found.uid() != us {
            Some("it belongs to somebody else".to_owned())
        } else if found.mode() & 0o077 != 0 {
            Some(format!("others may read it (mode {:04o}); chmod 0600", found.mode() & 0o7777))
        } else if found.len() > MOST {
            Some(too_long())
        } else if lies_in(&file, project) {
            Some("it lies in the project, whose files others write; secrets are the user's own".to_owned())
        } else {
            None
        };
        if let Some(why) = why {
            return Err(unfit(place, why));
        }
        let mut bytes = Zeroizing::new(Vec::new());
        // it may have grown since
        let read = opened.take(MOST + 1).read_to_end(&mut bytes);
        read.map_err(|error| unfit(place.clone(), error.to_string()))?;
        match bytes.len() {
            0 => Err(unfit(place, "it is empty".to_owned())),
            _ if is_too_long(&bytes) => Err(unfit(place, too_long())),
            _ => Ok((bytes, place)),
        }
    }

    fn receivers(&self) -> PathBuf {
        self.state.join("receivers")
    }

    fn kept_key(&self, path: &Path) -> io::Result<MacKey> {
        let wrong = |why: &str| io::Error::new(io::ErrorKind::InvalidData, why.to_owned());
        match fs::read(path) {
            Ok(bytes) => {
                let key = <[u8; 32]>::try_from(bytes);
                key.map(MacKey::new).map_err(|_| wrong("it has not 32 bytes; remove it, and make new plans"))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let mut random = [0; 32];
                getrandom::fill(&mut random).map_err(io::Error::other)?;
                private_folder(&self.state)?;
                let mut new = tempfile::Builder::new().prefix(".comparison-key").tempfile_in(&self.state)?;
                new.write_all(&random)?;
                new.as_file().sync_all()?;
                match new.persist_noclobber(path) {
                    Ok(_) => Ok(MacKey::new(random)),
                    // another palisade was first
                    Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => self.kept_key(path),
                    Err(error) => Err(error.error),
                }
            }
            Err(error) => Err(error),
        }
    }

    /// The pairs that were sent before, a line each.
    fn known(&self) -> Result<String, SecretError> {
        match fs::read_to_string(self.receivers()) {
            Ok(text) => Ok(text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
            Err(source) => Err(SecretError::State { path: self.receivers(), source }),
        }
    }

    fn keep(&self, line: &str) -> io::Result<()> {
        private_folder(&self.state)?;
        let mut file = fs::OpenOptions::new().append(true).create(true).mode(0o600).open(self.receivers())?;
        // one write: two palisades side by side leave two lines
        file.write_all(format!("{line}\n").as_bytes())?;
        file.sync_all()
    }
}

fn private_folder(folder: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// Whether a file lies below a folder, by where both really are.
fn lies_in(file: &Path, folder: &Path) -> bool {
    match (file.canonicalize(), folder.canonicalize()) {
        (Ok(file), Ok(folder)) => file.starts_with(folder),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    struct Place {
        root: tempfile::TempDir,
        secrets: Secrets,
    }

    fn place(variables: &[(&str, &str)]) -> Place {
        let root = tempfile::tempdir().unwrap();
        for folder in ["secrets", "project"] {
            fs::create_dir(root.path().join(folder)).unwrap();
        }
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect();
        let secrets =
            Secrets { folder: root.path().join("secrets"), state: root.path().join("state"), variables };
        Place { root, secrets }
    }

    fn write(place: &Place, text: &str, mode: u32) {
        let path = place.root.path().join("secrets/smtp");
        fs::write(&path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn read(place: &Place) -> Result<String, String> {
        let project = place.root.path().join("project");
        place.secrets.line(&"smtp".parse().unwrap(), &project).map_err(|error| error.to_string())
    }

    #[test]
    fn a_secret_for_a_host_is_taken_whole_and_bounded() {
        let whole = |place: &Place| {
            let read = place.secrets.whole(&"smtp".parse().unwrap(), &place.root.path().join("project"));
            read.map(|bytes| bytes.to_vec()).map_err(|error| error.to_string())
        };
        let at = place(&[]);
        write(&at, "-----BEGIN\nabc\n-----END\n", 0o600);
        assert_eq!(whole(&at).unwrap(), b"-----BEGIN\nabc\n-----END\n");
        write(&at, "\n", 0o600);
        assert_eq!(whole(&at).unwrap(), b"\n", "what is no password may be something else");
        write(&at, "", 0o600);
        assert!(whole(&at).unwrap_err().contains("it is empty"));
        let variable = |value: &str| whole(&place(&[("PALISADE_SECRET_SMTP", value)]));
        assert_eq!(variable("a\nb").unwrap(), b"a\nb");
        assert!(variable("").unwrap_err().contains("it is empty"));
        assert!(variable(&"x".repeat(70_000)).unwrap_err().contains("longer than"));
    }

    #[test]
    fn the_key_by_which_secrets_are_compared_is_made_once_and_is_the_users_alone() {
        let at = place(&[]);
        let key = at.secrets.comparison_key().unwrap();
        assert_eq!(at.secrets.comparison_key().unwrap(), key);
        let file = at.root.path().join("state/comparison-key");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o7777, 0o600);
        assert_ne!(place(&[]).secrets.comparison_key().unwrap(), key);
        fs::write(&file, "short").unwrap();
        assert!(at.secrets.comparison_key().unwrap_err().to_string().contains("it has not 32 bytes"));
    }

    #[test]
    fn a_secret_goes_where_a_person_said_and_nowhere_else() {
        let place = place(&[]);
        let name = "smtp".parse().unwrap();
        let may_go = |receiver: &str, allowed: &[&str]| {
            let allowed: Vec<Allowed> = allowed.iter().map(|one| one.parse().unwrap()).collect();
            place.secrets.may_go(&name, receiver, &allowed).unwrap()
        };
        assert!(!may_go("a:587", &[]) && !may_go("a:587", &["smtp=b:587", "other=a:587"]));
        assert!(may_go("a:587", &["smtp=a:587"]));
        assert!(!may_go("a:587", &[]), "what was allowed for once is not kept");
        place.secrets.remember(&name, "a:587").unwrap();
        assert!(may_go("a:587", &[]), "what a person said is");
        assert!(!may_go("a:5870", &[]) && !may_go("a:58", &[]) && !may_go("", &[]));
    }

    #[test]
    fn only_the_users_own_file_or_variable_is_read() {
        let from = |text: &str, mode| {
            let place = place(&[]);
            write(&place, text, mode);
            read(&place)
        };
        assert_eq!(from("x\n", 0o400).unwrap(), "x");
        assert!(from("x\n", 0o640).unwrap_err().contains("others may read it (mode 0640); chmod 0600"));
        assert!(from("\n", 0o600).unwrap_err().contains("it is empty"));
        assert!(from(&"x".repeat(70_000), 0o600).unwrap_err().contains("longer than"));
        let none = read(&place(&[])).unwrap_err();
        assert!(
            none.starts_with(
                "there is no secret `smtp`: neither a variable PALISADE_SECRET_SMTP nor a file "
            ),
            "{none}"
        );
        let both = place(&[("PALISADE_SECRET_SMTP", "of the variable")]);
        write(&both, "of the file\n", 0o600);
        assert_eq!(read(&both).unwrap(), "of the variable");
        let linked = place(&[]);
        fs::write(linked.root.path().join("elsewhere"), "x\n").unwrap();
        std::os::unix::fs::symlink("../elsewhere", linked.root.path().join("secrets/smtp")).unwrap();
        assert!(read(&linked).is_err(), "a link");
        let mut inside = place(&[]);
        write(&inside, "x\n", 0o600);
        inside.secrets.folder = inside.root.path().join("project/secrets");
        fs::rename(inside.root.path().join("secrets"), &inside.secrets.folder).unwrap();
        assert!(read(&inside).unwrap_err().contains("it lies in the project"));
    }
}
