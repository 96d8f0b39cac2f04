//! palisade against virtual machines of the lab: what containers cannot show, since it is about disks, kernels and boots
//! of a host's own. A few machines by default; all of them with `PALISADE_LAB_TAIL=1`.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "these tests run real programs on real hosts, and fail by panicking"
)]

mod boots;
mod encryption;
mod layouts;
mod reboots;

support::program!(3, [boots, encryption, reboots,]);
