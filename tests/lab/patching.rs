//! Releases from dev over test to prod on real hosts, from an archive that moves on meanwhile, through whatever gets in
//! between: a run that is killed, a host that loses power in the middle, a service that does not survive its upgrade.

use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use palisade::inventory;
use palisade::lab::{Content, Lab, Made, Part, Place, SOURCES, Spec, Suite, Suites};
use palisade::source::Sources;
use serde_json::Value;

use super::lane::{runs_here, say};
use super::{tell, text, wait_for};

const SHARED: &str = "\
company: Practice
people:
  alice:
    name: Alice Martin
    title: Practises
    keys: [\"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILwP1P1Hiw0ZUVcnjZT1H1dzmWOnYNk8w7HnOEPaqMrs alice\"]
    access: [dev, test, prod]
    approver: true
release:
  first: 2026-11-28
  timezone: Europe/Paris
  window: {start: \"Sat 22:00\", duration: 4h}
  notice: 48h
  order: [dev, test, prod]
";

/// Two of dev, Debian 12 and 13; one of test and two of prod, Debian 12.
const ENVIRONMENTS: [(&str, &str); 3] = [
    (
        "inventories/dev.yaml",
        "\
environment: dev
networks: {admin: [192.0.2.1]}
roles: {web: {listeners: [], check: /usr/local/bin/lab-check}}
hosts:
  dev-1: {addresses: {public: [192.0.2.2]}, roles: [web], provider: lab, datacenter: here, country: FR}
  dev-2: {addresses: {public: [192.0.2.3]}, roles: [web], provider: lab, datacenter: here, country: FR}
",
    ),
    (
        "inventories/test.yaml",
        "\
environment: test
networks: {admin: [192.0.2.1]}
roles: {web: {listeners: []}}
hosts:
  test-1: {addresses: {public: [192.0.2.4]}, roles: [web], provider: lab, datacenter: here, country: FR}
",
    ),
    (
        "inventories/prod.yaml",
        "\
environment: prod
networks: {admin: [192.0.2.1]}
roles: {web: {listeners: []}}
hosts:
  prod-1: {addresses: {public: [192.0.2.5]}, roles: [web], provider: lab, datacenter: here, country: FR}
  prod-2: {addresses: {public: [192.0.2.6]}, roles: [web], provider: lab, datacenter: here, country: FR}
",
    ),
];

const HOSTS: [&str; 5] = ["dev-1", "dev-2", "test-1", "prod-1", "prod-2"];

pub(super) const PLAIN: Made<'static> =
    Made { name: "", version: "", part: Part::Main, control: "", files: &[], postinst: "" };

const UNIT: &str =
    "[Service]\nExecStart=/usr/lib/lab-library/engine infinity\n[Install]\nWantedBy=multi-user.target\n";

const LIBRARY: Made<'static> =
    Made { name: "lab-library", files: &[("/usr/lib/lab-library/engine", Content::Program)], ..PLAIN };

const SERVICE: Made<'static> = Made {
    name: "lab-service",
    control: "Depends: lab-library",
    files: &[("/usr/lib/systemd/system/lab-service.service", Content::Text(UNIT))],
    postinst: "systemctl daemon-reload; systemctl enable -q lab-service; systemctl restart lab-service",
    ..PLAIN
};

/// It is there as long as its file does not change: then it ends as soon as it is started.
const BROKEN_UNIT: &str =
    "[Service]\nExecStart=/bin/sh -c 'sleep 1; exit 3'\n[Install]\nWantedBy=multi-user.target\n";

pub(super) const KERNEL: Made<'static> = Made { name: "lab-kernel", ..PLAIN };

pub(super) const ASKS: &str = "touch /run/reboot-required; echo lab-kernel >>/run/reboot-required.pkgs";

pub(super) const SLOW: Made<'static> = Made { name: "lab-slow", ..PLAIN };

/// Where somebody wants to meet it in the middle, it waits for them; a boot ends that.
pub(super) const SLOWLY: &str = "touch /run/lab-slow; while [ -e /run/lab-wait ]; do sleep 0.1; done";

const CONFIGURED: Made<'static> = Made { name: "lab-conf", part: Part::Security, ..PLAIN };

pub(super) const EXTRA: Made<'static> = Made { name: "lab-extra", ..PLAIN };

fn first() -> Vec<Made<'static>> {
    let one = |made: Made<'static>| Made { version: "1.0", ..made };
    let configured = Made { files: &[("/etc/lab.conf", Content::Configuration("size = 1\n"))], ..CONFIGURED };
    [LIBRARY, SERVICE, KERNEL, SLOW, configured, EXTRA].map(one).to_vec()
}

/// As `first`, with newer versions of all but the service.
fn second() -> Vec<Made<'static>> {
    let two = |made: Made<'static>| Made { version: "1.1", ..made };
    let configured = Made { files: &[("/etc/lab.conf", Content::Configuration("size = 2\n"))], ..CONFIGURED };
    let mut all = vec![Made { version: "1.0", ..SERVICE }];
    all.extend(
        [LIBRARY, Made { postinst: ASKS, ..KERNEL }, Made { postinst: SLOWLY, ..SLOW }, configured, EXTRA]
            .map(two),
    );
    all
}

/// The archive moved on.
fn third() -> Vec<Made<'static>> {
    [LIBRARY, SERVICE, KERNEL, SLOW, CONFIGURED, EXTRA].map(|made| Made { version: "1.2", ..made }).to_vec()
}

fn broken() -> Vec<Made<'static>> {
    let files = &[("/usr/lib/systemd/system/lab-service.service", Content::Text(BROKEN_UNIT))];
    vec![Made { version: "2.0", files, ..SERVICE }]
}

const INSTALL: &str = "set -e
apt-get -q update >/dev/null
DEBIAN_FRONTEND=noninteractive apt-get -q -y install lab-service lab-kernel lab-slow lab-conf >/dev/null
echo 'size = 7' >/etc/lab.conf
printf '#!/bin/sh\\nsystemctl is-active --quiet lab-service\\n' >/usr/local/bin/lab-check
chmod 0755 /usr/local/bin/lab-check";

const VERSIONS: &str =
    "dpkg-query -W -f '${Package}=${Version} ${db:Status-Status}\\n' 'lab-*' | grep -v lab-extra";

/// What nobody may have changed, of what palisade changes.
const STATE: &str = "find /etc /home /var/lib/palisade -printf '%p %C@ %m\\n' | sort";

pub(super) const BEGUN: &str = "grep -c ' begun ' /var/lib/palisade/releases/*/journal";

const JOURNAL: &str = "cat /var/lib/palisade/releases/*/journal | cut -d ' ' -f 3-";

pub(super) struct World {
    pub(super) lab: Lab,
}

impl World {
    /// Five hosts, with the first versions of all packages.
    fn up() -> Self {
        let world = Self::of(&ENVIRONMENTS);
        world.lab.publish(&first()).unwrap();
        world.on(&HOSTS, SOURCES);
        world.on(&HOSTS, INSTALL);
        world
    }

    /// The hosts of `inventories`, by path and text, enrolled; dev-2 alone is Debian 13.
    pub(super) fn of(inventories: &[(&str, &str)]) -> Self {
        let mut sources = Sources::new().with("inventories/fleet.yaml", SHARED);
        for (path, text) in inventories {
            sources = sources.with(path, *text);
        }
        let fleet =
            inventory::parse(&sources).unwrap_or_else(|refusals| panic!("{}", refusals.annotated(false)));
        let mut spec = Spec::copy_of(&fleet, Suites::All(Suite::Bookworm)).unwrap();
        for host in spec.hosts.iter_mut().filter(|host| host.name.as_str() == "dev-2") {
            host.suite = Suite::Trixie;
        }
        let lab = Lab::up(&Place::default(), &spec, &tell).unwrap();
        lab.write_project(&fleet, None, Duration::from_secs(30)).unwrap();
        let world = Self { lab };
        std::thread::scope(|scope| {
            for environment in fleet.environments.keys().map(ToString::to_string) {
                let world = &world;
                scope.spawn(move || {
                    let enrolled = world
                        .palisade(&["enrol", &environment, "--bootstrap-user", "debian"])
                        .arg("--bootstrap-identity")
                        .arg(world.lab.private_key("vendor"))
                        .arg("--fingerprints")
                        .arg(world.lab.fingerprints())
                        .output()
                        .unwrap();
                    assert!(enrolled.status.success(), "{}", text(&enrolled.stderr));
                });
            }
        });
        world
    }

    pub(super) fn on(&self, hosts: &[&str], text: &'static str) {
        std::thread::scope(|scope| {
            for host in hosts {
                scope.spawn(move || self.sh(host, text));
            }
        });
    }

    pub(super) fn palisade(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_palisade"));
        command
            .args(args)
            .args(["--as", "alice", "--format", "json", "--project"])
            .arg(self.lab.project())
            .arg("--identity")
            .arg(self.lab.private_key("person-alice"))
            .stdin(Stdio::null());
        command
    }

    /// The document on standard output, of a run that has to end with `exit`.
    pub(super) fn run(&self, exit: i32, args: &[&str]) -> (Value, String) {
        ended(exit, &self.palisade(args).output().unwrap())
    }

    pub(super) fn begin(&self, args: &[&str]) -> Child {
        self.palisade(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    pub(super) fn sh(&self, host: &str, text: &'static str) -> String {
        self.lab.host(host).unwrap().sh(text).unwrap_or_else(|error| panic!("{host}: {error}"))
    }
}

pub(super) fn ended(exit: i32, output: &Output) -> (Value, String) {
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(exit), "{said}\n{}", text(&output.stdout));
    (serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {said}")), said)
}

pub(super) fn state<'v>(document: &'v Value, host: &str) -> &'v Value {
    let hosts = document["hosts"].as_array().unwrap();
    hosts.iter().find(|one| one["host"] == host).unwrap()
}

#[test]
fn a_release_goes_from_dev_over_test_to_prod() {
    if !runs_here("a_release_goes_from_dev_over_test_to_prod") {
        return;
    }
    let world = World::up();
    world.sh("dev-1", "apt-get -q -y install lab-extra >/dev/null");
    world.sh("prod-2", "apt-get -q -y install lab-extra >/dev/null");
    world.lab.publish(&second()).unwrap();
    let (planned, _) = world.run(0, &["patch", "plan", "dev"]);
    assert_eq!(
        planned["release"]["sets"][0]["packages"]["lab-conf"]["origin"],
        "Lab-Security:stable-security"
    );

    say("a run that is killed in the middle goes on where the hosts are");
    world.on(&["dev-1", "test-1"], "touch /run/lab-wait");
    let mut killed = world.begin(&["patch", "apply", "dev"]);
    wait_for("dev-1 installs", || world.lab.host("dev-1").unwrap().has("/run/lab-slow"));
    killed.kill().unwrap();
    killed.wait().unwrap();
    nobody_works_beside_it(&world, "dev-1", planned["release"]["id"].as_str().unwrap());
    let dev = world.begin(&["patch", "apply", "dev"]);
    wait_for("it is attached to", || world.sh("dev-1", BEGUN).trim() == "2");
    world.sh("dev-1", "rm /run/lab-wait");
    let (dev, said) = ended(0, &dev.wait_with_output().unwrap());
    assert!(said.contains("dev-1: is being installed on already; attached"), "{said}");
    for host in ["dev-1", "dev-2"] {
        let installed = &state(&dev, host)["installed"];
        assert_eq!(installed["packages"]["lab-library"], "1.1");
        assert_eq!(installed["restarted"], serde_json::json!(["lab-service.service"]));
        assert_eq!(installed["rebooted"], "lab-kernel");
        assert_eq!(installed["conffiles"], serde_json::json!(["/etc/lab.conf.dpkg-dist"]));
        assert_eq!(world.sh(host, "cat /etc/lab.conf"), "size = 7\n");
        assert!(world.sh(host, JOURNAL).trim().ends_with("checked\ncompleted"));
    }

    say("a host that loses power in the middle goes on, with what the mirror no longer has");
    world.lab.publish(&third()).unwrap();
    let test = world.begin(&["patch", "apply", "test"]);
    let host = world.lab.host("test-1").unwrap();
    wait_for("test-1 installs", || host.has("/run/lab-slow"));
    host.begin_crash().unwrap();
    let (test, _) = ended(0, &test.wait_with_output().unwrap());
    assert_eq!(state(&test, "test-1")["installed"]["packages"]["lab-slow"], "1.1");
    assert_eq!(world.sh("test-1", VERSIONS), world.sh("dev-1", VERSIONS));

    say("prod waits for its window, and takes nothing that test never saw");
    let id = planned["release"]["id"].as_str().unwrap();
    let (_, said) = world.run(6, &["patch", "apply", "prod", "--release", id, "--yes"]);
    assert!(said.contains("soak: test has had it since"), "{said}");
    let prod = ["patch", "apply", "prod", "--release", id, "--yes", "--emergency", "--reason", "a hole"];
    let (refused, said) = world.run(6, &prod);
    assert_eq!(state(&refused, "prod-1")["state"], "changed", "{said}");
    let reason = state(&refused, "prod-2")["reason"].as_str().unwrap();
    assert_eq!(reason, "no host of the environment before has installed lab-extra 1.1");
    world.sh("prod-2", "apt-get -q -y remove lab-extra >/dev/null");
    let (prod, said) = world.run(0, &prod);
    assert_eq!(state(&prod, "prod-1")["state"], "answered", "{said}");
    for host in ["prod-1", "prod-2"] {
        assert_eq!(world.sh(host, VERSIONS), world.sh("dev-1", VERSIONS));
        assert!(world.sh(host, JOURNAL).contains("\nemergency a hole\n"));
        assert_eq!(
            state(&prod, host)["installed"]["rebooted"],
            if host == "prod-2" { "lab-kernel".into() } else { Value::Null }
        );
    }

    say("a service that does not survive its upgrade stops the run at the first host");
    world.lab.publish(&broken()).unwrap();
    let (planned, _) = world.run(0, &["patch", "plan", "dev", "--emergency", "a hole in lab-service"]);
    let id = planned["release"]["id"].as_str().unwrap();
    let (broken, said) = world.run(1, &["patch", "apply", "dev", "--release", id]);
    assert_eq!(state(&broken, "dev-1")["state"], "failed", "{said}");
    let reason = state(&broken, "dev-1")["reason"].as_str().unwrap();
    assert!(reason.contains("lab-service.service has failed"), "{reason}");
    assert_eq!(state(&broken, "dev-2")["state"], "not-started");
    let (_, said) = world.run(6, &["patch", "apply", "test", "--release", id]);
    assert!(said.contains("dev-1 of dev failed with"), "{said}");
    if std::env::var_os("PALISADE_LAB_TAIL").is_some() {
        a_script_that_fails_is_gone_on_from(&world, id);
    }
    world.lab.down(&tell).unwrap();
}

/// Nor when the lease of the run that began it is over, as it is soon after that was killed.
fn nobody_works_beside_it(world: &World, name: &str, release: &str) {
    say("what a host installs by itself keeps others away");
    let run = world.sh(name, "sed -n s/^run=//p /var/lib/palisade/lease && rm /var/lib/palisade/lease");
    let before = world.sh(name, STATE);
    let told = format!("release {release} is being installed there for alice ");
    let (status, _) = world.run(6, &["status", "dev", "--limit", name]);
    let shown = state(&status, name);
    assert_eq!((&shown["state"], &shown["holder"]["release"]), (&"installing".into(), &release.into()));
    let (applied, said) = world.run(6, &["apply", "dev", "--limit", name]);
    let refused = state(&applied, name);
    assert_eq!(refused["state"], "refused", "{said}");
    assert!(refused["reason"].as_str().unwrap().starts_with(&told), "{refused}");
    let unlock = world.palisade(&["unlock", name, "--tx", run.trim()]).output().unwrap();
    assert_eq!(unlock.status.code(), Some(6));
    assert!(text(&unlock.stderr).contains(&told), "{}", text(&unlock.stderr));
    assert_eq!(world.sh(name, STATE), before);
}

/// In the place of a release that failed comes one with another cause to fail, which is mended on the hosts.
fn a_script_that_fails_is_gone_on_from(world: &World, id: &str) {
    say("a maintainer script that fails leaves a state that is known, and gone on from");
    let releases = world.lab.project().join("releases");
    for file in [format!("{id}.yaml"), format!("{id}.yaml.sig")] {
        std::fs::remove_file(releases.join(file)).unwrap();
    }
    let slow = Made { version: "2.1", postinst: "[ -e /root/mended ]", ..SLOW };
    world.lab.publish(&[Made { version: "2.1", ..SERVICE }, slow]).unwrap();
    world.run(0, &["patch", "plan", "dev", "--emergency", "what came before does not run"]);
    let apply = ["patch", "apply", "dev", "--release", id, "--emergency", "--reason", "it does not run"];
    for _ in 0..2 {
        let (failed, said) = world.run(1, &apply);
        let reason = state(&failed, "dev-1")["reason"].as_str().unwrap();
        assert!(reason.contains("lab-slow"), "{reason}: {said}");
        assert_eq!(state(&failed, "dev-2")["state"], "not-started");
    }
    world.on(&["dev-1", "dev-2"], "touch /root/mended");
    let (done, said) = world.run(0, &apply);
    assert_eq!(state(&done, "dev-2")["state"], "changed", "{said}");
    assert_eq!(world.sh("dev-1", "dpkg --audit; dpkg-query -W -f '${Version}' lab-slow"), "2.1");
}
