//! The outcome of a release on a host, and the release itself, as `patch apply` shows and keeps them.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::domain::{Architecture, Digest, PackageName, PackageVersion, ReleaseId, UnitName, Url};
use crate::journal::{Journal, Reason};

/// Effect of a release on a host, and the packages that it left alone there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, schemars::JsonSchema, Deserialize)]
pub struct Installed {
    /// Packages that are there in the release's versions.
    pub packages: BTreeMap<PackageName, PackageVersion>,
    /// Packages that somebody holds there, left as they are.
    pub held: BTreeSet<PackageName>,
    /// Packages that are newer there than in the release, left as they are.
    pub newer: BTreeSet<PackageName>,
    /// Units that were restarted.
    pub restarted: Vec<UnitName>,
    /// Units that run replaced files, and that no release restarts by the inventory.
    pub denied: Vec<UnitName>,
    /// Units that run replaced files until a reboot: nothing else renews them, or only together with everybody's session.
    pub until_reboot: Vec<UnitName>,
    /// Package that asked for the reboot; none where there was no reboot.
    pub rebooted: Option<String>,
    /// Files that a package brings beside a configuration file that somebody changed.
    pub conffiles: Vec<String>,
    /// Number of packages that the host downloaded from the mirror of releases.
    pub downloaded: usize,
    /// Bytes of packages that were carried there.
    pub bytes: u64,
    /// Journal of the release on the host, as far as it was read.
    pub journal: Option<Journal>,
}

/// A release, as the record of its installation names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema, Deserialize)]
pub struct ReleaseLine {
    /// Name of the release.
    pub id: ReleaseId,
    /// Digest of the release's file.
    pub sha256: Digest,
    /// Reason for which it did without window, soak and notice; none where it did not.
    pub emergency: Option<Reason>,
    /// Mirror from which hosts downloaded packages; none where all were carried.
    pub mirror: Option<Url>,
    /// Packages of the release, by distribution and architecture.
    pub packages: Vec<PackageSet>,
}

/// Packages of a release for one distribution and architecture.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema, Deserialize)]
pub struct PackageSet {
    /// ID and `VERSION_ID` of the distribution.
    pub distribution: String,
    /// Architecture of the hosts.
    pub architecture: Architecture,
    /// The packages.
    pub packages: Vec<PackageLine>,
}

/// A package of a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema, Deserialize)]
pub struct PackageLine {
    /// Package name.
    pub name: PackageName,
    /// Exact version.
    pub version: PackageVersion,
    /// Digest of its file.
    pub sha256: Digest,
}
