//! When releases come: cycles, windows, deadlines for notices, holidays, freezes, and what summer time does to them. Pure:
//! the moment that is judged by is always an argument, and the rules of time zones are those that this binary carries.
//!
//! A release is named after the day of its window in prod as the cycle has it: `2026-11-28`. That day comes every
//! [`Plan::cycle_weeks`] weeks; dev and test have their windows weeks before it. A window that touches a holiday or a freeze
//! moves to the next week in which it does not, and the cycle stays where it was. It refuses a start that does not exist
//! or exists twice on some day, since nobody would know when to begin.

mod ics;

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;
use std::time::Duration;

use jiff::civil::{Date, Time, Weekday};
use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{SignedDuration, Timestamp, ToSpan as _, Zoned};
use serde::{Deserialize, Serialize};

use crate::domain::{Environment, ReleaseId, UnitName, Url};
use crate::source::shape::Text;
use crate::text::Malformed;

pub use ics::calendar;

/// Years for which the start of every weekly window is looked at before a plan is accepted. Rules of time zones are known
/// for as long as nobody changes them; a longer look would find nothing more.
const LOOKED_AHEAD: i32 = 10;

/// Longest window: the weekend.
pub const LONGEST: Duration = Duration::from_hours(48);

/// Shortest window: a host restarts in minutes, and its services after it.
pub const SHORTEST: Duration = Duration::from_mins(30);

/// Shortest notice: what is promised.
pub const NOTICE: Duration = Duration::from_hours(48);

/// When releases come, and how they travel.
#[derive(Debug, Clone, Serialize)]
pub struct Plan {
    /// The day on which the first release has its window in prod; on the window's day of the week.
    pub first: Date,
    /// Weeks between two releases.
    pub cycle_weeks: u32,
    /// The time zone of all times here.
    pub timezone: Zone,
    /// When planned work is done.
    pub window: Window,
    /// How long before it administrators are told; [`NOTICE`] at least.
    #[serde(serialize_with = "seconds")]
    pub notice: Duration,
    /// Through which environments it goes.
    pub order: Vec<Environment>,
    /// How long before prod dev and test have their windows.
    pub ahead: Ahead,
    /// How long a release stands in test before prod takes it.
    #[serde(serialize_with = "seconds")]
    pub soak: Duration,
    /// Days without planned work.
    pub holidays: BTreeSet<Date>,
    /// Days on which environments stay as they are.
    pub freezes: Vec<Freeze>,
    /// Services that no release restarts; a template stands for all its instances.
    pub deny_restart: BTreeSet<UnitName>,
    /// Where hosts of test and prod download the packages of releases, beside being carried them: `URL/RELEASE/pool/SHA256.deb`.
    pub mirror: Option<Url>,
    /// The keyrings that verify archives, by who runs the archive: paths within the project. Debian's own need none.
    pub keyrings: BTreeMap<String, String>,
}

/// Weeks between the windows of dev or test and that of prod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Ahead {
    /// Of dev; more than test's.
    pub dev: u32,
    /// Of test; one at least.
    pub test: u32,
}

/// A weekly window for planned work.
#[derive(Debug, Clone, Serialize)]
pub struct Window {
    /// On which day it opens.
    pub day: Day,
    /// At what time.
    pub time: Time,
    /// For how long, by a clock that knows no summer time.
    #[serde(serialize_with = "seconds")]
    pub duration: Duration,
}

/// A day at the weekend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Day {
    /// Saturday.
    Saturday,
    /// Sunday.
    Sunday,
}

impl Day {
    /// The same among all days of the week.
    pub fn weekday(self) -> Weekday {
        match self {
            Self::Saturday => Weekday::Saturday,
            Self::Sunday => Weekday::Sunday,
        }
    }
}

/// Days on which environments stay as they are.
#[derive(Debug, Clone, Serialize)]
pub struct Freeze {
    /// The first one.
    pub from: Date,
    /// The last one.
    pub to: Date,
    /// Why, in a line.
    pub reason: String,
    /// The environments that it blocks.
    pub environments: BTreeSet<Environment>,
}

/// A time zone by its IANA name, with the rules that this binary carries: the same on every machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct Zone {
    name: String,
    rules: TimeZone,
}

/// The name of a time zone.
pub const ZONE: Text = Text {
    about: "an IANA name, such as Europe/Paris",
    pattern: "^[A-Za-z0-9/_+-]{1,64}$",
    accepts: |text| text.parse::<Zone>().is_ok(),
    exact: false,
};

impl FromStr for Zone {
    type Err = Malformed;

    fn from_str(name: &str) -> Result<Self, Malformed> {
        let fix = "write its IANA name, such as Europe/Paris";
        let rules = TimeZoneDatabase::bundled()
            .get(name)
            .map_err(|_| Malformed::new("no time zone that palisade knows", fix))?;
        match rules.iana_name() {
            Some(exact) if exact == name => Ok(Self { name: name.to_owned(), rules }),
            Some(exact) => Err(Malformed::new("not the time zone's exact name", format!("write {exact}"))),
            None => Err(Malformed::new("no time zone that palisade knows", fix)),
        }
    }
}

impl Zone {
    /// Its IANA name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// `moment` as its clocks show it.
    pub fn shows(&self, moment: Timestamp) -> Zoned {
        moment.to_zoned(self.rules.clone())
    }
}

impl TryFrom<String> for Zone {
    type Error = Malformed;

    fn try_from(name: String) -> Result<Self, Malformed> {
        name.parse()
    }
}

impl From<Zone> for String {
    fn from(zone: Zone) -> Self {
        zone.name
    }
}

/// From when to when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Span {
    /// It begins.
    pub opens: Zoned,
    /// It is over.
    pub closes: Zoned,
}

impl Span {
    /// Whether `now` lies in it. Its end does not.
    pub fn holds(&self, now: Timestamp) -> bool {
        self.opens.timestamp() <= now && now < self.closes.timestamp()
    }

    /// Until when notice must have been given.
    pub fn notice_by(&self, notice: Duration) -> Zoned {
        // Only a notice of thousands of years has no such moment.
        self.opens.saturating_sub(SignedDuration::try_from(notice).unwrap_or(SignedDuration::MAX))
    }

    /// The days that it touches.
    fn days(&self) -> (Date, Date) {
        let last = self.closes.saturating_sub(SignedDuration::from_nanos(1));
        (self.opens.date(), last.date())
    }
}

/// One release: a window in each environment.
#[derive(Debug, Clone, Serialize)]
pub struct Release {
    /// Its name: the day that the cycle has for prod.
    pub id: Date,
    /// Which one, from 1.
    pub number: u32,
    /// Its windows, in the order of promotion.
    pub slots: Vec<Slot>,
}

/// The window of a release in one environment.
#[derive(Debug, Clone, Serialize)]
pub struct Slot {
    /// The environment.
    pub environment: Environment,
    /// When; none where holidays and freezes leave no week before the next release.
    pub window: Option<Span>,
    /// Why it does not stand where the cycle has it.
    pub moved: Option<String>,
}

/// The window of a release in one environment, as two moments.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Turn {
    /// The release.
    pub release: ReleaseId,
    /// Time at which its window opens.
    pub opens: Timestamp,
    /// Time at which its window closes: then the release is due.
    pub closes: Timestamp,
}

impl Release {
    /// Its window in `environment`.
    pub fn window(&self, environment: Environment) -> Option<&Span> {
        self.slots.iter().find(|slot| slot.environment == environment)?.window.as_ref()
    }
}

impl Plan {
    /// The release of this number, from 1; none past the end of the calendar (year 9999).
    pub fn release(&self, number: u32) -> Option<Release> {
        let weeks = i64::from(number.checked_sub(1)?) * i64::from(self.cycle_weeks);
        let id = self.first.checked_add(weeks.weeks()).ok()?;
        let mut slots: Vec<Slot> = Vec::new();
        for environment in &self.order {
            let day = id.checked_sub(i64::from(self.weeks_ahead(*environment)).weeks()).ok()?;
            let after = slots.iter().rev().find_map(|slot| slot.window.as_ref());
            slots.push(self.slot(*environment, day, after)?);
        }
        Some(Release { id, number, slots })
    }

    /// The release that the cycle has for prod on the day `id`.
    pub fn named(&self, id: Date) -> Option<Release> {
        let days = self.first.until(id).ok()?.get_days();
        let cycle = i32::try_from(self.cycle_weeks * 7).ok()?;
        if days < 0 || days % cycle != 0 {
            return None;
        }
        self.release(u32::try_from(days / cycle).ok()? + 1)
    }

    /// The next `count` releases: those of which some window is not over at `now`.
    pub fn coming(&self, now: Timestamp, count: usize) -> Vec<Release> {
        (self.near(now)..)
            .map_while(|number| self.release(number))
            .filter(|release| {
                let mut windows = release.slots.iter().filter_map(|slot| slot.window.as_ref());
                windows.any(|window| window.closes.timestamp() > now)
            })
            .take(count)
            .collect()
    }

    /// The newest release whose window in `environment` was over at `now`: what its hosts have unless they are overdue.
    pub fn due(&self, environment: Environment, now: Timestamp) -> Option<Release> {
        let over = |release: &Release| {
            release.window(environment).is_some_and(|window| window.closes.timestamp() <= now)
        };
        let first = self.near(now);
        let last = first.saturating_add(4);
        (first..=last).rev().chain((1..first).rev()).filter_map(|number| self.release(number)).find(over)
    }

    /// The turns of `environment` around `now`, oldest first: the one that was over last, and those of the next cycles.
    /// At most four: they hold for longer than the day whose look they are made for.
    pub fn turns(&self, environment: Environment, now: Timestamp) -> Vec<Turn> {
        let turn = |release: &Release| {
            let window = release.window(environment)?;
            let (opens, closes) = (window.opens.timestamp(), window.closes.timestamp());
            Some(Turn { release: ReleaseId::regular(release.id), opens, closes })
        };
        let first = self.near(now);
        let near: Vec<Turn> =
            (first..first.saturating_add(7)).filter_map(|number| turn(&self.release(number)?)).collect();
        let over = near.iter().rposition(|turn| turn.closes <= now);
        let last = if over.is_none() { self.due(environment, now).as_ref().and_then(turn) } else { None };
        last.into_iter().chain(near.into_iter().skip(over.unwrap_or(0))).take(4).collect()
    }

    /// The freeze of `environment` on the day of `now`.
    pub fn frozen(&self, environment: Environment, now: Timestamp) -> Option<&Freeze> {
        let today = self.timezone.shows(now).date();
        self.freezes.iter().find(|freeze| {
            freeze.environments.contains(&environment) && (freeze.from..=freeze.to).contains(&today)
        })
    }

    /// The weekly window that is open at `now`, whatever it is for.
    pub fn open(&self, now: Timestamp) -> Option<Span> {
        let today = self.timezone.shows(now).date();
        (0..=7)
            .filter_map(|back| today.checked_sub(back.days()).ok())
            .filter(|day| day.weekday() == self.window.day.weekday())
            .filter_map(|day| self.span(day))
            .find(|span| span.holds(now))
    }

    /// The first window from `moment` on in which `environment` may be worked on: it begins then or later.
    pub fn next_window(&self, environment: Environment, moment: Timestamp) -> Option<Span> {
        let from = self.timezone.shows(moment).date();
        // Freezes are days of some year; past the last of them every week is free.
        (0..=366 * LOOKED_AHEAD)
            .filter_map(|days| from.checked_add(days.days()).ok())
            .filter(|day| day.weekday() == self.window.day.weekday())
            .filter_map(|day| self.span(day))
            .find(|span| span.opens.timestamp() >= moment && self.in_the_way(environment, span).is_none())
    }

    /// The holiday or freeze that keeps `span` from being worked in, in words.
    pub fn in_the_way(&self, environment: Environment, span: &Span) -> Option<String> {
        let (first, last) = span.days();
        if let Some(day) = self.holidays.range(first..=last).next() {
            return Some(format!("{day} is a holiday"));
        }
        let freeze = self.freezes.iter().find(|freeze| {
            freeze.environments.contains(&environment) && freeze.from <= last && first <= freeze.to
        })?;
        Some(format!("frozen from {} to {}: {}", freeze.from, freeze.to, freeze.reason))
    }

    /// The first start of a weekly window that does not exist, or exists twice, with what is wrong with it.
    pub fn ambiguous_start(&self) -> Option<(Date, &'static str)> {
        let mut day = self.first.checked_sub(i64::from(self.ahead.dev).weeks()).ok()?;
        let end = self.first.checked_add(LOOKED_AHEAD.years()).ok()?;
        while day <= end {
            let at = self.timezone.rules.to_ambiguous_zoned(day.to_datetime(self.window.time));
            match at.offset() {
                jiff::tz::AmbiguousOffset::Unambiguous { .. } => {}
                jiff::tz::AmbiguousOffset::Gap { .. } => return Some((day, "does not exist")),
                jiff::tz::AmbiguousOffset::Fold { .. } => return Some((day, "exists twice")),
            }
            day = day.checked_add(1.week()).ok()?;
        }
        None
    }

    fn weeks_ahead(&self, environment: Environment) -> u32 {
        match environment {
            Environment::Dev => self.ahead.dev,
            Environment::Test => self.ahead.test,
            Environment::Prod => 0,
        }
    }

    /// A release from which on some window may be open or to come at `now`.
    fn near(&self, now: Timestamp) -> u32 {
        let today = self.timezone.shows(now).date();
        let days = self.first.until(today).map_or(0, |span| span.get_days());
        // Two cycles earlier: windows move by less than one.
        let cycles = days / i32::try_from(self.cycle_weeks * 7).unwrap_or(28) - 2;
        u32::try_from(cycles).unwrap_or(0) + 1
    }

    /// The window in `environment` on `day` or as many weeks later as it takes, after that of the environment before.
    fn slot(&self, environment: Environment, day: Date, after: Option<&Span>) -> Option<Slot> {
        let mut moved = None;
        for week in 0..self.cycle_weeks {
            let span = self.span(day.checked_add(i64::from(week).weeks()).ok()?)?;
            let obstacle = match after {
                Some(before) if span.opens <= before.opens => Some("the one before it moved".to_owned()),
                _ => self.in_the_way(environment, &span),
            };
            let Some(obstacle) = obstacle else {
                return Some(Slot { environment, window: Some(span), moved });
            };
            moved.get_or_insert_with(|| format!("moved from {day}: {obstacle}"));
        }
        let moved = moved.map(|why| {
            let why = why.strip_prefix(&format!("moved from {day}: ")).unwrap_or(&why);
            format!("no week is left before the next release: {why}")
        });
        Some(Slot { environment, window: None, moved })
    }

    /// The window that opens on `day`.
    fn span(&self, day: Date) -> Option<Span> {
        let opens = day.to_datetime(self.window.time).to_zoned(self.timezone.rules.clone()).ok()?;
        let closes = opens.checked_add(self.window.duration).ok()?;
        Some(Span { opens, closes })
    }
}

/// How long it is from `now` to `moment`, for people, in whole days, hours or minutes: `in 3 days`, `5 hours ago`.
pub fn away(now: Timestamp, moment: Timestamp) -> String {
    let minutes = moment.duration_since(now).as_mins();
    let (count, unit) = match minutes.unsigned_abs() {
        minutes @ 0..120 => (minutes, "minute"),
        minutes @ 120..2880 => (minutes / 60, "hour"),
        minutes => (minutes / 1440, "day"),
    };
    let plural = if count == 1 { "" } else { "s" };
    if minutes < 0 { format!("{count} {unit}{plural} ago") } else { format!("in {count} {unit}{plural}") }
}

fn seconds<S: serde::Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(duration.as_secs())
}

#[cfg(test)]
mod tests;
