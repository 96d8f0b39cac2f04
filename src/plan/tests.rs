//! Plans from made-up answers.

use jiff::Timestamp;

use super::*;
use crate::domain::{Digest, Environment, GroupName, Mode, UserName};
use crate::resource::{FileContent, FileState, UnitState, Verdict};
use crate::waiver::Exception;

fn file(content: &str) -> FileState {
    FileState::Present(FileContent {
        content: content.to_owned(),
        mode: Mode::PUBLIC,
        owner: UserName::root(),
        group: GroupName::root(),
    })
}

fn step(phase: Phase, path: &str, before: FileState, after: FileState) -> Step {
    let change = Change::File { path: path.parse().unwrap(), before, after };
    Step { phase, summary: path.to_owned(), change, cuts: Vec::new() }
}

#[test]
fn narrow_begins_where_widen_ends() {
    let mut obstacles = Vec::new();
    let steps = in_phases(
        vec![
            step(Phase::Narrow, "/etc/a", file("old"), file("new")),
            step(Phase::Widen, "/etc/a", file("old"), file("both")),
            step(Phase::Narrow, "/etc/b", FileState::Absent, FileState::Absent),
            step(Phase::Widen, "/etc/b", FileState::Absent, file("for now")),
        ],
        &mut obstacles,
    );
    let seen: Vec<_> = steps
        .iter()
        .map(|step| match &step.change {
            Change::File { path, before, after } => {
                (step.phase, path.as_str(), before.clone(), after.clone())
            }
            _ => panic!("no other change was given"),
        })
        .collect();
    assert_eq!(
        seen,
        [
            (Phase::Widen, "/etc/a", file("old"), file("both")),
            (Phase::Widen, "/etc/b", FileState::Absent, file("for now")),
            (Phase::Narrow, "/etc/a", file("both"), file("new")),
            (Phase::Narrow, "/etc/b", file("for now"), FileState::Absent),
        ]
    );
    assert_eq!(obstacles, []);
}

#[test]
fn two_wishes_for_one_file_are_an_obstacle_and_the_same_wish_twice_is_one() {
    let mut obstacles = Vec::new();
    let wish = step(Phase::Narrow, "/etc/a", file("old"), file("new"));
    let steps = in_phases(vec![wish.clone(), wish.clone()], &mut obstacles);
    assert_eq!((steps.len(), obstacles.len()), (1, 0));
    let other = step(Phase::Narrow, "/etc/a", file("old"), file("else"));
    in_phases(vec![wish, other], &mut obstacles);
    assert_eq!(obstacles, [Obstacle::Conflict { path: "/etc/a".parse().unwrap() }]);
}

#[test]
fn what_is_left_of_a_plan_begins_elsewhere_and_leads_to_the_same() {
    let of = |steps: Vec<Step>| HostPlan {
        host: "web-1".parse().unwrap(),
        machine_id: "0123456789abcdef0123456789abcdef".parse().unwrap(),
        desired: Digest::of(b"desired"),
        steps,
        cuts: Vec::new(),
        closes: Vec::new(),
        obstacles: Vec::new(),
        blocked: Vec::new(),
    };
    let widen = step(Phase::Widen, "/etc/a", file("old"), file("both"));
    let narrow = step(Phase::Narrow, "/etc/a", file("both"), file("new"));
    let original = of(vec![widen.clone(), narrow.clone()]);
    let left = of(vec![step(Phase::Narrow, "/etc/a", file("found"), file("new"))]);
    assert!(original.continues(&original) && left.continues(&original));
    assert!(!original.continues(&left), "more is to be done than was left");
    for other in [
        step(Phase::Narrow, "/etc/b", file("both"), file("new")),
        step(Phase::Narrow, "/etc/a", file("both"), file("else")),
        step(Phase::Widen, "/etc/a", file("both"), file("new")),
    ] {
        assert!(!of(vec![other]).continues(&original));
    }
    let wish = HostPlan { desired: Digest::of(b"another"), ..of(vec![narrow]) };
    assert!(!wish.continues(&original));
}

#[test]
fn what_a_package_brings_may_begin_elsewhere_and_nothing_else_may() {
    let plan = |steps: Vec<Step>| HostPlan {
        host: "web-1".parse().unwrap(),
        machine_id: "0123456789abcdef0123456789abcdef".parse().unwrap(),
        desired: Digest::of(b"desired"),
        steps,
        cuts: Vec::new(),
        closes: Vec::new(),
        obstacles: Vec::new(),
        blocked: Vec::new(),
    };
    let change = |phase, change| Step { phase, summary: "it".to_owned(), change, cuts: Vec::new() };
    let package = change(Phase::Package, Change::Package { name: "fail2ban".parse().unwrap() });
    let unit = |name: &str, before: (&str, &str), after: (&str, &str)| {
        let state = |(enabled, active): (&str, &str)| UnitState {
            enabled: enabled.to_owned(),
            active: active.to_owned(),
        };
        let unit = name.parse().unwrap();
        change(Phase::Narrow, Change::Unit { unit, before: state(before), after: state(after) })
    };
    let brought = "fail2ban.service";
    let waiting = unit(brought, ("not-found", "inactive"), ("enabled", "active"));
    let started = unit("other.service", ("not-found", "inactive"), ("not-found", "active"));
    let there = step(Phase::Narrow, "/etc/a", file("old"), file("new"));
    let missing = step(Phase::Narrow, "/etc/b", FileState::Absent, file("new"));
    let approved =
        plan(vec![package.clone(), there.clone(), missing.clone(), waiting.clone(), started.clone()]);
    let judged =
        |steps: &[&Step]| plan(steps.iter().map(|step| (*step).clone()).collect()).after_packages(&approved);
    assert_eq!(judged(&[&there, &missing, &waiting, &started]), Ok(()));
    assert_eq!(judged(&[&there]), Ok(()), "the packages brought the rest as it shall be");
    let conffile = step(Phase::Narrow, "/etc/b", file("the package's"), file("new"));
    let installed = unit(brought, ("enabled", "failed"), ("enabled", "active"));
    let other = unit("other.service", ("disabled", "inactive"), ("disabled", "active"));
    assert_eq!(judged(&[&there, &conffile, &installed, &other]), Ok(()));

    for refused in [
        vec![&package, &there],
        vec![&missing],
        vec![&step(Phase::Narrow, "/etc/a", file("edited"), file("new"))],
        vec![&there, &step(Phase::Narrow, "/etc/b", FileState::Absent, file("else"))],
        vec![&there, &step(Phase::Widen, "/etc/b", FileState::Absent, file("new"))],
        vec![&there, &step(Phase::Narrow, "/etc/c", FileState::Absent, file("new"))],
        vec![&there, &unit(brought, ("enabled", "active"), ("disabled", "inactive"))],
        vec![&there, &unit("other.service", ("disabled", "inactive"), ("enabled", "active"))],
        vec![&there, &Step { cuts: vec!["somebody".to_owned()], ..missing.clone() }],
    ] {
        assert!(judged(&refused).is_err(), "{refused:?}");
    }
    let path = "/etc/a".parse().unwrap();
    let stuck = HostPlan { obstacles: vec![Obstacle::Conflict { path }], ..approved.clone() };
    assert!(stuck.after_packages(&approved).is_err());
}

#[test]
fn unknown_outweighs_drift_and_nothing_asked_is_unknown() {
    let compliant = Verdict::compliant();
    let drift = Verdict::Drift { findings: vec!["x".to_owned()] };
    let unknown = Verdict::Unknown { reason: "cut".to_owned() };
    let none = Verdict::NotApplicable { reason: "no such thing".to_owned() };
    assert_eq!(control_verdict([&compliant, &drift, &unknown].into_iter()).word(), "unknown");
    assert_eq!(control_verdict([&compliant, &drift, &none].into_iter()).word(), "drift");
    assert_eq!(control_verdict([&compliant, &none].into_iter()).word(), "compliant");
    assert_eq!(control_verdict([&none].into_iter()).word(), "not-applicable");
    assert_eq!(control_verdict([].into_iter()).word(), "unknown");
}

fn waived(verdict: Verdict, expires: &str) -> Verdict {
    let control: ControlId = "hosting".parse().unwrap();
    let judged = Judged {
        resource: "x".to_owned(),
        kind: "x".to_owned(),
        enforced: false,
        controls: vec![control.clone()],
        waived: false,
        verdict,
    };
    let expires: jiff::civil::Date = expires.parse().unwrap();
    let waiver = Exception {
        control: control.clone(),
        owner: "Alice Martin".parse().unwrap(),
        reason: "a test".to_owned(),
        expires,
        expired: expires < jiff::civil::date(2026, 11, 28),
    };
    verdicts(&[control], &[judged], &[waiver]).remove(0).1
}

#[test]
fn a_waiver_excepts_from_what_differs_and_never_from_what_could_not_be_read() {
    let drift = || Verdict::Drift { findings: vec!["x".to_owned()] };
    let unknown = Verdict::Unknown { reason: "cut".to_owned() };
    let valid = "2026-11-28";
    assert_eq!(
        waived(drift(), valid),
        Verdict::Waived {
            findings: vec!["x".to_owned()],
            owner: "Alice Martin".to_owned(),
            reason: "a test".to_owned(),
            expires: valid.parse().unwrap(),
        }
    );
    assert_eq!(waived(unknown.clone(), valid), unknown);
    let none = Verdict::NotApplicable { reason: "no such thing".to_owned() };
    assert_eq!(waived(none.clone(), valid), none);
    let Verdict::Compliant { notes } = waived(Verdict::compliant(), valid) else { panic!("it holds") };
    assert_eq!(notes, ["the waiver of Alice Martin until 2026-11-28 is not needed"]);
}

#[test]
fn a_waiver_that_ran_out_fails_by_itself() {
    let ran_out = "the waiver of Alice Martin ran out on 2026-11-27: renew it or remove it (a test)";
    let over = |verdict: Verdict| waived(verdict, "2026-11-27");
    let Verdict::Drift { findings } = over(Verdict::Drift { findings: vec!["x".to_owned()] }) else {
        panic!("drift stays drift")
    };
    assert_eq!(findings, ["x", ran_out]);
    for verdict in [Verdict::compliant(), Verdict::NotApplicable { reason: "none".to_owned() }] {
        assert_eq!(over(verdict), Verdict::Drift { findings: vec![ran_out.to_owned()] });
    }
    assert_eq!(over(Verdict::Unknown { reason: "cut".to_owned() }).word(), "unknown");
}

#[test]
fn a_plan_that_was_edited_or_grew_old_is_refused() {
    let made: Timestamp = "2026-11-28T22:00:00Z".parse().unwrap();
    let inputs = Digest::of(b"inputs");
    let plan = Plan::new("0.1.0", Environment::Prod, made, inputs.clone(), Vec::new());
    let hours = |hours: i64| made + jiff::SignedDuration::from_hours(hours);
    assert_eq!(plan.fresh("0.1.0", &inputs, hours(23)), Ok(()));
    assert_eq!(plan.fresh("0.1.0", &inputs, hours(25)), Err(Stale::Old));
    assert_eq!(plan.fresh("0.1.0", &inputs, hours(-1)), Err(Stale::Early));
    assert_eq!(plan.fresh("0.2.0", &inputs, made), Err(Stale::Tool("0.1.0".to_owned())));
    assert_eq!(plan.fresh("0.1.0", &Digest::of(b"others"), made), Err(Stale::Inputs));
    let edited = Plan { environment: Environment::Dev, ..plan };
    assert_eq!(edited.fresh("0.1.0", &inputs, made), Err(Stale::Hash));
}

#[test]
fn an_obstacle_keeps_what_depends_on_it_and_nothing_else() {
    let controls = |names: &[&str]| names.iter().map(|name| name.parse().unwrap()).collect();
    let file = |path: &str, names: &[&str]| {
        let resource = crate::kinds::file::File { path: path.parse().unwrap(), content: None };
        Wanted { resource: Resource::File(resource), enforced: true, controls: controls(names) }
    };
    let account = |name: &str, names: &[&str]| {
        let resource = crate::kinds::user::User::Closed { user: name.parse().unwrap() };
        Wanted { resource: Resource::User(resource), enforced: true, controls: controls(names) }
    };
    let change = || vec![step(Phase::Narrow, "/etc/a", FileState::Absent, FileState::Absent)];
    let (alone, shared, quiet, other, bob) = (
        file("/etc/1", &["a"]),
        file("/etc/2", &["a", "b"]),
        file("/etc/3", &["a", "quiet"]),
        file("/etc/4", &["c"]),
        account("bob", &["d"]),
    );
    let wishes = [(&shared, change()), (&quiet, Vec::new()), (&other, change()), (&bob, change())];
    let names =
        |blocked: BTreeSet<ControlId>| blocked.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    assert_eq!(names(blocked(&[&alone], &wishes)), "a b");
    assert_eq!(names(blocked(&[], &wishes)), "");
    let carol = account("carol", &["e"]);
    assert_eq!(names(blocked(&[&carol], &wishes)), "d e", "who gets in is changed together, or not at all");
}
