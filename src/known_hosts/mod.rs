//! OpenSSH's `known_hosts` format (sshd(8), `SSH_KNOWN_HOSTS FILE FORMAT`), and our strict policy over it.
//!
//! Hosts are pinned under their inventory name, as ssh(1) looks them up with `HostKeyAlias=NAME`: neither the address
//! nor the port takes part, so a host that moves keeps its pin. For text that parses, [`KnownHosts::judge`] gives the
//! verdict that ssh(1) gives, but for one line that ssh overlooks: a revocation with a tab behind its marker is honoured
//! here. What ssh(1) silently skips (a damaged key, an unknown marker) is refused here with its
//! line, since the line that is skipped may be the revocation; so is `@cert-authority`, which nothing here honours.
//!
//! Edits are text to text and keep every other line, comments included. This module reads and writes no file.

use std::collections::HashMap;
use std::fmt::Write as _;

use hmac::{Hmac, KeyInit as _, Mac as _};

use crate::domain::{HostName, PublicKey};
use crate::text::{excerpt, from_base64, glob};

/// A parsed file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KnownHosts {
    entries: Vec<Entry>,
    /// Where the entries stand that name exactly one host, by its name in lower case.
    plain: HashMap<String, Vec<usize>>,
    /// Where the others stand: several names, patterns, hashed ones.
    others: Vec<usize>,
    text: String,
}

/// One line with a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its line in the file, counted from 1.
    pub line: usize,
    /// Whether the key is marked `@revoked`.
    pub revoked: bool,
    /// Whom it names.
    names: Names,
    /// The key, without the comment behind it.
    pub key: PublicKey,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Names {
    Patterns(Vec<Pattern>),
    /// HMAC-SHA1 of one name, keyed with the salt.
    Hashed {
        salt: Vec<u8>,
        hash: Vec<u8>,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Pattern {
    negated: bool,
    /// In lower case; `*` stands for any text, `?` for one character.
    glob: String,
}

/// What the file says about a key that a host shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judgement {
    /// The key is pinned for the host.
    Accepted,
    /// No key is pinned for the host.
    Unknown,
    /// Other keys are pinned for the host.
    Changed,
    /// The key is marked revoked for the host, whatever else is pinned.
    Revoked,
}

/// A line that is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {why}")]
pub struct Refused {
    /// Counted from 1.
    pub line: usize,
    /// What is wrong.
    pub why: String,
    /// What to do.
    pub fix: &'static str,
}

impl KnownHosts {
    /// All entries of `text`, or the first line that cannot be honoured.
    pub fn parse(text: &str) -> Result<Self, Refused> {
        let mut entries = Vec::new();
        for (index, line) in text.split('\n').enumerate() {
            let number = index + 1;
            let parsed = parse_line(line).map_err(|(why, fix)| Refused { line: number, why, fix })?;
            if let Some((revoked, names, key)) = parsed {
                entries.push(Entry { line: number, revoked, names, key });
            }
        }
        let mut plain: HashMap<String, Vec<usize>> = HashMap::new();
        let mut others = Vec::new();
        for (place, entry) in entries.iter().enumerate() {
            match entry.names.plain() {
                Some(name) => plain.entry(name.to_owned()).or_default().push(place),
                None => others.push(place),
            }
        }
        Ok(Self { entries, plain, others, text: text.to_owned() })
    }

    /// The entries that stand for `name`, in no order. A fleet's file has a line for each host: looking at all of them
    /// for each would cost its square.
    fn of(&self, name: &str) -> impl Iterator<Item = &Entry> {
        let name = name.to_ascii_lowercase();
        let plain = self.plain.get(&name).into_iter().flatten();
        let plain = plain.filter_map(|place| self.entries.get(*place));
        let others = self.others.iter().filter_map(|place| self.entries.get(*place));
        plain.chain(others.filter(move |entry| entry.names.match_name(&name)))
    }

    /// The file, as it was parsed: for ssh(1).
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What ssh(1) with `HostKeyAlias=name` would say of `key`.
    pub fn judge(&self, name: &str, key: &PublicKey) -> Judgement {
        let mut judgement = Judgement::Unknown;
        for entry in self.of(name) {
            match (entry.revoked, entry.key == *key) {
                (true, true) => return Judgement::Revoked,
                (false, true) => judgement = Judgement::Accepted,
                (false, false) if judgement == Judgement::Unknown => judgement = Judgement::Changed,
                (_, false) => {}
            }
        }
        judgement
    }

    /// The keys pinned for `name`, revoked ones left out.
    pub fn keys(&self, name: &str) -> Vec<&PublicKey> {
        let mut pinned: Vec<&Entry> = self.of(name).filter(|entry| !entry.revoked).collect();
        pinned.sort_unstable_by_key(|entry| entry.line);
        pinned.into_iter().map(|entry| &entry.key).collect()
    }

    /// Whether any line stands for `name`, revoked ones included.
    pub fn names(&self, name: &str) -> bool {
        self.of(name).next().is_some()
    }

    /// Every entry, in the file's order.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }
}

impl Entry {
    /// Whether it stands for `name`.
    pub fn names(&self, name: &str) -> bool {
        self.names.match_name(&name.to_ascii_lowercase())
    }
}

impl Names {
    /// `name` is in lower case. One negated pattern that matches keeps the whole line from matching (`ssh_config(5)`,
    /// PATTERNS).
    fn match_name(&self, name: &str) -> bool {
        match self {
            Self::Patterns(patterns) => {
                let mut matched = false;
                for pattern in patterns.iter().filter(|pattern| glob(&pattern.glob, name)) {
                    if pattern.negated {
                        return false;
                    }
                    matched = true;
                }
                matched
            }
            Self::Hashed { salt, hash } => Hmac::<sha1::Sha1>::new_from_slice(salt).is_ok_and(|mut mac| {
                mac.update(name.as_bytes());
                mac.verify_slice(hash).is_ok()
            }),
        }
    }

    /// The one name that the line stands for, where it is written out.
    fn plain(&self) -> Option<&str> {
        match self {
            Self::Patterns(patterns) => match patterns.as_slice() {
                [only] if !only.negated && !only.glob.contains(['*', '?']) => Some(&only.glob),
                _ => None,
            },
            Self::Hashed { .. } => None,
        }
    }

    /// Whether the line names exactly `name`, without wildcard or negation: what `pin` wrote.
    fn is_only(&self, name: &str) -> bool {
        match self {
            Self::Patterns(patterns) => {
                matches!(patterns.as_slice(), [only] if !only.negated && only.glob == name)
            }
            Self::Hashed { .. } => self.match_name(name),
        }
    }
}

type Parsed = Option<(bool, Names, PublicKey)>;

fn parse_line(line: &str) -> Result<Parsed, (String, &'static str)> {
    let blanks = [' ', '\t'];
    let line = line.strip_suffix('\r').unwrap_or(line).trim_start_matches(blanks);
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    if let Some(bad) = line.chars().find(|c| c.is_control() && *c != '\t') {
        return Err((format!("a control character (U+{:04X})", u32::from(bad)), "remove it"));
    }
    let (first, rest) = word(line);
    let (revoked, names, rest) = match first {
        "@revoked" => {
            let (names, rest) = word(rest);
            (true, names, rest)
        }
        "@cert-authority" => {
            return Err((
                "@cert-authority is not supported: palisade pins host keys, not authorities".to_owned(),
                "pin the host's own key with `palisade enrol`, and remove the line",
            ));
        }
        marker if marker.starts_with('@') => {
            return Err((
                format!("unknown marker `{}`", excerpt(marker, 40)),
                "only @revoked is known; remove the line or correct it",
            ));
        }
        names => (false, names, rest),
    };
    let fix = "write: name, key type, base64, each after a blank; `palisade enrol` writes it for you";
    if names.is_empty() {
        return Err(("a marker without a host name".to_owned(), fix));
    }
    let names = parse_names(names).map_err(|why| (why.to_owned(), fix))?;
    let (kind, rest) = word(rest);
    let (blob, _comment) = word(rest);
    if kind.is_empty() || blob.is_empty() {
        return Err(("no key behind the host name".to_owned(), fix));
    }
    let key = format!("{kind} {blob}").parse::<PublicKey>().map_err(|malformed| (malformed.why, fix))?;
    Ok(Some((revoked, names, key)))
}

/// The first word of `text`, and what follows the blanks behind it.
fn word(text: &str) -> (&str, &str) {
    let blanks = [' ', '\t'];
    let (word, rest) = text.split_once(blanks).unwrap_or((text, ""));
    (word, rest.trim_start_matches(blanks))
}

fn parse_names(text: &str) -> Result<Names, &'static str> {
    if let Some(hashed) = text.strip_prefix('|') {
        let (salt, hash) = hashed
            .strip_prefix("1|")
            .and_then(|rest| rest.split_once('|'))
            .ok_or("a hashed name that is not |1|salt|hash")?;
        let salt = from_base64(salt).filter(|salt| salt.len() == 20);
        let hash = from_base64(hash).filter(|hash| hash.len() == 20);
        return match (salt, hash) {
            (Some(salt), Some(hash)) => Ok(Names::Hashed { salt, hash }),
            _ => Err("a hashed name whose salt or hash is damaged"),
        };
    }
    let mut patterns = Vec::new();
    for pattern in text.split(',') {
        let (negated, glob) = match pattern.strip_prefix('!') {
            Some(glob) => (true, glob),
            None => (false, pattern),
        };
        if glob.is_empty() {
            return Err("an empty host name in the list");
        }
        if glob.starts_with('|') {
            return Err("a hashed name within a list of names");
        }
        patterns.push(Pattern { negated, glob: glob.to_ascii_lowercase() });
    }
    Ok(Names::Patterns(patterns))
}

/// `text` with `keys` pinned for `host`, in addition to what is pinned. The same text where all of them are.
pub fn pin(text: &str, host: &HostName, keys: &[PublicKey]) -> Result<String, Refused> {
    let known = KnownHosts::parse(text)?;
    let mut edited = text.to_owned();
    for key in keys {
        if !known.keys(host.as_str()).contains(&key) {
            if !edited.is_empty() && !edited.ends_with('\n') {
                edited.push('\n');
            }
            let _ = writeln!(edited, "{host} {}", key.material());
        }
    }
    Ok(edited)
}

/// `text` without the keys pinned for exactly `host`. A line that names others too keeps them; `@revoked` lines stay,
/// and so do wildcard lines: [`KnownHosts::keys`] of the result says what still stands for the host.
pub fn unpin(text: &str, host: &HostName) -> Result<String, Refused> {
    let known = KnownHosts::parse(text)?;
    let mut edited = String::with_capacity(text.len());
    for (index, line) in text.split_inclusive('\n').enumerate() {
        let entry = known.entries.iter().find(|entry| entry.line == index + 1 && !entry.revoked);
        match entry.map(|entry| &entry.names) {
            Some(names) if names.is_only(host.as_str()) => {}
            Some(Names::Patterns(patterns))
                if patterns.iter().any(|pattern| !pattern.negated && pattern.glob == host.as_str()) =>
            {
                edited.push_str(&without_name(line, host).unwrap_or_default());
            }
            _ => edited.push_str(line),
        }
    }
    Ok(edited)
}

/// `line` with `host` taken out of its list of names; none where no positive name is left.
fn without_name(line: &str, host: &HostName) -> Option<String> {
    let blanks = [' ', '\t'];
    let rest = line.trim_start_matches(blanks);
    let names = rest.split(blanks).next()?;
    let kept: Vec<&str> = names.split(',').filter(|name| !name.eq_ignore_ascii_case(host.as_str())).collect();
    let positive = kept.iter().any(|name| !name.starts_with('!'));
    positive.then(|| kept.join(",") + rest.get(names.len()..).unwrap_or_default())
}

/// `text` with exactly `keys` pinned for `host` by name: [`unpin`], then [`pin`]. For a host that was installed anew.
pub fn repin(text: &str, host: &HostName, keys: &[PublicKey]) -> Result<String, Refused> {
    pin(&unpin(text, host)?, host, keys)
}

#[cfg(test)]
mod tests;
