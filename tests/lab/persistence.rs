//! What begins to run by itself on hosts as people have them: with what Debian's packages bring and their maintainer scripts make,
//! nothing is found; what somebody leaves there is (`tests/cases/persistence/breaks.yaml` has the ways).

use palisade::lab::{Spec, Suites, practice_fleet};
use support::{Needs, PATIENT, World, tell};

support::tests! {
    Needs::TAIL => [
        nothing_is_found_of_what_packages_bring_and_make,
    ],
}

/// What people have on servers, beside what palisade installs: each makes units, hooks or lines of its own.
const HAVE: [&str; 9] = [
    "cloud-init",
    "cron",
    "fail2ban",
    "ifupdown",
    "libpam-pwquality",
    "logrotate",
    "nginx",
    "postgresql",
    "unattended-upgrades",
];

fn nothing_is_found_of_what_packages_bring_and_make() {
    let fleet = practice_fleet(2).expect("a fleet");
    let spec = Spec::copy_of(&fleet, Suites::InTurn).expect("a lab");
    let world = World::enrolled(&fleet, &spec, PATIENT);
    for host in world.hosts() {
        host.bring(&HAVE, &tell).expect("packages");
    }
    world.on(
        &["host-1", "host-2"],
        "DEBIAN_FRONTEND=noninteractive apt-get -q -y install /root/more/*.deb >/dev/null",
    );
    let audit = || world.palisade(["audit", "test", "--control", "persistence"]).run();
    let _ = audit().exits(0);
    // And once all that palisade does has been done.
    let _ = world.palisade(["apply", "test", "--yes", "--batch", "100%"]).run().exits(0);
    let _ = audit().exits(0);
    world.down();
}
