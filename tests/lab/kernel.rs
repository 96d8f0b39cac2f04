//! Kernel settings on real hosts, as far as a container has settings of its own: set and kept in a file, found again
//! when they are changed by hand in each part, taken back when a change is not confirmed, and after a reboot in its
//! middle. The kernel of the machine below stays as it is.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use crate::lane::{runs_here, say};
use serde_json::Value;

const FILE: &str = "/etc/sysctl.d/99-zz-palisade.conf";
const HOSTS: [&str; 2] = ["host-1", "host-2"];

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A lab with a host of each distribution, enrolled, and what it takes to work on it. It goes when the test ends.
struct World {
    name: String,
    folder: PathBuf,
}

impl Drop for World {
    fn drop(&mut self) {
        say(&text(&palisade(&["lab", "down", &self.name]).output().expect("palisade starts").stderr));
    }
}

fn palisade(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_palisade"));
    command.args(args);
    command
}

impl World {
    fn up() -> Self {
        let name = format!("kernel-{}", std::process::id());
        let up = palisade(&[
            "lab",
            "up",
            "--name",
            &name,
            "--hosts",
            "2",
            "--rollback-timeout",
            "8",
            "--format",
            "json",
        ]);
        let output = { up }.output().expect("palisade starts");
        let mut world = Self { name, folder: PathBuf::new() };
        assert!(output.status.success(), "{}", text(&output.stderr));
        let document: Value = serde_json::from_slice(&output.stdout).expect("one JSON document");
        world.folder = PathBuf::from(document["labs"][0]["folder"].as_str().expect("a folder"));
        let path = |below: &str| world.folder.join(below).display().to_string();
        let enrolled = world.run(&[
            "enrol",
            "test",
            "--bootstrap-user",
            "debian",
            "--bootstrap-identity",
            &path("keys/vendor"),
            "--fingerprints",
            &path("fingerprints.yaml"),
        ]);
        assert!(enrolled.status.success(), "{}", text(&enrolled.stderr));
        world
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = palisade(args);
        command
            .args(["--as", "alice", "--identity"])
            .arg(self.folder.join("keys/person-alice"))
            .arg("--project")
            .arg(self.folder.join("project"));
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().expect("palisade starts")
    }

    /// The verdict of the control and its findings, of every host.
    fn audit(&self) -> Vec<(String, Vec<String>)> {
        let output = self.run(&["audit", "test", "--control", "kernel", "--format", "json"]);
        let document: Value = serde_json::from_slice(&output.stdout).expect("one JSON document");
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

    fn apply(&self) -> Output {
        self.run(&["apply", "test", "--control", "kernel"])
    }

    fn shell(&self, host: &str, command: &str) -> String {
        let output = palisade(&["lab", "shell", "--lab", &self.name, host, "--", "sh", "-c", command]);
        text(&{ output }.output().expect("palisade starts").stdout)
    }

    /// All that the control is about, as one text.
    fn state(&self, host: &str) -> String {
        let values = "grep -H '' /proc/sys/net/ipv[46]/conf/*/*_redirects /proc/sys/net/ipv[46]/conf/*/accept_source_route \
            /proc/sys/net/ipv4/conf/*/rp_filter /proc/sys/net/ipv4/conf/*/log_martians /proc/sys/net/ipv4/tcp_rfc1337";
        self.shell(host, &format!("{values}; ls {FILE} 2>/dev/null"))
    }

    /// A change that is held before it is verified, until `meanwhile` was called and the command has ended.
    fn held(&self, meanwhile: impl Fn()) -> Output {
        let hold = self.folder.join("hold");
        std::fs::write(&hold, b"").expect("a file");
        let mut command = self.command(&["apply", "test", "--limit", "host-1", "--control", "kernel"]);
        command.env("PALISADE_LAB_HOLD", format!("narrow.verifying:{}", hold.display()));
        let child = command
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .expect("palisade starts");
        wait("the change is live", || Path::new(&format!("{}.reached", hold.display())).exists());
        meanwhile();
        std::fs::remove_file(&hold).expect("the hold");
        std::fs::remove_file(format!("{}.reached", hold.display())).expect("the hold");
        child.wait_with_output().expect("it ends")
    }
}

fn wait(what: &str, done: impl Fn() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < Duration::from_mins(5), "waited for five minutes: {what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn machine_below() -> String {
    let read = |key: &str| std::fs::read_to_string(format!("/proc/sys/kernel/{key}")).unwrap_or_default();
    ["kptr_restrict", "randomize_va_space", "perf_event_paranoid", "dmesg_restrict"].map(read).concat()
}

#[test]
fn settings_are_set_kept_found_and_taken_back() {
    if !runs_here("settings_are_set_kept_found_and_taken_back") {
        return;
    }
    let below = machine_below();
    let world = World::up();
    let delivered = HOSTS.map(|host| world.state(host));
    for (verdict, findings) in world.audit() {
        assert_eq!(verdict, "drift", "{findings:?}");
        assert!(
            findings.iter().all(|finding| finding.contains(" net.")
                || finding.starts_with("net.")
                || finding.contains(FILE)),
            "{findings:?}"
        );
    }

    // Not confirmed in time: the host goes back by itself, to the byte.
    let output = world.held(|| {
        assert_ne!(world.state("host-1"), delivered[0], "the change is live");
        wait("the host goes back", || world.state("host-1") == delivered[0]);
    });
    assert_eq!(output.status.code(), Some(5), "{}", text(&output.stderr));

    // Rebooted in the middle: what the new file said at boot goes with it.
    let output = world.held(|| {
        let boot = world.shell("host-1", "cat /proc/sys/kernel/random/boot_id");
        world.shell("host-1", "systemctl reboot --force --force");
        wait("the host is back", || {
            let now = world
                .shell("host-1", "cat /proc/sys/kernel/random/boot_id && systemctl is-system-running --wait");
            !now.is_empty() && !now.contains(boot.trim())
        });
    });
    assert_eq!(output.status.code(), Some(5), "{}", text(&output.stderr));
    wait("the host holds what it held", || world.state("host-1") == delivered[0]);

    let applied = world.apply();
    assert_eq!(applied.status.code(), Some(0), "{}", text(&applied.stderr));
    assert!(world.audit().iter().all(|(verdict, _)| verdict == "not-applicable"), "{:?}", world.audit());
    let settled = HOSTS.map(|host| world.state(host));

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
            world.shell(host, break_it);
        }
        for (verdict, findings) in world.audit() {
            assert_eq!(
                (verdict.as_str(), findings.as_slice()),
                ("drift", [named.to_owned()].as_slice()),
                "{break_it}"
            );
        }
        let mended = world.apply();
        assert_eq!(mended.status.code(), Some(0), "{break_it}: {}", text(&mended.stderr));
        assert_eq!(HOSTS.map(|host| world.state(host)), settled, "{break_it}");
    }

    // What somebody's file would undo at the next boot is named, and nothing is changed.
    for host in HOSTS {
        world.shell(host, "echo net.ipv4.tcp_rfc1337=0 >/etc/sysctl.d/zz-theirs.conf");
    }
    for (verdict, findings) in world.audit() {
        assert_eq!(verdict, "drift");
        assert_eq!(
            findings,
            ["/etc/sysctl.d/zz-theirs.conf:1 sets net/ipv4/tcp_rfc1337 to 0, not 1, at the next boot"]
        );
    }
    let refused = world.apply();
    assert_eq!(refused.status.code(), Some(6), "{}", text(&refused.stderr));
    for host in HOSTS {
        world.shell(host, "rm /etc/sysctl.d/zz-theirs.conf");
    }

    // It holds after a reboot, by the file alone.
    world.shell("host-2", "systemctl reboot --force --force");
    wait("the host is back as it was", || world.state("host-2") == settled[1]);
    assert_eq!(machine_below(), below, "the kernel of the machine below");
}
