//! The faults of boots, on virtual machines: a kernel and a clock of their own, a real boot, disks that forget what was not
//! written.
//! What strikes and what must hold is the containers' (`fault.rs`, `strike.rs`). With `PALISADE_LAB_TAIL=1`, one machine
//! after the other, for an emulated one is slow enough by itself. `PALISADE_LAB_GROUPS=boots-12` strikes one of them alone.

use std::time::Instant;

use palisade::lab::{Hardware, Suite};

use crate::fault::MACHINE_LANE;
use crate::faults::{all_are_wanted, ready, strike_all};
use crate::table::Table;
use support::{Needs, World, host, note};

support::tests! {
    Needs::TAIL => [
        a_machine_that_goes_down_in_the_middle_goes_back_at_its_next_boot,
    ],
}

/// The distributions of machines that are struck.
pub(crate) const MACHINES: [(&str, Suite); 2] = [("12", Suite::Bookworm), ("13", Suite::Trixie)];

fn a_machine_that_goes_down_in_the_middle_goes_back_at_its_next_boot() {
    let only = std::env::var("PALISADE_LAB_GROUPS").ok();
    let table = &Table::default();
    let begun = Instant::now();
    for (suffix, suite) in MACHINES {
        let name = format!("{}-{suffix}", MACHINE_LANE.name);
        if only.as_ref().is_some_and(|only| !only.split(',').any(|one| one == name)) {
            continue;
        }
        let begun_here = Instant::now();
        let world = World::with([host(&name, suite).machine(Hardware::default())]);
        let projects = ready(&world);
        note(&format!("{name}: ready after {:.0} s", begun_here.elapsed().as_secs_f32()));
        strike_all(&projects, table, &name, &MACHINE_LANE);
        note(&format!("{name}: struck as a machine in {:.0} s", begun_here.elapsed().as_secs_f32()));
        table.write("faults-of-machines.md", begun.elapsed().as_secs_f32());
    }
    if only.is_none() && all_are_wanted() {
        table.must_be_whole_on_machines();
    }
}
