//! A lab, the projects that describe it, and `palisade` itself run on them: as a person would, from outside. It judges
//! nothing.

use std::fmt::Write as _;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use palisade::domain::Address;
use palisade::lab::{Form, Host, HostSpec, Lab, LabEvent, Place, Spec, Suite};
use serde_json::Value;

use crate::lane::say;

/// What any run of palisade may take before a test calls it stuck: emulated machines are slow, and busy ones more so.
const RUN_WITHIN: Duration = Duration::from_mins(25);

/// How many files of their own runs have had, since a run must not take another's for its own.
static FILES: AtomicUsize = AtomicUsize::new(0);

/// A lab and Alice's key.
pub(crate) struct World {
    pub(crate) lab: Lab,
    folder: tempfile::TempDir,
}

/// One host of a lab to bring up.
pub(crate) fn host(name: &str, suite: Suite) -> HostSpec {
    HostSpec::new(name.parse().unwrap(), suite)
}

impl World {
    /// Brings the hosts up, with nftables on them, so that what apply changes is its own.
    pub(crate) fn up(hosts: impl IntoIterator<Item = HostSpec>) -> Self {
        let tell = |event: &LabEvent| {
            if !matches!(event, LabEvent::Detail(_) | LabEvent::Starting(_) | LabEvent::Ready(..)) {
                say(&event.to_string());
            }
        };
        let lab = Lab::up(&Place::default(), &Spec::of(hosts), &tell).expect("the lab comes up");
        let folder = tempfile::tempdir().unwrap();
        for name in ["alice", "bob"] {
            make_key(folder.path(), name);
        }
        Self { lab, folder }
    }

    pub(crate) fn host(&self, name: &str) -> Host<'_> {
        self.lab.host(name).unwrap()
    }

    /// The private key of `alice` or `bob`.
    pub(crate) fn key(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn public_key(&self, name: &str) -> String {
        std::fs::read_to_string(self.key(name).with_extension("pub")).unwrap().trim().to_owned()
    }

    /// A place for a test's own files.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a project called `name`.
    pub(crate) fn project(&self, name: &str, inventory: &Inventory) -> Project<'_> {
        let root = self.folder.path().join(name);
        let inventories = root.join("inventories");
        std::fs::create_dir_all(&inventories).unwrap();
        let write = |file: &str, text: String| std::fs::write(inventories.join(file), text).unwrap();
        write("fleet.yaml", inventory.fleet(self));
        write("prod.yaml", inventory.prod(self));
        let networks = &self.lab.record().networks;
        write("lab.yaml", format!("subnets: [\"{}\", \"{}\"]\n", networks.all_v4, networks.all_v6));
        let day = jiff::Zoned::now().date().saturating_add(jiff::Span::new().days(30));
        let waiver = "control: hosting, hosts: all, owner: the lab, reason: containers on one machine";
        write("waivers.yaml", format!("- {{{waiver}, expires: {day}}}\n"));
        Project {
            world: self,
            root,
            timeout: Duration::from_secs(inventory.rollback_timeout),
            controls: inventory.controls,
        }
    }

    /// Plain ssh to `address` as `user` with `key`, against the host keys that the lab wrote down.
    pub(crate) fn ssh(&self, address: Address, key: &Path, user: &str) -> Command {
        let mut ssh = Command::new("ssh");
        ssh.args([
            "-F",
            "/dev/null",
            "-o",
            "BatchMode=yes",
            "-o",
            "ConnectTimeout=2",
            "-o",
            "IdentityAgent=none",
        ])
        .args(["-o", "IdentitiesOnly=yes", "-o", "ControlPath=none", "-i"])
        .arg(key)
        .arg("-o")
        .arg(format!("UserKnownHostsFile={}", self.lab.folder().join("known_hosts").display()))
        .arg(format!("{user}@{address}"))
        .stdin(Stdio::null());
        ssh
    }

    /// Waits until Alice comes in over a new connection and is root there.
    pub(crate) fn login(&self, name: &str, until: Instant) -> Result<(), String> {
        let address = self.host(name).public_address().unwrap();
        loop {
            let answer = self.ssh(address, &self.key("alice"), "alice").arg("sudo -n true").output().unwrap();
            if answer.status.success() {
                return Ok(());
            }
            if Instant::now() > until {
                return Err(format!(
                    "{name}: no fresh login: {}",
                    String::from_utf8_lossy(&answer.stderr).trim()
                ));
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Whether a file is on a host, seen from outside of it; nothing is while it cannot be seen.
    pub(crate) fn has(&self, name: &str, path: &str) -> bool {
        let host = self.host(name);
        if matches!(host.record().spec.form, Form::Machine(_)) {
            // whoever waits for something asks again and again, and each question costs an emulated machine a moment
            std::thread::sleep(Duration::from_millis(300));
        }
        host.has(path)
    }
}

fn make_key(folder: &Path, name: &str) {
    let done = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f"])
        .arg(folder.join(name))
        .output()
        .unwrap();
    assert!(done.status.success());
}

/// What a project declares.
pub(crate) struct Inventory {
    /// In seconds.
    pub(crate) rollback_timeout: u64,
    /// From where hosts are managed; none for this machine.
    pub(crate) admin: Option<&'static str>,
    /// Lines below `roles:`.
    pub(crate) roles: &'static str,
    /// Lines of prod.yaml at its top level.
    pub(crate) more: String,
    /// The roles of a host, by its name, and `jump: …, ` where it has one.
    pub(crate) of_host: fn(&str) -> (&'static str, &'static str),
    /// Hosts from which others are managed too, beside this machine.
    pub(crate) offices: &'static [&'static str],
    /// Hosts of the lab that the inventory does not name, the offices included.
    pub(crate) others: &'static [&'static str],
    /// What `apply` enforces and asks about; everything where none is named.
    pub(crate) controls: &'static [&'static str],
}

impl Default for Inventory {
    fn default() -> Self {
        Self {
            // Nothing goes back by its timer unless it shall, however slow the machine is.
            rollback_timeout: 180,
            admin: None,
            roles: "  web: {listeners: [{name: https, port: 443, from: internet}, {name: metrics, port: 9100, from: private}]}\n",
            more: String::new(),
            of_host: |_| ("web", ""),
            offices: &[],
            others: &[],
            controls: &[],
        }
    }
}

impl Inventory {
    fn fleet(&self, world: &World) -> String {
        format!(
            "company: Lab\nlimits: {{rollback_timeout: {}s}}\npeople:\n  alice: {{name: Alice Martin, title: CTO, \
             approver: true, keys: [\"{}\"], access: [prod]}}\n  bob: {{name: Bob Diallo, title: Engineer, keys: \
             [\"{}\"], access: [prod]}}\ncontacts: {{administrators: [ops@example.com]}}\n",
            self.rollback_timeout,
            world.public_key("alice"),
            world.public_key("bob"),
        )
    }

    fn prod(&self, world: &World) -> String {
        let networks = &world.lab.record().networks;
        let mut admin = self.admin.map_or_else(
            || format!("\"{}\", \"{}\"", networks.control.v4, networks.control.v6),
            |one| format!("\"{one}\""),
        );
        for office in self.offices {
            let _ = write!(admin, ", \"{}\"", world.host(office).public_address().unwrap());
        }
        let mut text = format!(
            "environment: prod\nnetworks: {{admin: [{admin}], private: [\"{}\", \"{}\"]}}\n{}roles:\n{}hosts:\n",
            networks.private[0].v4, networks.private[0].v6, self.more, self.roles
        );
        for host in world.lab.hosts().filter(|host| !self.others.contains(&host.name().as_str())) {
            let list = |all: &[Address]| {
                all.iter().map(|address| format!("\"{address}\"")).collect::<Vec<_>>().join(", ")
            };
            let (roles, jump) = (self.of_host)(host.name().as_str());
            let public = match host.record().public.as_slice() {
                [] => String::new(),
                all => format!("public: [{}], ", list(all)),
            };
            let _ = writeln!(
                text,
                "  {}: {{addresses: {{{public}private: [{}]}}, {jump}roles: [{roles}], provider: lab, datacenter: lab1, country: FR}}",
                host.name(),
                list(&host.record().private)
            );
        }
        text
    }
}

/// A project on disk.
#[derive(Clone)]
pub(crate) struct Project<'w> {
    pub(crate) world: &'w World,
    pub(crate) root: PathBuf,
    /// How long its hosts wait for confirmation.
    pub(crate) timeout: Duration,
    /// What `apply` is about; everything where none is named.
    controls: &'static [&'static str],
}

impl<'w> Project<'w> {
    /// Makes Alice known on all hosts, as on the first day.
    pub(crate) fn enrol(&self) {
        let mut verb = self.palisade(&["enrol", "prod", "--bootstrap-user", "debian"]);
        verb.arg("--bootstrap-identity").arg(self.world.lab.private_key("vendor"));
        verb.arg("--fingerprints").arg(self.world.lab.folder().join("fingerprints.yaml"));
        let ran = self.run(verb);
        assert_eq!(ran.code, Some(0), "{}", ran.said);
    }

    /// Lets `hosts` be changed without a control.
    pub(crate) fn waive<'h>(&self, control: &str, hosts: impl Iterator<Item = &'h str>) {
        let file = self.root.join("inventories/waivers.yaml");
        let day = jiff::Zoned::now().date().saturating_add(jiff::Span::new().days(30));
        let hosts: Vec<&str> = hosts.collect();
        let line = format!(
            "- {{control: {control}, hosts: [{}], owner: the lab, reason: not what is looked at there, expires: {day}}}\n",
            hosts.join(", ")
        );
        let text = std::fs::read_to_string(&file).unwrap();
        std::fs::write(file, text + &line).unwrap();
    }

    /// Another project with the same hosts, all of them enrolled.
    pub(crate) fn variant(&self, name: &str, inventory: &Inventory) -> Project<'w> {
        let other = self.world.project(name, inventory);
        for file in ["known_hosts", "identities.yaml", "waivers.yaml"] {
            std::fs::copy(
                self.root.join("inventories").join(file),
                other.root.join("inventories").join(file),
            )
            .unwrap();
        }
        other
    }

    /// palisade with `arguments`, as Alice.
    pub(crate) fn palisade(&self, arguments: &[&str]) -> Command {
        let mut palisade = Command::new(env!("CARGO_BIN_EXE_palisade"));
        palisade
            .env_remove("SSH_AUTH_SOCK")
            .args(arguments)
            .args(["--as", "alice", "--yes", "--project"])
            .arg(&self.root)
            .arg("--identity")
            .arg(self.world.key("alice"))
            .stdin(Stdio::null());
        palisade
    }

    /// Runs it to its end.
    pub(crate) fn run(&self, command: Command) -> Ran {
        self.start(command).end()
    }

    /// `apply prod` on one host, to its end.
    pub(crate) fn apply(&self, host: &str) -> Ran {
        self.run(self.applying(host))
    }

    fn applying(&self, host: &str) -> Command {
        let mut command = self.palisade(&["apply", "prod", "--limit", host, "--format", "json"]);
        command.args(self.controls.iter().flat_map(|control| ["--control", *control]));
        command
    }

    /// `apply prod` on one host, held before each of `places` (`widen.arming` …) in turn.
    pub(crate) fn apply_held(&self, host: &str, places: &[&str]) -> Running {
        let holds: Vec<(String, PathBuf)> = places
            .iter()
            .map(|place| ((*place).to_owned(), self.fresh_file(&format!("hold-{host}-{place}"))))
            .collect();
        let setting: Vec<String> = holds
            .iter()
            .map(|(place, file)| {
                std::fs::write(file, b"").unwrap();
                format!("{place}:{}", file.display())
            })
            .collect();
        let mut command = self.applying(host);
        command.env("PALISADE_LAB_HOLD", setting.join(","));
        let mut running = self.start(command);
        running.holds = holds;
        running
    }

    /// Starts it, with its outputs in files, so that nothing is lost when it is killed.
    pub(crate) fn start(&self, mut command: Command) -> Running {
        let (out, err) = (self.fresh_file("out"), self.fresh_file("err"));
        let child = command
            .stdout(File::create(&out).unwrap())
            .stderr(File::create(&err).unwrap())
            .spawn()
            .expect("palisade starts");
        Running { child, out, err, holds: Vec::new() }
    }

    fn fresh_file(&self, name: &str) -> PathBuf {
        let folder = self.world.path("files");
        std::fs::create_dir_all(&folder).unwrap();
        folder.join(format!("{name}-{}", FILES.fetch_add(1, Ordering::Relaxed)))
    }
}

/// palisade at work.
pub(crate) struct Running {
    pub(crate) child: Child,
    out: PathBuf,
    err: PathBuf,
    holds: Vec<(String, PathBuf)>,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Ran {
    /// None where a signal ended it.
    pub(crate) code: Option<i32>,
    /// Standard output, then standard error.
    pub(crate) said: String,
    /// Standard output alone.
    pub(crate) out: String,
}

impl Ran {
    /// The JSON document.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}", self.said))
    }
}

impl Running {
    /// Waits until it stands before `place`.
    pub(crate) fn reaches(&mut self, place: &str) {
        let reached = self.reaches_or_ends(place);
        assert!(reached, "it ended before {place}: {:?}\n{}", self.child.try_wait(), self.said());
    }

    /// Waits until it stands before `place`, or has ended without coming there: then it is false.
    pub(crate) fn reaches_or_ends(&mut self, place: &str) -> bool {
        let (_, file) = self.holds.iter().find(|(held, _)| held == place).expect("a place that is held");
        let reached = PathBuf::from(format!("{}.reached", file.display()));
        let until = Instant::now() + RUN_WITHIN;
        while !reached.exists() {
            if self.child.try_wait().unwrap().is_some() {
                return reached.exists();
            }
            assert!(Instant::now() < until, "it does not come to {place}:\n{}", self.said());
            std::thread::sleep(Duration::from_millis(20));
        }
        true
    }

    /// Lets it go on from `place`.
    pub(crate) fn release(&self, place: &str) {
        let (_, file) = self.holds.iter().find(|(held, _)| held == place).expect("a place that is held");
        std::fs::remove_file(file).unwrap();
    }

    /// Sends it a signal: `KILL`, `INT`, `TERM`.
    pub(crate) fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", signal, &pid]).status().unwrap().success());
    }

    pub(crate) fn said(&self) -> String {
        let read = |path| std::fs::read_to_string(path).unwrap_or_default();
        format!("{}{}", read(&self.out), read(&self.err))
    }

    /// Waits until it ends. One that does not is killed, which fails the test.
    pub(crate) fn end(mut self) -> Ran {
        let until = Instant::now() + RUN_WITHIN;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < until, "it does not end:\n{}", self.said());
            std::thread::sleep(Duration::from_millis(20));
        };
        Ran {
            code: status.code(),
            said: self.said(),
            out: std::fs::read_to_string(&self.out).unwrap_or_default(),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Where a test fails in the middle, nothing of it stays at work.
        if matches!(self.child.try_wait(), Ok(None)) {
            drop(self.child.kill());
            drop(self.child.wait());
        }
    }
}
