//! Where labs are kept, how they are found there, and whether this machine can run one.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::base::Base;
use super::error::LabError;
use super::event::Sink;
use super::record::LabRecord;
use super::spec::{Shape, Suite};

/// Where labs, and the bases that they stand on, are kept.
#[derive(Debug, Clone)]
pub struct LabFolder {
    root: PathBuf,
}

impl Default for LabFolder {
    fn default() -> Self {
        Self::new("/var/cache/palisade/lab")
    }
}

impl LabFolder {
    /// Below this folder. Its file system must be able to hold the upper layer of an overlay (ext4, xfs, btrfs, tmpfs).
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    pub(super) fn bases(&self) -> PathBuf {
        self.root.join("bases")
    }

    /// RSA host keys of hosts of earlier labs, by their number.
    pub(super) fn host_keys(&self) -> PathBuf {
        self.root.join("host-keys")
    }

    pub(super) fn labs(&self) -> PathBuf {
        self.root.join("labs")
    }

    /// Makes its folders. Nobody but root may enter them: the bases hold programs that run as root for whoever starts
    /// them, and nobody keeps those up to date.
    #[expect(clippy::disallowed_methods, reason = "the lab's own folder")]
    pub(super) fn prepare(&self) -> Result<(), LabError> {
        let odd = |path: &Path| path.to_string_lossy().contains([',', ':', '\\', '\n']);
        if !self.root.is_absolute() || odd(&self.root) {
            return Err(LabError::Spec {
                why: format!(
                    "{} cannot hold labs; give an absolute path without , : or \\",
                    self.root.display()
                ),
            });
        }
        for folder in [self.root.clone(), self.bases(), self.labs(), self.host_keys()] {
            std::fs::create_dir_all(&folder).map_err(LabError::file("make", &folder))?;
        }
        std::fs::set_permissions(&self.root, Permissions::from_mode(0o700))
            .map_err(LabError::file("set the mode of", &self.root))
    }

    /// Held while labs come and go, so that two processes neither pick the same addresses nor sweep the same lab.
    #[expect(clippy::disallowed_methods, reason = "the lab's own folder")]
    pub(super) fn lock(&self) -> Result<std::fs::File, LabError> {
        self.prepare()?;
        let path = self.root.join("labs.lock");
        let lock = std::fs::File::create(&path).map_err(LabError::file("make", &path))?;
        lock.lock().map_err(LabError::file("lock", &path))?;
        Ok(lock)
    }

    /// The records of all labs here, oldest first; those that cannot be read are left out.
    #[expect(clippy::disallowed_methods, reason = "the lab's own folder")]
    pub fn records(&self) -> Vec<LabRecord> {
        let mut records: Vec<LabRecord> = std::fs::read_dir(self.labs())
            .into_iter()
            .flatten()
            .map_while(Result::ok)
            .filter_map(|entry| LabRecord::read(&entry.path()).ok())
            .collect();
        records.sort_by_key(|record| record.made);
        records
    }

    /// Why the other folders here are no labs.
    #[expect(clippy::disallowed_methods, reason = "the lab's own folder")]
    pub fn unreadable(&self) -> Vec<LabError> {
        std::fs::read_dir(self.labs())
            .into_iter()
            .flatten()
            .map_while(Result::ok)
            .filter_map(|entry| LabRecord::read(&entry.path()).err())
            .collect()
    }

    /// The root that containers of `suite` stand on, where somebody made it already. It is read alone: labs share it.
    pub fn root(&self, suite: Suite) -> Result<Option<PathBuf>, LabError> {
        Ok(Base::there(&self.bases(), suite, Shape::Container)?.map(|base| base.root()))
    }

    /// It, made where it is missing, with what this machine lacks for that.
    pub fn make_root(&self, suite: Suite, sink: Sink) -> Result<PathBuf, LabError> {
        available()?;
        super::invocation::install_missing(sink)?;
        self.prepare()?;
        Base::ensure(&self.bases(), suite, Shape::Container, sink).map(|base| base.root())
    }

    /// A root of `suite` with what Debian calls essential, and apt, made where it is missing: what a new machine is
    /// before anything was installed on it. It is read alone, and takes about 20 s to make.
    pub fn make_bare_root(&self, suite: Suite, sink: Sink) -> Result<PathBuf, LabError> {
        available()?;
        super::invocation::install_missing(sink)?;
        self.prepare()?;
        Base::bare(&self.bases(), suite, sink).map(|base| base.root())
    }

    /// Removes bases that no lab stands on and that nobody asked for in a month: those of older recipes.
    pub(super) fn prune(&self) -> Result<(), LabError> {
        let _lock = self.lock()?;
        let mut in_use: Vec<String> =
            self.records().into_iter().flat_map(|record| record.hosts).map(|host| host.base).collect();
        if !in_use.is_empty() {
            in_use.push(super::machine::tools_key());
        }
        Base::prune(&self.bases(), &in_use)
    }
}

/// Refuses a machine on which no lab can run: anything but Linux, anyone but root.
pub fn available() -> Result<(), LabError> {
    let refuse = |why: &str, fix| Err(LabError::Unsupported { why: why.to_owned(), fix });
    if !cfg!(target_os = "linux") {
        return refuse("it does not run Linux", "use a Debian machine");
    }
    #[expect(clippy::disallowed_methods, reason = "/proc is where processes are looked up")]
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status
        .lines()
        .find_map(|line| line.strip_prefix("Uid:"))
        .and_then(|ids| ids.split_whitespace().nth(1).map(str::to_owned));
    if effective.as_deref() != Some("0") {
        return refuse("containers and networks need root", "run it as root, such as through sudo");
    }
    Ok(())
}

/// Whether tests and demos that need a lab run here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Availability {
    /// They do.
    Open,
    /// They do not; they say so and are counted.
    Closed {
        /// Why not.
        why: String,
    },
}

/// Whether tests that need a lab run, by the value of `PALISADE_LAB`: `required` (an error where they cannot), `off`,
/// or `auto`, which is also what nothing means.
pub fn availability(setting: Option<&str>) -> Result<Availability, LabError> {
    match setting {
        Some("off") => Ok(Availability::Closed { why: "PALISADE_LAB=off".to_owned() }),
        Some("required") => available().map(|()| Availability::Open),
        None | Some("auto" | "") => Ok(match available() {
            Ok(()) => Availability::Open,
            Err(why) => Availability::Closed { why: why.to_string() },
        }),
        Some(other) => Err(LabError::Spec {
            why: format!("PALISADE_LAB is {}; use required, auto or off", crate::text::excerpt(other, 40)),
        }),
    }
}
