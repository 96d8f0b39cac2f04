//! `palisade calendar`: the coming releases, their windows, and until when notice is due. Contacts nothing.

use std::fmt::Write as _;

use comfy_table::{Table, presets};
use jiff::{Timestamp, Zoned};
use serde_json::{Value, json};

use super::patch::read_signed;
use super::{Common, patch};
use crate::calendar::{self, Plan, Release, Slot, Span};
use crate::domain::{Environment, ReleaseId};
use crate::failure::Failure;
use crate::project::Project;
use crate::release::gates::Gate;
use crate::release::notice::Notice;
use crate::text::visible;
use crate::ui::Printer;

/// Show the coming releases, their windows, and until when administrators must be told.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  palisade calendar\n  palisade calendar prod --count 13   a year of windows in prod\n  \
    palisade calendar prod --ics >maintenance.ics\n  palisade calendar --format json\n\n\
    A release is named after the day that the cycle has for prod. Windows that touch a holiday or a freeze move to the next\n\
    week; the cycle stays. Times are those of `release.timezone`; with --ics and --format json they are in UTC."
)]
pub struct Args {
    /// dev, test or prod; all of them where it is left out.
    #[arg(value_name = "ENV", value_parser = super::environment())]
    environment: Option<Environment>,
    /// How many releases.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..))]
    count: u8,
    /// Write an iCalendar file (RFC 5545) to standard output instead, for calendar programs.
    #[arg(long)]
    ics: bool,
}

/// Runs the verb. `now` is where the calendar begins.
pub fn run(args: &Args, common: &Common, now: Timestamp, printer: &Printer) -> Result<u8, Failure> {
    let project = Project::read(&common.project)?;
    let Some(plan) = &project.fleet.release else {
        return Err(Failure::refused("inventories/fleet.yaml says nothing of releases").hint(
            "add `release:` with first, timezone, window, notice and order; `palisade init` writes an example",
        ));
    };
    let environments = match args.environment {
        Some(environment) => vec![environment],
        None => plan.order.clone(),
    };
    let releases = plan.coming(now, usize::from(args.count));
    if args.ics {
        printer.raw(&calendar::calendar(plan, &project.fleet.company, &releases, &environments, now))?;
        return Ok(0);
    }
    let rows: Vec<Row<'_>> =
        releases.iter().flat_map(|release| rows(&project, release, &environments, now)).collect();
    printer.text(&table(plan, &project.fleet.company, &rows, now))?;
    printer.json(&document(plan, &releases, &rows, now))?;
    Ok(0)
}

/// A window of a release.
struct Row<'a> {
    release: &'a Release,
    slot: &'a Slot,
    /// When administrators were told of it, by a signed record; `Err` says why a record that is there counts for nothing.
    announced: Option<Result<Timestamp, String>>,
}

fn rows<'a>(
    project: &Project,
    release: &'a Release,
    environments: &[Environment],
    now: Timestamp,
) -> Vec<Row<'a>> {
    let slots = release.slots.iter().filter(|slot| environments.contains(&slot.environment));
    slots.map(|slot| Row { release, slot, announced: announced(project, release, slot, now) }).collect()
}

fn announced(
    project: &Project,
    release: &Release,
    slot: &Slot,
    now: Timestamp,
) -> Option<Result<Timestamp, String>> {
    let window = slot.window.as_ref()?;
    let id = ReleaseId::regular(release.id);
    let told = |failure: Failure| failure.error.to_string();
    let notice =
        match patch::kept(project, slot.environment, &Notice::path(&id, slot.environment, window), now) {
            Ok(None) => return None,
            Ok(Some(notice)) => notice,
            Err(failure) => return Some(Err(told(failure))),
        };
    Some(match read_signed(project, Some(&id), now) {
        Err(failure) => Err(told(failure)),
        Ok(signed) if notice.tells(&signed.release, &signed.file, slot.environment, window) => {
            Ok(notice.sent)
        }
        Ok(_) => Err(format!("{id} was planned anew since, or its window moved")),
    })
}

fn table(plan: &Plan, company: &str, rows: &[Row<'_>], now: Timestamp) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header([
        "RELEASE",
        "ENVIRONMENT",
        "OPENS",
        "CLOSES",
        "NOTICE BY",
        "",
    ]);
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
    for line in table.to_string().lines() {
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

fn day_and_time(moment: &Zoned) -> String {
    moment.strftime("%a %Y-%m-%d %H:%M").to_string()
}

/// What is to be known of a window beside its times.
fn remark(plan: &Plan, row: &Row<'_>, now: Timestamp) -> String {
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
fn notice(plan: &Plan, row: &Row<'_>, window: &Span, now: Timestamp) -> Option<String> {
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
            soon.then(|| format!("not announced yet; notice is due {}", calendar::away(now, by)))
        }
    }
}

fn document(plan: &Plan, releases: &[Release], rows: &[Row<'_>], now: Timestamp) -> Value {
    let slot = |row: &Row<'_>| {
        let window = row.slot.window.as_ref();
        json!({
            "environment": row.slot.environment,
            "opens": window.map(|window| window.opens.timestamp()),
            "closes": window.map(|window| window.closes.timestamp()),
            "notice_by": window.map(|window| window.notice_by(plan.notice).timestamp()),
            "announced": row.announced.as_ref().and_then(|announced| announced.as_ref().ok()),
            "open": window.is_some_and(|window| window.holds(now)),
            "moved": row.slot.moved,
        })
    };
    let releases: Vec<Value> = releases
        .iter()
        .map(|release| {
            let windows = rows.iter().filter(|row| row.release.id == release.id).map(slot);
            json!({"id": release.id, "number": release.number, "windows": windows.collect::<Vec<_>>()})
        })
        .collect();
    json!({"now": now, "timezone": plan.timezone.name(), "cycle_weeks": plan.cycle_weeks, "releases": releases})
}
