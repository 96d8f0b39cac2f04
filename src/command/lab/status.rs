//! `palisade lab status`: shows the labs and their hosts.

use super::table::{document, table};
use crate::failure::Failure;
use crate::lab::{Lab, LabFolder};
use crate::ui::Printer;

pub(super) fn run(labs: &LabFolder, printer: Printer) -> Result<(), Failure> {
    let all = labs.all()?;
    for why in labs.unreadable() {
        printer.insist(&why.to_string());
    }
    for left in all.iter().map(Lab::record).filter(|record| record.is_left()) {
        printer.insist(&format!(
            "{} is left of a palisade that is gone: the next `palisade lab up` or `lab down` removes it",
            left.name
        ));
    }
    if all.is_empty() {
        printer.say("no lab is up");
    } else {
        printer.text(&table(&all))?;
    }
    printer.json(&document(&all))?;
    Ok(())
}
