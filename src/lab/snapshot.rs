//! Everything about a host that a change may touch, as text that can be compared byte by byte: files with owner and
//! mode, the ruleset, and which units are enabled and active. Read from outside, so that nothing on the host changes
//! for being looked at.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::error::LabError;
use super::host::Host;
use super::invocation::Invocation;
use crate::domain::Digest;
use crate::program::Program;
use crate::shell::{Arg, Exit, Script};

/// A host's state: what, and how it is.
pub type Snapshot = BTreeMap<String, String>;

/// Where everything lies that hardening touches.
pub const STATE: [&str; 4] = ["/etc", "/root", "/home", "/usr/local"];

/// Counters and generated handles left out; a host without nft has no ruleset.
const RULESET: &str =
    "command -v nft >/dev/null || { echo 'nft is not installed'; exit 0; }\nnft -s list ruleset";

/// The unit files that packages and this boot brought (which of them are enabled is links below /etc), and what is
/// active. Transient units come and go with sessions and timers; they are not state.
///
/// Not `systemctl list-unit-files`: for each unit file it lets the host's systemd read thirty folders.
const UNITS: &str = "find /usr/lib/systemd/system /run/systemd/system -maxdepth 1 -type f | sort
echo
systemctl list-units --plain --no-legend --no-pager --state=active,failed --type=service,socket,timer,path |
  while read -r unit _ active _; do
    case $unit in run-* | session-* | user-* | user@* | palisade-rollback-*) ;; *) echo \"$unit $active\" ;; esac
  done";

impl Host<'_> {
    /// Its state: every file at and below `paths` (absolute, not through symbolic links), the ruleset and the units.
    pub fn snapshot(&self, paths: &[&str]) -> Result<Snapshot, LabError> {
        // a machine's files are looked at in a copy
        let copy;
        let root = if self.is_machine() {
            copy = self.copy_out(paths)?;
            copy.0.clone()
        } else {
            self.root()?
        };
        let mut snapshot = Snapshot::new();
        for path in paths {
            read_into(&mut snapshot, &root, Path::new(path))?;
        }
        snapshot.insert("ruleset".to_owned(), self.sh(RULESET)?);
        snapshot.insert("units".to_owned(), self.sh(UNITS)?);
        Ok(snapshot)
    }
}

/// A folder that goes when it is dropped.
struct Copied(PathBuf);

impl Drop for Copied {
    fn drop(&mut self) {
        // nobody is left to tell; it goes with the lab
        drop(super::tree::remove_tree(&self.0));
    }
}

impl Host<'_> {
    /// Everything at and below `paths`, with owners and modes, in a folder here.
    #[expect(clippy::disallowed_methods, reason = "the host's own folder")]
    fn copy_out(&self, paths: &[&str]) -> Result<Copied, LabError> {
        let number = getrandom::u32().map_err(super::error::no_randomness)?;
        let folder = self.folder().join(format!("copy-{number:08x}"));
        std::fs::create_dir(&folder).map_err(LabError::file("make", &folder))?;
        let copied = Copied(folder);
        let words = paths.iter().map(|path| Arg::lossy(path.trim_start_matches('/')));
        let script =
            Script::new().text("cd /").call("tar --create --numeric-owner --ignore-failed-read --", words);
        let output = self.run(&script)?;
        Invocation::of(Program::Tar)
            .args(["--extract", "--numeric-owner", "--preserve-permissions", "--directory"])
            .arg(&copied.0)
            .input(output.stdout)
            .run()?;
        Ok(copied)
    }
}

/// What differs between two snapshots: `+`, `-` or `~`, and what.
pub fn differences(before: &Snapshot, after: &Snapshot) -> Vec<String> {
    let gone = before.keys().filter(|what| !after.contains_key(*what)).map(|what| format!("- {what}"));
    let new = after.keys().filter(|what| !before.contains_key(*what)).map(|what| format!("+ {what}"));
    let changed = before
        .iter()
        .filter(|(what, how)| after.get(*what).is_some_and(|now| now != *how))
        .map(|(what, _)| format!("~ {what}"));
    gone.chain(new).chain(changed).collect()
}

#[expect(clippy::disallowed_methods, reason = "the host's files are read through /proc")]
fn read_into(snapshot: &mut Snapshot, root: &Path, path: &Path) -> Result<(), LabError> {
    let real: PathBuf = root.join(path.strip_prefix("/").unwrap_or(path));
    let Ok(metadata) = std::fs::symlink_metadata(&real) else {
        snapshot.insert(path.display().to_string(), "absent".to_owned());
        return Ok(());
    };
    let failed = |doing| LabError::file(doing, real.clone());
    let kind = metadata.file_type();
    let content = if kind.is_symlink() {
        format!("link to {}", std::fs::read_link(&real).map_err(failed("read"))?.display())
    } else if kind.is_dir() {
        for entry in std::fs::read_dir(&real).map_err(failed("read"))? {
            let name = entry.map_err(failed("read"))?.file_name();
            read_into(snapshot, root, &path.join(name))?;
        }
        "folder".to_owned()
    } else if kind.is_file() {
        let bytes = std::fs::read(&real).map_err(failed("read"))?;
        String::from_utf8(bytes).unwrap_or_else(|not_text| {
            format!("{} bytes, sha256 {}", not_text.as_bytes().len(), Digest::of(not_text.as_bytes()))
        })
    } else {
        "special file".to_owned()
    };
    let how = format!("{:04o} {}:{}\n{content}", metadata.mode() & 0o7777, metadata.uid(), metadata.gid());
    snapshot.insert(path.display().to_string(), how);
    Ok(())
}

/// What a host's sshd counted since the host was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SshCounts {
    /// TCP connections that it accepted.
    pub connections: usize,
    /// Those that authenticated.
    pub logins: usize,
    /// Commands, shells and subsystems that it started on them.
    pub sessions: usize,
}

impl std::ops::Sub for SshCounts {
    type Output = Self;

    /// What came since `earlier`.
    fn sub(self, earlier: Self) -> Self {
        Self {
            connections: self.connections.saturating_sub(earlier.connections),
            logins: self.logins.saturating_sub(earlier.logins),
            sessions: self.sessions.saturating_sub(earlier.sessions),
        }
    }
}

impl Host<'_> {
    /// Lets its sshd log connections and sessions, which it does not at its default level (`sshd_config(5)`, `LogLevel`).
    pub fn let_sshd_count(&self) -> Result<(), LabError> {
        self.sh(
            "echo 'LogLevel VERBOSE' > /etc/ssh/sshd_config.d/00-lab.conf && systemctl reload ssh.service",
        )
        .map(drop)
    }

    /// What its sshd counted, by its own log; from [`Self::let_sshd_count`] on.
    pub fn ssh_counts(&self) -> Result<SshCounts, LabError> {
        // a message is on its way to the journal for a moment after the client has its answer
        let log = self.sh("journalctl --sync; journalctl -q --no-pager -o cat -t sshd -t sshd-session")?;
        let count = |start: &str| log.lines().filter(|line| line.starts_with(start)).count();
        Ok(SshCounts {
            connections: count("Connection from "),
            // not `Accepted key …`, which says that a key would do
            logins: log
                .lines()
                .filter(|line| line.starts_with("Accepted ") && line.contains(" for "))
                .count(),
            sessions: count("Starting session: "),
        })
    }

    /// The exit status of `text` inside, whatever it is; none where it was killed.
    pub fn status(&self, text: &'static str) -> Result<Option<u32>, LabError> {
        Ok(match self.run(&Script::new().text(text))?.exit {
            Exit::Status(status) => Some(status),
            Exit::Unknown => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_name_what_came_went_and_changed() {
        let snapshot = |pairs: &[(&str, &str)]| -> Snapshot {
            pairs.iter().map(|(what, how)| ((*what).to_owned(), (*how).to_owned())).collect()
        };
        let before = snapshot(&[("/a", "1"), ("/b", "1"), ("/c", "1")]);
        let after = snapshot(&[("/a", "1"), ("/b", "2"), ("/d", "1")]);
        assert_eq!(differences(&before, &after), ["- /c", "+ /d", "~ /b"]);
        assert!(differences(&before, &before).is_empty());
    }
}
