//! The JSON Schemas against the parsers: whatever the parser takes, the schema takes; what it refuses by its shape alone,
//! the schema refuses too; and `tests/refusals/parser-alone.txt` names each case that only the parser can refuse, by
//! reason. `PALISADE_BLESS=1` writes the repository's own `.palisade/schema` anew.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::LazyLock;

use jsonschema::Validator;
use palisade::inventory::Fleet;
use palisade::playbook::Playbook;
use palisade::schema::Subject;
use palisade::source::Sources;
use palisade::source::shape::Text;
use palisade::waiver::Waivers;
use palisade::{inventory, playbook};
use proptest::prelude::{
    Just, ProptestConfig, Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest,
};
use proptest::sample::{Index, select};
use serde_json::{Value, json};
use support::{Needs, generated, refusals};

/// The example's fleet and controls: no waiver changes them.
static EXAMPLE: LazyLock<(Fleet, Playbook)> = LazyLock::new(|| {
    let sources = refusals::example()
        .into_iter()
        .fold(Sources::new(), |sources, (path, bytes)| sources.with(&path, bytes));
    (inventory::parse(&sources).unwrap(), playbook::parse(&sources).unwrap())
});

support::tests! {
    Needs::NOTHING => [
        the_schemas_in_the_repository_are_those_of_the_parsers,
        every_field_says_what_it_is_for,
        schema_and_parser_agree_on_every_example_and_every_case,
        patterns_say_what_the_parsers_say,
        what_a_parser_takes_its_schema_takes,
        what_the_waivers_parser_takes_its_schema_takes,
    ],
}

static VALIDATORS: LazyLock<BTreeMap<&'static str, Validator>> = LazyLock::new(|| {
    let one =
        |subject: Subject| (subject.as_str(), jsonschema::draft202012::new(&subject.document()).unwrap());
    Subject::ALL.map(one).into()
});

/// A file as an editor reads it: YAML 1.2, where `no` is text.
fn read(bytes: &[u8]) -> Result<Value, String> {
    let text = std::str::from_utf8(bytes).map_err(|error| error.to_string())?;
    let options = serde_saphyr::options! { strict_booleans: true };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| error.to_string())
}

/// Why an editor with the schema marks one of `files`, if it does.
fn marked(files: &BTreeMap<String, Vec<u8>>) -> Option<String> {
    files.iter().find_map(|(path, bytes)| {
        let subject = Subject::of(path)?;
        match read(bytes) {
            Err(error) => Some(format!("{path}: {error}")),
            Ok(value) => {
                let error = VALIDATORS[subject.as_str()].iter_errors(&value).next()?;
                Some(format!("{path}: {}: {error}", error.instance_path()))
            }
        }
    })
}

/// The titles that each reason stands above.
fn parser_alone() -> BTreeMap<String, BTreeSet<String>> {
    let mut reasons: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut reason = String::new();
    for line in refusals::parser_alone().lines() {
        if let Some(named) = line.strip_prefix("# ") {
            named.clone_into(&mut reason);
        } else if !line.is_empty() {
            reasons.entry(reason.clone()).or_default().insert(line.to_owned());
        }
    }
    reasons
}

fn the_schemas_in_the_repository_are_those_of_the_parsers() {
    for subject in Subject::ALL {
        assert!(jsonschema::draft202012::meta::is_valid(&subject.document()), "{}", subject.as_str());
        generated(&subject.path(), &subject.text());
    }
}

fn every_field_says_what_it_is_for() {
    fn check(schema: &Value, place: &str) {
        for (name, field) in schema["properties"].as_object().into_iter().flatten() {
            let about = field["description"].as_str().unwrap_or_default();
            assert!(about.ends_with('.') || about.contains("Write "), "{place}.{name}: `{about}`");
        }
        match schema {
            Value::Object(fields) => {
                for (name, value) in fields {
                    check(value, &format!("{place}.{name}"));
                }
            }
            Value::Array(items) => items.iter().for_each(|item| check(item, place)),
            _ => {}
        }
    }
    for subject in Subject::ALL {
        check(&subject.document(), subject.as_str());
    }
}

fn schema_and_parser_agree_on_every_example_and_every_case() {
    assert_eq!(marked(&refusals::example()), None, "the example");
    let (mut alone, mut both) = (BTreeSet::new(), 0);
    let groups = refusals::groups();
    let cases = groups.iter().flat_map(|group| &group.items).flat_map(|item| &item.cases);
    for case in cases.filter(|case| case.command().is_none()) {
        match (case.expected.first().map(String::as_str), marked(&case.files())) {
            (Some("nothing"), marked) => assert_eq!(marked, None, "{} is accepted", case.title),
            (_, Some(_)) => both += 1,
            (_, None) => {
                alone.insert(case.title.clone());
            }
        }
    }
    let mut listed: BTreeMap<String, usize> = BTreeMap::new();
    parser_alone().into_values().flatten().for_each(|title| *listed.entry(title).or_default() += 1);
    let twice: Vec<_> = listed.iter().filter(|(_, times)| **times > 1).collect();
    assert!(twice.is_empty(), "{twice:?} have two reasons");
    let listed: BTreeSet<String> = listed.into_keys().collect();
    let missing: Vec<_> = alone.difference(&listed).collect();
    let stale: Vec<_> = listed.difference(&alone).collect();
    assert!(
        missing.is_empty() && stale.is_empty(),
        "the schema does not refuse, and no reason says why: {missing:#?}\nit does refuse: {stale:#?}"
    );
    assert!(both > 80, "the schemas refuse only {both} cases");
}

/// Every form of text, once.
fn texts() -> Vec<&'static Text> {
    let mut texts: Vec<&Text> = Subject::ALL.iter().flat_map(|subject| subject.shape().texts()).collect();
    texts.sort_by_key(|text| (text.about, text.pattern));
    texts.dedup_by_key(|text| (text.about, text.pattern));
    texts
}

/// Something like what a file holds, and not quite.
fn nearly() -> impl Strategy<Value = String> {
    let seeds = [
        "alice",
        "web-1",
        "role:web",
        "internet",
        "all",
        "10.20.0.0/24",
        "2001:db8:20::/48",
        "198.51.100.21",
        "::ffff:1.2.3.4",
        "/etc/motd",
        "/etc/../x",
        "/proc/x",
        "motd.tera",
        "nftables",
        "ssh.service",
        "0640",
        "kernel.kptr_restrict",
        "net.ipv4.conf.*.rp_filter",
        "2|1",
        "1|absent",
        "absent",
        "Europe/Paris",
        "Sat 22:00",
        "ops@example.com",
        "5.1.20~",
        "32(1)(b)",
        "R80",
        "A.8.20",
        "http://mirror.example.com:80/debian",
        "/usr/bin/rsync --server",
        "FR",
        "gra3",
        "Alice Martin",
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPdPYWQMzlMD9aJ9lXVu+UTF/iDDzb4DdBmbR97ZwXsY a",
        "{{ x }}",
        "$(id)",
        "0123456789abcdef0123456789abcdef",
    ];
    let edited = (select(seeds.to_vec()), any::<Index>(), "[ -~\\n\\té]{0,2}", 0usize..3).prop_map(
        |(seed, at, inserted, cut)| {
            let characters: Vec<char> = seed.chars().collect();
            let at = at.index(characters.len() + 1);
            let head = characters[..at].iter().collect::<String>();
            head + &inserted + &characters[(at + cut).min(characters.len())..].iter().collect::<String>()
        },
    );
    prop_oneof![3 => edited, 1 => "[ -~\\n]{0,12}"]
}

static PATTERNS: LazyLock<Vec<(&'static Text, Validator)>> = LazyLock::new(|| {
    let one = |text: &'static Text| {
        (text, jsonschema::draft202012::new(&json!({"pattern": text.pattern})).unwrap())
    };
    texts().into_iter().map(one).collect()
});

/// The example with some lines changed or gone, and a word of it replaced.
fn changed(path: &str, lines: &[(Index, Option<String>)]) -> Vec<u8> {
    let text = fs::read_to_string(path).unwrap();
    let mut text: Vec<String> = text.lines().map(str::to_owned).collect();
    for (at, value) in lines {
        let at = at.index(text.len());
        match (value, text[at].split_once(": ")) {
            (Some(value), Some((key, _))) => text[at] = format!("{key}: {value}"),
            _ => {
                text.remove(at);
            }
        }
    }
    (text.join("\n") + "\n").into_bytes()
}

fn values() -> impl Strategy<Value = Option<String>> {
    let values = [
        "1",
        "0",
        "5",
        "22",
        "65535",
        "65536",
        "-1",
        "1e3",
        "0777",
        "\"80\"",
        "true",
        "false",
        "yes",
        "no",
        "~",
        "\"\"",
        "x",
        "never",
        "internet",
        "admin",
        "private",
        "role:web",
        "role:database",
        "udp",
        "tcp",
        "[]",
        "{}",
        "[x]",
        "[dev]",
        "[web]",
        "[198.51.100.10]",
        "[10.20.0.0/24, 10.40.0.0/24]",
        "2026-11-28",
        "2026-13-01",
        "60s",
        "4 weeks",
        "3 days",
        "180",
        "Sat 22:00",
        "\"Sun 02:30\"",
        "Alice",
        "\"a: b\"",
        "\"{{ x }}\"",
        "FR",
        "XX",
        "db-1",
        "/bin/sh",
        "low",
        "high",
        "all",
        "Europe/Paris",
        "\"T22:0\"",
    ];
    prop_oneof![4 => select(values.to_vec()).prop_map(|value| Some(value.to_owned())), 1 => Just(None)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if support::tail() { 300 } else { 100 }, failure_persistence: None, ..ProptestConfig::default() })]

    /// A pattern refuses nothing that the parser accepts; an exact one says the same as the parser.
    fn patterns_say_what_the_parsers_say(nearly in nearly()) {
        for (text, pattern) in PATTERNS.iter() {
            let (accepted, matched) = ((text.accepts)(&nearly), pattern.is_valid(&json!(nearly)));
            prop_assert!(!accepted || matched, "{}: {nearly:?} is accepted, and does not match", text.about);
            if text.exact {
                prop_assert_eq!(accepted, matched, "{}: {:?}", text.about, nearly);
            }
        }
    }

    /// Whatever file the parsers take, its schema takes.
    fn what_a_parser_takes_its_schema_takes(
        file in select(vec![
            "inventories/fleet.yaml", "inventories/dev.yaml", "inventories/prod.yaml", "playbooks/baseline.yaml",
            "playbooks/system.yaml",
        ]),
        lines in proptest::collection::vec((any::<Index>(), values()), 1..3),
    ) {
        let bytes = changed(file, &lines);
        let sources = refusals::example()
            .into_iter()
            .fold(Sources::new(), |sources, (path, bytes)| sources.with(&path, bytes))
            .with(file, bytes.clone());
        let taken = if file.starts_with("playbooks") {
            playbook::parse(&sources).is_ok()
        } else {
            inventory::parse(&sources).is_ok()
        };
        if taken {
            let marked = marked(&BTreeMap::from([(file.to_owned(), bytes.clone())]));
            prop_assert_eq!(marked, None, "{}", String::from_utf8_lossy(&bytes));
        }
    }

    /// The same of waivers, which look up what they name.
    fn what_the_waivers_parser_takes_its_schema_takes(
        field in select(vec!["control", "hosts", "owner", "reason", "expires"]),
        value in prop_oneof![values(), nearly().prop_map(|text| Some(json!(text).to_string()))],
    ) {
        let fields = [
            ("control", "firewall"), ("hosts", "[db-1]"), ("owner", "Alice Martin"), ("reason", "x"), ("expires", "2026-12-31"),
        ];
        let lines = fields.into_iter().filter_map(|(name, usual)| {
            let value = if name == field { value.clone()? } else { usual.to_owned() };
            Some(format!("  {name}: {value}\n"))
        });
        let text = lines.collect::<String>().replacen(' ', "-", 1).into_bytes();
        let sources = refusals::example()
            .into_iter()
            .fold(Sources::new(), |sources, (path, bytes)| sources.with(&path, bytes))
            .with("inventories/waivers.yaml", text.clone());
        if Waivers::parse(&sources, &EXAMPLE.0, &EXAMPLE.1).is_ok() {
            let shown = String::from_utf8_lossy(&text).into_owned();
            prop_assert_eq!(marked(&BTreeMap::from([("inventories/waivers.yaml".to_owned(), text)])), None, "{}", shown);
        }
    }
}
