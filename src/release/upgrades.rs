//! What a host's own apt would upgrade, by indexes that are fetched now and into a folder of its own: the host's apt, its
//! indexes and its packages stay as they are. The answer is read here, and anything that it does not say is an error.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::domain::{Architecture, Digest, PackageName, PackageVersion, UnitName};
use crate::kinds::updates::PROCESSES;
use crate::resource::{Reading, Unread, parts};
use crate::shell::{Frame, Question, Script};
use crate::text::visible;

/// What a host's apt would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Upgrades {
    /// Of the host.
    pub architecture: Architecture,
    /// In apt's order.
    pub packages: Vec<Upgrade>,
    /// Packages that somebody holds.
    pub held: BTreeSet<PackageName>,
    /// Packages with a newer version that apt does not install, held ones left out: others would have to go for it.
    pub kept_back: BTreeSet<PackageName>,
    /// Services whose processes run files of packages that are replaced.
    pub services: BTreeSet<UnitName>,
}

/// One package that would be installed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Upgrade {
    /// The package.
    pub name: PackageName,
    /// What it replaces; none where it is new on the host.
    pub from: Option<PackageVersion>,
    /// What is installed.
    pub version: PackageVersion,
    /// What its file was built for.
    pub architecture: Architecture,
    /// Where apt has it from: `Debian-Security:12/oldstable-security`.
    pub origin: String,
    /// Bytes of its file.
    pub size: u32,
    /// Of its file, as the signed index says.
    pub sha256: Digest,
}

/// Asks for [`Upgrades`]. It takes as long as it takes to fetch the indexes: seconds, or minutes over a slow line.
pub fn question() -> Question {
    let body = Script::new()
        .text(parts::PART)
        .text(PROCESSES)
        .text(include_str!("apt.sh"))
        .text(include_str!("upgrades.sh"));
    Question { label: "upgrades", body: body.into(), seconds: 300, cap: 4 << 20 }
}

/// The answer.
pub fn read(frame: &Frame) -> Reading<Upgrades> {
    let unread = |why: String| Unread(why);
    let fetched = parts::part(frame, "fetched")?;
    if fetched.status != 0 {
        let said = String::from_utf8_lossy(&frame.stderr);
        let error = said.lines().chain(fetched.lines()).find(|line| line.starts_with("E:"));
        let error = error.map_or_else(|| "it does not say why".to_owned(), parts::line);
        return Err(Unread(format!("apt could not fetch its indexes: {error}")));
    }
    let architecture = parts::succeeded(frame, "architecture")?.text.trim().parse::<Architecture>();
    let architecture = architecture.map_err(|error| unread(error.why))?;
    let simulated = parts::part(frame, "simulated")?;
    if simulated.status != 0 {
        let said = String::from_utf8_lossy(&frame.stderr);
        let error = said.lines().find(|line| line.starts_with("E:")).map(parts::line);
        let error = error.unwrap_or_else(|| format!("exit {}", simulated.status));
        return Err(Unread(format!("apt cannot upgrade it, and first wants repair: {error}")));
    }
    if let Some(line) = simulated.lines().find(|line| line.starts_with("Remv ")) {
        return Err(Unread(format!(
            "apt would remove a package, which no release does: {}",
            parts::line(line)
        )));
    }
    let shown = files(&looked(&parts::succeeded(frame, "shown")?)?)?;
    let packages = simulated
        .lines()
        .filter_map(|line| line.strip_prefix("Inst "))
        .map(|line| upgrade(line, &shown))
        .collect::<Reading<Vec<_>>>()?;
    if counted(&simulated.text) != Some(packages.len()) {
        return Err(Unread("apt did not say as many packages as it counts".to_owned()));
    }
    let held: BTreeSet<PackageName> =
        parts::succeeded(frame, "held")?.lines().map(named).collect::<Reading<_>>()?;
    let mut kept_back: BTreeSet<PackageName> =
        kept_back(&simulated.text).into_iter().map(|word| named(&word)).collect::<Reading<_>>()?;
    kept_back.retain(|package| !held.contains(package));
    let services = looked(&parts::succeeded(frame, "running")?)?
        .iter()
        .map(|line| {
            line.parse::<UnitName>().map_err(|error| unread(format!("{}: {}", parts::line(line), error.why)))
        })
        .collect::<Reading<_>>()?;
    Ok(Upgrades { architecture, packages, held, kept_back, services })
}

/// The lines of a part that ends by saying that it looked.
pub(super) fn looked(part: &parts::Part) -> Reading<Vec<String>> {
    let mut lines: Vec<String> = part.lines().map(str::to_owned).collect();
    if lines.pop().as_deref() == Some("looked") {
        Ok(lines)
    } else {
        Err(Unread("the host's answer ends early".to_owned()))
    }
}

pub(super) fn named(word: &str) -> Reading<PackageName> {
    if word.contains(':') {
        return Err(Unread(format!(
            "{} is of another architecture than the host, and a release holds none such",
            visible(word)
        )));
    }
    word.parse().map_err(|_| Unread(format!("apt names a package in another form: {}", parts::line(word))))
}

/// `perl [5.36.0-7] (5.36.0-8 Debian-Security:12/oldstable-security [amd64]) []`, without `Inst`.
fn upgrade(line: &str, files: &BTreeMap<(PackageName, PackageVersion), File>) -> Reading<Upgrade> {
    let form = || Unread(format!("apt wrote a line of another form: {}", parts::line(line)));
    let (word, rest) = line.split_once(' ').ok_or_else(form)?;
    let name = named(word)?;
    let (from, rest) = match rest.strip_prefix('[') {
        Some(bracketed) => {
            let (old, rest) = bracketed.split_once("] ").ok_or_else(form)?;
            (Some(old.parse().map_err(|_| form())?), rest)
        }
        None => (None, rest),
    };
    let (version, rest) = rest.strip_prefix('(').and_then(|rest| rest.split_once(' ')).ok_or_else(form)?;
    let (origin, _) = rest.split_once(" [").ok_or_else(form)?;
    let version: PackageVersion = version.parse().map_err(|_| form())?;
    let file = files
        .get(&(name.clone(), version.clone()))
        .ok_or_else(|| Unread(format!("apt does not say the size and SHA-256 of {name} {version}")))?;
    Ok(Upgrade {
        name,
        from,
        version,
        architecture: file.architecture.clone(),
        origin: visible(origin),
        size: file.size,
        sha256: file.sha256.clone(),
    })
}

/// What an index says of a package's file.
#[derive(Debug, Clone, PartialEq, Eq)]
struct File {
    architecture: Architecture,
    size: u32,
    sha256: Digest,
}

fn files(lines: &[String]) -> Reading<BTreeMap<(PackageName, PackageVersion), File>> {
    let mut files: BTreeMap<(PackageName, PackageVersion), File> = BTreeMap::new();
    for record in lines.split(|line| line == "end").filter(|record| !record.is_empty()) {
        let form = || {
            Unread(format!("apt-cache wrote a record of another form: {}", parts::line(&record.join(" "))))
        };
        let field = |name: &str| {
            let mut values = record.iter().filter_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
            values.next().filter(|_| values.next().is_none())
        };
        let key = (
            field("Package").and_then(|text| text.parse().ok()).ok_or_else(form)?,
            field("Version").and_then(|text| text.parse().ok()).ok_or_else(form)?,
        );
        // What is installed has a record without a file.
        let Some(digest) = field("SHA256") else { continue };
        let file = File {
            architecture: field("Architecture").and_then(|text| text.parse().ok()).ok_or_else(form)?,
            size: field("Size").and_then(|text| text.parse().ok()).ok_or_else(form)?,
            sha256: digest.parse().map_err(|_| form())?,
        };
        if let Some(other) = files.get(&key)
            && *other != file
        {
            return Err(Unread(format!("two sources have different files called {} {}", key.0, key.1)));
        }
        files.insert(key, file);
    }
    Ok(files)
}

/// How many packages apt says that it installs: `3 upgraded, 1 newly installed, 0 to remove and 2 not upgraded.`
pub(super) fn counted(text: &str) -> Option<usize> {
    let line =
        text.lines().find(|line| line.contains(" upgraded, ") && line.contains(" newly installed, "))?;
    let number =
        |before: &str| line.split(", ").find_map(|part| part.strip_suffix(before)?.parse::<usize>().ok());
    number(" upgraded")?.checked_add(number(" newly installed")?)
}

/// The names below apt's heading.
pub(super) fn kept_back(text: &str) -> Vec<String> {
    let lines =
        text.lines().skip_while(|line| *line != "The following packages have been kept back:").skip(1);
    lines
        .take_while(|line| line.starts_with("  "))
        .flat_map(|line| line.split_whitespace().map(str::to_owned))
        .collect()
}
