//! Every built-in control on real hosts of both distributions: found as it is delivered, applied, found to hold, broken
//! by hand in each of its parts and found again, by name. The parts follow from the resources that the playbook resolves
//! to, by the data of each kind (`tests/cases/<kind>/breaks.yaml`), so that none is left out. The tail writes the table of `docs/controls.md`
//! (`PALISADE_BLESS=1`), and fails where what it saw is not what stands there; by default, with half of the hosts, what is
//! seen must stand there. At its end somebody whose address has
//! changed gets back in, as `docs/admin-addresses.md` says.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use palisade::desired::{self, Wanted};
use palisade::domain::Environment;
use palisade::inventory::{Fleet, Identities};
use palisade::known_hosts::KnownHosts;
use palisade::lab::{Spec, Suites};
use palisade::project::Project;
use palisade::scope::{EnvironmentIndex, Inputs};
use palisade::shell::{Arg, Script};
use palisade::source::Sources;
use palisade::template::Templates;
use palisade::waiver::Waivers;
use serde_json::Value;
use support::breaks::{self, Break, Circumstances, Part, ROUNDS, Treatment};
use support::cases;
use support::{Needs, PATIENCE, PATIENT, World, note, tail};

support::tests! {
    Needs::LAB => [
        every_control_is_found_applied_and_found_again_when_it_is_broken,
    ],
    Needs::NOTHING => [
        every_resource_of_every_control_has_parts_that_are_broken_or_says_why_not,
        the_page_names_every_control_on_both_distributions,
    ],
}

const PAGE: &str = "docs/controls.md";
const BEGIN: &str = "<!-- what tests/lab/controls.rs saw -->\n";
const END: &str = "<!-- end of what it saw -->\n";

const FLEET: &str = "\
company: Practice
people:
  alice: {name: Alice Martin, title: Practises, approver: true, access: [test, prod], keys: [\"ssh-ed25519 \
AAAAC3NzaC1lZDI1NTE5AAAAILwP1P1Hiw0ZUVcnjZT1H1dzmWOnYNk8w7HnOEPaqMrs alice\"]}
";
/// In the order of their names hosts run Debian 12 and 13 in turn. What a test of everything costs grows with its hosts: by
/// default one is open to the internet and one must never be; in the tail there is one of each on each distribution.
const FEW: &str = "  app-1: {addresses: {public: [192.0.2.4], private: [10.0.0.4]}, roles: [web], provider: lab, datacenter: here, country: FR}
  db-2: {addresses: {private: [10.0.0.5]}, jump: app-1, roles: [database], provider: lab, datacenter: here, country: FR}
";
const ALL: &str = "  app-1: {addresses: {public: [192.0.2.4], private: [10.0.0.4]}, roles: [web], provider: lab, datacenter: here, country: FR}
  app-2: {addresses: {public: [192.0.2.5], private: [10.0.0.5]}, roles: [web], provider: lab, datacenter: here, country: FR}
  db-1: {addresses: {private: [10.0.0.2]}, jump: app-1, roles: [database], provider: lab, datacenter: here, country: FR}
  db-2: {addresses: {private: [10.0.0.3]}, jump: app-2, roles: [database], provider: lab, datacenter: here, country: FR}
";
const TEST: &str = "\
environment: test
networks: {admin: [192.0.2.1], private: [10.0.0.0/24]}
automation:
  robot: {keys: [\"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICxPPtlZUK7hrLQCDwjEh+a6tkqmKrGZtGX/k2hQ4hHb robot\"], from: [192.0.2.61]}
accounts:
  batch: {purpose: Runs batches, sudo: [/usr/bin/true], \
keys: [\"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJkOC6gxuL4BWmxDUdr3EDXcPYmXJQGCSCX7/6eDxmBz batch\"]}
roles:
  web: {listeners: [{name: https, port: 443, from: internet}, {name: console, port: 8443, from: admin}]}
  database: {internet: never, listeners: [{name: postgres, port: 5432, from: role:web}]}
hosts:
";
const PROD: &str = "\
environment: prod
networks: {admin: [192.0.2.1], private: [10.0.1.0/24]}
automation:
  ci: {keys: [\"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIL9Np9m2e/kS6UGsJZJQMj/BssdcKUj0MLjJFrY//F+h ci\"], from: [192.0.2.60]}
roles:
  web: {listeners: []}
hosts:
  web-3: {addresses: {public: [192.0.2.6]}, roles: [web], provider: lab, datacenter: here, country: FR}
";

/// The hosts of each distribution.
fn distributions() -> [(&'static str, &'static [&'static str]); 2] {
    if tail() {
        [("Debian 12", &["app-1", "db-1"]), ("Debian 13", &["app-2", "db-2"])]
    } else {
        [("Debian 12", &["app-1"]), ("Debian 13", &["db-2"])]
    }
}

/// By host: the verdict of each control, and of each resource with all that was found of it.
#[derive(Default)]
struct Seen {
    controls: BTreeMap<(String, String), String>,
    resources: BTreeMap<(String, String), (String, String)>,
}

/// The hosts of test and prod, enrolled.
fn enrolled() -> World {
    let fleet = fleet();
    let spec = Spec::copy_of(&fleet, Suites::InTurn).expect("a lab").stocked();
    let world = World::of(&fleet, &spec, PATIENT);
    // What containers cannot keep is judged here as it is.
    std::fs::remove_file(world.project().join("inventories/waivers.yaml")).expect("the lab's waivers");
    for environment in ["test", "prod"] {
        world.enrol(environment);
    }
    world
}

fn audit(world: &World) -> Seen {
    let document = world.palisade(["audit", "test"]).run().json();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut seen = Seen::default();
    for host in document["hosts"].as_array().expect("hosts") {
        for control in host["controls"].as_array().expect("controls") {
            seen.controls.insert((text(&host["host"]), text(&control["id"])), text(&control["verdict"]));
            for judged in control["evidence"].as_array().expect("evidence") {
                let place = (text(&host["host"]), text(&judged["resource"]));
                // As it is written, without the quotation marks of JSON.
                let found = judged.to_string().replace("\\\"", "\"");
                seen.resources.insert(place, (text(&judged["verdict"]), found));
            }
        }
    }
    seen
}

fn apply(world: &World, what: &str) {
    let ran = world.typed(["apply", "test"]).run();
    assert!(matches!(ran.code, Some(0 | 3)), "{what}: {}", ran.said());
}

/// Runs static texts with their words on a host, all of them in one go.
fn run_all<'a>(
    world: &World,
    host: &str,
    texts: impl IntoIterator<Item = (&'static str, &'a [(&'static str, String)])>,
) {
    let mut script = Script::new().text("set -eu");
    for (text, words) in texts.into_iter().filter(|(text, _)| !text.is_empty()) {
        for (name, word) in words {
            script = script.set(name, Arg::lossy(word.clone()));
        }
        script = script.text(text);
    }
    let output = world.host(host).expect("a host").run_within(&script, PATIENCE).expect("an answer");
    assert!(
        output.exit.success(),
        "{host}: {:?}: {}{}\n{}",
        output.exit,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
        script.body()
    );
}

/// What shall be true of every host.
fn wanted_now(world: &World) -> Vec<(&'static str, Vec<Wanted>)> {
    let project = Project::read(&world.project()).expect("the lab's project");
    let pins = KnownHosts::parse(&project.known_hosts).expect("pinned keys");
    wanted(&project.fleet, &project.identities, &pins)
}

fn fleet() -> Fleet {
    support::fleet(&[
        ("inventories/fleet.yaml", FLEET),
        ("inventories/test.yaml", &format!("{TEST}{}", if tail() { ALL } else { FEW })),
        ("inventories/prod.yaml", PROD),
    ])
}

/// What the built-in controls want of the hosts of test.
fn wanted(fleet: &Fleet, identities: &Identities, pins: &KnownHosts) -> Vec<(&'static str, Vec<Wanted>)> {
    let playbook = palisade::playbook::parse(&Sources::new()).expect("the built-in controls");
    let templates = Templates::read(&Sources::new()).expect("the built-in templates");
    let inventory = &fleet.environments[&Environment::Test];
    let index = EnvironmentIndex::new(fleet, inventory, identities, pins);
    let one = |name: &'static str| {
        let inputs = Inputs {
            fleet,
            inventory,
            host: &inventory.hosts[&name.parse().expect("a name")],
            distribution: distribution(name),
            enrolled: None,
            turns: None,
            day: "2026-11-28".parse().expect("a day"),
            index: &index,
        };
        let desired = desired::resolve(&playbook.controls, inputs, &Waivers::default(), &templates)
            .expect("what is wanted");
        (name, desired.resources)
    };
    hosts().map(one).collect()
}

fn distribution(host: &str) -> &'static str {
    if host.ends_with('1') { "debian-12" } else { "debian-13" }
}

/// The parts of all that is wanted of a host, each with the controls that want it.
fn parts_of<'a>(host: &'a str, wanted: &'a [Wanted]) -> impl Iterator<Item = (&'a Wanted, Part)> {
    wanted.iter().flat_map(move |one| parts(host, one).into_iter().map(move |part| (one, part)))
}

fn parts(host: &str, one: &Wanted) -> Vec<Part> {
    let on = Circumstances { distribution: distribution(host), enforced: one.enforced };
    breaks::parts(&one.resource, on).unwrap_or_else(|why| panic!("{host}: {why}"))
}

fn hosts() -> impl Iterator<Item = &'static str> {
    distributions().into_iter().flat_map(|(_, hosts)| hosts.iter().copied())
}

/// The verdicts of a control on the hosts of a distribution, where it applies.
fn words(seen: &Seen, control: &str, hosts: &[&str]) -> String {
    let words: BTreeSet<&str> = hosts
        .iter()
        .filter_map(|host| seen.controls.get(&((*host).to_owned(), control.to_owned())))
        .map(String::as_str)
        .collect();
    let applicable: Vec<&str> = words.iter().copied().filter(|word| *word != "not-applicable").collect();
    if applicable.is_empty() { "not applicable".to_owned() } else { applicable.join(", ") }
}

fn controls() -> Vec<String> {
    let playbook = palisade::playbook::parse(&Sources::new()).expect("the built-in controls");
    playbook.controls.iter().map(|control| control.id.to_string()).collect()
}

/// The parts of each control on each distribution, by resource and name: whether each was found on all of its hosts.
type Found = BTreeMap<(String, &'static str), BTreeMap<(String, String), bool>>;

fn table(before: &Seen, after: &Seen, found: &Found) -> String {
    let mut text =
        "| control | on | as delivered | after apply | broken by hand, and found |\n|---|---|---|---|---|\n"
            .to_owned();
    for control in controls() {
        for (distribution, hosts) in distributions() {
            let parts = match found.get(&(control.clone(), distribution)) {
                Some(parts) => {
                    format!("{} of {} parts", parts.values().filter(|seen| **seen).count(), parts.len())
                }
                None => "–".to_owned(),
            };
            let (before, after) = (words(before, &control, hosts), words(after, &control, hosts));
            let _ = writeln!(text, "| `{control}` | {distribution} | {before} | {after} | {parts} |");
        }
    }
    text
}

/// What is not broken by hand, by control and reason.
fn spared(wanted: &[(&'static str, Vec<Wanted>)]) -> String {
    let mut all: BTreeMap<(String, String, String), BTreeSet<String>> = BTreeMap::new();
    for (host, wanted) in wanted {
        for (one, part) in parts_of(host, wanted) {
            let Treatment::Spared(why) = part.treatment else { continue };
            for control in &one.controls {
                let place = (control.to_string(), part.resource.clone(), why.clone());
                all.entry(place).or_default().insert(part.name.clone());
            }
        }
    }
    let mut text = "\nNot broken here:\n\n| control | of | what | why |\n|---|---|---|---|\n".to_owned();
    for ((control, resource, why), names) in all {
        let names: Vec<String> = names.into_iter().map(|name| name.replace('*', "\\*")).collect();
        let _ = writeln!(text, "| `{control}` | {resource} | {} | {why} |", names.join(", "));
    }
    text
}

fn every_control_is_found_applied_and_found_again_when_it_is_broken() {
    let world = enrolled();
    let before = audit(&world);
    apply(&world, "as delivered");
    let after = audit(&world);
    let wanted = wanted_now(&world);
    let mut found = Found::new();
    let mut wrong = String::new();
    for round in 0..ROUNDS {
        let started = std::time::Instant::now();
        let broken = |part: &Part| matches!(&part.treatment, Treatment::Broken(how) if how.round == round);
        let each = |text: fn(&Break) -> &'static str| {
            std::thread::scope(|scope| {
                for (host, wanted) in &wanted {
                    let world = &world;
                    scope.spawn(move || {
                        let parts: Vec<Part> =
                            parts_of(host, wanted).map(|(_, part)| part).filter(broken).collect();
                        let hows = parts.iter().filter_map(|part| match &part.treatment {
                            Treatment::Broken(how) => Some((text(how), how.words.as_slice())),
                            Treatment::Spared(_) => None,
                        });
                        run_all(world, host, hows);
                    });
                }
            });
        };
        each(|how| how.text);
        let seen = audit(&world);
        for (host, wanted) in &wanted {
            let (distribution, _) = distributions()
                .into_iter()
                .find(|(_, hosts)| hosts.contains(host))
                .expect("its distribution");
            for (one, part) in parts_of(host, wanted).filter(|(_, part)| broken(part)) {
                let Treatment::Broken(how) = &part.treatment else { continue };
                let told = seen.resources.get(&((*host).to_owned(), part.resource.clone()));
                let told = told.cloned().unwrap_or_default();
                let is_found = told.0 == how.verdict && told.1.contains(&how.named);
                if !is_found {
                    let _ = writeln!(
                        wrong,
                        "{host}: {}: {}: `{}` is not in {told:?}",
                        part.resource, part.name, how.named
                    );
                }
                for control in &one.controls {
                    let parts = found.entry((control.to_string(), distribution)).or_default();
                    let all = parts.entry((part.resource.clone(), part.name.clone())).or_insert(true);
                    *all &= is_found;
                }
            }
        }
        each(|how| how.mended);
        apply(&world, &format!("round {round}"));
        note(&format!("round {round}: {} s\n{wrong}", started.elapsed().as_secs()));
    }
    let mended = audit(&world);
    for (place, word) in &after.controls {
        if mended.controls[place] != *word {
            let _ = writeln!(wrong, "{place:?} was {word}, and is {:?} in the end", mended.controls[place]);
        }
    }
    assert!(wrong.is_empty(), "{wrong}");

    let table = table(&before, &after, &found);
    if tail() {
        support::section(PAGE, BEGIN, END, &format!("\n{table}{}\n", spared(&wanted)));
    } else {
        stands_there(&table);
    }
    for host in
        distributions().into_iter().flat_map(|(_, hosts)| hosts).filter(|host| host.starts_with("app-"))
    {
        get_back_in(&world, host);
    }
    world.down();
}

/// Without a lab: nothing that a control asks for is left without a part, no part is there twice, and nothing that is written
/// breaks nothing.
fn every_resource_of_every_control_has_parts_that_are_broken_or_says_why_not() {
    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIL9Np9m2e/kS6UGsJZJQMj/BssdcKUj0MLjJFrY//F+h";
    let pins = KnownHosts::parse(&format!("web-3 {key}\n")).expect("a pinned key");
    let wanted = wanted(&fleet(), &Identities::default(), &pins);
    let mut with_parts: BTreeSet<String> = BTreeSet::new();
    let mut used: BTreeSet<String> = BTreeSet::new();
    for (host, wanted) in &wanted {
        for one in wanted {
            let parts = parts(host, one);
            let mut names = BTreeSet::new();
            for part in &parts {
                assert!(names.insert(part.name.clone()), "{}: {} is there twice", part.place, part.name);
                used.insert(part.place.clone());
            }
            // Not every host has admin interfaces, or something that the internet must never reach.
            if !parts.is_empty() {
                with_parts.insert(one.resource.name());
            }
        }
    }
    for (host, wanted) in &wanted {
        for one in wanted {
            let (kind, name) = (one.resource.kind(), one.resource.name());
            assert!(
                with_parts.contains(&name),
                "{host}: nothing of {name} is broken: tests/cases/{kind}/breaks.yaml"
            );
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    for (path, case) in cases::found_in(&root) {
        let case = case.unwrap_or_else(|why| panic!("{}: {why}", path.display()));
        for (distribution, enforced) in [("debian-12", true), ("debian-13", false)] {
            let parts = breaks::parts(&case.spec, Circumstances { distribution, enforced });
            used.extend(parts.expect("parts").into_iter().map(|part| part.place));
        }
    }
    let all = breaks::found_in(&root);
    let places: BTreeSet<String> = all
        .iter()
        .flat_map(|(kind, breaks)| breaks.as_ref().unwrap_or_else(|why| panic!("{kind}: {why}")).places())
        .collect();
    let unused: Vec<&String> = places.difference(&used).collect();
    assert!(unused.is_empty(), "no resource of a control or case has these parts: {unused:#?}");
}

/// What half of the hosts show of each control is what the page says of it, or is among that.
fn stands_there(table: &str) {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE)).expect("the page");
    let cells = |line: &str| line.split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
    for row in table.lines().skip(2).map(cells) {
        let of_it = page.lines().map(cells).find(|other| other.get(1..3) == row.get(1..3));
        let of_it = of_it.unwrap_or_else(|| panic!("{PAGE} has no {:?}", row.get(1..3)));
        for (seen, told) in
            row.iter().zip(&of_it).skip(3).take(2).filter(|(seen, _)| *seen != "not applicable")
        {
            let words = |cell: &str| cell.split(", ").map(str::to_owned).collect::<BTreeSet<_>>();
            assert!(words(seen).is_subset(&words(told)), "{row:?}, and {PAGE} says {of_it:?}");
        }
    }
}

/// Our own address is no longer one of the admin addresses; at the console somebody lets us in, and the declared rules
/// take the place of all that.
fn get_back_in(world: &World, host: &str) {
    world.sh(host, "sed -i '/management\"$/s/ip6* saddr [^t]*tcp/ip saddr 203.0.113.7 tcp/' /etc/palisade/firewall.nft && nft -f /etc/palisade/firewall.nft");
    let _ = world.typed(["audit", "test", "--limit", host]).run().exits(4);
    world.sh(host, "nft insert rule inet palisade input tcp dport 22 ip saddr 10.0.0.0/8 accept && nft insert rule inet palisade input tcp dport 22 ip6 saddr fc00::/7 accept");
    apply(world, "from the new address");
    let seen = audit(world);
    for ((host, control), word) in &seen.controls {
        if control == "firewall" {
            assert_eq!(word, "compliant", "{host}: {:?}", seen.resources);
        }
    }
}

fn the_page_names_every_control_on_both_distributions() {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE)).expect("the page");
    for control in controls() {
        for (distribution, _) in distributions() {
            assert!(
                page.contains(&format!("| `{control}` | {distribution} |")),
                "{control} on {distribution}"
            );
        }
    }
}
