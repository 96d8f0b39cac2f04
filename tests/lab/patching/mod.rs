//! Releases from dev over test to prod on real hosts, from an archive that moves on meanwhile, through whatever gets in
//! between: a run that is killed, a host that loses power in the middle, a service that does not survive its upgrade.

use std::time::Duration;

use palisade::lab::{Content, Made, Part, SOURCES, Spec, Suite, Suites};
use serde_json::{Value, json};
use support::{Needs, Ran, Running, SHARED, World, fleet, note, of_host, wait_for};

support::tests! {
    Needs::LAB => [
        a_release_goes_from_dev_over_test_to_prod,
    ],
    Needs::TAIL => [
        a_script_that_fails_is_gone_on_from,
    ],
}

mod rules;

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
    [Made { files, ..SERVICE }, LIBRARY].map(|made| Made { version: "2.0", ..made }).to_vec()
}

const INSTALL: &str = "set -e
apt-get -q update >/dev/null
DEBIAN_FRONTEND=noninteractive apt-get -q -y install lab-service lab-kernel lab-slow lab-conf >/dev/null
echo 'size = 7' >/etc/lab.conf
printf '#!/bin/sh\\nsystemctl is-active --quiet lab-service\\n' >/usr/local/bin/lab-check
chmod 0755 /usr/local/bin/lab-check
printf '[Service]\\nExecStart=/usr/lib/lab-library/engine infinity\\n[Install]\\nWantedBy=multi-user.target\\n' >/etc/systemd/system/lab-kept@.service
systemctl daemon-reload
systemctl enable -q --now lab-kept@one";

const VERSIONS: &str =
    "dpkg-query -W -f '${Package}=${Version} ${db:Status-Status}\\n' 'lab-*' | grep -v lab-extra";

/// What nobody may have changed, of what palisade changes.
const STATE: &str = "find /etc /home /var/lib/palisade -printf '%p %C@ %m\\n' | sort";

pub(super) const BEGUN: &str = "grep -c ' begun ' /var/lib/palisade/releases/*/journal";

const JOURNAL: &str = "cat /var/lib/palisade/releases/*/journal | cut -d ' ' -f 3-";

/// These hosts of [`ENVIRONMENTS`], with the first versions of all packages.
fn installed(environments: &[(&str, &str)], hosts: &[&str]) -> World {
    let world = enrolled(environments);
    world.publish(&first()).unwrap();
    trust(&world);
    world.on(hosts, SOURCES);
    world.on(hosts, INSTALL);
    world
}

/// Gives the project the keyring of the lab's archive, as whoever runs an archive hands it out.
pub(super) fn trust(world: &World) {
    let keyrings = world.project().join("keyrings");
    std::fs::create_dir_all(&keyrings).unwrap();
    std::fs::copy(world.folder().join("archive/key.gpg"), keyrings.join("lab.gpg")).unwrap();
    let declared = "freezes: []\n  keyrings: [{origin: Lab, file: keyrings/lab.gpg}]";
    world.edit("inventories/fleet.yaml", "freezes: []", declared);
}

/// The hosts of `inventories`, by path and text, enrolled; dev-2 alone is Debian 13.
pub(super) fn enrolled(inventories: &[(&str, &str)]) -> World {
    let shared = format!("{SHARED}  deny_restart: [lab-kept@.service]\n");
    let shared = [("inventories/fleet.yaml", shared.as_str())];
    let fleet = fleet(&[&shared[..], inventories].concat());
    let mut spec = Spec::copy_of(&fleet, Suites::All(Suite::Bookworm)).unwrap().stocked();
    for host in spec.hosts.iter_mut().filter(|host| host.name.as_str() == "dev-2") {
        host.suite = Suite::Trixie;
    }
    World::enrolled(&fleet, &spec, Duration::from_secs(30))
}

/// The document on standard output, and what was said, of a run that has to end with `exit`.
pub(super) fn run(world: &World, exit: i32, words: &[&str]) -> (Value, String) {
    ended(exit, world.palisade(words.iter().copied()).run())
}

pub(super) fn begin(world: &World, words: &[&str]) -> Running {
    world.palisade(words.iter().copied()).start()
}

/// The same of a run that ended.
pub(super) fn ended(exit: i32, ran: Ran) -> (Value, String) {
    let ran = ran.exits(exit);
    (ran.json(), ran.err)
}

fn a_release_goes_from_dev_over_test_to_prod() {
    let world = installed(&ENVIRONMENTS, &HOSTS);
    world.sh("dev-1", "apt-get -q -y install lab-extra >/dev/null");
    world.sh("prod-2", "apt-get -q -y install lab-extra >/dev/null");
    world.publish(&second()).unwrap();
    world.enrolled_long_ago();
    rules::hosts_without_a_release_are_overdue(&world);
    a_host_that_lies_of_its_packages_plans_nothing(&world);
    let (planned, _) = run(&world, 0, &["patch", "plan", "dev"]);
    assert_eq!(
        planned["release"]["sets"][0]["packages"]["lab-conf"]["origin"],
        "Debian-Security:stable-security"
    );

    a_host_that_sends_other_files_is_told(&world);
    note("a run that is killed in the middle goes on where the hosts are");
    world.on(&["dev-1", "test-1"], "touch /run/lab-wait");
    let killed = begin(&world, &["patch", "apply", "dev"]);
    wait_for("dev-1 installs", || world.has("dev-1", "/run/lab-slow"));
    killed.dies();
    nobody_works_beside_it(&world, "dev-1", planned["release"]["id"].as_str().unwrap());
    let dev = begin(&world, &["patch", "apply", "dev"]);
    wait_for("it is attached to", || world.sh("dev-1", BEGUN).trim() == "2");
    world.sh("dev-1", "rm /run/lab-wait");
    let (dev, said) = ended(0, dev.end());
    assert_eq!(run(&world, 0, &["report"]).0, dev, "the newest run, from its record");
    assert!(said.contains("dev-1: is being installed on already; attached"), "{said}");
    for name in ["dev-1", "dev-2"] {
        let installed = &of_host(&dev, name)["installed"];
        assert_eq!(installed["packages"]["lab-library"], "1.1");
        assert_eq!(installed["restarted"], json!(["lab-service.service"]));
        assert_eq!(installed["rebooted"], "lab-kernel");
        assert_eq!(installed["conffiles"], json!(["/etc/lab.conf.dpkg-dist"]));
        assert_eq!(installed["denied"], json!([]), "the reboot renewed it");
        assert_eq!(world.sh(name, "cat /etc/lab.conf"), "size = 7\n");
        assert!(world.sh(name, JOURNAL).trim().ends_with("checked\ncompleted"));
    }
    let id = planned["release"]["id"].as_str().unwrap();
    rules::hosts_with_the_release_are_current(&world, id);

    note("a host that loses power in the middle goes on, with what the mirror no longer has");
    world.publish(&third()).unwrap();
    let (_, said) = run(&world, 6, &["patch", "apply", "test"]);
    assert!(said.contains("is not approved for test"), "{said}");
    run(&world, 0, &["approve", id, "--for", "test", "--yes"]);
    a_host_installs_what_its_own_keyrings_verify(&world);
    let test = begin(&world, &["patch", "apply", "test"]);
    let test_1 = world.host("test-1").unwrap();
    wait_for("test-1 installs", || world.has("test-1", "/run/lab-slow"));
    test_1.begin_crash().unwrap();
    let (test, _) = ended(0, test.end());
    assert_eq!(of_host(&test, "test-1")["installed"]["packages"]["lab-slow"], "1.1");
    assert_eq!(world.sh("test-1", VERSIONS), world.sh("dev-1", VERSIONS));

    note("prod waits for its window, and takes nothing that test never saw");
    // What was signed for test says nothing of prod.
    let releases = world.project().join("releases");
    let [test, prod] = ["test", "prod"].map(|environment| releases.join(format!("{id}.{environment}.sig")));
    std::fs::copy(test, &prod).unwrap();
    let (_, said) = run(&world, 6, &["patch", "apply", "prod", "--release", id, "--yes"]);
    assert!(
        said.contains("signed by nobody who may sign") || said.contains("is not what alice signed"),
        "{said}"
    );
    std::fs::remove_file(&prod).unwrap();
    run(&world, 0, &["approve", id, "--for", "prod", "--yes"]);
    let (_, said) = run(&world, 6, &["patch", "apply", "prod", "--release", id, "--yes"]);
    assert!(said.contains("soak: test has had it since"), "{said}");
    rules::prod_takes_it_in_a_window_that_was_announced(&world, &planned);
    let prod = ["patch", "apply", "prod", "--release", id, "--yes", "--emergency", "--reason", "a hole"];
    let (refused, said) = run(&world, 6, &prod);
    assert_eq!(of_host(&refused, "prod-1")["state"], "answered", "{said}");
    let reason = of_host(&refused, "prod-2")["reason"].as_str().unwrap();
    assert_eq!(reason, "no host of the environment before has installed lab-extra 1.1");
    world.sh("prod-2", "apt-get -q -y remove lab-extra >/dev/null");
    let (prod, said) = run(&world, 0, &prod);
    assert_eq!(of_host(&prod, "prod-1")["state"], "answered", "{said}");
    for name in ["prod-1", "prod-2"] {
        assert_eq!(world.sh(name, VERSIONS), world.sh("dev-1", VERSIONS));
    }
    assert_eq!(of_host(&prod, "prod-2")["installed"]["rebooted"], "lab-kernel");
    assert!(world.sh("prod-2", JOURNAL).contains("\nemergency a hole\n"));
    rules::an_emergency_is_shown(&world);

    note("a service that does not survive its upgrade stops the run at the first host");
    let (id, broken) = a_service_does_not_survive_its_upgrade(&world);
    rules::what_is_never_restarted_is_named(&world, &broken);
    run(&world, 0, &["approve", &id, "--for", "test", "--yes"]);
    let (_, said) = run(&world, 6, &["patch", "apply", "test", "--release", &id]);
    assert!(said.contains("dev-1 of dev failed with"), "{said}");
    world.down();
}

/// A host of dev whose tools lie: its apt names another file as a package of the archive's, its apt invents a package, and what it
/// downloads is another file than its sha256sum says. What archives signed is what a release is made of, and of nothing else.
fn a_host_that_lies_of_its_packages_plans_nothing(world: &World) {
    note("a host that says another file is a package of the archive's plans nothing");
    let sane = "rm -f /usr/local/sbin/apt-cache /usr/local/sbin/apt-get /usr/local/sbin/sha256sum";
    let planned = || world.project().join("releases").exists();
    world.sh("dev-2", r#"cat >/usr/local/sbin/apt-cache <<'END'
#!/bin/sh
/usr/bin/apt-cache "$@" | sed 's/^SHA256: .*/SHA256: 0000000000000000000000000000000000000000000000000000000000000007/'
END
chmod 0755 /usr/local/sbin/apt-cache"#);
    let (_, said) = run(world, 6, &["patch", "plan", "dev"]);
    assert!(said.contains("dev-2 would install another file as lab-"), "{said}");
    assert!(!planned());
    world.sh("dev-2", sane);

    note("a package that it invents stands in no index");
    world.sh("dev-2", r#"cat >/usr/local/sbin/apt-get <<'END'
#!/bin/sh
case " $* " in
*" upgrade "*) /usr/bin/apt-get "$@" | sed 's/ 0 newly installed/ 1 newly installed/'; echo 'Inst lab-mine (1.0 Lab:stable [all])' ;;
*) exec /usr/bin/apt-get "$@" ;;
esac
END
cat >/usr/local/sbin/apt-cache <<'END'
#!/bin/sh
/usr/bin/apt-cache "$@" 2>/dev/null
printf '\nPackage: lab-mine\nVersion: 1.0\nArchitecture: all\nSize: 7\nSHA256: %064d\n' 7
END
chmod 0755 /usr/local/sbin/apt-get /usr/local/sbin/apt-cache"#);
    let (_, said) = run(world, 6, &["patch", "plan", "dev"]);
    assert!(said.contains("lab-mine 1.0 stands in no index that an archive signed"), "{said}");
    assert!(!planned());
    world.sh("dev-2", sane);
}

/// What it sends as a package is taken by its bytes: its sha256sum says that they are what was signed.
fn a_host_that_sends_other_files_is_told(world: &World) {
    note("a host that sends another file as a package is told by its bytes");
    // The first that is asked, since packages of the lab are the same for both distributions.
    world.sh(
        "dev-1",
        r#"cat >/usr/local/sbin/apt-get <<'END'
#!/bin/sh
/usr/bin/apt-get "$@"
status=$?
case " $* " in *" download "*) for file in ./*.deb; do echo mine >>"$file"; done ;; esac
exit $status
END
cat >/usr/local/sbin/sha256sum <<'END'
#!/bin/sh
perl -0777 -pe 's/m(ine\n)?\z//' | /usr/bin/sha256sum
END
chmod 0755 /usr/local/sbin/apt-get /usr/local/sbin/sha256sum"#,
    );
    let (_, said) = run(world, 6, &["patch", "apply", "dev"]);
    assert!(said.contains("dev-1: the host sent other bytes than those of"), "{said}");
    world.sh(
        "dev-1",
        "rm /usr/local/sbin/apt-get /usr/local/sbin/sha256sum; rm -r /var/lib/palisade/releases",
    );
}

/// Whose signature counts on a host is what its own sources say: not what the project does, and not what dev trusted.
fn a_host_installs_what_its_own_keyrings_verify(world: &World) {
    note("a host whose own keyring does not verify the archive installs nothing");
    world.sh("test-1", "gone=/usr/share/keyrings/debian-archive-keyring.gpg; ls $gone >/dev/null; sed -i \"s#/srv/lab/key.gpg#$gone#\" /etc/apt/sources.list.d/lab.list");
    let (refused, said) = run(world, 4, &["patch", "apply", "test"]);
    assert_eq!(of_host(&refused, "test-1")["state"], "incomplete", "{said}");
    assert!(said.contains("apt cannot read what was carried"), "{said}");
    world.sh("test-1", "rm /etc/apt/sources.list.d/lab.list");
    let (refused, said) = run(world, 6, &["patch", "apply", "test"]);
    assert_eq!(of_host(&refused, "test-1")["state"], "refused", "{said}");
    let reason = of_host(&refused, "test-1")["reason"].as_str().unwrap();
    assert!(reason.contains("trusts nobody to sign it"), "{reason}");
    assert_eq!(
        world
            .sh("test-1", "cat /var/lib/palisade/releases/*/journal | grep -c ' installing$' || true")
            .trim(),
        "0"
    );
    world.on(&["test-1"], SOURCES);
}

/// What comes next stops a run at the first host: the release, and the run's document.
fn a_service_does_not_survive_its_upgrade(world: &World) -> (String, Value) {
    world.publish(&broken()).unwrap();
    let (planned, _) = run(world, 0, &["patch", "plan", "dev", "--emergency", "a hole in lab-service"]);
    let id = planned["release"]["id"].as_str().unwrap().to_owned();
    let (broken, said) = run(world, 1, &["patch", "apply", "dev", "--release", &id]);
    assert_eq!(of_host(&broken, "dev-1")["state"], "failed", "{said}");
    let reason = of_host(&broken, "dev-1")["reason"].as_str().unwrap();
    assert!(reason.contains("lab-service.service has failed"), "{reason}");
    assert_eq!(of_host(&broken, "dev-2")["state"], "not-started");
    (id, broken)
}

/// Nor when the lease of the run that began it is over, as it is soon after that was killed.
fn nobody_works_beside_it(world: &World, name: &str, release: &str) {
    note("what a host installs by itself keeps others away");
    let lease = world.sh(name, "sed -n s/^run=//p /var/lib/palisade/lease && rm /var/lib/palisade/lease");
    let before = world.sh(name, STATE);
    let told = format!("release {release} is being installed there for alice ");
    let (status, _) = run(world, 6, &["status", "dev", "--limit", name]);
    let shown = of_host(&status, name);
    assert_eq!((&shown["state"], &shown["holder"]["release"]), (&"installing".into(), &release.into()));
    let (applied, said) = run(world, 6, &["apply", "dev", "--limit", name]);
    let refused = of_host(&applied, name);
    assert_eq!(refused["state"], "refused", "{said}");
    assert!(refused["reason"].as_str().unwrap().starts_with(&told), "{refused}");
    let unlock = world.palisade(["unlock", name, "--tx", lease.trim()]).run().exits(6);
    assert!(unlock.err.contains(&told), "{}", unlock.err);
    assert_eq!(world.sh(name, STATE), before);
}

/// In the place of a release that failed comes one with another cause to fail, which is mended on the hosts.
fn a_script_that_fails_is_gone_on_from() {
    let hosts = ["dev-1", "dev-2"];
    let [dev, ..] = ENVIRONMENTS;
    let world = installed(&[dev], &hosts);
    let (id, _) = a_service_does_not_survive_its_upgrade(&world);
    note("a maintainer script that fails leaves a state that is known, and gone on from");
    let releases = world.project().join("releases");
    for file in [format!("{id}.yaml"), format!("{id}.yaml.sig")] {
        std::fs::remove_file(releases.join(file)).unwrap();
    }
    let slow = Made { version: "2.1", postinst: "[ -e /root/mended ]", ..SLOW };
    world.publish(&[Made { version: "2.1", ..SERVICE }, slow]).unwrap();
    run(&world, 0, &["patch", "plan", "dev", "--emergency", "what came before does not run"]);
    let apply = ["patch", "apply", "dev", "--release", &id, "--emergency", "--reason", "it does not run"];
    for _ in 0..2 {
        let (failed, said) = run(&world, 1, &apply);
        let reason = of_host(&failed, "dev-1")["reason"].as_str().unwrap();
        assert!(reason.contains("lab-slow"), "{reason}: {said}");
        assert_eq!(of_host(&failed, "dev-2")["state"], "not-started");
    }
    world.on(&hosts, "touch /root/mended");
    let (done, said) = run(&world, 0, &apply);
    assert_eq!(of_host(&done, "dev-2")["state"], "changed", "{said}");
    assert_eq!(world.sh("dev-1", "dpkg --audit; dpkg-query -W -f '${Version}' lab-slow"), "2.1");
    world.down();
}
