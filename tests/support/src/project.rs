//! Projects of a test's own about the hosts of a world: what they declare, palisade run on them as Alice, an apply that is
//! held in the middle. Several of them can be about the same hosts. It judges nothing but that hosts could be enrolled.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use palisade::domain::Address;

use crate::call::{Call, Ran, Running, palisade};
use crate::world::World;

/// What a project declares.
#[derive(Debug)]
pub struct Inventory {
    /// In seconds.
    pub rollback_timeout: u64,
    /// From where hosts are managed; none for this machine.
    pub admin: Option<&'static str>,
    /// Lines below `roles:`.
    pub roles: &'static str,
    /// Lines of prod.yaml at its top level.
    pub more: String,
    /// The roles of a host, by its name, and `jump: …, ` where it has one.
    pub of_host: fn(&str) -> (&'static str, &'static str),
    /// Hosts from which others are managed too, beside this machine.
    pub offices: &'static [&'static str],
    /// Hosts of the lab that the inventory does not name, the offices included.
    pub others: &'static [&'static str],
    /// What `apply` enforces and asks about on a host, by its name; everything where none is named.
    pub controls: fn(&str) -> &'static [&'static str],
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
            controls: |_| &[],
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
        let networks = &world.record().networks;
        let mut admin = self.admin.map_or_else(
            || format!("\"{}\", \"{}\"", networks.control.v4, networks.control.v6),
            |one| format!("\"{one}\""),
        );
        for office in self.offices {
            let _ = write!(admin, ", \"{}\"", world.host(office).unwrap().public_address().unwrap());
        }
        let mut text = format!(
            "environment: prod\nnetworks: {{admin: [{admin}], private: [\"{}\", \"{}\"]}}\n{}roles:\n{}hosts:\n",
            networks.private[0].v4, networks.private[0].v6, self.more, self.roles
        );
        for host in world.hosts().filter(|host| !self.others.contains(&host.name().as_str())) {
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
#[derive(Debug, Clone)]
pub struct Project<'w> {
    /// Its hosts.
    pub world: &'w World,
    /// Where it is.
    pub root: PathBuf,
    /// How long its hosts wait for confirmation.
    pub timeout: Duration,
    controls: fn(&str) -> &'static [&'static str],
}

impl<'w> Project<'w> {
    /// Writes a project called `name`.
    pub fn write(world: &'w World, name: &str, inventory: &Inventory) -> Self {
        let root = world.path(name);
        let inventories = root.join("inventories");
        std::fs::create_dir_all(&inventories).unwrap();
        let write = |file: &str, text: String| std::fs::write(inventories.join(file), text).unwrap();
        write("fleet.yaml", inventory.fleet(world));
        write("prod.yaml", inventory.prod(world));
        let networks = &world.record().networks;
        write("lab.yaml", format!("subnets: [\"{}\", \"{}\"]\n", networks.all_v4, networks.all_v6));
        let waiver = "control: hosting, hosts: all, owner: the lab, reason: containers on one machine";
        write("waivers.yaml", format!("- {{{waiver}, expires: {}}}\n", in_a_month()));
        let timeout = Duration::from_secs(inventory.rollback_timeout);
        Self { world, root, timeout, controls: inventory.controls }
    }

    /// Makes Alice known on all hosts, as on the first day.
    pub fn enrol(&self) {
        let _ = self
            .palisade(&["enrol", "prod", "--bootstrap-user", "debian"])
            .arg("--bootstrap-identity")
            .arg(self.world.private_key("vendor"))
            .arg("--fingerprints")
            .arg(self.world.fingerprints())
            .run()
            .exits(0);
    }

    /// Lets `hosts` be changed without a control.
    pub fn waive<'h>(&self, control: &str, hosts: impl Iterator<Item = &'h str>) {
        let file = self.root.join("inventories/waivers.yaml");
        let hosts: Vec<&str> = hosts.collect();
        let line = format!(
            "- {{control: {control}, hosts: [{}], owner: the lab, reason: not what is looked at there, expires: {}}}\n",
            hosts.join(", "),
            in_a_month()
        );
        let text = std::fs::read_to_string(&file).unwrap();
        std::fs::write(file, text + &line).unwrap();
    }

    /// Another project with the same hosts, all of them enrolled.
    #[must_use]
    pub fn variant(&self, name: &str, inventory: &Inventory) -> Self {
        let other = Self::write(self.world, name, inventory);
        for file in ["known_hosts", "identities.yaml", "waivers.yaml"] {
            let from = self.root.join("inventories").join(file);
            std::fs::copy(from, other.root.join("inventories").join(file)).unwrap();
        }
        other
    }

    /// palisade with these words, as Alice, who confirms everything.
    pub fn palisade(&self, words: &[&str]) -> Call {
        palisade(words)
            .args(["--as", "alice", "--yes", "--project"])
            .arg(&self.root)
            .arg("--identity")
            .arg(self.world.key("alice"))
    }

    /// `apply prod` on one host, to its end.
    pub fn apply(&self, host: &str) -> Ran {
        self.applying(host).run()
    }

    /// `apply prod` on one host, held before each of `places` (`widen.arming` …) in turn.
    pub fn apply_held(&self, host: &str, places: &[&str]) -> Running {
        self.applying(host).held(places)
    }

    /// `apply prod` on one host, about to be called.
    pub fn applying(&self, host: &str) -> Call {
        let controls = (self.controls)(host).iter().flat_map(|control| ["--control", *control]);
        self.palisade(&["apply", "prod", "--limit", host, "--format", "json"]).args(controls)
    }
}

fn in_a_month() -> jiff::civil::Date {
    jiff::Zoned::now().date().saturating_add(jiff::Span::new().days(30))
}
