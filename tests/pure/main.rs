//! What is decided without any host: kinds against recorded answers, properties, documents and schemas, the rules of the
//! house, and a fleet of ten thousand hosts that are not there.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "tests read the repository's files, and fail by panicking"
)]

mod breaks;
mod cases;
mod circles;
mod compared;
mod damage;
mod house;
mod kinds;
mod layering;
mod outputs;
mod properties;
mod readme;
mod references;
mod reports;
mod scale;
mod schema;
mod searched;
mod source;

use std::process::ExitCode;

fn main() -> ExitCode {
    support::roles(&[("capture", support::cases::capture)]);
    support::run(
        env!("CARGO_CRATE_NAME"),
        env!("CARGO_BIN_EXE_palisade"),
        2,
        &[
            damage::TESTS,
            properties::TESTS,
            scale::TESTS,
            schema::TESTS,
            breaks::TESTS,
            cases::TESTS,
            circles::TESTS,
            compared::TESTS,
            house::TESTS,
            kinds::TESTS,
            layering::TESTS,
            outputs::TESTS,
            readme::TESTS,
            references::TESTS,
            reports::TESTS,
            searched::TESTS,
        ],
    )
}
