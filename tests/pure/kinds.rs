//! Every kind is complete: its entry in the JSON Schema, its cases, and how each of its parts is broken by hand. Nothing is
//! kept for a kind that is gone. The rule is a function over made-up kinds first, so that it can fail.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use palisade::kinds::SHAPES;
use palisade::schema::Subject;
use palisade::source::shape::{self, Shape};
use serde_json::Value;
use support::Needs;
use support::breaks::{self, Breaks};

use crate::cases::cases;

support::tests! {
    Needs::NOTHING => [
        every_kind_is_complete,
        a_complete_kind_is_left_alone,
        what_a_kind_lacks_is_named,
        what_is_kept_for_no_kind_is_named,
    ],
}

/// Kinds that are observed only: what they show is no drift.
const OBSERVED: [&str; 1] = ["sockets"];

/// All that there is of the kinds, by their names.
#[derive(Default)]
struct Catalogue {
    /// The fields of each kind's declaration.
    kinds: BTreeMap<String, BTreeSet<String>>,
    /// The fields that the JSON Schema has.
    schema: BTreeMap<String, BTreeSet<String>>,
    /// The folders of cases, each with the verdicts of its cases.
    cases: BTreeMap<String, BTreeSet<String>>,
    /// How each is broken.
    breaks: BTreeMap<String, Result<Breaks, String>>,
}

impl Catalogue {
    fn of_the_repository() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let folder = root.join("tests/cases");
        let folders = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap());
        let folders = folders.filter(|entry| entry.file_type().unwrap().is_dir());
        let mut of_kinds: BTreeMap<String, BTreeSet<String>> =
            folders.map(|entry| (entry.file_name().into_string().unwrap(), BTreeSet::new())).collect();
        for (_, case) in cases() {
            of_kinds.entry(case.spec.kind().to_owned()).or_default().insert(case.expected.verdict);
        }
        Self {
            kinds: SHAPES.iter().map(|kind| (kind.name.to_owned(), fields(kind))).collect(),
            schema: in_schema(&Subject::Playbook.document()),
            cases: of_kinds,
            breaks: breaks::found_in(&folder),
        }
    }

    /// What each kind lacks, and what there is without a kind.
    fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        for (kind, fields) in &self.kinds {
            match self.schema.get(kind) {
                None => faults.push(format!("{kind}: the JSON Schema of playbooks has no such kind")),
                Some(there) if there != fields => {
                    faults.push(format!(
                        "{kind}: the JSON Schema has the fields {there:?}, and not {fields:?}"
                    ));
                }
                Some(_) => {}
            }
            for word in ["compliant", "drift", "unknown"] {
                let is_there = self.cases.get(kind).is_some_and(|verdicts| verdicts.contains(word));
                let is_needed = word != "drift" || !OBSERVED.contains(&kind.as_str());
                if is_needed && !is_there {
                    faults.push(format!("{kind}: no {word} case in tests/cases/{kind}/"));
                }
            }
            match self.breaks.get(kind) {
                None => faults
                    .push(format!("{kind}: nothing says how it is broken: tests/cases/{kind}/breaks.yaml")),
                Some(Err(why)) => faults.push(why.clone()),
                Some(Ok(breaks)) => faults.extend(uncovered(kind, fields, breaks)),
            }
        }
        let kept = [
            ("the JSON Schema of playbooks", self.schema.keys().collect::<Vec<_>>()),
            ("tests/cases", self.cases.keys().chain(self.breaks.keys()).collect()),
        ];
        for (place, names) in kept {
            let gone =
                names.into_iter().filter(|name| !self.kinds.contains_key(*name)).collect::<BTreeSet<_>>();
            faults.extend(gone.into_iter().map(|name| format!("{place} has {name}, which is no kind")));
        }
        faults
    }
}

/// What the parts of a kind leave out of the fields of its declaration. The parts of a kind with one field are all of it.
fn uncovered(kind: &str, fields: &BTreeSet<String>, breaks: &Breaks) -> Vec<String> {
    let path = format!("tests/cases/{kind}/breaks.yaml");
    let shown = breaks.fields();
    let unknown = shown
        .iter()
        .filter(|(field, _)| !fields.contains(**field))
        .map(|(field, line)| format!("{path}:{line}: {kind} has no field `{field}`"));
    let mut faults: Vec<String> = unknown.collect();
    if fields.len() == 1 {
        return faults;
    }
    faults.extend(breaks.without_fields().map(|line| {
        format!("{path}:{line}: `fields` is missing: which of {} the part shows", listed(fields))
    }));
    let missing = fields.iter().filter(|field| !shown.contains_key(field.as_str()));
    faults.extend(
        missing.map(|field| format!("{path}: no part shows the field `{field}`, or says why none can")),
    );
    faults
}

fn listed(fields: &BTreeSet<String>) -> String {
    fields.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
}

fn fields(kind: &shape::Kind) -> BTreeSet<String> {
    let Shape::Fields(fields) = kind.fields else { panic!("{} has no fields", kind.name) };
    fields.iter().map(|field| field.name.to_owned()).collect()
}

/// The kinds that controls may enforce or check, with their fields.
fn in_schema(document: &Value) -> BTreeMap<String, BTreeSet<String>> {
    let names =
        |value: &Value| value.as_object().into_iter().flatten().map(|(name, _)| name.clone()).collect();
    let of = |section: &str| -> BTreeMap<String, BTreeSet<String>> {
        let kinds = &document["items"]["properties"][section]["items"]["properties"];
        let kinds = kinds.as_object().unwrap_or_else(|| panic!("the schema has no kinds below `{section}`"));
        kinds.iter().map(|(name, kind)| (name.clone(), names(&kind["properties"]))).collect()
    };
    let (enforced, checked) = (of("enforce"), of("check"));
    assert_eq!(enforced, checked, "`enforce` and `check` take the same kinds");
    enforced
}

fn every_kind_is_complete() {
    let faults = Catalogue::of_the_repository().faults();
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

const LAMP: &str = "- part: its colour\n  fields: [colour]\n  round: 0\n  finding: it is red\n\
                    - part: its place\n  fields: [place]\n  spared: a container has no ceiling\n";

/// A made-up kind with two fields, of which nothing is missing.
fn lamp() -> Catalogue {
    let fields = BTreeSet::from(["colour", "place"].map(str::to_owned));
    let verdicts = BTreeSet::from(["compliant", "drift", "unknown"].map(str::to_owned));
    let lamp = || "lamp".to_owned();
    Catalogue {
        kinds: [(lamp(), fields.clone())].into(),
        schema: [(lamp(), fields)].into(),
        cases: [(lamp(), verdicts)].into(),
        breaks: [(lamp(), broken(LAMP))].into(),
    }
}

fn broken(text: &str) -> Result<Breaks, String> {
    Breaks::parse("tests/cases/lamp/breaks.yaml", text)
}

fn a_complete_kind_is_left_alone() {
    assert_eq!(lamp().faults(), Vec::<String>::new());
    let mut sockets = lamp();
    sockets.kinds = sockets.kinds.into_values().map(|fields| ("sockets".to_owned(), fields)).collect();
    sockets.schema = sockets.schema.into_values().map(|fields| ("sockets".to_owned(), fields)).collect();
    sockets.cases =
        [("sockets".to_owned(), BTreeSet::from(["compliant", "unknown"].map(str::to_owned)))].into();
    sockets.breaks = [("sockets".to_owned(), broken(LAMP))].into();
    assert_eq!(sockets.faults(), Vec::<String>::new(), "what is only observed never drifts");
    let mut of_one_field = lamp();
    let one = BTreeSet::from(["colour".to_owned()]);
    of_one_field.kinds.insert("lamp".to_owned(), one.clone());
    of_one_field.schema.insert("lamp".to_owned(), one);
    let parts = "- part: its colour\n  round: 0\n  finding: it is red\n";
    of_one_field.breaks.insert("lamp".to_owned(), broken(parts));
    assert_eq!(of_one_field.faults(), Vec::<String>::new());
}

fn what_a_kind_lacks_is_named() {
    let without = |change: fn(&mut Catalogue)| {
        let mut lamp = lamp();
        change(&mut lamp);
        lamp.faults()
    };
    assert_eq!(without(|lamp| lamp.schema.clear()), ["lamp: the JSON Schema of playbooks has no such kind"]);
    assert_eq!(
        without(|lamp| assert!(lamp.schema.get_mut("lamp").unwrap().remove("place"))),
        [r#"lamp: the JSON Schema has the fields {"colour"}, and not {"colour", "place"}"#]
    );
    for word in ["compliant", "drift", "unknown"] {
        let mut lamp = lamp();
        lamp.cases.get_mut("lamp").unwrap().remove(word);
        assert_eq!(lamp.faults(), [format!("lamp: no {word} case in tests/cases/lamp/")]);
    }
    assert_eq!(
        without(|lamp| lamp.breaks.clear()),
        ["lamp: nothing says how it is broken: tests/cases/lamp/breaks.yaml"]
    );
    let unread = |lamp: &mut Catalogue| {
        lamp.breaks.insert("lamp".to_owned(), broken("- part: its colour\n  round: 0\n"));
    };
    assert_eq!(without(unread), ["tests/cases/lamp/breaks.yaml:1: `finding` is missing"]);
    let half = |lamp: &mut Catalogue| {
        let (half, _) = LAMP.split_once("- part: its place").unwrap();
        lamp.breaks.insert("lamp".to_owned(), broken(half));
    };
    assert_eq!(
        without(half),
        ["tests/cases/lamp/breaks.yaml: no part shows the field `place`, or says why none can"]
    );
    let misspelt = |lamp: &mut Catalogue| {
        lamp.breaks.insert("lamp".to_owned(), broken(&LAMP.replace("[colour]", "[colour, plase]")));
    };
    assert_eq!(without(misspelt), ["tests/cases/lamp/breaks.yaml:1: lamp has no field `plase`"]);
    let silent = |lamp: &mut Catalogue| {
        let text = format!("{LAMP}- part: its switch\n  spared: a container has none\n");
        lamp.breaks.insert("lamp".to_owned(), broken(&text));
    };
    assert_eq!(
        without(silent),
        ["tests/cases/lamp/breaks.yaml:8: `fields` is missing: which of colour, place the part shows"]
    );
}

fn what_is_kept_for_no_kind_is_named() {
    let mut gone = lamp();
    gone.kinds.clear();
    assert_eq!(
        gone.faults(),
        ["the JSON Schema of playbooks has lamp, which is no kind", "tests/cases has lamp, which is no kind"]
    );
    gone.schema.clear();
    gone.cases.clear();
    assert_eq!(gone.faults(), ["tests/cases has lamp, which is no kind"]);
}
