//! What a host of its own kernel is like after apply, and while it boots: settings of the kernel as declared, modules that
//! nobody can have loaded any more, no moment at which a port answers that the firewall closes, bans that go on; and a clock
//! of its own, which is judged with and without a server that it could follow. With `PALISADE_LAB_TAIL=1`.

use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use palisade::lab::{Hardware, Suite};
use serde_json::Value;
use support::{Inventory, Needs, Project, World, host, note};

support::tests! {
    Needs::TAIL => [
        a_machine_boots_behind_its_firewall_with_its_kernel_as_declared,
    ],
}

/// A port at which something listens that nobody declared, as the lab delivers its hosts.
const STRAY: u16 = 8000;

const WITHIN: Duration = Duration::from_mins(15);

fn a_machine_boots_behind_its_firewall_with_its_kernel_as_declared() {
    let machines = [("edge-12", Suite::Bookworm), ("edge-13", Suite::Trixie)];
    // one after the other: an emulated machine is slow enough by itself
    for (name, suite) in machines {
        boots_behind_its_firewall(name, suite);
    }
}

fn boots_behind_its_firewall(name: &str, suite: Suite) {
    let world = World::with([host(name, suite).machine(Hardware::default())]);
    let inventory = Inventory { rollback_timeout: 900, ..Inventory::default() };
    let project = Project::write(&world, "boots", &inventory);
    for control in ["patching", "encryption", "time"] {
        project.waive(control, [name].into_iter());
    }
    project.enrol();
    let address = SocketAddr::new(world.host(name).unwrap().public_address().unwrap().ip(), STRAY);
    let until = Instant::now() + WITHIN;
    while !answers(address) {
        assert!(Instant::now() < until, "{name}: as it is delivered, port {STRAY} answers");
    }
    let loadable = world.host(name).unwrap().sh(LOADABLE).unwrap();
    assert!(
        loadable.contains("sctp"),
        "{name}: before apply, whoever opens a socket has its module: {loadable}"
    );
    let ran = project.apply(name);
    assert_eq!(ran.code, Some(0), "{name}: {}", ran.said());
    judged(&audit(&project, name, &[]), name);
    over_a_boot(&world, name, address);
    judged(&audit(&project, name, &[]), name);
    assert_eq!(world.host(name).unwrap().sh(LOADED).unwrap(), "", "{name}: modules that are never loaded");
    note(&format!(
        "{name}: before apply it would load {}; after it, none is",
        loadable.replace('\n', " ").trim()
    ));
    a_clock_of_its_own(&world, &project, name);
}

fn audit(project: &Project<'_>, name: &str, more: &[&str]) -> Value {
    project.palisade(&["audit", "prod", "--limit", name, "--format", "json"]).args(more).run().json()
}

/// Which of the modules that the control names would be loaded for whoever asks. None is: a kernel does not let go of all.
const LOADABLE: &str =
    "for module in appletalk atm ax25 dccp ieee802154_socket netrom rds rose sctp tipc x25; do
  modprobe -q --show-depends $module 2>/dev/null | grep -q \"^insmod .*/$module[.]ko\" && echo $module
done; :";

/// Which of them are there once they were asked for: by root, and by anybody who opens a socket (132 is SCTP's, IANA's
/// protocol numbers).
const LOADED: &str =
    "for module in appletalk atm ax25 dccp ieee802154_socket netrom rds rose sctp tipc x25; do
  modprobe -q $module 2>/dev/null && echo \"$module, for root\"
done
su -s /bin/sh nobody -c 'perl -e \"socket(my \\$s, 2, 1, 132)\"' 2>/dev/null
[ ! -e /sys/module/sctp ] || echo 'sctp, for nobody'";

/// Whether something accepts connections there.
fn answers(address: SocketAddr) -> bool {
    TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok()
}

fn control<'d>(document: &'d Value, id: &str) -> &'d Value {
    let controls = document["hosts"][0]["controls"].as_array().unwrap();
    controls.iter().find(|control| control["id"] == id).unwrap_or_else(|| panic!("no {id}: {document}"))
}

/// What only a host of its own kernel can say.
fn judged(document: &Value, name: &str) {
    // `time`: no time daemon runs as Debian's minimal system is delivered; `hosting`: it is a virtual machine, and is told
    let wanted = [
        ("kernel", "compliant"),
        ("firewall", "compliant"),
        ("lockout", "compliant"),
        ("time", "waived"),
        ("hosting", "waived"),
        ("encryption", "waived"),
    ];
    for (id, verdict) in wanted {
        assert_eq!(control(document, id)["verdict"], verdict, "{name}: {id}: {document}");
    }
    let text = document.to_string();
    assert!(text.contains("it is a virtual machine"), "{name}");
    assert!(text.contains("no time daemon runs"), "{name}");
    assert!(text.contains("is not encrypted"), "{name}");
}

/// Reboots it while a stranger's port is knocked at all the time.
fn over_a_boot(world: &World, name: &str, address: SocketAddr) {
    let host = world.host(name).unwrap();
    assert!(!answers(address), "{name}: after apply port {STRAY} does not answer");
    let (over, answered, knocked) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    let banned = "fail2ban-client set sshd banip 192.0.2.77 && sync";
    host.run(&palisade::shell::Script::new().text(banned)).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                knocked.fetch_add(1, Ordering::Relaxed);
                // a port that the firewall closes says nothing; one that is open while it boots says yes at once
                if TcpStream::connect_timeout(&address, Duration::from_millis(200)).is_ok() {
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        let begun = Instant::now();
        let before = host.boots();
        let crashed = host
            .begin_crash()
            .and_then(|()| host.wait_for_boot(before))
            .and_then(|()| host.wait_until_ready());
        // it listens again only once it is up; a while longer is looked at
        while crashed.is_ok()
            && !host.sh("systemctl is-active debug-port.service").is_ok_and(|word| word.trim() == "active")
            && begun.elapsed() < WITHIN
        {
            std::thread::sleep(Duration::from_secs(1));
        }
        std::thread::sleep(Duration::from_secs(3));
        over.store(true, Ordering::Relaxed);
        crashed.unwrap_or_else(|why| panic!("{name}: {why}"));
    });
    let knocked = knocked.into_inner();
    assert!(knocked > 50, "{name}: knocked {knocked} times alone");
    assert_eq!(answered.into_inner(), 0, "{name}: the port answered while it booted");
    // the order in which the units came, by the kernel's clock
    let at = |unit: &str| -> u64 {
        let script = palisade::shell::Script::new()
            .set("unit", palisade::shell::Arg::lossy(unit))
            .text("systemctl show --value -p ActiveEnterTimestampMonotonic \"$unit\"");
        let output = host.run(&script).unwrap();
        String::from_utf8_lossy(&output.stdout).trim().parse().unwrap()
    };
    let (firewall, network, ssh) =
        (at("palisade-firewall.service"), at("systemd-networkd.service"), at("ssh.service"));
    assert!(firewall > 0 && firewall < network && network < ssh, "{name}: {firewall}, {network}, {ssh}");
    // fail2ban puts back what it remembers, once it is up (docs/lockout.md)
    let until = Instant::now() + WITHIN;
    loop {
        let rules = host.sh("nft list table inet palisade-bans").unwrap_or_default();
        if rules.contains("192.0.2.77") {
            break;
        }
        assert!(Instant::now() < until, "{name}: the ban did not come back: {rules}");
        std::thread::sleep(Duration::from_secs(1));
    }
    note(&format!(
        "{name}: knocked {knocked} times at a port that is closed while it booted, and never heard anything"
    ));
}

/// Its clock: an hour ahead, without and with a time daemon that hears nothing, and with a server that it can follow.
fn a_clock_of_its_own(world: &World, project: &Project<'_>, name: &str) {
    let host = world.host(name).unwrap();
    let judged = || {
        let document = audit(project, name, &["--control", "time"]);
        let time = control(&document, "time").clone();
        (time["verdict"].as_str().unwrap().to_owned(), time.to_string())
    };
    let says = |what: &str| {
        let (verdict, text) = judged();
        assert!(verdict == "waived" && text.contains(what), "{name}: {verdict}, and not `{what}`: {text}");
    };
    host.sh("date -s '+1 hour'").unwrap();
    says("ahead of the control node's");
    let server = world.record().networks.control.v4;
    let follow =
        palisade::shell::Script::new().set("server", palisade::shell::Arg::lossy(server.to_string())).text(
            "set -e; export DEBIAN_FRONTEND=noninteractive
             mkdir -p /etc/systemd/timesyncd.conf.d
             printf '[Time]\nNTP=%s\nFallbackNTP=\n' \"$server\" >/etc/systemd/timesyncd.conf.d/lab.conf
             apt-get -q update && apt-get -q -y --no-install-recommends install systemd-timesyncd
             systemctl enable --now systemd-timesyncd.service",
        );
    let output = host.run(&follow).unwrap();
    assert!(output.exit.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    says("the clock is not synchronised");
    let over = AtomicBool::new(false);
    let socket =
        UdpSocket::bind((server.ip(), 123)).expect("nobody else serves the time on the lab's own address");
    socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| serve_time(&socket, &over));
        let _end = Ends(&over);
        // it asks at once where it starts, and then seldom
        let restarted = host.sh("systemctl restart systemd-timesyncd.service");
        let until = Instant::now() + WITHIN;
        let mut last = judged();
        while restarted.is_ok() && last.0 != "compliant" && Instant::now() < until {
            std::thread::sleep(Duration::from_secs(2));
            last = judged();
        }
        restarted.unwrap();
        assert_eq!(last.0, "compliant", "{name}: {}", last.1);
        note(&format!("{name}: time: {}", last.1));
    });
}

/// Says that it is over, also where a test fails.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Answers who asks for the time, as a server of NTP does that has a clock of its own (RFC 5905, 7.3).
fn serve_time(socket: &UdpSocket, over: &AtomicBool) {
    /// Seconds between 1900, where NTP begins to count, and 1970.
    const SINCE_1900: u64 = 2_208_988_800;
    let mut packet = [0; 48];
    while !over.load(Ordering::Relaxed) {
        let Ok((48, from)) = socket.recv_from(&mut packet) else { continue };
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let seconds = u32::try_from((now.as_secs() + SINCE_1900) & u64::from(u32::MAX)).unwrap();
        let fraction = u32::try_from((u64::from(now.subsec_nanos()) << 32) / 1_000_000_000).unwrap();
        let now = [seconds.to_be_bytes(), fraction.to_be_bytes()].concat();
        let asked: Vec<u8> = packet[40..48].to_vec();
        // no leap second, version 4, a server; stratum 1, asked each 64 s, a microsecond's clock; no delay
        let head = [0x24, 1, 6, 0xec, 0, 0, 0, 0, 0, 0, 0, 0];
        let answer = [&head[..], b"LAB\0", &now, &asked, &now, &now].concat();
        drop(socket.send_to(&answer, from));
    }
}
