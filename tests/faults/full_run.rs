//! The main job on real hosts of both distributions, as a person does it: what an audit finds on hosts as a provider
//! and former colleagues left them, what apply makes of them, what is then seen from other hosts with plain ssh and nc,
//! and what all of it cost, by the hosts' own logs.

use std::path::Path;
use std::time::{Duration, Instant};

use palisade::domain::Address;
use palisade::lab::{Host, SshCounts, Suite};
use palisade::shell::{Arg, Exit, Script};
use serde_json::Value;

use crate::state::snapshot;
use palisade::program::Program;
use support::{Inventory, Needs, Project, Ran, World, host};

support::tests! {
    Needs::LAB => [
        hosts_are_found_wanting_made_good_and_stay_so,
    ],
}

/// The hosts that the inventory names.
const SERVERS: [&str; 3] = ["gate", "web-1", "db"];

/// The controls that apply enforces on every host.
const ENFORCED: [&str; 3] = ["firewall", "key-only", "server-access"];

/// Ways in that strangers left, beside root's key that a host is delivered with.
const PLANT: &str = r#"set -e
key=$(cat /root/.ssh/authorized_keys)
useradd -r -d /srv/app -m -s /bin/bash app
mkdir /srv/app/.ssh
printf 'from="*" %s\n' "$key" > /srv/app/.ssh/authorized_keys2
chown -R app /srv/app
useradd -o -u 0 -g 0 -d /home/toor -m -s /bin/bash toor 2>/dev/null
mkdir -p /home/toor/.ssh /opt/keys
echo "$key" > /opt/keys/shared
ln -s /opt/keys/shared /home/toor/.ssh/authorized_keys
useradd -m -s /bin/bash elsewhere
echo "$key" > /opt/keys/elsewhere
useradd -m -s /bin/bash command
printf '#!/bin/sh\necho "%s"\n' "$key" > /usr/local/bin/keys
chmod 755 /usr/local/bin/keys
useradd -m -s /bin/bash certified
cat > /etc/ssh/sshd_config.d/60-helpdesk.conf <<'END'
TrustedUserCAKeys /etc/ssh/ca.pub
Match User elsewhere
    AuthorizedKeysFile /opt/keys/%u
Match User command
    AuthorizedKeysCommand /usr/local/bin/keys
    AuthorizedKeysCommandUser nobody
Match all
    PasswordAuthentication yes
END
echo 'elsewhere ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/helpdesk
chmod 0440 /etc/sudoers.d/helpdesk
sshd -t && systemctl reload ssh.service"#;

/// Where strangers get in, and what an audit must name for each.
const STRANGERS: [(&str, &str); 6] = [
    ("root", "/root/.ssh/authorized_keys"),
    ("app", "/srv/app/.ssh/authorized_keys2"),
    ("toor", "/home/toor/.ssh/authorized_keys (a link to /opt/keys/shared)"),
    ("elsewhere", "/opt/keys/elsewhere"),
    ("command", "AuthorizedKeysCommand is `/usr/local/bin/keys`"),
    ("certified", "TrustedUserCAKeys is `/etc/ssh/ca.pub`"),
];

fn inventory() -> Inventory {
    Inventory {
        roles: "  web: {listeners: [{name: https, port: 443, from: internet}]}\n  \
                database: {internet: never, listeners: [{name: postgres, port: 5432, from: \"role:web\"}]}\n",
        of_host: |name| match name {
            "db" => ("database", "jump: gate, "),
            "gate" => ("", ""),
            _ => ("web", ""),
        },
        offices: &["office"],
        others: &["office", "passer-by"],
        ..Inventory::default()
    }
}

/// A project and what its hosts look like from outside.
struct Seen<'w> {
    project: &'w Project<'w>,
    world: &'w World,
}

fn hosts_are_found_wanting_made_good_and_stay_so() {
    let world = World::with([
        host("gate", Suite::Bookworm),
        host("web-1", Suite::Trixie),
        host("db", Suite::Bookworm).private_only(),
        host("office", Suite::Trixie),
        host("passer-by", Suite::Bookworm),
    ]);
    let project = Project::write(&world, "company", &inventory());
    let authority = certificate(&world);
    for server in SERVERS {
        plant(&world, server, &authority);
    }
    project.waive("patching", SERVERS.into_iter());
    project.enrol();
    for server in SERVERS {
        world.host(server).unwrap().let_sshd_count().unwrap();
    }
    let seen = Seen { project: &project, world: &world };
    seen.as_strangers_left_it();
    seen.audit_finds_it();
    seen.apply_shuts_them_out_and_nobody_else();
    seen.others_see_it_shut();
    seen.audit_is_content();
    seen.apply_again_does_nothing();
    seen.ssh_itself_does_it_too();
}

impl Seen<'_> {
    fn servers(&self) -> impl Iterator<Item = Host<'_>> {
        SERVERS.iter().map(|name| self.world.host(name).unwrap())
    }

    fn as_strangers_left_it(&self) {
        for name in ["gate", "web-1"] {
            assert_eq!(
                self.strangers(name),
                STRANGERS.map(|(user, _)| user),
                "{name}: each way in works before"
            );
            let stray = self.world.host(name).unwrap().public_address().unwrap();
            assert!(reaches(self.world, "passer-by", stray, 8000), "{name}: the stray listener answers");
        }
        let web = self.world.host("web-1").unwrap().public_address().unwrap();
        assert!(offered(self.world, "office", web).contains("password"), "passwords are asked for");
        let database = listen(self.world);
        assert!(reaches(self.world, "passer-by", database, 5432), "the database answers everybody");
    }

    fn audit_finds_it(&self) {
        let (ran, cost) = self.counted(&["audit", "prod", "--format", "json"]);
        assert_eq!(ran.code, Some(3), "{}", ran.said());
        let document = ran.json();
        adds_up(&document);
        for server in SERVERS {
            for control in ENFORCED {
                assert_eq!(verdict(&document, server, control), "drift", "{server} {control}");
            }
            let evidence = of_host(&document, server)["controls"].to_string();
            let sudo = ("a rule", "/etc/sudoers.d/helpdesk:1");
            for (user, named) in STRANGERS.into_iter().chain([sudo, ("a listener", "0.0.0.0:8000")]) {
                assert!(evidence.contains(named), "{server}: {user}: {named} is not in {evidence}");
            }
        }
        same(&document, &cost, 1);
    }

    fn apply_shuts_them_out_and_nobody_else(&self) {
        let counts = || self.servers().map(|host| host.ssh_counts().unwrap()).collect::<Vec<SshCounts>>();
        let before = counts();
        let apply = self.project.palisade(&["apply", "prod", "--format", "json", "--batch", "1"]);
        let mut running = apply.held(&["narrow.arming"]);
        running.reaches("narrow.arming");
        let half = counts();
        // The jump host goes first, alone: it stands between widen and narrow now.
        let gate = self.world.host("gate").unwrap().public_address().unwrap();
        for person in ["alice", "bob"] {
            let key = self.world.key(person);
            assert!(
                self.gets_in("gate", person, &key, "sudo -n true"),
                "{person} gets in once it is widened"
            );
        }
        assert_eq!(self.strangers("gate"), STRANGERS.map(|(user, _)| user), "widening cuts nobody off");
        assert!(reaches(self.world, "passer-by", gate, 8000), "widening closes no port");
        let second_half = counts();
        let ran = running.goes_on();
        assert_eq!(ran.code, Some(0), "{}", ran.said());
        let end = counts();
        let document = ran.json();
        adds_up(&document);
        for (place, server) in SERVERS.iter().enumerate() {
            for control in ENFORCED {
                assert_eq!(verdict(&document, server, control), "compliant", "{server} {control}");
            }
            let cost = &of_host(&document, server)["cost"];
            let (first, second) = (half[place] - before[place], end[place] - second_half[place]);
            let counted = (first.connections + second.connections, first.sessions + second.sessions);
            assert_eq!(cost["connections"], counted.0, "{server}: {first:?}, then {second:?}: {cost}");
            assert_eq!(cost["execs"], counted.1, "{server}: {first:?}, then {second:?}: {cost}");
        }
        for name in ["gate", "web-1"] {
            assert_eq!(self.strangers(name), Vec::<&str>::new(), "{name}: every way in of strangers is shut");
            for person in ["alice", "bob"] {
                let key = self.world.key(person);
                assert!(self.gets_in(name, person, &key, "sudo -n true"), "{person} gets into {name}");
            }
        }
    }

    /// Plain ssh and nc, from hosts that are none of ours.
    fn others_see_it_shut(&self) {
        let world = self.world;
        for name in ["gate", "web-1"] {
            let address = world.host(name).unwrap().public_address().unwrap();
            assert_eq!(
                offered(world, "office", address),
                "publickey",
                "{name} offers keys, and nothing else"
            );
            for port in [8000, 22] {
                assert!(!reaches(world, "passer-by", address, port), "{name} lets strangers in at {port}");
            }
            assert!(!reaches(world, "office", address, 8000), "{name}'s stray listener answers an office");
        }
        let database = world.host("db").unwrap().record().private[0];
        assert!(reaches(world, "web-1", database, 5432), "the database does not answer web");
        for other in ["gate", "office", "passer-by"] {
            assert!(!reaches(world, other, database, 5432), "the database answers {other}");
        }
    }

    fn audit_is_content(&self) {
        let (ran, cost) = self.counted(&["audit", "prod", "--format", "json"]);
        let document = ran.json();
        adds_up(&document);
        for server in SERVERS {
            for control in ENFORCED {
                assert_eq!(
                    verdict(&document, server, control),
                    "compliant",
                    "{server} {control}: {}",
                    ran.said()
                );
            }
        }
        assert_eq!(document["summary"]["unknown"], 0, "{}", ran.said());
        same(&document, &cost, 1);
    }

    fn apply_again_does_nothing(&self) {
        let states: Vec<_> = SERVERS.iter().map(|name| snapshot(self.world, name)).collect();
        let (ran, cost) = self.counted(&["apply", "prod", "--format", "json"]);
        assert_eq!(ran.code, Some(0), "{}", ran.said());
        let document = ran.json();
        same(&document, &cost, 1);
        for (name, before) in SERVERS.iter().zip(&states) {
            assert_eq!(of_host(&document, name)["state"], "answered", "{}", ran.said());
            let differs = palisade::lab::differences(before, &snapshot(self.world, name));
            assert!(differs.is_empty(), "{name}: {differs:?}");
        }
    }

    /// The same by ssh(1): the same verdicts, the same counts, and a change that is verified and confirmed.
    fn ssh_itself_does_it_too(&self) {
        let (ran, cost) = self.counted(&["audit", "prod", "--format", "json", "--transport", "openssh"]);
        let document = ran.json();
        for server in SERVERS {
            for control in ENFORCED {
                assert_eq!(
                    verdict(&document, server, control),
                    "compliant",
                    "{server} {control}: {}",
                    ran.said()
                );
            }
        }
        same(&document, &cost, 1);
        let wider = Inventory {
            roles: "  web: {listeners: [{name: https, port: 443, from: internet}, {name: http, port: 80, from: internet}]}\n  \
                    database: {internet: never, listeners: [{name: postgres, port: 5432, from: \"role:web\"}]}\n",
            ..inventory()
        };
        let wider = self.project.variant("wider", &wider);
        let runtime = self.world.path("run");
        std::fs::create_dir(&runtime).unwrap();
        let apply = wider.palisade(&["apply", "prod", "--format", "json", "--transport", "openssh"]);
        let ran = apply.env("XDG_RUNTIME_DIR", &runtime).run();
        assert_eq!(ran.code, Some(0), "{}", ran.said());
        assert_eq!(of_host(&ran.json(), "web-1")["state"], "changed", "{}", ran.said());
        let web = self.world.host("web-1").unwrap();
        let rules = web.sh("nft list table inet palisade").unwrap();
        assert!(rules.contains("80"), "{rules}");
        let left: Vec<_> = std::fs::read_dir(self.world.path("run/palisade")).unwrap().flatten().collect();
        assert!(left.is_empty(), "masters or their folders are left: {left:?}");
    }

    /// A run, and what the servers' own sshd counted of it.
    fn counted(&self, arguments: &[&str]) -> (Ran, Vec<SshCounts>) {
        let before: Vec<SshCounts> = self.servers().map(|host| host.ssh_counts().unwrap()).collect();
        let ran = self.project.palisade(arguments).run();
        let cost =
            self.servers().zip(before).map(|(host, before)| host.ssh_counts().unwrap() - before).collect();
        (ran, cost)
    }

    /// The strangers that get into `name` now, with the former colleague's key or the certificate.
    fn strangers(&self, name: &str) -> Vec<&'static str> {
        let key = |user: &str| match user {
            "certified" => self.world.path("certified"),
            _ => self.world.private_key("former"),
        };
        STRANGERS
            .into_iter()
            .map(|(user, _)| user)
            .filter(|user| self.gets_in(name, user, &key(user), "true"))
            .collect()
    }

    /// Whether plain ssh gets in. sshd answers nobody while it reads its configuration again, and where it limits
    /// attempts it is silent for a moment: that is no refusal, and is tried again.
    fn gets_in(&self, name: &str, user: &str, key: &Path, command: &str) -> bool {
        let address = self.world.host(name).unwrap().public_address().unwrap();
        let until = Instant::now() + Duration::from_mins(1);
        loop {
            let done = self.world.ssh(address, key, user).arg(command).output().unwrap();
            let said = String::from_utf8_lossy(&done.stderr);
            if done.status.success() {
                return true;
            }
            if said.contains("Permission denied") {
                return false;
            }
            assert!(Instant::now() < until, "{name} neither lets {user} in nor refuses: {said}");
            std::thread::sleep(Duration::from_millis(500));
        }
    }
}

/// A certificate for the account `certified`; gives its authority's public key.
fn certificate(world: &World) -> String {
    for name in ["ca", "certified"] {
        let mut make = Program::SshKeygen.command();
        make.args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f"]).arg(world.path(name));
        assert!(make.status().unwrap().success());
    }
    let mut sign = Program::SshKeygen.command();
    sign.args(["-q", "-I", "stranger", "-n", "certified", "-s"]);
    assert!(sign.arg(world.path("ca")).arg(world.path("certified.pub")).status().unwrap().success());
    std::fs::read_to_string(world.path("ca.pub")).unwrap()
}

fn plant(world: &World, name: &str, authority: &str) {
    let script = Script::new()
        .set("ca", Arg::lossy(authority.trim()))
        .text("printf '%s\\n' \"$ca\" > /etc/ssh/ca.pub")
        .text(PLANT);
    let done = world.host(name).unwrap().run(&script).unwrap();
    assert!(done.exit.success(), "{name}: {}", String::from_utf8_lossy(&done.stderr));
}

/// Something that answers on the database's port, on all its addresses. Returns its private one.
fn listen(world: &World) -> Address {
    let database = world.host("db").unwrap();
    database
        .sh("systemd-run -q --unit=lab-database nc -l -k -N 0.0.0.0 5432
            for i in 1 2 3 4 5 6 7 8 9 10; do ss -Htln | grep -q :5432 && exit 0; sleep 0.2; done; exit 1")
        .unwrap();
    database.record().private[0]
}

/// Whether a TCP connection from the host called `from` is answered within two seconds. Neighbours that were asked for
/// in vain are asked for again, so that only what is closed stays closed.
fn reaches(world: &World, from: &str, address: Address, port: u16) -> bool {
    let script = Script::new()
        .set("address", Arg::lossy(address.to_string()))
        .set("port", Arg::lossy(port.to_string()))
        .text("for i in 1 2; do nc -z -w 2 \"$address\" \"$port\" </dev/null && exit 0; done; exit 1");
    world.host(from).unwrap().run(&script).unwrap().exit == Exit::Status(0)
}

/// The ways in that sshd offers to somebody who has nothing, at the host called `from`.
fn offered(world: &World, from: &str, address: Address) -> String {
    let script = Script::new().set("address", Arg::lossy(address.to_string())).text(
        "ssh -F /dev/null -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o BatchMode=yes -o \
         PreferredAuthentications=none -o ConnectTimeout=10 nobody@\"$address\" true </dev/null",
    );
    let said = world.host(from).unwrap().run(&script).unwrap();
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    let Some((_, methods)) = said.split_once("Permission denied (") else {
        panic!("sshd says no word: {said}")
    };
    methods.split(')').next().unwrap().to_owned()
}

fn of_host<'d>(document: &'d Value, name: &str) -> &'d Value {
    let hosts = document["hosts"].as_array().unwrap();
    hosts.iter().find(|host| host["host"] == name).unwrap_or_else(|| panic!("no {name} in {document}"))
}

fn verdict<'d>(document: &'d Value, name: &str, control: &str) -> &'d str {
    let controls = of_host(document, name)["controls"].as_array().unwrap();
    let control = controls.iter().find(|one| one["id"] == control).unwrap();
    assert!(control["evidence"].is_array(), "{control}");
    control["verdict"].as_str().unwrap()
}

/// The summary of a document is that of its verdicts.
fn adds_up(document: &Value) {
    let summary = &document["summary"];
    let all: Vec<&Value> = document["hosts"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|host| host["controls"].as_array().unwrap())
        .collect();
    let count = |word: &str| all.iter().filter(|control| control["verdict"] == word).count();
    assert_eq!(summary["hosts"], SERVERS.len());
    assert_eq!(summary["total"], all.len());
    for (name, word) in [
        ("compliant", "compliant"),
        ("drift", "drift"),
        ("unknown", "unknown"),
        ("not_applicable", "not-applicable"),
        ("waived", "waived"),
    ] {
        assert_eq!(summary[name], count(word), "{name} in {summary}");
    }
    assert_eq!(summary["evaluated"], count("compliant") + count("drift") + count("waived"), "{summary}");
}

/// What the document says that each server cost is what its sshd counted, and the execs are `execs`.
fn same(document: &Value, counted: &[SshCounts], execs: usize) {
    for (name, counted) in SERVERS.iter().zip(counted) {
        let cost = &of_host(document, name)["cost"];
        let told = (&cost["connections"], &cost["execs"]);
        let seen = (Value::from(counted.connections), Value::from(counted.sessions));
        assert_eq!(told, (&seen.0, &seen.1), "{name}: {counted:?}");
        assert_eq!(told, (&Value::from(1), &Value::from(execs)), "{name}");
    }
}
