//! What all hosts of a distribution stand on: a root made once by mmdebstrap, and the packages that hosts may
//! install, fetched once through this machine's own apt and mirror. Both are kept under a key that is made of the
//! whole recipe, so that a changed recipe makes a new base and never touches the old one.
//!
//! Hosts see the packages as a folder mounted read-only, through `deb file:`. The alternative, HTTP on the bridge,
//! would need a server that lives as long as the lab, and an address of the control node on the private network,
//! where it must have none. apt and dpkg do the same work either way.

use std::fmt::Write as _;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::error::LabError;
use super::event::{LabEvent, Sink};
use super::invocation::Invocation;
use super::machine;
use super::spec::{Shape, Suite};
use super::tree::remove_tree;
use crate::domain::Digest;
use crate::program::Program;

/// What a provider's image has, and what proofs from one host to another need (nc, ssh). Not netbase, python3, nft
/// or fail2ban: hosts shall lack them.
const INCLUDED: [&str; 10] = [
    "systemd",
    "systemd-sysv",
    "dbus",
    "libpam-systemd",
    "openssh-server",
    "openssh-client",
    "sudo",
    "iproute2",
    "netcat-openbsd",
    "procps",
];

/// What hosts may install; their dependencies come with them.
pub const PACKAGES: [&str; 3] = ["nftables", "fail2ban", "python3-systemd"];

const DELIVER: &str = include_str!("deliver.sh");

const STOCK: &str = include_str!("stock.sh");

/// Where the archive is when this machine's own apt knows of none.
const DEFAULT_MIRROR: &str = "http://deb.debian.org/debian";

const DEFAULT_SECURITY: &str = "http://deb.debian.org/debian-security";

/// A base that is there.
#[derive(Debug, Clone)]
pub(super) struct Base {
    /// Its folder's name.
    pub(super) key: String,
    folder: PathBuf,
}

impl Base {
    /// The base called `key` below `bases`.
    pub(super) fn at(bases: &Path, key: &str) -> Self {
        Self { key: key.to_owned(), folder: bases.join(key) }
    }

    /// What it is made of: what `disks` of machines are named by, and the folders below.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The lower layer of containers.
    pub(super) fn root(&self) -> PathBuf {
        self.folder.join("root")
    }

    /// The repository.
    pub(super) fn packages(&self) -> PathBuf {
        self.folder.join("packages")
    }

    /// The base of `suite`: the one that is there, or a new one. Of several processes that need it, one builds it.
    pub(super) fn ensure(bases: &Path, suite: Suite, shape: Shape, sink: Sink) -> Result<Self, LabError> {
        let recipe = Recipe::of_this_machine(suite, shape)?;
        Self::made(bases, &recipe.key(), &LabEvent::Waiting(suite), sink, |folder| match shape {
            Shape::Stocked => {
                stock(folder, &Self::ensure(bases, suite, Shape::Container, sink)?, suite, sink)
            }
            Shape::Container | Shape::Machine => recipe.build(folder, sink),
        })
    }

    /// The base of `suite`, where somebody made it already.
    pub(super) fn there(bases: &Path, suite: Suite, shape: Shape) -> Result<Option<Self>, LabError> {
        let base = Self::at(bases, &Recipe::of_this_machine(suite, shape)?.key());
        Ok(Some(base).filter(|base| base.folder.is_dir()))
    }

    /// The programs that machines run under: a root of their own, so that this machine's packages stay as they are.
    pub(super) fn tools(bases: &Path, sink: Sink) -> Result<Self, LabError> {
        let recipe = Recipe::of_this_machine(machine::TOOLS_SUITE, Shape::Machine)?;
        let waiting = LabEvent::Waiting(machine::TOOLS_SUITE);
        Self::made(bases, &machine::tools_key(), &waiting, sink, |folder| {
            sink(&LabEvent::BuildingTools);
            recipe.bootstrap(&folder.join("root"), &machine::TOOLS, sink)
        })
    }

    /// A root with what Debian calls essential, and apt: as bare as a machine can be that installs packages.
    pub(super) fn bare(bases: &Path, suite: Suite, sink: Sink) -> Result<Self, LabError> {
        let recipe = Recipe::of_this_machine(suite, Shape::Container)?;
        let key = format!("bare-{}-{}", suite.codename(), recipe.architecture);
        Self::made(bases, &key, &LabEvent::Waiting(suite), sink, |folder| {
            sink(&LabEvent::Building(suite));
            recipe.bootstrap(&folder.join("root"), recipe.merged(), sink)
        })
    }

    #[expect(clippy::disallowed_methods, reason = "the lab's own folder")]
    fn made(
        bases: &Path,
        key: &str,
        waiting: &LabEvent,
        sink: Sink,
        build: impl FnOnce(&Path) -> Result<(), LabError>,
    ) -> Result<Self, LabError> {
        let base = Self::at(bases, key);
        let lock_path = lock_path(bases, &base.key);
        let lock = File::create(&lock_path).map_err(LabError::file("make", &lock_path))?;
        if !base.folder.is_dir() && lock.try_lock().is_err() {
            sink(waiting);
            lock.lock().map_err(LabError::file("lock", &lock_path))?;
        }
        if !base.folder.is_dir() {
            let unfinished = bases.join(format!("{}.unfinished", base.key));
            remove_tree(&unfinished)?;
            std::fs::create_dir_all(&unfinished).map_err(LabError::file("make", &unfinished))?;
            build(&unfinished)?;
            std::fs::rename(&unfinished, &base.folder)
                .map_err(LabError::file("rename into place", &base.folder))?;
        }
        Ok(base)
    }

    /// Further packages for hosts of this base, with all that they depend on: a folder of them, fetched once.
    #[expect(clippy::disallowed_methods, reason = "the lab's own folder")]
    pub(super) fn more(
        &self,
        bases: &Path,
        suite: Suite,
        packages: &[&str],
        sink: Sink,
    ) -> Result<PathBuf, LabError> {
        let digest = Digest::of(packages.join(" ").as_bytes());
        let name = format!("more-{}", digest.as_str().get(..12).unwrap_or_default());
        let folder = self.folder.join(&name);
        let lock_path = lock_path(bases, &self.key);
        let lock = File::create(&lock_path).map_err(LabError::file("make", &lock_path))?;
        lock.lock().map_err(LabError::file("lock", &lock_path))?;
        if !folder.is_dir() {
            sink(&LabEvent::Fetching(suite));
            let unfinished = self.folder.join(format!("{name}.unfinished"));
            remove_tree(&unfinished)?;
            std::fs::create_dir_all(&unfinished).map_err(LabError::file("make", &unfinished))?;
            Recipe::of_this_machine(suite, Shape::Container)?.fetch(
                &unfinished,
                &self.root(),
                packages,
                sink,
            )?;
            std::fs::rename(unfinished.join("packages"), &folder)
                .map_err(LabError::file("rename into place", &folder))?;
            remove_tree(&unfinished)?;
        }
        Ok(folder)
    }

    /// Removes the bases below `bases` that are not `in_use` and that nobody asked for in [`UNUSED`].
    #[expect(clippy::disallowed_methods, reason = "the lab's own folder, and its age")]
    pub(super) fn prune(bases: &Path, in_use: &[String]) -> Result<(), LabError> {
        for entry in std::fs::read_dir(bases).into_iter().flatten().map_while(Result::ok) {
            let key = entry.file_name().to_string_lossy().into_owned();
            if key.strip_suffix(".lock").is_some() || in_use.contains(&key) {
                continue;
            }
            // the lock is made anew by everyone who asks for the base
            let lock = lock_path(bases, key.trim_end_matches(".unfinished"));
            let asked = std::fs::metadata(&lock).and_then(|metadata| metadata.modified());
            let unused = asked.is_ok_and(|asked| asked.elapsed().is_ok_and(|since| since > UNUSED));
            if unused {
                remove_tree(&entry.path())?;
            }
        }
        Ok(())
    }
}

/// A month: long enough for those who come back, short enough for a disk.
const UNUSED: Duration = Duration::from_hours(24 * 30);

fn lock_path(bases: &Path, key: &str) -> PathBuf {
    bases.join(format!("{key}.lock"))
}

/// Makes the base of `suite` in `folder` whose hosts have the packages of `plain` installed.
fn stock(folder: &Path, plain: &Base, suite: Suite, sink: Sink) -> Result<(), LabError> {
    sink(&LabEvent::Stocking(suite));
    let copy = |options: &[&str], from: PathBuf, to: PathBuf| {
        Invocation::of(Program::Cp).args(options).arg(from).arg(to).run().map(drop)
    };
    let (root, packages) = (folder.join("root"), folder.join("packages"));
    copy(&["--archive", "--reflink=auto"], plain.root(), root.clone())?;
    copy(&["--archive", "--link"], plain.packages(), packages.clone())?;
    copy(&["--archive", "--link"], packages, root.join("srv/packages"))?;
    Invocation::of(Program::Chroot)
        .arg(&root)
        .args(["/bin/sh", "-s", "--"])
        .args(PACKAGES)
        .input(STOCK)
        .run()
        .map(drop)
}

/// Everything that decides what a base is.
struct Recipe {
    suite: Suite,
    shape: Shape,
    architecture: String,
    mirror: String,
    /// Where security updates come from.
    security: String,
    proxies: Vec<String>,
}

impl Recipe {
    fn of_this_machine(suite: Suite, shape: Shape) -> Result<Self, LabError> {
        let targets = Invocation::of(Program::AptGet)
            .args(["indextargets", "--format", "$(ORIGIN)|$(LABEL)|$(REPO_URI)", "Created-By: Packages"])
            .run()?;
        let proxies = Invocation::of(Program::AptConfig)
            .args(["dump", "--no-empty", "--format", "%F \"%v\";%n"])
            .run()?;
        Ok(Self {
            suite,
            shape,
            architecture: Invocation::of(Program::Dpkg).arg("--print-architecture").run()?.trim().to_owned(),
            mirror: parse_mirror(&targets, "Debian").unwrap_or(DEFAULT_MIRROR).to_owned(),
            security: parse_mirror(&targets, "Debian-Security").unwrap_or(DEFAULT_SECURITY).to_owned(),
            proxies: parse_proxies(&proxies),
        })
    }

    /// Without the mirror and the proxies: they decide from where, not what.
    fn key(&self) -> String {
        let mut recipe = format!("{INCLUDED:?}{PACKAGES:?}{DELIVER}{MINIMAL:?}{:?}", self.merged());
        let shape = match self.shape {
            Shape::Container => "",
            Shape::Stocked => {
                recipe.push_str(STOCK);
                "-stocked"
            }
            Shape::Machine => {
                recipe.push_str(&machine::recipe());
                "-machine"
            }
        };
        let digest = Digest::of(recipe.as_bytes());
        let short = digest.as_str().get(..12).unwrap_or_default();
        format!("{}-{}{shape}-{short}", self.suite.codename(), self.architecture)
    }

    /// Debian 12 would take the larger of two ways to a merged /usr.
    fn merged(&self) -> &'static [&'static str] {
        match self.suite {
            Suite::Bookworm => &["usr-is-merged"],
            Suite::Trixie => &[],
        }
    }

    fn build(&self, folder: &Path, sink: Sink) -> Result<(), LabError> {
        sink(&LabEvent::Building(self.suite));
        let root = folder.join("root");
        let more: &[&str] = if self.shape == Shape::Machine { &machine::INCLUDED } else { &[] };
        let include: Vec<&str> = INCLUDED.iter().chain(self.merged()).chain(more).copied().collect();
        self.bootstrap(&root, &include, sink)?;
        Invocation::of(Program::Chroot).arg(&root).args(["/bin/sh", "-s"]).input(DELIVER).run()?;
        sink(&LabEvent::Fetching(self.suite));
        let mut wanted = PACKAGES.to_vec();
        if self.shape == Shape::Machine {
            wanted.extend(machine::PACKAGES);
        }
        self.fetch(folder, &root, &wanted, sink)?;
        if self.shape == Shape::Machine {
            machine::make_disks(folder, &root)?;
        }
        Ok(())
    }

    fn bootstrap(&self, root: &Path, include: &[&str], sink: Sink) -> Result<(), LabError> {
        Invocation::of(Program::Mmdebstrap)
            .args(["--mode=root", "--variant=minbase", "--format=directory"])
            .arg(format!("--architectures={}", self.architecture))
            .arg(format!("--keyring={}", Program::ArchiveKeyring.name()))
            .arg(format!("--include={}", include.join(",")))
            .args(self.proxies.iter().map(|proxy| format!("--aptopt={proxy}")))
            .args(MINIMAL.map(|option| format!("--dpkgopt={option}")))
            .arg(self.suite.codename())
            .arg(root)
            .arg(&self.mirror)
            .run_aloud(sink)
    }

    /// Resolves `wanted` against what the root has, with a private apt whose only state is in `folder`.
    #[expect(clippy::disallowed_methods, reason = "the lab's own folder")]
    fn fetch(&self, folder: &Path, root: &Path, wanted: &[&str], sink: Sink) -> Result<(), LabError> {
        let private = folder.join("apt");
        let packages = folder.join("packages");
        for below in ["etc/apt/preferences.d", "var/lib/apt/lists/partial", "var/cache/apt/archives/partial"]
        {
            let path = private.join(below);
            std::fs::create_dir_all(&path).map_err(LabError::file("make", &path))?;
        }
        let sources = private.join("etc/apt/sources.list");
        let (suite, keyring) = (self.suite.codename(), Program::ArchiveKeyring.name());
        let mut archives = format!("deb [signed-by={keyring}] {} {suite} main\n", self.mirror);
        if self.shape == Shape::Machine {
            let security = &self.security;
            let _ = writeln!(archives, "deb [signed-by={keyring}] {security} {suite}-security main");
        }
        std::fs::write(&sources, archives).map_err(LabError::file("write", &sources))?;
        let apt = || {
            Invocation::of(Program::AptGet)
                .args(["-q", "-o"])
                .arg(format!("Dir={}", private.display()))
                .arg("-o")
                .arg(format!("Dir::State::status={}/var/lib/dpkg/status", root.display()))
                .arg("-o")
                .arg(format!("APT::Architecture={}", self.architecture))
                .args([
                    "-o",
                    "APT::Architectures=",
                    "-o",
                    "APT::Sandbox::User=root",
                    "-o",
                    "APT::Default-Release=",
                ])
                .args(["-o", "Debug::NoLocking=true", "-o", "Acquire::Languages=none"])
        };
        apt().arg("update").run_aloud(sink)?;
        apt()
            .args(["install", "-y", "--download-only", "--no-install-recommends"])
            .args(wanted)
            .run_aloud(sink)?;
        let archives = private.join("var/cache/apt/archives");
        remove_tree(&archives.join("partial"))?;
        std::fs::rename(&archives, &packages).map_err(LabError::file("rename into place", &packages))?;
        let ftparchive =
            |what: &str| Invocation::of(Program::AptFtparchive).args([what, "."]).within(&packages).run();
        for (file, what) in [("Packages", "packages"), ("Release", "release")] {
            let path = packages.join(file);
            std::fs::write(&path, ftparchive(what)?).map_err(LabError::file("write", &path))?;
        }
        Invocation::of(Program::Chmod).args(["-R", "u=rwX,go=rX"]).arg(&packages).run()?;
        remove_tree(&private)
    }
}

/// Nobody reads documentation in a throwaway host, and nobody minds if its disk is behind when the machine fails.
const MINIMAL: [&str; 4] = [
    "path-exclude=/usr/share/doc/*",
    "path-exclude=/usr/share/man/*",
    "path-exclude=/usr/share/locale/*",
    "force-unsafe-io",
];

/// The archive of Debian's with this label, as this machine's apt knows it.
fn parse_mirror<'a>(targets: &'a str, label: &str) -> Option<&'a str> {
    targets.lines().find_map(|line| {
        let uri = line.strip_prefix("Debian|")?.strip_prefix(label)?.strip_prefix('|')?;
        Some(uri.trim_end_matches('/'))
    })
}

/// The lines of apt's configuration that name a proxy.
fn parse_proxies(configuration: &str) -> Vec<String> {
    configuration
        .lines()
        .filter(|line| {
            let name = line.split_whitespace().next().unwrap_or_default().to_ascii_lowercase();
            name.starts_with("acquire::http") && name.contains("proxy")
        })
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_methods, reason = "tests make folders")]

    use super::*;

    #[test]
    fn bases_that_nobody_asks_for_go_unless_a_lab_stands_on_them() {
        let folder = tempfile::tempdir().expect("a folder");
        let bases = folder.path();
        let long_ago = std::time::SystemTime::UNIX_EPOCH;
        for (key, asked) in
            [("used", Some(long_ago)), ("old", Some(long_ago)), ("new", None), ("alien", None)]
        {
            std::fs::create_dir(bases.join(key)).expect("made");
            if key != "alien" {
                let lock = File::create(lock_path(bases, key)).expect("made");
                if let Some(asked) = asked {
                    lock.set_modified(asked).expect("aged");
                }
            }
        }
        std::fs::create_dir(bases.join("old.unfinished")).expect("made");
        Base::prune(bases, &["used".to_owned()]).expect("pruned");
        let there = |key: &str| bases.join(key).is_dir();
        assert!(there("used") && there("new") && there("alien"));
        assert!(!there("old") && !there("old.unfinished"));
    }

    #[test]
    fn the_mirror_is_the_machines_own_and_not_the_security_archive() {
        let targets =
            "Debian|Debian-Security|http://a/debian-security/\nDebian|Debian|http://b/debian/\n||http://c/";
        assert_eq!(parse_mirror(targets, "Debian"), Some("http://b/debian"));
        assert_eq!(parse_mirror(targets, "Debian-Security"), Some("http://a/debian-security"));
        assert_eq!(parse_mirror("Ubuntu|Ubuntu|http://u/ubuntu/\n", "Debian"), None);
    }

    #[test]
    fn proxies_are_handed_on() {
        let configuration = "APT::Architecture \"amd64\";\nAcquire::http::Proxy \"http://p:3142\";\n\
                             Acquire::https::Proxy::example.com \"DIRECT\";\n";
        assert_eq!(parse_proxies(configuration).len(), 2);
    }

    #[test]
    fn a_base_is_called_after_its_whole_recipe() {
        let recipe = |suite, mirror: &str| Recipe {
            suite,
            shape: Shape::Container,
            architecture: "amd64".to_owned(),
            mirror: mirror.to_owned(),
            security: String::new(),
            proxies: Vec::new(),
        };
        let key = recipe(Suite::Bookworm, "http://a").key();
        assert!(key.starts_with("bookworm-amd64-") && key.len() == "bookworm-amd64-".len() + 12);
        assert_eq!(key, recipe(Suite::Bookworm, "http://b").key());
        assert_ne!(key, recipe(Suite::Trixie, "http://a").key());
    }
}
