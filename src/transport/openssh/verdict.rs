//! What ssh(1) said of a connection that did not come to be, at its level `DEBUG1`. Its words are those of OpenSSH 9.2
//! to 10; what is not recognised is shown, and never counts as anything but a failure.

use std::time::Duration;

use crate::domain::{Fingerprint, HostName};
use crate::text::excerpt;
use crate::transport::{Jump, TransportError};

/// How a line begins by which ssh says that the host ended the connection.
const ENDED: [&str; 5] = [
    "kex_exchange_identification: ",
    "ssh_exchange_identification: ",
    "ssh_dispatch_run_fatal: ",
    "Connection closed by ",
    "Connection reset by ",
];

/// How an attempt ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The host dropped us before it showed a key: it may take us a moment later. Busy is one that says so.
    Dropped {
        why: String,
        is_busy: bool,
    },
    Final(TransportError),
}

/// The meaning of `log` for a connection to `hop` that may take until `within`. `way` is the jump host, and what the command that leads through it
/// complained about.
pub(super) fn read(hop: &Jump, log: &str, way: Option<(&HostName, &str)>, within: Duration) -> Fault {
    let host = || hop.host.clone();
    if let Some(why) = way.and_then(|(jump, said)| barred(hop, jump, said)) {
        return Fault::Final(TransportError::Unreachable { host: host(), address: hop.address, why });
    }
    let lines = || log.lines().map(|line| line.trim_end_matches('\r'));
    let last = lines()
        .rfind(|line| !line.starts_with("debug") && !line.trim().is_empty())
        .unwrap_or("ssh says nothing");
    let shown = lines()
        .filter_map(|line| line.strip_prefix("debug1: Server host key: "))
        .filter_map(|line| line.split_whitespace().nth(1))
        .find_map(|print| print.parse::<Fingerprint>().ok());
    if let Some(shown) = shown.clone() {
        if log.contains("is marked as revoked") || log.contains("REVOKED HOST KEY DETECTED") {
            return Fault::Final(TransportError::KeyRevoked { host: host(), shown });
        }
        if log.contains("REMOTE HOST IDENTIFICATION HAS CHANGED") {
            return Fault::Final(TransportError::KeyChanged { host: host(), shown });
        }
        if log.contains("host key is known for") {
            return Fault::Final(TransportError::KeyUnknown { host: host(), shown });
        }
    }
    if log.contains("Permission denied (") {
        let offered: Vec<&str> =
            lines().filter_map(|line| line.strip_prefix("debug1: Offering public key: ")).collect();
        if offered.is_empty() {
            let why = "ssh had no key to offer: name one with --identity FILE, or add it with `ssh-add FILE`";
            return Fault::Final(TransportError::NoIdentity { why: why.to_owned() });
        }
        if let Some(key) = lines().find_map(|line| line.strip_prefix("debug1: Server accepts key: ")) {
            let why = format!(
                "{} takes {}, and ssh could not sign with it: its file is protected by a passphrase, and no agent holds it; \
                 add it with `ssh-add FILE`",
                hop.host,
                excerpt(key, 200)
            );
            return Fault::Final(TransportError::NoIdentity { why });
        }
        let takes = log.rsplit_once("Permission denied (").and_then(|(_, rest)| rest.split(')').next());
        let why = format!(
            "it was offered {}; it takes {}",
            excerpt(&offered.join(", "), 200),
            excerpt(takes.unwrap_or("nothing"), 80)
        );
        return Fault::Final(TransportError::Refused { host: host(), user: hop.user.clone(), why });
    }
    if let Some(line) = lines().find(|line| line.starts_with("Unable to negotiate with ")) {
        let why = line.split_once(": ").map_or(line, |(_, why)| why);
        return Fault::Final(TransportError::Unsupported {
            host: host(),
            address: hop.address,
            why: excerpt(why, 300),
        });
    }
    if lines().any(|line| {
        line == "Connection timed out during banner exchange"
            || (line.starts_with("Connection to ") && line.ends_with(" timed out"))
    }) {
        let (host, seconds) = (host(), within.as_secs());
        return Fault::Final(TransportError::TooSlow { host, what: "finish the handshake", seconds });
    }
    if shown.is_none() && lines().any(|line| ENDED.iter().any(|start| line.starts_with(start))) {
        let why = lines().find(|line| line.contains("xchange_identification: ")).unwrap_or(last);
        let why = why.split_once("_identification: ").map_or(why, |(_, why)| why);
        return Fault::Dropped {
            why: format!("it ended the handshake: {}", excerpt(why, 120)),
            is_busy: why.contains("MaxStartups"),
        };
    }
    Fault::Final(TransportError::Unreachable {
        host: host(),
        address: hop.address,
        why: excerpt(last.strip_prefix("ssh: ").unwrap_or(last), 200),
    })
}

/// Why no channel through `jump` came to be; none where that is not what failed.
fn barred(hop: &Jump, jump: &HostName, said: &str) -> Option<String> {
    let port = hop.port;
    if said.contains("administratively prohibited") {
        return Some(format!(
            "{jump} does not forward to port {port} there; its sshd's AllowTcpForwarding and PermitOpen decide"
        ));
    }
    if said.contains("open failed") || said.contains("forwarding request failed") {
        return Some(format!("{jump} gets no answer at port {port} there"));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::{HostKeys, Identity};

    const PRINT: &str = "SHA256:uNiVztksCsDhcc0u9e8BrJXL44DoIKgiZEPj0GSqIGE";

    fn hop() -> Jump {
        Jump {
            host: "web-1".parse().unwrap(),
            address: "192.0.2.1".parse().unwrap(),
            port: crate::domain::Port::SSH,
            user: "alice".parse().unwrap(),
            identity: Identity::default(),
            host_keys: HostKeys::Pinned(std::sync::Arc::default()),
        }
    }

    fn of(log: &str) -> String {
        match read(&hop(), log, None, Duration::from_secs(7)) {
            Fault::Dropped { why, is_busy } => format!("dropped, busy {is_busy}: {why}"),
            Fault::Final(error) => error.to_string(),
        }
    }

    #[test]
    fn each_word_of_ssh_has_its_meaning() {
        let key = format!("debug1: Server host key: ssh-ed25519 {PRINT}\r\n");
        for (log, meaning) in [
            (
                format!("{key}No ED25519 host key is known for web-1 and you have requested strict checking.\r\nHost key verification failed.\r\n"),
                format!("no host key is pinned for web-1; it shows {PRINT}"),
            ),
            (
                format!("{key}@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\r\nHost key verification failed.\r\n"),
                format!("web-1 shows another host key than the pinned one: {PRINT}"),
            ),
            (
                format!("{key}@       WARNING: REVOKED HOST KEY DETECTED!               @\r\nHost key verification failed.\r\n"),
                format!("web-1 shows a revoked host key: {PRINT}"),
            ),
            (
                format!("{key}debug1: Offering public key: /k ED25519 {PRINT} explicit\r\nalice@192.0.2.1: Permission denied (publickey).\r\n"),
                format!("web-1 refused alice: it was offered /k ED25519 {PRINT} explicit; it takes publickey"),
            ),
            (
                format!("{key}alice@192.0.2.1: Permission denied (publickey).\r\n"),
                "no key to connect with: ssh had no key to offer: name one with --identity FILE, or add it with `ssh-add \
                 FILE`"
                    .to_owned(),
            ),
            (
                "kex_exchange_identification: Connection closed by remote host\r\nConnection closed by 192.0.2.1 port 22\r\n".to_owned(),
                "dropped, busy false: it ended the handshake: Connection closed by remote host".to_owned(),
            ),
            (
                "debug1: x\r\nssh: connect to host 192.0.2.1 port 22: Connection refused\r\n".to_owned(),
                "web-1 is unreachable at 192.0.2.1: connect to host 192.0.2.1 port 22: Connection refused".to_owned(),
            ),
            (
                "Unable to negotiate with 192.0.2.1 port 22: no matching host key type found. Their offer: ssh-rsa\r\n".to_owned(),
                "web-1 cannot be connected to at 192.0.2.1: no matching host key type found. Their offer: ssh-rsa".to_owned(),
            ),
            (
                "kex_exchange_identification: banner line 0: Exceeded MaxStartups\r\n".to_owned(),
                "dropped, busy true: it ended the handshake: banner line 0: Exceeded MaxStartups".to_owned(),
            ),
            (
                "debug1: x\r\nConnection to 192.0.2.1 port 22 timed out\r\n".to_owned(),
                "web-1 did not finish the handshake within 7 s".to_owned(),
            ),
            (String::new(), "web-1 is unreachable at 192.0.2.1: ssh says nothing".to_owned()),
        ] {
            assert_eq!(of(&log), meaning);
        }
    }
}
