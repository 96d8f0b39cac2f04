//! What hits a change in the middle, on hosts of both distributions. After each fault the host is exactly as it was
//! before the phase that was hit, or as that phase makes it, never a mixture; palisade's word for it is the truth; and
//! a fresh login works in time.
//!
//! Hosts of one distribution differ in which faults they see (`fault.rs`). On each, every fault strikes in widen, then
//! every fault in narrow; each run finds what the one before left, and an apply that nothing keeps from it ends it.

use std::sync::{Condvar, Mutex};
use std::time::{Duration, Instant};

use palisade::lab::{Form, Suite, differences};
use serde_json::Value;

use crate::fault::{
    BEHIND_COMMIT, Blow, Fault, HOLDS_THE_LOCK, HOST_GROUPS, HostGroup, KILLS_DPKG, LET_GO, Step, TURN,
    strikes,
};
use crate::state::{Known, comparable, snapshot};
use crate::strike::{Breakpoint, Held, gone_back, grace, held, holds, stands_still, struck};
use crate::table::Table;
use support::{Inventory, Needs, Project, Ran, Running, World, host, note, tail};

support::tests! {
    Needs::LAB => [
        a_change_that_is_hit_is_taken_back_whole,
    ],
}

pub(crate) const SUITES: [(&str, Suite); 2] = [("12", Suite::Bookworm), ("13", Suite::Trixie)];

/// Hosts that are struck at the same time. More of them would be slower than their rollback timeouts on two cores.
const AT_ONCE: usize = 8;

/// What is enforced where faults strike: every kind of step that one can interrupt. The questions of all other controls
/// would be asked several times in each apply, look at the whole disk and ask apt: of the 1.4 s of processor time that a
/// look at everything costs a host, these are 0.4 s (`cpu.stat` of its control group, over `palisade audit`). That all
/// of them are enforced together is shown by `whole.rs`.
const STRUCK: [&str; 4] = ["firewall", "key-only", "server-access", "kernel"];

/// The same where bans are in the way.
const STRUCK_AND_BANNED: [&str; 5] = ["firewall", "key-only", "server-access", "kernel", "lockout"];

pub(crate) fn controls(name: &str) -> &'static [&'static str] {
    if lane_of(name) == "bans" { &STRUCK_AND_BANNED } else { &STRUCK }
}

/// A lane that is no list of faults.
type Special = fn(&Projects<'_>, &str) -> Known;

const SPECIAL: [(&str, Special); 4] =
    [("gate", gates), ("deaf", answers_lost), ("race", both_at_once), ("pkg", packages)];

/// The distributions on which a lane that is no list of faults is struck: in turn by default, both in the tail.
pub(crate) fn suites_of(group: &str) -> impl Iterator<Item = (&'static str, Suite)> {
    let place = SPECIAL.iter().position(|(name, _)| *name == group);
    let there = move |at: usize| tail() || place.is_none_or(|place| (*TURN + place) % SUITES.len() == at);
    SUITES.into_iter().enumerate().filter(move |(at, _)| there(*at)).map(|(_, suite)| suite)
}

fn a_change_that_is_hit_is_taken_back_whole() {
    let begun = Instant::now();
    // A developer may look at some lanes alone; the table is then not held against anything.
    let only = std::env::var("PALISADE_LAB_GROUPS").ok();
    let wanted = |group: &str| only.as_ref().is_none_or(|only| only.split(',').any(|one| one == group));
    let groups: Vec<&HostGroup> = HOST_GROUPS.iter().filter(|group| wanted(group.name)).collect();
    let special: Vec<(&str, Special)> = SPECIAL.into_iter().filter(|(group, _)| wanted(group)).collect();
    let names = groups.iter().map(|group| group.name).chain(special.iter().map(|(group, _)| *group));
    let world = World::with(names.flat_map(|name| {
        suites_of(name).map(move |(suffix, suite)| {
            let host = host(&format!("{name}-{suffix}"), suite);
            // what else is installed is small
            if name == "bans" { host.stocked() } else { host }
        })
    }));
    let projects = &ready(&world);
    note(&format!("PALISADE_LAB_TURN={} strikes the same again", *TURN));
    note(&format!("ready after {:.0} s", begun.elapsed().as_secs_f32()));
    let table = &Table::default();
    let turns = &Turns::new(AT_ONCE);
    let ends: Vec<(String, Known)> = std::thread::scope(|scope| {
        let mut running = Vec::new();
        for group in &groups {
            for (suffix, _) in SUITES {
                running.push(scope.spawn(move || {
                    let name = format!("{}-{suffix}", group.name);
                    let known = turns.take(|| strike_all(projects, table, &name, group));
                    (name, known)
                }));
            }
        }
        for (group, work) in &special {
            for (suffix, _) in suites_of(group) {
                running.push(scope.spawn(move || {
                    let name = format!("{group}-{suffix}");
                    let known = turns.take(|| work(projects, &name));
                    table.special(group, &name);
                    (name, known)
                }));
            }
        }
        running.into_iter().map(|group| group.join().unwrap()).collect()
    });
    // Whatever a host went through, at each step it is as one that nothing befell.
    for (suffix, _) in SUITES {
        for word in ["old", "widened", "new"] {
            let mut those = ends.iter().filter(|(name, known)| {
                // Other packages, and what apt made of one is not what it makes of it undisturbed.
                let other = lane_of(name) == "bans" || (word == "old" && lane_of(name) == "pkg");
                name.ends_with(suffix) && known.has(word) && !other
            });
            let Some((calm, reference)) = those.next_back() else { continue };
            let mut known = Known::default();
            known.learn(word, comparable(reference.get(word)));
            for (name, end) in those {
                let same = known.expect(word, &comparable(end.get(word)));
                same.unwrap_or_else(|why| panic!("{name} is not {word} as {calm} is: {why}"));
            }
        }
    }
    let took = begun.elapsed().as_secs_f32();
    note(&format!("{} strikes in {took:.0} s", table.strikes()));
    table.write("faults.md", took);
    if only.is_none() && all_are_wanted() {
        table.must_be_whole();
    }
}

/// Lets so many work at a time, in no order.
struct Turns {
    free: Mutex<usize>,
    given: Condvar,
}

impl Turns {
    fn new(free: usize) -> Self {
        Self { free: Mutex::new(free), given: Condvar::new() }
    }

    fn take<T>(&self, work: impl FnOnce() -> T) -> T {
        /// Given back also where the work fails, so that the others go on.
        struct Turn<'t>(&'t Turns);
        impl Drop for Turn<'_> {
            fn drop(&mut self) {
                *self.0.free.lock().unwrap() += 1;
                self.0.given.notify_one();
            }
        }
        let mut free = self.given.wait_while(self.free.lock().unwrap(), |free| *free == 0).unwrap();
        *free -= 1;
        drop(free);
        let _turn = Turn(self);
        work()
    }
}

/// Projects about the same hosts.
pub(crate) struct Projects<'w> {
    /// Where a host goes back by its timer.
    pub(crate) quick: Project<'w>,
    /// Where somebody waits on purpose, or what is switched takes longer.
    slow: Project<'w>,
    /// Where the machine was too busy for the one before.
    slower: Project<'w>,
    /// Where the host is a virtual machine, and this machine was too busy for that too.
    slowest: Project<'w>,
    /// Where nothing is to go back by its timer, however slow the machine is.
    pub(crate) patient: Project<'w>,
}

impl<'w> Projects<'w> {
    /// Whose timeout fits `fault`, the shortest first.
    fn of(&self, name: &str, fault: &Fault) -> Vec<&Project<'w>> {
        match fault.blow {
            // an emulated machine is slow
            _ if machines(self.quick.world) && fault.back_by.contains(&"timer") => {
                vec![&self.slower, &self.slowest, &self.patient]
            }
            _ if machines(self.quick.world) => vec![&self.patient],
            Blow::Late | Blow::LeaveAlone => vec![&self.slow, &self.slower, &self.patient],
            _ if name.starts_with("bans") => vec![&self.slow, &self.slower, &self.patient],
            Blow::Rescue => vec![&self.quick, &self.slower, &self.patient],
            _ if fault.back_by.contains(&"timer") => vec![&self.quick, &self.slower, &self.patient],
            _ => vec![&self.patient],
        }
    }
}

/// All hosts of `world` enrolled; what apply would install is there, so that the rest is all that it changes.
pub(crate) fn ready(world: &World) -> Projects<'_> {
    std::thread::scope(|scope| {
        for host in world.hosts() {
            let install = match lane_of(host.name().as_str()) {
                "pkg" => continue,
                "bans" => {
                    "apt-get -q update && apt-get -q -y --no-install-recommends install nftables fail2ban python3-systemd && \
                     { systemctl stop fail2ban; systemctl reset-failed; }"
                }
                // dpkg alone: apt would read its lists and weigh everything on every host
                _ => {
                    "cd /srv/packages && dpkg --force-unsafe-io -i libjansson4_* libnftnl11_* libnftables1_* nftables_* >/dev/null"
                }
            };
            scope.spawn(move || host.sh(install).unwrap());
        }
    });
    let mut inventory = Inventory { controls, ..Inventory::default() };
    if machines(world) {
        // within it, one that is emulated boots, and is looked at again
        inventory.rollback_timeout = 900;
    }
    let patient = Project::write(world, "patient", &inventory);
    let all: Vec<&str> = world.hosts().map(|host| host.name().as_str()).collect();
    // What a mirror offers today is no part of what is looked at here.
    patient.waive("patching", all.iter().copied());
    patient.waive("lockout", all.into_iter().filter(|name| lane_of(name) != "bans"));
    patient.enrol();
    // What a machine's disks hold is not what is looked at here; nor is its clock, which nobody sets in a lab.
    for control in ["encryption", "time"] {
        patient.waive(control, world.hosts().map(|host| host.name().as_str()));
    }
    let variant = |name: &str, timeout| {
        patient.variant(name, &Inventory { rollback_timeout: timeout, controls, ..Inventory::default() })
    };
    Projects {
        quick: variant("quick", 12),
        slow: variant("slow", 20),
        slower: variant("slower", 60),
        slowest: variant("slowest", 180),
        patient,
    }
}

/// Whether it is made of virtual machines.
fn machines(world: &World) -> bool {
    world.hosts().any(|host| matches!(host.record().spec.form, Form::Machine(_)))
}

/// The lane of a host.
fn lane_of(name: &str) -> &str {
    name.rsplit_once('-').map_or(name, |(group, _)| group)
}

/// Whether a developer wants this fault to strike in this phase: `PALISADE_LAB_FAULTS=widen,power cut` leaves out what is
/// neither struck in widen nor called so.
fn is_wanted(phase: &str, fault: &str) -> bool {
    let some = std::env::var("PALISADE_LAB_FAULTS").ok();
    some.is_none_or(|some| some.split(',').any(|words| phase == words || fault.contains(words)))
}

/// Whether none is left out.
pub(crate) fn all_are_wanted() -> bool {
    std::env::var_os("PALISADE_LAB_FAULTS").is_none()
}

/// Every fault in widen, then every fault in narrow, then another apply that changes nothing.
pub(crate) fn strike_all(projects: &Projects<'_>, table: &Table, name: &str, group: &HostGroup) -> Known {
    let world = projects.quick.world;
    let mut known = Known::default();
    if group.name.starts_with("boot") {
        // What a system does once, at its first boot, is no part of what is compared. Somebody's user manager that is
        // told to stop while it starts would hold a reboot up for two minutes (systemd 257).
        world
            .host(name)
            .unwrap()
            .sh("mkdir /etc/systemd/system/user@.service.d && printf '[Service]\\nTimeoutStopSec=3\\n' \
                 >/etc/systemd/system/user@.service.d/lab.conf && systemctl daemon-reload")
            .unwrap();
        world.host(name).unwrap().reboot().unwrap();
    }
    if group.name == "full" {
        world
            .host(name).unwrap()
            .sh("cp -a /var/lib/palisade /var/lib/palisade.disk && mount -t tmpfs -o size=4m,nr_inodes=400,mode=700 lab \
                 /var/lib/palisade && cp -a /var/lib/palisade.disk/. /var/lib/palisade/")
            .unwrap();
    }
    known.learn("old", snapshot(world, name));
    let (machine, suffix) = (machines(world), name.rsplit('-').next().unwrap());
    let all = tail() || machine || !all_are_wanted();
    let faults = |phase: &'static str| {
        let here = group
            .faults()
            .enumerate()
            .filter(move |(at, fault)| all || strikes(*TURN, *at, fault, phase, suffix));
        let here = here.map(|(_, fault)| fault).filter(move |fault| !machine || fault.strikes_machines());
        here.filter(move |fault| is_wanted(phase, fault.name))
    };
    for fault in faults("widen").filter(|fault| fault.in_widen) {
        let place = place("widen", fault);
        let place = Breakpoint { at: &place, state: "old", says: "old" };
        let held = held(&projects.of(name, fault), name, &known, &place);
        let took = struck(world, name, &known, fault, held, &place);
        table.struck(fault, name, "widen", took);
    }
    // Pre-flight is over before widen begins.
    let first =
        faults("narrow").next().filter(|fault| fault.at != "preflight").map(|fault| place("narrow", fault));
    let mut widening = widens(projects, name, group.step, first.as_deref(), &mut known);
    table.stepped(group.step, name, "widen");
    for fault in faults("narrow") {
        let place = place("narrow", fault);
        let mut place = Breakpoint { at: &place, state: "widened", says: "old" };
        let held = match widening.take() {
            // A rollback that does not get far enough is waited for until the deadline, which is far away in the run that
            // widened. The lease of that one did not outlive the boot in between.
            Some(run) if matches!(fault.blow, Blow::Rescue) => {
                run.signal("KILL");
                assert_eq!(run.end().code, None);
                held(&projects.of(name, fault), name, &known, &place)
            }
            // In the run that widened, palisade knows at which of its two steps the host stands.
            Some(mut run) if fault.back_by == ["boot"] => {
                place.says = "widened";
                run.release("narrow.arming");
                run.reaches(place.at);
                Held { run, timeout: projects.patient.timeout }
            }
            Some(run) => {
                let id = killed_with_its_lease(projects, name, run);
                unlock(&projects.quick, name, &id, 0);
                held(&projects.of(name, fault), name, &known, &place)
            }
            None => held(&projects.of(name, fault), name, &known, &place),
        };
        let took = struck(world, name, &known, fault, held, &place);
        table.struck(fault, name, "narrow", took);
    }
    if let Some(run) = widening {
        let id = killed_with_its_lease(projects, name, run);
        unlock(&projects.quick, name, &id, 0);
    }
    narrows(projects, name, group.step, &mut known);
    table.stepped(group.step, name, "narrow");
    known
}

fn place(phase: &str, fault: &Fault) -> String {
    // Pre-flight comes before either phase.
    if fault.at == "preflight" { fault.at.to_owned() } else { format!("{phase}.{}", fault.at) }
}

/// Brings a host from old to widened. Returns the run that did it, before narrow, where that still lives.
fn widens(
    projects: &Projects<'_>,
    name: &str,
    step: Step,
    first: Option<&str>,
    known: &mut Known,
) -> Option<Running> {
    let world = projects.quick.world;
    let mut places = vec!["widen.confirming", "narrow.arming"];
    places.extend(first.filter(|place| !places.contains(place)));
    if step == Step::StaleLease {
        world
            .host(name).unwrap()
            .sh("printf 'version=1\\nrun=20200101t000000z-00000001\\nwho=bob\\nfrom=laptop\\nboot=%s\\nsince=%s\\nuntil=%s\\n' \
                 7de1efa4-ea2f-4175-bcf4-e39e0bce8ea0 2020-01-01T00:00:00Z 99999999 >/var/lib/palisade/lease")
            .unwrap();
    }
    let mut run = projects.patient.apply_held(name, &places);
    run.reaches("widen.confirming");
    let run = match step {
        Step::Plain | Step::StaleLease => {
            run.release("widen.confirming");
            Some(run)
        }
        Step::Killed => {
            killed_at_the_commit(projects, name, run, "widen.confirming");
            None
        }
        Step::PowerCut => {
            power_cut_at_the_commit(world, name, &run, "widen.confirming");
            Some(run)
        }
    };
    let run = run.map(|mut run| {
        run.reaches("narrow.arming");
        run
    });
    known.learn("widened", snapshot(world, name));
    run
}

/// Brings a host from widened to new, sees that another apply changes nothing.
fn narrows(projects: &Projects<'_>, name: &str, step: Step, known: &mut Known) {
    let project = &projects.patient;
    let world = project.world;
    if step == Step::StaleLease {
        world
            .host(name).unwrap()
            .sh("printf 'version=1\\nrun=20200101t000000z-00000001\\nwho=bob\\nfrom=laptop\\nboot=%s\\nsince=%s\\nuntil=1\\n' \
                 \"$(cat /proc/sys/kernel/random/boot_id)\" 2020-01-01T00:00:00Z >/var/lib/palisade/lease")
            .unwrap();
    }
    let mut run = project.apply_held(name, &["narrow.confirming"]);
    run.reaches("narrow.confirming");
    match step {
        Step::Plain | Step::StaleLease => run.release("narrow.confirming"),
        Step::Killed => {
            killed_at_the_commit(projects, name, run, "narrow.confirming");
            known.learn("new", snapshot(world, name));
            return nothing_more(project, name, known);
        }
        Step::PowerCut => power_cut_at_the_commit(world, name, &run, "narrow.confirming"),
    }
    let ran = run.end();
    assert_eq!(ran.code, Some(0), "{name}: {}", ran.said());
    assert_eq!(ran.json()["hosts"][0]["state"], "changed", "{name}: {}", ran.said());
    known.learn("new", snapshot(world, name));
    nothing_more(project, name, known);
}

/// palisade is killed behind the rename that commits: the commit counts.
fn killed_at_the_commit(projects: &Projects<'_>, name: &str, run: Running, place: &str) {
    let world = projects.quick.world;
    world.host(name).unwrap().sh(BEHIND_COMMIT).unwrap();
    run.release(place);
    stands_still(world, name).unwrap_or_else(|why| panic!("{name}: {why}\n{}", run.said()));
    run.signal("KILL");
    assert_eq!(run.end().code, None);
    world.host(name).unwrap().sh(LET_GO).unwrap();
    gone_back(world, name, Instant::now() + grace(world, name)).unwrap();
    let id = left_its_lease(projects, name);
    unlock(&projects.quick, name, &id, 0);
}

/// The host loses its power behind the rename that commits: the commit counts, and palisade finds out.
fn power_cut_at_the_commit(world: &World, name: &str, run: &Running, place: &str) {
    world.host(name).unwrap().sh(BEHIND_COMMIT).unwrap();
    run.release(place);
    stands_still(world, name).unwrap_or_else(|why| panic!("{name}: {why}\n{}", run.said()));
    world.host(name).unwrap().crash().unwrap();
    world.host(name).unwrap().sh(LET_GO).unwrap();
}

/// A plain apply makes it new; another one asks once and changes nothing.
pub(crate) fn ends_well(project: &Project<'_>, name: &str, known: &mut Known) {
    let world = project.world;
    let ran = project.apply(name);
    assert_eq!(ran.code, Some(0), "{name}: {}", ran.said());
    known.learn("new", snapshot(world, name));
    nothing_more(project, name, known);
}

fn nothing_more(project: &Project, name: &str, known: &Known) {
    let world = project.world;
    let ran = project.apply(name);
    assert_eq!(ran.code, Some(0), "{name}: {}", ran.said());
    let cost = &ran.json()["hosts"][0]["cost"];
    assert_eq!((&cost["connections"], &cost["execs"]), (&Value::from(1), &Value::from(1)), "{name}: {cost}");
    holds(world, name, known, "new", Instant::now() + grace(world, name))
        .unwrap_or_else(|why| panic!("{name}: {why}"));
}

/// An allowlist without our address, and a second operator: refused before anything is touched, in either phase.
fn gates(projects: &Projects<'_>, name: &str) -> Known {
    let Projects { quick, patient, .. } = projects;
    let world = quick.world;
    let mut known = Known::default();
    known.learn("old", snapshot(world, name));
    without_our_address(quick, name, &known, "old");

    let mut first = patient.apply_held(name, &["widen.validating", "narrow.arming"]);
    first.reaches("widen.validating");
    let armed = second_operator(quick, name);
    first.release("widen.validating");
    first.reaches("narrow.arming");
    known.learn("widened", snapshot(world, name));
    let leased = second_operator(quick, name);
    assert_eq!(armed["run"], leased["run"], "{name}: one run held it all the time");

    let run = killed_with_its_lease(projects, name, first);
    assert_eq!(leased["run"], run.as_str());
    unlock(quick, name, "20200101t000000z-00000000", 6);
    unlock(quick, name, &run, 0);
    let status = quick.palisade(&["status", "prod", "--limit", name]).run();
    assert_eq!(status.code, Some(0), "{}", status.said());
    holds(world, name, &known, "widened", Instant::now() + grace(world, name))
        .unwrap_or_else(|why| panic!("{name}: {why}"));

    without_our_address(quick, name, &known, "widened");
    two_at_the_same_moment(patient, name, "narrow.arming");
    known.learn("new", snapshot(world, name));
    nothing_more(quick, name, &known);
    known
}

/// Kills `run`, which stands between two phases: it leaves its lease behind, and nothing else. Returns its id.
fn killed_with_its_lease(projects: &Projects<'_>, name: &str, run: Running) -> String {
    run.signal("KILL");
    assert_eq!(run.end().code, None);
    let holder = second_operator(&projects.quick, name);
    let id = left_its_lease(projects, name);
    assert_eq!(holder["run"], id.as_str());
    id
}

/// The run that left its lease on `name`, as the host, `status` and `runs` say.
fn left_its_lease(projects: &Projects<'_>, name: &str) -> String {
    let id =
        projects.quick.world.host(name).unwrap().sh("sed -n 's/^run=//p' /var/lib/palisade/lease").unwrap();
    let id = id.trim().to_owned();
    let status = projects.quick.palisade(&["status", "prod", "--limit", name]).run();
    assert_eq!(status.code, Some(6), "{}", status.said());
    assert!(status.out.contains(&id), "{}", status.said());
    let runs = projects.patient.palisade(&["runs", "--format", "json"]).run().json();
    let open = runs["unfinished"].as_array().unwrap().iter();
    let (began, random) = id.split_once('-').unwrap();
    let name = format!("{began}-prod-apply-{random}");
    assert!(open.clone().any(|one| one["run"] == name.as_str()), "{name}: {runs}");
    id
}

fn unlock(project: &Project<'_>, name: &str, id: &str, code: i32) {
    let ran = project.palisade(&["unlock", name, "--tx", id]).run();
    assert_eq!(ran.code, Some(code), "{name}: {}", ran.said());
}

/// A second run while another one holds the host: exit 6, and who holds it.
fn second_operator(project: &Project, name: &str) -> Value {
    let ran = project.apply(name);
    assert_eq!(ran.code, Some(6), "{name}: {}", ran.said());
    let holder = ran.json()["hosts"][0]["holder"].clone();
    assert_eq!(holder["who"], "alice", "{name}: {}", ran.said());
    holder
}

/// The project's admin networks do not hold the address that the host sees us come from.
fn without_our_address(project: &Project, name: &str, known: &Known, state: &str) {
    let world = project.world;
    let elsewhere = project.variant(
        &format!("elsewhere-{name}-{state}"),
        &Inventory { controls, admin: Some("192.0.2.10"), ..Inventory::default() },
    );
    // The units are judged by `holds`; some start for a moment because the look asks them.
    let own = || {
        let mut own = world.host(name).unwrap().snapshot(&["/var/lib/palisade"]).unwrap();
        own.retain(|path, _| path.as_str() != "units");
        own
    };
    let before = own();
    let ran = elsewhere.apply(name);
    assert_eq!(ran.code, Some(6), "{name}: {}", ran.said());
    let document = ran.json();
    assert_eq!(document["hosts"][0]["state"], "refused", "{name}: {}", ran.said());
    assert!(ran.said().contains("which is no management source"), "{name}: {}", ran.said());
    holds(world, name, known, state, Instant::now() + grace(world, name))
        .unwrap_or_else(|why| panic!("{name}, elsewhere: {why}"));
    let written = differences(&before, &own());
    assert!(written.is_empty(), "{name}: something was written: {written:#?}");
}

/// Two runs that arm at the same moment: one does its work, the other is told who does.
fn two_at_the_same_moment(project: &Project, name: &str, place: &str) {
    let mut runs = [project.apply_held(name, &[place]), project.apply_held(name, &[place])];
    for run in &mut runs {
        run.reaches(place);
    }
    for run in &runs {
        run.release(place);
    }
    let mut ended: Vec<Ran> = runs.into_iter().map(Running::end).collect();
    ended.sort_by_key(|ran| ran.code);
    let [won, lost] = ended.as_slice() else { unreachable!() };
    assert_eq!((won.code, lost.code), (Some(0), Some(6)), "{name}: {}\n{}", won.said(), lost.said());
    let holder = &lost.json()["hosts"][0]["holder"];
    assert_eq!(holder["run"], won.json()["run"], "{name}: {}", lost.said());
    assert_eq!(holder["who"], "alice", "{name}: {}", lost.said());
}

/// Two operators who begin at once, from the state in which a host is delivered.
fn both_at_once(projects: &Projects<'_>, name: &str) -> Known {
    let world = projects.patient.world;
    two_at_the_same_moment(&projects.patient, name, "widen.arming");
    let mut known = Known::default();
    known.learn("new", snapshot(world, name));
    nothing_more(&projects.quick, name, &known);
    known
}

/// The answers to both commits are lost with their connections: they count all the same. Then a signal between the
/// phases of a run that has nothing to do is none, and the host is free.
fn answers_lost(projects: &Projects<'_>, name: &str) -> Known {
    let world = projects.patient.world;
    // Between the commit and its answer, the timer is stopped.
    world
        .host(name)
        .unwrap()
        .sh("cat >/usr/local/sbin/systemctl <<'END'
#!/bin/sh
/usr/bin/systemctl \"$@\"
status=$?
case \"$*\" in 'stop palisade-rollback-'*) pkill -KILL -u alice sshd; echo lost >>/root/answers ;; esac
exit $status
END
chmod 0755 /usr/local/sbin/systemctl")
        .unwrap();
    let mut run = projects.patient.apply_held(name, &["narrow.arming"]);
    run.reaches("narrow.arming");
    run.signal("TERM");
    let ran = run.end();
    assert_eq!(ran.code, Some(1), "{name}: {}", ran.said());
    let document = ran.json();
    let host = &document["hosts"][0];
    assert_eq!(
        (&host["state"], &host["holds"]),
        (&Value::from("failed"), &Value::from("widened")),
        "{}",
        ran.said()
    );
    assert!(ran.said().contains("confirmed; only the answer was lost"), "{name}: {}", ran.said());
    let status = projects.quick.palisade(&["status", "prod", "--limit", name]).run();
    assert_eq!(status.code, Some(0), "{name}: {}", status.said());

    let ran = projects.patient.apply(name);
    assert_eq!(ran.code, Some(0), "{name}: {}", ran.said());
    assert!(ran.said().contains("confirmed; only the answer was lost"), "{name}: {}", ran.said());
    assert_eq!(
        world
            .host(name)
            .unwrap()
            .sh("cat /root/answers; rm /root/answers /usr/local/sbin/systemctl")
            .unwrap(),
        "lost\nlost\n"
    );
    let mut known = Known::default();
    known.learn("new", snapshot(world, name));
    nothing_more(&projects.quick, name, &known);
    known
}

/// dpkg is killed in the middle of a package's script: nothing else was changed, and nothing is until somebody mends it.
/// Then another apt holds the lock: it is waited for.
fn packages(projects: &Projects<'_>, name: &str) -> Known {
    let project = &projects.patient;
    let host = project.world.host(name).unwrap();
    let mut known = Known::default();
    known.learn("old", snapshot(project.world, name));
    host.sh(KILLS_DPKG).unwrap();
    let ran = project.apply(name);
    host.sh("mv /usr/bin/deb-systemd-helper.lab /usr/bin/deb-systemd-helper").unwrap();
    let state = |ran: &Ran| ran.json()["hosts"][0]["state"].clone();
    assert_eq!((ran.code, state(&ran)), (Some(1), "failed".into()), "{name}: {}", ran.said());
    assert!(ran.said().contains("apt-get failed"), "{name}: {}", ran.said());
    let unharmed = || {
        let ours = |what: &String| {
            !what.contains("nftables") && !what.contains("units") && !what.contains("ruleset")
        };
        let differs = differences(known.get("old"), &snapshot(project.world, name));
        assert!(!differs.iter().any(ours), "{name}: {differs:?}");
        project.world.login(name, Instant::now() + grace(project.world, name)).unwrap();
    };
    unharmed();
    let ran = project.apply(name);
    assert_eq!((ran.code, state(&ran)), (Some(6), "refused".into()), "{name}: {}", ran.said());
    assert!(ran.said().contains("dpkg --audit"), "{name}: {}", ran.said());
    unharmed();
    host.sh("dpkg --configure -a && apt-get -q -y purge nftables").unwrap();

    host.sh(HOLDS_THE_LOCK).unwrap();
    let mut run = project.apply_held(name, &["widen.arming"]);
    let until = Instant::now() + grace(project.world, name);
    while host.status("systemctl is-active --quiet 'palisade-apt-*.service'").unwrap() != Some(0) {
        assert!(Instant::now() < until, "{name}: apt does not begin: {}", run.said());
        std::thread::sleep(Duration::from_millis(100));
    }
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(host.status("command -v nft").unwrap(), Some(127), "{name}: the lock held nobody back");
    host.sh(LET_GO).unwrap();
    run.reaches("widen.arming");
    run.release("widen.arming");
    let ran = run.end();
    assert_eq!(ran.code, Some(0), "{name}: {}", ran.said());
    known.learn("new", snapshot(project.world, name));
    nothing_more(project, name, &known);
    known
}
