//! Who holds each host, for a terminal.

use std::fmt::Write as _;

use jiff::Timestamp;

use crate::probe::Facts;
use crate::report::Status;
use crate::text::visible;

/// A line for each host.
pub(super) fn status(status: &Status<'_>) -> String {
    status.hosts.iter().fold(String::new(), |mut text, (host, facts)| {
        let _ = writeln!(text, "{:<20} {}", host.as_str(), words(facts, status.now));
        text
    })
}

fn words(facts: &Result<Facts, String>, now: Timestamp) -> String {
    match facts {
        Err(reason) => format!("unknown: {}", visible(reason)),
        Ok(facts) => match (facts.holder(""), &facts.pending) {
            (Some(holder), _) => holder.told(now),
            (None, Some(tx)) => {
                format!(
                    "a change is pending there ({tx}), and its time is over: the next apply takes it back, or unlock does"
                )
            }
            (None, None) => "free".to_owned(),
        },
    }
}
