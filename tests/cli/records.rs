//! Records on disk, as a person works with them: compared, merged, shown, and refused where they are not what was written.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use palisade::domain::{Digest, Environment, Identifier};
use palisade::record::{
    AsHostEntry as _, ControlLine, Counts, Footer, Header, HostEntry, HostResult, Line, SCHEMA, Tally,
};
use palisade::report::json::Output;
use palisade::store::{self, Writing};
use serde_json::json;
use support::schemas::{Schema, record_holds};
use support::{Needs, Ran};

support::tests! {
    Needs::NOTHING => [
        two_runs_are_compared_by_their_records,
        records_of_shards_become_one_record,
        what_verbs_print_is_what_their_schemas_say,
    ],
}

fn palisade(folder: &Path, arguments: &[&str]) -> Ran {
    support::palisade(arguments).alone().within(folder).run()
}

/// A fresh example project.
fn project() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let _ = palisade(folder.path(), &["init", "."]).exits(0);
    folder
}

/// What came of a host with one control.
fn host(name: &str, verdict: &str) -> HostResult {
    let judged = match verdict {
        "compliant" => json!({"verdict": verdict, "notes": []}),
        "drift" => json!({"verdict": verdict, "findings": ["it differs"]}),
        _ => json!({"verdict": verdict, "reason": "no answer"}),
    };
    let mut one = json!({"resource": "x", "kind": "file", "enforced": true, "controls": ["key-only"]});
    one.as_object_mut().unwrap().extend(judged.as_object().unwrap().clone());
    serde_json::from_value(json!({
        "host": name, "state": "answered", "controls": ["key-only"], "waivers": [], "facts": null, "judged": [one],
        "plan": null, "cost": {"connections": 1, "execs": 1, "bytes_sent": 10, "bytes_received": 20}, "milliseconds": 640,
        "at": "2026-11-28T22:00:01Z",
    }))
    .unwrap()
}

/// The record of an audit of prod below `root`: its id and its folder.
fn record(root: &Path, number: u32, tool: &str, hosts: &[HostResult]) -> (String, PathBuf) {
    let run: Identifier = format!("20261128t22000{number}123z-1a2b3c4{number}").parse().unwrap();
    let mut record = Writing::begin(root, &store::folder_name(&run, Environment::Prod, "audit")).unwrap();
    let header = Header {
        schema: SCHEMA,
        run: run.clone(),
        tool: tool.to_owned(),
        verb: "audit".to_owned(),
        environment: Environment::Prod,
        by: Some("alice".parse().unwrap()),
        from: format!("machine-{number}"),
        began: "2026-11-28T22:00:00Z".parse().unwrap(),
        inputs: BTreeMap::from([("inventories/prod.yaml".to_owned(), Digest::of(b"x"))]),
        hosts: hosts.iter().map(|host| host.host.to_string()).collect(),
        controls: vec![ControlLine {
            id: "key-only".parse().unwrap(),
            title: "Servers accept private keys, never passwords".to_owned(),
            severity: "critical".to_owned(),
            promise: "key-only".to_owned(),
            origin: "builtin".to_owned(),
        }],
        plan: None,
    };
    record.line(&Line::Run(&header)).unwrap();
    for host in hosts {
        let raw = ["what it answered".to_owned()];
        record.line(&Line::Answer { host: &host.host, at: host.at, raw: &raw }).unwrap();
        host.entry().lines().iter().for_each(|line| record.line(line).unwrap());
    }
    let tally = Tally::of(hosts.iter().map(HostEntry::Judged));
    let end = Footer {
        ended: "2026-11-28T22:00:09Z".parse().unwrap(),
        exit: tally.exit("audit", false),
        summary: Counts::Judged(tally.summary),
        interrupted: false,
        jump_connections: BTreeMap::new(),
    };
    record.line(&Line::End(&end)).unwrap();
    (run.to_string(), record.finish(&run).unwrap())
}

fn two_runs_are_compared_by_their_records() {
    let folder = project();
    let root = folder.path();
    let (first, _) = record(root, 1, "0.1.0", &[host("web-1", "drift"), host("web-2", "compliant")]);
    let (second, _) = record(root, 2, "0.1.0", &[host("web-1", "compliant"), host("web-2", "compliant")]);
    let (third, kept) = record(root, 3, "0.1.0", &[host("web-1", "compliant"), host("web-2", "unknown")]);
    let better = palisade(root, &["diff", &first, &second]).exits(0);
    assert!(better.out.contains("drift to compliant"), "{}", better.out);
    let worse = palisade(root, &["diff", &second]).exits(3);
    assert!(worse.out.contains("compliant to unknown  1 host\n      web-2\n"), "{}", worse.out);
    let document = palisade(root, &["diff", &second, &third, "--format", "json"]).exits(3).json();
    Schema::of(Output::Diff).holds_alone(&document);
    assert_eq!(document["summary"]["worse"], 1);
    assert_eq!((&document["before"]["run"], &document["after"]["run"]), (&json!(second), &json!(third)));
    let same = palisade(root, &["diff", &third, &third]).exits(0);
    assert!(same.out.ends_with("2 verdicts: 0 worse, 2 the same\n"), "{}", same.out);

    let missing = palisade(root, &["diff", "20261128t220000123z-00000000"]).exits(2);
    assert!(missing.err.contains("`palisade runs` lists them"), "{}", missing.err);
    let text = fs::read_to_string(kept.join(store::RECORD)).unwrap();
    fs::write(kept.join(store::RECORD), text.replace("web-2", "web-3")).unwrap();
    let touched = palisade(root, &["diff", &second, &third]).exits(2);
    assert!(touched.err.contains("the record is not what its manifest says"), "{}", touched.err);
}

fn records_of_shards_become_one_record() {
    let (folder, other) = (project(), tempfile::tempdir().unwrap());
    let root = folder.path();
    let (first, here) = record(root, 1, "0.1.0", &[host("web-1", "drift"), host("web-2", "compliant")]);
    let (_, there) = record(other.path(), 2, "0.1.0", &[host("db-1", "unknown")]);
    let paths = [here.to_str().unwrap(), there.to_str().unwrap()];
    let merged = palisade(root, &["merge", paths[0], paths[1], "--format", "json"]).exits(0).json();
    Schema::of(Output::Audit).holds_alone(&merged);
    let names: Vec<&str> =
        merged["hosts"].as_array().unwrap().iter().map(|host| host["host"].as_str().unwrap()).collect();
    assert_eq!((names, &merged["exit"]), (vec!["web-1", "web-2", "db-1"], &json!(4)));
    assert_eq!(merged["summary"]["total"], 3);
    let run = merged["run"].as_str().unwrap();
    assert_eq!(palisade(root, &["report", run, "--format", "json"]).exits(0).json(), merged);
    let kept = root.join(merged["evidence"].as_str().unwrap());
    record_holds(&kept);
    // It names its shards, and holds what they answered.
    let text = fs::read_to_string(kept.join(store::RECORD)).unwrap();
    assert_eq!(text.matches("\"entry\":\"merged\"").count(), 2);
    assert_eq!(text.matches("what it answered").count(), 3);
    let listed = palisade(root, &["runs"]).exits(0).out;
    assert!(listed.lines().any(|line| line.contains("-prod-audit-") && line.ends_with("whole")), "{listed}");
    // What was compared with a shard is compared with the whole.
    let differs = palisade(root, &["diff", &first, run]).exits(3);
    assert!(differs.out.contains("db-1"), "{}", differs.out);

    let twice = palisade(root, &["merge", paths[0], paths[0]]).exits(2);
    assert!(twice.err.contains("web-1 is in "), "{}", twice.err);
    let alone = palisade(root, &["merge", paths[0]]).exits(2);
    assert!(alone.err.contains("name two or more"), "{}", alone.err);
    let (_, newer) = record(other.path(), 3, "0.2.0", &[host("db-2", "compliant")]);
    let differs = palisade(root, &["merge", paths[0], newer.to_str().unwrap()]).exits(2);
    assert!(differs.err.contains("have not the same version of palisade"), "{}", differs.err);
    let record = there.join(store::RECORD);
    fs::write(&record, fs::read_to_string(&record).unwrap().replace("unknown", "compliant")).unwrap();
    let touched = palisade(root, &["merge", paths[0], paths[1]]).exits(2);
    assert!(touched.err.contains("the record is not what its manifest says"), "{}", touched.err);
    let drafts = fs::read_dir(root.join("runs")).unwrap().flatten();
    let drafts: Vec<_> =
        drafts.filter(|entry| entry.file_name().to_string_lossy().starts_with('.')).collect();
    assert!(drafts.is_empty(), "{drafts:?}");
}

fn what_verbs_print_is_what_their_schemas_say() {
    let folder = project();
    let root = folder.path();
    record(root, 1, "0.1.0", &[host("web-1", "drift")]);
    let cases: [(&[&str], i32, Output); 6] = [
        (&["check"], 0, Output::Check),
        (&["inventory", "prod"], 0, Output::Inventory),
        (&["calendar"], 0, Output::Calendar),
        (&["runs"], 0, Output::Runs),
        (&["report"], 0, Output::Audit),
        (&["report", "20261128t220000123z-00000000"], 2, Output::Error),
    ];
    for (words, code, output) in cases {
        let document = palisade(root, &[words, &["--format", "json"]].concat()).exits(code).json();
        let schema = Schema::of(output);
        schema.holds_alone(&document);
        schema.needs_all(&document, "");
    }
    fs::write(root.join("inventories/dev.yaml"), "environment: dev\nhosts: 1\n").unwrap();
    let refused = palisade(root, &["check", "--format", "json"]).exits(2).json();
    Schema::of(Output::Error).holds_alone(&refused);
    assert!(refused["refusals"].as_array().is_some_and(|refusals| !refusals.is_empty()), "{refused}");
    // The command prints the schema that the documents were held against.
    let printed = palisade(root, &["schema", "output", "audit"]).exits(0).json();
    assert_eq!(printed, Output::Audit.document());
    assert_eq!(palisade(root, &["schema", "record"]).exits(0).json(), palisade::schema::record());
    let misplaced = palisade(root, &["schema", "fleet", "audit"]).exits(2);
    assert!(misplaced.err.contains("palisade schema output audit"), "{}", misplaced.err);
    let unnamed = palisade(root, &["schema", "output"]).exits(2);
    assert!(unnamed.err.contains("VERB"), "{}", unnamed.err);
}
