//! The coming releases and their windows, as a JSON document.

use jiff::Timestamp;
use jiff::civil::Date;
use serde::Serialize;

use crate::domain::Environment;
use crate::report::{Calendar, Window};

/// The coming releases.
#[derive(Serialize, schemars::JsonSchema)]
pub(super) struct CalendarDocument<'a> {
    /// Time at which the calendar begins.
    now: Timestamp,
    /// Time zone in which windows are planned.
    timezone: &'a str,
    /// Number of weeks between two releases.
    cycle_weeks: u32,
    /// Releases, the next one first.
    releases: Vec<CalendarRelease<'a>>,
}

/// A release of the calendar.
#[derive(Serialize, schemars::JsonSchema)]
struct CalendarRelease<'a> {
    /// Name of the release: the day that the cycle has for prod.
    id: Date,
    /// Number of the release, from the first one.
    number: u32,
    /// Windows of the release, by environment.
    windows: Vec<CalendarWindow<'a>>,
}

/// A window of a release.
#[derive(Serialize, schemars::JsonSchema)]
struct CalendarWindow<'a> {
    /// The environment.
    environment: Environment,
    /// Time at which the window opens; none where there is no window.
    opens: Option<Timestamp>,
    /// Time at which the window closes.
    closes: Option<Timestamp>,
    /// Latest time at which administrators may be told.
    notice_by: Option<Timestamp>,
    /// Time at which administrators were told.
    announced: Option<Timestamp>,
    /// True where the window is open now.
    open: bool,
    /// Reason for which the window moved.
    moved: Option<&'a str>,
}

impl<'a> CalendarDocument<'a> {
    /// Of a calendar.
    pub(super) fn of(calendar: &Calendar<'a>) -> Self {
        let Calendar { plan, releases, rows, now, .. } = *calendar;
        let window = |row: &'a Window<'a>| {
            let window = row.slot.window.as_ref();
            CalendarWindow {
                environment: row.slot.environment,
                opens: window.map(|window| window.opens.timestamp()),
                closes: window.map(|window| window.closes.timestamp()),
                notice_by: window.map(|window| window.notice_by(plan.notice).timestamp()),
                announced: row.announced.as_ref().and_then(|announced| announced.as_ref().ok().copied()),
                open: window.is_some_and(|window| window.holds(now)),
                moved: row.slot.moved.as_deref(),
            }
        };
        let releases = releases.iter().map(|release| CalendarRelease {
            id: release.id,
            number: release.number,
            windows: rows.iter().filter(|row| row.release.id == release.id).map(window).collect(),
        });
        Self {
            now,
            timezone: plan.timezone.name(),
            cycle_weeks: plan.cycle_weeks,
            releases: releases.collect(),
        }
    }
}
