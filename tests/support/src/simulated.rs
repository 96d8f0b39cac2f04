//! A fleet that is not there: hosts that answer what one real machine answered once, each after a while of its own, and
//! some of them not at all. What befalls a host follows from a seed and its name, so a run can be repeated.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::hash::Hasher as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use palisade::domain::{Environment, HostName, MachineId};
use palisade::fleet::{Access, Job, JobInputs};
use palisade::inventory::{self, Fleet, HostIdentity, Identities};
use palisade::known_hosts::KnownHosts;
use palisade::playbook::{self, Control};
use palisade::probe;
use palisade::record::Cost;
use palisade::shell::{Nonce, Output, Script};
use palisade::source::Sources;
use palisade::template::Templates;
use palisade::transport::{
    Bounds, Connector, Entry, Identity, LocalSession, Session, Target, TransportError,
};
use palisade::waiver::Waivers;

const SHARED: &str = "\
company: Bench
people:
  alice:
    name: Alice Martin
    title: CTO
    approver: true
    keys: [\"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILwP1P1Hiw0ZUVcnjZT1H1dzmWOnYNk8w7HnOEPaqMrs alice\"]
    access: [prod]
contacts: {administrators: [ops@example.com]}
";

/// So many hosts are databases, however many there are.
const DATABASES: usize = 10;

/// The files of a fleet of `hosts` hosts: web servers, and a few databases that let each of them in and watch them. What
/// listeners name grows with the hosts, and not with their square.
pub fn sources(hosts: usize) -> Sources {
    let mut prod = "\
environment: prod
networks: {admin: [192.0.2.1], private: [10.0.0.0/16]}
roles:
  web: {listeners: [{name: https, port: 443, from: internet}, {name: metrics, port: 9100, from: role:database}]}
  database: {listeners: [{name: postgres, port: 5432, from: role:web}]}
hosts:
"
    .to_owned();
    for number in 0..hosts {
        let (high, low) = (number / 250, number % 250 + 2);
        // the first is a web server, however few there are
        let role = if (1..=DATABASES).contains(&number) { "database" } else { "web" };
        writeln!(
            prod,
            "  host-{number}: {{addresses: {{public: [198.51.{high}.{low}], private: [10.0.{high}.{low}]}}, roles: [{role}], \
             provider: bench, datacenter: here, country: FR}}"
        )
        .unwrap();
    }
    Sources::new().with("inventories/fleet.yaml", SHARED).with("inventories/prod.yaml", prod)
}

/// A fleet that was enrolled, and the controls that it is held to: all, or `only` these.
#[derive(Debug)]
pub struct SimulatedFleet {
    fleet: Fleet,
    /// What it is held to.
    pub controls: Vec<Control>,
    templates: Templates,
    identities: Identities,
}

impl SimulatedFleet {
    /// `hosts` hosts of production, held to the controls of the built-in playbook: all, or `only` these.
    pub fn new(hosts: usize, only: &[&str]) -> Self {
        let sources = sources(hosts);
        let fleet =
            inventory::parse(&sources).unwrap_or_else(|refused| panic!("{}", refused.annotated(false)));
        let mut controls = playbook::parse(&sources).unwrap().controls;
        controls.retain(|control| only.is_empty() || only.contains(&control.id.as_str()));
        let names = fleet.environments.values().flat_map(|inventory| inventory.hosts.keys());
        let identity = |name: &HostName| HostIdentity {
            machine_id: machine_id(name),
            environment: Environment::Prod,
            distribution: "debian-12".to_owned(),
            vendor: None,
            enrolled: jiff::Timestamp::UNIX_EPOCH,
            by: "alice".parse().unwrap(),
        };
        let identities = Identities { hosts: names.map(|name| (name.clone(), identity(name))).collect() };
        Self { fleet, controls, templates: Templates::read(&sources).unwrap(), identities }
    }

    /// What each host is asked, in the inventory's order.
    pub fn jobs(&self) -> Vec<Job> {
        let inventory = &self.fleet.environments[&Environment::Prod];
        let ground = JobInputs {
            fleet: &self.fleet,
            inventory,
            controls: &self.controls,
            identities: &self.identities,
            access: Access {
                user: "alice".parse().unwrap(),
                identity: Identity::default(),
                pins: Arc::new(KnownHosts::default()),
                connect_timeout: Duration::from_secs(15),
            },
            day: "2026-11-28".parse().unwrap(),
            waivers: &Waivers::default(),
            templates: &self.templates,
        };
        let hosts: Vec<&inventory::Host> = inventory.hosts.values().collect();
        ground.jobs(&hosts).unwrap_or_else(|errors| panic!("{errors:?}"))
    }
}

fn hash(seed: u64, name: &str, what: &str) -> u64 {
    // SipHash with fixed keys: the same in every run.
    #[expect(deprecated, reason = "the default hasher's keys are not promised to stay the same")]
    let mut hasher = std::hash::SipHasher::new_with_keys(seed, 0);
    hasher.write(what.as_bytes());
    hasher.write(name.as_bytes());
    hasher.finish()
}

/// The machine that was enrolled under `name`.
pub fn machine_id(name: &HostName) -> MachineId {
    let half = hash(0, name.as_str(), "machine");
    format!("{half:016x}{half:016x}").parse().unwrap()
}

/// What befalls a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Luck {
    /// Nothing: it answers.
    Well,
    /// No connection.
    Away,
    /// No answer in time.
    Silent,
    /// The connection breaks before the answer is whole.
    Broken,
    /// It answers as another machine.
    Other,
}

/// What one machine answered to all questions of a host.
#[derive(Debug)]
pub struct Recorded {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

fn recording_nonce() -> Nonce {
    Nonce::new(*b"a recorded fleet")
}

impl Recorded {
    /// What this machine answers to the questions of `job`, as a machine of production.
    pub async fn here(job: &Job) -> Self {
        let session = LocalSession::new("here".parse().unwrap());
        let bounds = Bounds { deadline: Duration::from_mins(5), bytes: 16 << 20 };
        let script = probe::script(&job.desired, &recording_nonce());
        let output = session.run(&script, Entry::Plain, bounds).await.unwrap();
        let mut lines: Vec<&[u8]> = Vec::new();
        let mut in_facts = false;
        for line in output.stdout.split(|byte| *byte == b'\n') {
            let text = String::from_utf8_lossy(line);
            in_facts =
                if text.ends_with("begin facts") { true } else { in_facts && !text.contains("end facts") };
            match text.split('\t').next() {
                Some("machine-id") if in_facts => {
                    lines.push(b"machine-id\t00000000000000000000000000000000\nenvironment\tprod\ndistribution\tdebian-12");
                }
                Some("environment" | "distribution" | "pending" | "pending-seconds") if in_facts => {}
                _ => lines.push(line),
            }
        }
        Self { stdout: lines.join(&b'\n'), stderr: output.stderr }
    }

    /// Both outputs, with another nonce.
    pub fn with_nonce(&self, nonce: &str) -> (Vec<u8>, Vec<u8>) {
        let renew = |bytes: &[u8]| {
            String::from_utf8_lossy(bytes).replace(recording_nonce().as_str(), nonce).into_bytes()
        };
        (renew(&self.stdout), renew(&self.stderr))
    }

    /// The same from the machine `id`, to a script with `nonce`.
    fn said(&self, id: &MachineId, nonce: &str) -> Output {
        let asked = recording_nonce();
        let renew = |bytes: &[u8]| {
            let mut bytes = bytes.to_vec();
            let old = asked.as_str().as_bytes();
            let places: Vec<usize> = memchr::memmem::find_iter(&bytes, old).collect();
            for place in places {
                bytes[place..place + old.len()].copy_from_slice(nonce.as_bytes());
            }
            bytes
        };
        let mut stdout = renew(&self.stdout);
        let mark = b"machine-id\t";
        let place = memchr::memmem::find(&stdout, mark).expect("the facts") + mark.len();
        stdout[place..place + 32].copy_from_slice(id.as_str().as_bytes());
        Output { exit: palisade::shell::Exit::Status(0), stdout, stderr: renew(&self.stderr) }
    }
}

/// What the hosts of a run saw.
#[derive(Debug, Default)]
pub struct Seen {
    /// How often each host was connected to.
    pub connections: Mutex<BTreeMap<HostName, u32>>,
    /// How many scripts were run, of all hosts.
    pub execs: AtomicUsize,
    open: AtomicUsize,
    /// Connections at the same time, at most.
    pub most_open: AtomicUsize,
}

/// Opens connections to hosts that are not there.
#[derive(Debug)]
pub struct Simulated {
    seed: u64,
    slowest: Duration,
    recorded: Arc<Recorded>,
    /// What its hosts saw so far.
    pub seen: Arc<Seen>,
}

impl Simulated {
    /// Every host answers `recorded` after up to `slowest`, unless it has bad luck.
    pub fn new(seed: u64, slowest: Duration, recorded: Recorded) -> Self {
        Self { seed, slowest, recorded: Arc::new(recorded), seen: Arc::default() }
    }

    /// Two hosts of a hundred have bad luck.
    pub fn luck(&self, host: &HostName) -> Luck {
        match hash(self.seed, host.as_str(), "luck") % 200 {
            0 => Luck::Away,
            1 => Luck::Silent,
            2 => Luck::Broken,
            3 => Luck::Other,
            _ => Luck::Well,
        }
    }

    fn latency(&self, host: &HostName) -> Duration {
        let part = u32::try_from(hash(self.seed, host.as_str(), "latency") % 1000).unwrap();
        self.slowest * part / 1000
    }
}

struct SimulatedSession {
    host: HostName,
    luck: Luck,
    latency: Duration,
    recorded: Arc<Recorded>,
    seen: Arc<Seen>,
}

impl Connector for Simulated {
    fn connect<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, Result<Box<dyn Session>, TransportError>> {
        async move {
            *self.seen.connections.lock().unwrap().entry(target.host.clone()).or_default() += 1;
            let (luck, latency) = (self.luck(&target.host), self.latency(&target.host));
            tokio::time::sleep(latency / 2).await;
            if luck == Luck::Away {
                return Err(TransportError::Unreachable {
                    host: target.host.clone(),
                    address: target.address,
                    why: "port 22: no route to host".to_owned(),
                });
            }
            let open = self.seen.open.fetch_add(1, Ordering::SeqCst) + 1;
            self.seen.most_open.fetch_max(open, Ordering::SeqCst);
            Ok(Box::new(SimulatedSession {
                host: target.host.clone(),
                luck,
                latency,
                recorded: Arc::clone(&self.recorded),
                seen: Arc::clone(&self.seen),
            }) as Box<dyn Session>)
        }
        .boxed()
    }

    fn connections(&self) -> BTreeMap<HostName, u32> {
        self.seen.connections.lock().unwrap().clone()
    }
}

impl Session for SimulatedSession {
    fn run<'a>(
        &'a self,
        script: &'a Script,
        _entry: Entry,
        bounds: Bounds,
    ) -> BoxFuture<'a, Result<Output, TransportError>> {
        async move {
            self.seen.execs.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(self.latency / 2).await;
            let text = script.body();
            let (_, rest) = text.split_once("palisade_nonce='").expect("a nonce");
            let host = || self.host.clone();
            match self.luck {
                Luck::Silent => Err(TransportError::TooSlow {
                    host: host(),
                    what: "answer",
                    seconds: bounds.deadline.as_secs(),
                }),
                Luck::Broken => {
                    Err(TransportError::Broken { host: host(), why: "it ended without a word".to_owned() })
                }
                Luck::Other => Ok(self.recorded.said(&machine_id(&"somebody".parse().unwrap()), &rest[..32])),
                Luck::Well | Luck::Away => Ok(self.recorded.said(&machine_id(&self.host), &rest[..32])),
            }
        }
        .boxed()
    }

    fn cost(&self) -> Cost {
        Cost { connections: 1, execs: 1, ..Cost::default() }
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        async {}.boxed()
    }
}

impl Drop for SimulatedSession {
    fn drop(&mut self) {
        self.seen.open.fetch_sub(1, Ordering::SeqCst);
    }
}
