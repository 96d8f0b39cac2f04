//! How a release reaches a host: the scripts that carry packages there and let apt say what it would install from them alone,
//! and whether that is what the release holds. Pure: scripts out, answers in. It approves exactly the release's versions,
//! and refuses a host whose apt would do anything else.

use std::collections::{BTreeMap, BTreeSet};

use super::archive::{Archive, Index};
use super::needed::{MARGIN, signing_archives};
use super::standing::{Standing, begin};
use super::upgrades::{counted, kept_back, looked, named};
use super::{Package, Set, Vouched};
use crate::domain::{Digest, PackageName, PackageVersion, ReleaseId, Url};
use crate::resource::{Reading, Unread, parts};
use crate::shell::{Arg, Frame, Nonce, Output, Script};
use crate::text::is_inside;

/// Bytes of packages that one exec carries to a host; in base64 a third more. A shell reads such a script in a moment, and
/// a connection that breaks loses no more than this.
pub const PIECE: usize = 3 << 20;

/// Bytes of packages that one exec lets a host download.
const FETCHED_AT_ONCE: u64 = 8 << 20;

/// What apt may do on a host, and what it leaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approved {
    /// Exactly these are installed.
    pub packages: BTreeMap<PackageName, PackageVersion>,
    /// Held there, and so left as they are.
    pub held: BTreeSet<PackageName>,
    /// Newer there than in the release, and left.
    pub newer: BTreeSet<PackageName>,
}

/// Lets a host of dev download what the release names, and send what is asked for.
pub fn capture(nonce: &Nonce, release: &ReleaseId, set: &Set, send: &[&Digest]) -> Script {
    let wanted = set
        .packages
        .iter()
        .map(|(name, package)| format!("{name} {} {} {}", package.version, package.sha256, package.size));
    begin(nonce, release)
        .text(include_str!("apt.sh"))
        .set("palisade_wanted", Arg::lossy(wanted.collect::<Vec<_>>().join("\n")))
        .text(include_str!("host/capture.sh"))
        .call("palisade_capture", send.iter().map(|digest| Arg::from(*digest)))
}

/// Lets a host of dev send what signs the packages that its apt would install.
pub fn indexes(nonce: &Nonce, release: &ReleaseId) -> Script {
    begin(nonce, release)
        .text(include_str!("apt.sh"))
        .text(include_str!("host/indexes.sh"))
        .text("palisade_indexes")
}

/// An index that a host of dev sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentIndex {
    /// The suite, as its sources name it.
    pub suite: String,
    /// Its path below the suite.
    pub path: String,
    /// The archive's `InRelease`.
    pub in_release: Digest,
    /// It, packed by gzip.
    pub packed: Digest,
}

/// What a host of dev sent.
#[derive(Debug, Default)]
pub struct Captured {
    /// Files, each of which is what its digest says.
    pub files: Vec<(Digest, Vec<u8>)>,
    /// What its sources no longer have: name and version.
    pub missing: Vec<String>,
    /// Which of the files are indexes, and what signs each.
    pub indexes: Vec<SentIndex>,
    /// Indexes that nothing signs, by suite and path.
    pub unsigned: Vec<String>,
    /// The rest of the answer, for [`crate::transaction::Replies`].
    pub rest: Vec<u8>,
}

/// Takes the files out of the answer to [`capture`]. A file whose bytes are not what they are said to be is an error.
pub fn captured(nonce: &Nonce, output: &Output) -> Reading<Captured> {
    let mut captured = Captured::default();
    let mark = format!("{} ", nonce.as_str());
    let mut rest = output.stdout.as_slice();
    while !rest.is_empty() {
        let end = memchr::memchr(b'\n', rest).map_or(rest.len(), |end| end + 1);
        let (line, behind) = rest.split_at(end);
        rest = behind;
        let words = line.strip_prefix(mark.as_bytes()).map(String::from_utf8_lossy);
        let words: Vec<&str> =
            words.as_deref().map(|line| line.trim_end().split(' ').collect()).unwrap_or_default();
        match words.as_slice() {
            ["file", digest, size] => {
                let cut =
                    || Unread(format!("the host's answer ends within the package {}", parts::line(digest)));
                let wanted: Digest = digest.parse().map_err(|_| cut())?;
                let size: usize = size.parse().map_err(|_| cut())?;
                let bytes = rest.get(..size).ok_or_else(cut)?;
                rest = rest.get(size..).unwrap_or_default();
                if Digest::of(bytes) != wanted {
                    return Err(Unread(format!("the host sent other bytes than those of {wanted}")));
                }
                captured.files.push((wanted, bytes.to_vec()));
            }
            ["index", suite, path, in_release, packed] => {
                let form =
                    || Unread(format!("the host names an index in another form: {}", parts::line(suite)));
                if !is_inside(suite) || !is_inside(path) {
                    return Err(form());
                }
                captured.indexes.push(SentIndex {
                    suite: (*suite).to_owned(),
                    path: (*path).to_owned(),
                    in_release: in_release.parse().map_err(|_| form())?,
                    packed: packed.parse().map_err(|_| form())?,
                });
            }
            ["unsigned", suite, path] => captured.unsigned.push(parts::line(&format!("{suite} {path}"))),
            ["missing", name, version] => captured.missing.push(parts::line(&format!("{name} {version}"))),
            _ => captured.rest.extend_from_slice(line),
        }
    }
    Ok(captured)
}

/// A piece of a package on its way to a host.
#[derive(Debug, Clone, Copy)]
pub struct Piece<'b> {
    /// Of which package.
    pub digest: &'b Digest,
    /// Bytes of the whole.
    pub size: u64,
    /// Where the piece begins.
    pub offset: u64,
    /// The piece.
    pub bytes: &'b [u8],
}

/// Carries `pieces` to a host.
pub fn send(nonce: &Nonce, release: &ReleaseId, pieces: &[Piece<'_>]) -> Script {
    use base64::Engine as _;
    let mut script = begin(nonce, release).text(include_str!("host/carry.sh"));
    for piece in pieces {
        let text = base64::engine::general_purpose::STANDARD.encode(piece.bytes);
        let args = [Arg::from(piece.digest), piece.size.into(), piece.offset.into(), Arg::lossy(text)];
        script = script.call("palisade_take", args);
    }
    script.text("palisade_reply \"carried $palisade_release\"")
}

/// What one exec lets a host download: a few MiB, or one package, so that each is done in minutes over a slow line.
pub fn portions(packages: &[(Digest, u64)]) -> Vec<Vec<(&Digest, u64)>> {
    let mut portions: Vec<Vec<(&Digest, u64)>> = Vec::new();
    let mut filled = 0;
    for (digest, size) in packages {
        filled += size;
        match portions.last_mut() {
            Some(last) if filled <= FETCHED_AT_ONCE && last.len() < 16 => last.push((digest, *size)),
            _ => {
                filled = *size;
                portions.push(vec![(digest, *size)]);
            }
        }
    }
    portions
}

/// Lets a host download packages, each with its size, from where the inventory says that they are published.
pub fn fetch(nonce: &Nonce, release: &ReleaseId, mirror: &Url, packages: &[(&Digest, u64)]) -> Script {
    let folder = format!("{}/{release}/pool", mirror.as_str().trim_end_matches('/'));
    let wanted = packages.iter().flat_map(|(digest, size)| [Arg::from(*digest), (*size).into()]);
    begin(nonce, release)
        .text(include_str!("host/fetch.sh"))
        .call("palisade_fetch", std::iter::once(Arg::lossy(folder)).chain(wanted))
}

/// The file of a release as it was signed.
#[derive(Debug, Clone)]
pub struct SignedFile {
    /// Its name.
    pub id: ReleaseId,
    /// Of its file.
    pub digest: Digest,
    /// Its text.
    pub text: String,
    /// The armoured signature.
    pub signature: String,
}

/// Lets the host's apt say what it would install from `needed` alone.
pub fn prepare(
    nonce: &Nonce,
    release: &SignedFile,
    set: &Set,
    needed: &BTreeMap<&PackageName, &Package>,
) -> Script {
    let wanted = needed.iter().map(|(name, package)| {
        let Package { version, architecture, sha256, size, vouched, .. } = package;
        let (number, path) = match vouched {
            Some(Vouched::Archive { number, path }) => (number.to_string(), path.as_str()),
            Some(Vouched::Local { .. }) | None => ("local".to_owned(), "-"),
        };
        format!("{name} {version} {architecture} {sha256} {size} {number} {path}\n")
    });
    let archives = signing_archives(set, needed).map(|(number, archive)| {
        let Archive { suite, in_release, indexes, .. } = archive;
        let index =
            |index: &Index| format!("index {number} {suite} {} {}\n", index.packed.sha256, index.path);
        let indexes: String = indexes.iter().map(index).collect();
        format!("archive {number} {suite} {}\n{indexes}", in_release.sha256)
    });
    begin(nonce, &release.id)
        .set("palisade_file", Arg::lossy(release.text.clone()))
        .set("palisade_signature", Arg::lossy(release.signature.clone()))
        .set("palisade_wanted", Arg::lossy(wanted.collect::<String>()))
        .set("palisade_archives", Arg::lossy(archives.collect::<String>()))
        .set("palisade_trust_question", Arg::lossy(include_str!("host/trust.pl")))
        .text(include_str!("host/prepare.sh"))
        .call("palisade_prepare", [Arg::from(&release.digest)])
}

/// Why a host is not installed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotApproved {
    /// Its apt would do something else than the release says, or there is no room.
    Refused(String),
    /// What it would do is not known.
    Unread(String),
}

impl From<Unread> for NotApproved {
    fn from(unread: Unread) -> Self {
        Self::Unread(unread.to_string())
    }
}

/// What the host's apt may do: exactly what the release says of it, judged by the answer to [`prepare`].
pub fn approve(
    set: &Set,
    needed: &BTreeMap<&PackageName, &Package>,
    standing: &Standing,
    output: &Output,
) -> Result<Approved, NotApproved> {
    let frame = Frame {
        label: "prepared".to_owned(),
        status: 0,
        stdout: output.stdout.clone(),
        stderr: output.stderr.clone(),
        cut: false,
    };
    let refused = |why: String| Err(NotApproved::Refused(why));
    let error = |part: &parts::Part| {
        let said = String::from_utf8_lossy(&frame.stderr);
        let line = part.lines().chain(said.lines()).find(|line| line.starts_with("E:")).map(parts::line);
        line.unwrap_or_else(|| format!("exit {}", part.status))
    };
    let indexed = parts::part(&frame, "indexed")?;
    if indexed.status != 0 {
        return Err(NotApproved::Unread(format!("apt cannot read what was carried: {}", error(&indexed))));
    }
    let simulated = parts::part(&frame, "simulated")?;
    if simulated.status != 0 {
        return refused(format!("apt cannot upgrade it, and first wants repair: {}", error(&simulated)));
    }
    if let Some(line) = simulated.lines().find(|line| line.starts_with("Remv ")) {
        return refused(format!("apt would remove a package, which no release does: {}", parts::line(line)));
    }
    let mut packages = BTreeMap::new();
    for line in simulated.lines().filter_map(|line| line.strip_prefix("Inst ")) {
        let (name, version) = installs(line)?;
        match set.packages.get(&name) {
            Some(package) if package.version == version => {}
            Some(package) => {
                return refused(format!(
                    "apt would install {name} {version}, and the release holds {}",
                    package.version
                ));
            }
            None => {
                return refused(format!(
                    "apt would install {name} {version}, which the release does not hold"
                ));
            }
        }
        packages.insert(name, version);
    }
    if counted(&simulated.text) != Some(packages.len()) {
        return Err(NotApproved::Unread("apt did not say as many packages as it counts".to_owned()));
    }
    let back = kept_back(&simulated.text);
    let mut newer = BTreeSet::new();
    let (mut growth, mut largest) = (0_i64, 0_i64);
    let mut judged = 0;
    for line in looked(&parts::succeeded(&frame, "compared")?)? {
        let form = || Unread(format!("the host compares versions in another form: {}", parts::line(&line)));
        let words: Vec<&str> = line.split(' ').collect();
        let [name, how, there, new, old] = words.as_slice() else { return Err(form().into()) };
        let name: PackageName = name.parse().map_err(|_| form())?;
        let (new, old): (i64, i64) = (new.parse().map_err(|_| form())?, old.parse().map_err(|_| form())?);
        judged += 1;
        match *how {
            "older" if !packages.contains_key(&name) => {
                let why = if back.iter().any(|kept| *kept == name.as_str()) {
                    "others would have to go, or it is pinned"
                } else {
                    "it is pinned, or its dependencies are not met"
                };
                return refused(format!("apt keeps {name} {} back: {why}", parts::line(there)));
            }
            "newer" => drop(newer.insert(name)),
            "older" | "same" | "absent" => {
                if packages.contains_key(&name) {
                    growth = growth.saturating_add(new.saturating_sub(old));
                    largest = largest.max(new);
                }
            }
            _ => return Err(form().into()),
        }
    }
    if judged != needed.len() {
        return Err(NotApproved::Unread("the host did not compare every version".to_owned()));
    }
    let wanted =
        growth.max(0).saturating_add(largest).saturating_add(i64::try_from(MARGIN >> 10).unwrap_or(0));
    let free = looked(&parts::succeeded(&frame, "free")?)?;
    let least = free.iter().skip(1).filter_map(|line| line.trim().parse::<i64>().ok()).take(3).min();
    match least {
        None => return Err(NotApproved::Unread("the host does not say how much space is free".to_owned())),
        Some(least) if !packages.is_empty() && least < wanted => {
            let (least, wanted) = (least >> 10, wanted >> 10);
            return refused(format!("/, /usr or /var has {least} MiB free, and the packages want {wanted}"));
        }
        Some(_) => {}
    }
    let held = set.packages.keys().filter(|name| standing.held.contains(*name)).cloned();
    let held = held.filter(|name| standing.packages.contains_key(name)).collect();
    Ok(Approved { packages, held, newer })
}

/// `perl [5.36.0-7] (5.36.0-8 palisade:release [amd64]) []`, without `Inst`.
fn installs(line: &str) -> Reading<(PackageName, PackageVersion)> {
    let form = || Unread(format!("apt wrote a line of another form: {}", parts::line(line)));
    let (word, rest) = line.split_once(' ').ok_or_else(form)?;
    let name = named(word)?;
    let rest = match rest.strip_prefix('[') {
        Some(bracketed) => bracketed.split_once("] ").ok_or_else(form)?.1,
        None => rest,
    };
    let (version, _) = rest.strip_prefix('(').and_then(|rest| rest.split_once(' ')).ok_or_else(form)?;
    Ok((name, version.parse().map_err(|_| form())?))
}
