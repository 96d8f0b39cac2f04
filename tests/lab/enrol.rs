//! Enrolment on real hosts of both distributions, as a provider delivers them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use palisade::domain::{Environment, Fingerprint, HostName, PublicKey, UserName};
use palisade::enrolment::Newcomer;
use palisade::event::Silent;
use palisade::fleet::{Access, Enrol, run_id};
use palisade::inventory::{EnvironmentInventory, Fleet};
use palisade::known_hosts::KnownHosts;
use palisade::lab::{Spec, Suite};
use palisade::record::{EnrolState, Enrolled};
use palisade::store::{Entries, Ledger};
use palisade::transaction::Operator;
use palisade::transport::{Identity, RusshConnector};
use support::{Needs, World, host, make_key};

support::tests! {
    Needs::LAB => [
        hosts_are_enrolled_once_and_refused_where_they_are_not_who_they_were,
    ],
}

/// Hosts that were just delivered, the project of the company that rents them, and Alice's key.
struct Company {
    world: World,
    root: PathBuf,
    fleet: Fleet,
}

fn name(text: &str) -> HostName {
    text.parse().unwrap()
}

impl Company {
    /// web-12 and db-12 behind it, web-13.
    fn new() -> Self {
        let world = World::up(&Spec::of([
            host("web-12", Suite::Bookworm),
            host("web-13", Suite::Trixie),
            host("db-12", Suite::Bookworm).private_only(),
        ]));
        let root = world.path("project");
        std::fs::create_dir_all(root.join("inventories")).unwrap();
        let alice = make_key(&root, "alice", "ed25519", "");
        let fleet = inventory(&world, &alice);
        Self { world, root, fleet }
    }

    fn inventory(&self) -> &EnvironmentInventory {
        &self.fleet.environments[&Environment::Prod]
    }

    fn ledger(&self) -> Ledger {
        Ledger::new(&self.root)
    }

    fn entries(&self) -> Entries {
        self.ledger().read().unwrap()
    }

    /// The fingerprints that the lab wrote down.
    fn fingerprints(&self) -> BTreeMap<HostName, Vec<Fingerprint>> {
        let text = std::fs::read_to_string(self.world.fingerprints()).unwrap();
        read_fingerprints(&text)
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
                    file: Some(self.root.join("alice")),
                    agent: None,
                    declared: Some(person.keys.clone()),
                },
                pins: Arc::new(KnownHosts::parse(&self.entries().pins).unwrap()),
                connect_timeout: Duration::from_secs(20),
            },
            bootstrap: Some((
                "debian".parse().unwrap(),
                Identity { file: Some(self.world.private_key("vendor")), agent: None, declared: None },
            )),
            given: self.fingerprints(),
            ask: None,
            replace: BTreeSet::new(),
            concurrency: 4,
        }
    }

    async fn run(&self, enrol: &Enrol, names: &[&str]) -> Vec<Enrolled> {
        let hosts: Vec<_> = names.iter().map(|name| &self.inventory().hosts[&self::name(name)]).collect();
        enrol.run(self.inventory(), &hosts).await
    }

    async fn run_one(&self, enrol: &Enrol, name: &str) -> Enrolled {
        self.run(enrol, &[name]).await.remove(0)
    }
}

/// `"host": ["SHA256:…", …]` lines.
fn read_fingerprints(text: &str) -> BTreeMap<HostName, Vec<Fingerprint>> {
    text.lines()
        .map(|line| {
            let (name, list) = line.split_once(": ").unwrap();
            (serde_json::from_str(name).unwrap(), serde_json::from_str(list).unwrap())
        })
        .collect()
}

fn inventory(world: &World, alice: &PublicKey) -> Fleet {
    let networks = &world.record().networks;
    let shared = format!(
        "company: Lab\npeople:\n  alice: {{name: Alice Martin, title: CTO, approver: true, keys: [\"{alice}\"], \
         access: [prod]}}\ncontacts: {{administrators: [ops@example.com]}}\n"
    );
    let mut prod = format!(
        "environment: prod\nnetworks: {{admin: [\"{}\"], private: [\"{}\"]}}\nroles:\n  web: {{listeners: []}}\nhosts:\n",
        networks.control.v4, networks.private[0].v4
    );
    for one in world.hosts() {
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
    let lab = format!("subnets: [\"{}\", \"{}\"]\n", networks.all_v4, networks.all_v6);
    support::fleet(&[
        ("inventories/fleet.yaml", &shared),
        ("inventories/prod.yaml", &prod),
        ("inventories/lab.yaml", &lab),
    ])
}

fn reason(state: &EnrolState) -> &str {
    match state {
        EnrolState::Refused { reason, .. }
        | EnrolState::Failed { reason }
        | EnrolState::Unreachable { reason } => reason,
        EnrolState::Enrolled | EnrolState::Unchanged => panic!("{state:?}"),
    }
}

fn hosts_are_enrolled_once_and_refused_where_they_are_not_who_they_were() {
    let company = Company::new();
    support::block_on(hosts_are_enrolled(&company));
    company.world.down();
}

async fn hosts_are_enrolled(company: &Company) {
    let all = ["db-12", "web-12", "web-13"];

    nothing_is_accepted_without_a_fingerprint(company).await;
    what_is_not_supported_is_refused_by_name(company).await;

    let enrol = company.enrol();
    let results = company.run(&enrol, &all).await;
    for (name, result) in all.iter().zip(&results) {
        assert_eq!(result.host, self::name(name));
        assert_eq!(result.state, EnrolState::Enrolled, "{result:?}");
        assert!(result.rollback_milliseconds.unwrap() >= 4_000, "the timer fired, nobody else: {result:?}");
        let here = company.world.host(name).unwrap();
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
    let entries = company.entries();
    assert_eq!(entries.identities.hosts.len(), 3);
    assert_eq!(entries.pins.lines().count(), 3);
    let web = &entries.identities.hosts[&name("web-13")];
    assert_eq!(web.distribution, "debian-13");
    assert_eq!(web.vendor.as_ref().map(UserName::as_str), Some("debian"));
    assert_eq!(
        enrol.connector.jump_connections()[&name("web-12")],
        1,
        "one connection as alice for all that db-12 needs"
    );

    again_changes_nothing(company, &entries, &all).await;
    a_damaged_host_is_mended(company).await;
    a_machine_of_another_environment_is_refused(company).await;
    a_reinstalled_host_needs_replace_and_its_fingerprint(company).await;
    a_copy_is_refused(company).await;
}

async fn nothing_is_accepted_without_a_fingerprint(company: &Company) {
    let mut enrol = company.enrol();
    enrol.given.clear();
    let result = company.run_one(&enrol, "web-12").await;
    assert!(reason(&result.state).starts_with("nobody confirmed its key: SHA256:"), "{result:?}");
    let mut enrol = company.enrol();
    let wrong = enrol.given[&name("web-13")].clone();
    enrol.given.insert(name("web-12"), wrong);
    let result = company.run_one(&enrol, "web-12").await;
    assert!(reason(&result.state).contains("not the given"), "{result:?}");
    let result = company.run_one(&company.enrol(), "db-12").await;
    assert!(reason(&result.state).contains("its jump host web-12 is not enrolled"), "{result:?}");
    let log =
        company.world.host("web-12").unwrap().sh("journalctl -q -u ssh | grep -c Accepted; true").unwrap();
    assert_eq!(log, "0\n", "nobody logged in");
    assert_eq!(company.entries().pins, "");
}

async fn what_is_not_supported_is_refused_by_name(company: &Company) {
    let here = company.world.host("web-12").unwrap();
    here.sh("cp /etc/os-release /root/os-release; rm /etc/os-release; printf 'ID=ubuntu\\nVERSION_ID=24.04\\n' >/etc/os-release").unwrap();
    let result = company.run_one(&company.enrol(), "web-12").await;
    assert_eq!(reason(&result.state), "it runs ubuntu-24.04, which is not supported");
    here.sh("cat /root/os-release >/etc/os-release; mv /etc/sudoers.d/debian /root/rule 2>/dev/null; grep -rl debian /etc/sudoers.d | xargs -r rm; gpasswd -d debian sudo >/dev/null 2>&1; true").unwrap();
    let result = company.run_one(&company.enrol(), "web-12").await;
    assert!(reason(&result.state).contains("sudo"), "{result:?}");
    here.sh("printf 'debian ALL=(ALL) NOPASSWD:ALL\\n' >/etc/sudoers.d/90-cloud-init-users; chmod 0440 /etc/sudoers.d/90-cloud-init-users").unwrap();
    assert_eq!(
        here.sh("ls /etc/palisade 2>/dev/null; getent passwd alice; true").unwrap(),
        "",
        "nothing was installed"
    );
    assert!(company.entries().identities.hosts.is_empty());
}

async fn again_changes_nothing(company: &Company, entries: &Entries, all: &[&str]) {
    let mut enrol = company.enrol();
    // Neither the vendor's key nor a fingerprint is needed any more.
    enrol.bootstrap = None;
    enrol.given.clear();
    for result in company.run(&enrol, all).await {
        assert_eq!(result.state, EnrolState::Unchanged, "{result:?}");
        assert!(result.changes.is_empty() && result.rollback_milliseconds.is_none());
    }
    let now = company.entries();
    assert_eq!((&now.pins, &now.identities), (&entries.pins, &entries.identities));
}

async fn a_damaged_host_is_mended(company: &Company) {
    let here = company.world.host("web-12").unwrap();
    here.sh("systemctl disable --quiet palisade-recover.service; chmod 0666 /etc/palisade/environment")
        .unwrap();
    let result = company.run_one(&company.enrol(), "web-12").await;
    assert_eq!(result.state, EnrolState::Enrolled, "{result:?}");
    assert_eq!(result.changes, ["/etc/palisade/environment", "palisade-recover.service"]);
    assert!(result.rollback_milliseconds.is_some(), "a mended host rehearses again");
}

async fn a_machine_of_another_environment_is_refused(company: &Company) {
    let here = company.world.host("web-12").unwrap();
    here.sh("echo dev >/etc/palisade/environment").unwrap();
    let mut enrol = company.enrol();
    for replace in [false, true] {
        if replace {
            enrol.replace.insert(name("web-12"));
        }
        let result = company.run_one(&enrol, "web-12").await;
        assert!(reason(&result.state).contains("marked as a machine of `dev`"), "{result:?}");
    }
    here.sh("echo prod >/etc/palisade/environment").unwrap();
}

async fn a_reinstalled_host_needs_replace_and_its_fingerprint(company: &Company) {
    let here = company.world.host("web-13").unwrap();
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
    let result = company.run_one(&company.enrol(), "web-13").await;
    assert!(reason(&result.state).contains("not the given"), "{result:?}");
    let mut enrol = company.enrol();
    enrol.given.clear();
    let result = company.run_one(&enrol, "web-13").await;
    assert!(reason(&result.state).contains("another key than the pinned one"), "{result:?}");
    enrol.replace.insert(name("web-13"));
    let result = company.run_one(&enrol, "web-13").await;
    assert!(reason(&result.state).contains("nobody confirmed its key"), "{result:?}");
    enrol.given.insert(name("web-13"), vec![new]);
    let before = company.entries().identities.hosts[&name("web-13")].machine_id.clone();
    let result = company.run_one(&enrol, "web-13").await;
    assert_eq!(result.state, EnrolState::Enrolled, "{result:?}");
    let after = company.entries();
    assert_ne!(after.identities.hosts[&name("web-13")].machine_id, before);
    assert_eq!(after.pins.lines().filter(|line| line.starts_with("web-13 ")).count(), 1);
}

async fn a_copy_is_refused(company: &Company) {
    // web-13 takes on the machine id of web-12, as a cloned disk would have it.
    let id = company.world.host("web-12").unwrap().sh("cat /etc/machine-id").unwrap();
    assert_eq!(id.trim().len(), 32);
    company
        .ledger()
        .update(|mut entries| {
            let web = entries.identities.hosts[&name("web-12")].clone();
            entries.identities.hosts.remove(&name("web-12"));
            entries.identities.hosts.insert(name("old-name"), web);
            Ok(entries)
        })
        .unwrap();
    let result = company.run_one(&company.enrol(), "web-12").await;
    assert!(reason(&result.state).contains("is enrolled as old-name"), "{result:?}");
}
