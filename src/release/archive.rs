//! What an archive signed of itself: the text of its `InRelease` and the index of packages that this names. Pure: bytes whose
//! signature somebody checked → what the archive says, and which file is the package of a name, version and architecture.
//! A host's word about its archives counts for nothing here.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;

use jiff::Timestamp;
use serde::Serialize;

use crate::domain::{Architecture, Digest, PackageName, PackageVersion};
use crate::text::{is_inside, visible};

/// A package's name, version and architecture: what an index is asked for.
pub type Key = (PackageName, PackageVersion, Architecture);

/// Bytes of an index as it is, at most: that of all of Debian has 47 MB (12, November 2026), and all of a suite with its
/// sources less than twice that.
pub const INDEX: u64 = 256 << 20;

/// Bytes of an `InRelease`, at most: Debian's has 170 kB.
pub const IN_RELEASE: usize = 4 << 20;

/// A file of a release beside its packages.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, schemars::JsonSchema)]
pub struct Stored {
    /// Digest of its bytes.
    pub sha256: Digest,
    /// Number of its bytes.
    pub size: u32,
}

/// One archive from which packages of a release come, as it signed itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Archive {
    /// The suite as sources name it, such as `bookworm-security`; `./` where the archive is one folder.
    pub suite: String,
    /// Origin, as the archive itself says: `Debian`. The project's keyring for that name verified it.
    pub origin: String,
    /// Label of the archive: `Debian-Security`; `-` where it has none.
    pub label: String,
    /// Time at which the archive was signed.
    pub date: Timestamp,
    /// Until when the archive says that it is current; none where it does not say.
    pub valid_until: Option<Timestamp>,
    /// `InRelease`, as it was signed.
    pub in_release: Stored,
    /// Its indexes from which packages of the release come.
    pub indexes: Vec<Index>,
}

/// An index of packages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Index {
    /// Its path below the suite, such as `main/binary-amd64/Packages`.
    pub path: String,
    /// It, packed by gzip, as it is carried.
    pub packed: Stored,
}

/// An index whose archive's signature was checked, with what it holds.
#[derive(Debug, Clone)]
pub struct SignedIndex {
    /// The suite, as sources name it.
    pub suite: String,
    /// Its path below the suite.
    pub path: String,
    /// Who runs the archive.
    pub origin: String,
    /// What it calls this archive.
    pub label: String,
    /// When the archive was signed.
    pub date: Timestamp,
    /// Until when it is current.
    pub valid_until: Option<Timestamp>,
    /// The archive's `InRelease`.
    pub in_release: Stored,
    /// It, packed.
    pub packed: Stored,
    /// Its bytes.
    pub plain: Vec<u8>,
}

impl SignedIndex {
    /// Notes it among `archives`, and says in which place its archive is there.
    pub(super) fn noted(&self, archives: &mut Vec<Archive>) -> usize {
        let index = Index { path: self.path.clone(), packed: self.packed.clone() };
        let is_it = |archive: &Archive| archive.suite == self.suite && archive.in_release == self.in_release;
        if let Some((place, archive)) = archives.iter_mut().enumerate().find(|(_, archive)| is_it(archive)) {
            if !archive.indexes.contains(&index) {
                archive.indexes.push(index);
            }
            return place;
        }
        archives.push(Archive {
            suite: self.suite.clone(),
            origin: self.origin.clone(),
            label: self.label.clone(),
            date: self.date,
            valid_until: self.valid_until,
            in_release: self.in_release.clone(),
            indexes: vec![index],
        });
        archives.len() - 1
    }
}

/// What the text of an `InRelease` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedText {
    /// Who runs the archive.
    pub origin: String,
    /// What it calls it; `-` where it does not say.
    pub label: String,
    /// When it was signed.
    pub date: Timestamp,
    /// Until when it is current; none where it does not say.
    pub valid_until: Option<Timestamp>,
    /// Its files, by path: SHA-256 and bytes.
    files: BTreeMap<String, (Digest, u64)>,
}

impl SignedText {
    /// From the text that was signed. Any field that is needed and missing, there twice, or in another form is an error.
    pub fn parse(text: &str) -> Result<Self, String> {
        let field = |name: &str| -> Result<Option<&str>, String> {
            let mut values = text.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            let value = values.next().map(str::trim);
            match values.next() {
                Some(_) => Err(format!("{name} stands in it twice")),
                None => Ok(value),
            }
        };
        let moment = |name: &str| -> Result<Option<Timestamp>, String> {
            field(name)?
                .map(|value| date(value).ok_or_else(|| format!("{name} is no date: {}", visible(value))))
                .transpose()
        };
        let mut files = BTreeMap::new();
        let sums = text.lines().skip_while(|line| line.trim_end() != "SHA256:").skip(1);
        for line in sums.take_while(|line| line.starts_with(' ')) {
            let words: Vec<&str> = line.split_whitespace().collect();
            let form = || format!("a line of SHA256 has another form: {}", visible(line));
            let [digest, size, path] = words.as_slice() else { return Err(form()) };
            let file = (digest.parse().map_err(|_| form())?, size.parse().map_err(|_| form())?);
            if files.insert((*path).to_owned(), file).is_some() {
                return Err(format!("{} stands in it twice", visible(path)));
            }
        }
        if files.is_empty() {
            return Err("it names no file by its SHA-256".to_owned());
        }
        Ok(Self {
            origin: field("Origin")?
                .filter(|origin| !origin.is_empty())
                .ok_or("it does not say its Origin")?
                .to_owned(),
            label: field("Label")?.filter(|label| !label.is_empty()).unwrap_or("-").to_owned(),
            date: moment("Date")?.ok_or("it does not say its Date")?,
            valid_until: moment("Valid-Until")?,
            files,
        })
    }

    /// Why the archive is not current at `now`; none where it is. `last` is the date of the same archive in the project's
    /// newest release that has it: an older one is what somebody kept.
    pub fn stale(&self, now: Timestamp, last: Option<Timestamp>) -> Option<String> {
        if let Some(until) = self.valid_until.filter(|until| *until < now) {
            return Some(format!("it was current until {until}: what came since is missing in it"));
        }
        last.filter(|last| self.date < *last)
            .map(|last| format!("it was signed {}, and an earlier release had that of {last}", self.date))
    }

    /// Unpacks an index, and checks that it is the one which was signed under `path`. Reads no more than [`INDEX`].
    pub fn unpack(&self, path: &str, packed: &[u8]) -> Result<Vec<u8>, String> {
        let (digest, size) = self.files.get(path).ok_or_else(|| format!("it names no {}", visible(path)))?;
        if *size > INDEX {
            return Err(format!("{} has {size} bytes, and at most {INDEX} are read", visible(path)));
        }
        let mut plain = Vec::new();
        let read = flate2::read::MultiGzDecoder::new(packed).take(size + 1).read_to_end(&mut plain);
        read.map_err(|error| format!("{} cannot be unpacked: {error}", visible(path)))?;
        if Digest::of(&plain) == *digest {
            return Ok(plain);
        }
        Err(format!("{} has other bytes than were signed", visible(path)))
    }
}

/// A date as archives write it: `Sat, 12 Jul 2025 08:20:38 UTC`.
fn date(text: &str) -> Option<Timestamp> {
    let text = match text.strip_suffix("UTC") {
        Some(before) => format!("{before}+0000"),
        None => text.to_owned(),
    };
    jiff::fmt::rfc2822::parse(&text).ok().map(|moment| moment.timestamp())
}

/// What an index says of a package's file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Where its file lies, below the archive.
    pub path: String,
    /// Bytes of its file.
    pub size: u32,
    /// Of its file.
    pub sha256: Digest,
}

/// What an index says of those of `wanted` that it names. A record of theirs that is not as it must be, or two that differ,
/// are an error.
pub fn listed(index: &[u8], wanted: &BTreeSet<Key>) -> Result<BTreeMap<Key, Listed>, String> {
    let names: BTreeSet<&str> = wanted.iter().map(|(name, ..)| name.as_str()).collect();
    let text = String::from_utf8_lossy(index);
    let mut found: BTreeMap<Key, Listed> = BTreeMap::new();
    for record in text.split("\n\n") {
        let field = |name: &str| {
            let mut values = record.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
            values.next().filter(|_| values.next().is_none())
        };
        let Some(name) = field("Package").filter(|name| names.contains(name)) else { continue };
        let form = || format!("its record of {name} has another form");
        let key = (
            name.parse().map_err(|_| form())?,
            field("Version").and_then(|text| text.parse().ok()).ok_or_else(form)?,
            field("Architecture").and_then(|text| text.parse().ok()).ok_or_else(form)?,
        );
        if !wanted.contains(&key) {
            continue;
        }
        let listed = Listed {
            path: field("Filename").filter(|path| is_inside(path)).ok_or_else(form)?.to_owned(),
            size: field("Size").and_then(|text| text.parse().ok()).ok_or_else(form)?,
            sha256: field("SHA256").and_then(|text| text.parse().ok()).ok_or_else(form)?,
        };
        if found.get(&key).is_some_and(|other| *other != listed) {
            return Err(format!("it has two files called {name} {}", key.1));
        }
        found.insert(key, listed);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    const PACKAGES: &str = "Package: perl\nVersion: 5.36.0-8\nArchitecture: amd64\nFilename: pool/main/p/perl.deb\nSize: 7\nSHA256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08\n\n";

    fn signed(more: &str) -> String {
        let sum = Digest::of(PACKAGES.as_bytes());
        format!(
            "Origin: Debian\nLabel: Debian\nDate: Sat, 14 Nov 2026 08:20:38 UTC\n{more}SHA256:\n {sum} {} main/binary-amd64/Packages\n",
            PACKAGES.len()
        )
    }

    fn packed(text: &str) -> Vec<u8> {
        let mut packing = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packing.write_all(text.as_bytes()).unwrap();
        packing.finish().unwrap()
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn an_index_counts_where_it_is_what_was_signed() {
        let archive = SignedText::parse(&signed("")).unwrap();
        assert_eq!((archive.origin.as_str(), archive.date), ("Debian", at("2026-11-14T08:20:38Z")));
        let path = "main/binary-amd64/Packages";
        assert_eq!(archive.unpack(path, &packed(PACKAGES)).unwrap(), PACKAGES.as_bytes());
        assert!(
            archive.unpack(path, &packed(&PACKAGES.replace("-8", "-9"))).unwrap_err().contains("other bytes")
        );
        assert!(archive.unpack(path, &packed(&PACKAGES.repeat(9))).unwrap_err().contains("other bytes"));
        assert!(archive.unpack("main/binary-arm64/Packages", b"").unwrap_err().contains("names no"));
        assert!(archive.unpack(path, b"no gzip").unwrap_err().contains("cannot be unpacked"));
    }

    #[test]
    fn what_is_old_or_was_kept_is_not_current() {
        let now = at("2026-11-15T00:00:00Z");
        let archive = SignedText::parse(&signed("Valid-Until: Sat, 21 Nov 2026 08:20:38 UTC\n")).unwrap();
        assert_eq!(archive.stale(now, None), None);
        assert_eq!(archive.stale(now, Some(at("2026-11-14T08:20:38Z"))), None);
        assert!(archive.stale(now, Some(at("2026-11-14T08:20:39Z"))).unwrap().contains("an earlier release"));
        assert!(archive.stale(at("2026-11-22T00:00:00Z"), None).unwrap().contains("was current until"));
    }

    #[test]
    fn what_is_missing_or_there_twice_is_an_error() {
        for (text, why) in [
            (signed("Date: Sat, 14 Nov 2026 08:20:39 UTC\n"), "Date stands in it twice"),
            (signed("").replace("Origin: Debian\n", ""), "does not say its Origin"),
            (signed("").replace("Sat, 14 Nov", "some day"), "Date is no date"),
            ("Origin: Debian\nDate: Sat, 14 Nov 2026 08:20:38 UTC\n".to_owned(), "names no file"),
            (signed("Valid-Until: soon\n"), "Valid-Until is no date"),
        ] {
            let error = SignedText::parse(&text).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn an_index_names_files_and_its_archive_alone() {
        let key = |version: &str| -> Key {
            ("perl".parse().unwrap(), version.parse().unwrap(), "amd64".parse().unwrap())
        };
        let wanted = BTreeSet::from([key("5.36.0-8")]);
        let found = listed(PACKAGES.as_bytes(), &wanted).unwrap();
        assert_eq!(found[&key("5.36.0-8")].path, "pool/main/p/perl.deb");
        assert!(listed(PACKAGES.as_bytes(), &BTreeSet::from([key("5.36.0-9")])).unwrap().is_empty());
        for (from, to) in [("pool/main", "pool/../../etc"), ("pool/main", "/etc"), ("Size: 7", "Size: -7")] {
            listed(PACKAGES.replace(from, to).as_bytes(), &wanted).unwrap_err();
        }
        let twice = format!("{PACKAGES}{}", PACKAGES.replace("Size: 7", "Size: 8"));
        assert!(listed(twice.as_bytes(), &wanted).unwrap_err().contains("two files"));
    }
}
