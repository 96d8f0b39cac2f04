//! `releases/ID.yaml`: a release ↔ text. What is read is what was written, or it is refused with its line.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::str::FromStr;

use jiff::Timestamp;
use serde_json::json;

use super::archive::{Archive, Index, Stored};
use super::{DIRECTORY, Package, Release, SCHEMA, Set, Vouched};
use crate::domain::pattern::{ACCOUNT, LABEL};
use crate::domain::{Architecture, Digest, PackageName, PackageVersion, ReleaseId, UnitName};
use crate::source::shape::{DATA, Field, Shape, Text, optional, required};
use crate::source::{Document, Map, Refusals, Report, Value};
use crate::text::{Malformed, is_inside};

/// `releases/ID.yaml`.
pub const RELEASE: Shape = Shape::Fields(&[
    required("schema", Shape::Version(SCHEMA), "The version of this file's shape."),
    required("release", Shape::Text(&ID), "Its name, as the file is called."),
    required("planned", Shape::Text(&MOMENT), "When it was planned, in UTC."),
    required("by", Shape::Text(&ACCOUNT), "Who planned it."),
    optional("emergency", Shape::Text(&DATA), "Why it does not wait for its turn."),
    required(
        "sets",
        Shape::List { of: &Shape::Fields(SET), least: 1 },
        "What it holds, for each distribution and architecture.",
    ),
]);

const SET: &[Field] = &[
    required("distribution", Shape::Word(&["debian-12", "debian-13"]), "Of the hosts."),
    required("architecture", Shape::Word(&["amd64", "arm64"]), "Of the hosts."),
    required("hosts", Shape::Set { of: &Shape::Text(&LABEL), least: 1 }, "The hosts of dev that were asked."),
    required("held", PACKAGES, "Packages that somebody holds: they stay as they are."),
    required("kept_back", PACKAGES, "Packages with a newer version for which others would have to go."),
    required("restarts", Shape::Set { of: &Shape::Text(&UNIT), least: 0 }, "Services that run their files."),
    required(
        "archives",
        Shape::List { of: &Shape::Fields(ARCHIVE), least: 0 },
        "The archives that sign its packages, as they were when it was planned.",
    ),
    required(
        "packages",
        Shape::Names { names: &PACKAGE_NAME, of: &Shape::Fields(PACKAGE), least: 0, most: None },
        "What is installed, and nothing else.",
    ),
];

const ARCHIVE: &[Field] = &[
    required("suite", Shape::Text(&SUITE), "The suite, as sources name it."),
    required("origin", Shape::Text(&DATA), "Who runs it, as it says; the keyring of that name verified it."),
    required("label", Shape::Text(&DATA), "What it calls this archive."),
    required("date", Shape::Text(&MOMENT), "When it was signed."),
    optional("valid_until", Shape::Text(&MOMENT), "Until when it says that it is current."),
    required("in_release", Shape::Fields(STORED), "Its InRelease."),
    required(
        "indexes",
        Shape::List { of: &Shape::Fields(INDEX), least: 1 },
        "Its indexes that name packages of the release.",
    ),
];

const STORED: &[Field] = &[
    required("size", Shape::Number { least: 1, most: u32::MAX }, "Bytes of the file."),
    required("sha256", Shape::Text(&DIGEST), "Of the file."),
];

const INDEX: &[Field] = &[
    required("path", Shape::Text(&PATH), "Its path below the suite."),
    required("size", Shape::Number { least: 1, most: u32::MAX }, "Bytes of it, packed by gzip."),
    required("sha256", Shape::Text(&DIGEST), "Of it, packed by gzip."),
];

const PACKAGES: Shape = Shape::Set { of: &Shape::Text(&PACKAGE_NAME), least: 0 };

const PACKAGE: &[Field] = &[
    required(
        "from",
        Shape::Set { of: &Shape::Text(&VERSION), least: 0 },
        "What it replaces; none where it is new.",
    ),
    required("version", Shape::Text(&VERSION), "Exactly this version."),
    required("architecture", Shape::Word(&["amd64", "arm64", "all"]), "What its file was built for."),
    required("origin", Shape::Text(&DATA), "Where apt has it from."),
    required("size", Shape::Number { least: 1, most: u32::MAX }, "Bytes of its file."),
    required("sha256", Shape::Text(&DIGEST), "Of its file."),
    required(
        "roles",
        Shape::Set { of: &Shape::Text(&LABEL), least: 0 },
        "The roles of the hosts that get it.",
    ),
    optional(
        "archive",
        Shape::Number { least: 0, most: 999 },
        "The place of the archive that signs it, from 0.",
    ),
    optional("path", Shape::Text(&PATH), "Where that archive has its file."),
    optional("local", Shape::Text(&DATA), "Why it is installed though no archive signs it."),
];

fn is<T: FromStr>(text: &str) -> bool {
    text.parse::<T>().is_ok()
}

const ID: Text = Text {
    about: "a day, such as 2026-11-28 or 2026-12-03-emergency",
    pattern: "^[0-9]{4}-[0-9]{2}-[0-9]{2}(-emergency)?$",
    accepts: is::<ReleaseId>,
    exact: false,
};

const MOMENT: Text = Text {
    about: "a moment in UTC, such as 2026-11-14T21:00:00Z",
    pattern: r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?Z$",
    accepts: is::<Timestamp>,
    exact: false,
};

const PACKAGE_NAME: Text = Text {
    about: "a package's name",
    pattern: "^[a-z0-9][a-z0-9+.-]+$",
    accepts: is::<PackageName>,
    exact: false,
};

const VERSION: Text = Text {
    about: "a package's version",
    pattern: "^[0-9][A-Za-z0-9.+~:-]*$",
    accepts: is::<PackageVersion>,
    exact: false,
};

const DIGEST: Text = Text {
    about: "64 lower-case hexadecimal digits",
    pattern: "^[0-9a-f]{64}$",
    accepts: is::<Digest>,
    exact: true,
};

const SUITE: Text = Text {
    about: "a suite, such as bookworm-security, or ./",
    pattern: r"^(?!/)(?!(.*/)?\.\.(/|$))[A-Za-z0-9._~/-]{1,100}$",
    accepts: is_suite,
    exact: true,
};

/// A suite goes into a line of apt's and into a path.
fn is_suite(text: &str) -> bool {
    is_inside(text) && text.len() <= 100 && !text.contains(['+', ':', '%', '='])
}

const PATH: Text = Text {
    about: "a path below an archive",
    pattern: r"^(?!/)(?!(.*/)?\.\.(/|$))[A-Za-z0-9/._+~:%=-]{1,500}$",
    accepts: is_inside,
    exact: true,
};

const UNIT: Text = Text {
    about: "a service of systemd, such as ssh.service",
    pattern: r"^\S+\.[a-z]+$",
    accepts: is::<UnitName>,
    exact: false,
};

impl Release {
    /// The path of the file of `id`, within a project.
    pub fn path(id: &ReleaseId) -> String {
        format!("{DIRECTORY}/{id}.yaml")
    }

    /// The text of its file. Everything that apt or a person wrote stands in quotes.
    pub fn to_yaml(&self) -> String {
        let mut text = format!(
            "# yaml-language-server: $schema=../.palisade/schema/release.json\n\
            # Written by `palisade patch plan`, and signed beside it: an edit breaks the signature.\n\
            schema: {SCHEMA}\nrelease: {}\nplanned: {}\nby: {}\n",
            json!(self.id),
            json!(self.planned.to_string()),
            json!(self.by)
        );
        if let Some(reason) = &self.emergency {
            let _ = writeln!(text, "emergency: {}", json!(reason));
        }
        text.push_str("sets:\n");
        for set in &self.sets {
            let _ = writeln!(text, "  - distribution: {}", json!(set.distribution));
            let _ = writeln!(text, "    architecture: {}", json!(set.architecture));
            for (name, list) in [
                ("hosts", json!(set.hosts)),
                ("held", json!(set.held)),
                ("kept_back", json!(set.kept_back)),
                ("restarts", json!(set.restarts)),
            ] {
                let _ = writeln!(text, "    {name}: {list}");
            }
            let none = if set.archives.is_empty() { " []" } else { "" };
            let _ = writeln!(text, "    archives:{none}");
            for archive in &set.archives {
                let _ = writeln!(text, "      - suite: {}", json!(archive.suite));
                let _ = writeln!(text, "        origin: {}", json!(archive.origin));
                let _ = writeln!(text, "        label: {}", json!(archive.label));
                let _ = writeln!(text, "        date: {}", json!(archive.date.to_string()));
                if let Some(until) = archive.valid_until {
                    let _ = writeln!(text, "        valid_until: {}", json!(until.to_string()));
                }
                let Stored { size, sha256 } = &archive.in_release;
                let _ = writeln!(text, "        in_release: {{size: {size}, sha256: {}}}", json!(sha256));
                text.push_str("        indexes:\n");
                for Index { path, packed: Stored { size, sha256 } } in &archive.indexes {
                    let (path, sha256) = (json!(path), json!(sha256));
                    let _ = writeln!(text, "          - {{path: {path}, size: {size}, sha256: {sha256}}}");
                }
            }
            let none = if set.packages.is_empty() { " {}" } else { "" };
            let _ = writeln!(text, "    packages:{none}");
            for (name, package) in &set.packages {
                let _ = writeln!(
                    text,
                    "      {}:\n        {{from: {}, version: {}, architecture: {}, origin: {}, size: {}, roles: {},\n         sha256: {}{}}}",
                    json!(name),
                    json!(package.from),
                    json!(package.version),
                    json!(package.architecture),
                    json!(package.origin),
                    package.size,
                    json!(package.roles),
                    json!(package.sha256),
                    match &package.vouched {
                        Some(Vouched::Archive { number, path }) =>
                            format!(",\n         archive: {number}, path: {}", json!(path)),
                        Some(Vouched::Local { reason }) => format!(",\n         local: {}", json!(reason)),
                        None => String::new(),
                    }
                );
            }
        }
        text
    }

    /// The release of the file `id`, from its bytes; or all that is wrong with it.
    pub fn parse(id: &ReleaseId, bytes: &[u8]) -> Result<Self, Refusals> {
        let report = Report::new();
        let document = Document::read(&Self::path(id), bytes, &report);
        let release =
            document.as_ref().and_then(|document| release(id, &document.shaped(&RELEASE, &report)?));
        report.finish(release)
    }
}

fn release(id: &ReleaseId, root: &Value<'_>) -> Option<Release> {
    let map = root.map()?;
    if let Some(value) = map.required("schema")
        && value.number().is_some_and(|schema| schema > SCHEMA)
    {
        let fix = format!("install a newer one; this one reads schema {SCHEMA}");
        value.refuse("written for a newer palisade", &fix);
        return None;
    }
    let said = map.required("release").and_then(|value| Some((value.parse::<ReleaseId>()?, value)));
    if let Some((said, value)) = &said
        && said != id
    {
        value.refuse("another release than the file is called after", "give the file its own name back");
    }
    let planned = map.required("planned").and_then(|value| moment(&value));
    let by = map.required("by").and_then(|value| value.parse());
    let emergency = map.field("emergency").and_then(|value| Some((value.text()?.to_owned(), value)));
    match &emergency {
        Some((_, value)) if !id.is_emergency() => {
            value.refuse("a reason for haste in a release that came in turn", "leave it out");
        }
        None if id.is_emergency() => {
            root.refuse("`emergency` is missing", "add `emergency: …`, with the reason");
        }
        _ => {}
    }
    let mut sets: Vec<Set> = Vec::new();
    for item in map.required("sets").and_then(|value| value.list()).unwrap_or_default() {
        let Some(set) = set(&item) else { continue };
        let twice = |other: &Set| {
            (&other.distribution, &other.architecture) == (&set.distribution, &set.architecture)
        };
        if sets.iter().any(twice) {
            item.refuse("a second set for the same distribution and architecture", "keep one");
        }
        sets.push(set);
    }
    let emergency = emergency.map(|(reason, _)| reason);
    Some(Release { id: said?.0, planned: planned?, by: by?, emergency, sets })
}

fn set(value: &Value<'_>) -> Option<Set> {
    let map = value.map()?;
    let distribution = map
        .required("distribution")
        .and_then(|value| value.one_of(&[("debian-12", "debian-12"), ("debian-13", "debian-13")]));
    let architecture = map
        .required("architecture")
        .and_then(|value| value.one_of(&[("amd64", "amd64"), ("arm64", "arm64")]));
    let hosts = map.required("hosts").map(|value| listed(&value));
    let held = map.required("held").map(|value| listed(&value));
    let kept_back = map.required("kept_back").map(|value| listed(&value));
    let restarts = map.required("restarts").map(|value| listed(&value));
    let archives: Option<Vec<Archive>> = map
        .required("archives")
        .and_then(|value| value.list())
        .map(|items| items.iter().filter_map(archive).collect());
    let count = archives.as_ref().map_or(0, Vec::len);
    let packages = map.required("packages").and_then(|value| packages(&value, count));
    Some(Set {
        distribution: distribution?.to_owned(),
        architecture: architecture?.parse::<Architecture>().ok()?,
        hosts: hosts?,
        held: held?,
        kept_back: kept_back?,
        restarts: restarts?,
        archives: archives?,
        packages: packages?,
    })
}

fn archive(value: &Value<'_>) -> Option<Archive> {
    let map = value.map()?;
    let text = |name: &str| map.required(name).and_then(|value| Some(value.text()?.to_owned()));
    let suite = map.required("suite").and_then(|value| inside(&value, &SUITE));
    let (origin, label) = (text("origin"), text("label"));
    let date = map.required("date").and_then(|value| moment(&value));
    let valid_until = map.field("valid_until").map(|value| moment(&value));
    let in_release = map.required("in_release").and_then(|value| stored(&value.map()?));
    let indexes = map.required("indexes").and_then(|value| value.list());
    let indexes = indexes.map(|items| items.iter().filter_map(index).collect());
    Some(Archive {
        suite: suite?,
        origin: origin?,
        label: label?,
        date: date?,
        valid_until: match valid_until {
            Some(until) => Some(until?),
            None => None,
        },
        in_release: in_release?,
        indexes: indexes?,
    })
}

fn index(value: &Value<'_>) -> Option<Index> {
    let map = value.map()?;
    let path = map.required("path").and_then(|value| inside(&value, &PATH));
    let packed = stored(&map);
    Some(Index { path: path?, packed: packed? })
}

/// A part of a path on hosts.
fn inside(value: &Value<'_>, what: &Text) -> Option<String> {
    let text = value.text()?;
    let well = (what.accepts)(text).then(|| text.to_owned());
    value
        .checked(well.ok_or_else(|| Malformed::new("not within an archive", format!("write {}", what.about))))
}

fn stored(map: &Map<'_>) -> Option<Stored> {
    let size = map.required("size").and_then(|value| value.number());
    let sha256 = map.required("sha256").and_then(|value| value.parse());
    Some(Stored { sha256: sha256?, size: size? })
}

fn moment(value: &Value<'_>) -> Option<Timestamp> {
    let text = value.text()?;
    value.checked(
        text.parse::<Timestamp>()
            .map_err(|_| Malformed::new("not a moment", format!("write {}", MOMENT.about))),
    )
}

fn listed<T: FromStr<Err = Malformed> + Ord>(value: &Value<'_>) -> BTreeSet<T> {
    let mut found = BTreeSet::new();
    for item in value.list().unwrap_or_default() {
        if let Some(one) = item.parse::<T>()
            && !found.insert(one)
        {
            item.refuse("the same twice", "keep one");
        }
    }
    found
}

fn packages(value: &Value<'_>, archives: usize) -> Option<BTreeMap<PackageName, Package>> {
    let mut packages = BTreeMap::new();
    for (name, at) in value.entries()? {
        let name: PackageName = match name.parse() {
            Ok(name) => name,
            Err(Malformed { why, fix }) => {
                at.refuse_key(&why, &fix);
                continue;
            }
        };
        if let Some(package) = package(&at, archives) {
            packages.insert(name, package);
        }
    }
    Some(packages)
}

/// Who vouches for a package: one of the set's archives, or a person with a reason; never both, and never nobody.
fn vouched(value: &Value<'_>, map: &Map<'_>, archives: usize) -> Option<Vouched> {
    let number = map.field("archive").and_then(|value| {
        let number = usize::try_from(value.number()?).ok()?;
        if number >= archives {
            value.refuse("the set has no archive in this place", "name one of `archives`, from 0");
            return None;
        }
        Some(number)
    });
    let path = map.field("path").and_then(|value| inside(&value, &PATH));
    let local = map.field("local").and_then(|value| Some(value.text()?.to_owned()));
    match (number, path, local) {
        (Some(number), Some(path), None) => Some(Vouched::Archive { number, path }),
        (None, None, Some(reason)) => Some(Vouched::Local { reason }),
        _ => {
            value.refuse("nobody vouches for it", "plan the release anew: `archive` and `path`, or `local`");
            None
        }
    }
}

fn package(value: &Value<'_>, archives: usize) -> Option<Package> {
    let map = value.map()?;
    let from = map.required("from").map(|value| listed(&value));
    let version = map.required("version").and_then(|value| value.parse());
    let architecture = map
        .required("architecture")
        .and_then(|value| value.one_of(&[("amd64", "amd64"), ("arm64", "arm64"), ("all", "all")]));
    let origin = map.required("origin").and_then(|value| Some(value.text()?.to_owned()));
    let size = map.required("size").and_then(|value| value.number());
    let sha256 = map.required("sha256").and_then(|value| value.parse());
    let roles = map.required("roles").map(|value| listed(&value));
    let vouched = vouched(value, &map, archives);
    Some(Package {
        from: from?,
        version: version?,
        architecture: architecture?.parse().ok()?,
        origin: origin?,
        size: size?,
        sha256: sha256?,
        roles: roles?,
        vouched: Some(vouched?),
    })
}
