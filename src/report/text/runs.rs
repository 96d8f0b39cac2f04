//! The runs of a project, as a table.

use comfy_table::Table;
use serde_json::Value;

use super::table::plain;
use crate::report::{Runs, record_state};
use crate::store::{OpenRun, Unfinished};
use crate::text::visible;

/// A line for each run, those that were killed last.
pub(super) fn runs(runs: &Runs<'_>) -> String {
    let Runs { runs, unfinished } = runs;
    if runs.is_empty() && unfinished.is_empty() {
        return "no runs yet\n".to_owned();
    }
    let mut table = Table::new();
    table.set_header(["RUN", "VERB", "ENV", "BY", "EXIT", "RECORD"]);
    for run in *runs {
        let text = |name: &str| visible(run.header.get(name).and_then(Value::as_str).unwrap_or("?"));
        let exit = run.footer.as_ref().and_then(|footer| footer.get("exit"));
        let exit = exit.map_or_else(|| "-".to_owned(), ToString::to_string);
        table.add_row([
            visible(&run.name),
            text("verb"),
            text("environment"),
            text("by"),
            exit,
            record_state(run),
        ]);
    }
    for run in *unfinished {
        table.add_row(row(run));
    }
    plain(table, 0)
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
