//! How a fault strikes a run that is held, and what must hold afterwards: the host is exactly in one state, palisade's
//! word for it is the truth, and a fresh login works in time.

use std::time::{Duration, Instant};

use palisade::lab::{Fault as Loss, Form};
use serde_json::Value;

use crate::fault::{Blow, End, Fault, LET_GO, RECOVER};
use crate::state::{Known, leftovers, snapshot};
use support::{Project, Ran, Running, World, note};

/// How much longer than its timeout it may take until a host can be entered, on a machine that is busy.
pub(crate) const GRACE: Duration = Duration::from_secs(90);

/// The same for a virtual machine, which boots a kernel of its own, emulated perhaps.
const MACHINE_GRACE: Duration = Duration::from_mins(15);

/// How much longer than its timeout `name` may take.
pub(crate) fn grace(world: &World, name: &str) -> Duration {
    match world.host(name).unwrap().record().spec.form {
        Form::Container => GRACE,
        Form::Machine(_) => MACHINE_GRACE,
    }
}

/// Where a fault strikes, the state in which the host is afterwards, and what palisade calls it: `old` is what its own
/// run found.
pub(crate) struct Breakpoint<'a> {
    pub(crate) at: &'a str,
    pub(crate) state: &'a str,
    pub(crate) says: &'a str,
}

/// A run that is held, and how long its host waits for confirmation.
pub(crate) struct Held {
    pub(crate) run: Running,
    pub(crate) timeout: Duration,
}

/// Brings a run on `name` to `place`, by the first of `projects` whose timeout is long enough on a machine that is busy.
/// Where it is not, the host goes back, which is seen to, and the next one is tried.
pub(crate) fn held(projects: &[&Project<'_>], name: &str, known: &Known, place: &Breakpoint<'_>) -> Held {
    for project in projects {
        let mut run = project.apply_held(name, &[place.at]);
        if run.reaches_or_ends(place.at) {
            return Held { run, timeout: project.timeout };
        }
        let ran = run.end();
        let title = format!("{name}, too slow for {:?}", project.timeout);
        assert_eq!(ran.code, Some(5), "{title}: {}", ran.said());
        assert_eq!(ran.json()["hosts"][0]["holds"], place.says, "{title}: {}", ran.said());
        holds(project.world, name, known, place.state, Instant::now() + grace(project.world, name))
            .unwrap_or_else(|why| panic!("{title}: {why}\n{}", ran.said()));
        note(&format!("{title}, {}: {}", place.at, place.state));
    }
    panic!("{name} never comes to {}", place.at)
}

/// Lets `fault` strike the run that is held at `place`, and checks the host afterwards. Returns the seconds from the blow
/// until everything was in order.
pub(crate) fn struck(
    world: &World,
    name: &str,
    known: &Known,
    fault: &Fault,
    held: Held,
    place: &Breakpoint<'_>,
) -> f32 {
    let Held { run, timeout } = held;
    let title = format!("{name}, {}, {}", fault.name, place.at);
    let host = world.host(name).unwrap();
    if !fault.on_host.is_empty() {
        host.sh(fault.on_host).unwrap_or_else(|error| panic!("{title}: {error}"));
    }
    if fault.stops {
        run.release(place.at);
        stands_still(world, name).unwrap_or_else(|why| panic!("{title}: {why}\n{}", run.said()));
    }
    let mut at = Instant::now();
    let go_on = |run: &Running| {
        if fault.stops {
            host.sh(LET_GO).unwrap();
        } else {
            run.release(place.at);
        }
    };
    let until = timeout + grace(world, name);
    let back = || gone_back(world, name, at + until).unwrap_or_else(|why| panic!("{title}: {why}"));
    let ran = match fault.blow {
        Blow::Nothing | Blow::Late => {
            if matches!(fault.blow, Blow::Late) {
                wait_for_the_last_second(world, name);
            }
            go_on(&run);
            run.end()
        }
        Blow::Kill => {
            run.signal("KILL");
            if fault.stops {
                go_on(&run);
            }
            run.end()
        }
        Blow::Lose(loss) => {
            host.inject(loss).unwrap();
            go_on(&run);
            if loss == Loss::Ipv6 {
                let ran = run.end();
                host.lift_fault().unwrap();
                ran
            } else {
                back();
                host.lift_fault().unwrap();
                run.end()
            }
        }
        Blow::LoseForGood => {
            host.inject(Loss::NewConnections).unwrap();
            go_on(&run);
            let ran = run.end();
            host.lift_fault().unwrap();
            at = Instant::now();
            ran
        }
        Blow::ShutOut => {
            go_on(&run);
            back();
            host.sh(fault.mend).unwrap();
            run.end()
        }
        Blow::KillAndKeep => {
            run.signal("KILL");
            let ran = run.end();
            std::thread::sleep(timeout + Duration::from_secs(3));
            assert!(world.has(name, "/var/lib/palisade/pending"), "{title}: nothing kept it from going back");
            at = Instant::now();
            host.sh(fault.mend).unwrap();
            ran
        }
        Blow::Keep => {
            run.signal("TERM");
            let ran = run.end();
            assert!(world.has(name, "/var/lib/palisade/pending"), "{title}: nothing kept it from going back");
            at = Instant::now();
            host.sh(LET_GO).unwrap();
            ran
        }
        Blow::Rescue => {
            run.signal("TERM");
            let ran = run.end();
            at = rescued(world, name, &title);
            ran
        }
        Blow::Reboot | Blow::PowerCut => {
            if matches!(fault.blow, Blow::Reboot) { host.reboot() } else { host.crash() }.unwrap();
            if !fault.stops {
                run.release(place.at);
            }
            run.end()
        }
        Blow::Signal(signal) => {
            run.signal(signal);
            run.end()
        }
        Blow::LeaveAlone => left_alone(world, name, run),
    };
    after(world, name, known, fault, &ran, place, at + until);
    took(&title, place, at)
}

/// Says how long it took, and returns that in seconds.
fn took(title: &str, place: &Breakpoint<'_>, at: Instant) -> f32 {
    let seconds = at.elapsed().as_secs_f32();
    note(&format!("{title}: {} after {seconds:.1} s", place.state));
    seconds
}

/// The host is mended from a rescue system, as `rescue_hint` says, and started again. Returns when that was begun.
fn rescued(world: &World, name: &str, title: &str) -> Instant {
    let host = world.host(name).unwrap();
    host.power_off().unwrap();
    let at = Instant::now();
    let recover = RECOVER.strip_prefix("chroot /mnt ").unwrap();
    host.rescue(&format!("rm /usr/local/sbin/mv; {recover}"))
        .unwrap_or_else(|error| panic!("{title}: {error}"));
    host.power_on().unwrap();
    host.wait_until_ready().unwrap();
    at
}

/// It is told to end twice, while new connections are lost: it does not wait for the host.
fn left_alone(world: &World, name: &str, run: Running) -> Ran {
    world.host(name).unwrap().inject(Loss::NewConnections).unwrap();
    run.signal("INT");
    std::thread::sleep(Duration::from_millis(500));
    run.signal("INT");
    let ran = run.end();
    let waited = !world.has(name, "/var/lib/palisade/pending");
    world.host(name).unwrap().lift_fault().unwrap();
    assert!(!waited, "{name}: it waited until the host was back\n{}", ran.said());
    ran
}

/// What must hold afterwards, at the latest at `until`.
fn after(
    world: &World,
    name: &str,
    known: &Known,
    fault: &Fault,
    ran: &Ran,
    place: &Breakpoint<'_>,
    until: Instant,
) {
    let mend = || {
        if fault.on_host.contains("/run/lab-once") && !world.has(name, "/run/lab-once") {
            return Err("it did not strike".to_owned());
        }
        let done = matches!(fault.blow, Blow::ShutOut | Blow::KillAndKeep);
        if !fault.mend.is_empty() && !done {
            world.host(name).unwrap().sh(fault.mend).map_err(|error| error.to_string())?;
        }
        if fault.on_host.contains("/usr/local/sbin/") || fault.on_host.contains("/run/lab-") {
            world.host(name).unwrap().sh(LET_GO).map_err(|error| error.to_string())?;
        }
        Ok(())
    };
    let checked = judge(fault, ran, place.says)
        .and_then(|()| gone_back(world, name, until))
        .and_then(|()| mend())
        .and_then(|()| holds(world, name, known, place.state, until))
        .and_then(|()| went_back_by(world, name, fault.back_by));
    let title = format!("{name}, {}, {}", fault.name, place.at);
    checked.unwrap_or_else(|why| panic!("{title}: {why}\n{}", ran.said()));
}

/// Waits until a script on the host stands where it was made to.
pub(crate) fn stands_still(world: &World, name: &str) -> Result<(), String> {
    let until = Instant::now() + grace(world, name);
    while !world.has(name, "/run/lab-reached") {
        if Instant::now() > until {
            return Err("its script does not come to where it shall stand".to_owned());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// Waits until one second is left of the pending transaction's time. Hosts in containers share this machine's uptime.
fn wait_for_the_last_second(world: &World, name: &str) {
    let state = world.host(name).unwrap().root().unwrap().join("var/lib/palisade");
    let id = std::fs::read_to_string(state.join("pending")).unwrap();
    let deadline = std::fs::read_to_string(state.join("tx").join(id.trim()).join("deadline")).unwrap();
    let deadline: f64 = deadline.trim().parse().unwrap();
    let uptime = || -> f64 {
        let text = std::fs::read_to_string("/proc/uptime").unwrap();
        text.split(' ').next().unwrap().parse().unwrap()
    };
    while uptime() < deadline - 1.0 {
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Whether palisade's word is the truth.
fn judge(fault: &Fault, ran: &Ran, state: &str) -> Result<(), String> {
    if ran.code != fault.end.exit() {
        return Err(format!("exit {:?}, not {:?}", ran.code, fault.end.exit()));
    }
    let Some(wanted) = fault.end.state() else { return Ok(()) };
    let document = ran.json();
    let host = &document["hosts"][0];
    if host["state"] != wanted {
        return Err(format!("state {}, not {wanted}", host["state"]));
    }
    let holds = match fault.end {
        End::Unknown | End::Refused => Value::Null,
        _ => Value::from(state),
    };
    if host["holds"] != holds {
        return Err(format!("it says that the host holds {}, not {holds}", host["holds"]));
    }
    let reason = host["reason"].as_str().unwrap_or_default();
    if !reason.contains(fault.reason) {
        return Err(format!("the reason does not say `{}`: {reason}", fault.reason));
    }
    // What was seen of a change that was taken back is no verdict about the host.
    let judged: Vec<&Value> =
        host["controls"].as_array().into_iter().flatten().map(|control| &control["verdict"]).collect();
    let as_it_is = if fault.end == End::Unknown {
        !judged.is_empty() && judged.iter().all(|word| **word == "unknown")
    } else {
        judged.iter().any(|word| **word == "drift")
    };
    if as_it_is { Ok(()) } else { Err(format!("these are no verdicts for it: {judged:?}")) }
}

/// Waits until nothing is pending on `name`, seen without its network.
pub(crate) fn gone_back(world: &World, name: &str, until: Instant) -> Result<(), String> {
    while world.has(name, "/var/lib/palisade/pending") || !world.has(name, "/etc/hostname") {
        if Instant::now() > until {
            return Err("it is still switched, and pending".to_owned());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// Whether, by `until`, nothing is pending, a fresh login works, nothing is left lying about, and everything is
/// exactly as in `state`.
pub(crate) fn holds(
    world: &World,
    name: &str,
    known: &Known,
    state: &str,
    until: Instant,
) -> Result<(), String> {
    gone_back(world, name, until)?;
    world.login(name, until)?;
    loop {
        let left = leftovers(world, name);
        if left.is_empty() {
            break;
        }
        if Instant::now() > until {
            return Err(format!("left behind: {left:?}"));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    known.expect(state, &snapshot(world, name))
}

/// Whether the last transaction of `name` was taken back by one of `by`.
pub(crate) fn went_back_by(world: &World, name: &str, by: &[&str]) -> Result<(), String> {
    if by.is_empty() {
        return Ok(());
    }
    // Where the disk was full, what it says of itself lies in memory.
    let said = world
        .host(name)
        .unwrap()
        .sh("tx=$(ls -td /var/lib/palisade/tx/*/ | head -n 1); tx=${tx%/}; \
             cat \"$tx/outcome\" \"/run/palisade-${tx##*/}.outcome\" 2>/dev/null | tail -n 1")
        .map_err(|error| error.to_string())?;
    if by.iter().any(|what| said == format!("rolled-back {what}\n")) {
        Ok(())
    } else {
        Err(format!("the host says {said:?}, not {by:?}"))
    }
}
