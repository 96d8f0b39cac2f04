//! palisade against real hosts of both distributions: everything from enrolment to the second apply, what happens when it
//! is hit in the middle, and users of a host who attack it. One program, so that the ones fill the others' waits.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "these tests run real programs on real hosts, and fail by panicking"
)]

mod fault;
mod faults;
mod hostile;
mod late;
mod machines;
mod random;
mod state;
mod strike;
mod table;
mod tools;
mod full_run;

// The faults take longest and begin first; the attacks fill what the others leave at the end.
support::program!(
    5,
    [
        faults,
        full_run,
        random,
        late,
        tools,
        hostile::users,
        hostile::oddities,
        hostile::network,
        machines,
        table,
    ]
);
