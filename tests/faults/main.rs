//! palisade against real hosts of both distributions: everything from enrolment to the second apply, and what happens
//! when it is hit in the middle. One program, so that the labs of its tests come up side by side.
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

mod fault;
mod faults;
#[path = "../support/lane.rs"]
mod lane;
mod machines;
mod random;
mod state;
mod strike;
mod table;
mod tools;
mod whole;
mod world;
