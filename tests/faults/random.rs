//! Kills at moments that nobody chose: palisade at random ones, and the host's own scripts before each call that writes.
//! Afterwards every host is exactly old, widened or new, and can be entered.
//!
//! A few by default; with `PALISADE_LAB_TAIL=1` a hundred, and every call. `PALISADE_LAB_SEED` repeats a run's moments;
//! `PALISADE_LAB_FROM_CALL` leaves out the calls before one.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use palisade::lab::{Snapshot, Suite};
use serde_json::Value;

use crate::fault::in_front_of;
use crate::faults::{Projects, ready};
use crate::state::{Known, leftovers, snapshot};
use crate::strike::{GRACE, gone_back};
use support::{Needs, Ran, World, host, note, tail};

support::tests! {
    Needs::LAB => [
        a_run_that_is_killed_at_any_moment_leaves_a_whole_host,
    ],
    Needs::TAIL => [
        a_script_that_is_killed_at_any_write_leaves_a_whole_host,
    ],
}

/// What happened to a host at the end of a run: how often each state.
type Ends = BTreeMap<&'static str, usize>;

/// splitmix64: each seed gives the same moments again.
struct Moments(u64);

impl Moments {
    fn below(&mut self, limit: Duration) -> Duration {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let part = u32::try_from((mixed ^ (mixed >> 31)) % 1_000_000).unwrap();
        limit.mul_f64(f64::from(part) / 1_000_000.0)
    }
}

fn seed() -> u64 {
    let given = std::env::var("PALISADE_LAB_SEED").ok().map(|seed| seed.parse().expect("a number"));
    let now = || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
    given.unwrap_or_else(|| u64::try_from(now()).unwrap())
}

/// The first call to kill before: a run that failed late need not begin anew.
fn from_call() -> usize {
    std::env::var("PALISADE_LAB_FROM_CALL").map_or(1, |call| call.parse().expect("a number"))
}

fn hosts(each: u8) -> Vec<(String, Suite)> {
    let of = |suffix, suite| (1..=each).map(move |number| (format!("any{number}-{suffix}"), suite));
    of("12", Suite::Bookworm).chain(of("13", Suite::Trixie)).collect()
}

fn up(hosts: &[(String, Suite)]) -> World {
    World::with(hosts.iter().map(|(name, suite)| host(name, *suite)))
}

/// One host, all of whose states are known, and which can be made old again.
struct Subject<'w> {
    projects: &'w Projects<'w>,
    name: &'w str,
    known: Known,
    /// How long a whole apply takes there.
    whole: Duration,
}

impl<'w> Subject<'w> {
    fn new(projects: &'w Projects<'w>, name: &'w str) -> Self {
        let world = projects.patient.world;
        let mut known = Known::default();
        world.host(name).unwrap().sh(KEEP).unwrap();
        known.learn("old", snapshot(world, name));
        let begun = Instant::now();
        let mut run = projects.patient.apply_held(name, &["narrow.arming"]);
        run.reaches("narrow.arming");
        let half = begun.elapsed();
        known.learn("widened", snapshot(world, name));
        let begun = Instant::now();
        run.release("narrow.arming");
        let ran = run.end();
        assert_eq!(ran.code, Some(0), "{name}: {}", ran.said());
        let whole = half + begun.elapsed();
        known.learn("new", snapshot(world, name));
        let subject = Self { projects, name, known, whole };
        subject.renew();
        subject
    }

    fn world(&self) -> &'w World {
        self.projects.patient.world
    }

    /// Makes the host old again, whatever it is.
    fn renew(&self) {
        self.world().host(self.name).unwrap().sh(RENEW).unwrap();
        let now = snapshot(self.world(), self.name);
        self.known.expect("old", &now).unwrap_or_else(|why| panic!("{}: renewed: {why}", self.name));
    }

    /// Waits until nothing is pending, sees that the host can be entered, and says in which state it is.
    fn settled(&self, since: Instant, title: &str) -> &'static str {
        let (world, name) = (self.world(), self.name);
        let until = since + self.projects.quick.timeout + GRACE;
        let fail = |why: String| -> ! { panic!("{title}: {why}") };
        // A script that palisade began goes on where palisade is killed: what it arms goes back later.
        loop {
            gone_back(world, name, until).unwrap_or_else(|why| fail(why));
            world.login(name, until).unwrap_or_else(|why| fail(why));
            let lease = world
                .host(name)
                .unwrap()
                .sh("sed -n 's/^run=//p' /var/lib/palisade/lease 2>/dev/null; true")
                .unwrap();
            if lease.trim().is_empty() {
                break;
            }
            let quick = &self.projects.quick;
            let ran = quick.palisade(&["unlock", name, "--tx", lease.trim()]).run();
            if ran.code != Some(0) && Instant::now() > until {
                fail(format!("it is not given free: {}", ran.said()));
            }
        }
        loop {
            let left = leftovers(world, name);
            let now = snapshot(world, name);
            if let (Some(state), true) = (self.state(&now), left.is_empty()) {
                return state;
            }
            if Instant::now() > until {
                let mixed = self.known.expect("old", &now).err().unwrap_or_default();
                fail(format!("left behind: {left:?}; {mixed}"));
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    fn state(&self, now: &Snapshot) -> Option<&'static str> {
        ["old", "widened", "new"].into_iter().find(|state| self.known.expect(state, now).is_ok())
    }
}

fn a_run_that_is_killed_at_any_moment_leaves_a_whole_host() {
    let (hosts, each) = if tail() { (hosts(2), 25) } else { (hosts(1), 2) };
    let seed = seed();
    note(&format!("PALISADE_LAB_SEED={seed}"));
    let world = up(&hosts);
    let projects = &ready(&world);
    let ends: Vec<(Ends, usize)> = std::thread::scope(|scope| {
        let running: Vec<_> = hosts
            .iter()
            .zip(0_u64..)
            .map(|((name, _), number)| {
                let moments = Moments(seed.wrapping_add(number.wrapping_mul(0x1000_0001)));
                scope.spawn(move || killed_at_any_moment(projects, name, moments, each))
            })
            .collect();
        running.into_iter().map(|one| one.join().unwrap()).collect()
    });
    let mut all = Ends::new();
    for (state, count) in ends.iter().flat_map(|(ends, _)| ends) {
        *all.entry(state).or_default() += count;
    }
    let late: usize = ends.iter().map(|(_, late)| late).sum();
    note(&format!(
        "{} applies killed at random moments, {late} of them after their end: {all:?}",
        all.values().sum::<usize>()
    ));
}

fn killed_at_any_moment(
    projects: &Projects<'_>,
    name: &str,
    mut moments: Moments,
    times: usize,
) -> (Ends, usize) {
    let subject = Subject::new(projects, name);
    let (mut ends, mut late, mut from) = (Ends::new(), 0, "old");
    for number in 1..=times {
        // From widened there is only half of it left.
        let whole = if from == "old" { subject.whole } else { subject.whole / 2 };
        let moment = moments.below(whole);
        let run = projects.quick.applying(name).start();
        std::thread::sleep(moment);
        run.signal("KILL");
        let since = Instant::now();
        let ran = run.end();
        let title = format!("{name}, {number}, from {from}, killed after {:.2} s", moment.as_secs_f32());
        let state = subject.settled(since, &title);
        if ran.code.is_some() {
            // It ended before it was killed: well, or taken back where the machine was too slow for its timeout.
            late += 1;
            says_what_is(&ran, state).unwrap_or_else(|why| panic!("{title}: {why}\n{}", ran.said()));
        }
        assert!(from == "old" || state != "old", "{title}: it went back behind a confirmed phase");
        note(&format!("{title}: {state}"));
        *ends.entry(state).or_default() += 1;
        from = state;
        if state == "new" {
            subject.renew();
            from = "old";
        }
    }
    (ends, late)
}

/// The part of the tail that walks through the host's own scripts.
fn a_script_that_is_killed_at_any_write_leaves_a_whole_host() {
    let hosts = hosts(2);
    let world = up(&hosts);
    let projects = &ready(&world);
    let counts: Vec<(usize, Ends)> = std::thread::scope(|scope| {
        let running: Vec<_> = hosts
            .iter()
            .zip(0_usize..)
            // The hosts of a distribution share its calls: odd ones and even ones.
            .map(|((name, _), number)| scope.spawn(move || killed_at_every_write(projects, name, number % 2)))
            .collect();
        running.into_iter().map(|one| one.join().unwrap()).collect()
    });
    for ((name, _), (calls, ends)) in hosts.iter().zip(counts) {
        note(&format!("{name}: killed before each of {calls} calls: {ends:?}"));
    }
}

fn killed_at_every_write(projects: &Projects<'_>, name: &str, first: usize) -> (usize, Ends) {
    let subject = Subject::new(projects, name);
    let world = subject.world();
    let mut ends = Ends::new();
    for (count, call) in (from_call() + first..).step_by(2).enumerate() {
        let file = world.host(name).unwrap().root().unwrap().join("run/lab-kill-at");
        world.host(name).unwrap().sh(KILL_AT).unwrap();
        std::fs::write(&file, format!("{call}\n")).unwrap();
        let since = Instant::now();
        let ran = projects.quick.apply(name);
        let all_done = file.exists();
        world.host(name).unwrap().sh(KILL_AT_NONE).unwrap();
        let title = format!("{name}, killed before call {call}");
        let state = subject.settled(since.max(Instant::now()), &title);
        says_what_is(&ran, state).unwrap_or_else(|why| panic!("{title}: {why}\n{}", ran.said()));
        note(&format!("{title}: {state}, exit {:?}", ran.code));
        *ends.entry(state).or_default() += 1;
        if state != "old" {
            subject.renew();
        }
        if all_done {
            assert_eq!((ran.code, state), (Some(0), "new"), "{title}: {}", ran.said());
            return (count, ends);
        }
    }
    unreachable!("a run has an end")
}

/// Whether palisade's word is the truth: 0 is new; what it says that the host holds, it holds.
fn says_what_is(ran: &Ran, state: &str) -> Result<(), String> {
    let host = ran.json()["hosts"][0].clone();
    match (ran.code, &host["holds"]) {
        (Some(0), _) if state == "new" => Ok(()),
        (Some(1 | 5), Value::String(holds)) if holds == state => Ok(()),
        // It said that it does not know.
        (Some(1), Value::Null) => Ok(()),
        // It is changed, and what was killed was a question of the audit after that.
        (Some(4), Value::Null) if state == "new" && host["state"] == "changed" => Ok(()),
        // Before anything was touched.
        (Some(4 | 6), _) if state == "old" => Ok(()),
        (code, holds) => Err(format!("exit {code:?}, {} holding {holds}, and it is {state}", host["state"])),
    }
}

const KEEP: &str = "cd / && tar -cpf /var/lab-old.tar etc root home usr/local var/lib/palisade && \
                    find etc root home usr/local var/lib/palisade | LC_ALL=C sort >/var/lab-old.list";

const RENEW: &str = "cd / && { systemctl stop palisade-firewall.service 2>/dev/null; nft delete table inet palisade 2>/dev/null; \
                     find etc root home usr/local var/lib/palisade | LC_ALL=C sort | LC_ALL=C comm -13 /var/lab-old.list - | \
                     while IFS= read -r path; do rm -rf \"/$path\"; done; tar -xpf /var/lab-old.tar; \
                     systemctl daemon-reload; systemctl reset-failed; systemctl restart ssh.service; }";

/// What a script calls to write; the shell's own redirections lie between them.
macro_rules! killed_before {
    ($($program:literal),+) => {
        concat!($(in_front_of!(
            $program,
            "*",
            "if [ -e /run/lab-kill-at ]; then n=$(cat /run/lab-kills 2>/dev/null || echo 0); n=$((n + 1)); echo $n >/run/lab-kills; \
             if [ $n = $(cat /run/lab-kill-at) ]; then rm /run/lab-kill-at; kill -KILL $PPID; exit 1; fi; fi"
        )),+)
    };
}

const KILL_AT: &str = killed_before!(
    "mv",
    "rm",
    "cp",
    "mkdir",
    "rmdir",
    "chown",
    "chmod",
    "sync",
    "systemctl",
    "systemd-run",
    "nft",
    "useradd",
    "usermod",
    "chage",
    "gpasswd",
    "base64",
    "tac"
);

/// It calls the real `rm`: the one in front of it counts too.
const KILL_AT_NONE: &str = "cd /usr/local/sbin && /bin/rm -f mv rm cp mkdir rmdir chown chmod sync systemctl systemd-run nft useradd \
                            usermod chage gpasswd base64 tac; /bin/rm -f /run/lab-*";
