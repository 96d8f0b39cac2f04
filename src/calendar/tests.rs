//! The calendar against days on which clocks change, holidays and freezes, and against another reader of its file.

use super::*;

fn plan(start: (Day, &str), zone: &str, first: &str) -> Plan {
    Plan {
        first: first.parse().unwrap(),
        cycle_weeks: 4,
        timezone: zone.parse().unwrap(),
        window: Window { day: start.0, time: start.1.parse().unwrap(), duration: Duration::from_hours(4) },
        notice: NOTICE,
        order: Environment::ALL.to_vec(),
        ahead: Ahead { dev: 2, test: 1 },
        soak: Duration::from_hours(72),
        holidays: BTreeSet::new(),
        freezes: Vec::new(),
        deny_restart: BTreeSet::new(),
        mirror: None,
        keyrings: std::collections::BTreeMap::new(),
    }
}

fn paris() -> Plan {
    plan((Day::Saturday, "22:00"), "Europe/Paris", "2026-11-28")
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn day(text: &str) -> Date {
    text.parse().unwrap()
}

/// The windows of a release, as days and hours of the plan's zone.
fn shown(release: &Release) -> Vec<String> {
    let window = |slot: &Slot| match &slot.window {
        Some(span) => {
            format!("{} {}", span.opens.strftime("%Y-%m-%d %H:%M"), span.closes.strftime("%d %H:%M %Z"))
        }
        None => "none".to_owned(),
    };
    release.slots.iter().map(window).collect()
}

#[test]
fn a_release_goes_through_its_environments_week_by_week() {
    let release = paris().release(1).unwrap();
    assert_eq!(release.id.to_string(), "2026-11-28");
    assert_eq!(
        shown(&release),
        ["2026-11-14 22:00 15 02:00 CET", "2026-11-21 22:00 22 02:00 CET", "2026-11-28 22:00 29 02:00 CET"]
    );
    let second = paris().release(2).unwrap();
    assert_eq!(second.id.to_string(), "2026-12-26");
    assert!(paris().release(0).is_none());
}

#[test]
fn a_window_is_as_long_as_it_is_declared_whatever_the_clocks_do() {
    // Clocks in Paris go forward on 2027-03-28 at 02:00, back on 2026-10-25 at 03:00.
    let spring = plan((Day::Sunday, "00:00"), "Europe/Paris", "2027-03-28").release(1).unwrap();
    let window = spring.window(Environment::Prod).unwrap();
    assert_eq!(window.closes.strftime("%H:%M %Z").to_string(), "05:00 CEST");
    assert_eq!(window.closes.duration_since(&window.opens).as_hours(), 4);
    let autumn = plan((Day::Sunday, "00:00"), "Europe/Paris", "2026-10-25").release(1).unwrap();
    let window = autumn.window(Environment::Prod).unwrap();
    assert_eq!(window.closes.strftime("%H:%M %Z").to_string(), "03:00 CET");
}

#[test]
fn a_notice_is_due_so_many_hours_before_whatever_the_clocks_do() {
    // 48 hours before Sunday noon, with one hour less in between: Friday 11:00.
    let plan = plan((Day::Sunday, "12:00"), "Europe/Paris", "2027-03-28");
    let release = plan.release(1).unwrap();
    let notice = release.window(Environment::Prod).unwrap().notice_by(plan.notice);
    assert_eq!(notice.strftime("%a %H:%M %Z").to_string(), "Fri 11:00 CET");
}

#[test]
fn a_start_in_a_gap_or_fold_is_found() {
    let in_gap = plan((Day::Sunday, "02:30"), "Europe/Paris", "2026-11-29");
    assert_eq!(in_gap.ambiguous_start(), Some((day("2027-03-28"), "does not exist")));
    let in_fold = plan((Day::Sunday, "01:30"), "America/New_York", "2026-10-25");
    assert_eq!(in_fold.ambiguous_start(), Some((day("2026-11-01"), "exists twice")));
    assert_eq!(paris().ambiguous_start(), None);
    assert_eq!(plan((Day::Sunday, "02:30"), "UTC", "2026-11-29").ambiguous_start(), None);
}

#[test]
fn a_holiday_moves_a_window_to_the_next_week_and_the_cycle_stays() {
    let mut plan = paris();
    // The window of the 26th ends on the 27th.
    plan.holidays.insert(day("2026-12-27"));
    let second = plan.release(2).unwrap();
    assert_eq!(second.id.to_string(), "2026-12-26");
    assert!(shown(&second)[2].starts_with("2027-01-02 22:00"), "{:?}", shown(&second));
    let moved = second.slots[2].moved.as_deref();
    assert_eq!(moved, Some("moved from 2026-12-26: 2026-12-27 is a holiday"));
    assert!(shown(&plan.release(3).unwrap())[2].starts_with("2027-01-23 22:00"));
}

#[test]
fn a_freeze_concerns_its_environments_and_order_is_kept() {
    let mut plan = paris();
    plan.freezes.push(Freeze {
        from: day("2026-11-20"),
        to: day("2026-11-29"),
        reason: "a fair".to_owned(),
        environments: BTreeSet::from([Environment::Test]),
    });
    let release = plan.release(1).unwrap();
    let windows = shown(&release);
    assert!(windows[0].starts_with("2026-11-14"));
    assert!(windows[1].starts_with("2026-12-05"), "{windows:?}");
    assert!(windows[2].starts_with("2026-12-12"), "{windows:?}");
    assert_eq!(release.slots[2].moved.as_deref(), Some("moved from 2026-11-28: the one before it moved"));
}

#[test]
fn a_freeze_of_a_whole_cycle_leaves_no_window() {
    let mut plan = paris();
    plan.freezes.push(Freeze {
        from: day("2026-11-28"),
        to: day("2026-12-31"),
        reason: "year's end".to_owned(),
        environments: BTreeSet::from([Environment::Prod]),
    });
    let release = plan.release(1).unwrap();
    assert_eq!(release.window(Environment::Prod), None);
    assert_eq!(
        release.slots[2].moved.as_deref(),
        Some("no week is left before the next release: frozen from 2026-11-28 to 2026-12-31: year's end")
    );
    let next = plan.next_window(Environment::Prod, at("2026-11-28T00:00:00Z")).unwrap();
    assert_eq!(next.opens.date(), day("2027-01-02"));
}

#[test]
fn what_is_coming_and_what_is_due_change_when_a_window_is_over() {
    let plan = paris();
    let ids = |now: &str| -> Vec<String> {
        plan.coming(at(now), 2).iter().map(|release| release.id.to_string()).collect()
    };
    assert_eq!(ids("2020-01-01T00:00:00Z"), ["2026-11-28", "2026-12-26"]);
    assert_eq!(ids("2026-11-29T00:59:59Z"), ["2026-11-28", "2026-12-26"]);
    assert_eq!(ids("2026-11-29T01:00:00Z"), ["2026-12-26", "2027-01-23"]);
    assert_eq!(ids("2036-06-01T00:00:00Z"), ["2036-06-28", "2036-07-26"]);
    let due = |now: &str| plan.due(Environment::Prod, at(now)).map(|release| release.id.to_string());
    assert_eq!(due("2026-11-29T00:59:59Z"), None);
    assert_eq!(due("2026-11-29T01:00:00Z").as_deref(), Some("2026-11-28"));
    assert_eq!(due("2026-12-27T00:59:59Z").as_deref(), Some("2026-11-28"));
    assert_eq!(due("2026-12-27T01:00:00Z").as_deref(), Some("2026-12-26"));
    assert_eq!(due("2036-06-01T00:00:00Z").as_deref(), Some("2036-05-31"));
}

#[test]
fn every_weekly_window_is_one_for_planned_work() {
    let plan = paris();
    assert!(plan.open(at("2026-12-05T20:59:59Z")).is_none());
    assert_eq!(plan.open(at("2026-12-05T21:00:00Z")).unwrap().opens.date(), day("2026-12-05"));
    assert!(plan.open(at("2026-12-06T00:59:59Z")).is_some());
    assert!(plan.open(at("2026-12-06T01:00:00Z")).is_none());
}

#[test]
fn a_release_is_found_by_its_day_and_by_no_other() {
    assert_eq!(paris().named(day("2026-12-26")).unwrap().number, 2);
    for other in ["2026-12-25", "2026-12-05", "2026-10-31"] {
        assert!(paris().named(day(other)).is_none(), "{other}");
    }
}

#[test]
fn a_zone_is_called_by_its_exact_name() {
    assert_eq!("europe/paris".parse::<Zone>().unwrap_err().fix, "write Europe/Paris");
    assert!("Europe/Pariss".parse::<Zone>().is_err());
    assert!("../../etc/passwd".parse::<Zone>().is_err());
}

#[test]
fn another_program_reads_the_calendar() {
    use icalendar::{CalendarComponent, Component as _};
    let mut plan = paris();
    plan.holidays.insert(day("2026-12-26"));
    let releases = plan.coming(at("2026-11-23T00:00:00Z"), 2);
    let company =
        "Example, Söhne; \\ \u{1b}[31m and a name that is long enough to be folded somewhere in the middle";
    let text = calendar(&plan, company, &releases, &Environment::ALL, at("2026-11-23T10:00:00Z"));
    for line in text.split("\r\n") {
        assert!(line.len() <= 75 && !line.contains(['\n', '\u{1b}']), "{line:?}");
    }
    let read: icalendar::Calendar = text.parse().unwrap();
    let events: Vec<_> = read
        .components
        .iter()
        .filter_map(|component| match component {
            CalendarComponent::Event(event) => Some(event),
            _ => None,
        })
        .collect();
    assert_eq!(events.len(), 6);
    let prod = events[5];
    assert_eq!(prod.get_uid().unwrap().split('@').next(), Some("2026-12-26-prod"));
    let utc = |moment: Option<icalendar::DatePerhapsTime>| match moment {
        Some(icalendar::DatePerhapsTime::DateTime(icalendar::CalendarDateTime::Utc(utc))) => utc.to_rfc3339(),
        other => panic!("{other:?}"),
    };
    assert_eq!(utc(prod.get_start()), "2027-01-02T21:00:00+00:00");
    assert_eq!(utc(prod.get_end()), "2027-01-03T01:00:00+00:00");
    let title = prod.get_summary().unwrap();
    assert!(title.contains("Example") && title.contains("folded somewhere in the middle"), "{title}");
}

#[test]
fn turns_begin_with_the_one_that_was_over_last() {
    let plan = paris();
    let turns = |environment, now: &str| -> Vec<String> {
        let turns = plan.turns(environment, now.parse().unwrap());
        turns.iter().map(|turn| turn.release.to_string()).collect()
    };
    let first = ["2026-11-28", "2026-12-26", "2027-01-23", "2027-02-20"];
    assert_eq!(turns(Environment::Prod, "2026-01-01T00:00:00Z"), first, "none was over");
    assert_eq!(turns(Environment::Prod, "2026-12-26T20:00:00Z"), first);
    assert_eq!(turns(Environment::Prod, "2026-12-27T00:59:59Z"), first, "it is open");
    let second = ["2026-12-26", "2027-01-23", "2027-02-20", "2027-03-20"];
    assert_eq!(turns(Environment::Prod, "2026-12-27T01:00:00Z"), second);
    assert_eq!(turns(Environment::Dev, "2026-12-13T01:00:00Z"), second, "dev has it two weeks earlier");
    let mut frozen = plan.clone();
    frozen.freezes.push(Freeze {
        from: "2026-12-20".parse().unwrap(),
        to: "2027-12-31".parse().unwrap(),
        reason: "a year's rest".to_owned(),
        environments: [Environment::Prod].into(),
    });
    let rest: Vec<String> = frozen
        .turns(Environment::Prod, "2027-06-01T00:00:00Z".parse().unwrap())
        .iter()
        .map(|turn| turn.release.to_string())
        .collect();
    assert_eq!(rest, ["2026-11-28"], "what was due before the freeze stays due");
}

#[test]
fn moments_are_so_far_away() {
    let now = at("2026-11-26T21:00:00Z");
    for (moment, words) in [
        ("2026-11-26T21:00:59Z", "in 0 minutes"),
        ("2026-11-26T21:01:00Z", "in 1 minute"),
        ("2026-11-26T22:59:59Z", "in 119 minutes"),
        ("2026-11-26T23:00:00Z", "in 2 hours"),
        ("2026-11-28T20:59:59Z", "in 47 hours"),
        ("2026-11-28T21:00:00Z", "in 2 days"),
        ("2026-11-26T20:58:00Z", "2 minutes ago"),
        ("2026-11-23T20:59:59Z", "3 days ago"),
    ] {
        assert_eq!(away(now, at(moment)), words);
    }
}
