//! The verbs that contact nothing, as a person types them: what they print, where, and the exit code.

use std::fs;
use std::path::Path;

use palisade::domain::{Environment, Identifier};
use palisade::store;
use support::{Needs, Ran, generated};

support::tests! {
    Needs::NOTHING => [
        init_writes_a_project_that_check_accepts_and_nothing_over_it,
        check_shows_every_refusal_with_its_line_and_json_is_one_document,
        a_control_and_a_template_of_ones_own_are_said_to_differ,
        an_empty_folder_is_no_project,
        the_inventory_is_shown_as_tables_and_as_json,
        a_selection_that_finds_nothing_is_bad_usage,
        completions_and_manual_pages_are_data,
        plan_and_apply_name_the_hosts_that_a_selection_leaves_out,
        a_schema_of_another_palisade_is_named_with_what_renews_it,
        schemas_are_printed_as_init_writes_them,
        a_record_is_shown_where_it_is_what_was_written,
    ],
}

fn palisade(folder: &Path, arguments: &[&str]) -> Ran {
    support::palisade(arguments).alone().within(folder).run()
}

/// A fresh example project.
fn project() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let shown = palisade(folder.path(), &["init", "."]);
    assert_eq!(shown.code, Some(0), "{}", shown.err);
    folder
}

fn init_writes_a_project_that_check_accepts_and_nothing_over_it() {
    let folder = project();
    let shown = palisade(folder.path(), &["check"]);
    assert_eq!((shown.code, shown.err.as_str()), (Some(0), ""));
    assert!(shown.out.ends_with("nothing is refused\n"), "{}", shown.out);
    assert!(!shown.out.contains("differs"), "what init writes is what is built in: {}", shown.out);

    fs::write(folder.path().join("inventories/dev.yaml"), "mine").unwrap();
    let shown = palisade(folder.path(), &["init"]);
    assert_eq!((shown.code, shown.out.as_str()), (Some(2), ""));
    assert!(shown.err.contains("overwrites nothing"), "{}", shown.err);
    assert_eq!(fs::read_to_string(folder.path().join("inventories/dev.yaml")).unwrap(), "mine");
}

fn check_shows_every_refusal_with_its_line_and_json_is_one_document() {
    let folder = project();
    let path = folder.path().join("inventories/prod.yaml");
    let text = fs::read_to_string(&path)
        .unwrap()
        .replace("from: role:web", "from: role:wbe")
        .replace("port: 80,", "port: 0,");
    fs::write(&path, text).unwrap();
    let shown = palisade(folder.path(), &["check"]);
    assert_eq!((shown.code, shown.out.as_str()), (Some(2), ""));
    generated("tests/snapshots/check-refusals.txt", &shown.err);
    let shown = palisade(folder.path(), &["check", "--format", "json"]);
    assert_eq!((shown.code, shown.err.as_str()), (Some(2), ""));
    let document = shown.json();
    assert_eq!(document["refusals"].as_array().unwrap().len(), 2);
    let expected = serde_json::json!({
        "file": "inventories/prod.yaml",
        "line": 19,
        "column": 28,
        "field": "roles.web.listeners[0].port",
        "value": "0",
        "why": "the number is out of bounds",
        "fix": "write a whole number from 1 to 65535",
    });
    assert_eq!(document["refusals"][0], expected);
}

fn a_control_and_a_template_of_ones_own_are_said_to_differ() {
    let folder = project();
    let path = folder.path().join("playbooks/baseline.yaml");
    let text = fs::read_to_string(&path).unwrap().replacen("severity: critical", "severity: high", 1);
    fs::write(&path, text).unwrap();
    fs::write(folder.path().join("templates/motd.tera"), "{{ host }}\n").unwrap();
    let shown = palisade(folder.path(), &["check"]);
    assert!(
        shown.out.contains("control `firewall` (changed), template `motd.tera` (project)"),
        "{}",
        shown.out
    );
}

fn an_empty_folder_is_no_project() {
    let folder = tempfile::tempdir().unwrap();
    for verb in [&["check"][..], &["inventory", "prod"]] {
        let shown = palisade(folder.path(), verb);
        assert_eq!((shown.code, shown.out.as_str()), (Some(2), ""));
        assert!(shown.err.contains("inventories/fleet.yaml: the file is missing"), "{}", shown.err);
    }
}

fn the_inventory_is_shown_as_tables_and_as_json() {
    let folder = project();
    let shown = palisade(folder.path(), &["inventory", "prod", "--limit", "role:web"]);
    assert_eq!((shown.code, shown.err.as_str()), (Some(0), ""));
    generated("tests/snapshots/inventory.txt", &shown.out);
    let shown = palisade(folder.path(), &["inventory", "prod", "--format", "json"]);
    let document = shown.json();
    assert_eq!(document["hosts"].as_array().unwrap().len(), 3);
    assert_eq!(document["hosts"][0]["name"], "db-1");
}

fn a_selection_that_finds_nothing_is_bad_usage() {
    let folder = project();
    for (arguments, said) in [
        (
            &["inventory", "prod", "--limit", "wbe-1"][..],
            "`wbe-1` selects no host of prod; did you mean `web-1`?",
        ),
        (&["inventory", "prod", "--limit", ""], "selects no host of prod"),
        (&["inventory", "staging"], "invalid value 'staging'"),
        (&["inventory"], "<ENV>"),
        (&["frobnicate"], "unrecognized subcommand"),
    ] {
        let shown = palisade(folder.path(), arguments);
        assert_eq!((shown.code, shown.out.as_str()), (Some(2), ""), "{arguments:?}");
        assert!(shown.err.contains(said), "{arguments:?}: {}", shown.err);
    }
    fs::remove_file(folder.path().join("inventories/dev.yaml")).unwrap();
    let shown = palisade(folder.path(), &["inventory", "dev"]);
    assert_eq!(shown.code, Some(2));
    assert!(shown.err.contains("the project has no environment dev"), "{}", shown.err);
}

fn completions_and_manual_pages_are_data() {
    let folder = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish"] {
        let shown = palisade(folder.path(), &["completions", shell]);
        assert_eq!((shown.code, shown.err.as_str()), (Some(0), ""));
        assert!(shown.out.contains("inventory"), "{shell}");
    }
    assert!(palisade(folder.path(), &["man"]).out.starts_with(".ie"));
    assert!(palisade(folder.path(), &["man", "check"]).out.contains("palisade\\-check"));
    assert!(palisade(folder.path(), &["man", "chekc"]).err.contains("did you mean `check`?"));
}

/// Rules name other hosts' roles, so a selection may leave out hosts that the change concerns. Without a key nothing is
/// contacted.
fn plan_and_apply_name_the_hosts_that_a_selection_leaves_out() {
    let folder = project();
    let identity = |name: &str, id: &str| {
        format!(
            "  {name}: {{machine_id: {id}, environment: prod, distribution: debian-12, enrolled: \"2026-11-01T10:00:00Z\", by: alice}}\n"
        )
    };
    let hosts = [("web-1", "a1"), ("db-1", "b2"), ("db-2", "c3")]
        .map(|(name, digits)| identity(name, &digits.repeat(16)))
        .concat();
    fs::write(folder.path().join("inventories/identities.yaml"), format!("hosts:\n{hosts}")).unwrap();
    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPdPYWQMzlMD9aJ9lXVu+UTF/iDDzb4DdBmbR97ZwXsY";
    let pins = ["web-1", "db-1", "db-2"].map(|name| format!("{name} {key}\n")).concat();
    fs::write(folder.path().join("inventories/known_hosts"), pins).unwrap();
    let note = "note: not selected, but their rules name selected hosts; they may need a change too\n  \
                db-1: web-1 as role:web and as its jump host\n  \
                db-2: web-1 as its jump host\n  \
                see: palisade plan prod --limit db-1,db-2\n";
    for verb in ["plan", "apply"] {
        let of = |limit: &[&str]| {
            palisade(
                folder.path(),
                &[&[verb, "prod", "--as", "alice", "--format", "json", "--yes"], limit].concat(),
            )
        };
        let shown = of(&["--limit", "web-1"]);
        assert!(shown.err.starts_with(note), "{verb}: {}", shown.err);
        assert_eq!(shown.code, Some(2), "{verb}: {}", shown.err);
        let shown = of(&[]);
        assert!(shown.err.contains("no key to connect with"), "{verb}: {}", shown.err);
        assert!(!shown.err.contains("note:"), "{verb} of all: {}", shown.err);
    }
}

fn a_schema_of_another_palisade_is_named_with_what_renews_it() {
    let folder = project();
    let path = folder.path().join(".palisade/schema/inventory.json");
    assert!(!palisade(folder.path(), &["check"]).out.contains("another palisade"));
    fs::write(&path, "{}\n").unwrap();
    let shown = palisade(folder.path(), &["check"]);
    assert_eq!(shown.code, Some(0), "{}", shown.err);
    let renew = "`palisade schema inventory > .palisade/schema/inventory.json`";
    assert!(shown.out.contains(renew) && !shown.out.contains("schema fleet"), "{}", shown.out);
    let json = palisade(folder.path(), &["check", "--format", "json"]).out;
    assert!(json.contains("\"stale_schemas\": [\n    \".palisade/schema/inventory.json\"\n  ]"), "{json}");
    fs::write(&path, palisade(folder.path(), &["schema", "inventory"]).out).unwrap();
    assert!(!palisade(folder.path(), &["check"]).out.contains("another palisade"));
}

fn schemas_are_printed_as_init_writes_them() {
    let folder = project();
    for file in ["fleet", "inventory", "playbook", "waivers", "release"] {
        let shown = palisade(folder.path(), &["schema", file]);
        assert_eq!((shown.code, shown.err.as_str()), (Some(0), ""));
        let path = folder.path().join(format!(".palisade/schema/{file}.json"));
        assert_eq!(fs::read_to_string(path).unwrap(), shown.out, "{file}");
        let data = palisade(folder.path(), &["schema", file, "--format", "json"]);
        assert_eq!(data.json(), shown.json());
    }
    let shown = palisade(folder.path(), &["schema", "identities"]);
    assert_eq!(shown.code, Some(2));
    assert!(
        shown.err.contains("[possible values: fleet, inventory, playbook, waivers, release, record, output]"),
        "{}",
        shown.err
    );
}

fn a_record_is_shown_where_it_is_what_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let report = |words: &[&str]| palisade(folder.path(), &[&["report"], words].concat());
    let none = report(&[]);
    assert_eq!(none.code, Some(2), "{}", none.out);
    assert!(none.err.contains("there is no record of any run in runs/"), "{}", none.err);

    let write = |verb: &str, random: &str| {
        let run: Identifier = format!("20261128t220000123z-{random}").parse().unwrap();
        let name = store::folder_name(&run, Environment::Prod, verb);
        let record = format!(
            "{{\"entry\":\"run\",\"schema\":1,\"run\":\"{run}\",\"tool\":\"0.1.0\",\"verb\":\"{verb}\",\
             \"environment\":\"prod\",\"by\":\"alice\",\"from\":\"laptop\",\"began\":\"2026-11-28T22:00:00Z\",\
             \"inputs\":{{}},\"hosts\":[]}}\n{{\"entry\":\"host\",\"result\":{{}}}}\n\
             {{\"entry\":\"end\",\"ended\":\"2026-11-28T22:00:01Z\",\"exit\":0,\"summary\":{{\"hosts\":0,\"total\":0,\"evaluated\":0,\
             \"compliant\":0,\"drift\":0,\"unknown\":0,\"not_applicable\":0,\"waived\":0}}}}\n"
        );
        let record =
            if verb == "audit" { record.replace("{\"entry\":\"host\",\"result\":{}}\n", "") } else { record };
        store::write_run(folder.path(), &name, &run, &record).unwrap()
    };
    let kept = write("audit", "1a2b3c4d");
    for name in ["20261128t220000123z-1a2b3c4d", "runs/20261128t220000123z-prod-audit-1a2b3c4d"] {
        let shown = report(&[name]);
        assert_eq!((shown.code, shown.err.as_str()), (Some(0), ""), "{}", shown.out);
        assert!(
            shown.out.contains("evidence: ./runs/20261128t220000123z-prod-audit-1a2b3c4d"),
            "{}",
            shown.out
        );
    }
    assert_eq!(report(&["--format", "json"]).json()["verb"], "audit");
    let other = report(&["20261128t220000123z-00000000"]);
    assert!(other.code == Some(2) && other.err.contains("`palisade runs` lists them"), "{}", other.err);

    write("plan", "3a2b3c4d");
    let damaged = report(&["20261128t220000123z-3a2b3c4d"]);
    assert!(
        damaged.code == Some(2) && damaged.err.contains("record.jsonl: line 2: missing field"),
        "{}",
        damaged.err
    );

    fs::write(kept.join(store::RECORD), "{}\n").unwrap();
    let touched = report(&["20261128t220000123z-1a2b3c4d"]);
    assert_eq!(touched.code, Some(2));
    assert!(touched.err.contains("the record is not what its manifest says"), "{}", touched.err);
}
