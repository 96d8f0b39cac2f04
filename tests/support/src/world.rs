//! Hosts of a lab, the project that the lab writes about them, and palisade run on it as alice would. Where a test that
//! holds a world fails, what its hosts wrote to their journals last is shown. It judges nothing but that hosts could be
//! brought up and enrolled.

use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use palisade::domain::Address;
use palisade::inventory::{self, Fleet};
use palisade::lab::{Form, HostSpec, Lab, LabEvent, LabFolder, Power, Spec, Suite};
use palisade::program::Program;
use palisade::shell::{Arg, Script};
use palisade::source::Sources;
use serde_json::Value;

use crate::call::{Call, palisade};
use crate::harness::note;
use crate::keys::make_key;
use crate::terminal::Typing;

/// What all environments of a fleet that has releases share.
pub const SHARED: &str = "\
company: Practice
people:
  alice:
    name: Alice Martin
    title: Practises
    keys: [\"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILwP1P1Hiw0ZUVcnjZT1H1dzmWOnYNk8w7HnOEPaqMrs alice\"]
    access: [dev, test, prod]
    approver: true
release:
  first: 2024-01-06
  timezone: Europe/Paris
  window: {start: \"Sat 22:00\", duration: 4h}
  notice: 48h
  order: [dev, test, prod]
";

/// How long hosts wait for confirmation where nothing is to go back by its timer, however slow the machine is.
pub const PATIENT: Duration = Duration::from_mins(3);

/// The fleet that inventory files describe, each by its path.
pub fn fleet(files: &[(&str, &str)]) -> Fleet {
    let sources = files.iter().fold(Sources::new(), |sources, (path, text)| sources.with(path, *text));
    inventory::parse(&sources).unwrap_or_else(|refusals| panic!("{}", refusals.annotated(false)))
}

/// One host of a lab to bring up.
pub fn host(name: &str, suite: Suite) -> HostSpec {
    HostSpec::new(name.parse().unwrap(), suite)
}

/// What a document says of one host.
pub fn of_host<'d>(document: &'d Value, name: &str) -> &'d Value {
    let hosts = document["hosts"].as_array().unwrap_or_else(|| panic!("no hosts in {document:#}"));
    hosts.iter().find(|host| host["host"] == name).unwrap_or_else(|| panic!("no {name} in {document:#}"))
}

/// Says what happens to a lab, but for details.
pub fn tell(event: &LabEvent) {
    if !matches!(event, LabEvent::Detail(_) | LabEvent::Starting(_) | LabEvent::Ready(..)) {
        note(&event.to_string());
    }
}

/// A lab, and a folder for what is a test's own.
#[derive(Debug)]
pub struct World {
    lab: Option<Lab>,
    folder: tempfile::TempDir,
}

impl Deref for World {
    type Target = Lab;

    fn deref(&self) -> &Lab {
        self.lab.as_ref().expect("it is up")
    }
}

impl World {
    /// Brings the hosts up; nothing is declared about them.
    pub fn up(spec: &Spec) -> Self {
        let lab = Lab::up(&LabFolder::default(), spec, &tell).unwrap_or_else(|error| panic!("{error}"));
        Self { lab: Some(lab), folder: tempfile::tempdir().unwrap() }
    }

    /// The same with these hosts.
    pub fn with(hosts: impl IntoIterator<Item = HostSpec>) -> Self {
        Self::up(&Spec::of(hosts))
    }

    /// The same, with the lab's project about the hosts of `fleet`.
    pub fn of(fleet: &Fleet, spec: &Spec, rollback_timeout: Duration) -> Self {
        let world = Self::up(spec);
        world.write_project(fleet, None, rollback_timeout).unwrap_or_else(|error| panic!("{error}"));
        world
    }

    /// The same, with the hosts of every environment enrolled, side by side.
    pub fn enrolled(fleet: &Fleet, spec: &Spec, rollback_timeout: Duration) -> Self {
        let world = Self::of(fleet, spec, rollback_timeout);
        std::thread::scope(|scope| {
            for environment in fleet.environments.keys() {
                let world = &world;
                scope.spawn(move || world.enrol(&environment.to_string()));
            }
        });
        world
    }

    /// Enrols the hosts of an environment, as on the first day.
    pub fn enrol(&self, environment: &str) {
        let _ = self
            .typed(["enrol", environment, "--bootstrap-user", "debian"])
            .arg("--bootstrap-identity")
            .arg(self.private_key("vendor"))
            .arg("--fingerprints")
            .arg(self.fingerprints())
            .run()
            .exits(0);
    }

    /// palisade as alice, on the lab's project, for a document on standard output.
    pub fn palisade<'a>(&self, words: impl IntoIterator<Item = &'a str>) -> Call {
        self.typed(words).json()
    }

    /// The same, for people.
    pub fn typed<'a>(&self, words: impl IntoIterator<Item = &'a str>) -> Call {
        palisade(words)
            .args(["--as", "alice", "--project"])
            .arg(self.project())
            .arg("--identity")
            .arg(self.private_key("person-alice"))
    }

    /// Exit status, the document on standard output, and what was said.
    pub fn run(&self, words: &[&str]) -> (i32, Value, String) {
        let ran = self.palisade(words.iter().copied()).run();
        (ran.code.unwrap_or_else(|| panic!("a signal ended it: {}", ran.said())), ran.json(), ran.err)
    }

    /// A place for a test's own files.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Shell text as root on a host, which must succeed.
    pub fn sh(&self, host: &str, script: &'static str) -> String {
        self.host(host).unwrap().sh(script).unwrap_or_else(|error| panic!("{host}: {error}"))
    }

    /// The same with words for its variables.
    pub fn sh_with(&self, host: &str, words: &[(&'static str, &str)], script: &'static str) -> String {
        let script = words
            .iter()
            .fold(Script::new(), |script, (name, word)| script.set(name, Arg::lossy((*word).to_owned())))
            .text(script);
        let output = self.host(host).unwrap().run(&script).unwrap_or_else(|error| panic!("{host}: {error}"));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.exit.success(), "{host}: {said}\n{}", script.body());
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// The same on several hosts, side by side.
    pub fn on(&self, hosts: &[&str], script: &'static str) {
        std::thread::scope(|scope| {
            for host in hosts {
                scope.spawn(move || self.sh(host, script));
            }
        });
    }

    /// Whether a file is on a host, seen from outside of it; nothing is while it cannot be seen.
    pub fn has(&self, name: &str, path: &str) -> bool {
        let host = self.host(name).unwrap();
        if matches!(host.record().spec.form, Form::Machine(_)) {
            // whoever waits for something asks again and again, and each question costs an emulated machine a moment
            std::thread::sleep(Duration::from_millis(300));
        }
        host.has(path)
    }

    /// Edits a file of the project, which must hold what is replaced.
    pub fn edit(&self, path: &str, from: &str, to: &str) {
        let file = self.project().join(path);
        let before = std::fs::read_to_string(&file).unwrap();
        assert!(before.contains(from), "{path} does not hold {from}:\n{before}");
        std::fs::write(&file, before.replacen(from, to, 1)).unwrap();
    }

    /// Lets the project say that its hosts were enrolled before any release of [`SHARED`].
    pub fn enrolled_long_ago(&self) {
        let file = self.project().join("inventories/identities.yaml");
        let before = std::fs::read_to_string(&file).unwrap();
        let lines = before.lines().map(|line| match line.split_once("enrolled: ") {
            Some((indent, _)) => format!("{indent}enrolled: \"2024-01-01T00:00:00Z\"\n"),
            None => format!("{line}\n"),
        });
        let after = lines.collect::<String>();
        assert_ne!(before, after);
        std::fs::write(&file, after).unwrap();
    }

    /// The private key of a person whom a test's own projects declare; it is made when it is first asked for.
    pub fn key(&self, person: &str) -> PathBuf {
        let path = self.path(person);
        if !path.exists() {
            make_key(self.folder.path(), person, "ed25519", "");
        }
        path
    }

    /// Its public half, as a line.
    pub fn public_key(&self, person: &str) -> String {
        std::fs::read_to_string(self.key(person).with_extension("pub")).unwrap().trim().to_owned()
    }

    /// Waits until Alice comes in by her key over a new connection and is root there.
    pub fn login(&self, name: &str, until: Instant) -> Result<(), String> {
        let address = self.host(name).unwrap().public_address().unwrap();
        loop {
            let answer = self.ssh(address, &self.key("alice"), "alice").arg("sudo -n true").output().unwrap();
            if answer.status.success() {
                return Ok(());
            }
            if Instant::now() > until {
                let said = String::from_utf8_lossy(&answer.stderr);
                return Err(format!("{name}: no fresh login: {}", said.trim()));
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Plain ssh to `address` as `user` with `key`, against the host keys that the lab wrote down.
    pub fn ssh(&self, address: Address, key: &Path, user: &str) -> Command {
        self.ssh_within(Duration::from_secs(2), address, key, user)
    }

    /// The same, which waits so long for a connection.
    pub fn ssh_within(&self, timeout: Duration, address: Address, key: &Path, user: &str) -> Command {
        let mut ssh = Program::Ssh.command();
        ssh.args(["-F", "/dev/null", "-o", "BatchMode=yes"])
            .args(["-o", &format!("ConnectTimeout={}", timeout.as_secs())])
            .args(["-o", "IdentityAgent=none", "-o", "IdentitiesOnly=yes", "-o", "ControlPath=none", "-i"])
            .arg(key)
            .arg("-o")
            .arg(format!("UserKnownHostsFile={}", self.folder().join("known_hosts").display()))
            .arg(format!("{user}@{address}"))
            .stdin(Stdio::null());
        ssh
    }

    /// A command line of palisade at a terminal of its own.
    pub fn at_terminal(&self, line: &str) -> Typing {
        Typing::start(Typing::command(line))
    }

    /// Takes it down; what is left of it fails the test, and so does a secret in anything that palisade wrote down.
    pub fn down(mut self) {
        for folder in [self.project(), self.folder.path().to_owned()] {
            let told = secrets_in(&folder);
            assert!(told.is_empty(), "secrets stand in what palisade wrote: {told:?}");
        }
        self.lab.take().expect("it is up").down(&tell).unwrap_or_else(|error| panic!("{error}"));
    }
}

/// What hosts hold and nobody may find in records, plans and journals: hashes of passwords, by the words that begin them
/// (crypt(5)), and private keys. Every host of the lab has both.
const SECRETS: [&str; 5] = ["$y$", "$6$", "PRIVATE KEY-----", "openssh-key-v1", PLANTED];

/// What begins each secret and each token that a test puts on a host.
pub const PLANTED: &str = "planted-5d1c0c2f9e7b4a86";

/// Whether something that was written holds a secret of a host, as it is or in base64.
pub fn holds_a_secret(text: &str) -> bool {
    let encoded = SECRETS.iter().filter(|secret| secret.len() > 12).flat_map(|secret| encoded(secret));
    SECRETS.iter().any(|secret| text.contains(secret)) || encoded.into_iter().any(|one| text.contains(&one))
}

/// What stands for `text` within the base64 of something that holds it, wherever it begins there.
pub fn encoded(text: &str) -> [String; 3] {
    [0, 1, 2].map(|before| {
        // what stands in front of it and behind it decides what its first and last digits are
        let whole = BASE64.encode(["x".repeat(before).as_str(), text].concat());
        let digits = whole.trim_end_matches('=');
        let first = (before * 8).div_ceil(6);
        let last = (before + text.len()) * 8 / 6;
        digits[first..last].to_owned()
    })
}

/// The files of runs, plans and releases below a folder that hold one.
pub fn secrets_in(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let is_written = || {
                let shown = path.to_string_lossy();
                ["/runs/", "/releases/", "/plans/"].iter().any(|part| shown.contains(part))
                    || path.extension().is_some_and(|end| end == "json" || end == "jsonl")
            };
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(path),
                Ok(kind) if kind.is_file() && is_written() => {
                    let bytes = std::fs::read(&path).unwrap_or_default();
                    let text = String::from_utf8_lossy(&bytes);
                    if holds_a_secret(&text) {
                        found.push(path);
                    }
                }
                _ => {}
            }
        }
    }
    found
}

/// What a host has to say when a test failed on it. Each question is bounded.
const LAST_WORDS: &str = "journalctl -q --no-pager -n 15 -o short-precise 2>&1 | cut -c 1-300
ls -l /var/lib/palisade 2>/dev/null | tail -n 12";

/// So many hosts are asked, and no longer than that: a test that failed should end.
const ASKED: usize = 4;

impl Drop for World {
    fn drop(&mut self) {
        let Some(lab) = self.lab.as_ref().filter(|_| std::thread::panicking()) else { return };
        let begun = Instant::now();
        for host in lab.hosts().filter(|host| host.power() == Power::On).take(ASKED) {
            if begun.elapsed() > Duration::from_mins(1) {
                return;
            }
            let said = match host.run_within(&Script::new().text(LAST_WORDS), Duration::from_secs(15)) {
                Ok(output) => String::from_utf8_lossy(&output.stdout).into_owned(),
                Err(error) => error.to_string(),
            };
            note(&format!("--- {} said last\n{}", host.name(), said.trim_end()));
        }
    }
}
