//! `palisade calendar`: the coming releases, their windows, and until when notice is due. Contacts nothing.

use jiff::Timestamp;

use super::patch::read_signed;
use super::{Common, patch};
use crate::calendar::{self, Release, Slot};
use crate::domain::{Environment, ReleaseId};
use crate::failure::Failure;
use crate::project::Project;
use crate::release::notice::Notice;
use crate::report::{Calendar, Page, Window};
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
    let rows: Vec<Window<'_>> =
        releases.iter().flat_map(|release| rows(&project, release, &environments, now)).collect();
    let company = project.fleet.company.as_str();
    let calendar = Calendar { plan, company, releases: &releases, rows: &rows, now };
    printer.show(&Page::Calendar(&calendar))?;
    Ok(0)
}

fn rows<'a>(
    project: &Project,
    release: &'a Release,
    environments: &[Environment],
    now: Timestamp,
) -> Vec<Window<'a>> {
    let slots = release.slots.iter().filter(|slot| environments.contains(&slot.environment));
    slots.map(|slot| Window { release, slot, announced: announced(project, release, slot, now) }).collect()
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
