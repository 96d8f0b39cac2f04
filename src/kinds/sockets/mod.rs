//! What listens on a host, observed only: no step ever stops a listener. The firewall decides what is reached; this
//! kind names what it cuts off.

mod declare;

use std::collections::BTreeSet;
use std::fmt::Write as _;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::{Port, Protocol};
use crate::resource::{Defeated, Frame, Kind, Question, Reading, Step, Unread, Verdict};
use crate::shell::Perl;
use crate::text::{excerpt, visible};

/// The listeners that a host declares. What else listens is named, never stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sockets {
    /// Listeners that may listen beyond loopback.
    pub expected: Vec<Endpoint>,
}

/// A declared port.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, schemars::JsonSchema, Deserialize,
)]
#[serde(deny_unknown_fields)]
pub struct Endpoint {
    /// TCP or UDP.
    pub protocol: Protocol,
    /// Its number.
    pub port: Port,
}

/// What listens, in the order that `ss` names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Answer {
    /// Every listener, those on loopback too.
    pub listeners: Vec<Listening>,
}

/// One listening socket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Listening {
    /// TCP or UDP.
    pub protocol: Protocol,
    /// The local address as `ss` writes it, with its scope: `0.0.0.0`, `*`, `[::]`, `127.0.0.53%lo`.
    pub address: String,
    /// Its port.
    pub port: u16,
    /// Who: `sshd (pid 312)`, more than one joined by commas; none where `ss` may not tell.
    pub process: Option<String>,
    /// The other ends of connections that stand on this port now.
    pub peers: Vec<String>,
}

impl Listening {
    /// Whether only the host itself reaches it.
    pub fn is_loopback(&self) -> bool {
        let bare = self.address.trim_matches(['[', ']']);
        let (address, scope) = bare.split_once('%').unwrap_or((bare, ""));
        let address = address.trim_end_matches(']');
        scope.trim_end_matches(']') == "lo"
            || address.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
    }
}

impl Sockets {
    /// What the firewall cuts off: each undeclared listener beyond loopback, with its process and its peers.
    pub fn undeclared(&self, answer: &Answer) -> Vec<String> {
        let mut seen = BTreeSet::new();
        answer
            .listeners
            .iter()
            .filter(|listening| !listening.is_loopback() && !self.declares(listening))
            .map(describe)
            .filter(|line| seen.insert(line.clone()))
            .collect()
    }

    /// The TCP ports of those, each once.
    pub fn undeclared_ports(&self, answer: &Answer) -> BTreeSet<u16> {
        let listeners = answer.listeners.iter().filter(|one| !one.is_loopback() && !self.declares(one));
        listeners.filter(|one| one.protocol == Protocol::Tcp).map(|one| one.port).collect()
    }

    fn declares(&self, listening: &Listening) -> bool {
        self.expected
            .iter()
            .any(|one| one.protocol == listening.protocol && one.port.number() == listening.port)
    }

    fn unserved(&self, answer: &Answer) -> Vec<String> {
        self.expected
            .iter()
            .filter(|one| {
                !answer.listeners.iter().any(|listening| {
                    !listening.is_loopback()
                        && one.protocol == listening.protocol
                        && one.port.number() == listening.port
                })
            })
            .map(|one| {
                format!("nothing listens on {} port {}, which is declared", one.protocol.as_str(), one.port)
            })
            .collect()
    }
}

fn describe(listening: &Listening) -> String {
    let process = listening.process.as_deref().unwrap_or("an unnamed process");
    let mut line = format!(
        "undeclared listener {} {}:{} by {}, which the declared rules cut off",
        listening.protocol.as_str(),
        visible(&listening.address),
        listening.port,
        excerpt(process, 120)
    );
    if !listening.peers.is_empty() {
        let shown: Vec<String> = listening.peers.iter().take(5).map(|peer| visible(peer)).collect();
        let more = if listening.peers.len() > shown.len() { " and others" } else { "" };
        let _ = write!(line, " (connected now: {}{more})", shown.join(", "));
    }
    line
}

impl Kind for Sockets {
    type Answer = Answer;

    fn question(_all: &[&Self]) -> Question {
        let body = Perl::new(include_str!("question.pl")).into();
        Question { label: "sockets", body, seconds: 20, cap: 4 << 20 }
    }

    fn read(all: &[&Self], frame: &Frame) -> Vec<Reading<Answer>> {
        let reading = read_answer(frame);
        all.iter().map(|_| reading.clone()).collect()
    }

    fn judge(&self, answer: &Answer, _now: Timestamp) -> Verdict {
        let mut notes = self.undeclared(answer);
        notes.extend(self.unserved(answer));
        Verdict::Compliant { notes }
    }

    fn remedy(&self, _answer: &Answer) -> Result<Vec<Step>, Defeated> {
        Ok(Vec::new())
    }

    fn name(&self) -> String {
        "listening sockets".to_owned()
    }
}

fn read_answer(frame: &Frame) -> Reading<Answer> {
    let said = || crate::resource::parts::said(&frame.stderr);
    let text = String::from_utf8_lossy(&frame.stdout);
    let unread = |what: &str| Err(Unread(format!("{what}{}", said())));
    let (mut listening, mut established) = (Vec::new(), Vec::new());
    let mut statuses = (None, None);
    for line in text.lines() {
        if let Some(status) = line.strip_prefix("listening ") {
            statuses.0 = Some(status);
        } else if let Some(status) = line.strip_prefix("established ") {
            statuses.1 = Some(status);
        } else if statuses.0.is_none() {
            listening.push(line);
        } else {
            established.push(line);
        }
    }
    match statuses {
        (Some("127"), _) => return unread("ss is not there (package iproute2)"),
        (Some("0"), Some("0")) => {}
        _ => return unread("ss failed"),
    }
    let mut listeners = Vec::new();
    for line in listening {
        match read_listener(line) {
            Some(listener) => listeners.push(listener),
            None => return unread(&format!("ss wrote a line of another form: {}", excerpt(line, 120))),
        }
    }
    // We came in through a listener: a host on which nothing listens was not asked.
    if listeners.is_empty() {
        return unread("ss named no listener at all, not even sshd");
    }
    for line in established {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [_, _, local, peer, ..] = fields.as_slice() else {
            return unread(&format!("ss wrote a line of another form: {}", excerpt(line, 120)));
        };
        let Some((_, port)) = local.rsplit_once(':') else { continue };
        let peer = peer.rsplit_once(':').map_or(*peer, |(address, _)| address).to_owned();
        for listener in &mut listeners {
            if listener.protocol == Protocol::Tcp
                && listener.port.to_string() == port
                && !listener.peers.contains(&peer)
            {
                listener.peers.push(peer.clone());
            }
        }
    }
    for listener in &mut listeners {
        listener.peers.sort();
    }
    Ok(Answer { listeners })
}

/// `tcp LISTEN 0 128 0.0.0.0:22 0.0.0.0:* users:(("sshd",pid=312,fd=3))`.
fn read_listener(line: &str) -> Option<Listening> {
    let mut fields = line.split_whitespace();
    let protocol = match fields.next()? {
        "tcp" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        _ => return None,
    };
    let (address, port) = fields.nth(3)?.rsplit_once(':')?;
    let port = port.parse().ok()?;
    // A process may have any name, spaces and quotes too: the field is whatever follows `users:`.
    let process = line.split_once("users:((").map(|(_, users)| read_users(users));
    Some(Listening { protocol, address: address.to_owned(), port, process, peers: Vec::new() })
}

/// `"sshd",pid=312,fd=3),("systemd",pid=1,fd=52))` → `sshd (pid 312), systemd (pid 1)`.
fn read_users(users: &str) -> String {
    let mut shown: Vec<String> = Vec::new();
    for user in users.split("),(") {
        let Some((name, rest)) = user.split_once("\",pid=") else { continue };
        let pid: String = rest.chars().take_while(char::is_ascii_digit).collect();
        let one = format!("{} (pid {pid})", visible(name.trim_start_matches('"')));
        if !shown.contains(&one) {
            shown.push(one);
        }
    }
    shown.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(stdout: &str) -> Reading<Answer> {
        let frame = Frame {
            label: "sockets".into(),
            status: 0,
            stdout: stdout.as_bytes().to_vec(),
            stderr: Vec::new(),
            cut: false,
        };
        Sockets::read(&[&Sockets { expected: Vec::new() }], &frame).remove(0)
    }

    #[test]
    fn loopback_is_known_by_address_and_by_scope() {
        let answer = read(
            "udp UNCONN 0 0 127.0.0.53%lo:53 0.0.0.0:*\nudp UNCONN 0 0 [::1]:323 [::]:*\ntcp LISTEN 0 1 [::ffff:127.0.0.1]:8080 *:*\n\
             tcp LISTEN 0 1 *:80 *:*\nudp UNCONN 0 0 [fe80::1%eth0]:546 [::]:*\nudp UNCONN 0 0 [fe80::1]%eth0:546 [::]:*\n\
             listening 0\nestablished 0\n",
        )
        .unwrap();
        let loopback: Vec<bool> = answer.listeners.iter().map(Listening::is_loopback).collect();
        assert_eq!(loopback, [true, true, true, false, false, false]);
        let declared =
            Sockets { expected: vec![Endpoint { protocol: Protocol::Tcp, port: 80.try_into().unwrap() }] };
        assert_eq!(declared.undeclared(&answer).len(), 2);
    }

    #[test]
    fn processes_and_peers_are_named_whatever_they_are_called() {
        let answer = read(
            "tcp LISTEN 0 5 0.0.0.0:8000 0.0.0.0:* users:((\"a b\x1b\",pid=7,fd=3),(\"a b\x1b\",pid=7,fd=4),(\"c\",pid=8,fd=3))\nlistening 0\n\
             0 0 10.0.0.1:8000 10.0.0.9:50000\n0 0 10.0.0.1:8000 10.0.0.9:50001\n0 0 10.0.0.1:41000 10.0.0.7:8000\nestablished 0\n",
        )
        .unwrap();
        assert_eq!(
            Sockets { expected: Vec::new() }.undeclared(&answer),
            [
                "undeclared listener tcp 0.0.0.0:8000 by a b\\u{1b} (pid 7), c (pid 8), which the declared rules cut off (connected now: 10.0.0.9)"
            ]
        );
    }

    #[test]
    fn an_answer_without_a_listener_is_no_answer() {
        assert!(read("listening 0\nestablished 0\n").is_err());
        assert!(read("").is_err());
        assert!(read("listening 127\nestablished 127\n").unwrap_err().to_string().contains("iproute2"));
        assert!(read("what is this\nlistening 0\nestablished 0\n").is_err());
        assert!(read("tcp LISTEN 0 5 0.0.0.0:22 0.0.0.0:*\nlistening 0\nestablished 1\n").is_err());
    }
}
