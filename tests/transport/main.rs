//! The contract of a transport, against a real sshd on the loopback interface: what comes back of an exec, which host
//! keys are accepted, which keys of ours are offered, what is shared, and that everything ends in time.
//!
//! Without sshd these tests are skipped, loudly; `PALISADE_LAB=required` makes that a failure.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "these tests run real programs on real files, and fail by panicking"
)]

mod exec;
mod host_keys;
mod identities;
mod releases;
mod routes;
mod ssh;
mod support;
mod table;
