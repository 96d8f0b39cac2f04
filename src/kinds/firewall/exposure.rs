//! Ways by which the internet could reach what it must never reach: public addresses, routes, firewall rules, forwarding
//! and published container ports, on the host itself; and on every other host, ports that are passed on to it. It reads
//! addresses, routes and rules as the kernel has them. A proxy that answers in the name of another host is a program, and
//! not seen.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::live::{self, FORWARDING, LIVE, Live, Table};
use crate::domain::{Address, Cidr};
use crate::resource::{Defeated, Frame, Kind, Question, Reading, Step, Unread, Verdict, parts};
use crate::shell::Perl;
use crate::text::visible;

/// What must not be reached from the internet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exposure {
    /// True where one of the host's roles is declared `internet: never`.
    pub never: bool,
    /// The private networks of its environment.
    pub private: Vec<Cidr>,
    /// Routers on these networks, through which it may reach the internet.
    #[serde(default)]
    pub gateways: Vec<Address>,
    /// Management sources, which may reach it beside those.
    pub sources: Vec<Cidr>,
    /// The addresses of other hosts of which it is true.
    pub protected: Arc<[Address]>,
}

/// What the host says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Answer {
    /// Its addresses with their interfaces, but loopback and link-local ones.
    pub addresses: Vec<(String, Address)>,
    /// Its interfaces that are bridges: what containers and virtual machines hang on.
    pub bridges: Vec<String>,
    /// Routes to everywhere, as `ip` shows them.
    pub ways_out: Vec<String>,
    /// Whether it passes packets on between networks.
    pub forwards: bool,
    /// Its live firewall.
    pub live: Live,
    /// Rules that send packets on to other addresses.
    pub passed_on: Vec<String>,
    /// Docker's proxies for published ports, as `ss` shows them.
    pub proxies: Vec<String>,
}

impl Kind for Exposure {
    type Answer = Answer;

    fn question(_all: &[&Self]) -> Question {
        let body = Perl::new(LIVE).then(FORWARDING).then(include_str!("exposure.pl")).into();
        Question { label: "exposure", body, seconds: 20, cap: 4 << 20 }
    }

    fn read(all: &[&Self], frame: &Frame) -> Vec<Reading<Answer>> {
        let reading = answer(frame);
        all.iter().map(|_| reading.clone()).collect()
    }

    fn judge(&self, answer: &Answer, _now: Timestamp) -> Verdict {
        if !self.never && self.protected.is_empty() {
            let reason = "no role of this environment is declared `internet: never`".to_owned();
            return Verdict::NotApplicable { reason };
        }
        let mut findings = Vec::new();
        let mut notes = Vec::new();
        let mut unknown = None;
        if self.never {
            self.itself(answer, &mut findings, &mut notes);
            match &answer.live {
                Live::NoTool => findings
                    .push("nft is not installed (package nftables), so nothing is filtered".to_owned()),
                Live::NoTable => {
                    findings.push("no table inet palisade is loaded, so nothing is filtered".to_owned());
                }
                Live::Table(table) => {
                    self.rules(table, answer.forwards, &mut findings);
                    unknown = table.strange.first().cloned();
                }
            }
            findings.extend(
                answer.passed_on.iter().map(|rule| format!("a port is passed on or published: {rule}")),
            );
            findings
                .extend(answer.proxies.iter().map(|line| format!("a container's port is published: {line}")));
        }
        let (mut aimed, mut unaimed) = (Vec::new(), Vec::new());
        for rule in &answer.passed_on {
            match destination(rule) {
                Some(to) if self.protected.contains(&to) => {
                    aimed.push(format!("a port is passed on to {to}: {rule}"));
                }
                Some(_) => {}
                None => unaimed.push(rule),
            }
        }
        findings.extend(aimed);
        // Written by iptables over nftables: nft shows that there is such a rule, iptables-save shows where it leads.
        let readable = answer.passed_on.len() - unaimed.len();
        if !self.never && unaimed.len() > readable {
            unknown = unaimed.first().map(|rule| (*rule).clone());
        }
        match (findings.is_empty(), unknown) {
            (false, _) => Verdict::Drift { findings },
            (true, Some(rule)) => Verdict::Unknown {
                reason: format!("there is a rule that palisade does not understand: {rule}"),
            },
            (true, None) => {
                if !self.never {
                    notes.push(
                        "the internet may reach this host; it passes nothing on to those that it must not"
                            .to_owned(),
                    );
                }
                Verdict::Compliant { notes }
            }
        }
    }

    fn remedy(&self, _answer: &Answer) -> Result<Vec<Step>, Defeated> {
        Ok(Vec::new())
    }

    fn name(&self) -> String {
        "exposure to the internet".to_owned()
    }
}

impl Exposure {
    fn itself(&self, answer: &Answer, findings: &mut Vec<String>, notes: &mut Vec<String>) {
        for (interface, address) in &answer.addresses {
            let shown = visible(interface);
            if self.private.iter().any(|network| network.contains(*address)) {
            } else if !is_public(*address) && answer.bridges.contains(interface) {
                notes.push(format!(
                    "{shown} has the address {address}, which only containers or guests on this host share"
                ));
            } else {
                findings.push(format!("{shown} has the address {address}, which lies in no private network"));
            }
        }
        // A public address and a way back are what makes a host reachable; through a router that answers in its own name
        // a host without one only reaches out.
        for route in &answer.ways_out {
            match via(route) {
                Some(gateway) if self.gateways.contains(&gateway) => notes.push(format!(
                    "it reaches the internet through {gateway}, as declared; what that router lets in is its own to say"
                )),
                Some(gateway) if self.private.iter().any(|network| network.contains(gateway)) => findings.push(format!(
                    "there is a route to the internet: {route} (a router of yours? declare {gateway} under \
                     `networks.gateways`)"
                )),
                _ => findings.push(format!("there is a route to the internet: {route}")),
            }
        }
    }

    fn rules(&self, table: &Table, forwards: bool, findings: &mut Vec<String>) {
        if !table.input_drops {
            findings.push("the firewall drops nothing by itself".to_owned());
        }
        let mut allowed = [self.private.as_slice(), self.sources.as_slice()].concat();
        allowed.extend("fe80::/10".parse::<Cidr>());
        for accept in &table.accepts {
            let strangers = accept.beyond(&allowed);
            if !strangers.is_empty() {
                findings.push(format!(
                    "open to {}: {}",
                    parts::listed(&strangers, 5).join(", "),
                    accept.rule
                ));
            }
        }
        if forwards && !table.forward_drops {
            findings.push(
                "it passes packets on between networks, and the firewall does not stop them".to_owned(),
            );
        }
        if forwards {
            findings.extend(table.forwards.iter().map(|rule| format!("passed on between networks: {rule}")));
        }
    }
}

/// The only router of a route, as `ip` shows it: `default via 10.20.0.1 dev eth0 proto static`.
fn via(route: &str) -> Option<Address> {
    let mut words = route.split_whitespace();
    match (words.next(), words.next(), words.next()) {
        (Some("default"), Some("via"), Some(router)) => router.parse().ok(),
        _ => None,
    }
}

/// Whether the address is one that the internet routes: none of those set aside for private networks, carriers, links
/// and documentation (RFC 1918, 6598, 3927, 4193, 4291).
fn is_public(address: Address) -> bool {
    match address.ip() {
        std::net::IpAddr::V4(ip) => {
            let [first, second, ..] = ip.octets();
            !(ip.is_private()
                || ip.is_link_local()
                || ip.is_loopback()
                || (first == 100 && (64..128).contains(&second)))
        }
        std::net::IpAddr::V6(ip) => {
            let [first, ..] = ip.segments();
            !(ip.is_loopback() || (first & 0xfe00) == 0xfc00 || (first & 0xffc0) == 0xfe80)
        }
    }
}

/// Where a rule of nft's or of iptables-save's leads.
fn destination(rule: &str) -> Option<Address> {
    let word = |mark: &str| rule.split_once(mark).and_then(|(_, rest)| rest.split_whitespace().next());
    let to = word("--to-destination ")
        .or_else(|| word("dnat to "))
        .or_else(|| word("dnat ip to "))
        .or_else(|| word("dnat ip6 to "))?;
    let bracketed = to.strip_prefix('[').and_then(|rest| rest.split(']').next());
    bracketed
        .unwrap_or(to)
        .parse()
        .ok()
        .or_else(|| to.rsplit_once(':').and_then(|(address, _)| address.parse().ok()))
}

/// The interface and address of each line of `ip -o address show`, but those of the host alone.
pub(crate) fn addresses(part: &parts::Part) -> Reading<Vec<(String, Address)>> {
    let mut found = Vec::new();
    let mut loopback = false;
    for line in part.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [_, interface, "inet" | "inet6", network, ..] = words.as_slice() else {
            return Err(Unread(format!("ip wrote a line of another form: {}", parts::line(line))));
        };
        let address: Address = network
            .split('/')
            .next()
            .and_then(|address| address.parse().ok())
            .ok_or_else(|| Unread(format!("ip wrote a line of another form: {}", parts::line(line))))?;
        let local = match address.ip() {
            std::net::IpAddr::V4(ip) => ip.is_loopback() || ip.is_link_local(),
            std::net::IpAddr::V6(ip) => {
                ip.is_loopback() || (ip.segments().first().copied().unwrap_or(0) & 0xffc0) == 0xfe80
            }
        };
        loopback |= address.ip().is_loopback();
        if !local {
            found.push(((*interface).to_owned(), address));
        }
    }
    // Every host has one: an ip that names none was not ip.
    if !loopback || found.is_empty() {
        return Err(Unread("ip named no address".to_owned()));
    }
    Ok(found)
}

fn answer(frame: &Frame) -> Reading<Answer> {
    let routes = parts::succeeded(frame, "routes")?;
    if !routes.lines().any(|line| line.contains(" table local ")) {
        return Err(Unread("ip named no route".to_owned()));
    }
    let bridges = parts::succeeded(frame, "bridges")?;
    if !bridges.lines().any(|line| line == "plain lo") {
        return Err(Unread("the host did not say which interfaces it has".to_owned()));
    }
    let switches = parts::succeeded(frame, "switches")?;
    if switches.text.is_empty() {
        return Err(Unread("the kernel did not say whether it forwards".to_owned()));
    }
    let listeners = parts::succeeded(frame, "listeners")?;
    if listeners.text.is_empty() {
        return Err(Unread("ss named no listener at all, not even sshd".to_owned()));
    }
    let proxies: BTreeSet<String> = listeners
        .lines()
        .filter(|line| line.contains("((\"docker-proxy\""))
        .filter_map(|line| line.split_whitespace().nth(4))
        .filter(|local| !local.starts_with("127.") && !local.starts_with("[::1]"))
        .map(visible)
        .collect();
    Ok(Answer {
        addresses: addresses(&parts::succeeded(frame, "addresses")?)?,
        bridges: bridges.lines().filter_map(|line| line.strip_prefix("bridge ").map(str::to_owned)).collect(),
        ways_out: routes.lines().filter(|line| line.starts_with("default ")).map(parts::line).collect(),
        forwards: switches.lines().any(|line| line.trim() != "0"),
        live: live::live(frame)?,
        passed_on: parts::succeeded(frame, "passed")?.lines().map(parts::line).collect(),
        proxies: proxies.into_iter().collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_leads_where_it_says() {
        let to = |rule| destination(rule).map(|address| address.to_string());
        assert_eq!(
            to("-A DOCKER -p tcp --dport 80 -j DNAT --to-destination 172.17.0.2:80").as_deref(),
            Some("172.17.0.2")
        );
        assert_eq!(to("tcp dport 5432 dnat to 10.20.0.5:5432").as_deref(), Some("10.20.0.5"));
        assert_eq!(to("tcp dport 5432 dnat ip6 to [2001:db8::5]:5432").as_deref(), Some("2001:db8::5"));
        assert_eq!(to("dnat to 10.20.0.5").as_deref(), Some("10.20.0.5"));
        assert_eq!(to("tcp dport 80 counter xt target \"DNAT\""), None);
    }

    #[test]
    fn a_way_out_through_a_declared_router_is_no_way_in() {
        let network: Cidr = "10.20.0.0/24".parse().unwrap();
        let exposure = |gateways: &[&str]| Exposure {
            never: true,
            private: vec![network],
            gateways: gateways.iter().map(|one| one.parse().unwrap()).collect(),
            sources: Vec::new(),
            protected: Vec::new().into(),
        };
        let answer = |route: &str, address: &str| Answer {
            addresses: vec![("priv0".to_owned(), address.parse().unwrap())],
            bridges: Vec::new(),
            ways_out: vec![route.to_owned()],
            forwards: false,
            live: Live::Table(Table {
                input_drops: true,
                forward_drops: true,
                accepts: Vec::new(),
                forwards: Vec::new(),
                passes: Vec::new(),
                strange: Vec::new(),
            }),
            passed_on: Vec::new(),
            proxies: Vec::new(),
        };
        let judged = |gateways: &[&str], route: &str, address: &str| {
            exposure(gateways).judge(&answer(route, address), Timestamp::UNIX_EPOCH)
        };
        let route = "default via 10.20.0.1 dev priv0 proto static";
        let Verdict::Compliant { notes } = judged(&["10.20.0.1"], route, "10.20.0.5") else { panic!() };
        assert!(notes.iter().any(|note| note.contains("through 10.20.0.1, as declared")), "{notes:?}");
        let Verdict::Drift { findings } = judged(&[], route, "10.20.0.5") else { panic!() };
        assert!(findings[0].contains("declare 10.20.0.1 under `networks.gateways`"), "{findings:?}");
        // Nothing else becomes right by it: another router, a route without one, a public address.
        for (route, address) in [
            ("default via 10.20.0.2 dev priv0", "10.20.0.5"),
            ("default via 198.51.100.1 dev host0", "10.20.0.5"),
            ("default dev priv0 scope link", "10.20.0.5"),
            (route, "198.51.100.7"),
        ] {
            let verdict = judged(&["10.20.0.1"], route, address);
            assert!(matches!(verdict, Verdict::Drift { .. }), "{route} {address}: {verdict:?}");
        }
    }

    #[test]
    fn a_route_names_its_router() {
        let to = |route| via(route).map(|address| address.to_string());
        assert_eq!(to("default via 10.20.0.1 dev priv0 proto static").as_deref(), Some("10.20.0.1"));
        for other in
            ["default dev priv0 scope link", "default proto static", "default via inet6 fe80::1 dev x"]
        {
            assert_eq!(to(other), None, "{other}");
        }
    }

    #[test]
    fn public_is_what_the_internet_routes() {
        let public = |text: &str| is_public(text.parse().unwrap());
        assert!(public("8.8.8.8") && public("100.128.0.1") && public("2a01::1"));
        for private in ["10.0.0.1", "172.17.0.1", "192.168.1.1", "100.64.0.1", "fd00::1", "fe80::1"] {
            assert!(!public(private), "{private}");
        }
    }
}
