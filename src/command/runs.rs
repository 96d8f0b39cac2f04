//! `palisade runs`: what was run, as the records on disk say.

use comfy_table::{Table, presets};
use serde_json::{Value, json};

use super::Common;
use crate::failure::Failure;
use crate::record::SCHEMA;
use crate::store::{self, Chain, OpenRun, StoredRun, Unfinished};
use crate::text::visible;
use crate::ui::Printer;

/// List the runs of this project, oldest first, and those that were killed before their record was written.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  palisade runs\n  palisade runs --format json")]
pub struct Args {}

/// Runs the verb.
pub fn run(_args: &Args, common: &Common, printer: &Printer) -> Result<u8, Failure> {
    if !common.project.join(crate::inventory::DIRECTORY).is_dir() {
        return Err(Failure::refused(format!(
            "{} is no project: it has no inventories/",
            common.project.display()
        ))
        .hint("name the project's folder with --project"));
    }
    let runs = store::list_runs(&common.project)?;
    let unfinished = store::list_unfinished(&common.project);
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(["RUN", "VERB", "ENV", "BY", "EXIT", "RECORD"]);
    for run in &runs {
        let text = |name: &str| visible(run.header.get(name).and_then(Value::as_str).unwrap_or("?"));
        let exit = run
            .footer
            .as_ref()
            .and_then(|footer| footer.get("exit"))
            .map_or_else(|| "-".to_owned(), ToString::to_string);
        table.add_row([visible(&run.name), text("verb"), text("environment"), text("by"), exit, state(run)]);
    }
    for run in &unfinished {
        table.add_row(row(run));
    }
    let lines: Vec<String> = table.to_string().lines().map(|line| line.trim_end().to_owned()).collect();
    printer.text(&if runs.is_empty() && unfinished.is_empty() {
        "no runs yet\n".to_owned()
    } else {
        format!("{}\n", lines.join("\n"))
    })?;
    let documents: Vec<Value> = runs
        .iter()
        .map(|run| json!({"run": run.name, "header": run.header, "end": run.footer, "record": state(run)}))
        .collect();
    let open: Vec<Value> = unfinished.iter().map(document).collect();
    printer.json(&json!({"runs": documents, "unfinished": open}))?;
    if let Some(run) = unfinished.iter().find(|run| !run.goes_on && run.open.is_ok()) {
        printer.say(&format!("go on with what was killed: palisade apply --resume {}", visible(&run.name)));
    }
    Ok(0)
}

fn row(run: &Unfinished) -> [String; 6] {
    let cell = |text: fn(&OpenRun) -> String| run.open.as_ref().map_or_else(|_| "?".to_owned(), text);
    let how = if run.goes_on { "goes on" } else { "unfinished" };
    let record = match &run.open {
        Ok(open) => format!("{how}: {} of {} hosts ended", open.ended(), open.plan.work()),
        Err(why) => format!("{how}: {}", visible(why)),
    };
    [
        visible(&run.name),
        "apply".to_owned(),
        cell(|open| open.plan.environment.to_string()),
        cell(|open| open.by.to_string()),
        "-".to_owned(),
        record,
    ]
}

fn document(run: &Unfinished) -> Value {
    match &run.open {
        Err(why) => json!({"run": run.name, "goes_on": run.goes_on, "unreadable": why}),
        Ok(open) => json!({
            "run": run.name,
            "goes_on": run.goes_on,
            "environment": open.plan.environment,
            "began": open.plan.made,
            "by": open.by,
            "from": open.from,
            "hosts": open.hosts,
            "progress": open.progress,
        }),
    }
}

fn state(run: &StoredRun) -> String {
    let schema = run.header.get("schema").and_then(Value::as_u64);
    let itself = match (run.intact, run.footer.is_some()) {
        (true, _) if schema.is_none_or(|schema| schema > u64::from(SCHEMA)) => "of a newer palisade",
        (true, true) => "whole",
        (true, false) => "truncated",
        (false, _) => "changed since",
    };
    match &run.chain {
        Chain::Unbroken => itself.to_owned(),
        Chain::Gone(before) => format!("{itself}; the one before it is gone: {}", visible(before)),
        Chain::Other(before) => format!("{itself}; the one before it is another now: {}", visible(before)),
    }
}
