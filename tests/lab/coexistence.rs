//! Palisade beside others on one host, on real hosts of both distributions: Docker with published ports, ssh.socket,
//! cloud-init's drop-in, an administrator's `Match` blocks, another team's nftables table and jails of fail2ban; ufw and
//! firewalld; files that would count before palisade's. Nothing of theirs is lost, and what contradicts is found and
//! said. The run writes the table of `docs/coexistence.md` (`PALISADE_BLESS=1`), and fails where what it saw is not
//! what stands there.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use palisade::lab::{Spec, Suites, silent};
use palisade::shell::Script;
use serde_json::Value;
use support::{Needs, PATIENCE, World, fleet, wait_for};

support::tests! {
    Needs::NOTHING => [
        the_page_says_what_the_test_looks_for,
    ],
    Needs::LAB => [
        nothing_of_others_is_lost_and_what_contradicts_is_said,
    ],
}

const PAGE: &str = "docs/coexistence.md";
const BEGIN: &str = "<!-- what tests/lab/coexistence.rs saw -->\n";
const END: &str = "<!-- end of what it saw -->\n";

const FLEET: &str = "\
company: Practice
people:
  alice: {name: Alice Martin, title: Practises, approver: true, access: [test], keys: [\"ssh-ed25519 \
AAAAC3NzaC1lZDI1NTE5AAAAILwP1P1Hiw0ZUVcnjZT1H1dzmWOnYNk8w7HnOEPaqMrs alice\"]}
";
/// In the order of their names hosts run Debian 12 and 13 in turn.
const TEST: &str = "\
environment: test
networks: {admin: [192.0.2.1], private: [10.0.0.0/24]}
roles:
  web: {listeners: [{name: https, port: 443, from: internet, container: true}, {name: console, port: 8443, from: admin}]}
hosts:
  shop-12: {addresses: {public: [192.0.2.2]}, roles: [web], provider: lab, datacenter: here, country: FR}
  shop-13: {addresses: {public: [192.0.2.3]}, roles: [web], provider: lab, datacenter: here, country: FR}
  wall-12: {addresses: {public: [192.0.2.4]}, roles: [web], provider: lab, datacenter: here, country: FR}
  wall-13: {addresses: {public: [192.0.2.5]}, roles: [web], provider: lab, datacenter: here, country: FR}
";
const HOSTS: [&str; 4] = ["shop-12", "shop-13", "wall-12", "wall-13"];

const FOR_SHOPS: [&str; 5] = ["docker.io", "iptables", "nftables", "fail2ban", "python3-systemd"];
/// Debian 13 has Docker's client in a package of its own.
const CLIENT: &str = "docker-cli";

const INSTALL: &str = "DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends -o APT::Sandbox::User=root install /root/more/*.deb";

const SHOP: &str = r#"set -e
cat >/etc/nftables.conf <<'RULES'
#!/usr/sbin/nft -f
# the network team's
flush ruleset

table inet filter {
	chain input {
		type filter hook input priority filter; policy drop;
		ct state established,related accept
		iif "lo" accept
		meta l4proto { 1, 58 } accept
		tcp dport { 22, 443, 8443 } accept
		tcp dport 9100 reject
	}
}
RULES
systemctl enable nftables.service
systemctl start nftables.service
cat >>/etc/ssh/sshd_config <<'BLOCKS'

# the application team's
Match Address 10.0.0.0/8
    PasswordAuthentication yes
Match User deploy
    ForceCommand /usr/bin/true
BLOCKS
cat >/etc/fail2ban/jail.local <<'JAIL'
[DEFAULT]
bantime = 1h

[sshd]
enabled = true
backend = systemd
maxretry = 50
ignoreip = 203.0.113.0/24
JAIL
cat >/etc/fail2ban/jail.d/web.local <<'JAIL'
[web]
enabled = true
filter = apache-auth
backend = systemd
journalmatch = _SYSTEMD_UNIT=web.service
banaction = nftables-allports
JAIL
systemctl restart fail2ban.service
until fail2ban-client status web >/dev/null 2>&1; do sleep 0.2; done
fail2ban-client set web banip 203.0.113.77
useradd -m deploy
usermod -aG docker deploy
systemctl disable --now ssh.service
systemctl enable --now ssh.socket
systemctl restart docker.service
libraries=$(ldd /bin/nc.openbsd | grep -o '/[^ ]*' | sort -u)
tar -ch -C / --transform 's,^/*,,' /bin/nc.openbsd $libraries 2>/dev/null | docker import - served
docker run -d --restart always --name shop -p 443:80 -p 8443:80 -p 8090:80 served /bin/nc.openbsd -lkN 0.0.0.0 80
"#;

const UFW: &str = "ufw allow 22/tcp; ufw allow 443/tcp; ufw --force enable";
const FIREWALLD: &str = "systemctl enable --now firewalld.service; firewall-cmd --permanent --add-service=https; firewall-cmd --reload";

/// Files that count before palisade's, whatever its own say.
const EARLY: &str = r"printf 'Match User backup\n    PasswordAuthentication yes\n' >/etc/ssh/sshd_config.d/00-first.conf
mkdir -p /etc/fail2ban/jail.d; printf '[sshd]\nmaxretry = 50\n' >/etc/fail2ban/jail.d/zzz.local";
const LATER: &str = "rm /etc/ssh/sshd_config.d/00-first.conf /etc/fail2ban/jail.d/zzz.local";

/// Files of others byte for byte with owner, mode and time, and their units: none of these lines may go.
const FILES: &str = r#"for file in /etc/nftables.conf /etc/ssh/sshd_config /etc/ssh/sshd_config.d/50-cloud-init.conf /etc/docker \
  /etc/fail2ban/jail.conf /etc/fail2ban/jail.local /etc/fail2ban/jail.d/web.local /etc/fail2ban/jail.d/defaults-debian.conf \
  /etc/default/ufw /etc/ufw /etc/firewalld; do
  find "$file" -type f -exec stat -c '%n %s %U %G %a %Y' {} + -exec sha256sum {} + 2>/dev/null
done
for unit in ssh.service ssh.socket nftables.service docker.service containerd.service ufw.service firewalld.service; do
  state=$(systemctl is-enabled $unit 2>/dev/null)
  case $state in '' | not-found) ;; *) echo "$unit $state" ;; esac
done
echo "ssh.socket $(systemctl is-active ssh.socket)"
getent group docker || true
"#;
/// What others have loaded and running: exactly this.
const LIVE: &str = r#"if command -v ufw >/dev/null; then
  for save in iptables-save ip6tables-save; do $save | sed '/^#/d; s/ \[[0-9:]*\]$//'; done
else
  nft list tables | sort | while read -r _ family table; do
    case $table in palisade | palisade-bans | f2b-*) ;; *) nft -s -t list table "$family" "$table" 2>/dev/null ;; esac
  done
fi
if command -v docker >/dev/null; then docker inspect -f '{{.Id}} {{.State.StartedAt}} {{.State.Running}}' shop; fi
"#;
/// The jail of another team, and whom it bans.
const JAIL: &str = "fail2ban-client get web banip 2>/dev/null || true";

/// Something of others, what is said of it, and what becomes of it.
struct Thing {
    what: &'static str,
    /// The hosts on which: those whose names begin so.
    hosts: &'static str,
    control: &'static str,
    /// Said before a change: by the audit, or by the plan as what is cut off or stands in the way.
    before: &'static str,
    /// Said by every audit after it, with the control's verdict; nothing where there is nothing left to say.
    after: Option<(&'static str, &'static str)>,
    then: &'static str,
}

const THINGS: [Thing; 16] = [
    Thing {
        what: "Docker, a published port that nobody declared",
        hosts: "shop",
        control: "firewall",
        before: "tcp port 8090, which chain DOCKER of table ip nat passes on",
        after: Some(("drift", "undeclared listener tcp 0.0.0.0:8090 by docker-proxy")),
        then: "Docker's rules and the container stay; from outside the port answers no more",
    },
    Thing {
        what: "Docker, a published port that is a declared listener",
        hosts: "shop",
        control: "firewall",
        before: "tcp port 8443 is passed on by chain DOCKER of table ip nat",
        after: Some(("drift", "what is declared there does not answer")),
        then: "closed, and drift until the listener says `container: true`",
    },
    Thing {
        what: "Docker, a published port that is a listener with `container: true`",
        hosts: "shop",
        control: "firewall",
        before: "tcp port 443 is passed on by chain DOCKER of table ip nat",
        after: Some(("drift", "tcp dport 443 counter dnat to 172.17.0.2:80), as declared")),
        then: "open to whom it is declared, and to nobody else; it goes on answering",
    },
    Thing {
        what: "Docker, traffic of containers",
        hosts: "shop",
        control: "firewall",
        before: "packets that this host passes on between networks (forwarding is switched on)",
        after: None,
        then: "cut off: palisade's forward chain drops; the host itself still reaches its containers",
    },
    Thing {
        what: "a member of the group docker",
        hosts: "shop",
        control: "server-access",
        before: "deploy is in group docker and not declared",
        after: Some(("drift", "deploy is in group docker and not declared")),
        then: "named until somebody takes it out: who may start containers is root",
    },
    Thing {
        what: "another team's table, which drops by its policy",
        hosts: "shop",
        control: "firewall",
        before: "chain input of table inet filter (hook input) drops what it does not accept",
        after: Some(("drift", "chain input of table inet filter (hook input) drops what it does not accept")),
        then: "stays as it is, live and in /etc/nftables.conf; what palisade accepts must be let in there too",
    },
    Thing {
        what: "ssh.socket in the place of ssh.service",
        hosts: "shop",
        control: "key-only",
        before: "",
        after: Some(("compliant", "ssh.socket and ssh.service are both active")),
        then: "stays; the new settings count from the next connection on",
    },
    Thing {
        what: "cloud-init's 50-cloud-init.conf (PasswordAuthentication yes)",
        hosts: "shop",
        control: "key-only",
        before: "/etc/ssh/sshd_config.d/50-cloud-init.conf:1",
        after: Some((
            "compliant",
            "without effect beside palisade's settings: passwordauthentication `yes` (/etc/ssh/sshd_config.d/50-cloud-init.conf:1)",
        )),
        then: "stays, without effect",
    },
    Thing {
        what: "an administrator's `Match Address` that switches passwords on",
        hosts: "shop",
        control: "key-only",
        before: "under `Match address 10.0.0.0/8`",
        after: Some(("compliant", "under `Match address 10.0.0.0/8`")),
        then: "stays, without effect for what palisade sets; its other lines count",
    },
    Thing {
        what: "a `Match` block in a file that sshd reads before palisade's",
        hosts: "wall",
        control: "key-only",
        before: "/etc/ssh/sshd_config.d/00-first.conf:2 sets passwordauthentication to `yes`",
        after: None,
        then: "no plan until its owner takes it out or renames the file",
    },
    Thing {
        what: "another team's settings of the jail sshd (jail.local)",
        hosts: "shop",
        control: "lockout",
        before: "what /etc/fail2ban/jail.local says of fail2ban's jail sshd",
        after: Some(("drift", "/etc/fail2ban/jail.local sets the jail sshd too")),
        then: "the file stays, and palisade's settings of that jail count",
    },
    Thing {
        what: "whom that jail lets off (ignoreip)",
        hosts: "shop",
        control: "lockout",
        before: "fail2ban never bans 203.0.113.0/24, which is no management",
        after: None,
        then: "they are counted like everybody",
    },
    Thing {
        what: "another team's jail, with a ban",
        hosts: "shop",
        control: "lockout",
        before: "",
        after: Some(("drift", "fail2ban's jails of others: web")),
        then: "goes on, its bans too",
    },
    Thing {
        what: "a file in jail.d that is read after palisade's and sets the jail sshd",
        hosts: "wall",
        control: "lockout",
        before: "/etc/fail2ban/jail.d/zzz.local is read after /etc/fail2ban/jail.d/zz-palisade.local",
        after: None,
        then: "no plan until its owner takes the section out or renames the file",
    },
    Thing {
        what: "ufw",
        hosts: "wall-12",
        control: "firewall",
        before: "ufw filters too",
        after: Some(("drift", "ufw filters too")),
        then: "stays and goes on filtering; drift until it is switched off",
    },
    Thing {
        what: "firewalld",
        hosts: "wall-13",
        control: "firewall",
        before: "firewalld filters too",
        after: Some(("drift", "firewalld filters too")),
        then: "stays and goes on filtering; drift until it is switched off",
    },
];

/// By host and control: the verdict, and all that was said.
type Said = BTreeMap<(String, String), (String, String)>;

/// The hosts of test, as they are delivered, and a project about them.
fn delivered() -> World {
    let fleet = fleet(&[("inventories/fleet.yaml", FLEET), ("inventories/test.yaml", TEST)]);
    let spec = Spec::copy_of(&fleet, Suites::InTurn).expect("a lab").stocked();
    World::of(&fleet, &spec, Duration::from_mins(2))
}

fn audit(world: &World) -> Said {
    let document = world.palisade(["audit", "test"]).run().json();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut said = Said::new();
    for host in document["hosts"].as_array().expect("hosts") {
        for control in host["controls"].as_array().expect("controls") {
            let all = control["evidence"].to_string();
            said.insert((text(&host["host"]), text(&control["id"])), (text(&control["verdict"]), all));
        }
    }
    said
}

/// What the plan says of each host: what is cut off, what stands in the way.
fn plan(world: &World) -> BTreeMap<String, String> {
    let document = world.palisade(["plan", "test"]).run().json();
    let hosts = document["hosts"].as_array().unwrap_or_else(|| panic!("{document}"));
    hosts
        .iter()
        .map(|host| (host["host"].as_str().unwrap_or_default().to_owned(), host.to_string()))
        .collect()
}

/// Runs static text on a host, however long installing takes: each one unpacks some hundred megabytes.
fn run(world: &World, host: &str, text: &'static str) -> String {
    let script = Script::new().text(text);
    let output = world.host(host).expect("a host").run_within(&script, PATIENCE).expect("an answer");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let wrong = String::from_utf8_lossy(&output.stderr);
    assert!(output.exit.success(), "{host}: {:?}: {text}: {wrong}{said}", output.exit);
    said
}

fn answers(world: &World, host: &str, port: u16) -> bool {
    let address = world.host(host).expect("a host").public_address().expect("an address");
    let address = SocketAddr::new(address.ip(), port);
    TcpStream::connect_timeout(&address, Duration::from_secs(5)).is_ok()
}

fn prepare(world: &World, name: &str) {
    let (packages, set_up): (Vec<&str>, _) = match name {
        "wall-12" => (vec!["ufw"], UFW),
        "wall-13" => (vec!["firewalld", "nftables"], FIREWALLD),
        _ => {
            let mut packages = FOR_SHOPS.to_vec();
            packages.extend((name == "shop-13").then_some(CLIENT));
            (packages, SHOP)
        }
    };
    world.host(name).expect("a host").bring(&packages, &silent).expect("the packages are fetched");
    run(world, name, INSTALL);
    run(world, name, set_up);
}

fn on_each<T: Send>(act: impl Fn(&'static str) -> T + Sync) -> BTreeMap<&'static str, T> {
    std::thread::scope(|scope| {
        let act = &act;
        let threads: Vec<_> = HOSTS.map(|host| (host, scope.spawn(move || act(host)))).into();
        threads
            .into_iter()
            .map(|(host, thread)| {
                (host, thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            })
            .collect()
    })
}

fn shown(text: &str) -> String {
    text.replace('|', "\\|")
}

fn table() -> String {
    let mut table =
        "| what is there | said before | said after | what becomes of it |\n|---|---|---|---|\n".to_owned();
    for thing in &THINGS {
        let before =
            if thing.before.is_empty() { "–".to_owned() } else { format!("*{}*", shown(thing.before)) };
        let after = match thing.after {
            None => "–".to_owned(),
            Some((verdict, said)) => format!("`{}`, {verdict}: *{}*", thing.control, shown(said)),
        };
        let _ = writeln!(table, "| {} | {before} | {after} | {} |", thing.what, thing.then);
    }
    table
}

fn the_page_says_what_the_test_looks_for() {
    support::section(PAGE, BEGIN, END, &format!("\n{}\n", table()));
}

fn nothing_of_others_is_lost_and_what_contradicts_is_said() {
    let world = delivered();
    on_each(|host| prepare(&world, host));
    for host in ["shop-12", "shop-13"] {
        for port in [443, 8090, 8443] {
            wait_for("each published port answers before", || answers(&world, host, port));
        }
    }
    world.enrol("test");
    for host in ["wall-12", "wall-13"] {
        run(&world, host, EARLY);
    }
    let (audit, plan) = (audit(&world), plan(&world));
    let mut wrong = String::new();
    for thing in &THINGS {
        for host in HOSTS.into_iter().filter(|host| host.starts_with(thing.hosts)) {
            let (_, said) = &audit[&(host.to_owned(), thing.control.to_owned())];
            if !said.contains(thing.before) && !plan[host].contains(thing.before) {
                let _ = writeln!(wrong, "{host}: {} is not said: {}: {said}", thing.what, thing.before);
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    for host in ["wall-12", "wall-13"] {
        run(&world, host, LATER);
    }

    let theirs = |host| (run(&world, host, FILES), run(&world, host, LIVE));
    let before = on_each(theirs);
    let applied = world.typed(["apply", "test"]).run();
    assert!(matches!(applied.code, Some(0 | 3)), "{}", applied.said());
    let after = on_each(theirs);
    for host in HOSTS {
        let ((files, live), (files_after, live_after)) = (&before[host], &after[host]);
        assert!(files.lines().count() > 6 && live.lines().count() > 6, "{host}: {files}{live}");
        let lost: Vec<&str> =
            files.lines().filter(|line| !files_after.lines().any(|after| after == *line)).collect();
        assert!(lost.is_empty(), "{host}: {lost:?}");
        assert_eq!(live, live_after, "{host}: what others have loaded is not what it was");
    }
    for host in ["shop-12", "shop-13"] {
        wait_for("the ban of another team", || run(&world, host, JAIL).contains("203.0.113.77"));
        assert!(!answers(&world, host, 8090), "{host}: what nobody declared answers");
        assert!(!answers(&world, host, 8443), "{host}: what is not declared to be a container's answers");
        assert!(answers(&world, host, 443), "{host}: what is declared to be a container's does not answer");
    }
    still_said(&world);

    // All of it comes back by itself.
    on_each(|host| {
        world.host(host).expect("a host").reboot().unwrap_or_else(|error| panic!("{host}: {error}"));
    });
    for host in ["shop-12", "shop-13"] {
        wait_for("Docker and its container", || {
            run(&world, host, "docker inspect -f '{{.State.Running}}' shop 2>/dev/null || true").trim()
                == "true"
        });
        wait_for("the ban of another team", || run(&world, host, JAIL).contains("203.0.113.77"));
        wait_for("the container's port", || answers(&world, host, 443));
        assert!(!answers(&world, host, 8090), "{host}: what nobody declared answers after a reboot");
    }
    still_said(&world);
    world.down();
}

/// What is said after the change, and that only what is meant to be drift is drift.
fn still_said(world: &World) {
    let audit = audit(world);
    let mut wrong = String::new();
    for thing in &THINGS {
        let Some((verdict, words)) = thing.after else { continue };
        for host in HOSTS.into_iter().filter(|host| host.starts_with(thing.hosts)) {
            let (found, said) = &audit[&(host.to_owned(), thing.control.to_owned())];
            if found != verdict || !said.contains(words) {
                let _ = writeln!(wrong, "{host}: {}: {found}, not {verdict}: {words}: {said}", thing.what);
            }
        }
    }
    for ((host, control), (verdict, said)) in &audit {
        if verdict == "unknown" {
            let _ = writeln!(wrong, "{host}: {control} is unknown: {said}");
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}
