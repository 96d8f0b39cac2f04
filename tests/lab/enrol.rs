//! Enrolment on real hosts of both distributions, as a provider delivers them.
//!

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use palisade::domain::{Environment, Fingerprint, HostName, PublicKey, UserName};
use palisade::enrolment::Newcomer;
use palisade::event::Silent;
use palisade::fleet::{Access, Enrol, EnrolState, Enrolled, run_id};
use palisade::inventory::{Estate, Fleet, parse};
use palisade::known_hosts::KnownHosts;
use palisade::lab::{HostSpec, Lab, Place, Spec, Suite};
use palisade::source::Sources;
use palisade::store::{Entries, Ledger};
use palisade::transaction::Operator;
use palisade::transport::{Identity, RusshConnector};

use crate::lane::runs_here;
use crate::tell;

/// A lab, the project that describes it, and Alice's key.
struct World {
    lab: Lab,
    root: tempfile::TempDir,
    fleet: Fleet,
}

fn host(name: &str) -> HostName {
    name.parse().unwrap()
}

impl World {
    /// web-12 and db-12 behind it, web-13.
    fn up() -> Option<Self> {
        if !runs_here("enrolment") {
            return None;
        }
        let spec = Spec::of([
            HostSpec::new(host("web-12"), Suite::Bookworm),
            HostSpec::new(host("web-13"), Suite::Trixie),
            HostSpec::new(host("db-12"), Suite::Bookworm).private_only(),
        ]);
        let lab = Lab::up(&Place::default(), &spec, &tell).unwrap();
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("inventories")).unwrap();
        let alice = make_key(root.path(), "alice");
        let fleet = inventory(&lab, &alice);
        Some(Self { lab, root, fleet })
    }

    fn estate(&self) -> &Estate {
        &self.fleet.environments[&Environment::Prod]
    }

    fn ledger(&self) -> Ledger {
        Ledger::new(self.root.path())
    }

    fn entries(&self) -> Entries {
        self.ledger().read().unwrap()
    }

    /// The fingerprints that the lab wrote down.
    fn fingerprints(&self) -> BTreeMap<HostName, Vec<Fingerprint>> {
        let text = std::fs::read_to_string(self.lab.folder().join("fingerprints.yaml")).unwrap();
        serde_json_like(&text)
    }

    fn enrol(&self) -> Enrol {
        let person = &self.fleet.people[&"alice".parse::<UserName>().unwrap()];
        Enrol {
            connector: Arc::new(RusshConnector::new()),
            events: Arc::new(Silent),
            operator: Operator { run: run_id(), who: person.user.clone(), from: "test".to_owned() },
            ledger: self.ledger(),
            environment: Environment::Prod,
            newcomer: Newcomer {
                user: person.user.clone(),
                comment: person.name.clone(),
                keys: person.keys.clone(),
            },
            access: Access {
                user: person.user.clone(),
                identity: Identity {
                    file: Some(self.root.path().join("alice")),
                    agent: None,
                    declared: Some(person.keys.clone()),
                },
                pins: Arc::new(KnownHosts::parse(&self.entries().pins).unwrap()),
                connect_timeout: Duration::from_secs(20),
            },
            bootstrap: Some((
                "debian".parse().unwrap(),
                Identity { file: Some(self.lab.private_key("vendor")), agent: None, declared: None },
            )),
            given: self.fingerprints(),
            ask: None,
            replace: BTreeSet::new(),
            concurrency: 4,
        }
    }

    async fn run(&self, enrol: &Enrol, names: &[&str]) -> Vec<Enrolled> {
        let hosts: Vec<_> = names.iter().map(|name| &self.estate().hosts[&host(name)]).collect();
        enrol.run(self.estate(), &hosts).await
    }

    async fn run_one(&self, enrol: &Enrol, name: &str) -> Enrolled {
        self.run(enrol, &[name]).await.remove(0)
    }
}

/// `"host": ["SHA256:…", …]` lines.
fn serde_json_like(text: &str) -> BTreeMap<HostName, Vec<Fingerprint>> {
    text.lines()
        .map(|line| {
            let (name, list) = line.split_once(": ").unwrap();
            (serde_json::from_str(name).unwrap(), serde_json::from_str(list).unwrap())
        })
        .collect()
}

fn make_key(dir: &Path, name: &str) -> PublicKey {
    let done = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f"])
        .arg(dir.join(name))
        .output()
        .unwrap();
    assert!(done.status.success());
    std::fs::read_to_string(dir.join(format!("{name}.pub"))).unwrap().trim().parse().unwrap()
}

fn inventory(lab: &Lab, alice: &PublicKey) -> Fleet {
    let networks = &lab.record().networks;
    let fleet = format!(
        "company: Lab\npeople:\n  alice: {{name: Alice Martin, title: CTO, approver: true, keys: [\"{alice}\"], \
         access: [prod]}}\ncontacts: {{administrators: [ops@example.com]}}\n"
    );
    let mut prod = format!(
        "environment: prod\nnetworks: {{admin: [\"{}\"], private: [\"{}\"]}}\nroles:\n  web: {{listeners: []}}\nhosts:\n",
        networks.control.v4, networks.private[0].v4
    );
    for one in lab.hosts() {
        let v4 = |list: &[palisade::domain::Address]| {
            list.iter()
                .filter(|a| a.ip().is_ipv4())
                .map(|a| format!("\"{a}\""))
                .collect::<Vec<_>>()
                .join(", ")
        };
        let record = one.record();
        let public = v4(&record.public);
        let (public, jump) = if public.is_empty() {
            (String::new(), "jump: web-12, ".to_owned())
        } else {
            (format!("public: [{public}], "), String::new())
        };
        let _ = writeln!(
            prod,
            "  {}: {{addresses: {{{public}private: [{}]}}, {jump}roles: [web], provider: lab, datacenter: lab1, country: FR}}",
            one.name(),
            v4(&record.private)
        );
    }
    let sources =
        Sources::new().with("inventories/fleet.yaml", fleet).with("inventories/prod.yaml", prod).with(
            "inventories/lab.yaml",
            format!("subnets: [\"{}\", \"{}\"]\n", networks.all_v4, networks.all_v6),
        );
    parse(&sources).unwrap_or_else(|refusals| panic!("{}", refusals.annotated(false)))
}

fn reason(state: &EnrolState) -> &str {
    match state {
        EnrolState::Refused { reason, .. }
        | EnrolState::Failed { reason }
        | EnrolState::Unreachable { reason } => reason,
        EnrolState::Enrolled | EnrolState::Unchanged => panic!("{state:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_are_enrolled_once_and_refused_where_they_are_not_who_they_were() {
    let Some(world) = World::up() else { return };
    let all = ["db-12", "web-12", "web-13"];

    nothing_is_accepted_without_a_fingerprint(&world).await;
    what_is_not_supported_is_refused_by_name(&world).await;

    let enrol = world.enrol();
    let results = world.run(&enrol, &all).await;
    for (name, result) in all.iter().zip(&results) {
        assert_eq!(result.host, host(name));
        assert_eq!(result.state, EnrolState::Enrolled, "{result:?}");
        assert!(result.rollback_milliseconds.unwrap() >= 4_000, "the timer fired, nobody else: {result:?}");
        let here = world.lab.host(name).unwrap();
        assert_eq!(here.sh("cat /etc/palisade/environment").unwrap(), "prod\n");
        assert_eq!(
            here.sh("stat -c %U:%a /var/lib/palisade /etc/palisade/environment").unwrap(),
            "root:700\nroot:644\n"
        );
        assert_eq!(here.sh("systemctl is-enabled palisade-recover.service").unwrap(), "enabled\n");
        assert_eq!(here.sh("cat /etc/sudoers.d/palisade").unwrap(), "alice ALL=(ALL:ALL) NOPASSWD: ALL\n");
        assert!(here.sh("cat /var/lib/palisade/rehearsal").unwrap().starts_with("as before"));
        assert_eq!(here.sh("ls /var/lib/palisade | grep -c rolled-back").unwrap(), "1\n");
        assert_eq!(
            here.sh("ls /var/lib/palisade/lease /var/lib/palisade/pending 2>/dev/null; true").unwrap(),
            ""
        );
    }
    let entries = world.entries();
    assert_eq!(entries.identities.hosts.len(), 3);
    assert_eq!(entries.pins.lines().count(), 3);
    let web = &entries.identities.hosts[&host("web-13")];
    assert_eq!(web.distribution, "debian-13");
    assert_eq!(web.vendor.as_ref().map(UserName::as_str), Some("debian"));
    assert_eq!(
        enrol.connector.jump_connections()[&host("web-12")],
        1,
        "one connection as alice for all that db-12 needs"
    );

    again_changes_nothing(&world, &entries, &all).await;
    a_damaged_host_is_mended(&world).await;
    a_machine_of_another_environment_is_refused(&world).await;
    a_reinstalled_host_needs_replace_and_its_fingerprint(&world).await;
    a_copy_is_refused(&world).await;
    world.lab.down(&tell).unwrap();
}

async fn nothing_is_accepted_without_a_fingerprint(world: &World) {
    let mut enrol = world.enrol();
    enrol.given.clear();
    let result = world.run_one(&enrol, "web-12").await;
    assert!(reason(&result.state).starts_with("nobody confirmed its key: SHA256:"), "{result:?}");
    let mut enrol = world.enrol();
    let wrong = enrol.given[&host("web-13")].clone();
    enrol.given.insert(host("web-12"), wrong);
    let result = world.run_one(&enrol, "web-12").await;
    assert!(reason(&result.state).contains("not the given"), "{result:?}");
    let result = world.run_one(&world.enrol(), "db-12").await;
    assert!(reason(&result.state).contains("its jump host web-12 is not enrolled"), "{result:?}");
    let log = world.lab.host("web-12").unwrap().sh("journalctl -q -u ssh | grep -c Accepted; true").unwrap();
    assert_eq!(log, "0\n", "nobody logged in");
    assert_eq!(world.entries().pins, "");
}

async fn what_is_not_supported_is_refused_by_name(world: &World) {
    let here = world.lab.host("web-12").unwrap();
    here.sh("cp /etc/os-release /root/os-release; rm /etc/os-release; printf 'ID=ubuntu\\nVERSION_ID=24.04\\n' >/etc/os-release").unwrap();
    let result = world.run_one(&world.enrol(), "web-12").await;
    assert_eq!(reason(&result.state), "it runs ubuntu-24.04, which is not supported");
    here.sh("cat /root/os-release >/etc/os-release; mv /etc/sudoers.d/debian /root/rule 2>/dev/null; grep -rl debian /etc/sudoers.d | xargs -r rm; gpasswd -d debian sudo >/dev/null 2>&1; true").unwrap();
    let result = world.run_one(&world.enrol(), "web-12").await;
    assert!(reason(&result.state).contains("sudo"), "{result:?}");
    here.sh("printf 'debian ALL=(ALL) NOPASSWD:ALL\\n' >/etc/sudoers.d/90-cloud-init-users; chmod 0440 /etc/sudoers.d/90-cloud-init-users").unwrap();
    assert_eq!(
        here.sh("ls /etc/palisade 2>/dev/null; getent passwd alice; true").unwrap(),
        "",
        "nothing was installed"
    );
    assert!(world.entries().identities.hosts.is_empty());
}

async fn again_changes_nothing(world: &World, entries: &Entries, all: &[&str]) {
    let mut enrol = world.enrol();
    // Neither the vendor's key nor a fingerprint is needed any more.
    enrol.bootstrap = None;
    enrol.given.clear();
    for result in world.run(&enrol, all).await {
        assert_eq!(result.state, EnrolState::Unchanged, "{result:?}");
        assert!(result.changes.is_empty() && result.rollback_milliseconds.is_none());
    }
    let now = world.entries();
    assert_eq!((&now.pins, &now.identities), (&entries.pins, &entries.identities));
}

async fn a_damaged_host_is_mended(world: &World) {
    let here = world.lab.host("web-12").unwrap();
    here.sh("systemctl disable --quiet palisade-recover.service; chmod 0666 /etc/palisade/environment")
        .unwrap();
    let result = world.run_one(&world.enrol(), "web-12").await;
    assert_eq!(result.state, EnrolState::Enrolled, "{result:?}");
    assert_eq!(result.changes, ["/etc/palisade/environment", "palisade-recover.service"]);
    assert!(result.rollback_milliseconds.is_some(), "a mended host rehearses again");
}

async fn a_machine_of_another_environment_is_refused(world: &World) {
    let here = world.lab.host("web-12").unwrap();
    here.sh("echo dev >/etc/palisade/environment").unwrap();
    let mut enrol = world.enrol();
    for replace in [false, true] {
        if replace {
            enrol.replace.insert(host("web-12"));
        }
        let result = world.run_one(&enrol, "web-12").await;
        assert!(reason(&result.state).contains("marked as a machine of `dev`"), "{result:?}");
    }
    here.sh("echo prod >/etc/palisade/environment").unwrap();
}

async fn a_reinstalled_host_needs_replace_and_its_fingerprint(world: &World) {
    let here = world.lab.host("web-13").unwrap();
    here.sh(
        "rm -rf /etc/ssh/ssh_host_* /var/lib/palisade /etc/palisade /etc/sudoers.d/palisade; userdel -r alice 2>/dev/null; \
         systemctl disable --quiet palisade-recover.service; rm /etc/systemd/system/palisade-recover.service; \
         tr -d - </proc/sys/kernel/random/uuid >/etc/machine-id; ssh-keygen -q -A; systemctl restart ssh",
    )
    .unwrap();
    let new: Fingerprint = here
        .sh("ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub | cut -d' ' -f2")
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    let result = world.run_one(&world.enrol(), "web-13").await;
    assert!(reason(&result.state).contains("not the given"), "{result:?}");
    let mut enrol = world.enrol();
    enrol.given.clear();
    let result = world.run_one(&enrol, "web-13").await;
    assert!(reason(&result.state).contains("another key than the pinned one"), "{result:?}");
    enrol.replace.insert(host("web-13"));
    let result = world.run_one(&enrol, "web-13").await;
    assert!(reason(&result.state).contains("nobody confirmed its key"), "{result:?}");
    enrol.given.insert(host("web-13"), vec![new]);
    let before = world.entries().identities.hosts[&host("web-13")].machine_id.clone();
    let result = world.run_one(&enrol, "web-13").await;
    assert_eq!(result.state, EnrolState::Enrolled, "{result:?}");
    let after = world.entries();
    assert_ne!(after.identities.hosts[&host("web-13")].machine_id, before);
    assert_eq!(after.pins.lines().filter(|line| line.starts_with("web-13 ")).count(), 1);
}

async fn a_copy_is_refused(world: &World) {
    // web-13 takes on the machine id of web-12, as a cloned disk would have it.
    let id = world.lab.host("web-12").unwrap().sh("cat /etc/machine-id").unwrap();
    assert_eq!(id.trim().len(), 32);
    world
        .ledger()
        .update(|mut entries| {
            let web = entries.identities.hosts[&host("web-12")].clone();
            entries.identities.hosts.remove(&host("web-12"));
            entries.identities.hosts.insert(host("old-name"), web);
            Ok(entries)
        })
        .unwrap();
    let result = world.run_one(&world.enrol(), "web-12").await;
    assert!(reason(&result.state).contains("is enrolled as old-name"), "{result:?}");
}
