//! Enrolled hosts of a lab, and palisade run on them as alice would: what tests of fleets and of releases share. It judges
//! nothing but that hosts could be enrolled.

use std::ops::Deref;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use palisade::inventory::{self, Fleet};
use palisade::lab::{Lab, Place, Spec};
use palisade::source::Sources;
use serde_json::Value;

use crate::{tell, text};

/// What all environments of a fleet that has releases share.
pub(crate) const SHARED: &str = "\
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

/// The fleet that inventory files describe, each by its path.
pub(crate) fn fleet(files: &[(&str, &str)]) -> Fleet {
    let sources = files.iter().fold(Sources::new(), |sources, (path, text)| sources.with(path, *text));
    inventory::parse(&sources).unwrap_or_else(|refusals| panic!("{}", refusals.annotated(false)))
}

/// A lab whose hosts are enrolled.
pub(crate) struct Enrolled {
    lab: Lab,
}

/// The lab itself.
impl Deref for Enrolled {
    type Target = Lab;

    fn deref(&self) -> &Lab {
        &self.lab
    }
}

impl Enrolled {
    /// Brings the hosts of `spec` up and enrols those of every environment of `fleet`, side by side.
    pub(crate) fn up(fleet: &Fleet, spec: &Spec, rollback_timeout: Duration) -> Self {
        let lab = Lab::up(&Place::default(), spec, &tell).unwrap();
        lab.write_project(fleet, None, rollback_timeout).unwrap();
        let all = Self { lab };
        std::thread::scope(|scope| {
            for environment in fleet.environments.keys() {
                let all = &all;
                scope.spawn(move || {
                    let enrolled = all
                        .palisade(&["enrol", &environment.to_string(), "--bootstrap-user", "debian"])
                        .arg("--bootstrap-identity")
                        .arg(all.private_key("vendor"))
                        .arg("--fingerprints")
                        .arg(all.fingerprints())
                        .output()
                        .unwrap();
                    assert!(enrolled.status.success(), "{}", text(&enrolled.stderr));
                });
            }
        });
        all
    }

    /// palisade with `args`, as alice, for a document on standard output.
    pub(crate) fn palisade(&self, args: &[&str]) -> Command {
        let mut command = self.typed(args);
        command.args(["--format", "json"]);
        command
    }

    /// The same, for people.
    pub(crate) fn typed(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_palisade"));
        command
            .args(args)
            .args(["--as", "alice", "--project"])
            .arg(self.project())
            .arg("--identity")
            .arg(self.private_key("person-alice"))
            .stdin(Stdio::null());
        command
    }

    /// Exit status, the document on standard output, and what was said.
    pub(crate) fn run(&self, args: &[&str]) -> (i32, Value, String) {
        read(&self.palisade(args).output().unwrap())
    }

    /// Shell text as root on a host, which must succeed.
    pub(crate) fn sh(&self, host: &str, script: &'static str) -> String {
        self.host(host).unwrap().sh(script).unwrap_or_else(|error| panic!("{host}: {error}"))
    }

    /// The same on several, side by side.
    pub(crate) fn on(&self, hosts: &[&str], script: &'static str) {
        std::thread::scope(|scope| {
            for host in hosts {
                scope.spawn(move || self.sh(host, script));
            }
        });
    }

    /// Edits a file of the project, which must hold what is replaced.
    pub(crate) fn edit(&self, path: &str, from: &str, to: &str) {
        let file = self.project().join(path);
        let before = std::fs::read_to_string(&file).unwrap();
        assert!(before.contains(from), "{path} does not hold {from}:\n{before}");
        std::fs::write(&file, before.replacen(from, to, 1)).unwrap();
    }

    /// Lets the project say that its hosts were enrolled before any release of [`SHARED`].
    pub(crate) fn enrolled_long_ago(&self) {
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

    pub(crate) fn down(self) {
        self.lab.down(&tell).unwrap();
    }
}

/// What a run that ended said: exit status, the document on standard output, standard error.
pub(crate) fn read(output: &Output) -> (i32, Value, String) {
    let said = text(&output.stderr);
    let document = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {said}"));
    (output.status.code().unwrap(), document, said)
}

/// The document of one host.
pub(crate) fn host<'d>(document: &'d Value, name: &str) -> &'d Value {
    let hosts = document["hosts"].as_array().unwrap_or_else(|| panic!("no hosts in {document:#}"));
    hosts.iter().find(|host| host["host"] == name).unwrap_or_else(|| panic!("no {name} in {document:#}"))
}
