//! The proof that the fault tests can fail: a host whose rollback was taken away.

use std::time::{Duration, Instant};

use crate::fault::TURN;
use crate::faults::{SUITES, controls, ends_well, ready};
use crate::state::{Known, snapshot};
use crate::strike::{Breakpoint, Held, grace, held, holds, went_back_by};
use support::{Inventory, Needs, World, host, tail};

support::tests! {
    Needs::LAB => [
        a_host_whose_timer_is_taken_away_fails_these_tests,
    ],
}

/// With the timer taken away, a host stays switched, and `holds` says so.
fn a_host_whose_timer_is_taken_away_fails_these_tests() {
    // On one distribution by default.
    let suites = || SUITES.into_iter().enumerate().filter(|(at, _)| tail() || at % 2 == *TURN % 2);
    let suites = || suites().map(|(_, suite)| suite);
    let world = World::with(suites().map(|(suffix, suite)| host(&format!("late-{suffix}"), suite)));
    let projects = ready(&world);
    let hasty = [8, 30, 90].map(|timeout| {
        let inventory = Inventory { rollback_timeout: timeout, controls, ..Inventory::default() };
        projects.patient.variant(&format!("hasty-{timeout}"), &inventory)
    });
    for (suffix, _) in suites() {
        let name = &format!("late-{suffix}");
        let mut known = Known::default();
        known.learn("old", snapshot(&world, name));
        let place = Breakpoint { at: "widen.verifying", state: "old", says: "old" };
        let Held { run, timeout } = held(&hasty.each_ref(), name, &known, &place);
        world.host(name).unwrap().sh("systemctl stop 'palisade-rollback-*.timer'").unwrap();
        run.signal("KILL");
        run.end();
        let why = holds(&world, name, &known, "old", Instant::now() + timeout + Duration::from_secs(3))
            .unwrap_err();
        assert_eq!(why, "it is still switched, and pending");
        let why = known.expect("old", &snapshot(&world, name)).unwrap_err();
        assert!(why.contains("00-palisade-widen.conf"), "{why}");

        // The next run finds a change whose time is over, takes it back first, and asks to be run again.
        let ran = projects.patient.apply(name);
        assert_eq!(ran.code, Some(6), "{}", ran.said());
        holds(&world, name, &known, "old", Instant::now() + grace(&world, name))
            .unwrap_or_else(|why| panic!("{name}: {why}"));
        went_back_by(&world, name, &["asked"]).unwrap();
        ends_well(&projects.patient, name, &mut known);
    }
}
