//! `palisade status`: who holds a host, and what is pending there. Read-only.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::Common;
use super::inputs::RunInputs;
use super::signals::unless_interrupted;
use crate::domain::{Environment, HostName};
use crate::failure::Failure;
use crate::fleet::now;
use crate::probe::Facts;
use crate::text::visible;
use crate::ui::Printer;

/// Show who holds each host, and which change is pending there.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  palisade status prod --as alice\n  palisade unlock web-1 --tx 20261128t220000123z-1a2b3c4d   \
    gives a host free whose run died\n\n\
    Exit codes: 0 every host is free, 4 a host could not be asked, 6 a host is held or a change is pending."
)]
pub struct Args {
    /// dev, test or prod.
    #[arg(value_name = "ENV", value_parser = super::environment())]
    environment: Environment,
}

/// Runs the verb.
pub fn run(args: &Args, common: &Common, printer: &Printer) -> Result<u8, Failure> {
    let beginning = RunInputs::new(common, args.environment, *printer)?.with_a_key()?;
    let all = unless_interrupted(beginning.run.facts(&beginning.jobs))?;
    let mut text = String::new();
    for (host, facts) in &all {
        let _ = writeln!(text, "{:<20} {}", host.as_str(), words(facts));
    }
    printer.text(&text)?;
    printer.json(
        &json!({"environment": args.environment, "hosts": all.iter().map(document).collect::<Vec<_>>()}),
    )?;
    Ok(if all.iter().any(|(_, facts)| facts.as_ref().is_ok_and(|facts| state(facts) != "free")) {
        6
    } else if all.iter().any(|(_, facts)| facts.is_err()) {
        4
    } else {
        0
    })
}

fn words(facts: &Result<Facts, String>) -> String {
    match facts {
        Err(reason) => format!("unknown: {}", visible(reason)),
        Ok(facts) => match (facts.holder(""), &facts.pending) {
            (Some(holder), _) => holder.told(now()),
            (None, Some(tx)) => {
                format!(
                    "a change is pending there ({tx}), and its time is over: the next apply takes it back, or unlock does"
                )
            }
            (None, None) => "free".to_owned(),
        },
    }
}

/// One word.
fn state(facts: &Facts) -> &'static str {
    if facts.pending.is_some() {
        "pending"
    } else if facts.installing.is_some() {
        "installing"
    } else if facts.holder("").is_some() {
        "held"
    } else {
        "free"
    }
}

fn document((host, facts): &(HostName, Result<Facts, String>)) -> Value {
    match facts {
        Err(reason) => json!({"host": host, "state": "unknown", "reason": reason}),
        Ok(facts) => json!({
            "host": host,
            "state": state(facts),
            "holder": facts.holder(""),
            "pending": facts.pending,
            "pending_seconds": facts.pending_seconds,
            "lease": facts.lease,
            "installing": facts.installing,
        }),
    }
}
