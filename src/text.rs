//! Foreign text made safe to show, and refusals shown as annotated source.
//!
//! What comes from a host, a file or a person may hold terminal escapes, bidirectional overrides or newlines.
//! Nothing of the kind reaches a terminal or a report except through [`visible`]. This module prints nothing.

use std::fmt::Write as _;

/// `foreign` with every control, formatting and bidirectional character escaped (`\u{1b}`), so that it can stand
/// on one line of a terminal or a log. Printable text, in any script, stays as it is.
pub fn visible(foreign: &str) -> String {
    let mut shown = String::with_capacity(foreign.len());
    for character in foreign.chars() {
        match character {
            '\n' => shown.push_str("\\n"),
            '\t' => shown.push_str("\\t"),
            '\r' => shown.push_str("\\r"),
            _ if is_deceptive(character) => {
                let _ = write!(shown, "\\u{{{:x}}}", u32::from(character));
            }
            _ => shown.push(character),
        }
    }
    shown
}

/// Like [`visible`], but newlines are kept: for blocks such as a diff or a tool's answer.
pub fn visible_block(foreign: &str) -> String {
    foreign.split('\n').map(visible).collect::<Vec<_>>().join("\n")
}

/// At most `limit` characters of `foreign`, made [`visible`], with an ellipsis where something was cut.
pub fn excerpt(foreign: &str, limit: usize) -> String {
    let trimmed = foreign.trim();
    if trimmed.chars().count() <= limit {
        return visible(trimmed);
    }
    let cut: String = trimmed.chars().take(limit).collect();
    format!("{}…", visible(&cut))
}

/// The bytes that `text` stands for in standard base64 with padding (RFC 4648 4); none where it is anything else.
pub fn from_base64(text: &str) -> Option<Vec<u8>> {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.decode(text).ok()
}

fn is_deceptive(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{2064}' | '\u{2066}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_and_overrides_are_shown_not_obeyed() {
        assert_eq!(visible("a\u{1b}[31mb\u{202e}c\nd"), "a\\u{1b}[31mb\\u{202e}c\\nd");
        assert_eq!(visible("Zoë 日本"), "Zoë 日本");
    }

    #[test]
    fn an_excerpt_says_that_it_is_one() {
        assert_eq!(excerpt("  abcdef ", 3), "abc…");
        assert_eq!(excerpt("abc", 3), "abc");
    }
}
