//! What filters of others do beside ours, read from nft's listing of all rules: ports that are passed on before our
//! input chain sees them (as Docker does with published ones), rules that drop what comes in, and the programs that
//! wrote them. An accept of ours overrules none of it. It names them, and touches nothing.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::super::live::{Words, ranges};
use crate::domain::{Digest, Port, Protocol};
use crate::resource::{Reading, Unread, parts};
use crate::text::visible;

/// What filters of others do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Others {
    /// Ports that are passed on to another address or port.
    pub passed: Vec<PassedOn>,
    /// Rules behind the input hook that drop, with their chain.
    pub drops: Vec<String>,
    /// Which programs wrote which tables, as far as their chains tell.
    pub writers: BTreeMap<String, BTreeSet<&'static str>>,
}

/// A port that is passed on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct PassedOn {
    /// The rule, as nft lists it.
    pub rule: String,
    /// Where it stands: `chain DOCKER of table ip nat`.
    pub chain: String,
    /// Which ports; none where the rule does not say, or says so in words that nft does not know.
    pub ports: Option<(Protocol, Vec<(u16, u16)>)>,
    /// Whether it is about one address of the host, or about packets from a place: then it may not be about all.
    pub narrowed: bool,
}

impl PassedOn {
    pub(super) fn is_about(&self, protocol: Protocol, port: Port) -> bool {
        self.ports.as_ref().is_some_and(|(of, ranges)| {
            *of == protocol && ranges.iter().any(|(first, last)| (*first..=*last).contains(&port.number()))
        })
    }

    /// Which ports, for people.
    pub(super) fn told(&self) -> String {
        match &self.ports {
            None => "some ports".to_owned(),
            Some((protocol, ranges)) => {
                let ports: Vec<String> = ranges
                    .iter()
                    .map(
                        |(first, last)| {
                            if first == last { first.to_string() } else { format!("{first}-{last}") }
                        },
                    )
                    .collect();
                format!("{} port {}", protocol.as_str(), parts::listed(&ports, 8).join(", "))
            }
        }
    }
}

/// Those whose chains are known by their names; those that filter by themselves what comes in, and not only what they pass on.
const WRITERS: [(&str, &str); 7] = [
    ("DOCKER", "Docker"),
    ("ufw", "ufw"),
    ("firewalld", "firewalld"),
    ("KUBE-", "Kubernetes"),
    ("LIBVIRT_", "libvirt"),
    ("CNI-", "CNI"),
    ("NETAVARK", "Podman"),
];

/// Programs that decide over everything that comes in, as palisade does.
pub(super) const FIREWALLS: [&str; 2] = ["ufw", "firewalld"];

/// The firewalls among those whose chains of iptables are named, a line each: where nft is missing nothing else tells.
pub(super) fn by_iptables(chains: &str) -> BTreeSet<&'static str> {
    chains.lines().filter_map(writer).filter(|who| FIREWALLS.contains(who)).collect()
}

/// What is wrong with a second firewall.
pub(super) fn second(who: &str, place: &str) -> String {
    format!(
        "{who} filters too ({place}), and what it does not let in stays out whatever is declared: declare what it lets \
         in, then switch it off"
    )
}

fn writer(name: &str) -> Option<&'static str> {
    WRITERS.into_iter().find(|(mark, _)| name.starts_with(mark)).map(|(_, who)| who)
}

/// Whether a table is the one that is judged as a whole.
pub(super) fn is_ours(table: &str) -> bool {
    table == "inet palisade"
}

/// Whether a table comes and goes with bans, as its name says: palisade's own, or fail2ban's. Rules that ban are looked for in
/// no other, and whatever else a rule in it does counts as another's.
pub(super) fn holds_bans(table: &str) -> bool {
    table == "inet palisade-bans" || table.contains(" f2b-")
}

/// Whether a rule drops what comes from addresses, and does nothing else.
fn is_ban(rule: &str) -> bool {
    let rule = format!(" {rule} ");
    let told = |word: &str| rule.contains(&format!(" {word} "));
    told("saddr")
        && (told("drop") || told("reject"))
        && !["accept", "dnat", "jump", "goto", "redirect"].into_iter().any(told)
}

#[derive(Default)]
struct Chain<'a> {
    hook: Option<&'a str>,
    to: Vec<&'a str>,
    drops: Vec<&'a str>,
}

/// From what `palisade_rules` printed: every one of `tables` must stand there.
pub(super) fn read(said: &str, tables: &[&str]) -> Reading<Others> {
    let listing = whole(said).ok_or_else(|| Unread("nft's list of all rules is not whole".to_owned()))?;
    let mut others = Others::default();
    let mut chains: BTreeMap<(&str, &str), Chain<'_>> = BTreeMap::new();
    let (mut table, mut chain) = ("", "");
    let mut seen = BTreeSet::new();
    for text in listing.lines() {
        let words = text.trim();
        // Behind the brace nft 1.1 says who owns a table: `# progname firewalld`.
        if let Some(name) =
            text.strip_prefix("table ").and_then(|rest| rest.split_once(" {")).map(|(name, _)| name)
        {
            (table, chain) = (name, "");
            seen.insert(name);
            if let Some(who) = name.split(' ').nth(1).and_then(writer) {
                others.writers.entry(name.to_owned()).or_default().insert(who);
            }
            continue;
        }
        if is_ours(table) {
            continue;
        }
        if let Some(name) = words.strip_prefix("chain ").and_then(|rest| rest.strip_suffix(" {")) {
            chain = name;
            chains.entry((table, chain)).or_default();
            if let Some(who) = writer(name) {
                others.writers.entry(table.to_owned()).or_default().insert(who);
            }
            continue;
        }
        let Some(this) = chains.get_mut(&(table, chain)) else { continue };
        if words.starts_with("type ") && words.contains(" hook ") {
            this.hook = words.split(" hook ").nth(1).and_then(|rest| rest.split(' ').next());
            continue;
        }
        let bare = words.split(" comment \"").next().unwrap_or(words);
        for mark in ["jump ", "goto "] {
            this.to.extend(bare.split(mark).nth(1).and_then(|rest| rest.split(' ').next()));
        }
        let bans = (holds_bans(table) || chain.starts_with("f2b-")) && is_ban(bare);
        if !bans && bare.split(' ').any(|word| word == "drop" || word == "reject") {
            this.drops.push(bare);
        }
        if passes_on(bare) {
            others.passed.push(PassedOn {
                rule: parts::line(bare),
                chain: format!("chain {} of table {}", visible(chain), visible(table)),
                ports: ports(bare),
                narrowed: [" daddr ", " saddr "].iter().any(|mark| format!(" {bare}").contains(mark)),
            });
        }
    }
    if let Some(table) = tables.iter().find(|table| !seen.contains(**table)) {
        return Err(Unread(format!("nft listed no rules of table {}", visible(table))));
    }
    others.drops = drops(&chains);
    Ok(others)
}

/// What stands before its digest, where it is what was summed up.
fn whole(said: &str) -> Option<&str> {
    let (listing, digest) = said.trim_end().rsplit_once("\nsum ")?;
    (Digest::of(format!("{listing}\n").as_bytes()).as_str() == digest).then_some(listing)
}

fn passes_on(rule: &str) -> bool {
    rule.contains("dnat to ")
        || rule.contains("dnat ip to ")
        || rule.contains("dnat ip6 to ")
        || rule.contains("\"DNAT\"")
}

/// The ports that a rule is about.
fn ports(rule: &str) -> Option<(Protocol, Vec<(u16, u16)>)> {
    let mut words = Words::of(rule);
    let mut before = "";
    while let Some(word) = words.next() {
        if word == "dport" {
            let protocol = match before {
                "tcp" => Protocol::Tcp,
                "udp" => Protocol::Udp,
                _ => return None,
            };
            return Some((protocol, ranges(&words.value()?)?));
        }
        before = word;
    }
    None
}

/// The rules that drop, and are no bans, in chains which packets from elsewhere come to.
fn drops(chains: &BTreeMap<(&str, &str), Chain<'_>>) -> Vec<String> {
    let mut open: Vec<(&str, &str)> =
        chains.iter().filter(|(_, chain)| chain.hook == Some("input")).map(|(place, _)| *place).collect();
    let mut reached = BTreeSet::new();
    let mut found = Vec::new();
    while let Some((table, name)) = open.pop() {
        if !reached.insert((table, name)) {
            continue;
        }
        let Some(chain) = chains.get(&(table, name)) else { continue };
        found.extend(chain.drops.iter().map(|rule| {
            format!("chain {} of table {}: {}", visible(name), visible(table), parts::line(rule))
        }));
        open.extend(chain.to.iter().map(|to| (table, *to)));
    }
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTING: &str = "table inet palisade {\n\tchain input {\n\t\ttype filter hook input priority filter; policy drop;\n\
        \t\tct state invalid drop\ntable ip nat {\n\tchain DOCKER {\n\t\tiifname != \"docker0\" tcp dport 8090 counter dnat to 172.17.0.2:80\n\
        \t\tip daddr 192.0.2.7 udp dport { 53, 5000-5010 } dnat to 10.0.0.9\n\t\txt target \"DNAT\"\n\
        table inet f2b-table {\n\tchain f2b-chain {\n\t\ttype filter hook input priority filter - 1; policy accept;\n\t\ttcp dport 22 ip saddr @addr-set-sshd reject\n\
        \t\ttcp dport 443 drop\n\tchain mine {\n\t\ttcp dport 9000 dnat to 10.0.0.8\n\
        table ip filter { # progname x\n\tchain ufw-user-input {\n\t\ttcp dport 25 drop comment \"reject\"\n\tchain f2b-x {\n\t\tip saddr 192.0.2.9 reject\n\
        \tchain INPUT {\n\t\ttype filter hook input priority filter; policy drop;\n\t\tcounter jump ufw-user-input\n\t\tjump f2b-x\n\
        \tchain FORWARD {\n\t\ttype filter hook forward priority filter; policy drop;\n\t\tdrop\n";

    #[test]
    fn what_others_do_is_read_from_their_rules() {
        let others = read(&summed(LISTING), &["ip nat", "ip filter"]).unwrap();
        let told: Vec<String> = others.passed.iter().map(PassedOn::told).collect();
        assert_eq!(told, ["tcp port 8090", "udp port 53, 5000-5010", "some ports", "tcp port 9000"]);
        assert!(others.passed[0].is_about(Protocol::Tcp, Port::try_from(8090).unwrap()));
        assert!(!others.passed[0].is_about(Protocol::Udp, Port::try_from(8090).unwrap()));
        assert_eq!(
            others.passed.iter().map(|one| one.narrowed).collect::<Vec<_>>(),
            [false, true, false, false]
        );
        // what fail2ban's names hold besides bans is nobody's secret
        assert_eq!(
            others.drops,
            [
                "chain f2b-chain of table inet f2b-table: tcp dport 443 drop",
                "chain ufw-user-input of table ip filter: tcp dport 25 drop"
            ]
        );
        let writers: Vec<(&str, Vec<&str>)> = others
            .writers
            .iter()
            .map(|(table, who)| (table.as_str(), who.iter().copied().collect()))
            .collect();
        assert_eq!(writers, [("ip filter", vec!["ufw"]), ("ip nat", vec!["Docker"])]);
    }

    fn summed(listing: &str) -> String {
        format!("{listing}sum {}\n", Digest::of(listing.as_bytes()).as_str())
    }

    #[test]
    fn a_table_without_its_rules_is_unread_and_so_is_a_list_that_lost_one() {
        let tables = ["ip nat", "ip filter"];
        assert!(read(&summed(LISTING), &["ip nat", "ip mangle"]).is_err());
        assert!(read(LISTING, &tables).is_err());
        for line in LISTING.lines() {
            assert!(read(&summed(LISTING).replacen(&format!("{line}\n"), "", 1), &tables).is_err(), "{line}");
        }
    }
}
