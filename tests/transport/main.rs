//! The contract of a transport, against a real sshd on the loopback interface: what comes back of an exec, which host
//! keys are accepted, which keys of ours are offered, what is shared, and that everything ends in time.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "these tests run real programs on real files, and fail by panicking"
)]

mod exec;
mod host_keys;
mod identities;
mod releases;
mod routes;
mod ssh;
mod sshd;
mod table;

use std::process::ExitCode;

/// So many tests at a time: most of them wait for something that does not come.
const AT_ONCE: usize = 10;

fn main() -> ExitCode {
    support::run(
        env!("CARGO_CRATE_NAME"),
        env!("CARGO_BIN_EXE_palisade"),
        AT_ONCE,
        &[
            routes::OVER_BOTH,
            routes::OVER_BOTH_ONCE,
            exec::OVER_BOTH,
            exec::TESTS,
            host_keys::OVER_BOTH,
            host_keys::OF_EACH_RELEASE,
            identities::OVER_BOTH,
            identities::OF_EACH_RELEASE,
            ssh::OF_EACH_RELEASE,
            table::TESTS,
        ],
    )
}
