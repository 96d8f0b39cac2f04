//! Readers of what several files hold: keys, networks, who may reach a listener. Each refuses what is wrong whatever
//! stands elsewhere.

use crate::domain::{Address, Cidr, Family, KeyAlgorithm, PublicKey, RoleName};
use crate::inventory::From;
use crate::source::{Map, Value};
use crate::text::Malformed;

/// Something, and where it stands.
#[derive(Clone)]
pub(super) struct Found<'d, T> {
    pub(super) it: T,
    pub(super) at: Value<'d>,
}

/// Newest version of the files' shape that this palisade reads.
pub(crate) const SCHEMA: u32 = 1;

/// Fewest bits of an RSA key.
const RSA_BITS: u32 = 3072;

/// A list of public keys, at least one.
pub(super) fn keys<'d>(value: &Value<'d>) -> Vec<Found<'d, PublicKey>> {
    let Some(items) = value.list() else { return Vec::new() };
    if items.is_empty() {
        value.refuse("no key", "write the line of a .pub file, in quotes");
    }
    let mut found: Vec<Found<'d, PublicKey>> = Vec::new();
    for at in items {
        let Some(it) = key(&at) else { continue };
        if let Some(first) = found.iter().find(|other| other.it == it) {
            at.refuse("the same key twice", &format!("it stands in {} already: keep one", first.at.place()));
        }
        found.push(Found { it, at });
    }
    found
}

fn key(at: &Value<'_>) -> Option<PublicKey> {
    let text = at.text()?;
    if crate::source::holds_private_key(text) {
        return None; // refused already, for the file as a whole
    }
    if text.trim().contains('\n') {
        at.refuse("a key of several lines", "write the one line of the .pub file, in quotes");
        return None;
    }
    if has_options(text) {
        at.refuse(
            "options stand before the key",
            "write type, base64 and comment only: palisade sets what an account may do",
        );
        return None;
    }
    let key = at.checked(text.parse::<PublicKey>())?;
    let refused = match key.algorithm() {
        KeyAlgorithm::Ed25519 | KeyAlgorithm::SkEd25519 => None,
        KeyAlgorithm::Rsa(bits) if bits >= RSA_BITS => None,
        KeyAlgorithm::Rsa(bits) => Some(format!("an RSA key of {bits} bits")),
        KeyAlgorithm::NistEcdsa => Some("an ECDSA key on a NIST curve".to_owned()),
        KeyAlgorithm::Dsa => Some("a DSA key".to_owned()),
        KeyAlgorithm::Other => Some("a key of an unknown type".to_owned()),
    };
    match refused {
        None => Some(key),
        Some(why) => {
            at.refuse(
                &why,
                &format!("make one with `ssh-keygen -t ed25519`; RSA takes {RSA_BITS} bits or more"),
            );
            None
        }
    }
}

fn has_options(text: &str) -> bool {
    const TYPES: [&str; 4] = ["ssh-", "ecdsa-", "sk-", "rsa-"];
    let first = text.split_whitespace().next().unwrap_or_default();
    !TYPES.iter().any(|kind| first.starts_with(kind))
        && text.split_whitespace().any(|word| TYPES.iter().any(|kind| word.starts_with(kind)))
}

/// A list of networks, at least one, none too broad, none twice.
pub(super) fn networks<'d>(value: &Value<'d>) -> Vec<Found<'d, Cidr>> {
    let Some(items) = value.list() else { return Vec::new() };
    if items.is_empty() {
        value.refuse("the list is empty", "write at least one address or prefix, such as 198.51.100.10");
    }
    let mut found: Vec<Found<'d, Cidr>> = Vec::new();
    for at in items {
        let Some(it) = cidr(&at) else { continue };
        if let Some(other) = found.iter().find(|other| other.it.overlaps(&it)) {
            let why = format!("overlaps {} ({})", other.it, other.at.place());
            at.refuse(&why, "keep the one that is meant");
        }
        found.push(Found { it, at });
    }
    for family in [Family::V4, Family::V6] {
        let whole = found.iter().any(|one| one.it.family() == family && one.it.prefix() == 0);
        if !whole && cover_everything(found.iter().map(|one| one.it).filter(|one| one.family() == family)) {
            value.refuse("the parts add up to the whole internet", "write the networks that are meant");
        }
    }
    found
}

fn cidr(at: &Value<'_>) -> Option<Cidr> {
    let text = at.text()?;
    let cidr: Cidr = at.checked(text.parse().map_err(|error: Malformed| {
        let named = text.chars().any(|c| c.is_ascii_alphabetic()) && !text.contains(':');
        if named {
            Malformed::new("a name where an address is meant: nothing is ever resolved", error.fix)
        } else {
            error
        }
    }))?;
    let narrowest = cidr.family().broadest();
    if cidr.prefix() == 0 {
        at.refuse(
            "the whole internet",
            "write the networks that are meant; a listener for everyone says `from: internet`",
        );
    } else if cidr.prefix() < narrowest {
        at.refuse(
            &format!("broader than /{narrowest}"),
            "write the networks that are meant, each on its own",
        );
    } else if let Some(why) = unusable(cidr.first()) {
        at.refuse(why, "write an address that hosts can see packets from");
    }
    Some(cidr)
}

fn cover_everything(networks: impl Iterator<Item = Cidr>) -> bool {
    let number = |address: Address| match address.ip() {
        std::net::IpAddr::V4(v4) => u128::from(v4.to_bits()),
        std::net::IpAddr::V6(v6) => v6.to_bits(),
    };
    let mut top = None;
    let mut ranges: Vec<(u128, u128)> = networks
        .map(|one| {
            top = Some(if one.family() == Family::V4 { u128::from(u32::MAX) } else { u128::MAX });
            (number(one.first()), number(one.last()))
        })
        .collect();
    ranges.sort_unstable();
    let Some(top) = top else { return false };
    let mut reached: Option<u128> = None;
    for (first, last) in ranges {
        let next = reached.map_or(Some(0), |end| end.checked_add(1));
        if next.is_some_and(|next| first > next) {
            return false;
        }
        reached = Some(reached.map_or(last, |end| end.max(last)));
    }
    reached == Some(top)
}

/// Why no server can have `address`, if none can.
pub(super) fn unusable(address: Address) -> Option<&'static str> {
    let ip = address.ip();
    if ip.is_loopback() {
        return Some("a loopback address");
    }
    if ip.is_multicast() {
        return Some("a multicast address");
    }
    if ip.is_unspecified() {
        return Some("the unspecified address");
    }
    match ip {
        std::net::IpAddr::V4(v4) if v4.is_broadcast() => Some("the broadcast address"),
        std::net::IpAddr::V4(v4) if v4.is_link_local() => Some("a link-local address"),
        std::net::IpAddr::V6(v6) if v6.is_unicast_link_local() => Some("a link-local address"),
        _ => None,
    }
}

/// Who may reach a listener.
pub(super) fn from(value: &Value<'_>) -> Option<From> {
    let text = value.text()?;
    match (text, text.strip_prefix("role:")) {
        ("internet", _) => Some(From::Internet),
        ("admin", _) => Some(From::Admin),
        ("private", _) => Some(From::Private),
        (_, Some(role)) => value.checked(role.parse::<RoleName>()).map(From::Role),
        _ => {
            let fix = match crate::text::nearest(text, ["internet", "admin", "private"]) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "write internet, admin, private, or role:NAME".to_owned(),
            };
            value.refuse("nobody is called that", &fix);
            None
        }
    }
}

/// Refuses files of a later palisade.
pub(crate) fn schema(map: &Map<'_>) {
    if let Some(value) = map.field("schema")
        && value.number().is_some_and(|schema| schema > SCHEMA)
    {
        let fix = format!("install a newer one; this one reads schema {SCHEMA}");
        value.refuse("written for a newer palisade", &fix);
    }
}
