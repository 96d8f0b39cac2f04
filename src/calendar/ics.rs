//! Windows as an iCalendar file (RFC 5545). All times are in UTC, so that no reader needs rules of time zones; what an
//! event is called is the same whenever it is written, so that a calendar that reads the file again updates it.

use std::fmt::Write as _;

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

use super::{Plan, Release, Slot, Span};
use crate::domain::Environment;
use crate::text::visible;

/// Octets of a line before it must be folded (RFC 5545 3.1).
const LINE: usize = 75;

/// The windows of `releases` in `environments` as events of `company`; written at `now`.
pub fn calendar(
    plan: &Plan,
    company: &str,
    releases: &[Release],
    environments: &[Environment],
    now: Timestamp,
) -> String {
    let mut lines = Lines::default();
    lines.add("BEGIN", "VCALENDAR");
    lines.add("VERSION", "2.0");
    lines.add("PRODID", "-//palisade//releases//EN");
    lines.add("CALSCALE", "GREGORIAN");
    lines.add("METHOD", "PUBLISH");
    for release in releases {
        for slot in release.slots.iter().filter(|slot| environments.contains(&slot.environment)) {
            let Some(window) = &slot.window else { continue };
            event(&mut lines, plan, company, (release, slot), window, now);
        }
    }
    lines.add("END", "VCALENDAR");
    lines.text
}

fn event(
    lines: &mut Lines,
    plan: &Plan,
    company: &str,
    (release, slot): (&Release, &Slot),
    window: &Span,
    now: Timestamp,
) {
    let environment = slot.environment;
    let notice = window.notice_by(plan.notice);
    lines.add("BEGIN", "VEVENT");
    lines.add("UID", &format!("{}-{environment}@{}", release.id, domain(company)));
    lines.add("DTSTAMP", &utc(&now.to_zoned(TimeZone::UTC)));
    lines.add("DTSTART", &utc(&window.opens));
    lines.add("DTEND", &utc(&window.closes));
    let title = format!("{company}: maintenance of {environment}, release {}", release.id);
    lines.add("SUMMARY", &escaped(&title));
    let mut about = format!(
        "Servers of {environment} are patched. Notice is due by {} ({}).",
        notice.strftime("%Y-%m-%d %H:%M %Z"),
        plan.timezone.name()
    );
    if let Some(moved) = &slot.moved {
        let _ = write!(about, " It was {moved}.");
    }
    lines.add("DESCRIPTION", &escaped(&about));
    lines.add("TRANSP", "OPAQUE");
    lines.add("END", "VEVENT");
}

/// What stands behind the `@` of an event's name: something of the company's, in letters, digits and dashes.
fn domain(company: &str) -> String {
    let plain: String = company
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' })
        .collect();
    format!("{}.palisade.invalid", plain.trim_matches('-'))
}

fn utc(moment: &Zoned) -> String {
    moment.timestamp().strftime("%Y%m%dT%H%M%SZ").to_string()
}

/// Text as a property holds it (RFC 5545 3.3.11).
fn escaped(text: &str) -> String {
    visible(text).chars().fold(String::new(), |mut escaped, c| {
        if matches!(c, '\\' | ';' | ',') {
            escaped.push('\\');
        }
        escaped.push(c);
        escaped
    })
}

#[derive(Default)]
struct Lines {
    text: String,
}

impl Lines {
    /// One property, folded between characters.
    fn add(&mut self, name: &str, value: &str) {
        let mut length = 0;
        for c in name.chars().chain([':']).chain(value.chars()) {
            if length + c.len_utf8() > LINE {
                let _ = write!(self.text, "\r\n ");
                length = 1;
            }
            self.text.push(c);
            length += c.len_utf8();
        }
        let _ = write!(self.text, "\r\n");
    }
}
