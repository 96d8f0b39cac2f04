//! What a host needs of a release: the packages that it has in another version, the files that sign them, and the room for
//! both.

use std::collections::{BTreeMap, BTreeSet};

use super::archive::{Archive, Index, Stored};
use super::standing::Standing;
use super::{Package, Set, Vouched};
use crate::domain::PackageName;

/// What stays free on a host beside everything that is written there: 64 MiB.
pub(super) const MARGIN: u64 = 64 << 20;

/// What of `set` a host may need: packages that it has in another version, and those that are new on every host of dev.
/// What it holds is left out, and what it has already.
pub fn needed<'s>(set: &'s Set, standing: &Standing) -> BTreeMap<&'s PackageName, &'s Package> {
    let needs = |(name, package): &(&PackageName, &Package)| {
        !standing.held.contains(*name)
            && match standing.packages.get(*name) {
                Some(version) => *version != package.version,
                None => package.from.is_empty(),
            }
    };
    set.packages.iter().filter(needs).collect()
}

/// A file that a host needs for what it is to install.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Needed {
    /// What it is, for people.
    pub what: String,
    /// Its bytes.
    pub file: Stored,
}

/// An index takes so many times its packed size, as it is and once more as apt keeps it.
const UNPACKED: u64 = 8;

/// The files of `needed`, and what signs them.
pub fn files(set: &Set, needed: &BTreeMap<&PackageName, &Package>) -> Vec<Needed> {
    let package = |(name, package): (&&PackageName, &&Package)| Needed {
        what: format!("{name} {}", package.version),
        file: Stored { sha256: package.sha256.clone(), size: package.size },
    };
    let mut files: Vec<Needed> = needed.iter().map(package).collect();
    for (_, archive) in signing_archives(set, needed) {
        let what = format!("the InRelease of {}", archive.suite);
        files.push(Needed { what, file: archive.in_release.clone() });
        let index = |index: &Index| Needed {
            what: format!("the index {} of {}", index.path, archive.suite),
            file: index.packed.clone(),
        };
        files.extend(archive.indexes.iter().map(index));
    }
    files
}

/// The archives that sign one of `needed`, each with its place in the set.
pub(super) fn signing_archives<'s>(
    set: &'s Set,
    needed: &BTreeMap<&PackageName, &Package>,
) -> impl Iterator<Item = (usize, &'s Archive)> {
    let numbers: BTreeSet<usize> = needed
        .values()
        .filter_map(|package| match &package.vouched {
            Some(Vouched::Archive { number, .. }) => Some(*number),
            _ => None,
        })
        .collect();
    set.archives.iter().enumerate().filter(move |(number, _)| numbers.contains(number))
}

/// Why there is no room on the host for what is carried; none where there is.
pub fn no_room(set: &Set, needed: &BTreeMap<&PackageName, &Package>, standing: &Standing) -> Option<String> {
    let there = |file: &Stored| {
        if standing.whole.contains(&file.sha256) {
            u64::from(file.size)
        } else {
            standing.parts.get(&file.sha256).copied().unwrap_or_default()
        }
    };
    let missing: u64 =
        files(set, needed).iter().map(|one| u64::from(one.file.size).saturating_sub(there(&one.file))).sum();
    let indexes = signing_archives(set, needed).flat_map(|(_, archive)| &archive.indexes);
    let unpacked: u64 = indexes.map(|index| u64::from(index.packed.size) * UNPACKED).sum();
    let wanted = missing.saturating_add(unpacked).saturating_add(MARGIN);
    (missing > 0 && standing.free < wanted).then(|| {
        format!(
            "/var/lib/palisade has {} MiB free, and what is carried there wants {}",
            standing.free >> 20,
            wanted >> 20
        )
    })
}
