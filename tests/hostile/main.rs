//! Users of a host who attack what palisade does there as root: with links, pipes, files of all kinds, and swaps at the
//! worst moment. None of them gets anything by it, and none keeps anybody else's change from being made.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "these tests run real programs on real hosts, and fail by panicking"
)]

mod attack;
mod network;
mod oddities;
mod users;

support::program!(2, [users, oddities, network,]);
