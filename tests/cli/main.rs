//! The program itself, as it is typed, with programs of this machine: what it refuses, prints, signs, sends and leaves,
//! and what it makes of firewalls and shells. No host is needed.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "these tests run real programs, and fail by panicking"
)]

mod announce;
mod ci_examples;
mod enrol_cli;
mod firewall_packets;
mod help;
mod host_script;
mod interrupted;
mod nft;
mod offline;
mod openpgp;
mod records;
mod refusals;
mod shell;
mod signing;
mod sshd_drop_in;

support::program!(
    3,
    [
        firewall_packets,
        refusals,
        announce,
        ci_examples,
        enrol_cli,
        help,
        host_script,
        interrupted,
        nft,
        offline,
        openpgp,
        records,
        shell,
        signing,
        sshd_drop_in,
    ]
);
