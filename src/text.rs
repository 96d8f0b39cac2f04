//! Foreign text made safe to show, and refusals shown as annotated source.
//!
//! What comes from a host, a file or a person may hold terminal escapes, bidirectional overrides or newlines.
//! Nothing of the kind reaches a terminal or a report except through [`visible`]. This module prints nothing.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Level, Renderer};

/// Why a value was refused: what is wrong with it, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct Malformed {
    /// What is wrong, as a lower-case fragment.
    pub why: String,
    /// What is accepted.
    pub fix: String,
}

impl Malformed {
    /// `why` it is refused, and the `fix`.
    pub fn new(why: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { why: why.into(), fix: fix.into() }
    }
}

/// `foreign` with every control, formatting and bidirectional character escaped (`\u{1b}`), so that it can stand
/// on one line of a terminal or a log. Printable text, in any script, stays as it is.
pub fn visible(foreign: &str) -> String {
    // Nearly all of what hosts say.
    if foreign.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return foreign.to_owned();
    }
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

/// One line of a file, already safe to show, and the part of it that a message is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snippet {
    /// The file, as the person knows it.
    pub file: String,
    /// Its number, from 1.
    pub line: usize,
    /// The line, made [`visible`].
    pub text: String,
    /// The part, in bytes of `text`.
    pub part: Range<usize>,
}

impl Snippet {
    /// Line `number` of `file`, whose `part` (in bytes of `line`) a message is about.
    pub fn new(file: &str, number: usize, line: &str, part: Range<usize>) -> Self {
        let cut =
            |at: usize| (0..=at.min(line.len())).rev().find(|at| line.is_char_boundary(*at)).unwrap_or(0);
        let (start, end) = (cut(part.start), cut(part.end));
        let head = visible(line.get(..start).unwrap_or_default());
        let marked = visible(line.get(start..end).unwrap_or_default());
        let tail = visible(line.get(end.max(start)..).unwrap_or_default());
        let part = head.len()..head.len() + marked.len();
        Self { file: file.to_owned(), line: number, text: format!("{head}{marked}{tail}"), part }
    }
}

/// A message above the line that it is about, in the style of rustc: `title`, the line with its part underlined and
/// labelled, then `notes`, each a kind (`help`, `note`) and a text. Without a snippet, the title and the notes alone.
pub fn annotated(
    title: &str,
    snippet: Option<&Snippet>,
    label: &str,
    notes: &[(&str, &str)],
    coloured: bool,
) -> String {
    let renderer = if coloured { Renderer::styled() } else { Renderer::plain() };
    let mut group = match snippet {
        None => annotate_snippets::Group::with_title(Level::ERROR.primary_title(title)),
        Some(snippet) => {
            let mark = AnnotationKind::Primary.span(snippet.part.clone());
            let mark = if label.is_empty() { mark } else { mark.label(label) };
            Level::ERROR.primary_title(title).element(
                annotate_snippets::Snippet::source(snippet.text.as_str())
                    .line_start(snippet.line)
                    .path(snippet.file.as_str())
                    .annotation(mark),
            )
        }
    };
    for (kind, note) in notes {
        let level = if *kind == "help" { Level::HELP } else { Level::NOTE };
        group = group.element(level.message(Cow::Borrowed(*note)));
    }
    renderer.render(&[group])
}

/// The word among `known` that `written` was probably meant to be.
pub fn nearest<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let most = if written.chars().count() <= 4 { 1 } else { 2 + written.len() / 8 };
    known
        .into_iter()
        .map(|word| (strsim::osa_distance(&written.to_lowercase(), word), word))
        .filter(|(distance, _)| *distance <= most)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

/// Whether `character` can hide or reorder what stands beside it: controls, bidirectional and invisible ones.
pub fn is_deceptive(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{2064}' | '\u{2066}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}')
}

/// Whether `text` matches `pattern`, in which `*` stands for any text and `?` for one byte. Linear in both.
pub fn glob(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut at, mut star) = ((0, 0), None);
    while let Some(byte) = text.get(at.1) {
        match pattern.get(at.0) {
            Some(b'*') => {
                star = Some(at);
                at.0 += 1;
            }
            Some(one) if *one == b'?' || one == byte => at = (at.0 + 1, at.1 + 1),
            _ => match star {
                Some((from, eaten)) => {
                    star = Some((from, eaten + 1));
                    at = (from + 1, eaten + 1);
                }
                None => return false,
            },
        }
    }
    pattern.get(at.0..).unwrap_or_default().iter().all(|byte| *byte == b'*')
}

/// Whether a path stays below the folder that it begins in, and is one that apt, a shell and a file of YAML take for what it is.
pub fn is_inside(path: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._+~:-%=".contains(&byte);
    !path.is_empty()
        && path.len() <= 500
        && !path.starts_with('/')
        && path.bytes().all(plain)
        && path.split('/').all(|part| part != "..")
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
    fn a_snippet_underlines_what_is_meant_whatever_stands_before_it() {
        let line = "name: \u{1b}[31mx: oops";
        let snippet = Snippet::new("a.yaml", 7, line, line.find("oops").unwrap()..line.len());
        assert_eq!(&snippet.text[snippet.part.clone()], "oops");
        let shown = annotated("bad", Some(&snippet), "here", &[("help", "write it well")], false);
        let expected = [
            "error: bad",
            " --> a.yaml:7:20",
            "  |",
            r"7 | name: \u{1b}[31mx: oops",
            "  |                    ^^^^ here",
            "  |",
            "  = help: write it well",
        ];
        assert_eq!(shown.trim_end().lines().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_typo_finds_its_word() {
        assert_eq!(nearest("listners", ["hosts", "listeners"]), Some("listeners"));
        assert_eq!(nearest("zzz", ["hosts", "listeners"]), None);
    }

    #[test]
    fn an_excerpt_says_that_it_is_one() {
        assert_eq!(excerpt("  abcdef ", 3), "abc…");
        assert_eq!(excerpt("abc", 3), "abc");
    }

    #[test]
    fn a_glob_matches_as_a_pattern_should() {
        for (pattern, text, matches) in [
            ("*", "", true),
            ("*", "abc", true),
            ("a*c", "abbbc", true),
            ("a*c", "abbbd", false),
            ("*a*b*", "xxaxxbxx", true),
            ("?", "", false),
            ("a**", "a", true),
            ("", "a", false),
            ("ab", "abc", false),
        ] {
            assert_eq!(glob(pattern, text), matches, "{pattern} {text}");
        }
    }
}
