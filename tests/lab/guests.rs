//! The lab itself, on real hosts of both distributions: how they are delivered, what their network can lose, how
//! they reboot, and that nothing of a lab is left when it is gone.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::time::Duration;

use palisade::domain::Address;
use palisade::lab::{Fault, Host, HostSpec, LabFolder, Power, STATE, Spec, Suite, differences};
use palisade::shell::{Arg, Script};
use support::{Needs, PATIENCE, World, as_role, host, note, tell, wait_for, wait_until};

use crate::traces::traces;

support::tests! {
    Needs::LAB => [
        hosts_are_delivered_as_a_provider_delivers_them,
        packages_are_installed_without_any_network,
        a_network_that_loses_new_connections_keeps_old_ones,
        a_private_host_is_reached_through_the_private_network_alone,
        reboots_and_power_failures_are_survived,
        what_is_seen_from_outside_is_what_there_is,
        two_labs_stand_side_by_side_and_leave_nothing,
        what_a_killed_process_left_is_swept,
    ],
}

fn up(hosts: impl IntoIterator<Item = HostSpec>) -> World {
    World::up(&Spec::of(hosts))
}

fn both() -> [HostSpec; 2] {
    [host("old", Suite::Bookworm), host("new", Suite::Trixie)]
}

fn connects(address: Address, port: u16) -> bool {
    TcpStream::connect_timeout(&SocketAddr::new(address.ip(), port), Duration::from_secs(3)).is_ok()
}

/// Plain ssh with a key of the lab's, checked against the host keys that the lab wrote down; a busy host is waited for.
fn ssh(world: &World, host: Host<'_>, key: &str, user: &str) -> Command {
    let address = host.public_address().expect("a public address");
    world.ssh_within(Duration::from_mins(2), address, &world.private_key(key), user)
}

fn says(command: &mut Command) -> String {
    let output = command.output().expect("ssh starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn hosts_are_delivered_as_a_provider_delivers_them() {
    let world = up(both());
    let mut ids = BTreeSet::new();
    for (host, version) in world.hosts().zip(["12.", "13."]) {
        assert!(host.sh("cat /etc/debian_version").expect("a version").starts_with(version));
        assert_eq!(host.sh("systemctl is-system-running").expect("systemd").trim(), "running");
        assert_eq!(host.sh("hostname").expect("a name").trim(), host.name().as_str());

        assert_eq!(says(ssh(&world, host, "vendor", "debian").arg("sudo -n id -u")), "0");
        assert_eq!(says(ssh(&world, host, "former", "root").arg("id -un")), "root");
        assert!(!ssh(&world, host, "former", "debian").arg("true").status().expect("ssh starts").success());

        let effective = host.sh("sshd -T").expect("sshd's settings");
        assert!(effective.contains("passwordauthentication yes"), "{effective}");
        assert!(effective.contains("permitrootlogin without-password"), "{effective}");

        let absent =
            "for tool in nft fail2ban-client python3; do command -v $tool; done; cat /etc/services; true";
        assert_eq!(host.sh(absent).expect("an answer"), "");
        for address in &host.record().public {
            assert!(connects(*address, 22), "{address} answers SSH");
        }
        assert!(connects(host.public_address().expect("an address"), 8000), "the stray listener answers");

        ids.insert(host.sh("cat /etc/machine-id").expect("a machine id"));
        ids.insert(host.sh("cut -d ' ' -f 2 /etc/ssh/ssh_host_*_key.pub").expect("host keys"));
    }
    assert_eq!(ids.len(), 4, "ids and host keys are each host's own");
}

fn packages_are_installed_without_any_network() {
    let world = up(both());
    for host in world.hosts() {
        host.inject(Fault::Everything).expect("the cable is out");
        host.sh("apt-get -q update && apt-get -q -y install nftables fail2ban python3-systemd")
            .expect("installed");
        let ruleset =
            "echo 'table inet t { chain c { type filter hook input priority 0; policy drop; }; }' > /root/r
            nft -c -f /root/r && nft -f /root/r && nft -s list table inet t";
        assert!(host.sh(ruleset).expect("a ruleset is loaded").contains("policy drop"));
        let elsewhere = "unshare -n sh -c 'nft list ruleset; nft -f /root/r; nft -s list table inet t'";
        assert!(host.sh(elsewhere).expect("another namespace's").contains("policy drop"));
        let bound = "unshare -m --propagation private sh -c 'mount --bind /root/r /etc/motd; cat /etc/motd'";
        assert!(host.sh(bound).expect("a private mount").contains("table inet t"));
        assert!(!host.sh("cat /etc/motd").expect("motd").contains("table inet t"));
        let timer =
            "systemd-run -q --unit=armed --on-active=3 --timer-property=AccuracySec=100ms touch /root/fired
            systemctl is-active armed.timer; until [ -e /root/fired ]; do sleep 0.1; done; ls /root/fired";
        assert_eq!(host.sh(timer).expect("a timer fires"), "active\n/root/fired\n");
    }
}

fn a_network_that_loses_new_connections_keeps_old_ones() {
    let world = up(both());
    let (hit, spared) = (world.host("old").expect("old"), world.host("new").expect("new"));
    let all = |host: Host, port| host.record().public.iter().map(|a| connects(*a, port)).collect::<Vec<_>>();

    let mut session = ssh(&world, hit, "vendor", "debian")
        .arg("cat")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("ssh starts");
    let mut to_host = session.stdin.take().expect("a pipe");
    let mut from_host = BufReader::new(session.stdout.take().expect("a pipe"));
    let mut echo = |line: &str| {
        writeln!(to_host, "{line}").expect("written");
        let mut answer = String::new();
        from_host.read_line(&mut answer).expect("read");
        answer.trim().to_owned()
    };
    assert_eq!(echo("before"), "before");

    hit.inject(Fault::NewConnections).expect("injected");
    assert!(hit.has_fault().expect("known") && !spared.has_fault().expect("known"));
    assert_eq!(all(hit, 22), [false, false], "neither family gets through");
    assert_eq!(echo("meanwhile"), "meanwhile", "what stands goes on");
    assert_eq!(all(spared, 22), [true, true], "the other host is not concerned");
    assert_eq!(
        hit.status("ss -tln | grep -q ':22 '").expect("an answer"),
        Some(0),
        "the host itself is as it was"
    );

    hit.inject(Fault::Ipv6).expect("injected");
    assert_eq!(all(hit, 22), [true, false]);
    hit.lift_fault().expect("lifted");
    assert_eq!(all(hit, 22), [true, true]);

    world.inject(Fault::Everything).expect("injected");
    assert_eq!((all(hit, 22), all(spared, 22)), (vec![false, false], vec![false, false]));
    let from_inside = Script::new().call(
        "nc",
        ["-z", "-w", "2"]
            .map(Arg::word)
            .into_iter()
            .chain([Arg::from(&hit.public_address().expect("an address")), Arg::from(22_u16)]),
    );
    assert!(spared.run(&from_inside).expect("run").exit.success(), "hosts still reach each other");
    world.lift_fault().expect("lifted");
    assert_eq!(echo("after"), "after", "the session lived through it");
    drop(to_host);
    session.wait().expect("ssh ends");
}

fn a_private_host_is_reached_through_the_private_network_alone() {
    let world = up([
        host("web", Suite::Trixie),
        host("db", Suite::Bookworm).private_only(),
        HostSpec { private: Vec::new(), ..host("out", Suite::Bookworm) },
    ]);
    let (web, db, out) =
        (world.host("web").expect("web"), world.host("db").expect("db"), world.host("out").expect("out"));
    assert!(db.record().public.is_empty() && out.record().private.is_empty());
    for address in &db.record().private {
        let probe = Script::new().call(
            "nc",
            ["-z", "-w", "2"].map(Arg::word).into_iter().chain([Arg::from(address), Arg::from(22_u16)]),
        );
        assert!(!connects(*address, 22), "the control node is not on the private network");
        assert!(web.run(&probe).expect("run").exit.success(), "web reaches {address}");
        assert!(!out.run(&probe).expect("run").exit.success(), "out does not reach {address}");
    }
}

fn reboots_and_power_failures_are_survived() {
    let world = up(both());
    for host in world.hosts() {
        host.sh("apt-get -q update && apt-get -q -y install nftables && nft add table inet left")
            .expect("a table");
        host.sh("echo stays > /etc/stays").expect("written");
        let first = host.boot_id().expect("a boot id");
        host.inject(Fault::Ipv6).expect("injected");

        host.reboot().expect("it comes back");
        let second = host.boot_id().expect("a boot id");
        assert_ne!(first, second);
        assert_eq!(host.sh("nft list ruleset").expect("a ruleset"), "", "no ruleset survives by itself");
        assert_eq!(host.sh("cat /etc/stays").expect("a file"), "stays\n");
        assert!(host.has_fault().expect("known"), "the network loses what it lost before");
        let [v4, v6] = host.record().public.as_slice() else { panic!("two addresses") };
        assert!(connects(*v4, 22) && !connects(*v6, 22));
        host.lift_fault().expect("lifted");
        // Neighbours that did not answer are asked again after a moment only (RFC 4861 7.3.3).
        wait_for("addresses are as before", || connects(*v6, 22));

        host.crash().expect("it comes back");
        assert_ne!(second, host.boot_id().expect("a boot id"));
        assert_eq!(host.sh("cat /etc/stays").expect("a file"), "stays\n");
        assert_eq!(host.boots(), 3);

        host.power_off().expect("off");
        assert_eq!(host.power(), Power::Off);
        assert!(!connects(*v4, 22));
        host.power_on().expect("on");
        host.wait_until_ready().expect("it comes back");
        assert_eq!(host.sh("cat /etc/stays").expect("a file"), "stays\n");

        host.sh("systemctl poweroff").expect("asked");
        wait_until("it is off", || match host.power() {
            Power::Off => Ok(()),
            other => Err(other.to_string()),
        });
    }
}

fn what_is_seen_from_outside_is_what_there_is() {
    let world = up(both());
    for host in world.hosts() {
        let before = host.snapshot(&STATE).expect("a snapshot");
        assert!(before["/etc/passwd"].contains("debian:x:1000:"), "contents are there");
        assert!(before["/etc/shadow"].starts_with("0640 0:42\n"), "mode and owner are there");
        assert_eq!(
            differences(&before, &host.snapshot(&STATE).expect("a snapshot")),
            [""; 0],
            "looking changes nothing"
        );

        host.sh("chmod 0640 /etc/motd; systemctl -q disable --now debug-port.service; echo x > /root/new")
            .expect("changed");
        let after = host.snapshot(&STATE).expect("a snapshot");
        let changed = differences(&before, &after);
        for expected in ["~ /etc/motd", "~ units", "+ /root/new"] {
            assert!(changed.iter().any(|line| line == expected), "{expected} in {changed:?}");
        }

        // sshd listens nowhere for a moment while it reads its settings again.
        let listening = "journalctl --sync; journalctl -q -o cat -t sshd | grep -c '^Server listening on ::'";
        let before = host.sh(listening).expect("it listens");
        host.let_sshd_count().expect("told");
        wait_for("sshd listens again", || host.sh(listening).expect("it listens") != before);
        let earlier = host.ssh_counts().expect("counts");
        says(ssh(&world, host, "vendor", "debian").arg("true"));
        says(ssh(&world, host, "vendor", "debian").arg("true"));
        assert!(!ssh(&world, host, "vendor", "root").arg("true").status().expect("ssh starts").success());
        let counted = host.ssh_counts().expect("counts") - earlier;
        assert_eq!((counted.connections, counted.logins, counted.sessions), (3, 2, 2));
    }
}

fn two_labs_stand_side_by_side_and_leave_nothing() {
    let (first, second) = (up([host("one", Suite::Bookworm)]), up([host("one", Suite::Bookworm)]));
    let (a, b) = (first.record().clone(), second.record().clone());
    assert!(
        !a.networks.all_v4.overlaps(&b.networks.all_v4) && !a.networks.all_v6.overlaps(&b.networks.all_v6)
    );
    assert!(!traces(&a).is_empty());
    first.down();
    assert_eq!(traces(&a), [""; 0]);
    let other = second.host("one").expect("one");
    assert!(connects(other.public_address().expect("an address"), 22), "the other one is not concerned");
    drop(second);
    assert_eq!(traces(&b), [""; 0], "dropped is down");
}

/// What this program is called where it is started to be killed.
pub(crate) const ORPHAN: &str = "orphan";

/// What it does then: it brings a lab up, says which, and waits.
pub(crate) fn brings_up_a_lab_and_waits() {
    let world = up([host("orphan", Suite::Bookworm)]);
    note(&format!("id {}", world.record().id));
    // Whoever started it kills it long before.
    std::thread::sleep(PATIENCE);
}

fn what_a_killed_process_left_is_swept() {
    let mut child =
        as_role(ORPHAN).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().expect("the child starts");
    let mut said = String::new();
    let id = BufReader::new(child.stderr.take().expect("a pipe"))
        .lines()
        .map_while(Result::ok)
        .inspect(|line| {
            said.push_str(line);
            said.push('\n');
        })
        .find_map(|line| line.strip_prefix("id ").map(str::to_owned));
    let id = id.unwrap_or_else(|| panic!("the child brings no lab up: {said}"));
    let lab = LabFolder::default().find(Some(&id)).expect("it is recorded").record().clone();
    child.kill().expect("killed");
    child.wait().expect("gone");
    assert!(!traces(&lab).is_empty(), "a killed process cleans nothing up");
    LabFolder::default().sweep(&tell).expect("swept");
    assert_eq!(traces(&lab), [""; 0]);
}
