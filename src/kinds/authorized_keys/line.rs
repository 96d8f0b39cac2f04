//! The lines of an `authorized_keys` file (sshd(8), section on its format). Anything that sshd might take for a
//! key is one here too, whether or not palisade knows its type.

use base64::Engine as _;
use sha2::{Digest as _, Sha256};

use crate::text::excerpt;

/// A line that is neither blank nor a comment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// `SHA256:…` of the key; none where no key is recognised in the line.
    pub(super) fingerprint: Option<String>,
    /// What stands before the key: `command="…"`, `cert-authority`. None for nothing.
    pub(super) options: Option<String>,
    /// What stands behind the key; where none is recognised, the whole line.
    pub(super) rest: String,
    /// The line as it stands, without its end.
    pub(super) text: String,
}

impl Entry {
    /// `SHA256:… (comment)`, safe to show.
    pub(super) fn shown(&self) -> String {
        let rest = excerpt(&self.rest, 60);
        match (&self.fingerprint, rest.is_empty()) {
            (Some(print), true) => format!("key {print}"),
            (Some(print), false) => format!("key {print} ({rest})"),
            (None, _) => format!("the line `{rest}`"),
        }
    }
}

/// The entries of a file's `content`.
pub(super) fn entries(content: &str) -> Vec<Entry> {
    content
        .lines()
        .map(|line| line.trim_matches(['\r', '\0']))
        .filter(|line| {
            let line = line.trim_start_matches([' ', '\t']);
            !line.is_empty() && !line.starts_with('#')
        })
        .map(entry)
        .collect()
}

fn entry(text: &str) -> Entry {
    let line = text.trim_matches([' ', '\t']);
    let found = key(line).map(|(print, rest)| (print, None, rest)).or_else(|| {
        let end = options(line);
        let behind = line.get(end..)?.trim_start_matches([' ', '\t']);
        key(behind).map(|(print, rest)| (print, line.get(..end).map(str::to_owned), rest))
    });
    match found {
        Some((print, options, rest)) => {
            Entry { fingerprint: Some(print), options, rest: rest.to_owned(), text: text.to_owned() }
        }
        None => Entry { fingerprint: None, options: None, rest: line.to_owned(), text: text.to_owned() },
    }
}

/// `TYPE BASE64 REST` at the start of `line`: the fingerprint, if the base64 names that type itself (RFC 4253 6.6),
/// and the rest.
fn key(line: &str) -> Option<(String, &str)> {
    let blank = [' ', '\t'];
    let (name, behind) = line.split_once(blank)?;
    let behind = behind.trim_start_matches(blank);
    let (body, rest) = behind.split_once(blank).unwrap_or((behind, ""));
    let blob = crate::text::from_base64(body).or_else(|| {
        base64::engine::general_purpose::STANDARD_NO_PAD.decode(body.trim_end_matches('=')).ok()
    })?;
    let length = u32::from_be_bytes(blob.get(..4)?.try_into().ok()?);
    let inner = blob.get(4..4 + usize::try_from(length).ok()?)?;
    if inner.is_empty() || inner != name.as_bytes() {
        return None;
    }
    let print = base64::engine::general_purpose::STANDARD_NO_PAD.encode(Sha256::digest(&blob));
    Some((format!("SHA256:{print}"), rest.trim_matches(blank)))
}

/// Where the options at the start of `line` end: at the first blank outside double quotes.
fn options(line: &str) -> usize {
    let mut quoted = false;
    let mut escaped = false;
    for (at, character) in line.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            ' ' | '\t' if !quoted => return at,
            _ => {}
        }
    }
    line.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHqZeJbvyOHYBk8H4DR1Wv6dY7UoWZDnq+sPN9D7Rl5z";

    #[test]
    fn a_fingerprint_is_the_one_that_ssh_keygen_shows() {
        let parsed: crate::domain::PublicKey = KEY.parse().unwrap();
        let found = entries(&format!("# c\n\n  {KEY} ops@laptop \n"));
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].fingerprint.as_deref(), Some(parsed.fingerprint().as_str()));
        assert_eq!((found[0].rest.as_str(), found[0].options.as_deref()), ("ops@laptop", None));
    }

    #[test]
    fn options_may_hold_blanks_and_quotes() {
        let found = entries(&format!("command=\"echo \\\"a b\\\"\",no-pty\t{KEY}\ncert-authority {KEY} ca"));
        assert_eq!(found[0].options.as_deref(), Some("command=\"echo \\\"a b\\\"\",no-pty"));
        assert_eq!(found[1].options.as_deref(), Some("cert-authority"));
        assert!(found.iter().all(|entry| entry.fingerprint.is_some()));
    }

    #[test]
    fn what_is_no_key_is_listed_all_the_same() {
        let found = entries("ssh-ed25519 AAAA\u{1b}[31m x\nnonsense\r\n");
        assert_eq!(found.len(), 2);
        assert!(found.iter().all(|entry| entry.fingerprint.is_none()));
        assert_eq!(found[0].shown(), "the line `ssh-ed25519 AAAA\\u{1b}[31m x`");
    }

    proptest::proptest! {
        /// Every line that is neither blank nor a comment is an entry, and is shown without a control character.
        #[test]
        fn no_file_breaks_the_reader(content in "([ -~\t\"\\\\,=#\u{1b}\u{202e}é]{0,30}(ssh-ed25519 [A-Za-z0-9+/]{0,40}={0,2})?[ -~]{0,9}\n){0,6}", cut in 0..KEY.len()) {
            let content = format!("{content}x=\"{}\n{}", &KEY[cut..], &KEY[..cut]);
            let said = content.lines().filter(|line| {
                let line = line.trim_matches(['\r', '\0']).trim_start_matches([' ', '\t']);
                !line.is_empty() && !line.starts_with('#')
            });
            let found = entries(&content);
            proptest::prop_assert_eq!(found.len(), said.count());
            for entry in &found {
                proptest::prop_assert!(!entry.shown().contains(crate::text::is_deceptive));
            }
        }
    }
}
