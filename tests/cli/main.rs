//! The program itself, as it is typed, with programs of this machine: what it refuses, prints, signs, sends and leaves, and
//! how it stands hosts that lie. No host of the lab is needed.

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
mod hostile;
mod interrupted;
mod nft;
mod offline;
mod refusals;
mod shell;
mod signing;
mod sshd_drop_in;

use std::process::ExitCode;

fn main() -> ExitCode {
    support::roles(&[("stand-in", hostile::stand_in)]);
    support::run(
        env!("CARGO_CRATE_NAME"),
        env!("CARGO_BIN_EXE_palisade"),
        4,
        &[
            announce::TESTS,
            ci_examples::TESTS,
            enrol_cli::TESTS,
            firewall_packets::TESTS,
            help::TESTS,
            host_script::TESTS,
            hostile::TESTS,
            interrupted::TESTS,
            nft::TESTS,
            offline::TESTS,
            refusals::TESTS,
            shell::TESTS,
            signing::TESTS,
            sshd_drop_in::TESTS,
        ],
    )
}
