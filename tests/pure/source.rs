//! The repository's sources as the rules of the house read them: text without comments and strings, as words. What a macro
//! makes of its arguments is not seen. It judges nothing.

use std::path::Path;

/// A file of the sources: its path from the package's root, with `/`, and its text.
pub(crate) struct Source {
    pub(crate) path: String,
    pub(crate) text: String,
}

impl Source {
    pub(crate) fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned() }
    }

    pub(crate) fn is_rust(&self) -> bool {
        Path::new(&self.path).extension().is_some_and(|end| end == "rs")
    }

    /// The module that a file below `src/` is: `src/a/b.rs` and `src/a/b/mod.rs` are both `a::b`; the roots are none.
    pub(crate) fn module(&self) -> Option<Vec<&str>> {
        let path = self.path.strip_prefix("src/")?.strip_suffix(".rs")?;
        let path = path.strip_suffix("/mod").unwrap_or(path);
        (path != "lib" && path != "main").then(|| path.split('/').collect())
    }
}

/// The text with comments, strings and characters blanked, line by line as long as before.
pub(crate) fn code_of(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let end = blank_length(rest, code.chars().last());
        let taken = end.unwrap_or(first.len_utf8());
        let (piece, after) = rest.split_at(taken);
        match end {
            Some(_) => code.extend(piece.chars().map(|c| if c == '\n' { '\n' } else { ' ' })),
            None => code.push_str(piece),
        }
        rest = after;
    }
    code
}

/// How long the comment, string or character is that `rest` begins with, if it begins with one.
fn blank_length(rest: &str, before: Option<char>) -> Option<usize> {
    let until = |end: &str, from: usize| {
        rest.get(from..).and_then(|rest| rest.find(end)).map_or(rest.len(), |at| from + at + end.len())
    };
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        let mut depth = 0_usize;
        for (at, _) in rest.char_indices() {
            let from = rest.get(at..)?;
            if from.starts_with("/*") {
                depth += 1;
            } else if from.starts_with("*/") {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return Some(at + 2);
                }
            }
        }
        return Some(rest.len());
    }
    let in_a_word = before.is_some_and(|c| c.is_alphanumeric() || c == '_');
    let raw = rest.strip_prefix("br").or_else(|| rest.strip_prefix('r')).filter(|_| !in_a_word);
    if let Some(raw) = raw {
        let hashes = raw.chars().take_while(|c| *c == '#').count();
        if raw.get(hashes..).is_some_and(|raw| raw.starts_with('"')) {
            return Some(until(&format!("\"{}", "#".repeat(hashes)), rest.len() - raw.len() + hashes + 1));
        }
    }
    if rest.starts_with('"') {
        let mut escaped = true;
        for (at, c) in rest.char_indices() {
            if escaped {
                escaped = false;
            } else if c == '\\' {
                escaped = true;
            } else if c == '"' {
                return Some(at + 1);
            }
        }
        return Some(rest.len());
    }
    let quoted = rest.strip_prefix('\'')?;
    if quoted.starts_with('\\') {
        return Some(until("'", 3));
    }
    let first = quoted.chars().next()?.len_utf8();
    // 'a' is a character, 'a is a lifetime
    quoted.get(first..).is_some_and(|rest| rest.starts_with('\'')).then_some(first + 2)
}

/// A word, or one other character; `::` is one.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Token<'a> {
    pub(crate) line: usize,
    pub(crate) text: &'a str,
}

pub(crate) fn tokens(code: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    for (number, mut line) in code.lines().enumerate() {
        while let Some(first) = line.chars().next() {
            let word = line.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(line.len());
            let length = match word {
                0 if line.starts_with("::") => 2,
                0 => first.len_utf8(),
                word => word,
            };
            let (text, rest) = line.split_at(length);
            if !text.trim().is_empty() {
                tokens.push(Token { line: number + 1, text });
            }
            line = rest;
        }
    }
    tokens
}

/// The first segments of the paths that `tokens` begin with: one, or those of a group.
pub(crate) fn heads<'a>(tokens: &[Token<'a>]) -> Vec<Token<'a>> {
    let Some(first) = tokens.first() else { return Vec::new() };
    if first.text != "{" {
        return vec![first.clone()];
    }
    let mut found = Vec::new();
    let mut depth = 0_usize;
    let mut fresh = false;
    for token in tokens {
        match token.text {
            "{" => {
                depth += 1;
                fresh = depth == 1;
            }
            "}" => depth = depth.saturating_sub(1),
            "," => fresh = depth == 1,
            _ => {
                if fresh {
                    found.push(token.clone());
                }
                fresh = false;
            }
        }
        if depth == 0 {
            break;
        }
    }
    found
}

/// The modules that a file declares with a file of their own, in order, and the line of each.
pub(crate) fn declared<'a>(tokens: &[Token<'a>]) -> Vec<(&'a str, usize)> {
    tokens
        .windows(3)
        .filter_map(|window| match window {
            [keyword, name, end] if keyword.text == "mod" && end.text == ";" => Some((name.text, name.line)),
            _ => None,
        })
        .collect()
}

/// All files below `folder`, by path.
fn read_all(root: &Path, folder: &Path, found: &mut Vec<Source>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            read_all(root, &path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs" || extension == "sh")
            && let Ok(text) = std::fs::read_to_string(&path)
            && let Ok(below) = path.strip_prefix(root)
        {
            found.push(Source { path: below.to_string_lossy().replace('\\', "/"), text });
        }
    }
}

/// Every Rust file and shell script that is built, run or published from here, by path.
pub(crate) fn read_sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut sources = Vec::new();
    for folder in ["src", "tests", "examples", "benches"] {
        read_all(root, &root.join(folder), &mut sources);
    }
    sources.sort_by(|one, other| one.path.cmp(&other.path));
    assert!(sources.len() > 50, "only {} files were read", sources.len());
    sources
}
