//! What no file of a project may hold, whatever its fields mean: broken encoding, tabs, invisible characters, private
//! keys, passwords. Knows nothing of inventories.

use std::ops::Range;

use super::file::{File, Report};
use super::reader::Value;
use super::secrets::{holds_private_key, is_secret_name};
use super::yaml::{Content, Node};
use crate::text::is_deceptive;

/// Largest file, in bytes. Ten thousand hosts need about 1.6 MB.
const LARGEST: usize = 4 << 20;

/// The text of a file, where it can be one; refusals go to `report`.
pub(super) fn text(path: &str, bytes: &[u8], report: &Report) -> Option<String> {
    let whole = |why: String, fix: &str| {
        report.whole(path, &why, fix);
        None
    };
    if bytes.len() > LARGEST {
        let why = format!("the file has {} bytes, more than the {LARGEST} that are read", bytes.len());
        return whole(why, "split it, or look for what does not belong there");
    }
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return whole(
            "the file is UTF-16, not UTF-8".to_owned(),
            "save it as UTF-8 without a byte-order mark",
        );
    }
    if bytes.starts_with(&[0xef, 0xbb, 0xbf]) {
        let why = "the file starts with a byte-order mark";
        return whole(why.to_owned(), "save it as UTF-8 without a byte-order mark");
    }
    if bytes.contains(&0) {
        return whole("NUL bytes: the file is no text, or UTF-16".to_owned(), "save it as UTF-8");
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => Some(text.to_owned()),
        Err(error) => {
            let good = bytes.get(..error.valid_up_to()).unwrap_or_default();
            let line = good.split(|byte| *byte == b'\n').count();
            report.line(path, line, "not UTF-8", "save it as UTF-8");
            None
        }
    }
}

/// Refuses what the raw lines of `file` may not hold; false where parsing makes no sense.
pub(super) fn lines(file: &File, report: &Report) -> bool {
    let mut sound = true;
    let meaningful = |line: &str| !line.trim().is_empty() && !line.trim_start().starts_with('#');
    if !file.text.lines().any(meaningful) {
        report.whole(
            &file.path,
            "the file is empty",
            "fill it, or remove it; `palisade init DIR` writes an example",
        );
        return false;
    }
    for (start, line) in file.lines() {
        let indentation = line.len() - line.trim_start_matches([' ', '\t']).len();
        if let Some(tab) = line.get(..indentation).and_then(|blank| blank.find('\t')) {
            sound = false;
            let at = start + tab;
            report.at(file, at..at + 1, "", "a tab in the indentation", "indent with spaces");
        }
    }
    sound & characters(file, report)
}

/// Refuses invisible and control characters; false where there are any.
pub(super) fn characters(file: &File, report: &Report) -> bool {
    let mut sound = true;
    for (start, line) in file.lines() {
        for (at, character) in line.char_indices() {
            if is_deceptive(character) && !matches!(character, '\t' | '\r') {
                sound = false;
                let why = format!("an invisible or control character, U+{:04X}", u32::from(character));
                let at = start + at;
                report.at(
                    file,
                    at..at + character.len_utf8(),
                    "",
                    &why,
                    "remove it, or write what was meant",
                );
            }
        }
    }
    sound
}

/// Refuses private keys anywhere in `file`, comments included. `root` finds the field.
pub(super) fn private_keys(file: &File, root: Option<&Node>, report: &Report) {
    let mut inside = false;
    for (start, line) in file.lines() {
        let found = holds_private_key(line);
        if found && !inside {
            let field = root.map(|root| field_at(root, start + line.len() / 2)).unwrap_or_default();
            refuse_private_key(file, start..start + line.len(), &field, report);
        }
        // The body below its armour belongs to the same key.
        inside = found && line.contains("BEGIN");
    }
}

fn refuse_private_key(file: &File, at: Range<usize>, field: &str, report: &Report) {
    let fix = "remove it from the file and its history, treat it as leaked, and make a new pair; write the .pub file's line";
    report.secret_at(file, at, field, "a private key", fix);
}

fn field_at(node: &Node, at: usize) -> String {
    match &node.content {
        Content::Scalar { .. } => String::new(),
        Content::List(items) => {
            let found = items.iter().enumerate().find(|(_, item)| item.span.contains(&at));
            found.map_or_else(String::new, |(index, item)| join(&format!("[{index}]"), &field_at(item, at)))
        }
        Content::Map(entries) => {
            let found =
                entries.iter().rev().find(|entry| entry.key_span.start <= at && at < entry.value.span.end);
            found.map_or_else(String::new, |entry| join(&entry.key, &field_at(&entry.value, at)))
        }
    }
}

fn join(head: &str, tail: &str) -> String {
    if tail.is_empty() || tail.starts_with('[') { format!("{head}{tail}") } else { format!("{head}.{tail}") }
}

/// Refuses secrets, invisible characters and template syntax in any value below `value`.
pub(super) fn values(value: &Value<'_>, report: &Report) {
    match &value.node.content {
        Content::Scalar { text, .. } => {
            if holds_private_key(text) && !value.source().contains("PRIVATE KEY") {
                refuse_private_key(value.file, value.node.span.clone(), &value.path, report);
            }
            if has_login(text) {
                let fix = "leave the name and password out of the address; where one is needed, name it: secret:NAME";
                report.secret_at(
                    value.file,
                    value.node.span.clone(),
                    &value.path,
                    "a login in an address",
                    fix,
                );
            }
            if text.chars().any(|c| is_deceptive(c) && !matches!(c, '\n' | '\t')) {
                value.refuse("an invisible or control character", "remove it, or write what was meant");
            }
        }
        Content::List(_) => value.items().iter().for_each(|item| values(item, report)),
        Content::Map(_) => {
            for (key, inner) in value.fields() {
                if is_plaintext_secret(&key, inner.node) {
                    let fix = "no secret stands in these files, nor where it is: name it, secret:NAME";
                    let why = if names_a_place(&inner) {
                        "a place of a secret, which is each user's to choose"
                    } else {
                        "a secret in plain text"
                    };
                    report.secret_at(inner.file, inner.node.span.clone(), &inner.path, why, fix);
                } else {
                    values(&inner, report);
                }
            }
        }
    }
}

fn is_plaintext_secret(key: &str, node: &Node) -> bool {
    let Content::Scalar { text, .. } = &node.content else { return false };
    is_secret_name(key) && !text.is_empty() && !text.starts_with("secret:")
}

/// Whether it says where a secret would be, as files of an earlier palisade did.
fn names_a_place(value: &Value<'_>) -> bool {
    matches!(&value.node.content, Content::Scalar { text, .. } if text.starts_with("env:") || text.starts_with("file:"))
}

fn has_login(text: &str) -> bool {
    text.split_once("://").is_some_and(|(_, rest)| {
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        authority.contains('@')
    })
}
