//! The last line of every page.

use std::fmt::Write as _;

use crate::report::Report;
use crate::style::DIM;
use crate::text::visible;

/// Where the evidence of a run lies.
pub(super) fn evidence(text: &mut String, report: &Report) {
    if let Some(path) = &report.head.evidence {
        let _ = writeln!(text, "{DIM}evidence: {}{DIM:#}", visible(path));
    }
}
