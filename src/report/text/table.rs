//! Tables of all pages.

use std::fmt::Write as _;

use comfy_table::{Table, presets};

/// A table without lines, `indent` blanks from the left.
pub(super) fn plain(mut table: Table, indent: usize) -> String {
    table.load_style(presets::NOTHING);
    table.to_string().lines().fold(String::new(), |mut text, line| {
        let _ = writeln!(text, "{:indent$}{}", "", line.trim_end());
        text
    })
}
