//! An archive of the lab's own, signed as Debian's is, in two parts: `main` and `security`. What is published is the whole of
//! it: a version that is not published again is gone, as on a mirror that moves on. Its packages are small, and made here;
//! hosts see it as a folder below /srv, and trust its key once they are told to.

use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::Lab;
use super::base::Base;
use super::error::LabError;
use super::invocation::Invocation;
use super::tree::remove_tree;
use crate::domain::Digest;
use crate::program::Program;

/// A part of the archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// As Debian's own.
    Main,
    /// As Debian's for security.
    Security,
}

impl Part {
    fn name(self) -> &'static str {
        match self {
            Self::Main => "main",
            Self::Security => "security",
        }
    }

    fn suite(self) -> &'static str {
        match self {
            Self::Main => "stable",
            Self::Security => "stable-security",
        }
    }
}

/// A file of a package.
#[derive(Debug, Clone, Copy)]
pub enum Content<'a> {
    /// This text.
    Text(&'a str),
    /// The same, and dpkg asks before it overwrites what somebody changed (dpkg(1), conffiles).
    Configuration(&'a str),
    /// A program that runs until it is told to end: the host's own sleep(1) under another name.
    Program,
}

/// A package that is made here, for hosts of every distribution.
#[derive(Debug, Clone, Copy)]
pub struct Made<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its version.
    pub version: &'a str,
    /// Where it is published.
    pub part: Part,
    /// Further lines of its control file, such as `Depends: other`.
    pub control: &'a str,
    /// Its files, by their absolute paths.
    pub files: &'a [(&'a str, Content<'a>)],
    /// Shell text that dpkg runs once it is configured; empty for none.
    pub postinst: &'a str,
}

/// The same bytes wherever and whenever a package is built.
const BUILT: &str = "1700000000";

/// Tells apt on a host of the archive.
pub const SOURCES: &str = "cat >/etc/apt/sources.list.d/lab.list <<'END'
deb [signed-by=/srv/lab/key.gpg] file:/srv/lab/main ./
deb [signed-by=/srv/lab/key.gpg] file:/srv/lab/security ./
END";

/// The archive's folder within a lab's.
pub(super) const FOLDER: &str = "archive";

impl Lab {
    /// Makes `packages` the whole of the archive. Hosts see it at once; what their apt fetched before stays with them.
    #[expect(clippy::disallowed_methods, reason = "the lab's own folder")]
    pub fn publish(&self, packages: &[Made<'_>]) -> Result<(), LabError> {
        let archive = self.folder().join(FOLDER);
        let keys = self.folder().join("gnupg");
        if !keys.exists() {
            std::fs::create_dir(&keys).map_err(LabError::file("make", &keys))?;
            std::fs::set_permissions(&keys, std::fs::Permissions::from_mode(0o700))
                .map_err(LabError::file("set the mode of", &keys))?;
            gpg(&keys)
                .args(["--passphrase", "", "--quick-gen-key", "Lab archive <archive@lab.example>"])
                .args(["ed25519", "sign", "never"])
                .run()?;
            gpg(&keys).arg("--output").arg(archive.join("key.gpg")).arg("--export").run()?;
        }
        for part in [Part::Main, Part::Security] {
            let draft = archive.join(format!(".{}.new", part.name()));
            remove_tree(&draft)?;
            std::fs::create_dir(&draft).map_err(LabError::file("make", &draft))?;
            for package in packages.iter().filter(|package| package.part == part) {
                self.build(package, &draft)?;
            }
            index(part, &draft)?;
            gpg(&keys)
                .arg("--output")
                .arg(draft.join("InRelease"))
                .args(["--digest-algo", "SHA512", "--clearsign"])
                .arg(draft.join("Release"))
                .run()?;
            Invocation::of(Program::Chmod).args(["-R", "u=rwX,go=rX"]).arg(&draft).run()?;
            let there = archive.join(part.name());
            remove_tree(&there)?;
            std::fs::rename(&draft, &there).map_err(LabError::file("rename into place", &there))?;
        }
        // gpg leaves its agent behind.
        Invocation::of(Program::Gpgconf)
            .arg("--homedir")
            .arg(&keys)
            .args(["--kill", "gpg-agent"])
            .run()
            .map(drop)
    }

    #[expect(clippy::disallowed_methods, reason = "the lab's own folder")]
    fn build(&self, package: &Made<'_>, into: &Path) -> Result<(), LabError> {
        let tree = into.join("tree");
        let control = tree.join("DEBIAN");
        std::fs::create_dir_all(&control).map_err(LabError::file("make", &control))?;
        let further =
            if package.control.is_empty() { String::new() } else { format!("{}\n", package.control) };
        let mut text = format!(
            "Package: {}\nVersion: {}\nArchitecture: all\nMaintainer: Lab <archive@lab.example>\n{further}",
            package.name, package.version
        );
        let _ = writeln!(text, "Installed-Size: 64\nDescription: made by the lab");
        write(&control.join("control"), &text, 0o644)?;
        if !package.postinst.is_empty() {
            write(&control.join("postinst"), &format!("#!/bin/sh\nset -e\n{}\n", package.postinst), 0o755)?;
        }
        let mut configuration = String::new();
        for (path, content) in package.files {
            let file = tree.join(path.trim_start_matches('/'));
            let folder = file.parent().unwrap_or(&tree);
            std::fs::create_dir_all(folder).map_err(LabError::file("make", folder))?;
            match content {
                Content::Text(text) => write(&file, text, 0o644)?,
                Content::Configuration(text) => {
                    let _ = writeln!(configuration, "{path}");
                    write(&file, text, 0o644)?;
                }
                Content::Program => {
                    std::fs::copy(self.sleep()?, &file).map_err(LabError::file("write", &file))?;
                }
            }
        }
        if !configuration.is_empty() {
            write(&control.join("conffiles"), &configuration, 0o644)?;
        }
        Invocation::of(Program::DpkgDeb)
            .env("SOURCE_DATE_EPOCH", BUILT)
            .args(["--root-owner-group", "-Zgzip", "--build"])
            .arg(&tree)
            .arg(into.join(format!("{}_{}_all.deb", package.name, package.version)))
            .run()?;
        remove_tree(&tree)
    }

    /// sleep(1) of the oldest distribution that the lab's hosts run, which the newer ones run too.
    fn sleep(&self) -> Result<PathBuf, LabError> {
        let oldest = self.record().hosts.iter().min_by_key(|host| host.spec.suite);
        let oldest = oldest.ok_or_else(|| LabError::Spec { why: "the lab has no host".to_owned() })?;
        Ok(Base::at(&self.place.bases(), &oldest.base).root().join("usr/bin/sleep"))
    }
}

fn gpg(keys: &Path) -> Invocation {
    Invocation::of(Program::Gpg)
        .args(["--batch", "--quiet", "--pinentry-mode", "loopback", "--homedir"])
        .arg(keys)
}

#[expect(clippy::disallowed_methods, reason = "the lab's own folder")]
fn write(path: &Path, text: &str, mode: u32) -> Result<(), LabError> {
    std::fs::write(path, text).map_err(LabError::file("write", path))?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
        .map_err(LabError::file("set the mode of", path))
}

fn index(part: Part, folder: &Path) -> Result<(), LabError> {
    let packages = Invocation::of(Program::AptFtparchive).args(["packages", "."]).within(folder).run()?;
    write(&folder.join("Packages"), &packages, 0o644)?;
    let label = if part == Part::Main { "Lab" } else { "Debian-Security" };
    let date = Invocation::of(Program::Date).args(["-Ru"]).run()?;
    let text = format!(
        "Origin: Lab\nLabel: {label}\nSuite: {}\nDate: {date}SHA256:\n {} {} Packages\n",
        part.suite(),
        Digest::of(packages.as_bytes()),
        packages.len()
    );
    write(&folder.join("Release"), &text, 0o644)
}
