//! Kernel settings on real hosts, as far as a container has settings of its own: set and kept in a file, found again
//! when they are changed by hand in each part, taken back when a change is not confirmed, and after a reboot in its
//! middle. The kernel of the machine below stays as it is.

use std::path::Path;
use std::time::Duration;

use palisade::lab::{Spec, Suites, practice_fleet};
use palisade::report::json::Output;
use palisade::shell::Script;
use support::schemas::{Schema, record_holds};
use support::{Needs, PATIENT, Ran, World, wait_for};

support::tests! {
    Needs::LAB => [
        settings_are_set_kept_found_and_taken_back,
    ],
}

const FILE: &str = "/etc/sysctl.d/99-zz-palisade.conf";
/// One of each distribution.
const HOSTS: [&str; 2] = ["host-1", "host-2"];

/// The hosts wait so long for confirmation; one of them shall go back by itself.
const ROLLBACK: Duration = Duration::from_secs(8);

fn timeout(time: Duration) -> String {
    format!("rollback_timeout: {}s", time.as_secs())
}

/// The verdict of the control and its findings, of every host.
fn audit(world: &World) -> Vec<(String, Vec<String>)> {
    let document = world.palisade(["audit", "test", "--control", "kernel"]).run().json();
    let hosts = document["hosts"].as_array().expect("hosts");
    hosts
        .iter()
        .map(|host| {
            let control = &host["controls"][0];
            let findings = control["evidence"][0]["findings"].as_array().cloned().unwrap_or_default();
            let findings = findings.iter().filter_map(|one| one.as_str().map(str::to_owned)).collect();
            (control["verdict"].as_str().unwrap_or_default().to_owned(), findings)
        })
        .collect()
}

fn apply(world: &World) -> Ran {
    world.typed(["apply", "test", "--control", "kernel"]).run()
}

/// What a host says, whatever became of the script; nothing while it does not run.
fn shell(world: &World, host: &str, script: &'static str) -> String {
    let output = world.host(host).expect("a host").run(&Script::new().text(script));
    output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default()
}

/// All that the control is about, as one text.
fn state(world: &World, host: &str) -> String {
    shell(
        world,
        host,
        "grep -H '' /proc/sys/net/ipv[46]/conf/*/*_redirects /proc/sys/net/ipv[46]/conf/*/accept_source_route \
    /proc/sys/net/ipv4/conf/*/rp_filter /proc/sys/net/ipv4/conf/*/log_martians /proc/sys/net/ipv4/tcp_rfc1337
ls /etc/sysctl.d/99-zz-palisade.conf 2>/dev/null",
    )
}

/// Without asking anything of what runs there. The host ends in the middle of being told so.
fn reboots_at_once(world: &World, host: &str) {
    let boots = world.host(host).expect("a host").boots();
    shell(world, host, "systemctl reboot --force --force");
    wait_for("it boots again", || world.host(host).expect("a host").boots() > boots);
}

/// A change that is held before it is verified, until `meanwhile` was called and the command has ended.
fn held(world: &World, meanwhile: impl Fn()) -> Ran {
    let apply = world.typed(["apply", "test", "--limit", "host-1", "--control", "kernel"]);
    let mut run = apply.held(&["narrow.verifying"]);
    run.reaches("narrow.verifying");
    meanwhile();
    run.goes_on()
}

fn machine_below() -> String {
    let read = |key: &str| std::fs::read_to_string(format!("/proc/sys/kernel/{key}")).unwrap_or_default();
    ["kptr_restrict", "randomize_va_space", "perf_event_paranoid", "dmesg_restrict"].map(read).concat()
}

fn settings_are_set_kept_found_and_taken_back() {
    let below = machine_below();
    let fleet = practice_fleet(2).expect("a fleet");
    let spec = Spec::copy_of(&fleet, Suites::InTurn).expect("a lab").stocked();
    let world = World::enrolled(&fleet, &spec, ROLLBACK);
    let delivered = HOSTS.map(|host| state(&world, host));
    for (verdict, findings) in audit(&world) {
        assert_eq!(verdict, "drift", "{findings:?}");
        assert!(
            findings.iter().all(|finding| finding.contains(" net.")
                || finding.starts_with("net.")
                || finding.contains(FILE)),
            "{findings:?}"
        );
    }

    // Not confirmed in time: the host goes back by itself, to the byte.
    let ran = held(&world, || {
        assert_ne!(state(&world, "host-1"), delivered[0], "the change is live");
        wait_for("the host goes back", || state(&world, "host-1") == delivered[0]);
    });
    assert_eq!(ran.code, Some(5), "{}", ran.said());

    // Rebooted in the middle: what the new file said at boot goes with it.
    let ran = held(&world, || {
        let boot = world.sh("host-1", "cat /proc/sys/kernel/random/boot_id");
        reboots_at_once(&world, "host-1");
        wait_for("the host is back", || {
            let now = shell(
                &world,
                "host-1",
                "cat /proc/sys/kernel/random/boot_id && systemctl is-system-running --wait",
            );
            !now.is_empty() && !now.contains(boot.trim())
        });
    });
    assert_eq!(ran.code, Some(5), "{}", ran.said());
    wait_for("the host holds what it held", || state(&world, "host-1") == delivered[0]);

    // From here on nothing shall go back by its timer, however slow the machine is.
    world.edit("inventories/fleet.yaml", &timeout(ROLLBACK), &timeout(PATIENT));
    let applied = apply(&world).exits(0);
    assert_eq!(world.typed(["report"]).run().exits(0).out, applied.out, "the newest run, from its record");
    let runs: [&[&str]; 3] = [
        &["audit", "test", "--control", "kernel"],
        &["plan", "test", "--control", "kernel"],
        &["enrol", "test"],
    ];
    for words in runs.map(|words| words.iter().copied()) {
        let shown = world.typed(words.clone()).run();
        assert_eq!(world.typed(["report"]).run().exits(0).out, shown.out);
        let document = world.palisade(words).run().json();
        assert_eq!(world.palisade(["report"]).run().exits(0).json(), document);
        let output = Output::ALL.into_iter().find(|output| output.as_str() == document["verb"]);
        Schema::of(output.expect("a verb with a schema")).holds(&document);
        record_holds(Path::new(document["evidence"].as_str().expect("a record")));
    }
    assert!(audit(&world).iter().all(|(verdict, _)| verdict == "not-applicable"), "{:?}", audit(&world));
    let settled = HOSTS.map(|host| state(&world, host));

    // Each part changed by hand is found, named, and mended; and nothing else is touched.
    for (break_it, named) in [
        (
            "echo 1 >/proc/sys/net/ipv4/conf/host0/send_redirects",
            "net.ipv4.conf.*.send_redirects is 1, not 0, for host0",
        ),
        ("echo 0 >/proc/sys/net/ipv4/tcp_rfc1337", "net.ipv4.tcp_rfc1337 is 0, not 1"),
        ("rm /etc/sysctl.d/99-zz-palisade.conf", "/etc/sysctl.d/99-zz-palisade.conf is missing"),
        (
            "echo net.ipv4.tcp_rfc1337=0 >>/etc/sysctl.d/99-zz-palisade.conf",
            "/etc/sysctl.d/99-zz-palisade.conf has other content",
        ),
        (
            "chmod 666 /etc/sysctl.d/99-zz-palisade.conf",
            "/etc/sysctl.d/99-zz-palisade.conf has mode 0666, not 0644",
        ),
    ] {
        for host in HOSTS {
            world.sh(host, break_it);
        }
        for (verdict, findings) in audit(&world) {
            assert_eq!(
                (verdict.as_str(), findings.as_slice()),
                ("drift", [named.to_owned()].as_slice()),
                "{break_it}"
            );
        }
        let mended = apply(&world);
        assert_eq!(mended.code, Some(0), "{break_it}: {}", mended.said());
        assert_eq!(HOSTS.map(|host| state(&world, host)), settled, "{break_it}");
    }

    // What somebody's file would undo at the next boot is named, and nothing is changed.
    for host in HOSTS {
        world.sh(host, "echo net.ipv4.tcp_rfc1337=0 >/etc/sysctl.d/zz-theirs.conf");
    }
    for (verdict, findings) in audit(&world) {
        assert_eq!(verdict, "drift");
        assert_eq!(
            findings,
            ["/etc/sysctl.d/zz-theirs.conf:1 sets net/ipv4/tcp_rfc1337 to 0, not 1, at the next boot"]
        );
    }
    let _ = apply(&world).exits(6);
    for host in HOSTS {
        world.sh(host, "rm /etc/sysctl.d/zz-theirs.conf");
    }

    // It holds after a reboot, by the file alone.
    reboots_at_once(&world, "host-2");
    wait_for("the host is back as it was", || state(&world, "host-2") == settled[1]);
    assert_eq!(machine_below(), below, "the kernel of the machine below");
    world.down();
}
