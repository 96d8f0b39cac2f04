//! What goes wrong while a release is installed, on a host each: every one ends in a state that is known, is told, and is
//! gone on from by the same command once its cause is gone. With `PALISADE_LAB_TAIL=1`: apt alone waits five minutes for
//! a lock.

use palisade::lab::{Made, Part};
use serde_json::{Value, json};
use support::{Needs, Ran, Running, World, note, of_host, wait_for};

use super::patching::{ASKS, BEGUN, EXTRA, KERNEL, PLAIN, SLOW, SLOWLY, begin, ended, enrolled, run, trust};

support::tests! {
    Needs::TAIL => [
        whatever_goes_wrong_is_told_and_gone_on_from,
    ],
}

const DEV: (&str, &str) = (
    "inventories/dev.yaml",
    "\
environment: dev
networks: {admin: [192.0.2.1]}
roles: {web: {listeners: []}}
hosts:
  calm: {addresses: {public: [192.0.2.10]}, roles: [web], provider: lab, datacenter: here, country: FR}
  dark: {addresses: {public: [192.0.2.2]}, roles: [web], provider: lab, datacenter: here, country: FR}
  full: {addresses: {public: [192.0.2.3]}, roles: [web], provider: lab, datacenter: here, country: FR}
  half: {addresses: {public: [192.0.2.4]}, roles: [web], provider: lab, datacenter: here, country: FR}
  held: {addresses: {public: [192.0.2.5]}, roles: [web], provider: lab, datacenter: here, country: FR}
  locked: {addresses: {public: [192.0.2.6]}, roles: [web], provider: lab, datacenter: here, country: FR}
  lost: {addresses: {public: [192.0.2.7]}, roles: [web], provider: lab, datacenter: here, country: FR}
  next: {addresses: {public: [192.0.2.8]}, roles: [web], provider: lab, datacenter: here, country: FR}
  other: {addresses: {public: [192.0.2.9]}, roles: [web], provider: lab, datacenter: here, country: FR}
",
);

const ALL: [&str; 9] = ["calm", "dark", "full", "half", "held", "locked", "lost", "next", "other"];

/// No release holds it: somebody unpacked it by hand.
const BY_HAND: Made<'static> =
    Made { name: "lab-by-hand", version: "1.0", postinst: "[ -e /root/mended ]", ..PLAIN };

/// What it needs is nowhere.
const LACKING: Made<'static> =
    Made { name: "lab-lacking", version: "1.0", control: "Depends: lab-nowhere", ..PLAIN };

fn published(version: &'static str) -> Vec<Made<'static>> {
    let newer = version != "1.0";
    let asks = if newer { ASKS } else { "" };
    let slowly = if newer { SLOWLY } else { "" };
    let slow = Made { postinst: slowly, part: Part::Security, ..SLOW };
    let released = [EXTRA, Made { postinst: asks, ..KERNEL }, slow].map(|made| Made { version, ..made });
    released.into_iter().chain([BY_HAND, LACKING]).collect()
}

const INSTALL: &str = "apt-get -q update >/dev/null; apt-get -q -y install lab-slow lab-extra >/dev/null; apt-mark -q manual lab-extra >/dev/null";

const VERSIONS: &str =
    "dpkg-query -W -f '${Package} ${Version} ${db:Status-Status}\\n' lab-extra lab-slow; dpkg --audit";

const OLD: &str = "lab-extra 1.0 installed\nlab-slow 1.0 installed\n";

const NEW: &str = "lab-extra 1.1 installed\nlab-slow 1.1 installed\n";

const LAST: &str = "tail -n 1 /var/lib/palisade/releases/*/journal | cut -d ' ' -f 3-";

struct Mishaps {
    world: World,
    release: String,
    /// Another one, of the same packages.
    other: String,
}

impl Mishaps {
    fn args<'a>(&'a self, hosts: &'a str, further: &[&'a str]) -> Vec<&'a str> {
        let mut args = vec!["patch", "apply", "dev", "--limit", hosts];
        if !further.contains(&"--release") {
            args.extend(["--release", self.release.as_str()]);
        }
        args.extend(further);
        args
    }

    fn apply(&self, exit: i32, hosts: &str, further: &[&str]) -> (Value, String) {
        run(&self.world, exit, &self.args(hosts, further))
    }

    /// The run ends with this, which is what the host's own journal says too.
    fn stops(&self, exit: i32, host: &str, told: &str) {
        let (document, said) = self.apply(exit, host, &[]);
        let reason = of_host(&document, host)["reason"].as_str().unwrap_or_default();
        assert!(reason.contains(told), "{host}: {reason}: {said}");
        let last = self.world.sh(host, LAST);
        assert!(last.starts_with("failed ") && last.contains(told), "{host}: {last}");
    }

    /// The same command goes on, to the end.
    fn goes_on(&self, host: &str) {
        self.done(host, self.world.palisade(self.args(host, &[])).run());
    }

    fn done(&self, host: &str, ran: Ran) {
        let (document, said) = ended(0, ran);
        assert_eq!(of_host(&document, host)["state"], "changed", "{host}: {said}");
        assert_eq!(self.world.sh(host, VERSIONS), NEW, "{host}");
        assert_eq!(self.world.sh(host, LAST), "completed\n", "{host}");
    }

    /// A run that is met while the host installs.
    fn met(&self, host: &str) -> Running {
        self.world.sh(host, "touch /run/lab-wait");
        let run = begin(&self.world, &self.args(host, &[]));
        wait_for("it installs", || self.world.has(host, "/run/lab-slow"));
        run
    }
}

fn whatever_goes_wrong_is_told_and_gone_on_from() {
    let world = enrolled(&[DEV]);
    world.publish(&published("1.0")).unwrap();
    trust(&world);
    world.on(&ALL, palisade::lab::SOURCES);
    world.on(&ALL, INSTALL);
    world.on(&["lost", "next"], "apt-get -q -y install lab-kernel >/dev/null");
    world.sh("held", "apt-mark hold lab-extra >/dev/null");
    world.publish(&published("1.1")).unwrap();
    let id = |document: &Value| document["release"]["id"].as_str().unwrap().to_owned();
    let release = id(&run(&world, 0, &["patch", "plan", "dev"]).0);
    let other = id(&run(&world, 0, &["patch", "plan", "dev", "--emergency", "it cannot wait"]).0);
    let all = Mishaps { world, release, other };
    the_archive_is_gone(&all);
    held_packages_stay(&all);
    let stories: [fn(&Mishaps); 7] = [
        somebody_reboots_it_in_the_middle,
        the_power_goes_and_nobody_is_there,
        the_disk_fills_up,
        dpkg_was_left_half_way,
        somebody_holds_the_lock,
        the_first_host_does_not_come_back,
        nobody_installs_two_releases_at_once,
    ];
    std::thread::scope(|scope| {
        for story in stories {
            let all = &all;
            scope.spawn(move || story(all));
        }
    });
    note("every host has the release");
    let (document, said) = run(&all.world, 0, &["patch", "apply", "dev", "--release", &all.release]);
    for host in ALL {
        assert_eq!(of_host(&document, host)["state"], "answered", "{host}: {said}");
    }
    all.world.down();
}

fn the_archive_is_gone(all: &Mishaps) {
    note("an archive that does not answer, or moved on, installs nothing");
    let world = &all.world;
    let list = "mv /etc/apt/sources.list.d/lab.list /root/ && echo 'deb [trusted=yes] http://127.0.0.1:9/ ./' \
                >/etc/apt/sources.list.d/dead.list";
    world.sh("full", list);
    let apply = all.args("full", &[]);
    let refused = |told: &str| {
        let said = world.palisade(apply.iter().copied()).run().exits(6).err;
        assert!(
            said.contains("could not be captured; nothing was installed") && said.contains(told),
            "{said}"
        );
        assert_eq!(world.sh("full", VERSIONS), OLD);
        assert_eq!(world.sh("full", "cat /var/lib/palisade/releases/*/journal 2>/dev/null || true"), "");
    };
    refused("full: apt could not fetch its indexes: E: ");
    world.sh("full", "rm /etc/apt/sources.list.d/dead.list && mv /root/lab.list /etc/apt/sources.list.d/");
    world.publish(&published("1.2")).unwrap();
    refused("full: its sources no longer have what was planned: lab-extra 1.1");
    // The same bytes are there again.
    world.publish(&published("1.1")).unwrap();
}

fn held_packages_stay(all: &Mishaps) {
    note("what somebody holds is left, and told");
    let (document, _) = all.apply(0, "held", &[]);
    let installed = &of_host(&document, "held")["installed"];
    assert_eq!(installed["held"], json!(["lab-extra"]));
    assert_eq!(installed["packages"], json!({"lab-slow": "1.1"}));
    assert_eq!(all.world.sh("held", VERSIONS), "lab-extra 1.0 installed\nlab-slow 1.1 installed\n");
    assert_eq!(all.world.sh("held", "apt-mark showhold"), "lab-extra\n");
}

fn somebody_reboots_it_in_the_middle(all: &Mishaps) {
    let run = all.met("calm");
    let host = all.world.host("calm").unwrap();
    let boots = host.boots();
    host.begin_reboot().unwrap();
    let stopping = "[ \"$(systemctl is-system-running)\" != stopping ] || echo stopping";
    wait_for("it goes down", || all.world.sh("calm", stopping) == "stopping\n");
    assert!(all.world.sh("calm", VERSIONS).contains("half-configured"), "it waits for dpkg");
    all.world.sh("calm", "rm /run/lab-wait");
    all.done("calm", run.end());
    assert_eq!(host.boots(), boots + 1);
    let journal = all.world.sh("calm", "cut -d ' ' -f 3 /var/lib/palisade/releases/*/journal | tr '\\n' ' '");
    assert_eq!(journal, "begun carried installing installed checked completed ");
}

fn the_power_goes_and_nobody_is_there(all: &Mishaps) {
    all.met("dark").dies();
    assert!(all.world.sh("dark", VERSIONS).contains("half-configured"));
    all.world.host("dark").unwrap().crash().unwrap();
    wait_for("it puts itself in order", || all.world.sh("dark", LAST).starts_with("failed interrupted "));
    assert_eq!(all.world.sh("dark", VERSIONS), NEW);
    assert_eq!(all.world.sh("dark", "find /etc/systemd/system -name 'palisade-release-*'"), "", "once");
    all.goes_on("dark");
}

fn the_disk_fills_up(all: &Mishaps) {
    let world = &all.world;
    world.sh(
        "full",
        "mkdir /srv/var && mount -t tmpfs -o size=400m lab /srv/var && cp -a /var/. /srv/var/ && mount --bind /srv/var /var",
    );
    let run = all.met("full");
    world.sh("full", "dd if=/dev/zero of=/var/fill bs=64k 2>/dev/null; sync; rm /run/lab-wait");
    let ran = run.end();
    let document = ran.json();
    let stopped = of_host(&document, "full");
    assert_ne!(ran.code, Some(0), "{stopped}: {}", ran.err);
    let reason = stopped["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("/var"), "{stopped}: {}", ran.err);
    world.sh("full", "rm /var/fill");
    all.goes_on("full");
}

fn dpkg_was_left_half_way(all: &Mishaps) {
    let world = &all.world;
    world.sh("half", "dpkg --unpack /srv/lab/main/lab-lacking_1.0_all.deb >/dev/null");
    all.stops(6, "half", "apt cannot upgrade it, and first wants repair: E: Unmet dependencies");
    world.sh(
        "half",
        "dpkg -P lab-lacking >/dev/null && dpkg --unpack /srv/lab/main/lab-by-hand_1.0_all.deb >/dev/null",
    );
    all.stops(1, "half", "packages on the host want repair");
    assert!(world.sh("half", VERSIONS).starts_with(OLD));
    world.sh("half", "touch /root/mended");
    all.goes_on("half");
    assert_eq!(world.sh("half", "dpkg-query -W -f '${db:Status-Status}' lab-by-hand"), "installed");
}

/// As `apt-get` and dpkg do it, by another's hand.
const LOCK: &str = ": >/run/lab-hold; systemd-run --quiet --collect --unit=lab-lock perl -MFcntl -e \
    'open F, \">>\", \"/var/lib/dpkg/lock-frontend\"; $lock = pack(\"ssx4qql\", F_WRLCK, 0, 0, 0, 0); \
     fcntl(F, F_SETLK, $lock) or die; open R, \">\", \"/run/lab-locked\"; sleep 1 while -e \"/run/lab-hold\"'; \
    until [ -e /run/lab-locked ]; do sleep 0.05; done";

fn somebody_holds_the_lock(all: &Mishaps) {
    all.world.sh("locked", LOCK);
    all.stops(1, "locked", "Unable to acquire the dpkg frontend lock");
    assert_eq!(all.world.sh("locked", VERSIONS), OLD);
    all.world.sh("locked", "rm /run/lab-hold");
    all.goes_on("locked");
}

fn the_first_host_does_not_come_back(all: &Mishaps) {
    let world = &all.world;
    world.sh("lost", "systemctl --quiet disable ssh.service");
    let (document, said) = all.apply(1, "lost,next", &["--reboot-within", "60s"]);
    let reason = of_host(&document, "lost")["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("was told to reboot and is not back after 60 s"), "{reason}: {said}");
    assert_eq!(of_host(&document, "next")["state"], "not-started");
    assert_eq!(world.sh("next", VERSIONS), OLD);
    // As in a provider's rescue system.
    world.sh("lost", "systemctl --quiet enable --now ssh.service");
    let ran = world.palisade(all.args("lost,next", &[])).run();
    all.done("lost", ran.clone());
    all.done("next", ran);
    for host in ["lost", "next"] {
        assert_eq!(world.sh(host, "dpkg-query -W -f '${Version}' lab-kernel"), "1.1");
        assert!(!world.has(host, "/run/reboot-required"), "{host}");
    }
}

fn nobody_installs_two_releases_at_once(all: &Mishaps) {
    let world = &all.world;
    all.met("other").dies();
    world.sh("other", "rm /var/lib/palisade/lease");
    let (document, said) = all.apply(6, "other", &["--release", &all.other, "--wait-lease", "1s"]);
    let reason = of_host(&document, "other")["reason"].as_str().unwrap_or_default();
    assert!(
        reason.starts_with(&format!("release {} is being installed there for alice ", all.release)),
        "{reason}: {said}"
    );
    let run = begin(world, &all.args("other", &[]));
    wait_for("it is attached to", || world.sh("other", BEGUN).trim() == "2");
    world.sh("other", "rm /run/lab-wait");
    all.done("other", run.end());
}
