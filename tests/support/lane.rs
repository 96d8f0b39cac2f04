//! What tests that need real hosts share: whether they run here, said aloud and past cargo's capture, so that runs
//! and skips can be counted (`lab test run`, `lab test skipped`).

use std::io::Write as _;

use palisade::lab::{Lane, lane};

/// Whether to go on with this test. A skip under `PALISADE_LAB=required` is a failure.
pub(crate) fn runs_here(test: &str) -> bool {
    let setting = std::env::var("PALISADE_LAB").ok();
    match lane(setting.as_deref()).expect("PALISADE_LAB=required, and no lab can run here") {
        Lane::Open => {
            say(&format!("lab test run: {test}"));
            true
        }
        Lane::Closed { why } => {
            say(&format!("lab test skipped: {test}: {why}"));
            false
        }
    }
}

/// A line on the real standard error.
pub(crate) fn say(line: &str) {
    drop(writeln!(std::io::stderr(), "{line}"));
}
