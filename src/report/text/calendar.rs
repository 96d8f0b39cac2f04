//! The coming releases and their windows, as a table.

use comfy_table::Table;
use jiff::{Timestamp, Zoned};

use super::table::plain;
use crate::calendar::{Plan, Span, away};
use crate::release::gates::Gate;
use crate::report::{Calendar, Window};
use crate::text::visible;

/// The coming windows.
pub(super) fn calendar(calendar: &Calendar<'_>) -> String {
    let Calendar { plan, company, rows, now, .. } = *calendar;
    let mut table = Table::new();
    table.set_header(["RELEASE", "ENVIRONMENT", "OPENS", "CLOSES", "NOTICE BY", ""]);
    let mut last = None;
    for row in rows {
        let window = row.slot.window.as_ref();
        let of = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        let first = last.replace(row.release.id) != Some(row.release.id);
        table.add_row([
            if first { row.release.id.to_string() } else { String::new() },
            row.slot.environment.to_string(),
            of(window.map(|window| day_and_time(&window.opens))),
            of(window.map(|window| window.closes.strftime("%a %H:%M").to_string())),
            of(window.map(|window| day_and_time(&window.notice_by(plan.notice)))),
            remark(plan, row, now),
        ]);
    }
    let weeks = if plan.cycle_weeks == 1 { "week".to_owned() } else { format!("{} weeks", plan.cycle_weeks) };
    let mut text = format!(
        "{}: a release every {weeks}; times in {}, where it is {}\n\n",
        visible(company),
        plan.timezone.name(),
        day_and_time(&plan.timezone.shows(now))
    );
    text.push_str(&plain(table, 0));
    text
}

fn day_and_time(moment: &Zoned) -> String {
    moment.strftime("%a %Y-%m-%d %H:%M").to_string()
}

/// What is to be known of a window beside its times.
fn remark(plan: &Plan, row: &Window<'_>, now: Timestamp) -> String {
    let mut parts = Vec::new();
    if let Some(window) = &row.slot.window {
        let over = window.closes.timestamp() <= now;
        if over {
            parts.push("over".to_owned());
        } else if window.holds(now) {
            parts.push("open now".to_owned());
        }
        parts.extend(notice(plan, row, window, now).filter(|_| !over));
    }
    parts.extend(row.slot.moved.as_deref().map(visible));
    parts.join("; ")
}

/// What is to be known of a window's notice. Only where a release is refused without one does its lack matter.
fn notice(plan: &Plan, row: &Window<'_>, window: &Span, now: Timestamp) -> Option<String> {
    let by = window.notice_by(plan.notice).timestamp();
    match &row.announced {
        Some(Ok(sent)) if *sent <= by => {
            Some(format!("announced {}", plan.timezone.shows(*sent).strftime("%a %Y-%m-%d")))
        }
        Some(Ok(_)) => Some("announced too late".to_owned()),
        Some(Err(why)) => Some(format!("its notice does not count: {}", visible(why))),
        None if !Gate::Notice.asks(row.slot.environment, false) => None,
        None if by <= now => Some("not announced in time".to_owned()),
        None => {
            let soon = by.duration_since(now).as_hours() < 7 * 24;
            soon.then(|| format!("not announced yet; notice is due {}", away(now, by)))
        }
    }
}
