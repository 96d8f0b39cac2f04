//! Labs and their hosts, for people and for programs.

use serde_json::{Value, json};

use crate::domain::Address;
use crate::lab::Lab;

fn list(addresses: &[Address]) -> Vec<String> {
    addresses.iter().map(ToString::to_string).collect()
}

pub(super) fn table(labs: &[Lab]) -> String {
    let mut table = comfy_table::Table::new();
    table
        .load_style(comfy_table::presets::NOTHING)
        .set_header(["LAB", "HOST", "SYSTEM", "STATE", "PUBLIC", "PRIVATE"]);
    for lab in labs {
        for host in lab.hosts() {
            let record = host.record();
            table.add_row([
                lab.record().name.clone(),
                host.name().to_string(),
                record.spec.suite.to_string(),
                host.power().to_string(),
                list(&record.public).join("\n"),
                list(&record.private).join("\n"),
            ]);
        }
    }
    format!("{}\n", table.trim_fmt())
}

pub(super) fn document(labs: &[Lab]) -> Value {
    let labs: Vec<Value> = labs
        .iter()
        .map(|lab| {
            let hosts: Vec<Value> = lab
                .hosts()
                .map(|host| {
                    let record = host.record();
                    json!({
                        "name": host.name(),
                        "system": record.spec.suite.to_string(),
                        "state": host.power().to_string(),
                        "public": list(&record.public),
                        "private": list(&record.private),
                    })
                })
                .collect();
            json!({
                "name": lab.record().name,
                "id": lab.record().id,
                "folder": lab.folder(),
                "left": lab.record().is_left(),
                "project": lab.project(),
                "hosts": hosts,
            })
        })
        .collect();
    json!({ "labs": labs })
}
