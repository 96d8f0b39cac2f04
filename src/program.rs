//! The programs of this machine that palisade, its lab, its demo and its tests start: one table, each program with the
//! Debian package that has it. No other file starts a process in another way (`tests/pure/layering.rs`), so that
//! whatever a command or a test needs can be named before it begins, and installed on a machine that lacks it.
//!
//! It starts programs and installs packages. It decides neither what is needed nor whether anything may be installed.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Where programs of the system lie, whatever the caller's `PATH` says. sshd, ip and nft are in folders for root.
pub const SYSTEM_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

macro_rules! programs {
    ($($variant:ident $name:literal $package:literal,)*) => {
        /// A program of this machine.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Program {
            $(
                #[doc = concat!("`", $name, "`, of the package ", $package, ".")]
                $variant,
            )*
        }

        impl Program {
            /// All of them, by name.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The name by which it is started, or the path of a file that is read.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }

            /// The Debian package that has it, in Debian 12 and 13.
            pub const fn package(self) -> &'static str {
                match self { $(Self::$variant => $package),* }
            }
        }
    };
}

programs! {
    // The two files are read by programs of the table, and are packages of their own.
    ArchiveKeyring "/usr/share/keyrings/debian-archive-keyring.gpg" "debian-archive-keyring",
    PythonSmtpd "/usr/lib/python3/dist-packages/aiosmtpd/__init__.py" "python3-aiosmtpd",
    AptConfig "apt-config" "apt",
    AptFtparchive "apt-ftparchive" "apt-utils",
    AptGet "apt-get" "apt",
    Base64 "base64" "coreutils",
    Bash "/bin/bash" "bash",
    Cat "cat" "coreutils",
    Chmod "chmod" "coreutils",
    Chroot "chroot" "coreutils",
    Cmp "cmp" "diffutils",
    Cp "cp" "coreutils",
    Cut "cut" "coreutils",
    Date "date" "coreutils",
    Dpkg "dpkg" "dpkg",
    DpkgDeb "dpkg-deb" "dpkg",
    Env "env" "coreutils",
    Gpg "gpg" "gpg",
    GpgAgent "gpg-agent" "gpg-agent",
    Gpgconf "gpgconf" "gpgconf",
    Gpgv "gpgv" "gpgv",
    Grep "grep" "grep",
    Head "head" "coreutils",
    Id "id" "coreutils",
    Ip "ip" "iproute2",
    Kill "kill" "procps",
    Mkdir "mkdir" "coreutils",
    Mke2fs "mke2fs" "e2fsprogs",
    Mkfifo "mkfifo" "coreutils",
    Mmdebstrap "mmdebstrap" "mmdebstrap",
    Mount "mount" "mount",
    Mv "mv" "coreutils",
    Netcat "nc" "netcat-openbsd",
    Nft "nft" "nftables",
    Nsenter "nsenter" "util-linux",
    Openssl "openssl" "openssl",
    Perl "perl" "perl-base",
    Python3 "python3" "python3",
    Readlink "readlink" "coreutils",
    Rm "rm" "coreutils",
    Script "script" "bsdutils",
    Sed "sed" "sed",
    Setpriv "setpriv" "util-linux",
    Setsid "setsid" "util-linux",
    Sh "/bin/sh" "dash",
    Sleep "sleep" "coreutils",
    Sort "sort" "coreutils",
    Ssh "ssh" "openssh-client",
    SshAdd "ssh-add" "openssh-client",
    SshAgent "ssh-agent" "openssh-client",
    SshKeygen "ssh-keygen" "openssh-client",
    Sshd "sshd" "openssh-server",
    Strace "strace" "strace",
    Stty "stty" "coreutils",
    Sudo "sudo" "sudo",
    Sysctl "sysctl" "procps",
    SystemdNspawn "systemd-nspawn" "systemd-container",
    Tail "tail" "coreutils",
    Tar "tar" "tar",
    Timeout "timeout" "coreutils",
    Unshare "unshare" "util-linux",
    Wc "wc" "coreutils",
    Xargs "xargs" "findutils",
    Yes "yes" "coreutils",
}

impl Program {
    /// A command that starts it, looked up in the `PATH` that the command is given, else in the caller's.
    pub fn command(self) -> Command {
        at(self.name())
    }

    /// Where it is: in the folders of the system, or the path that it has.
    pub fn path(self) -> Option<PathBuf> {
        let name = Path::new(self.name());
        if name.is_absolute() {
            return name.is_file().then(|| name.to_owned());
        }
        SYSTEM_PATH.split(':').map(|folder| Path::new(folder).join(name)).find(|path| path.is_file())
    }
}

/// A command that starts the program at a path: palisade itself, a program of its tests, or one that whoever runs it
/// named. Programs of the system are in [`Program`].
#[expect(clippy::disallowed_methods, reason = "the one place where commands are made")]
pub fn at(path: impl AsRef<OsStr>) -> Command {
    Command::new(path)
}

/// The packages of those of `needed` that this machine lacks, each once, in order.
pub fn missing(needed: impl IntoIterator<Item = Program>) -> Vec<&'static str> {
    let mut packages: Vec<&'static str> =
        needed.into_iter().filter(|program| program.path().is_none()).map(Program::package).collect();
    packages.sort_unstable();
    packages.dedup();
    packages
}

/// Why packages could not be installed.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// This machine is no Debian, or not whole.
    #[error("this machine has no apt-get, and lacks {0}")]
    NoApt(String),
    /// apt-get could not be started.
    #[error("apt-get could not be started: {0}")]
    NotStarted(#[from] std::io::Error),
    /// apt-get failed; its last lines.
    #[error("apt-get {verb} failed: {said}")]
    Failed {
        /// `update` or `install`.
        verb: &'static str,
        /// The end of what it wrote to standard error.
        said: String,
    },
}

/// How long apt waits for another that holds its lock, in seconds.
const LOCK_TIMEOUT: &str = "DPkg::Lock::Timeout=300";

/// Lines of apt's that a failure is told with.
const SAID: usize = 8;

/// Installs `packages` through this machine's own apt, without recommended ones; `tell` is given each line that apt writes
/// to standard error. Needs root.
pub fn install(packages: &[&str], tell: &dyn Fn(&str)) -> Result<(), InstallError> {
    if Program::AptGet.path().is_none() {
        return Err(InstallError::NoApt(packages.join(", ")));
    }
    apt("update", &[], tell)?;
    apt("install", packages, tell)
}

fn apt(verb: &'static str, packages: &[&str], tell: &dyn Fn(&str)) -> Result<(), InstallError> {
    let mut command = Program::AptGet.command();
    command
        .env("PATH", SYSTEM_PATH)
        .envs([("LC_ALL", "C"), ("DEBIAN_FRONTEND", "noninteractive"), ("NEEDRESTART_MODE", "l")])
        .args(["-q", "-y", "-o", LOCK_TIMEOUT, "-o", "Dpkg::Use-Pty=0", verb]);
    if verb == "install" {
        command.arg("--no-install-recommends").args(packages);
    }
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
    let mut last: Vec<String> = Vec::new();
    if let Some(stderr) = child.stderr.take() {
        for line in BufReader::new(stderr).split(b'\n').map_while(Result::ok) {
            let line = crate::text::excerpt(&String::from_utf8_lossy(&line), 160);
            if last.len() == SAID {
                last.remove(0);
            }
            tell(&line);
            last.push(line);
        }
    }
    if child.wait()?.success() { Ok(()) } else { Err(InstallError::Failed { verb, said: last.join("; ") }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named_once() {
        assert_eq!(missing([Program::Sh, Program::AptGet]), Vec::<&str>::new());
        let gone: Vec<Program> = Program::ALL.iter().copied().filter(|one| one.path().is_none()).collect();
        let packages = missing(gone.iter().chain(&gone).copied());
        assert!(packages.is_sorted_by(|one, other| one < other), "{packages:?}");
        assert_eq!(packages.is_empty(), gone.is_empty());
    }

    #[test]
    fn no_program_stands_twice() {
        let mut names: Vec<&str> = Program::ALL.iter().map(|program| program.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Program::ALL.len());
    }
}
