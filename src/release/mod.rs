//! A release: which packages, in exactly which versions, go from dev through test to prod. Pure: what hosts of dev would
//! upgrade → one release; a release ↔ the text of its file. What differs between hosts that should be alike is refused
//! here, and so is a file that says less than all of it. Whether a file is the one that was signed, [`crate::signing`]
//! says.

pub mod transfer;
mod file;
pub mod gates;
pub mod installing;
pub mod notice;
pub mod seen;
pub mod status;
pub mod upgrades;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use jiff::Timestamp;
use serde::Serialize;

use crate::domain::{
    Architecture, Digest, HostName, PackageName, PackageVersion, ReleaseId, RoleName, UnitName, UserName,
};
use upgrades::Upgrades;

pub use crate::journal;
pub use file::RELEASE;

/// Where a project's releases stand.
pub const DIRECTORY: &str = "releases";

/// Newest version of the file's shape that this palisade reads.
pub const SCHEMA: u32 = 1;

/// One release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Release {
    /// Its name.
    pub id: ReleaseId,
    /// When it was planned.
    pub planned: Timestamp,
    /// The account that planned it.
    pub by: UserName,
    /// Why it does not wait for its turn; none for one that came in turn.
    pub emergency: Option<String>,
    /// One for each distribution and architecture.
    pub sets: Vec<Set>,
}

/// What a release holds for one distribution and architecture.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Set {
    /// `debian-12`.
    pub distribution: String,
    /// Of the hosts.
    pub architecture: Architecture,
    /// The hosts of dev that were asked.
    pub hosts: BTreeSet<HostName>,
    /// What is installed, by name.
    pub packages: BTreeMap<PackageName, Package>,
    /// Packages that somebody holds on some of the hosts: they stay as they are there.
    pub held: BTreeSet<PackageName>,
    /// Packages with a newer version for which others would have to go.
    pub kept_back: BTreeSet<PackageName>,
    /// Services that run files of the packages, and so must be restarted.
    pub restarts: BTreeSet<UnitName>,
}

/// One package of a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Package {
    /// What it replaces on the hosts; none where it is new on all of them.
    pub from: BTreeSet<PackageVersion>,
    /// Exactly this version is installed.
    pub version: PackageVersion,
    /// What its file was built for.
    pub architecture: Architecture,
    /// Where apt has it from.
    pub origin: String,
    /// Bytes of its file.
    pub size: u32,
    /// Of its file.
    pub sha256: Digest,
    /// The roles of the hosts that get it; none where they have none.
    pub roles: BTreeSet<RoleName>,
}

impl Package {
    /// Whether it comes from the security archive.
    pub fn is_security(&self) -> bool {
        self.origin.contains("Debian-Security:") || self.origin.contains("-security")
    }
}

impl Set {
    /// The packages that work only after a reboot: a kernel, and the library that every process runs.
    pub fn reboot(&self) -> BTreeSet<&PackageName> {
        let asks =
            |name: &&PackageName| name.as_str().starts_with("linux-image-") || name.as_str() == "libc6";
        self.packages.keys().filter(asks).collect()
    }

    /// Bytes of all files.
    pub fn size(&self) -> u64 {
        self.packages.values().map(|package| u64::from(package.size)).sum()
    }
}

/// What one host of dev answered.
#[derive(Debug, Clone)]
pub struct Surveyed {
    /// The host.
    pub host: HostName,
    /// Its roles.
    pub roles: BTreeSet<RoleName>,
    /// `debian-12`.
    pub distribution: String,
    /// What it would upgrade.
    pub upgrades: Upgrades,
}

/// Two hosts that would not get the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// Of which package.
    pub package: PackageName,
    /// The host that was asked first, and what it would install.
    pub one: (HostName, PackageVersion),
    /// The other.
    pub other: (HostName, PackageVersion),
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (one, first) = &self.one;
        let (other, second) = &self.other;
        if first == second {
            return write!(f, "{one} and {other} would install different files as {} {first}", self.package);
        }
        write!(f, "{one} would install {} {first}, and {other} {second}", self.package)
    }
}

/// What the hosts would upgrade, as one set for each distribution and architecture; or every package of which two of
/// them would not get the same file.
pub fn sets(surveyed: &[Surveyed]) -> Result<Vec<Set>, Vec<Conflict>> {
    let mut sets: BTreeMap<(String, Architecture), Set> = BTreeMap::new();
    let mut firsts: BTreeMap<(String, Architecture, PackageName), HostName> = BTreeMap::new();
    let mut conflicts = Vec::new();
    for Surveyed { host, roles, distribution, upgrades } in surveyed {
        let key = (distribution.clone(), upgrades.architecture.clone());
        let set = sets.entry(key.clone()).or_insert_with(|| Set {
            distribution: distribution.clone(),
            architecture: upgrades.architecture.clone(),
            hosts: BTreeSet::new(),
            packages: BTreeMap::new(),
            held: BTreeSet::new(),
            kept_back: BTreeSet::new(),
            restarts: BTreeSet::new(),
        });
        set.hosts.insert(host.clone());
        set.held.extend(upgrades.held.iter().cloned());
        set.kept_back.extend(upgrades.kept_back.iter().cloned());
        set.restarts.extend(upgrades.services.iter().cloned());
        for upgrade in &upgrades.packages {
            let first = firsts
                .entry((key.0.clone(), key.1.clone(), upgrade.name.clone()))
                .or_insert_with(|| host.clone());
            let package = set.packages.entry(upgrade.name.clone()).or_insert_with(|| Package {
                from: BTreeSet::new(),
                version: upgrade.version.clone(),
                architecture: upgrade.architecture.clone(),
                origin: upgrade.origin.clone(),
                size: upgrade.size,
                sha256: upgrade.sha256.clone(),
                roles: BTreeSet::new(),
            });
            if (&package.version, &package.sha256) != (&upgrade.version, &upgrade.sha256) {
                conflicts.push(Conflict {
                    package: upgrade.name.clone(),
                    one: (first.clone(), package.version.clone()),
                    other: (host.clone(), upgrade.version.clone()),
                });
            }
            package.from.extend(upgrade.from.clone());
            package.roles.extend(roles.iter().cloned());
        }
    }
    if conflicts.is_empty() { Ok(sets.into_values().collect()) } else { Err(conflicts) }
}

#[cfg(test)]
mod tests;
