//! `palisade calendar`: the coming releases, their windows, and until when notice is due. Contacts nothing.

use std::fmt::Write as _;

use comfy_table::{Table, presets};
use jiff::{Timestamp, Zoned};
use serde_json::{Value, json};

use super::Common;
use crate::calendar::{self, Plan, Release, Slot};
use crate::domain::Environment;
use crate::failure::Failure;
use crate::project::Project;
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
    printer.text(&table(plan, &project.fleet.company, &releases, &environments, now))?;
    printer.json(&document(plan, &releases, &environments, now))?;
    Ok(0)
}

fn table(
    plan: &Plan,
    company: &str,
    releases: &[Release],
    environments: &[Environment],
    now: Timestamp,
) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header([
        "RELEASE",
        "ENVIRONMENT",
        "OPENS",
        "CLOSES",
        "NOTICE BY",
        "",
    ]);
    for release in releases {
        let mut name = release.id.to_string();
        for slot in release.slots.iter().filter(|slot| environments.contains(&slot.environment)) {
            let window = slot.window.as_ref();
            let of = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
            table.add_row([
                std::mem::take(&mut name),
                slot.environment.to_string(),
                of(window.map(|window| day_and_time(&window.opens))),
                of(window.map(|window| window.closes.strftime("%a %H:%M").to_string())),
                of(window.map(|window| day_and_time(&window.notice_by(plan.notice)))),
                remark(plan, slot, now),
            ]);
        }
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
fn remark(plan: &Plan, slot: &Slot, now: Timestamp) -> String {
    let state = slot.window.as_ref().and_then(|window| {
        if window.closes.timestamp() <= now {
            Some("over")
        } else if window.holds(now) {
            Some("open now")
        } else if window.notice_by(plan.notice).timestamp() <= now {
            Some("too late for a notice")
        } else {
            None
        }
    });
    let parts: Vec<String> =
        state.map(str::to_owned).into_iter().chain(slot.moved.as_deref().map(visible)).collect();
    parts.join("; ")
}

fn document(plan: &Plan, releases: &[Release], environments: &[Environment], now: Timestamp) -> Value {
    let slot = |slot: &Slot| {
        json!({
            "environment": slot.environment,
            "opens": slot.window.as_ref().map(|window| window.opens.timestamp()),
            "closes": slot.window.as_ref().map(|window| window.closes.timestamp()),
            "notice_by": slot.window.as_ref().map(|window| window.notice_by(plan.notice).timestamp()),
            "open": slot.window.as_ref().is_some_and(|window| window.holds(now)),
            "moved": slot.moved,
        })
    };
    let releases: Vec<Value> = releases
        .iter()
        .map(|release| {
            let slots = release.slots.iter().filter(|slot| environments.contains(&slot.environment));
            json!({"id": release.id, "number": release.number, "windows": slots.map(slot).collect::<Vec<_>>()})
        })
        .collect();
    json!({"now": now, "timezone": plan.timezone.name(), "cycle_weeks": plan.cycle_weeks, "releases": releases})
}
