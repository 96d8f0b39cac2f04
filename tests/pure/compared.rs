//! Two runs compared, and shards made one run.

use std::collections::BTreeMap;

use palisade::domain::{Digest, Environment};
use palisade::record::{
    self, ControlLine, Diff, DiffSummary, Header, HostResult, HostState, Hosts, comparable, merged_header,
};
use palisade::report::json::{Json, Output};
use palisade::report::text::Text;
use palisade::report::{Compared, Page, Renderer as _};
use palisade::resource::Verdict;
use serde_json::Value;
use support::schemas::Schema;
use support::{Needs, generated};

use crate::reports::{VIEW, compliant, drift, head, host, unknown};

support::tests! {
    Needs::NOTHING => [
        what_became_worse_better_new_and_gone_is_told,
        equal_runs_differ_in_nothing,
        what_is_new_and_not_as_declared_is_as_bad_as_worse,
        what_judges_nothing_is_not_compared,
        shards_of_one_run_are_merged_and_others_are_not,
    ],
}

fn header(verb: &str, number: u32, hosts: &[&str]) -> Header {
    let controls: Vec<ControlLine> = head(verb).controls;
    Header {
        schema: record::SCHEMA,
        run: format!("20261128t22000{number}123z-1a2b3c4d").parse().unwrap(),
        tool: "0.1.0".to_owned(),
        verb: verb.to_owned(),
        environment: Environment::Prod,
        by: Some("alice".parse().unwrap()),
        from: format!("machine-{number}"),
        began: format!("2026-11-28T22:00:0{number}Z").parse().unwrap(),
        inputs: BTreeMap::from([("inventories/prod.yaml".to_owned(), Digest::of(b"x"))]),
        hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
        controls,
        plan: None,
    }
}

fn between(before: &dyn Hosts, after: &dyn Hosts) -> Diff {
    let (earlier, later) = (header("audit", 1, &[]), header("audit", 2, &[]));
    Diff::between((&earlier, before), (&later, after)).unwrap()
}

fn shown(diff: &Diff) -> (String, Value) {
    let (earlier, later) = (header("audit", 1, &[]), header("plan", 2, &[]));
    let page = Page::Diff(&Compared { before: &earlier, after: &later, diff });
    let mut out = Vec::new();
    Json.render(&page, &mut out).unwrap();
    let document = serde_json::from_slice(&out).unwrap();
    let schema = Schema::of(Output::Diff);
    schema.holds_alone(&document);
    schema.needs_all(&document, "");
    let text = anstream::adapter::strip_str(&Text { view: VIEW }.words(&page).unwrap()).to_string();
    (text, document)
}

fn answered(name: &str, firewall: Verdict, keys: Verdict) -> HostResult {
    host(name, HostState::Answered, firewall, keys)
}

fn what_became_worse_better_new_and_gone_is_told() {
    let before = vec![
        answered("web-1", compliant(), drift(&["x"])),
        answered("web-2", compliant(), compliant()),
        answered("web-3", drift(&["x"]), compliant()),
        answered("db-1", compliant(), compliant()),
    ];
    let after = vec![
        answered("web-2", drift(&["y"]), compliant()),
        answered("web-1", drift(&["y"]), compliant()),
        answered("web-3", unknown("no answer"), compliant()),
        answered("db-2", compliant(), compliant()),
    ];
    let diff = between(&before, &after);
    assert_eq!(diff.summary, DiffSummary { same: 2, worse: 3, new: 2, changed: 0, better: 1, gone: 2 });
    assert_eq!(diff.exit(), 3);
    let (text, document) = shown(&diff);
    generated("tests/snapshots/diff.txt", &text);
    assert_eq!(document["differences"][0]["hosts"], serde_json::json!(["web-2", "web-1"]));
    assert_eq!(document["exit"], 3);
    // Seen from the other side, what was worse is better.
    let back = between(&after, &before);
    assert_eq!(back.summary, DiffSummary { same: 2, worse: 1, new: 2, changed: 0, better: 3, gone: 2 });
}

fn equal_runs_differ_in_nothing() {
    let hosts = vec![answered("web-1", compliant(), drift(&["x"]))];
    let diff = between(&hosts, &vec![answered("web-1", compliant(), drift(&["another finding"]))]);
    assert!(diff.differences.is_empty() && diff.exit() == 0 && diff.summary.same == 2, "{diff:?}");
    let (text, _) = shown(&diff);
    assert!(text.ends_with("2 verdicts: 0 worse, 2 the same\n"), "{text}");
    let better = between(&hosts, &vec![answered("web-1", compliant(), compliant())]);
    assert_eq!((better.summary.better, better.exit()), (1, 0));
}

fn what_is_new_and_not_as_declared_is_as_bad_as_worse() {
    let nothing = Vec::<HostResult>::new();
    assert_eq!(between(&nothing, &vec![answered("web-1", compliant(), compliant())]).exit(), 0);
    assert_eq!(between(&nothing, &vec![answered("web-1", compliant(), drift(&["x"]))]).exit(), 3);
    assert_eq!(between(&vec![answered("web-1", compliant(), drift(&["x"]))], &nothing).exit(), 0);
}

fn what_judges_nothing_is_not_compared() {
    let (audit, plan) = (header("audit", 1, &[]), header("plan", 2, &[]));
    assert_eq!(comparable(&audit, &plan), Ok(()));
    let why = |other: Header| comparable(&audit, &other).unwrap_err().to_string();
    assert!(why(header("enrol", 3, &[])).contains("is a run of `enrol`, which judges no controls"));
    assert!(why(Header { environment: Environment::Test, ..plan }).contains("about test"));
}

fn shards_of_one_run_are_merged_and_others_are_not() {
    let run = || "20261128t230000123z-9a9b9c9d".parse().unwrap();
    let (one, other) = (header("audit", 1, &["web-1", "web-2"]), header("audit", 2, &["db-1"]));
    let whole = merged_header(run(), &[&one, &other]).unwrap();
    assert_eq!(whole.hosts, ["web-1", "web-2", "db-1"]);
    assert_eq!((whole.began, whole.from.as_str()), (one.began, "machine-1, machine-2"));
    assert_eq!(whole.by.unwrap().as_str(), "alice");
    let bob = Header { by: Some("bob".parse().unwrap()), ..other.clone() };
    assert_eq!(merged_header(run(), &[&one, &bob]).unwrap().by, None);

    let why = |shards: &[&Header]| merged_header(run(), shards).unwrap_err().to_string();
    assert_eq!(why(&[&one]), "one record is no fleet in shards: name two or more");
    assert_eq!(why(&[&one, &one]), format!("web-1 is in {0} and in {0}", one.run));
    let enrol = header("enrol", 3, &["db-1"]);
    assert!(why(&[&one, &enrol]).contains("is a run of `enrol`"), "{}", why(&[&one, &enrol]));
    let differing: [(&str, Header); 6] = [
        ("version of palisade", Header { tool: "0.2.0".to_owned(), ..other.clone() }),
        ("environment", Header { environment: Environment::Test, ..other.clone() }),
        ("verb", Header { verb: "plan".to_owned(), ..other.clone() }),
        ("controls", Header { controls: Vec::new(), ..other.clone() }),
        ("plan", Header { plan: Some(Digest::of(b"y")), ..other.clone() }),
        ("file inventories/prod.yaml", Header { inputs: BTreeMap::new(), ..other.clone() }),
    ];
    for (what, shard) in differing {
        let why = why(&[&one, &shard]);
        assert_eq!(why, format!("{} and {} have not the same {what}", one.run, shard.run));
    }
    let again = Header { hosts: vec!["web-2".to_owned()], ..other };
    assert!(why(&[&one, &again]).starts_with("web-2 is in "));
}
