//! What the live firewall lets in and passes on, read from nft's own listing: from where each port may be reached. It
//! understands what palisade writes, and plain rules in the same words that somebody added; a rule that accepts in other
//! words is named as not understood, never passed over. Rules that drop are left out: with them the truth is narrower.

use serde::Serialize;

use crate::domain::{Cidr, Protocol};
use crate::resource::parts::{Part, line};
use crate::resource::{Frame, Reading, Unread, parts};

/// Text for the reader that defines `live_table()`.
pub(super) const LIVE: &str = include_str!("live.pl");

/// Text for the reader that defines `forwarding()`: whether the kernel passes packets on.
pub(super) const FORWARDING: &str = include_str!("forwarding.pl");

/// What the live table of ours amounts to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Live {
    /// nft is not installed.
    NoTool,
    /// There is no table `inet palisade`.
    NoTable,
    /// It is there.
    Table(Table),
}

/// The two chains that decide over packets from elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Table {
    /// Whether the input chain drops what no rule accepts.
    pub input_drops: bool,
    /// Whether the forward chain drops what no rule accepts.
    pub forward_drops: bool,
    /// What the input chain accepts from other machines.
    pub accepts: Vec<Accept>,
    /// What the forward chain accepts.
    pub forwards: Vec<String>,
    /// The same, by the ports of the host that connections were to before they were passed on; a rule that does not say
    /// is about all ports.
    pub passes: Vec<Accept>,
    /// Rules that may accept, in words that are not understood.
    pub strange: Vec<String>,
}

/// A rule that lets something in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Accept {
    /// As nft lists it.
    pub rule: String,
    /// From where; none is from everywhere.
    pub sources: Option<Vec<Cidr>>,
    /// Which ports; none is all of them.
    pub ports: Option<(Protocol, Vec<(u16, u16)>)>,
}

impl Accept {
    /// Whether it is about a port.
    pub(super) fn covers(&self, protocol: Protocol, port: u16) -> bool {
        self.ports.as_ref().is_none_or(|(of, ranges)| {
            *of == protocol && ranges.iter().any(|(first, last)| (*first..=*last).contains(&port))
        })
    }

    /// The sources that lie in none of `allowed`; `everywhere` where it has none.
    pub(super) fn beyond(&self, allowed: &[Cidr]) -> Vec<String> {
        let within = |source: &Cidr| {
            allowed.iter().any(|wider| wider.contains(source.first()) && wider.contains(source.last()))
        };
        match &self.sources {
            None => vec!["everywhere".to_owned()],
            Some(sources) => {
                sources.iter().filter(|source| !within(source)).map(ToString::to_string).collect()
            }
        }
    }
}

/// The live table, from a frame that holds [`LIVE`]'s answers.
pub(super) fn live(frame: &Frame) -> Reading<Live> {
    if let Ok(Part { status: 0, text }) = parts::part(frame, "nft-missing")
        && text == "yes"
    {
        return Ok(Live::NoTool);
    }
    let tables = parts::succeeded(frame, "tables")?;
    let mut lines = tables.lines();
    // A host without tables has an nft that says so by saying nothing: it must at least say what it is.
    if !lines.next().is_some_and(|line| line.starts_with("nftables v")) {
        return Err(Unread("nft did not say its version".to_owned()));
    }
    if let Some(other) = lines.find(|line| !line.starts_with("table ")) {
        return Err(Unread(format!("nft wrote a line of another form: {}", line(other))));
    }
    if !tables.lines().any(|line| line == "table inet palisade") {
        return Ok(Live::NoTable);
    }
    let listing = parts::succeeded(frame, "live")?;
    if !listing.text.starts_with("table inet palisade {") {
        return Err(Unread("nft listed nothing of the live table".to_owned()));
    }
    Ok(Live::Table(table(&listing.text)))
}

fn table(listing: &str) -> Table {
    let mut table = Table {
        input_drops: false,
        forward_drops: false,
        accepts: Vec::new(),
        forwards: Vec::new(),
        passes: Vec::new(),
        strange: Vec::new(),
    };
    let mut chain = "";
    for text in listing.lines() {
        let words = text.trim();
        if let Some(name) = words.strip_prefix("chain ").and_then(|rest| rest.strip_suffix(" {")) {
            chain = name;
        } else if words.starts_with("set ") || words.starts_with("map ") {
            chain = "";
        } else if words == "}" || words.is_empty() {
        } else if let Some(policy) = words.strip_prefix("type filter hook ") {
            let drops = policy.ends_with("policy drop;");
            match chain {
                "input" if policy.starts_with("input ") => table.input_drops = drops,
                "forward" if policy.starts_with("forward ") => table.forward_drops = drops,
                _ => {}
            }
        } else if chain == "input" {
            match meaning(words) {
                Meaning::LetsIn(accept) => table.accepts.push(accept),
                Meaning::Nothing => {}
                Meaning::Strange => table.strange.push(line(words)),
            }
        } else if chain == "forward" && !matches!(last_word(words), "drop" | "reject") {
            table.forwards.push(line(words));
            table.passes.extend(passing(words));
        }
    }
    table
}

enum Meaning {
    LetsIn(Accept),
    /// It lets nothing in that comes from another machine as the first packet to a port.
    Nothing,
    Strange,
}

fn without_comment(rule: &str) -> &str {
    rule.split(" comment \"").next().unwrap_or(rule).trim()
}

fn last_word(rule: &str) -> &str {
    without_comment(rule).rsplit(' ').next().unwrap_or_default()
}

/// What one rule of the input chain means.
fn meaning(rule: &str) -> Meaning {
    let bare = without_comment(rule);
    if matches!(last_word(rule), "drop") {
        return Meaning::Nothing;
    }
    let mut words = Words::of(bare);
    let mut sources: Option<Vec<Cidr>> = None;
    let mut ports = None;
    while let Some(word) = words.next() {
        match word {
            "drop" | "counter" | "continue" => {}
            "log" | "limit" | "add" | "update" | "reject" | "return" => {
                return Meaning::Nothing.unless_accepts(bare);
            }
            "accept" => {
                return Meaning::LetsIn(Accept { rule: line(bare), sources, ports });
            }
            "iif" | "iifname" => {
                if words.next() == Some("\"lo\"") {
                    return Meaning::Nothing;
                }
                // Another interface narrows it.
            }
            "ct" => match (words.next(), words.next()) {
                (Some("state"), Some(states)) => {
                    if !states.contains("new") && !states.contains("untracked") {
                        return Meaning::Nothing;
                    }
                }
                _ => return Meaning::Strange,
            },
            "icmp" | "icmpv6" => return Meaning::Nothing,
            "ip" | "ip6" => match (words.next(), words.value()) {
                (Some("saddr"), Some(value)) => match networks(&value) {
                    Some(networks) => sources = Some(networks),
                    None => return Meaning::Strange,
                },
                _ => return Meaning::Strange,
            },
            "tcp" | "udp" => match (words.next(), words.value()) {
                (Some("dport"), Some(value)) => {
                    let protocol = if word == "tcp" { Protocol::Tcp } else { Protocol::Udp };
                    match ranges(&value) {
                        Some(ranges) => ports = Some((protocol, ranges)),
                        None => return Meaning::Strange,
                    }
                }
                _ => return Meaning::Strange,
            },
            _ => return Meaning::Strange,
        }
    }
    Meaning::Nothing
}

/// Whose connections a rule of the forward chain passes on, by the ports that they were to before. A word that is not
/// understood narrows it at most.
fn passing(rule: &str) -> Option<Accept> {
    let bare = without_comment(rule);
    let mut words = Words::of(bare);
    let mut accept = Accept { rule: line(bare), sources: None, ports: None };
    let mut protocol = None;
    while let Some(word) = words.next() {
        match word {
            "ct" => match (words.next(), words.next()) {
                (Some("state"), Some(states)) if !states.contains("new") => return None,
                (Some("original"), Some("proto-dst")) => {
                    let ranges = words.value().and_then(|value| ranges(&value));
                    accept.ports = protocol.zip(ranges);
                }
                _ => {}
            },
            "l4proto" => {
                protocol = match words.next() {
                    Some("tcp" | "6") => Some(Protocol::Tcp),
                    Some("udp" | "17") => Some(Protocol::Udp),
                    _ => None,
                };
            }
            "ip" | "ip6" if words.next() == Some("saddr") => {
                accept.sources = words.value().and_then(|value| networks(&value));
            }
            _ => {}
        }
    }
    Some(accept)
}

impl Meaning {
    /// Itself, where the rule's verdict is not to accept.
    fn unless_accepts(self, rule: &str) -> Self {
        if matches!(last_word(rule), "accept") || rule.contains("jump ") || rule.contains("goto ") {
            Self::Strange
        } else {
            self
        }
    }
}

/// The words of a rule, a set in braces as one value.
pub(super) struct Words<'a>(std::iter::Peekable<std::str::SplitWhitespace<'a>>);

impl<'a> Words<'a> {
    pub(super) fn of(rule: &'a str) -> Self {
        Self(rule.split_whitespace().peekable())
    }

    pub(super) fn next(&mut self) -> Option<&'a str> {
        self.0.next()
    }

    /// The members of a set, or one word.
    pub(super) fn value(&mut self) -> Option<Vec<String>> {
        let first = self.0.next()?;
        if first != "{" {
            return Some(vec![first.to_owned()]);
        }
        let mut members = Vec::new();
        for word in self.0.by_ref() {
            if word == "}" {
                return Some(members);
            }
            members.push(word.trim_end_matches(',').to_owned());
        }
        None
    }
}

fn networks(members: &[String]) -> Option<Vec<Cidr>> {
    members
        .iter()
        .map(|member| match member.split_once('-') {
            None => member.parse().ok().map(|one| vec![one]),
            Some((first, last)) => between(first, last),
        })
        .collect::<Option<Vec<_>>>()
        .map(|all| all.concat())
}

/// The addresses from `first` to `last`, both included, where they are few enough to be named one by one.
fn between(first: &str, last: &str) -> Option<Vec<Cidr>> {
    let (first, last): (std::net::Ipv4Addr, std::net::Ipv4Addr) = (first.parse().ok()?, last.parse().ok()?);
    let (first, last) = (u32::from(first), u32::from(last));
    (first <= last && last - first < 256).then(|| {
        (first..=last)
            .map(|number| crate::domain::Address::new(std::net::Ipv4Addr::from(number).into()).as_cidr())
            .collect()
    })
}

/// The ports that `members` of a set stand for.
pub(super) fn ranges(members: &[String]) -> Option<Vec<(u16, u16)>> {
    members
        .iter()
        .map(|member| match member.split_once('-') {
            None => member.parse().ok().map(|port| (port, port)),
            Some((first, last)) => Some((first.parse().ok()?, last.parse().ok()?)),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(rules: &str) -> Table {
        table(&format!(
            "table inet palisade {{\n\tchain input {{\n\t\ttype filter hook input priority filter; policy drop;\n{rules}\t}}\n\n\
             \tchain forward {{\n\t\ttype filter hook forward priority filter; policy drop;\n\t}}\n}}"
        ))
    }

    #[test]
    fn what_palisade_writes_is_understood() {
        let listing = include_str!("ruleset/example.nft");
        let from = listing.find("table inet palisade {").unwrap();
        let table = table(&listing[from..]);
        assert_eq!(table.strange, Vec::<String>::new());
        assert!(table.input_drops && table.forward_drops && table.forwards.is_empty());
        assert!(table.accepts.iter().any(|accept| accept.covers(Protocol::Tcp, 22)));
        assert!(!table.accepts.iter().any(|accept| accept.covers(Protocol::Tcp, 23)));
    }

    #[test]
    fn what_somebody_added_is_understood_or_strange() {
        let table = read(
            "\t\ttcp dport { 80, 8000-8100 } accept\n\t\tip saddr { 10.0.0.1, 10.0.1.0/24 } tcp dport 22 counter packets 1 accept\n\
             \t\tip saddr 10.0.0.1-10.0.0.2 accept comment \"x accept\"\n\t\tjump others\n\t\taccept\n\t\ttcp dport @mine accept\n\
             \t\tct state established,related accept\n\t\tiif \"lo\" accept\n\t\ttcp dport 25 drop\n",
        );
        let accepts: Vec<&str> = table.accepts.iter().map(|accept| accept.rule.as_str()).collect();
        assert_eq!(
            accepts,
            ["tcp dport { 80, 8000-8100 } accept", "ip saddr 10.0.0.1-10.0.0.2 accept", "accept"]
        );
        assert_eq!(table.strange.len(), 3, "{:?}", table.strange);
        let allowed: Vec<Cidr> = vec!["10.0.0.1".parse().unwrap()];
        assert_eq!(table.accepts[0].beyond(&allowed), ["everywhere"]);
        assert_eq!(table.accepts[1].beyond(&allowed), ["10.0.0.2"]);
        assert!(table.accepts[0].covers(Protocol::Tcp, 8050) && !table.accepts[0].covers(Protocol::Udp, 80));
        assert!(table.accepts[2].covers(Protocol::Udp, 1));
    }
}
