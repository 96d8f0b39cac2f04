//! What people do with palisade, on throwaway hosts: the lab itself, enrolment, controls, lockout, fleets, releases, what
//! runs leave that are cut short, the demo. Each test has a lab of its own.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "these tests run real programs on real hosts, and fail by panicking"
)]

mod bare_root;
mod called;
mod cli;
mod coexistence;
mod controls;
mod demo;
mod enrol;
mod fleet;
mod guests;
mod hostile;
mod kernel;
mod lockout;
mod mishaps;
mod patching;
mod persistence;
mod releases;
mod sessions;
mod traces;

use std::process::ExitCode;

/// So many tests at a time.
const AT_ONCE: usize = 4;

fn main() -> ExitCode {
    support::roles(&[
        (bare_root::HAS_EVERYTHING, bare_root::have_everything),
        (hostile::STAND_IN_ROLE, hostile::stand_in),
        (guests::ORPHAN, guests::brings_up_a_lab_and_waits),
    ]);
    support::run(
        env!("CARGO_CRATE_NAME"),
        env!("CARGO_BIN_EXE_palisade"),
        AT_ONCE,
        &[
            controls::TESTS,
            patching::TESTS,
            lockout::TESTS,
            coexistence::TESTS,
            demo::TESTS,
            hostile::TESTS,
            fleet::TESTS,
            sessions::TESTS,
            bare_root::TESTS,
            called::TESTS,
            kernel::TESTS,
            releases::TESTS,
            enrol::TESTS,
            cli::TESTS,
            guests::TESTS,
            mishaps::TESTS,
            persistence::TESTS,
        ],
    )
}
