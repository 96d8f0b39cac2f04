//! Files of the repository that tests write: tables of documents, schemas, snapshots of what people read. One setting
//! writes them all: `PALISADE_BLESS=1 cargo test`. Without it a difference fails, with the lines that differ.

use std::path::Path;

use similar::TextDiff;

use crate::harness::repository;

/// Whether generated files shall be written instead of compared.
pub fn blessing() -> bool {
    std::env::var_os("PALISADE_BLESS").is_some_and(|value| value == "1")
}

/// Holds the file at `path`, from the repository's root, against `text`, or writes it.
pub fn generated(path: &str, text: &str) {
    let file = repository().join(path);
    if blessing() {
        if let Some(folder) = file.parent() {
            std::fs::create_dir_all(folder).unwrap();
        }
        std::fs::write(&file, text).unwrap();
        return;
    }
    let there = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(there == text, "{}", told(path, &there, text));
}

/// The same for the part of a file between two lines, which stay.
pub fn section(path: &str, begin: &str, end: &str, text: &str) {
    let whole = std::fs::read_to_string(repository().join(path)).unwrap();
    let (before, rest) = whole.split_once(begin).unwrap_or_else(|| panic!("{path} has no line {begin}"));
    let (_, after) = rest.split_once(end).unwrap_or_else(|| panic!("{path} has no line {end}"));
    generated(path, &format!("{before}{begin}{text}{end}{after}"));
}

fn told(path: &str, there: &str, text: &str) -> String {
    let path = Path::new(path).display();
    let diff = TextDiff::from_lines(there, text);
    let diff = diff.unified_diff().header("as it stands", "as it is now").to_string();
    format!("{path} is not what the tests write:\n{diff}\nif it should be: PALISADE_BLESS=1 cargo test")
}
