//! palisade against virtual machines of the lab: what containers cannot show, since it is about disks, kernels and boots
//! of a host's own. A few machines by default; all of them with `PALISADE_LAB_TAIL=1`.
//!
//! Without root on Linux these tests are skipped, loudly; `PALISADE_LAB=required` makes that a failure.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "these tests run real programs on real hosts, and fail by panicking"
)]

#[expect(dead_code, reason = "tests/cases.rs uses the rest")]
#[path = "../support/cases.rs"]
mod cases;
mod boots;
mod encryption;
#[path = "../support/lane.rs"]
mod lane;
mod layouts;
mod reboots;
#[expect(dead_code, reason = "tests/lab uses the rest")]
#[path = "../faults/world.rs"]
mod world;
