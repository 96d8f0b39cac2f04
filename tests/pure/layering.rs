//! The rules of the house that the compiler does not know: a module refers only to modules that `src/lib.rs` declares
//! above it, the modules and the files are the same, pure modules do not opt out of the ban on I/O, every file says
//! at its head what it owns, and none outgrows its room. All of it is read from the text of the sources: what a macro
//! makes of its arguments is not seen. The rules are functions over made-up sources first, so that they can fail.

use std::fmt::Write as _;

use support::Needs;

use crate::source::{Source, Token, code_of, declared, heads, read_sources, tokens};

support::tests! {
    Needs::NOTHING => [
        the_sources_keep_the_rules,
        a_house_in_order_is_left_alone,
        whoever_looks_down_is_named_with_file_and_line,
        a_child_answers_for_its_room,
        what_is_no_code_refers_to_nothing,
        modules_and_files_are_the_same,
        pure_modules_touch_nothing_but_in_their_tests,
        every_file_has_a_head_and_an_end,
    ],
}

/// A comment says what an item is. One of these asks.
const QUESTIONS: [&str; 12] = [
    "Which.",
    "What.",
    "Who.",
    "Whose.",
    "Where.",
    "When.",
    "Why.",
    "How.",
    "Of what.",
    "By whom.",
    "From where.",
    "Which host.",
];

/// Past this a file is a missing room.
const MOST_LINES: usize = 700;

/// Something that a rule looks at, and whether it stands in tests.
#[derive(Debug, PartialEq)]
struct Mention<'a> {
    line: usize,
    text: &'a str,
    in_tests: bool,
}

/// The first segment of every path from the crate's root, and every opt-out of the ban on I/O.
fn mentions<'a>(module: &[&'a str], tokens: &[Token<'a>]) -> Vec<Mention<'a>> {
    let at = |index: usize| tokens.get(index).map_or("", |token| token.text);
    let mut here = module.to_vec();
    let mut inline = Vec::new();
    let mut depth = 0_usize;
    let mut found = Vec::new();
    for (index, token) in tokens.iter().enumerate() {
        let in_tests = here.contains(&"tests");
        let start = match token.text {
            "{" => {
                depth += 1;
                if index >= 2 && at(index - 2) == "mod" {
                    here.push(at(index - 1));
                    inline.push(depth);
                }
                None
            }
            "}" => {
                if inline.last() == Some(&depth) {
                    inline.pop();
                    here.pop();
                }
                depth = depth.saturating_sub(1);
                None
            }
            "disallowed_methods" => {
                found.push(Mention { line: token.line, text: token.text, in_tests });
                None
            }
            "crate" if at(index + 1) == "::" => Some(index + 2),
            "super" if index == 0 || at(index - 1) != "::" || at(index.wrapping_sub(2)) == "self" => {
                let steps =
                    tokens.iter().skip(index).step_by(2).take_while(|token| token.text == "super").count();
                let after = index + 2 * steps;
                (steps == here.len() && at(after - 1) == "::").then_some(after)
            }
            _ => None,
        };
        let heads = start.map_or_else(Vec::new, |start| heads(tokens.get(start..).unwrap_or_default()));
        found.extend(heads.into_iter().map(|head| Mention { line: head.line, text: head.text, in_tests }));
    }
    found
}

/// Whether a file is a module of the library, or of a program of tests; examples are programs beside their folders.
fn is_module(path: &str) -> bool {
    path.starts_with("src/") || path.starts_with("tests/")
}

/// What breaks a rule, as `file:line: what`.
fn violations(sources: &[Source]) -> Vec<String> {
    let mut wrong = Vec::new();
    for source in sources {
        let Source { path, text } = source;
        let lines = text.lines().count();
        if lines > MOST_LINES {
            wrong.push(format!("{path}:{lines}: longer than {MOST_LINES} lines"));
        }
        for (number, line) in text.lines().enumerate().filter(|_| source.is_rust()) {
            if let Some(said) = line.trim_start().strip_prefix("/// ")
                && QUESTIONS.contains(&said)
            {
                wrong.push(format!(
                    "{path}:{}: `{said}` says nothing of the item: make it a statement",
                    number + 1
                ));
            }
        }
        if source.is_rust() && !text.starts_with("//!") {
            wrong.push(format!(
                "{path}:1: does not open with `//!`: what the file owns, and what it refuses to do"
            ));
        }
    }
    for source in sources.iter().filter(|source| is_module(&source.path)) {
        let Some(folder) = source.path.strip_suffix(".rs") else { continue };
        let below =
            |other: &Source| other.path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'));
        if sources.iter().any(below) {
            wrong.push(format!("{}:1: its module has a folder: move it to {folder}/mod.rs", source.path));
        }
    }
    let Some(lib) = sources.iter().find(|source| source.path == "src/lib.rs") else {
        wrong.push("src/lib.rs:1: is not there".to_owned());
        return wrong;
    };
    let lib_code = code_of(&lib.text);
    let order = declared(&tokens(&lib_code));
    let Some(first_io) = lib.text.lines().position(|line| line.starts_with("// I/O")) else {
        wrong.push(
            "src/lib.rs:1: has no line that begins with `// I/O` between pure modules and others".to_owned(),
        );
        return wrong;
    };
    for source in sources {
        let Some(module) = source.module() else { continue };
        undeclared(source, &module, sources, &mut wrong);
        let own = module.first().copied().unwrap_or_default();
        let Some(layer) = order.iter().position(|(name, _)| *name == own) else { continue };
        let pure = order.get(layer).is_some_and(|(_, line)| *line <= first_io);
        let code = code_of(&source.text);
        for Mention { line, text, in_tests } in mentions(&module, &tokens(&code)) {
            let at = format!("{}:{line}", source.path);
            if text == "disallowed_methods" {
                if pure && !in_tests {
                    wrong.push(format!(
                        "{at}: `{own}` is pure and may not opt out of the ban on I/O and clocks"
                    ));
                }
                continue;
            }
            match order.iter().position(|(name, _)| *name == text) {
                Some(other) if other <= layer => {}
                Some(_) => wrong
                    .push(format!("{at}: `{own}` refers to `{text}`, which src/lib.rs declares below it")),
                None => wrong.push(format!("{at}: `crate::{text}` is no module that src/lib.rs declares")),
            }
        }
    }
    for (name, line) in order {
        let files =
            sources.iter().filter(|source| source.module().is_some_and(|module| module == [name])).count();
        if files != 1 {
            wrong.push(format!("src/lib.rs:{line}: module `{name}` has {files} files, not one"));
        }
    }
    wrong
}

/// A file that no `mod` leads to is not compiled, whatever stands in it.
fn undeclared(source: &Source, module: &[&str], sources: &[Source], wrong: &mut Vec<String>) {
    let Some((name, parents)) = module.split_last() else { return };
    let parent = sources.iter().find(|other| match parents {
        [] => other.path == "src/lib.rs",
        _ => other.module().is_some_and(|module| module == parents),
    });
    let leads = parent.is_some_and(|parent| {
        let code = code_of(&parent.text);
        let tokens = tokens(&code);
        // a macro of the parent may declare the modules that it is given
        let by_macro =
            tokens.windows(2).any(|pair| matches!(pair, [a, b] if a.text == "mod" && b.text == "$"));
        declared(&tokens).iter().any(|(declared, _)| declared == name)
            || by_macro && tokens.iter().any(|token| token.text == *name)
    });
    if !leads {
        wrong.push(format!("{}:1: no `mod {name};` leads to this file", source.path));
    }
}

fn the_sources_keep_the_rules() {
    let wrong = violations(&read_sources()).into_iter().fold(String::new(), |mut text, line| {
        let _ = writeln!(text, "{line}");
        text
    });
    assert!(wrong.is_empty(), "\n{wrong}");
}

/// Two pure modules and one of I/O, each with its file; `more` replaces or adds.
fn house(more: &[(&str, &str)]) -> Vec<String> {
    let mut sources = vec![
        Source::new(
            "src/lib.rs",
            "//! .\n// pure\npub mod low;\npub mod high;\n// I/O: thin\npub mod world;\n",
        ),
        Source::new("src/low.rs", "//! .\n"),
        Source::new("src/high.rs", "//! .\nuse crate::low::X;\n"),
        Source::new("src/world/mod.rs", "//! .\nuse crate::{high::{Y, low}, low};\n"),
    ];
    for (path, text) in more {
        sources.retain(|source| source.path != *path);
        sources.push(Source::new(path, text));
    }
    violations(&sources)
}

fn a_house_in_order_is_left_alone() {
    assert_eq!(house(&[]), Vec::<String>::new());
}

fn whoever_looks_down_is_named_with_file_and_line() {
    let low = |text: &str| house(&[("src/low.rs", text)]);
    let expected = ["src/low.rs:2: `low` refers to `high`, which src/lib.rs declares below it"];
    assert_eq!(low("//! .\nuse crate::high::Y;\n"), expected);
    assert_eq!(
        low("//! .\npub(crate) use crate::{\n  low::{high, world},\n}; fn f() { crate::high::g() }\n"),
        ["src/low.rs:4: `low` refers to `high`, which src/lib.rs declares below it"]
    );
    assert_eq!(
        low("//! .\nuse crate::{self as root, high};\n"),
        [
            "src/low.rs:2: `crate::self` is no module that src/lib.rs declares",
            "src/low.rs:2: `low` refers to `high`, which src/lib.rs declares below it",
        ]
    );
    assert_eq!(low("//! .\nmacro_rules! m { () => { $crate::high::g() } }\n"), expected);
    assert_eq!(low("//! .\nuse super::high::Y;\n"), expected);
    assert_eq!(low("//! .\nmod inner { use super::super::high::Y; }\n"), expected);
    assert_eq!(low("//! .\nfn f<'a>(c: &'a str) { g('\"', crate::high::X, '\"') }\n"), expected);
    assert_eq!(
        low("//! .\nuse crate::*;\n"),
        ["src/low.rs:2: `crate::*` is no module that src/lib.rs declares"]
    );
}

fn a_child_answers_for_its_room() {
    assert_eq!(
        house(&[("src/world/part.rs", "//! .\n")]),
        ["src/world/part.rs:1: no `mod part;` leads to this file"]
    );
    let found = house(&[
        ("src/low.rs", "//! .\nmod part;\n"),
        ("src/low/part.rs", "//! .\nuse super::super::world;\nuse super::high;\n"),
    ]);
    assert_eq!(
        found,
        [
            "src/low.rs:1: its module has a folder: move it to src/low/mod.rs",
            "src/low/part.rs:2: `low` refers to `world`, which src/lib.rs declares below it"
        ]
    );
}

fn what_is_no_code_refers_to_nothing() {
    let texts = [
        "//! crate::high\n/// [crate::high]\n// crate::high\n/* /* */ crate::high */\n",
        "//! .\nconst A: &str = \"\\\" crate::high\";\n",
        "//! .\nconst A: &str = r#\"\" crate::high \"#;\n",
        "//! .\nconst A: &[u8] = br\"crate::high\";\npub(super) fn f() {}\npub(crate) fn g() {}\n",
        "//! .\nmod high { pub fn f() { super::f() } }\nfn f() { high::f() }\n",
    ];
    for text in texts {
        assert_eq!(house(&[("src/low.rs", text)]), Vec::<String>::new(), "{text}");
    }
}

fn modules_and_files_are_the_same() {
    let lib = "//! .\npub mod low;\npub mod high;\npub mod gone;\n// I/O\n";
    assert_eq!(
        house(&[("src/lib.rs", lib)]),
        [
            "src/world/mod.rs:1: no `mod world;` leads to this file",
            "src/lib.rs:4: module `gone` has 0 files, not one",
        ]
    );
    assert_eq!(
        house(&[("src/low/mod.rs", "//! .\n")]),
        [
            "src/low.rs:1: its module has a folder: move it to src/low/mod.rs",
            "src/lib.rs:3: module `low` has 2 files, not one"
        ]
    );
    assert_eq!(
        house(&[("src/high.rs", "//! .\nmod part;\n"), ("src/high/part.rs", "//! .\n")]),
        ["src/high.rs:1: its module has a folder: move it to src/high/mod.rs"]
    );
    assert_eq!(
        house(&[("tests/a/part.rs", "//! .\n"), ("tests/a/part/more.rs", "//! .\n")]),
        ["tests/a/part.rs:1: its module has a folder: move it to tests/a/part/mod.rs"]
    );
}

fn pure_modules_touch_nothing_but_in_their_tests() {
    let opt_out = "#[expect(clippy::disallowed_methods, reason = \"\")] fn f() {}\n";
    assert_eq!(
        house(&[("src/high.rs", &format!("//! .\n{opt_out}"))]),
        ["src/high.rs:2: `high` is pure and may not opt out of the ban on I/O and clocks"]
    );
    assert_eq!(
        house(&[("src/high.rs", &format!("//! .\nmod tests {{\n{opt_out}}}\n"))]),
        Vec::<String>::new()
    );
    assert_eq!(house(&[("src/world/mod.rs", &format!("//! .\n{opt_out}"))]), Vec::<String>::new());
}

fn every_file_has_a_head_and_an_end() {
    assert_eq!(
        house(&[("tests/a.rs", "use x;\n")]),
        ["tests/a.rs:1: does not open with `//!`: what the file owns, and what it refuses to do"]
    );
    assert_eq!(
        house(&[("tests/a.rs", "//! .\nstruct A {\n    /// Which.\n    a: u8,\n}\n")]),
        ["tests/a.rs:3: `Which.` says nothing of the item: make it a statement"]
    );
    let long = format!("//! .\n{}", "\n".repeat(MOST_LINES));
    assert_eq!(house(&[("tests/a.rs", &long)]), ["tests/a.rs:701: longer than 700 lines"]);
}
