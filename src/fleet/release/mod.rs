//! Releases and hosts: what hosts would upgrade and what signs it, their packages, which releases they have, installing one,
//! and the reboot that it may ask for.

mod capture;
mod indexes;
mod install;
mod reboot;
mod standing;
mod upgrades;

pub use install::ReleaseInputs;
pub use standing::{Answers, Before, Kept};
pub use upgrades::Surveyed;
