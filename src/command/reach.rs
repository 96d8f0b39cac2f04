//! How hosts are reached: which transport suits each, and which key file a person means who names none. The person's
//! ssh configuration is looked at here, and changed nowhere.

#![expect(
    clippy::disallowed_methods,
    reason = "the person's environment, ssh configuration and key files are looked at here"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use super::{Common, Transport};
use crate::domain::{HostName, PublicKey};
use crate::failure::Failure;
use crate::fleet::Job;
use crate::program::Program;
use crate::text::{excerpt, visible};
use crate::transport::{
    Connector, ControlFolder, EitherConnector, OpensshConnector, RusshConnector, included,
};
use crate::ui::Printer;

/// Settings of `ssh_config(5)` that only ssh itself can follow.
const ONLY_SSH: [&str; 6] = [
    "proxycommand",
    "proxyjump",
    "certificatefile",
    "pkcs11provider",
    "securitykeyprovider",
    "identityagent",
];

/// How many processes of ssh are asked at a time what a host needs.
const ASKED_AT_ONCE: usize = 8;

/// The system's configuration.
const SYSTEM: &str = "/etc/ssh/ssh_config";

/// Keys in `~/.ssh`, in the order in which ssh tries them; those that palisade can use without an agent first.
const KEY_FILES: [&str; 3] = ["id_ed25519", "id_ed25519_sk", "id_rsa"];

fn home() -> Option<PathBuf> {
    std::env::var_os("HOME").map(PathBuf::from)
}

/// The key file in `~/.ssh` whose public half is declared: what a person means who names none and has no agent.
pub(super) fn own_key_file(declared: &[PublicKey]) -> Option<PathBuf> {
    let folder = home()?.join(".ssh");
    KEY_FILES.iter().map(|name| folder.join(name)).find(|path| {
        let public = std::fs::read_to_string(path.with_extension("pub")).unwrap_or_default();
        path.exists() && public.trim().parse::<PublicKey>().is_ok_and(|key| declared.contains(&key))
    })
}

/// How hosts are reached.
pub(super) struct Reach {
    /// Opens connections.
    pub connector: Arc<dyn Connector>,
    /// The hosts that are reached by ssh(1).
    pub by_ssh: BTreeSet<HostName>,
    /// Where ssh(1) is told of an agent within this process; none where nobody is reached by it, or where the person's
    /// configuration names agents itself.
    pub agent: Option<Arc<OnceLock<PathBuf>>>,
}

/// The way to reach `jobs`. Which transport a host gets, and why, is said where somebody wants to hear more.
pub(super) fn reach(common: &Common, jobs: &[Job], printer: Printer) -> Result<Reach, Failure> {
    let config = home().map(|home| home.join(".ssh/config"));
    let include: Vec<PathBuf> =
        config.into_iter().chain([PathBuf::from(SYSTEM)]).filter(|path| path.is_file()).collect();
    let why: BTreeMap<HostName, String> = match common.transport {
        Transport::Openssh => {
            jobs.iter().map(|job| (job.desired.host.clone(), "--transport openssh".to_owned())).collect()
        }
        Transport::Auto if include.iter().any(|path| may_say(path, &ONLY_SSH)) => {
            all_that_need_ssh(jobs, &include).map_err(|error| {
                Failure::refused(format!("ssh cannot be asked what hosts need: {error}"))
                    .hint("--transport russh or --transport openssh decides for all")
            })?
        }
        Transport::Russh | Transport::Auto => BTreeMap::new(),
    };
    for job in jobs {
        let host = &job.desired.host;
        match why.get(host) {
            Some(why) => printer.detail(&format!("{host}: by ssh(1): {why}")),
            None => printer.detail(&format!("{host}: by SSH within this process")),
        }
    }
    let by_ssh: BTreeSet<HostName> = why.into_keys().collect();
    if by_ssh.is_empty() {
        return Ok(Reach { connector: Arc::new(RusshConnector::new()), by_ssh, agent: None });
    }
    let place = control_place()?;
    let names_agents = include.iter().any(|path| may_say(path, &["identityagent"]));
    let openssh = OpensshConnector::new(place, include);
    let agent = (!names_agents).then(|| openssh.agent());
    let connector = Arc::new(EitherConnector::new(RusshConnector::new(), openssh, by_ssh.clone()));
    Ok(Reach { connector, by_ssh, agent })
}

/// For ssh's control sockets.
fn control_place() -> Result<ControlFolder, Failure> {
    let ssh = Program::Ssh.command().arg("-V").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if let Err(error) = ssh {
        return Err(Failure::refused(format!("ssh cannot be started: {error}"))
            .hint("apt-get install openssh-client, or --transport russh"));
    }
    private_place()
}

/// For sockets, below the folder that the system keeps for this login, else in the one for temporary files.
pub(super) fn private_place() -> Result<ControlFolder, Failure> {
    let us = rustix::process::geteuid().as_raw();
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(|folder| PathBuf::from(folder).join("palisade"));
    let temporary = std::env::temp_dir().join(format!("palisade-{us}"));
    let mut last = None;
    for base in runtime.into_iter().chain([temporary]) {
        match ControlFolder::open(&base) {
            Ok(place) => return Ok(place),
            Err(error) => last = Some(format!("{}: {error}", visible(&base.to_string_lossy()))),
        }
    }
    Err(Failure::refused(format!("there is no place for sockets: {}", last.unwrap_or_default())))
}

/// Whether a configuration may hold one of these settings, in it or in what it includes.
fn may_say(path: &Path, keywords: &[&str]) -> bool {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().any(|line| {
        let mut words = line.split([' ', '\t', '=']).filter(|word| !word.is_empty());
        let keyword = words.next().unwrap_or_default().to_ascii_lowercase();
        match keyword.as_str() {
            // Debian's own file includes a folder that is empty unless somebody filled it.
            "include" => words.any(|included| !is_empty_folder(included)),
            keyword => keywords.contains(&keyword),
        }
    })
}

fn is_empty_folder(pattern: &str) -> bool {
    pattern
        .strip_suffix("/*.conf")
        .and_then(|folder| std::fs::read_dir(folder).ok())
        .is_some_and(|mut entries| entries.next().is_none())
}

/// The hosts that only ssh can reach, and why. ssh is asked of several at a time: it takes some milliseconds for each.
///
/// It reads the very files that it would be started with: those of the account's own home may be others than ours.
fn all_that_need_ssh(jobs: &[Job], include: &[PathBuf]) -> io::Result<BTreeMap<HostName, String>> {
    let mut config = tempfile::NamedTempFile::new()?;
    config.write_all(included(include)?.as_bytes())?;
    let config = config.path();
    let next = AtomicUsize::new(0);
    let some = || -> Vec<(HostName, String)> {
        let taken = std::iter::from_fn(|| jobs.get(next.fetch_add(1, Ordering::Relaxed)));
        taken.filter_map(|job| Some((job.desired.host.clone(), needs_ssh(job, config)?))).collect()
    };
    Ok(std::thread::scope(|scope| {
        let askers: Vec<_> = (0..ASKED_AT_ONCE.min(jobs.len())).map(|_| scope.spawn(some)).collect();
        askers.into_iter().flat_map(|asker| asker.join().unwrap_or_default()).collect()
    }))
}

/// What of the person's configuration for a host only ssh can follow; none where nothing is, or ssh does not say.
fn needs_ssh(job: &Job, config: &Path) -> Option<String> {
    let host = &job.desired.host;
    let mut ssh = Program::Ssh.command();
    ssh.arg("-F").arg(config).args(["-G", "--", host.as_str()]);
    let said = ssh.stdin(Stdio::null()).output().ok()?;
    let said = String::from_utf8_lossy(&said.stdout);
    said.lines().filter_map(|line| line.split_once(' ')).find_map(|(keyword, value)| {
        let has_way = !job.target.jumps.is_empty();
        let is_default = match keyword {
            // The inventory's own way is the one that is taken.
            "proxycommand" | "proxyjump" => has_way || value == "none",
            "certificatefile" | "pkcs11provider" => value == "none",
            "securitykeyprovider" => value == "internal",
            "identityagent" => matches!(value, "SSH_AUTH_SOCK" | "none"),
            _ => true,
        };
        (!is_default).then(|| format!("its ssh configuration says {keyword} {}", excerpt(value, 80)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_is_asked_about_only_where_it_may_say_something() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config");
        let included = folder.path().join("d");
        std::fs::create_dir(&included).unwrap();
        let include = format!("Include {}/*.conf", included.display());
        for (text, more) in [
            ("Host *\n  HashKnownHosts yes\n", false),
            ("# ProxyCommand x\n", false),
            ("Host web-*\n  ProxyCommand nc %h %p\n", true),
            ("\tproxyjump=bastion\n", true),
            ("CertificateFile ~/.ssh/id-cert.pub\n", true),
            (include.as_str(), false),
            ("Include other\n", true),
        ] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(may_say(&path, &ONLY_SSH), more, "{text}");
        }
        std::fs::write(included.join("company.conf"), "").unwrap();
        std::fs::write(&path, &include).unwrap();
        assert!(may_say(&path, &ONLY_SSH), "what is included is for ssh to read");
    }
}
