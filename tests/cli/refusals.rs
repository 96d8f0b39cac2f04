//! What palisade refuses, each as a case in `tests/refusals/*.cases`: an edit of the example project, and exactly what
//! `palisade check` says of it as data, or another verb as text, so that a message too many fails as well as one too few.
//! docs/refusals.md is written from the cases.
//!
//! `PALISADE_BLESS=1` writes both anew; read the difference before you keep it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use palisade::domain::{Digest, Environment, Identifier};
use palisade::inventory;
use palisade::plan::Plan;
use palisade::project::Project;
use palisade::record::{Counts, Footer, Header, Line, Manifest, Summary};
use palisade::source::Sources;
use palisade::store;
use serde::Deserialize;
use support::refusals::{self, Case, Group};
use support::{Needs, blessing, generated, palisade};

support::tests! {
    Needs::NOTHING => [
        every_case_is_refused_as_it_says_and_the_page_shows_it,
        titles_are_unique,
        files_in_another_encoding_and_deep_blocks_are_refused,
        secrets_are_never_shown,
        no_file_breaks_the_parser,
    ],
}

const PAGE: &str = "docs/refusals.md";
const TOOL: &str = env!("CARGO_PKG_VERSION");

/// What editors and CI get of one refusal.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Refusal {
    file: String,
    line: usize,
    column: usize,
    field: String,
    value: Option<String>,
    why: String,
    fix: String,
}

impl Refusal {
    fn place(&self) -> String {
        format!("{}:{}:{}", self.file, self.line, self.column)
    }

    /// Field, reason and value.
    fn said(&self) -> String {
        let field = if self.field.is_empty() { String::new() } else { format!("{}: ", self.field) };
        let value = self.value.as_ref().map_or_else(String::new, |value| format!(" (`{value}`)"));
        format!("{field}{}{value}", self.why)
    }
}

/// What came of one case.
enum Outcome {
    /// What `palisade check` refuses; nothing where it accepts the project.
    Checked(Vec<Refusal>),
    /// What another verb says, line by line, with its exit code.
    Said(Vec<String>),
}

impl Outcome {
    fn lines(&self) -> Vec<String> {
        match self {
            Self::Checked(refusals) if refusals.is_empty() => vec!["nothing".to_owned()],
            Self::Checked(refusals) => {
                refusals.iter().map(|one| format!("{}: {}; {}", one.place(), one.said(), one.fix)).collect()
            }
            Self::Said(lines) => lines.clone(),
        }
    }
}

fn every_case_is_refused_as_it_says_and_the_page_shows_it() {
    let (mut failures, mut count) = (String::new(), 0);
    let mut page = HEAD.to_owned();
    let alone = refusals::parser_alone();
    let alone: Vec<&str> = alone.lines().collect();
    let groups = refusals::groups();
    let mut outcomes = outcomes(&groups).into_iter();
    for group in &groups {
        let _ = writeln!(page, "\n## {}", group.title);
        let mut rewritten = Vec::new();
        for item in &group.items {
            assert!(
                item.later.is_some() == item.cases.is_empty(),
                "`{}` has cases, or a reason to have none",
                item.title
            );
            let _ = writeln!(page, "\n### {}\n", item.title);
            let mut text = format!("## {}\n", item.title);
            if let Some(why) = &item.later {
                let _ = writeln!(text, "\nnot yet: {why}");
                let _ = writeln!(page, "Not refused today: {why}.");
            }
            let mut rows = Vec::new();
            for case in &item.cases {
                count += 1;
                let outcome = outcomes.next().unwrap();
                // Where it cannot be seen, what was seen last stands.
                let found = outcome.as_ref().map_or_else(|| case.expected.clone(), Outcome::lines);
                if found != case.expected {
                    let _ = writeln!(
                        failures,
                        "{}: {}\nexpected:\n{}\nfound:\n{}",
                        group.file,
                        case.title,
                        case.expected.join("\n"),
                        found.join("\n")
                    );
                }
                let _ = write!(text, "\n# {}\n", case.title);
                text.push_str(&block(&case.edit, ""));
                text.push_str(&block(&found, "> "));
                rows.push((case, outcome));
            }
            page.push_str(&shown(&rows, &alone));
            rewritten.push(text);
        }
        if blessing() || failures.is_empty() {
            generated(&refusals::path(group.file), &rewritten.join("\n"));
        }
    }
    assert!(count > 180, "only {count} cases were found");
    assert!(blessing() || failures.is_empty(), "{failures}");
    // What only root can bring about is not seen by others.
    if rustix::process::geteuid().is_root() {
        generated(PAGE, &page);
    }
}

/// What comes of every case, in their order; two at a time, since each starts palisade.
fn outcomes(groups: &[Group]) -> Vec<Option<Outcome>> {
    let cases: Vec<&Case> =
        groups.iter().flat_map(|group| &group.items).flat_map(|item| &item.cases).collect();
    let (first, second) = cases.split_at(cases.len() / 2);
    std::thread::scope(|scope| {
        let half = |cases: &[&Case]| cases.iter().map(|case| outcome(case)).collect::<Vec<_>>();
        let other = scope.spawn(move || half(second));
        let mut all = half(first);
        all.extend(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        all
    })
}

/// Runs a case; none where it cannot be brought about here.
fn outcome(case: &Case) -> Option<Outcome> {
    let folder = tempfile::tempdir().unwrap();
    if !case.write(folder.path()) {
        return None; // only root can do it
    }
    for line in &case.edit {
        match *line.split(' ').collect::<Vec<_>>().as_slice() {
            ["@plan", file, how] => write_plan(folder.path(), file, how),
            ["@record", name, how] => write_record(folder.path(), name, how, None),
            _ => {}
        }
    }
    let arguments = case.command().unwrap_or("check --format json");
    let ran = palisade(arguments.split(' ')).alone().within(folder.path()).run();
    let code = ran.code.unwrap();
    if case.command().is_some() {
        let lines = ran.out.lines().chain(ran.err.lines()).map(|line| line.trim_end().to_owned());
        return Some(Outcome::Said(lines.chain([format!("(exit {code})")]).collect()));
    }
    let document: serde_json::Value = serde_json::from_str(&ran.out)
        .unwrap_or_else(|error| panic!("{}: {error}: {}", case.title, ran.said()));
    let refusals = Vec::<Refusal>::deserialize(&document["refusals"]).unwrap();
    assert_eq!(code, if refusals.is_empty() { 0 } else { 2 }, "{}: {}", case.title, ran.err);
    Some(Outcome::Checked(refusals))
}

/// A plan of no host, good or wrong in one thing.
fn write_plan(root: &Path, file: &str, how: &str) {
    let project = Project::read(root).unwrap();
    let written = ["inventories/known_hosts", "inventories/identities.yaml"];
    let files: BTreeMap<_, _> =
        project.inputs.iter().filter(|(path, _)| !written.contains(&path.as_str())).collect();
    let inputs = match how {
        "inputs" => Digest::of(b"another state"),
        _ => Digest::of(serde_json::to_string(&files).unwrap().as_bytes()),
    };
    let hours = |hours: i64| jiff::Timestamp::now() + jiff::SignedDuration::from_hours(hours);
    let made = hours(match how {
        "old" => -48,
        "early" => 24,
        _ => 0,
    });
    let tool = if how == "tool" { "0.0.1" } else { TOOL };
    let environment = if how == "environment" { Environment::Test } else { Environment::Prod };
    let mut plan = Plan::new(tool, environment, made, inputs, Vec::new());
    if how == "edited" {
        plan.made = hours(1);
    }
    if how == "applied" {
        write_record(root, "20261128t220000123z-prod-apply-00000001", "whole", Some(plan.hash.clone()));
    }
    fs::write(root.join(file), serde_json::to_vec_pretty(&plan).unwrap()).unwrap();
}

/// A record of a run, good or wrong in one thing.
fn write_record(root: &Path, name: &str, how: &str, plan: Option<Digest>) {
    if matches!(how, "removed" | "rewritten") {
        fs::remove_dir_all(root.join("runs").join(name)).unwrap();
        if how == "removed" {
            return;
        }
    }
    let at: jiff::Timestamp = "2026-11-28T22:00:00Z".parse().unwrap();
    let (_, verb) = name.split_once("-prod-").unwrap();
    let run: Identifier = format!("20261128t220000123z-{}", verb.split_once('-').unwrap().1).parse().unwrap();
    let header = Header {
        schema: if how == "newer" { 2 } else { 1 },
        run: run.clone(),
        tool: TOOL.to_owned(),
        verb: verb.split_once('-').unwrap().0.to_owned(),
        environment: Environment::Prod,
        by: Some("alice".parse().unwrap()),
        from: "laptop".to_owned(),
        began: at,
        inputs: BTreeMap::new(),
        hosts: ["db-1", "db-2", "web-1"].map(str::to_owned).to_vec(),
        controls: Vec::new(),
        plan,
    };
    let end = Footer {
        ended: at,
        exit: 0,
        summary: Counts::Judged(Summary::default()),
        interrupted: false,
        jump_connections: BTreeMap::new(),
    };
    let whole = [Line::Run(&header), Line::End(&end)].map(|line| line.to_text().unwrap() + "\n").concat();
    let text = if how == "truncated" { whole.lines().next().unwrap().to_owned() } else { whole };
    let folder = store::write_run(root, name, &run, &text).unwrap();
    if how == "changed" {
        fs::write(folder.join(store::RECORD), text.replace("alice", "bob")).unwrap();
    }
    let manifest: Manifest =
        serde_json::from_slice(&fs::read(folder.join(store::MANIFEST)).unwrap()).unwrap();
    assert_eq!(manifest.run, run);
}

const HEAD: &str = "\
# What palisade refuses

Nothing is contacted where a file is wrong. Everything wrong with all files is said at once, each with its file, line and
column, the field, what stands there (never a secret), why it is refused, and what to write instead:

```console
$ palisade check
error: roles.database.listeners[0].from: no such role
  --> inventories/prod.yaml:27:44
   |
27 |       - {name: postgres, port: 5432, from: role:wbe}
   |                                            ^^^^^^^^
   |
   = help: did you mean `web`?
```

`palisade check --format json` gives the same as data, for editors and CI: `refusals` is a list of `file`, `line`, `column`,
`field`, `value`, `why` and `fix`.

Each file names a JSON Schema in its first line, which `palisade init` writes and `palisade schema` prints: an editor that
understands it completes fields and marks, as you write, what is followed by ✎ below. The rest is not a matter of one value's
shape: other values decide it, other files, or what YAML makes of the text.

What depends on the day is no refusal but a verdict: a waiver that has run out, a person whose time is over. The tool must
work on the day after.

This page is written by the tests (`PALISADE_BLESS=1 cargo test --test cli refusals`): each line below is a project that was
changed in that way, and what was said of it. Some cases are there because they are *accepted*, beside one that is not.
";

/// A table of what was refused, and blocks of what other verbs said. `alone` holds the titles that no schema refuses.
fn shown(rows: &[(&Case, Option<Outcome>)], alone: &[&str]) -> String {
    let cell = |text: &str| text.replace('|', "\\|");
    let (mut table, mut blocks) = (String::new(), String::new());
    for (case, outcome) in rows {
        match outcome {
            Some(Outcome::Checked(refusals)) if refusals.is_empty() => {
                let _ = writeln!(table, "| {} | *accepted* | |", cell(&case.title));
            }
            Some(Outcome::Checked(refusals)) => {
                for (index, one) in refusals.iter().enumerate() {
                    let star = if alone.contains(&case.title.as_str()) { "" } else { " ✎" };
                    let title = if index == 0 { cell(&case.title) + star } else { String::new() };
                    let said = cell(&one.said());
                    let _ = writeln!(table, "| {title} | `{}` {said} | {} |", one.place(), cell(&one.fix));
                }
            }
            Some(Outcome::Said(lines)) => {
                let command = case.command().unwrap_or("check");
                let _ = writeln!(blocks, "{}:\n\n```console\n$ palisade {command}", sentence(&case.title));
                blocks.push_str(&block(lines, ""));
                blocks.push_str("```\n\n");
            }
            None => {}
        }
    }
    let mut text = String::new();
    if !table.is_empty() {
        text = format!("| wrong | what is said | what to write |\n|---|---|---|\n{table}");
    }
    text.push_str(&blocks);
    text.trim_end().to_owned() + "\n"
}

/// Lines, each behind `mark`.
fn block(lines: &[String], mark: &str) -> String {
    lines.iter().fold(String::new(), |mut text, line| {
        let _ = writeln!(text, "{mark}{line}");
        text
    })
}

/// With a capital letter.
fn sentence(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map_or_else(String::new, |first| first.to_uppercase().chain(characters).collect())
}

/// Each title once, so that a case can be named.
fn titles_are_unique() {
    let groups = refusals::groups();
    let titles: Vec<&String> = groups
        .iter()
        .flat_map(|group: &Group| &group.items)
        .flat_map(|item| &item.cases)
        .map(|case| &case.title)
        .collect();
    let once: std::collections::BTreeSet<_> = titles.iter().collect();
    assert_eq!(once.len(), titles.len());
}

/// The example, as the parsers take it.
fn sources() -> Sources {
    refusals::example().into_iter().fold(Sources::new(), |sources, (path, bytes)| sources.with(&path, bytes))
}

/// What no edit of a text can bring about.
fn files_in_another_encoding_and_deep_blocks_are_refused() {
    let refused = |bytes: Vec<u8>| {
        let sources = sources().with("inventories/dev.yaml", bytes);
        inventory::parse(&sources).map(|_| ()).unwrap_err().to_string()
    };
    let dev = include_str!("../../inventories/dev.yaml");
    let indented = (0..40).fold(String::new(), |text, depth| format!("{text}{}a:\n", " ".repeat(depth)));
    let cases = [
        (
            dev.encode_utf16().flat_map(u16::to_be_bytes).collect(),
            "NUL bytes: the file is no text, or UTF-16; save it as UTF-8",
        ),
        ([&[0xff, 0xfe], dev.as_bytes()].concat(), "the file is UTF-16, not UTF-8;"),
        (indented.into_bytes(), "nested deeper than 24 levels"),
        (Vec::new(), "the file is empty;"),
    ];
    for (bytes, expected) in cases {
        let refused = refused(bytes);
        assert!(
            refused.starts_with("inventories/dev.yaml:") && refused.contains(expected),
            "{expected}\n{refused}"
        );
    }
}

/// No secret of a file is ever shown, whatever is wrong beside it.
fn secrets_are_never_shown() {
    let body = "b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gtZW";
    let key = format!("    key: |\n      -----BEGIN OPENSSH {} KEY-----\n      {body}\n", "PRIVATE");
    let files = [
        format!("environment: dev\npassword: hunter2\nhosts: {{a: {{token: hunter2, b: 1}}, c: [}}\n{key}"),
        format!("environment: dev\nproxy: http://user:hunter2@example.com/\nwhatever:\n{key}"),
        format!("environment: dev\n# {body}\npassword: [hunter2\n"),
    ];
    for file in files {
        let refusals = inventory::parse(&sources().with("inventories/dev.yaml", file.as_bytes()))
            .map(|_| ())
            .unwrap_err();
        let shown = format!(
            "{refusals}\n{}\n{}",
            refusals.annotated(false),
            serde_json::to_string(&refusals).unwrap()
        );
        assert!(!shown.contains("hunter2") && !shown.contains("b3Blb"), "{shown}");
    }
}

proptest::proptest! {
    /// Whatever a file holds, it is read or refused, with places that exist and texts that can be shown.
    fn no_file_breaks_the_parser(cut in 0usize..2000, length in 0usize..40, text in "(?s)[ -~\\n\\t\\u{1b}\\u{202e}é:{}\\[\\],&*#|>'\"]{0,30}") {
        let example = include_str!("../../inventories/prod.yaml");
        let from = cut.min(example.len());
        let to = (from + length).min(example.len());
        if example.is_char_boundary(from) && example.is_char_boundary(to) {
            let edited_text = format!("{}{text}{}", &example[..from], &example[to..]);
            check_shown(&edited_text);
        }
        check_shown(&text);
    }
}

fn check_shown(text: &str) {
    let sources = sources().with("inventories/prod.yaml", text.as_bytes());
    let Err(refusals) = inventory::parse(&sources) else { return };
    for refusal in refusals.iter() {
        assert!(
            refusal.file != "inventories/prod.yaml" || refusal.line <= text.split('\n').count(),
            "{refusal}"
        );
    }
    let shown = format!("{refusals}{}", refusals.annotated(false));
    assert!(!shown.contains(['\u{1b}', '\u{202e}', '\t']), "{shown}");
}
