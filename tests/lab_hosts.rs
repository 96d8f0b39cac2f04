//! The lab itself, on real hosts of both distributions.

use palisade::lab::{HostSpec, Lab, LabEvent, Place, Spec, Suite};

fn say(event: &LabEvent) {
    use std::io::Write as _;
    drop(writeln!(std::io::stderr(), "{event}"));
}

#[test]
fn hosts_come_up_as_a_provider_delivers_them() {
    let host = |name: &str, suite| HostSpec::new(name.parse().expect("a name"), suite);
    let spec = Spec::of([
        host("web-12", Suite::Bookworm),
        host("web-13", Suite::Trixie),
        host("db-12", Suite::Bookworm).private_only(),
    ]);
    let lab = Lab::up(&Place::default(), &spec, &say).expect("a lab");
    for host in lab.hosts() {
        say(&LabEvent::Detail(format!(
            "{} {:?}",
            host.name(),
            host.sh("hostname; ip -br a; ss -tlnp; systemctl is-system-running; systemctl --failed --no-legend; free -m | sed -n 2p")
        )));
    }
    lab.down(&say).expect("taken down");
}
