//! How a file says how a kind is broken: what of it becomes a part of a resource, and what is refused. On made-up files and
//! resources; what the repository has is applied to the resources of the cases.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use support::Needs;
use support::breaks::{self, Breaks, Circumstances, Part, Treatment};

use crate::cases::cases;

support::tests! {
    Needs::NOTHING => [
        every_resource_of_the_cases_has_its_parts,
        fields_are_words,
        conditions_choose_parts,
        elements_have_parts_of_their_own,
        a_file_has_the_parts_of_a_file,
        what_is_not_understood_is_refused_with_its_line,
        what_a_resource_has_not_is_told_with_the_place,
    ],
}

const ENFORCED: Circumstances<'_> = Circumstances { distribution: "debian-12", enforced: true };
const CHECKED: Circumstances<'_> = Circumstances { distribution: "debian-13", enforced: false };

fn lamps() -> Value {
    json!({
        "name": "hall", "is-on": true, "watts": 40, "owner": null, "nobodys": [],
        "bulbs": ["red", "green"],
        "rooms": {"attic": {"door": "a"}, "cellar": {"door": "c"}},
        "pairs": [["x", 1], ["y", 2]],
    })
}

fn parts_on(text: &str, on: Circumstances<'_>) -> Result<Vec<Part>, String> {
    Breaks::parse("b.yaml", text)?.parts(&lamps(), "the lamps", on)
}

fn names_on(text: &str, on: Circumstances<'_>) -> Vec<String> {
    parts_on(text, on).unwrap().into_iter().map(|part| part.name).collect()
}

fn every_resource_of_the_cases_has_its_parts() {
    for (path, case) in cases() {
        for on in [ENFORCED, CHECKED] {
            let parts =
                breaks::parts(&case.spec, on).unwrap_or_else(|why| panic!("{}: {why}", path.display()));
            let names: BTreeSet<&str> = parts.iter().map(|part| part.name.as_str()).collect();
            assert_eq!(names.len(), parts.len(), "{}: a part is there twice: {parts:#?}", path.display());
        }
    }
}

fn fields_are_words() {
    let text = r#"
- part: $name's light
  round: 1
  break: |
    n=$(id -u); echo "$name" '$owner' \$nobody ${watts}x "$n" >/dev/null
  finding: $name is_on $is_on at $watts W
  verdict: unknown
  mend: "echo $is_on"
"#;
    let parts = parts_on(text, ENFORCED).unwrap();
    let [part] = parts.as_slice() else { panic!("{parts:?}") };
    assert_eq!((part.name.as_str(), part.resource.as_str()), ("hall's light", "the lamps"));
    assert_eq!(part.place, "b.yaml:2");
    let Treatment::Broken(how) = &part.treatment else { panic!("{part:?}") };
    let words = [("is_on", "true".to_owned()), ("name", "hall".to_owned()), ("watts", "40".to_owned())];
    assert_eq!(how.words, words);
    assert_eq!((how.round, how.verdict), (1, "unknown"));
    assert_eq!(how.named, "hall is_on true at 40 W");
    assert_eq!(how.mended, "echo $is_on");
    assert!(how.text.starts_with("n=$(id -u)"), "{}", how.text);
}

fn conditions_choose_parts() {
    let entry = |condition: &str| format!("- part: x\n  {condition}\n  round: 0\n  finding: y\n");
    for (condition, holds) in [
        ("when: {name: hall}", true),
        ("when: {name: attic}", false),
        ("when: {name: \"h*l\"}", true),
        ("when: {name: \"*a*\"}", true),
        ("when: {name: \"*b*\"}", false),
        ("when: {name: \"hall?\"}", false),
        ("when: {name: \"*\"}", true),
        ("when: {owner: \"*\"}", false),
        ("when: {owner: ~}", true),
        ("when: {name: ~}", false),
        ("when: {is_on: true}", true),
        ("when: {is_on: false}", false),
        ("when: {is_on: \"true\"}", false),
        ("when: {nobodys: []}", true),
        ("when: {bulbs: []}", false),
        ("when: {bulbs_1: green}", true),
        ("when: {name: hall, is_on: false}", false),
        ("unless: {name: hall}", false),
        ("unless: {name: attic, is_on: false}", true),
        ("unless: {name: attic, is_on: true}", false),
        ("enforced: true", true),
        ("enforced: false", false),
        ("distribution: debian-12", true),
        ("distribution: debian-13", false),
    ] {
        let expected: &[&str] = if holds { &["x"] } else { &[] };
        assert_eq!(names_on(&entry(condition), ENFORCED), expected, "{condition}");
    }
    assert_eq!(names_on(&entry("enforced: false"), CHECKED), ["x"]);
    assert_eq!(names_on(&entry("distribution: debian-13"), CHECKED), ["x"]);
}

fn elements_have_parts_of_their_own() {
    let of = |head: &str, part: &str| {
        names_on(&format!("- part: {part}\n  {head}\n  spared: there is none\n"), ENFORCED)
    };
    assert_eq!(of("each: bulbs", "$item of $name"), ["red of hall", "green of hall"]);
    assert_eq!(of("each: rooms", "$key by $item_door"), ["attic by a", "cellar by c"]);
    assert_eq!(of("each: pairs", "$item_0 $item_1"), ["x 1", "y 2"]);
    assert_eq!(of("first: pairs", "$item_0"), ["x"]);
    assert_eq!(of("first: nobodys", "$item"), Vec::<String>::new());
    let values =
        "- part: $key\n  each: rooms\n  values: {attic: dark}\n  round: 0\n  finding: $key is $value\n";
    let rest = "- part: $key\n  each: rooms\n  unless: {key: attic}\n  spared: nobody goes there\n";
    assert_eq!(names_on(&format!("{values}{rest}"), ENFORCED), ["attic", "cellar"]);
    assert_eq!(parts_on(values, ENFORCED).unwrap_err(), "b.yaml: the lamps: no part for `cellar` of `rooms`");
}

fn a_file_has_the_parts_of_a_file() {
    let names = names_on("- file: /etc/$name.conf\n", ENFORCED);
    let of_file = ["content", "mode", "owner", "that it is there"];
    assert_eq!(names, of_file.map(|name| format!("/etc/hall.conf: {name}")));
}

fn what_is_not_understood_is_refused_with_its_line() {
    let good = "- part: a\n  round: 0\n  finding: b\n";
    for (entry, why) in [
        ("- part: x\n  round: 0\n", "`finding` is missing"),
        ("- part: x\n  finding: y\n", "`round` is missing"),
        ("- part: x\n  round: 3\n  finding: y\n", "there is no round 3: they are 0 to 2"),
        ("- round: 0\n  finding: y\n", "`part` is missing"),
        ("- part: x\n  spared: \"\"\n", "`spared` says no reason"),
        ("- part: x\n  spared: y\n  mend: z\n", "a part that is spared has no `mend`"),
        ("- part: x\n  file: y\n", "`part` or `file`, not both"),
        ("- file: x\n  round: 0\n", "a `file` has the parts and rounds of the kind file"),
        ("- part: x\n  each: a\n  first: b\n  spared: y\n", "`each` or `first`, not both"),
        ("- part: x\n  values: {a: b}\n  spared: y\n", "`values` needs `each`"),
        ("- part: x\n  when: {a: 1}\n  spared: y\n", "`a` is compared with text, true, false, ~ or []"),
    ] {
        let error = Breaks::parse("b.yaml", &format!("{good}{entry}")).unwrap_err();
        assert_eq!(error, format!("b.yaml:4: {why}"), "{entry}");
    }
    for (entry, line, why) in [
        ("- part: x\n  rounds: 0\n", 5, "rounds"),
        ("- part: x\n  round: 0\n  round: 1\n", 6, "round"),
        ("- part: x\n  distribution: debian-11\n", 5, "debian-11"),
        ("- part: x\n  verdict: waived\n", 5, "waived"),
        ("- part: x\n  fields: mode\n", 5, "sequence"),
        ("- part: [x]\n", 4, "string"),
    ] {
        let error = Breaks::parse("b.yaml", &format!("{good}{entry}")).unwrap_err();
        assert!(error.starts_with(&format!("b.yaml:{line}: ")) && error.contains(why), "{entry}: {error}");
    }
    assert_eq!(Breaks::parse("b.yaml", "[]\n").unwrap_err(), "b.yaml:1: it has no part");
}

fn what_a_resource_has_not_is_told_with_the_place() {
    for (entry, why) in [
        ("- part: $nam\n  spared: y\n", "the resource has no `$nam`; it has "),
        ("- part: x\n  round: 0\n  finding: $owner\n", "the resource has no `$owner`; it has "),
        ("- part: x\n  round: 0\n  finding: y\n  break: echo $nam\n", "the resource has no `$nam`; it has "),
        (
            "- part: x\n  round: 0\n  finding: y\n  mend: echo \"$nam\"\n",
            "the resource has no `$nam`; it has ",
        ),
        ("- part: $bulbs\n  spared: y\n", "`$bulbs` is a list or a mapping, not one value"),
        ("- part: x\n  each: lamps\n  spared: y\n", "the resource has no `lamps`; it has "),
        ("- part: x\n  each: name\n  spared: y\n", "`name` is no list and no mapping"),
    ] {
        let error = parts_on(entry, ENFORCED).unwrap_err();
        assert!(error.starts_with(&format!("b.yaml:1: {why}")), "{entry}: {error}");
    }
}
