//! The language of palisade's tests: what a test needs and whether it runs here ([`run`]), how the binary is called
//! ([`palisade`]), hosts and the project about them ([`World`]), files that tests write ([`generated`]). Every test
//! program speaks it; it judges nothing about palisade.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::missing_panics_doc,
    reason = "part of tests: it runs real programs on real hosts, and fails by panicking"
)]

pub mod breaks;
pub mod cases;
pub mod refusals;
pub mod schemas;
pub mod simulated;

mod call;
mod files;
mod harness;
mod keys;
mod project;
mod tally;
mod terminal;
mod wait;
mod world;

pub use call::{Call, Ran, Role, Running, as_role, binary, palisade, roles};
pub use files::{blessing, generated, section};
pub use harness::{Group, Needs, Test, block_on, note, run, tail};
pub use keys::make_key;
pub use project::{Inventory, Project};
pub use terminal::Typing;
pub use wait::{PATIENCE, wait_for, wait_telling, wait_until};
pub use world::{
    PATIENT, PLANTED, SHARED, World, encoded, fleet, holds_a_secret, host, of_host, secrets_in, tell,
};
