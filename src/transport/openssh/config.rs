//! The configuration that ssh gets for one host: ours first, then the user's.

#![expect(clippy::disallowed_methods, reason = "ssh reads its configuration from files")]

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::control_folder::ControlFolder;
use super::master::Master;
use super::proxy::{quoted, way_log};
use crate::transport::Jump;

/// What holds for every host, whatever the user's configuration says: nothing of the person's is lent to a host,
/// nothing runs here because of it, no key is accepted but a pinned one, and only keys prove an account. `DEBUG1`
/// is the level at which ssh says which key a host shows and what it was offered (ssh(1), `-v`).
const ALWAYS: &str = "\
  GlobalKnownHostsFile none
  KnownHostsCommand none
  StrictHostKeyChecking yes
  UpdateHostKeys no
  VerifyHostKeyDNS no
  NoHostAuthenticationForLocalhost no
  CheckHostIP no
  PreferredAuthentications publickey
  PasswordAuthentication no
  KbdInteractiveAuthentication no
  ForwardAgent no
  ForwardX11 no
  ClearAllForwardings yes
  PermitLocalCommand no
  RemoteCommand none
  RequestTTY no
  Tunnel no
  ServerAliveInterval 15
  ServerAliveCountMax 3
  TCPKeepAlive yes
  LogLevel DEBUG1
";

/// What a host's connection is given besides what the host is.
pub(super) struct Ours<'a> {
    /// The file of the pinned keys.
    pub(super) pins: &'a Path,
    /// The agent within this process, where a key file was unlocked.
    pub(super) agent: Option<&'a Path>,
    /// For the connection.
    pub(super) within: Duration,
}

/// Writes the files for the `number`th connection; the path of the configuration.
pub(super) fn write(
    place: &ControlFolder,
    number: usize,
    hop: &Jump,
    ours: &Ours<'_>,
    way: Option<&Master>,
    include: &[PathBuf],
) -> io::Result<PathBuf> {
    let at = |name: &str| place.path().join(format!("{number}.{name}"));
    let mut keys = Vec::new();
    match (&hop.identity.file, &hop.identity.declared) {
        (Some(file), _) => keys.push(file.clone()),
        (None, Some(declared)) => {
            for (place, key) in declared.iter().enumerate() {
                let path = at(&format!("key{place}.pub"));
                std::fs::write(&path, format!("{key}\n"))?;
                keys.push(path);
            }
        }
        (None, None) => {}
    }
    let path = at("config");
    let proxy = way.map(|way| way.proxy(&way_log(&path))).transpose()?;
    let text = text(hop, ours, &keys, proxy.as_deref(), include)?;
    std::fs::write(&path, text)?;
    Ok(path)
}

fn text(
    hop: &Jump,
    ours: &Ours<'_>,
    keys: &[PathBuf],
    proxy: Option<&str>,
    include: &[PathBuf],
) -> io::Result<String> {
    let host = &hop.host;
    let mut text = format!("Host {host}\n");
    let mut line = |keyword: &str, value: &str| {
        let _ = writeln!(text, "  {keyword} {value}");
    };
    line("HostName", &hop.address.to_string());
    line("HostKeyAlias", host.as_str());
    line("Port", &hop.port.to_string());
    line("User", hop.user.as_str());
    line("UserKnownHostsFile", &quoted(ours.pins)?);
    line("ConnectTimeout", &ours.within.as_secs().max(1).to_string());
    if !keys.is_empty() {
        line("IdentitiesOnly", "yes");
    }
    for key in keys {
        line("IdentityFile", &quoted(key)?);
    }
    if let Some(agent) = ours.agent {
        line("IdentityAgent", &quoted(agent)?);
    }
    if let Some(proxy) = proxy {
        line("ProxyCommand", proxy);
    }
    text.push_str(ALWAYS);
    text.push_str(&included(include)?);
    Ok(text)
}

/// What reads `files` for every host.
pub fn included(files: &[PathBuf]) -> io::Result<String> {
    let mut text = "Match all\n".to_owned();
    for file in files {
        let _ = writeln!(text, "  Include {}", quoted(file)?);
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::openssh::proxy;
    use crate::transport::{HostKeys, Identity};

    #[test]
    fn ours_comes_first_and_the_users_applies_to_every_host() {
        let hop = Jump {
            host: "web-1".parse().unwrap(),
            address: "2001:db8::1".parse().unwrap(),
            port: crate::domain::Port::SSH,
            user: "alice".parse().unwrap(),
            identity: Identity::default(),
            host_keys: HostKeys::Pinned(std::sync::Arc::default()),
        };
        let text = text(
            &hop,
            &Ours {
                pins: Path::new("/run/a b/1.pins"),
                agent: Some(Path::new("/run/a b/agent")),
                within: Duration::from_secs(7),
            },
            &["/home/50%/id".into()],
            None,
            &["/home/a/.ssh/config".into()],
        )
        .unwrap();
        let (ours, theirs) = text.split_once("Match all\n").unwrap();
        for line in [
            "Host web-1",
            "  HostName 2001:db8::1",
            "  HostKeyAlias web-1",
            "  UserKnownHostsFile \"/run/a b/1.pins\"",
            "  IdentityFile \"/home/50%%/id\"",
            "  IdentityAgent \"/run/a b/agent\"",
            "  StrictHostKeyChecking yes",
            "  ForwardAgent no",
        ] {
            assert!(ours.lines().any(|one| one == line), "{line} is not in {ours}");
        }
        assert_eq!(theirs, "  Include \"/home/a/.ssh/config\"\n");
    }

    #[test]
    fn a_path_that_ssh_would_read_otherwise_is_refused() {
        for path in ["/a\"b", "/a\nProxyCommand evil", "/$HOME", "~/x"] {
            assert!(quoted(Path::new(path)).is_err(), "{path}");
        }
        let proxy =
            proxy::command("web-1", Path::new("/run/it's/100%/c"), Path::new("/run/s"), Path::new("/run/l"))
                .unwrap();
        assert_eq!(
            proxy,
            "ssh -F '/run/it'\\''s/100%%/c' -S '/run/s' -o ControlMaster=no -o BatchMode=yes -W [%h]:%p -- web-1 2>'/run/l'"
        );
    }
}
