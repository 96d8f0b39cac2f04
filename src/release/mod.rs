//! A release: which packages, in exactly which versions, go from dev through test to prod. Pure: what hosts of dev would
//! upgrade → one release; a release ↔ the text of its file. What differs between hosts that should be alike is refused
//! here, and so is a file that says less than all of it. Whether a file is the one that was signed, [`crate::signing`]
//! says.

pub mod archive;
mod file;
pub mod gates;
pub mod installed_before;
pub mod installing;
pub mod needed;
pub mod notice;
pub mod signers;
pub mod standing;
pub mod status;
pub mod transfer;
pub mod upgrades;

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use jiff::Timestamp;
use serde::Serialize;

use crate::domain::{
    Architecture, Digest, HostName, PackageName, PackageVersion, ReleaseId, RoleName, UnitName, UserName,
};
use archive::{Archive, SignedIndex};
use upgrades::Upgrades;

pub use crate::journal;
pub use file::RELEASE;

/// Where a project's releases stand.
pub const DIRECTORY: &str = "releases";

/// Newest version of the file's shape that this palisade reads.
pub const SCHEMA: u32 = 2;

/// One release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Release {
    /// Its name.
    pub id: ReleaseId,
    /// Time at which it was planned.
    pub planned: Timestamp,
    /// The account that planned it.
    pub by: UserName,
    /// Reason for which it does not wait for its turn; none for one that came in turn.
    pub emergency: Option<String>,
    /// One for each distribution and architecture.
    pub sets: Vec<Set>,
}

/// What a release holds for one distribution and architecture.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Set {
    /// `debian-12`.
    pub distribution: String,
    /// Architecture of the hosts.
    pub architecture: Architecture,
    /// The hosts of dev that were asked.
    pub hosts: BTreeSet<HostName>,
    /// The archives that sign its packages.
    pub archives: Vec<Archive>,
    /// Packages that are installed, by name.
    pub packages: BTreeMap<PackageName, Package>,
    /// Packages that somebody holds on some of the hosts: they stay as they are there.
    pub held: BTreeSet<PackageName>,
    /// Packages with a newer version for which others would have to go.
    pub kept_back: BTreeSet<PackageName>,
    /// Services that run files of the packages, and so must be restarted.
    pub restarts: BTreeSet<UnitName>,
}

/// One package of a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Package {
    /// Versions that it replaces on the hosts; none where it is new on all of them.
    pub from: BTreeSet<PackageVersion>,
    /// Exactly this version is installed.
    pub version: PackageVersion,
    /// Architecture for which its file was built.
    pub architecture: Architecture,
    /// Origin, as apt names it.
    pub origin: String,
    /// Bytes of its file.
    pub size: u32,
    /// Digest of its file.
    pub sha256: Digest,
    /// The roles of the hosts that get it; none where they have none.
    pub roles: BTreeSet<RoleName>,
    /// Voucher for its file. None where that is a host's word alone, which no release is written with.
    pub vouched: Option<Vouched>,
}

/// Who vouches for a package's file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Vouched {
    /// An archive, whose signed index names it.
    Archive {
        /// Its place in the set's archives.
        number: usize,
        /// Path of its file there.
        path: String,
    },
    /// No archive: whoever signs the release does, for this reason.
    Local {
        /// Reason, in the words of whoever planned it.
        reason: String,
    },
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

    /// The packages for which no archive vouches, each with the reason.
    pub fn local(&self) -> impl Iterator<Item = (&PackageName, &str)> {
        self.packages.iter().filter_map(|(name, package)| match &package.vouched {
            Some(Vouched::Local { reason }) => Some((name, reason.as_str())),
            _ => None,
        })
    }

    /// Lets archives vouch for the packages, as their signed indexes name them; `host` is the one that had them, and its own
    /// word about a file counts for nothing. What no index names needs one of the reasons of `local`. All that is wrong is
    /// said, and the set stays as it is then.
    pub fn vouch(
        &mut self,
        host: &HostName,
        signed: &[SignedIndex],
        local: &BTreeMap<PackageName, String>,
    ) -> Result<(), Vec<String>> {
        let key = |(name, package): (&PackageName, &Package)| {
            (name.clone(), package.version.clone(), package.architecture.clone())
        };
        let wanted: BTreeSet<archive::Key> = self.packages.iter().map(key).collect();
        let mut wrong = Vec::new();
        let mut archives: Vec<Archive> = Vec::new();
        let mut vouched: BTreeMap<PackageName, Vouched> = BTreeMap::new();
        for index in signed {
            let listed = match archive::listed(&index.plain, &wanted) {
                Ok(listed) => listed,
                Err(why) => {
                    wrong.push(format!("{host}: the index {} of {}: {why}", index.path, index.suite));
                    continue;
                }
            };
            for ((name, version, _), file) in listed {
                let Some(package) = self.packages.get(&name) else { continue };
                if (package.size, &package.sha256) != (file.size, &file.sha256) {
                    wrong.push(format!(
                        "{host} would install another file as {name} {version} than the one that {} {} names and {} \
                         signed",
                        index.suite, index.path, index.origin
                    ));
                } else if let Entry::Vacant(vacant) = vouched.entry(name) {
                    let number = index.noted(&mut archives);
                    vacant.insert(Vouched::Archive { number, path: file.path });
                }
            }
        }
        for (name, package) in &self.packages {
            match (vouched.contains_key(name), local.get(name)) {
                (false, Some(reason)) => drop(vouched.insert(name.clone(), Vouched::Local { reason: reason.clone() })),
                (false, None) => wrong.push(format!(
                    "{name} {} stands in no index that an archive signed, and {host} alone says what its file is",
                    package.version
                )),
                (true, Some(_)) => wrong.push(format!("{name} is signed by an archive: --local is not for it")),
                (true, None) => {}
            }
        }
        if !wrong.is_empty() {
            wrong.sort();
            wrong.dedup();
            return Err(wrong);
        }
        for (name, package) in &mut self.packages {
            package.vouched = vouched.remove(name);
        }
        self.archives = archives;
        Ok(())
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
            archives: Vec::new(),
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
                vouched: None,
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
