//! The rules of the house about programs and tests: processes are started through one table, so that what a command or a
//! test needs can be named before it begins; every file below `tests/` is compiled, every test in it is run, and the hosts
//! of tests are one `World`. The rules are functions over made-up sources first, so that they can fail. What is listed as
//! needed, and whether that is all, they do not see.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use support::Needs;

use crate::source::{Source, Token, code_of, declared, heads, read_sources, tokens};

support::tests! {
    Needs::NOTHING => [
        programs_and_tests_keep_the_rules,
        a_house_in_order_is_left_alone,
        commands_are_made_in_one_place,
        a_program_at_a_path_is_started_by_few,
        a_file_that_nothing_leads_to_is_named,
        a_test_program_is_in_the_manifest,
        a_file_whose_tests_no_program_lists_is_named,
        there_is_one_world,
    ],
}

/// Where commands are made.
const TABLE: &str = "src/program.rs";

/// Who may start a program at a path: palisade itself, a program of the tests, or what whoever runs it named.
const BY_PATH: [&str; 4] = ["src/demo/verb.rs", "tests/support/", "examples/", "benches/"];

/// The only file that declares `struct World`.
const WORLD: &str = "tests/support/src/world.rs";

/// Where the words `wanted` begin, one after the other.
fn places<'t>(tokens: &'t [Token<'t>], wanted: &'t [&'t str]) -> impl Iterator<Item = usize> + 't {
    let windows = tokens.windows(wanted.len()).enumerate();
    windows
        .filter(move |(_, window)| window.iter().zip(wanted).all(|(token, word)| token.text == *word))
        .map(|(at, _)| at)
}

/// What breaks a rule about programs, as `file:line: what`.
fn started_elsewhere(sources: &[Source]) -> Vec<String> {
    let mut wrong = Vec::new();
    for Source { path, text } in sources.iter().filter(|source| source.is_rust() && source.path != TABLE) {
        let code = code_of(text);
        let tokens = tokens(&code);
        for place in places(&tokens, &["Command", "::", "new"]) {
            wrong.push(format!(
                "{path}:{}: `Command::new` stands in {TABLE} alone: take a `Program`",
                tokens[place].line
            ));
        }
        if BY_PATH.iter().any(|allowed| path.starts_with(allowed)) {
            continue;
        }
        for place in places(&tokens, &["program", "::"]) {
            for head in heads(&tokens[place + 2..]).iter().filter(|head| head.text == "at") {
                wrong.push(format!(
                    "{path}:{}: `program::at` is not for programs of this machine: take a `Program`",
                    head.line
                ));
            }
        }
    }
    wrong
}

/// What breaks a rule about tests, as `file:line: what`. `manifest` is Cargo.toml.
fn untested(sources: &[Source], manifest: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    let programs = test_programs(manifest);
    for source in sources.iter().filter(|source| source.is_rust() && source.path.starts_with("tests/")) {
        let path = source.path.as_str();
        let code = code_of(&source.text);
        let tokens = tokens(&code);
        if path != WORLD {
            let worlds = places(&tokens, &["struct", "World"]).map(|place| tokens[place].line);
            wrong
                .extend(worlds.map(|line| format!("{path}:{line}: the hosts of tests are `support::World`")));
        }
        let Some((program, place)) = place_of(path) else {
            wrong.push(format!("{path}:1: no test program leads to this file"));
            continue;
        };
        let Some((name, above)) = place.split_last() else {
            if path.ends_with("/main.rs") && !programs.contains(path) {
                wrong.push(format!("{path}:1: Cargo.toml has no [[test]] with this path"));
            }
            continue;
        };
        if !leads_to(sources, program, above, name) {
            wrong.push(format!("{path}:1: no `mod {name};` leads to this file"));
        }
        if places(&tokens, &["support", "::", "tests", "!"]).next().is_some()
            && !root_of(sources, program).is_some_and(|root| lists(&root.text, name))
        {
            wrong.push(format!("{path}:1: tests/{program}/main.rs does not list `{name}`"));
        }
    }
    wrong
}

/// The paths of the test programs that a manifest names.
fn test_programs(manifest: &str) -> BTreeSet<&str> {
    let mut found = BTreeSet::new();
    let mut inside = false;
    for line in manifest.lines().map(str::trim) {
        if line.starts_with('[') {
            inside = line == "[[test]]";
        } else if let (true, Some(("path", path))) = (inside, line.split_once(" = ")) {
            found.insert(path.trim_matches('"'));
        }
    }
    found
}

/// The program that a file below `tests/` belongs to, and the modules down to it: none for the program's root.
fn place_of(path: &str) -> Option<(&str, Vec<&str>)> {
    let path = path.strip_prefix("tests/")?.strip_suffix(".rs")?;
    let path = path.strip_suffix("/mod").unwrap_or(path);
    let (program, below) = path.split_once('/')?;
    let root = if program == "support" { "src/lib" } else { "main" };
    if below == root {
        return Some((program, Vec::new()));
    }
    let below = if program == "support" { below.strip_prefix("src/")? } else { below };
    Some((program, below.split('/').collect()))
}

fn root_of<'s>(sources: &'s [Source], program: &str) -> Option<&'s Source> {
    sources.iter().find(|other| place_of(&other.path).is_some_and(|place| place == (program, Vec::new())))
}

fn leads_to(sources: &[Source], program: &str, above: &[&str], name: &str) -> bool {
    let parent = sources
        .iter()
        .find(|other| place_of(&other.path).is_some_and(|(of, place)| of == program && place == above));
    parent.is_some_and(|parent| {
        let code = code_of(&parent.text);
        declared(&tokens(&code)).iter().any(|(declared, _)| *declared == name)
    })
}

/// Whether a program's root lists the tests of a module: `support::program!(4, [name])`, or `name::TESTS` to `support::run`.
fn lists(root: &str, name: &str) -> bool {
    let code = code_of(root);
    let tokens = tokens(&code);
    let in_macro = places(&tokens, &["support", "::", "program", "!"]).any(|place| {
        let words = tokens[place..].iter().take_while(|token| token.text != ";");
        words.skip(4).any(|token| token.text == name)
    });
    in_macro || places(&tokens, &[name, "::", "TESTS"]).next().is_some()
}

fn programs_and_tests_keep_the_rules() {
    let manifest = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml")).unwrap();
    let sources = read_sources();
    let wrong = [started_elsewhere(&sources), untested(&sources, &manifest)].concat();
    let wrong = wrong.into_iter().fold(String::new(), |mut text, line| {
        let _ = writeln!(text, "{line}");
        text
    });
    assert!(wrong.is_empty(), "\n{wrong}");
}

const MANIFEST: &str = "[lib]\npath = \"src/lib.rs\"\n[[test]]\nname = \"one\"\npath = \"tests/one/main.rs\"\nharness = false\n[profile.dev]\n";

/// A program of two files, the support crate with its world, and the table of programs; `more` replaces or adds.
fn house(more: &[(&str, &str)]) -> Vec<String> {
    let mut sources = vec![
        Source::new(TABLE, "pub fn at() { Command::new() }\n"),
        Source::new("src/demo/verb.rs", "fn f() { program::at(palisade) }\n"),
        Source::new("tests/one/main.rs", "mod first;\nsupport::program!(4, [first]);\n"),
        Source::new("tests/one/first.rs", "mod part;\nsupport::tests! { Needs::NOTHING => [a] }\n"),
        Source::new(
            "tests/one/first/part.rs",
            "use palisade::program::Program;\nfn f() { Program::Sh.command() }\n",
        ),
        Source::new("tests/support/src/lib.rs", "mod world;\n"),
        Source::new(WORLD, "struct World;\nfn f() { program::at(binary()) }\n"),
    ];
    for (path, text) in more {
        sources.retain(|source| source.path != *path);
        sources.push(Source::new(path, text));
    }
    [started_elsewhere(&sources), untested(&sources, MANIFEST)].concat()
}

fn a_house_in_order_is_left_alone() {
    assert_eq!(house(&[]), Vec::<String>::new());
    let run = "mod first;\nfn main() { support::run(4, &[first::TESTS]) }\n";
    assert_eq!(house(&[("tests/one/main.rs", run)]), Vec::<String>::new());
}

fn commands_are_made_in_one_place() {
    let expected =
        |path: &str| format!("{path}:2: `Command::new` stands in src/program.rs alone: take a `Program`");
    for path in ["src/a.rs", "tests/one/first/part.rs", "examples/a.rs", "benches/a.rs", "src/demo/verb.rs"] {
        for call in
            ["Command::new(\"sh\")", "std::process::Command::new(x)", "tokio::process::Command::new(x)"]
        {
            assert_eq!(
                house(&[(path, &format!("//! .\nfn f() {{ {call} }}\n"))]),
                [expected(path)],
                "{call}"
            );
        }
    }
    let texts =
        ["// Command::new\n", "const A: &str = \"Command::new\";\n", "fn f() { Command::from(ssh) }\n"];
    for text in texts {
        assert_eq!(house(&[("src/a.rs", text)]), Vec::<String>::new(), "{text}");
    }
}

fn a_program_at_a_path_is_started_by_few() {
    let calls = [
        "fn f() { program::at(x) }\n",
        "use palisade::program::at;\n",
        "use crate::program::{self, Program, at};\n",
    ];
    for call in calls {
        assert_eq!(
            house(&[("src/a.rs", call)]),
            ["src/a.rs:1: `program::at` is not for programs of this machine: take a `Program`"],
            "{call}"
        );
        assert_eq!(house(&[("examples/a.rs", call)]), Vec::<String>::new(), "{call}");
    }
    assert_eq!(house(&[("src/a.rs", "use crate::program::{self, Program};\n")]), Vec::<String>::new());
}

fn a_file_that_nothing_leads_to_is_named() {
    let lost = |path: &str, name: &str| format!("{path}:1: no `mod {name};` leads to this file");
    for (path, name) in [
        ("tests/one/second.rs", "second"),
        ("tests/one/part.rs", "part"),
        ("tests/one/first/more.rs", "more"),
        ("tests/support/src/more.rs", "more"),
        ("tests/two/first.rs", "first"),
    ] {
        assert_eq!(house(&[(path, "//! .\n")]), [lost(path, name)]);
    }
    let alone = "tests/alone.rs:1: no test program leads to this file";
    assert_eq!(house(&[("tests/alone.rs", "//! .\n")]), [alone]);
    let comment = ("tests/one/main.rs", "// mod first;\nsupport::program!(4, [first]);\n");
    assert_eq!(house(&[comment]), [lost("tests/one/first.rs", "first")]);
}

fn a_test_program_is_in_the_manifest() {
    assert_eq!(
        house(&[("tests/two/main.rs", "//! .\n")]),
        ["tests/two/main.rs:1: Cargo.toml has no [[test]] with this path"]
    );
}

fn a_file_whose_tests_no_program_lists_is_named() {
    let expected = ["tests/one/first.rs:1: tests/one/main.rs does not list `first`"];
    for root in
        ["mod first;\nsupport::program!(4, [other]);\n", "mod first;\nfn main() { run(&[other::TESTS]) }\n"]
    {
        assert_eq!(house(&[("tests/one/main.rs", root)]), expected, "{root}");
    }
    let tests = ("tests/one/first/part.rs", "support::tests! { Needs::NOTHING => [a] }\n");
    assert_eq!(house(&[tests]), ["tests/one/first/part.rs:1: tests/one/main.rs does not list `part`"]);
}

fn there_is_one_world() {
    let another = ("tests/one/first/part.rs", "//! .\npub(crate) struct World(Child);\n");
    assert_eq!(house(&[another]), ["tests/one/first/part.rs:2: the hosts of tests are `support::World`"]);
    assert_eq!(house(&[("src/a.rs", "struct World;\n")]), Vec::<String>::new());
}
