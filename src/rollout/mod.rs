//! Every decision about many hosts, and about one that is to be changed: order, batches, budget, what must hold beforehand,
//! reboots, and what a run that was killed leaves to do. It is told what hosts said and how they ended; `fleet` asks and acts.

mod budget;
mod order;
pub mod preflight;
pub mod reboot;
mod resume;
mod selection;
mod unsettled;

pub use budget::{Budget, Gate};
pub use order::{Batches, Unit, replicas, schedule};
pub use resume::{Progress, Settled, take_up};
pub use selection::{Next, hold_to};
pub use unsettled::unsettle;
