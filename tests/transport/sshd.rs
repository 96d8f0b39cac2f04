//! A throwaway sshd, its keys, an agent. Each is stopped by its own id when it is dropped.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use palisade::domain::{HostName, Port, PublicKey, UserName};
use palisade::known_hosts::KnownHosts;
use palisade::program::Program;
use palisade::shell::{Output, Script};
use palisade::transport::{
    Bounds, Connector, ControlFolder, Entry, HostKeys, Identity, Jump, OpensshConnector, RusshConnector,
    Session, Target, TransportError,
};
use support::make_key;
use tempfile::TempDir;

use crate::releases::{release, transport};

pub(crate) struct Sshd {
    child: Child,
    pub(crate) dir: TempDir,
    pub(crate) port: u16,
    pub(crate) host_key: PublicKey,
}

impl Sshd {
    /// With an Ed25519 host key, `id` as authorized key, and `extra` lines in its configuration.
    pub(crate) fn start(extra: &str) -> Self {
        Self::start_with("ed25519", extra)
    }

    pub(crate) fn start_with(host_key_type: &str, extra: &str) -> Self {
        let release = release();
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name).display().to_string();
        let host_key = make_key(dir.path(), "host_key", host_key_type, "");
        let id = make_key(dir.path(), "id", "ed25519", "");
        std::fs::write(at("authorized_keys"), format!("{id}\n")).unwrap();
        let _ = std::fs::create_dir_all("/run/sshd");
        // A case may break off more handshakes than OpenSSH 9.8 and later take from one address: what befalls it then is
        // told in the lab's tests. Earlier ones do not know the option.
        let asked = release
            .sshd()
            .args(["-t", "-f", "/dev/null", "-o", "PerSourcePenalties=no", "-h", &at("host_key")])
            .stderr(Stdio::null())
            .status();
        let patient = if asked.unwrap().success() { "PerSourcePenalties no\n" } else { "" };
        // Taken from the kernel, given back, and taken by sshd: another process may be quicker, so try again.
        for _ in 0..5 {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let config = format!(
                "{extra}\n{patient}Port {port}\nListenAddress 127.0.0.1\nListenAddress ::1\nHostKey {}\nAuthorizedKeysFile {}\nStrictModes no\nUsePAM no\n\
                 PidFile none\nLogLevel VERBOSE\nPermitRootLogin prohibit-password\nPasswordAuthentication no\n\
                 KbdInteractiveAuthentication no\nSetEnv HOME={}\n",
                at("host_key"),
                at("authorized_keys"),
                dir.path().display(),
            );
            std::fs::write(at("sshd_config"), config).unwrap();
            let mut child = release
                .sshd()
                .args(["-D", "-f", &at("sshd_config"), "-E", &at("log")])
                .stdin(Stdio::null())
                .spawn()
                .unwrap();
            let patience = Instant::now() + Duration::from_mins(1);
            while Instant::now() < patience {
                let log = std::fs::read_to_string(at("log")).unwrap_or_default();
                // It goes on where one of its addresses is somebody else's by now.
                if ["127.0.0.1", "::1"].iter().all(|at| log.contains(&format!("Server listening on {at} "))) {
                    return Self { child, dir, port, host_key };
                }
                if child.try_wait().unwrap().is_some() || log.contains("Bind to port") {
                    break;
                }
                std::thread::sleep(Duration::from_millis(20));
            }
            let _ = child.kill();
            let _ = child.wait();
            let _ = std::fs::rename(at("log"), at("log.before"));
        }
        panic!("sshd did not start: {}", std::fs::read_to_string(at("log")).unwrap_or_default());
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap()
    }

    /// Lines of the log with `text`, once there are at least `expected`: sshd writes them a moment later.
    pub(crate) fn log_count(&self, text: &str, expected: usize) -> usize {
        let patience = Instant::now() + Duration::from_mins(1);
        loop {
            let count = self.log().lines().filter(|line| line.contains(text)).count();
            if count >= expected || Instant::now() > patience {
                return count;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub(crate) fn authorize(&self, keys: &[&PublicKey]) {
        let lines = keys.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n") + "\n";
        std::fs::write(self.path("authorized_keys"), lines).unwrap();
    }

    pub(crate) fn pins(&self) -> HostKeys {
        pinned(&format!("here {}\njump {0}\n", self.host_key.material()))
    }

    pub(crate) fn file_identity(&self) -> Identity {
        let own = std::fs::read_to_string(self.path("id.pub")).unwrap().trim().parse().unwrap();
        Identity { file: Some(self.path("id")), agent: None, declared: Some(vec![own]) }
    }

    pub(crate) fn target(&self) -> Target {
        Target {
            host: host("here"),
            address: "127.0.0.1".parse().unwrap(),
            port: Port::try_from(u32::from(self.port)).unwrap(),
            user: me(),
            identity: self.file_identity(),
            jumps: Vec::new(),
            fresh_jumps: false,
            shared: false,
            host_keys: self.pins(),
            connect_timeout: Duration::from_secs(20),
        }
    }

    /// This same server as a jump host.
    pub(crate) fn jump(&self) -> Jump {
        let target = self.target();
        Jump {
            host: host("jump"),
            address: target.address,
            port: target.port,
            user: target.user,
            identity: target.identity,
            host_keys: target.host_keys,
        }
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) struct Agent {
    child: Child,
    pub(crate) socket: PathBuf,
}

impl Agent {
    pub(crate) fn start(dir: &Path) -> Self {
        let socket = dir.join("agent");
        let child = Program::SshAgent
            .command()
            .args(["-D", "-a"])
            .arg(&socket)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let patience = Instant::now() + Duration::from_mins(1);
        // the socket is there a moment before anybody listens at it
        while std::os::unix::net::UnixStream::connect(&socket).is_err() {
            assert!(Instant::now() < patience, "ssh-agent did not start");
            std::thread::sleep(Duration::from_millis(10));
        }
        Self { child, socket }
    }

    pub(crate) fn add(&self, key: &Path) {
        let added = Program::SshAdd.command().arg(key).env("SSH_AUTH_SOCK", &self.socket).output().unwrap();
        assert!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn host(name: &str) -> HostName {
    name.parse().unwrap()
}

pub(crate) fn me() -> UserName {
    let id = Program::Id.command().arg("-un").output().unwrap();
    String::from_utf8(id.stdout).unwrap().trim().parse().unwrap()
}

pub(crate) fn pinned(text: &str) -> HostKeys {
    HostKeys::Pinned(Arc::new(KnownHosts::parse(text).unwrap()))
}

/// The transport that a test of the contract runs over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Over {
    Russh,
    Openssh,
}

const BASES: &str = "palisade-test-";

/// Where this run's masters have their sockets: a short path, which tests do not share with whoever uses palisade here. What
/// runs left that are over is removed, since nothing is told when the last test ends.
static BASE: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = std::env::temp_dir();
    for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let process = name.to_str().and_then(|name| name.strip_prefix(BASES)?.parse::<u32>().ok());
        if process.is_some_and(|process| !Path::new("/proc").join(process.to_string()).exists()) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
    folder.join(format!("{BASES}{}", std::process::id()))
});

/// A connector of this test's transport.
pub(crate) fn connector() -> Box<dyn Connector> {
    match transport() {
        Over::Russh => Box::new(RusshConnector::new()),
        Over::Openssh => Box::new(OpensshConnector::new(ControlFolder::open(&BASE).unwrap(), Vec::new())),
    }
}

pub(crate) async fn connect(target: &Target) -> Result<Box<dyn Session>, TransportError> {
    connector().connect(target).await
}

pub(crate) async fn run(session: &dyn Session, text: &'static str) -> Result<Output, TransportError> {
    session.run(&Script::new().text(text), Entry::Root, bounds(20, 1 << 20)).await
}

pub(crate) fn bounds(seconds: u64, bytes: usize) -> Bounds {
    Bounds { deadline: Duration::from_secs(seconds), bytes }
}
