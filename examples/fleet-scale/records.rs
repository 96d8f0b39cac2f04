//! Made-up records of large fleets, for whoever measures what reading them takes: two runs of the same hosts, and two halves
//! of a third one. Written host by host; nothing is contacted.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use jiff::Timestamp;
use palisade::domain::{Digest, Environment, Identifier};
use palisade::record::{
    AsHostEntry as _, ControlLine, Counts, Footer, Header, HostResult, Line, SCHEMA, Tally,
};
use palisade::store::{self, Writing};
use serde_json::json;

/// What a host answers to the built-in playbook, in bytes; measured on lab hosts.
const ANSWER: usize = 100_000;
/// Controls of the built-in playbook, each with this many resources.
const CONTROLS: usize = 24;
const RESOURCES: usize = 3;

/// Writes the records of `hosts` hosts below `root`, and says with which commands they are read.
pub(crate) fn write(root: &Path, hosts: usize) -> Result<()> {
    std::fs::create_dir_all(root.join("inventories"))?;
    let earlier = one(root, 1, 0..hosts, 7)?;
    let later = one(root, 2, 0..hosts, 5)?;
    let halves =
        [one(&root.join("shards"), 3, 0..hosts / 2, 5)?, one(&root.join("shards"), 4, hosts / 2..hosts, 5)?];
    let size = std::fs::metadata(later.join(store::RECORD))?.len();
    println!("{hosts} hosts, {} MB each record", size / 1_000_000);
    let name = |folder: &PathBuf| folder.file_name().map(|name| name.to_string_lossy().into_owned());
    let (before, after) = (name(&earlier).context("a name")?, name(&later).context("a name")?);
    let project = root.display();
    println!("palisade --project {project} report {after} --format json");
    println!("palisade --project {project} report {after}");
    println!("palisade --project {project} diff {before} {after}");
    println!("palisade --project {project} merge {} {}", halves[0].display(), halves[1].display());
    println!("palisade --project {project} runs");
    Ok(())
}

/// The record of an audit in which one control of one host in `sick` is not as declared.
fn one(root: &Path, number: u32, hosts: std::ops::Range<usize>, sick: usize) -> Result<PathBuf> {
    let run: Identifier = format!("20261128t22000{number}123z-1a2b3c4{number}").parse().context("an id")?;
    let at: Timestamp = "2026-11-28T22:00:00Z".parse()?;
    let mut record = Writing::begin(root, &store::folder_name(&run, Environment::Prod, "audit"))?;
    let control = |number: usize| format!("control-{number}");
    record.line(&Line::Run(&Header {
        schema: SCHEMA,
        run: run.clone(),
        tool: env!("CARGO_PKG_VERSION").to_owned(),
        verb: "audit".to_owned(),
        environment: Environment::Prod,
        by: Some("alice".parse().context("a name")?),
        from: "here".to_owned(),
        began: at,
        inputs: BTreeMap::from([("inventories/prod.yaml".to_owned(), Digest::of(b"x"))]),
        hosts: hosts.clone().map(|host| format!("host-{host}")).collect(),
        controls: (0..CONTROLS)
            .map(|number| {
                Ok(ControlLine {
                    id: control(number).parse().context("an id")?,
                    title: format!("Control number {number}"),
                    severity: "high".to_owned(),
                    promise: "hosting".to_owned(),
                    origin: "builtin".to_owned(),
                })
            })
            .collect::<Result<_>>()?,
        plan: None,
    }))?;
    let raw = ["what a host answers, in lines\n".repeat(ANSWER / 30)];
    let mut tally = Tally::default();
    for host in hosts {
        let judged = (0..CONTROLS * RESOURCES).map(|resource| {
            let bad = resource == 0 && host % sick == 0;
            let (verdict, said) = if bad { ("drift", "findings") } else { ("compliant", "notes") };
            json!({
                "resource": format!("file /etc/example-{resource}"), "kind": "file", "enforced": true,
                "controls": [control(resource / RESOURCES)], "verdict": verdict,
                said: ["a sentence about what was found there"],
            })
        });
        let result: HostResult = serde_json::from_value(json!({
            "host": format!("host-{host}"), "state": "answered", "controls": (0..CONTROLS).map(control).collect::<Vec<_>>(),
            "waivers": [], "facts": null, "judged": judged.collect::<Vec<_>>(), "plan": null,
            "cost": {"connections": 1, "execs": 1, "bytes_sent": 30_000, "bytes_received": 100_000},
            "milliseconds": 640, "at": at,
        }))?;
        record.line(&Line::Answer { host: &result.host, at, raw: &raw })?;
        for line in result.entry().lines() {
            record.line(&line)?;
        }
        tally.add(result.entry());
    }
    record.line(&Line::End(&Footer {
        ended: at,
        exit: tally.exit("audit", false),
        summary: Counts::Judged(tally.summary),
        interrupted: false,
        jump_connections: BTreeMap::new(),
    }))?;
    Ok(record.finish(&run)?)
}
