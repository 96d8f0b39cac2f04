//! What people do with palisade, on throwaway hosts: the lab itself, enrolment, controls, lockout, fleets, releases, what
//! runs leave that are cut short, the demo. Each test has a lab of its own, so that as many run side by side as there are cores.
//!
//! Without root on Linux these tests are skipped, loudly; `PALISADE_LAB=required` makes that a failure.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "these tests run real programs on real hosts, and fail by panicking"
)]

mod cli;
mod coexistence;
mod controls;
mod demo;
mod enrol;
#[path = "../support/enrolled.rs"]
mod enrolled;
mod fleet;
mod guests;
mod kernel;
#[path = "../support/lane.rs"]
mod lane;
mod lockout;
mod mishaps;
mod patching;
mod releases;
mod sessions;
#[path = "../support/terminal.rs"]
mod terminal;
mod traces;

use std::time::{Duration, Instant};

use palisade::lab::LabEvent;

/// Says what happens to a lab, but for details.
fn tell(event: &LabEvent) {
    if !matches!(event, LabEvent::Detail(_)) {
        lane::say(&event.to_string());
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Waits for something that comes by itself; the bound is there to end, not to measure.
fn wait_for(what: &str, mut is: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is() {
        assert!(begun.elapsed() < Duration::from_mins(5), "in vain: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
