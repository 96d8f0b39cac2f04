//! How far a host is with a release: its journal, the packages that are there, what is installed and held.

use std::collections::{BTreeMap, BTreeSet};

use super::upgrades::looked;
use crate::domain::{Architecture, Digest, PackageName, PackageVersion, ReleaseId, UnitName};
use crate::resource::{Reading, Unread, parts};
use crate::shell::{Arg, Frame, Nonce, Question, Script};
use crate::text::{excerpt, from_base64};

pub(super) const LIBRARY: &str = include_str!("host/library.sh");

/// How far a host is with a release.
#[derive(Debug, Clone)]
pub struct Standing {
    /// The journal's bytes; none where the release was never begun there.
    pub journal: Vec<u8>,
    /// Packages that are there, and whose bytes are what was signed.
    pub whole: BTreeSet<Digest>,
    /// Bytes that are there of others.
    pub parts: BTreeMap<Digest, u64>,
    /// Whether the unit that installs is at work.
    pub installing: bool,
    /// Of the host.
    pub architecture: Architecture,
    /// What is installed.
    pub packages: BTreeMap<PackageName, PackageVersion>,
    /// What somebody holds.
    pub held: BTreeSet<PackageName>,
    /// Bytes that are free where packages are carried to.
    pub free: u64,
    /// What apt and dpkg said last, for people.
    pub said: String,
    /// The release's packages that are there in its versions, as the unit wrote down when it had installed.
    pub installed: Vec<(PackageName, PackageVersion)>,
    /// Configuration files that somebody changed and that stayed: the package's own lies beside each.
    pub conffiles: Vec<String>,
    /// Services that still run replaced files and are not restarted.
    pub denied: Vec<UnitName>,
    /// The packages that ask for a reboot, as the host names them.
    pub reboot: String,
}

pub(super) fn begin(nonce: &Nonce, release: &ReleaseId) -> Script {
    Script::new()
        .set("palisade_nonce", nonce.as_arg())
        .text(LIBRARY)
        .text(parts::PART)
        .call("palisade_use", [Arg::from(release)])
}

/// Asks how far a host is.
pub fn question(release: &ReleaseId) -> Question {
    let body = Script::new()
        .text(LIBRARY)
        .text(parts::PART)
        .call("palisade_use", [Arg::from(release)])
        .text(include_str!("host/standing.sh"));
    Question { label: "standing", body: body.into(), seconds: 120, cap: 8 << 20 }
}

/// The answer.
pub fn read(frame: &Frame) -> Reading<Standing> {
    let form =
        |what: &str, line: &str| Unread(format!("the host's {what} has another form: {}", parts::line(line)));
    let journal = looked(&parts::succeeded(frame, "journal")?)?.concat();
    let journal = from_base64(&journal).ok_or_else(|| form("journal", "not base64"))?;
    let (mut whole, mut partly) = (BTreeSet::new(), BTreeMap::new());
    for line in looked(&parts::succeeded(frame, "pool")?)? {
        let words: Vec<&str> = line.split(' ').collect();
        match words.as_slice() {
            ["whole", digest] => drop(whole.insert(digest.parse().map_err(|_| form("pool", &line))?)),
            ["part", digest, bytes] => {
                let digest: Digest = digest.parse().map_err(|_| form("pool", &line))?;
                partly.insert(digest, bytes.parse().map_err(|_| form("pool", &line))?);
            }
            _ => return Err(form("pool", &line)),
        }
    }
    let unit = parts::succeeded(frame, "unit")?.text;
    let installing = match unit.trim() {
        "inactive" | "failed" => false,
        "active" | "activating" | "deactivating" | "reloading" => true,
        other => return Err(form("unit that installs", other)),
    };
    let architecture = parts::succeeded(frame, "architecture")?.text.trim().parse::<Architecture>();
    let architecture = architecture.map_err(|error| Unread(error.why))?;
    let mut packages = BTreeMap::new();
    for line in parts::succeeded(frame, "packages")?.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let ["installed", name, version] = words.as_slice() else { continue };
        // A package of another architecture beside the host's own is not the release's business.
        let name = match name.split_once(':') {
            Some((name, built)) if built == architecture.as_str() => name,
            Some(_) => continue,
            None => name,
        };
        packages.insert(
            name.parse().map_err(|_| form("list of packages", line))?,
            version.parse().map_err(|_| form("list of packages", line))?,
        );
    }
    if packages.is_empty() {
        return Err(Unread("the host does not say which packages it has".to_owned()));
    }
    // A hold of a foreign architecture's package concerns nothing that a release holds.
    let held = parts::succeeded(frame, "held")?.lines().filter_map(|line| line.parse().ok()).collect();
    let installed = pairs(&looked(&parts::succeeded(frame, "installed")?)?)?;
    let conffiles =
        looked(&parts::succeeded(frame, "conffiles")?)?.iter().map(|line| parts::line(line)).collect();
    let denied = looked(&parts::succeeded(frame, "denied")?)?;
    Ok(Standing {
        journal,
        whole,
        parts: partly,
        installing,
        architecture,
        packages,
        held,
        free: number(&parts::succeeded(frame, "free")?.text)?,
        said: excerpt(parts::part(frame, "said")?.text.trim(), 600),
        installed,
        conffiles,
        denied: denied.iter().filter_map(|line| line.parse().ok()).collect(),
        reboot: excerpt(&looked(&parts::succeeded(frame, "reboot")?)?.join(" "), 200),
    })
}

/// The number below a heading of df(1).
fn number(text: &str) -> Reading<u64> {
    let last = text.lines().last().and_then(|line| line.trim().parse().ok());
    last.ok_or_else(|| Unread("the host does not say how much space is free".to_owned()))
}

/// `name version`, line by line.
pub(super) fn pairs(lines: &[String]) -> Reading<Vec<(PackageName, PackageVersion)>> {
    let pair = |line: &String| {
        let (name, version) = line.split_once(' ')?;
        Some((name.parse().ok()?, version.parse().ok()?))
    };
    let form =
        |line: &String| Unread(format!("the host names a package in another form: {}", parts::line(line)));
    lines.iter().map(|line| pair(line).ok_or_else(|| form(line))).collect()
}
