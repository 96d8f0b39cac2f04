//! The demo's story: four throwaway hosts are enrolled, audited, changed and audited again; one of them loses its
//! network in the middle of a change, and goes back by itself. The verbs are run as a person would run them, by the
//! same program, and every step is held against what they recorded: the demo says what was seen, and fails where
//! something was not. It judges no host and shows nothing: what there is to tell are [`Moment`]s.
#![expect(
    clippy::disallowed_methods,
    reason = "the demo keeps the time, and copies the evidence out of the lab"
)]

mod moment;
mod outage;
mod stranger;
mod teller;
mod verb;

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::domain::HostName;
use crate::inventory::{self, Fleet};
use crate::lab::{KeyOwner, Lab, LabFolder, Spec};
use crate::source::Sources;

pub use moment::{DemoError, Moment, Options, Shown, Tell};
use teller::{Teller, reachable};
use verb::{Ran, Verbs, WHO, number, text};

/// How many chapters there are.
pub const CHAPTERS: usize = 9;

/// What is left when everything was seen.
#[derive(Debug)]
pub struct Told {
    /// What was seen, in order.
    pub seen: Vec<String>,
    /// How long it took, from the start to the last thing seen.
    pub took: Duration,
    /// The project with its runs, which stays when the lab goes.
    pub evidence: PathBuf,
    /// How many runs it holds.
    pub runs: usize,
    /// The variables with which the verbs work on the lab, where it stays.
    pub kept: Option<Vec<(String, String)>>,
}

/// How long a host of the demo waits for confirmation: the least that a real fleet may have.
const ROLLBACK_TIMEOUT: Duration = Duration::from_mins(1);

/// What the lab is called where it stays.
pub const NAME: &str = "demo";

/// Tells the story to its end, and takes the lab down whatever the end is, but where it is to stay.
pub fn run(options: &Options, tell: Tell, interrupted: &AtomicBool) -> Result<Told, DemoError> {
    let begun = Instant::now();
    let fleet = fleet()?;
    let stopped = |error| if interrupted.load(Ordering::SeqCst) { DemoError::Interrupted } else { error };
    let mut seen = Vec::new();
    tell(Moment::Chapter {
        number: 1,
        title: "Four servers, as a provider delivers them",
        says: "Passwords are accepted, there is no firewall, the vendor's account has sudo, somebody who left still \
               has a key in root's authorized_keys, and a forgotten program listens on port 8000.",
    });
    let lab = bring_up(options, &fleet, tell).map_err(stopped)?;
    let told = story(options, &lab, &fleet, tell, interrupted, &mut seen).map_err(stopped);
    let took = begun.elapsed();
    let end = told.and_then(|(variables, runs)| {
        let evidence = keep_evidence(options, &lab)?;
        let kept = options.keep.then_some(variables);
        Ok(Told { seen, took, evidence, runs, kept })
    });
    let left = if options.keep && !matches!(end, Err(DemoError::Interrupted)) {
        let mut lab = lab;
        lab.keep()
    } else {
        lab.down(&|event| tell(Moment::Lab(event)))
    };
    let end = end?;
    left?;
    Ok(end)
}

fn bring_up(options: &Options, fleet: &Fleet, tell: Tell) -> Result<Lab, DemoError> {
    let mut spec = Spec::copy_of(fleet, options.suites)?;
    if let (true, Ok(name)) = (options.keep, NAME.parse::<HostName>()) {
        spec = spec.named(name);
    }
    let lab = Lab::up(&LabFolder::new(&options.place), &spec, &|event| tell(Moment::Lab(event)))?;
    lab.write_project(fleet, None, ROLLBACK_TIMEOUT)?;
    Ok(lab)
}

/// The fleet that the demo is about. Addresses and keys are nobody's: the lab replaces them.
fn fleet() -> Result<Fleet, DemoError> {
    let sources = Sources::new()
        .with("inventories/fleet.yaml", include_str!("fleet.yaml"))
        .with("inventories/dev.yaml", include_str!("dev.yaml"))
        .with("inventories/test.yaml", include_str!("test.yaml"))
        .with("inventories/prod.yaml", include_str!("prod.yaml"));
    inventory::parse(&sources).map_err(|refusals| DemoError::Failed {
        doing: "read the demo's own inventory".to_owned(),
        why: refusals.annotated(false),
    })
}

fn story(
    options: &Options,
    lab: &Lab,
    fleet: &Fleet,
    tell: Tell,
    interrupted: &AtomicBool,
    seen: &mut Vec<String>,
) -> Result<(Vec<(String, String)>, usize), DemoError> {
    let mut verbs = Verbs::new(options, lab, &identity(lab, fleet), tell, interrupted);
    let mut teller = Teller { lab, tell, seen };
    hosts(&mut teller, fleet)?;
    enrol(&mut teller, &mut verbs)?;
    audit_before(&mut teller, &mut verbs)?;
    plan(&mut teller, &mut verbs)?;
    apply(&mut teller, &mut verbs)?;
    audit_after(&mut teller, &mut verbs)?;
    stranger::tell(&mut teller)?;
    outage::tell(&mut teller, &mut verbs)?;
    again(&mut teller, &mut verbs)?;
    let runs = evidence(&mut teller, &mut verbs)?;
    Ok((verbs.variables().to_vec(), runs))
}

/// The key of the person whom the demo acts as.
fn identity(lab: &Lab, fleet: &Fleet) -> PathBuf {
    let alice = fleet.people.values().find(|person| person.user.as_str() == WHO);
    alice.map_or_else(PathBuf::new, |person| {
        lab.identity(&KeyOwner { user: person.user.clone(), environment: None })
    })
}

/// What nobody declared, and everybody can reach, until there is a firewall.
const STRAY_PORT: u16 = 8000;

fn hosts(teller: &mut Teller, fleet: &Fleet) -> Result<(), DemoError> {
    let mut table = String::new();
    for (environment, inventory) in &fleet.environments {
        for declared in inventory.hosts.values() {
            let host = teller.lab.host(declared.name.as_str())?;
            let behind =
                declared.jump.as_ref().map_or_else(String::new, |jump| format!("   reached through {jump}"));
            let _ = writeln!(
                table,
                "  {:<8}{:<8}{:<11}{}{behind}",
                environment.as_str(),
                declared.name,
                host.record().spec.suite,
                host.addresses()
                    .find(|address| address.ip().is_ipv4())
                    .map_or_else(String::new, |a| a.to_string()),
            );
        }
    }
    (teller.tell)(Moment::Text(table.trim_end()));
    let open = reachable(teller.lab, "web-1", STRAY_PORT)?;
    teller.see(open, "port 8000 of web-1, which nobody declared, answers strangers", || {
        "it does not answer".to_owned()
    })
}

fn enrol(teller: &mut Teller, verbs: &mut Verbs) -> Result<(), DemoError> {
    teller.chapter(
        2,
        "First contact",
        "Each host's key is pinned only because its fingerprint was given. On each host one harmless change is left \
         unconfirmed on purpose, so that it is known beforehand that the host can go back by itself.",
    );
    verbs.say_variables();
    let vendor = teller.lab.private_key("vendor").display().to_string();
    let fingerprints = teller.lab.fingerprints().display().to_string();
    let environments = ["dev", "test", "prod"];
    let all = environments.map(|environment| {
        let given =
            ["--bootstrap-user", "debian", "--bootstrap-identity", &vendor, "--fingerprints", &fingerprints];
        [&["enrol", environment], given.as_slice()].concat()
    });
    for (environment, ran) in environments.iter().zip(verbs.run_together(&all)?) {
        let rehearsed = !ran.results().is_empty()
            && ran.results().iter().all(|result| {
                text(result, "state") == Some("enrolled")
                    && number(result, "/rollback_milliseconds").is_some()
            });
        teller.see(
            ran.exit == Some(0) && rehearsed,
            &format!("{environment} is enrolled, and took a rehearsed change back by itself"),
            || ran.summary(),
        )?;
    }
    Ok(())
}

fn audit_before(teller: &mut Teller, verbs: &mut Verbs) -> Result<(), DemoError> {
    teller.chapter(
        3,
        "What is wrong with them",
        "An audit is one connection and one command per host, and changes nothing.",
    );
    for environment in ["dev", "test", "prod"] {
        let ran = verbs.run(&["audit", environment])?;
        teller.see(
            ran.exit == Some(3) && ran.count("drift") > 0 && ran.count("unknown") == 0,
            &format!("{environment} is not as declared, and everything could be read (exit 3)"),
            || ran.summary(),
        )?;
    }
    Ok(())
}

fn plan(teller: &mut Teller, verbs: &mut Verbs) -> Result<(), DemoError> {
    teller.chapter(
        4,
        "What would change",
        "First what is new is let in (widen), and only when that is seen to work is everything else shut out (narrow).",
    );
    let ran = verbs.run(&["plan", "prod", "--short"])?;
    let cuts = |result: &serde_json::Value| {
        result
            .pointer("/plan/cuts")
            .and_then(serde_json::Value::as_array)
            .is_some_and(|cuts| !cuts.is_empty())
    };
    teller.see(
        ran.exit == Some(3) && ran.results().into_iter().all(cuts),
        "the plan names what it cuts off on each host (exit 3)",
        || ran.summary(),
    )
}

fn apply(teller: &mut Teller, verbs: &mut Verbs) -> Result<(), DemoError> {
    teller.chapter(
        5,
        "Making it so: dev and test, then prod",
        "Before anything changes, each host is armed to take it all back. A change is confirmed over a new connection, \
         or not at all.",
    );
    let mut changed = |ran: &Ran| {
        teller.see(
            matches!(ran.exit, Some(0 | 3)) && ran.all_states("changed"),
            &format!("{} changed, seen to work, confirmed", ran.hosts()),
            || ran.summary(),
        )
    };
    // Where nothing is lost when it goes wrong, two at a time.
    for ran in verbs.run_together(&[vec!["apply", "dev"], vec!["apply", "test"]])? {
        changed(&ran)?;
    }
    changed(&verbs.run(&["apply", "prod", "--yes"])?)?;
    Ok(())
}

fn audit_after(teller: &mut Teller, verbs: &mut Verbs) -> Result<(), DemoError> {
    teller.chapter(6, "What holds now", "The same audit as before.");
    for environment in ["dev", "test", "prod"] {
        let ran = verbs.run(&["audit", environment])?;
        let (enforced, holding) = ran.enforced();
        let rest =
            if ran.exit == Some(0) { "nothing is left" } else { "what it does not enforce is still named" };
        teller.see(
            matches!(ran.exit, Some(0 | 3))
                && ran.count("unknown") == 0
                && enforced > 0
                && holding == enforced,
            &format!("{environment}: all {enforced} things that palisade enforces hold; {rest}"),
            || ran.summary(),
        )?;
    }
    let open = reachable(teller.lab, "web-1", STRAY_PORT)?;
    teller.see(!open, "port 8000 of web-1 still listens, and answers strangers no more", || {
        "it answers".to_owned()
    })
}

fn again(teller: &mut Teller, verbs: &mut Verbs) -> Result<(), DemoError> {
    teller.chapter(8, "The network is back", "The same change once more, and then once more again.");
    let ran = verbs.run(&["apply", "prod", "--yes"])?;
    teller.see(
        matches!(ran.exit, Some(0 | 3)) && ran.state("web-1") == Some("changed"),
        "the same change now works on web-1",
        || ran.summary(),
    )?;
    let ran = verbs.run(&["apply", "prod", "--yes"])?;
    let one = |result: &serde_json::Value| {
        number(result, "/cost/connections") == Some(1) && number(result, "/cost/execs") == Some(1)
    };
    teller.see(
        matches!(ran.exit, Some(0 | 3)) && ran.all_states("answered") && ran.results().into_iter().all(one),
        "once more changes nothing: one connection and one command per host",
        || ran.summary(),
    )
}

fn evidence(teller: &mut Teller, verbs: &mut Verbs) -> Result<usize, DemoError> {
    teller.chapter(
        9,
        "The evidence",
        "Every run left a record: what was asked, answered, judged and changed, by whom.",
    );
    let ran = verbs.run(&["runs"])?;
    let (runs, whole) = verbs.records()?;
    teller.see(
        ran.exit == Some(0) && runs == verbs.recorded() && whole == runs,
        &format!("{runs} runs on record, each whole, with digests that match"),
        || format!("{whole} of {runs} records are whole, {} verbs ran", verbs.recorded()),
    )?;
    Ok(runs)
}

/// Copies the project, without its keys, to where it stays when the lab goes; the one of the demo before goes.
fn keep_evidence(options: &Options, lab: &Lab) -> Result<PathBuf, DemoError> {
    let project = lab.project();
    if options.keep {
        return Ok(project);
    }
    let target = options.place.join("last-demo");
    let failed = || DemoError::failed(format!("keep the evidence in {}", target.display()));
    match fs::remove_dir_all(&target) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed()(error)),
        _ => {}
    }
    for folder in ["inventories", "runs"] {
        copy_folder(&project.join(folder), &target.join(folder)).map_err(failed())?;
    }
    Ok(target)
}

fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_demos_fleet_is_one() {
        let fleet = fleet().expect("a fleet");
        let names: Vec<&str> = fleet
            .environments
            .values()
            .flat_map(|inventory| inventory.hosts.keys())
            .map(HostName::as_str)
            .collect();
        assert_eq!(names, ["dev-1", "test-1", "db-1", "web-1"]);
        assert!(fleet.people.keys().any(|user| user.as_str() == WHO));
    }
}
