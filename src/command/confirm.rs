//! Whether a person has to confirm that hosts are changed, and the question: in prod, unless `--yes` is given.

use std::io::{self, IsTerminal as _};

use super::inputs::RunInputs;
use super::{Common, ask};
use crate::domain::Environment;
use crate::failure::{Failure, Kind};

/// Whether a person is asked; refused where there is nobody to ask.
pub(super) fn asks_a_person(common: &Common, environment: Environment) -> Result<bool, Failure> {
    let asks = !common.yes && environment == Environment::Prod;
    if asks && !io::stdin().is_terminal() {
        return Err(Failure::refused(format!(
            "{environment} is changed only after a person confirmed, or with --yes"
        )));
    }
    Ok(asks)
}

/// Asks whether `what` is done to the hosts of a run. `done` is the word for it where nobody says yes: `changed`.
pub(super) fn confirm(inputs: &RunInputs, what: &str, done: &str) -> Result<(), Failure> {
    let names: Vec<&str> = inputs.jobs.iter().map(|job| job.desired.host.as_str()).collect();
    if ask(&format!("{what} ({})? Type yes: ", names.join(", ")))? {
        Ok(())
    } else {
        Err(Failure::new(Kind::Gate, anyhow::anyhow!("not confirmed; nothing was {done}")))
    }
}
