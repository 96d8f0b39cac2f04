//! Users of a host who attack what palisade does there as root: with links, pipes, files of all kinds, and swaps at the
//! worst moment. None of them gets anything by it, and none keeps anybody else's change from being made.

mod attack;
pub(crate) mod network;
pub(crate) mod oddities;
pub(crate) mod users;
