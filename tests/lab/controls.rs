//! Every built-in control on real hosts of both distributions: found as it is delivered, applied, found to hold, broken
//! by hand in each of its parts and found again, by name. The run writes the table of `docs/controls.md`
//! (`UPDATE_CONTROLS=1`), and fails where what it saw is not what stands there. At its end somebody whose address has
//! changed gets back in, as `docs/admin-addresses.md` says.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use crate::lane::runs_here;
use crate::{tell, text};
use palisade::lab::{Lab, Place, Spec, Suites};
use palisade::shell::{Arg, Script};
use palisade::source::Sources;
use serde_json::Value;

const PAGE: &str = "docs/controls.md";
const BEGIN: &str = "<!-- what tests/lab/controls.rs saw -->\n";
const END: &str = "<!-- end of what it saw -->\n";

const FLEET: &str = "\
company: Practice
people:
  alice: {name: Alice Martin, title: Practises, approver: true, access: [test, prod], keys: [\"ssh-ed25519 \
AAAAC3NzaC1lZDI1NTE5AAAAILwP1P1Hiw0ZUVcnjZT1H1dzmWOnYNk8w7HnOEPaqMrs alice\"]}
";
/// In the order of their names hosts run Debian 12 and 13 in turn.
const TEST: &str = "\
environment: test
networks: {admin: [192.0.2.1], private: [10.0.0.0/24]}
roles:
  web: {listeners: [{name: https, port: 443, from: internet}, {name: console, port: 8443, from: admin}]}
  database: {internet: never, listeners: [{name: postgres, port: 5432, from: role:web}]}
hosts:
  db-1: {addresses: {private: [10.0.0.2]}, jump: web-1, roles: [database], provider: lab, datacenter: here, country: FR}
  db-2: {addresses: {private: [10.0.0.3]}, jump: web-2, roles: [database], provider: lab, datacenter: here, country: FR}
  web-1: {addresses: {public: [192.0.2.4], private: [10.0.0.4]}, roles: [web], provider: lab, datacenter: here, country: FR}
  web-2: {addresses: {public: [192.0.2.5], private: [10.0.0.5]}, roles: [web], provider: lab, datacenter: here, country: FR}
";
const PROD: &str = "\
environment: prod
networks: {admin: [192.0.2.1], private: [10.0.1.0/24]}
automation:
  ci: {keys: [\"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIL9Np9m2e/kS6UGsJZJQMj/BssdcKUj0MLjJFrY//F+h ci\"], from: [192.0.2.60]}
roles:
  web: {listeners: []}
hosts:
  web-3: {addresses: {public: [192.0.2.6]}, roles: [web], provider: lab, datacenter: here, country: FR}
";

/// The hosts of each distribution.
const DISTRIBUTIONS: [(&str, [&str; 2]); 2] =
    [("Debian 12", ["db-1", "web-1"]), ("Debian 13", ["db-2", "web-2"])];

/// One part of a control, broken by hand.
struct Part {
    control: &'static str,
    /// The hosts on which: those whose names begin so.
    hosts: &'static str,
    /// What breaks it. `$key` is the public key of another environment's machine account.
    broken: &'static str,
    /// What the audit must say of it.
    named: &'static str,
    /// What mends it, where apply does not.
    mended: &'static str,
}

const fn part(control: &'static str, hosts: &'static str, broken: &'static str, named: &'static str) -> Part {
    Part { control, hosts, broken, named, mended: "" }
}

const fn undone(
    control: &'static str,
    hosts: &'static str,
    broken: &'static str,
    named: &'static str,
    mended: &'static str,
) -> Part {
    Part { control, hosts, broken, named, mended }
}

/// Rounds: what is broken at once, on all hosts, before one audit and one apply.
const ROUNDS: [&[Part]; 3] = [
    &[
        part(
            "firewall",
            "",
            "nft insert rule inet palisade input tcp dport 8000 accept",
            "loaded, and not declared: tcp dport 8000 accept",
        ),
        part(
            "key-only",
            "",
            "printf '# x\\n' >>/etc/ssh/sshd_config.d/00-palisade.conf",
            "00-palisade.conf has other content",
        ),
        part("lockout", "", "systemctl stop fail2ban.service", "fail2ban.service does not run"),
        part(
            "server-access",
            "",
            "printf '%s\\n' \"$key\" >>/root/.ssh/authorized_keys",
            "/root/.ssh/authorized_keys is not declared",
        ),
        part(
            "baseline",
            "",
            "rm /etc/security/limits.d/99-palisade.conf",
            "limits.d/99-palisade.conf is missing",
        ),
        part(
            "baseline",
            "",
            "rm /etc/systemd/coredump.conf.d/palisade.conf",
            "coredump.conf.d/palisade.conf is missing",
        ),
        part("baseline", "", "rm /etc/profile.d/palisade-umask.sh", "palisade-umask.sh is missing"),
        part("baseline", "", "printf 'x' >>/etc/issue", "/etc/issue has other content"),
        part("baseline", "", "chmod 666 /etc/issue.net", "/etc/issue.net has mode 0666"),
        part(
            "baseline",
            "",
            "rm /etc/systemd/journald.conf.d/palisade.conf",
            "journald.conf.d/palisade.conf is missing",
        ),
        part("patching", "", "rm /etc/apt/apt.conf.d/99palisade", "99palisade is missing"),
        part("kernel", "", "rm /etc/sysctl.d/99-zz-palisade.conf", "99-zz-palisade.conf is missing"),
        part("kernel", "", "echo 0 >/proc/sys/net/ipv4/tcp_rfc1337", "net.ipv4.tcp_rfc1337 is 0, not 1"),
        undone(
            "private-data",
            "db",
            "ip address add 203.0.113.9/32 dev lo",
            "203.0.113.9, which lies in no private network",
            "ip address delete 203.0.113.9/32 dev lo",
        ),
        undone(
            "separation",
            "",
            "printf '%s\\n' \"$key\" >>/etc/ssh/authorized_keys.d/alice",
            "lets in the key of ci in prod",
            "",
        ),
    ],
    &[
        part("firewall", "", "rm /etc/palisade/firewall.nft", "/etc/palisade/firewall.nft is missing"),
        part(
            "key-only",
            "",
            "chmod 666 /etc/ssh/sshd_config.d/00-palisade.conf",
            "00-palisade.conf has mode 0666",
        ),
        part("lockout", "", "rm /etc/fail2ban/jail.d/zz-palisade.local", "zz-palisade.local is missing"),
        part("server-access", "", "useradd -m -s /bin/bash mallory", "mallory"),
        part(
            "admin-allowlist",
            "web",
            "nft insert rule inet palisade input tcp dport 8443 accept",
            "console (tcp port 8443) is open to everywhere",
        ),
        undone(
            "baseline",
            "",
            "cp /bin/true /opt/lends; chmod 4755 /opt/lends",
            "/opt/lends (4755 root:root) lends its owner's rights, and no package brought it",
            "rm /opt/lends",
        ),
        undone(
            "baseline",
            "",
            "touch /etc/open; chmod 666 /etc/open",
            "everyone may write /etc/open",
            "rm /etc/open",
        ),
        undone(
            "baseline",
            "",
            "printf '[Service]\\nExecStart=/bin/sleep 3600\\n' >/run/systemd/system/avahi-daemon.service; systemctl daemon-reload; systemctl start avahi-daemon.service",
            "avahi-daemon.service runs",
            "systemctl stop avahi-daemon.service; rm /run/systemd/system/avahi-daemon.service; systemctl daemon-reload",
        ),
        undone("patching", "", "apt-mark hold sudo", "is held back", "apt-mark unhold sudo"),
        undone(
            "private-data",
            "db",
            "ip route add default dev priv0",
            "there is a route to the internet",
            "ip route delete default dev priv0",
        ),
    ],
    &[
        part(
            "firewall",
            "",
            "systemctl disable palisade-firewall.service",
            "palisade-firewall.service does not start at boot",
        ),
        part(
            "firewall",
            "",
            "rm /etc/systemd/system/nftables.service.d/palisade.conf",
            "nftables.service.d/palisade.conf is missing",
        ),
        part(
            "server-access",
            "",
            "printf 'debian ALL=(ALL) NOPASSWD:ALL\\n' >/etc/sudoers.d/mallory",
            "/etc/sudoers.d/mallory:1",
        ),
        part("lockout", "", "rm /etc/palisade/bans.nft", "bans.nft is missing"),
        part(
            "private-data",
            "db",
            "nft insert rule inet palisade input tcp dport 5432 accept",
            "open to everywhere: tcp dport 5432 accept",
        ),
        undone(
            "private-data",
            "web",
            "nft add table ip theirs; nft 'add chain ip theirs p { type nat hook prerouting priority dstnat; }'; nft add rule ip theirs p tcp dport 5433 dnat to \"$db\"",
            "a port is passed on to",
            "nft delete table ip theirs",
        ),
    ],
];

struct World {
    lab: Lab,
    key: String,
}

/// By host and control: the verdict, and all that was found.
type Seen = BTreeMap<(String, String), (String, String)>;

impl World {
    fn up() -> Self {
        let sources = Sources::new()
            .with("inventories/fleet.yaml", FLEET)
            .with("inventories/test.yaml", TEST)
            .with("inventories/prod.yaml", PROD);
        let fleet = palisade::inventory::parse(&sources).unwrap_or_else(|refusals| panic!("{refusals}"));
        let spec = Spec::copy_of(&fleet, Suites::InTurn).expect("a lab");
        let lab = Lab::up(&Place::default(), &spec, &tell).expect("the lab comes up");
        let project = lab.write_project(&fleet, None, Duration::from_mins(3)).expect("a project");
        // What containers cannot keep is judged here as it is.
        std::fs::remove_file(project.join("inventories/waivers.yaml")).expect("the lab's waivers");
        let key =
            std::fs::read_to_string(lab.private_key("prod-ci").with_extension("pub")).expect("a public key");
        let world = Self { lab, key: key.trim().to_owned() };
        let enrolled = world
            .command(&["enrol", "test", "--bootstrap-user", "debian"])
            .arg("--bootstrap-identity")
            .arg(world.lab.private_key("vendor"))
            .arg("--fingerprints")
            .arg(world.lab.fingerprints())
            .output()
            .expect("palisade starts");
        assert!(enrolled.status.success(), "{}", text(&enrolled.stderr));
        world
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_palisade"));
        command.args(args).args(["--as", "alice", "--identity"]).arg(self.lab.private_key("person-alice"));
        command.arg("--project").arg(self.lab.project()).stdin(Stdio::null());
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().expect("palisade starts")
    }

    fn audit(&self) -> Seen {
        let output = self.run(&["audit", "test", "--format", "json"]);
        let document: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", text(&output.stderr)));
        let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let mut seen = Seen::new();
        for host in document["hosts"].as_array().expect("hosts") {
            for control in host["controls"].as_array().expect("controls") {
                let found = control["evidence"].to_string();
                seen.insert((word(&host["host"]), word(&control["id"])), (word(&control["verdict"]), found));
            }
        }
        seen
    }

    fn apply(&self, what: &str) {
        let output = self.run(&["apply", "test"]);
        assert!(
            matches!(output.status.code(), Some(0 | 3)),
            "{what}: {}{}",
            text(&output.stdout),
            text(&output.stderr)
        );
    }

    /// Runs static text on a host, with what it may name.
    fn on(&self, host: &str, text: &'static str) {
        let db = self.lab.host(&host.replace("web", "db")).expect("a database").addresses().next();
        let script = Script::new()
            .set("key", Arg::lossy(self.key.clone()))
            .set("db", Arg::lossy(db.map(|address| address.to_string()).unwrap_or_default()))
            .text(text);
        let output = self.lab.host(host).expect("a host").run(&script).expect("an answer");
        assert!(output.exit.success(), "{host}: {text}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

fn hosts() -> impl Iterator<Item = &'static str> {
    DISTRIBUTIONS.into_iter().flat_map(|(_, hosts)| hosts)
}

/// The verdicts of a control on the hosts of a distribution, where it applies.
fn words(seen: &Seen, control: &str, hosts: &[&str]) -> String {
    let words: BTreeSet<&str> = hosts
        .iter()
        .filter_map(|host| seen.get(&((*host).to_owned(), control.to_owned())))
        .map(|(word, _)| word.as_str())
        .collect();
    let applicable: Vec<&str> = words.iter().copied().filter(|word| *word != "not-applicable").collect();
    if applicable.is_empty() { "not applicable".to_owned() } else { applicable.join(", ") }
}

fn controls() -> Vec<String> {
    let playbook = palisade::playbook::parse(&Sources::new()).expect("the built-in controls");
    playbook.controls.iter().map(|control| control.id.to_string()).collect()
}

fn table(before: &Seen, after: &Seen, found: &BTreeMap<(&str, &str), (usize, usize)>) -> String {
    let mut text =
        "| control | on | as delivered | after apply | broken by hand, and found |\n|---|---|---|---|---|\n"
            .to_owned();
    for control in controls() {
        for (distribution, hosts) in DISTRIBUTIONS {
            let parts = match found.get(&(control.as_str(), distribution)) {
                Some((found, all)) => format!("{found} of {all} parts"),
                None => "–".to_owned(),
            };
            let (before, after) = (words(before, &control, &hosts), words(after, &control, &hosts));
            let _ = writeln!(text, "| `{control}` | {distribution} | {before} | {after} | {parts} |");
        }
    }
    text
}

#[test]
fn every_control_is_found_applied_and_found_again_when_it_is_broken() {
    if !runs_here("every_control_is_found_applied_and_found_again_when_it_is_broken") {
        return;
    }
    let world = World::up();
    let before = world.audit();
    world.apply("as delivered");
    let after = world.audit();
    let mut found: BTreeMap<(&str, &str), (usize, usize)> = BTreeMap::new();
    let mut wrong = String::new();
    for (round, parts) in ROUNDS.into_iter().enumerate() {
        for host in hosts() {
            for part in parts.iter().filter(|part| host.starts_with(part.hosts)) {
                world.on(host, part.broken);
            }
        }
        let broken = world.audit();
        for (distribution, hosts) in DISTRIBUTIONS {
            for part in parts {
                let count = found.entry((part.control, distribution)).or_default();
                count.1 += 1;
                let missed: Vec<&str> = hosts
                    .into_iter()
                    .filter(|host| host.starts_with(part.hosts))
                    .filter(|host| {
                        let (verdict, all) = &broken[&((*host).to_owned(), part.control.to_owned())];
                        verdict != "drift" || !all.contains(part.named)
                    })
                    .collect();
                if missed.is_empty() {
                    count.0 += 1;
                }
                for host in missed {
                    let told = &broken[&(host.to_owned(), part.control.to_owned())];
                    let _ = writeln!(wrong, "{host}: {} after `{}`: {told:?}", part.control, part.broken);
                }
            }
        }
        for host in hosts() {
            for part in parts.iter().filter(|part| host.starts_with(part.hosts) && !part.mended.is_empty()) {
                world.on(host, part.mended);
            }
        }
        world.apply(&format!("round {round}"));
    }
    let mended = world.audit();
    for (place, (word, _)) in &after {
        if mended[place].0 != *word {
            let _ = writeln!(wrong, "{place:?} was {word}, and is {:?} in the end", mended[place]);
        }
    }
    assert!(wrong.is_empty(), "{wrong}");

    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE);
    let page = std::fs::read_to_string(&path).expect("the page");
    let (head, rest) = page.split_once(BEGIN).expect("where it begins");
    let (old, tail) = rest.split_once(END).expect("where it ends");
    let new = format!("\n{}\n", table(&before, &after, &found));
    if std::env::var_os("UPDATE_CONTROLS").is_some() {
        std::fs::write(&path, format!("{head}{BEGIN}{new}{END}{tail}")).expect("the page is written");
    } else {
        assert_eq!(old, new, "if this is what is meant: UPDATE_CONTROLS=1 cargo test --test lab controls");
    }
    get_back_in(&world);
}

/// Our own address is no longer one of the admin addresses; at the console somebody lets us in, and the declared rules
/// take the place of all that.
fn get_back_in(world: &World) {
    let webs = ["web-1", "web-2"];
    for host in webs {
        world.on(host, "sed -i '/management\"$/s/ip6* saddr [^t]*tcp/ip saddr 203.0.113.7 tcp/' /etc/palisade/firewall.nft && nft -f /etc/palisade/firewall.nft");
    }
    let output = world.run(&["audit", "test", "--limit", "web-*"]);
    assert_eq!(output.status.code(), Some(4), "{}", text(&output.stdout));
    for host in webs {
        world.on(host, "nft insert rule inet palisade input tcp dport 22 ip saddr 10.0.0.0/8 accept; nft insert rule inet palisade input tcp dport 22 ip6 saddr fc00::/7 accept");
    }
    world.apply("from the new address");
    for ((host, control), (word, told)) in world.audit() {
        if control == "firewall" {
            assert_eq!(word, "compliant", "{host}: {told}");
        }
    }
}

#[test]
fn the_page_names_every_control_on_both_distributions() {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE)).expect("the page");
    for control in controls() {
        for (distribution, _) in DISTRIBUTIONS {
            assert!(
                page.contains(&format!("| `{control}` | {distribution} |")),
                "{control} on {distribution}"
            );
        }
    }
}
