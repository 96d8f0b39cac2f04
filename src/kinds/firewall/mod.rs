//! The packet filter: the rules that follow from the declared listeners ([`rules`]), as text and simulated
//! ([`ruleset`]), the table of ours on a host ([`nftables`]), whatever else is loaded there ([`live`]), and the two kinds
//! that look at the whole of it: who reaches admin interfaces ([`allowlist`]), and what the internet reaches ([`exposure`]).

pub mod allowlist;
mod declare;
pub mod exposure;
pub mod live;
pub mod nftables;
pub mod rules;
pub mod ruleset;
