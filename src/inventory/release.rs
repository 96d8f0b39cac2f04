//! `release:` of `inventories/fleet.yaml`: when releases come. Refuses what would make a window nobody can keep: a start that
//! does not exist on some day, a cycle that leaves the weekend, less notice than is promised.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::civil::{Date, Time};

use super::Limits;
use crate::calendar::{Ahead, Day, Freeze, LONGEST, NOTICE, Plan, SHORTEST, Window, Zone};
use crate::domain::{Comment, Environment, UnitName, Url};
use crate::source::{Map, Value};
use crate::text::Malformed;

/// How long a release stands in test before prod takes it, where nothing is declared: over a weekend's night and two days
/// of work.
const SOAK: Duration = Duration::from_hours(48);

const WEEK: u64 = 7 * 86_400;

const SERVICE_FIX: &str =
    "write a service, such as nginx.service, or postgresql@.service for all instances of a template";

/// A day at the weekend and a time of day.
pub(super) fn start(text: &str) -> Option<(Day, Time)> {
    let (word, time) = text.split_once(' ')?;
    let day = match word {
        "Sat" => Day::Saturday,
        "Sun" => Day::Sunday,
        _ => return None,
    };
    let shaped = time.len() == 5
        && time.bytes().enumerate().all(|(at, b)| if at == 2 { b == b':' } else { b.is_ascii_digit() });
    Some((day, shaped.then(|| time.parse().ok()).flatten()?))
}

/// The plan that stands here.
pub(super) fn plan(value: &Value<'_>, limits: &Limits) -> Option<Plan> {
    let map = value.map()?;
    let first = map.required("first").and_then(|value| Some((value.date()?, value)));
    let timezone = map.required("timezone").and_then(|value| value.parse::<Zone>());
    let window_at = map.required("window").and_then(|value| value.map());
    let window = window_at.as_ref().and_then(window);
    let cycle_weeks = limits.patch_cycle_days / 7;
    if !limits.patch_cycle_days.is_multiple_of(7) {
        let why = format!("a patch cycle of {} days leaves the weekend", limits.patch_cycle_days);
        value.refuse(&why, "write whole weeks as limits.patch_cycle");
        return None;
    }
    let cycle = Duration::from_secs(u64::from(cycle_weeks) * WEEK);
    let notice = map.required("notice").and_then(|value| {
        let notice = value.duration()?;
        if notice < NOTICE || notice > cycle {
            value.refuse("less notice than is promised, or more than a cycle", "write 48h, or some days");
        }
        Some(notice)
    });
    let order = map.required("order").and_then(|value| {
        let order: Vec<Environment> = value.list()?.iter().filter_map(Value::parse).collect();
        if order != Environment::ALL {
            value.refuse("not the order of promotion", "write [dev, test, prod]");
        }
        Some(order)
    });
    let ahead_at = map.field("ahead");
    let ahead = match &ahead_at {
        Some(value) => value.map().as_ref().and_then(ahead),
        None => Some(Ahead { dev: 2, test: 1 }),
    };
    if let Some(ahead) = ahead
        && ahead.dev > cycle_weeks
    {
        let why = "dev would have the next release before prod has this one";
        ahead_at
            .as_ref()
            .unwrap_or(value)
            .refuse(why, "write fewer weeks in `ahead`, or a longer limits.patch_cycle");
    }
    let soak = map.field("soak").map_or(Some(SOAK), |value| {
        let soak = value.duration()?;
        if ahead.is_some_and(|ahead| soak.as_secs() > u64::from(ahead.test) * WEEK - 86_400) {
            let fix = "write at most a day less than `ahead.test`, so that prod's window can be kept";
            value.refuse("longer than a release stands in test", fix);
        }
        Some(soak)
    });
    let holidays = map.field("holidays").map(|value| days(&value)).unwrap_or_default();
    let freezes = map.field("freezes").and_then(|value| value.list()).unwrap_or_default();
    let freezes = freezes.iter().filter_map(freeze).collect();
    let deny_restart = map.field("deny_restart").map(|value| services(&value)).unwrap_or_default();
    let keyrings = map.field("keyrings").map(|value| keyrings(&value)).unwrap_or_default();
    let mirror = map.field("mirror").and_then(|value| mirror(&value));
    let (first, first_at) = first?;
    let window = window?;
    if first.weekday() != window.day.weekday() {
        let day = format!("{:?}", window.day);
        first_at
            .refuse(&format!("not a {day}, on which the window opens"), "write the day of the first window");
        return None;
    }
    let plan = Plan {
        first,
        cycle_weeks,
        timezone: timezone?,
        window,
        notice: notice?,
        order: order?,
        ahead: ahead?,
        soak: soak?,
        holidays,
        freezes,
        deny_restart,
        mirror,
        keyrings,
    };
    if let (Some((day, why)), Some(start)) = (plan.ambiguous_start(), window_at?.field("start")) {
        let why =
            format!("this time {why} on {day} in {}, where the clocks are changed", plan.timezone.name());
        start.refuse(&why, "let the window open some hours earlier or later");
    }
    Some(plan)
}

fn window(map: &Map<'_>) -> Option<Window> {
    let start = map.required("start").and_then(|value| {
        let text = value.text()?;
        value.checked(start(text).ok_or_else(|| {
            Malformed::new("not a start at the weekend", "write a day and a time, such as \"Sat 22:00\"")
        }))
    });
    let duration = map.required("duration").and_then(|value| {
        let duration = value.duration()?;
        if !(SHORTEST..=LONGEST).contains(&duration) {
            value
                .refuse("a window shorter than half an hour, or longer than a weekend", "write 30min to 48h");
        }
        Some(duration)
    });
    let (day, time) = start?;
    Some(Window { day, time, duration: duration? })
}

fn ahead(map: &Map<'_>) -> Option<Ahead> {
    let weeks = |name: &str| {
        let value = map.required(name)?;
        let seconds = value.duration()?.as_secs();
        let weeks =
            u32::try_from(seconds / WEEK).ok().filter(|weeks| *weeks > 0 && seconds.is_multiple_of(WEEK));
        if weeks.is_none() {
            value.refuse("not a whole number of weeks", "write 1 week or more: windows are weekly");
        }
        Some((weeks?, value))
    };
    let (dev, test) = (weeks("dev"), weeks("test"));
    let ((dev, dev_at), (test, _)) = (dev?, test?);
    if dev <= test {
        dev_at.refuse("dev has its window no earlier than test", "write more weeks than for test");
    }
    Some(Ahead { dev, test })
}

fn days(value: &Value<'_>) -> BTreeSet<Date> {
    let mut days = BTreeSet::new();
    for item in value.list().unwrap_or_default() {
        if let Some(day) = item.date()
            && !days.insert(day)
        {
            item.refuse("the same day twice", "keep one");
        }
    }
    days
}

/// Whether `text` names what a release could restart.
pub(super) fn is_service(text: &str) -> bool {
    text.ends_with(".service") && text.parse::<UnitName>().is_ok()
}

/// Services that no release restarts. What is no service is refused, since nothing would ever be kept from a restart by it.
fn services(value: &Value<'_>) -> BTreeSet<UnitName> {
    let items = value.list().unwrap_or_default();
    let found: Vec<(UnitName, &Value<'_>)> =
        items.iter().filter_map(|item| Some((item.parse::<UnitName>()?, item))).collect();
    let mut services = BTreeSet::new();
    for (unit, item) in &found {
        if !is_service(unit.as_str()) {
            item.refuse("not a service, and a release restarts nothing else", SERVICE_FIX);
        } else if !services.insert(unit.clone()) {
            item.refuse("the same service twice", "keep one");
        }
    }
    for (unit, item) in &found {
        if let Some(template) = unit.template().filter(|template| services.contains(template)) {
            item.refuse(&format!("an instance of {template}, which stands here too"), "keep one of them");
        }
    }
    services
}

/// Which keyring of the project verifies the archive of whom.
fn keyrings(value: &Value<'_>) -> BTreeMap<String, String> {
    let mut keyrings = BTreeMap::new();
    for item in value.list().unwrap_or_default() {
        let Some(map) = item.map() else { continue };
        let text = |name: &str| map.required(name).and_then(|value| Some((value.text()?.to_owned(), value)));
        let (Some((origin, at)), Some((file, file_at))) = (text("origin"), text("file")) else { continue };
        if !crate::text::is_inside(&file) {
            file_at.refuse("not a path within the project", "write one such as keyrings/postgresql.gpg");
        } else if keyrings.insert(origin, file).is_some() {
            at.refuse("a second keyring for the same archive", "keep one: a file may hold several keys");
        }
    }
    keyrings
}

/// Where packages of releases lie. A login is refused by the reader of all values.
fn mirror(value: &Value<'_>) -> Option<Url> {
    let text = value.text()?;
    if text.contains('@') {
        return None; // refused already, as a login
    }
    value.checked(text.parse::<Url>().map_err(|_| {
        Malformed::new(
            "not an address of a mirror",
            "write http:// or https://, a host and the path where releases/ is published",
        )
    }))
}

fn freeze(value: &Value<'_>) -> Option<Freeze> {
    let map = value.map()?;
    let from = map.required("from").and_then(|value| value.date());
    let to = map.required("to").and_then(|value| value.date());
    let reason = map.required("reason").and_then(|value| value.parse::<Comment>());
    let environments: BTreeSet<Environment> = match map.field("environments") {
        Some(value) => {
            let listed: BTreeSet<Environment> =
                value.list().unwrap_or_default().iter().filter_map(Value::parse).collect();
            if listed.is_empty() {
                value.refuse("a freeze of no environment", "name dev, test or prod, or leave the field out");
            }
            listed
        }
        None => BTreeSet::from([Environment::Prod]),
    };
    let (from, to) = (from?, to?);
    if to < from {
        value.refuse("the freeze ends before it begins", "swap `from` and `to`, or correct one");
    }
    Some(Freeze { from, to, reason: reason?.into(), environments })
}
