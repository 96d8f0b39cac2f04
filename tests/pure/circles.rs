//! Within a room, which is a module that `src/lib.rs` declares with all files below it, no file uses another that uses it in
//! turn, directly or through others.
//!
//! - A file uses the file in which a name stands that its code writes as a path: `super::x`, `crate::room::x`, `child::x`,
//!   in an import or elsewhere. A name that a file imports or re-exports is followed to where it stands.
//! - `mod child;` alone uses nothing, and neither does `pub use child::Name;`, unless the file's own code mentions `Name`.
//!
//! So a `mod.rs` either defines what its children use, and only re-exports what they define, or uses its children, and they
//! use nothing of it; never both. Tests may use everything. The call of a method names no file, and is not seen; neither is
//! what a macro makes of its arguments.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use support::Needs;

use crate::source::{Source, Token, code_of, declared, read_sources, tokens};

support::tests! {
    Needs::NOTHING => [
        no_room_has_a_circle,
        two_files_that_use_each_other_are_a_circle,
        a_circle_may_lead_through_others,
        a_parent_defines_for_its_children_or_uses_them,
        a_name_is_followed_to_where_it_stands,
        what_uses_nothing_makes_no_circle,
    ],
}

/// A name that a file brings in: `use crate::a::{b as c}` is `c`, which stands for `a::b`.
struct Import<'a> {
    /// As it is written.
    written: Vec<&'a str>,
    name: &'a str,
    line: usize,
    is_public: bool,
}

/// A file, and what it names.
struct SourceFile<'a> {
    path: &'a str,
    module: Vec<&'a str>,
    imports: Vec<Import<'a>>,
    /// Paths of two segments and more outside of imports.
    paths: Vec<(Vec<&'a str>, usize)>,
    /// Words outside of imports that stand for an item: types and constants, and functions that are called.
    words: BTreeSet<&'a str>,
}

type Files<'a> = BTreeMap<Vec<&'a str>, SourceFile<'a>>;

/// The code without its tests, its inline modules and the scopes of visibility.
fn without_tests<'a>(all: &[Token<'a>]) -> Vec<Token<'a>> {
    let at = |index: usize| all.get(index).map_or("", |token| token.text);
    let mut kept = Vec::new();
    let mut index = 0;
    while index < all.len() {
        if at(index) == "mod" && at(index + 1) == "tests" && at(index + 2) == "{" {
            let mut depth = 0_usize;
            index += 2;
            loop {
                match at(index) {
                    "{" => depth += 1,
                    "}" => depth -= 1,
                    _ => {}
                }
                index += 1;
                if depth == 0 || index >= all.len() {
                    break;
                }
            }
            continue;
        }
        if at(index) == "pub" && at(index + 1) == "(" {
            kept.extend(all.get(index).cloned());
            while index < all.len() && at(index) != ")" {
                index += 1;
            }
        } else {
            kept.extend(all.get(index).cloned());
        }
        index += 1;
    }
    kept
}

/// Reads one tree of an import, from `index`; the index behind it.
fn tree<'a>(
    code: &[Token<'a>],
    mut index: usize,
    before: &[&'a str],
    found: &mut Vec<(Vec<&'a str>, &'a str, usize)>,
) -> usize {
    let mut segments = before.to_vec();
    while let Some(token) = code.get(index) {
        match token.text {
            "{" => {
                index += 1;
                while code.get(index).is_some_and(|token| token.text != "}") {
                    index = tree(code, index, &segments, found);
                    if code.get(index).is_some_and(|token| token.text == ",") {
                        index += 1;
                    }
                }
                return index + 1;
            }
            "::" => {}
            "," | "}" | ";" => return index,
            "as" => {
                let name = code.get(index + 1).map_or("_", |token| token.text);
                found.push((segments, name, token.line));
                return index + 2;
            }
            word => {
                if word != "self" || segments.is_empty() {
                    segments.push(word);
                }
                let ends = code.get(index + 1).is_some_and(|next| matches!(next.text, "," | "}" | ";"));
                if ends {
                    found.push((segments.clone(), segments.last().copied().unwrap_or("_"), token.line));
                    return index + 1;
                }
            }
        }
        index += 1;
    }
    index
}

fn is_word(text: &str) -> bool {
    text.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

fn unit<'a>(path: &'a str, module: Vec<&'a str>, code: &[Token<'a>]) -> SourceFile<'a> {
    let at = |index: usize| code.get(index).map_or("", |token| token.text);
    let mut unit =
        SourceFile { path, module, imports: Vec::new(), paths: Vec::new(), words: BTreeSet::new() };
    let mut index = 0;
    while let Some(token) = code.get(index) {
        let before = index.checked_sub(1).map_or("", at);
        if token.text == "use" && matches!(before, "" | ";" | "}" | "]" | "pub" | "{") {
            let mut found = Vec::new();
            let end = tree(code, index + 1, &[], &mut found);
            unit.imports.extend(found.into_iter().map(|(written, name, line)| Import {
                written,
                name,
                line,
                is_public: before == "pub",
            }));
            index = end;
            continue;
        }
        if is_word(token.text) && before != "::" {
            let mut segments = vec![token.text];
            let mut end = index + 1;
            while at(end) == "::" && is_word(at(end + 1)) {
                segments.push(at(end + 1));
                end += 2;
            }
            if segments.len() > 1 {
                unit.paths.push((segments, token.line));
            }
            let is_item = token.text.starts_with(char::is_uppercase);
            let is_call = matches!(at(index + 1), "(" | "!") && !matches!(before, "." | "fn");
            if is_item || is_call {
                unit.words.insert(token.text);
            }
        }
        index += 1;
    }
    unit
}

/// The path from the crate's root that `written` in `unit` stands for; none where it leads out of the crate.
fn absolute<'a>(
    units: &Files<'a>,
    unit: &SourceFile<'a>,
    written: &[&'a str],
    depth: usize,
) -> Option<Vec<&'a str>> {
    let (first, rest) = written.split_first()?;
    if depth > 8 {
        return None;
    }
    match *first {
        "crate" => Some(rest.to_vec()),
        "self" => Some([&unit.module[..], rest].concat()),
        "super" => {
            let steps = written.iter().take_while(|segment| **segment == "super").count();
            let parent = unit.module.get(..unit.module.len().checked_sub(steps)?)?;
            Some([parent, &written[steps..]].concat())
        }
        child => {
            let below = [&unit.module[..], &[child]].concat();
            if units.contains_key(&below) {
                return Some([&below[..], rest].concat());
            }
            let imports =
                unit.imports.iter().filter(|import| import.name == child && import.written != written);
            let all: Vec<_> =
                imports.filter_map(|import| absolute(units, unit, &import.written, depth + 1)).collect();
            // a module and a function may bear one name: before `::` it is the module
            let chosen =
                all.iter().find(|path| rest.is_empty() || units.contains_key(*path)).or(all.first())?;
            Some([&chosen[..], rest].concat())
        }
    }
}

/// The file in which the item of `path` stands.
fn home<'a>(units: &Files<'a>, path: &[&'a str], depth: usize) -> Option<Vec<&'a str>> {
    let length = (1..=path.len()).rev().find(|length| units.contains_key(&path[..*length]))?;
    let unit = units.get(&path[..length])?;
    if let Some((name, rest)) = path[length..].split_first()
        && depth < 8
    {
        let homes = unit.imports.iter().filter(|import| import.name == *name).filter_map(|import| {
            let further = absolute(units, unit, &import.written, 0)?;
            home(units, &[&further[..], rest].concat(), depth + 1)
        });
        if let Some(home) = homes.into_iter().next() {
            return Some(home);
        }
    }
    Some(unit.module.clone())
}

/// The files that each file uses within its room, and the line where it first does.
fn uses<'a>(units: &Files<'a>) -> BTreeMap<Vec<&'a str>, BTreeMap<Vec<&'a str>, usize>> {
    let mut all: BTreeMap<Vec<&str>, BTreeMap<Vec<&str>, usize>> = BTreeMap::new();
    for (module, unit) in units {
        let imports = unit
            .imports
            .iter()
            .filter(|import| !import.is_public || unit.words.contains(import.name))
            .map(|import| (&import.written, import.line));
        for (written, line) in imports.chain(unit.paths.iter().map(|(path, line)| (path, *line))) {
            let Some(home) = absolute(units, unit, written, 0).and_then(|path| home(units, &path, 0)) else {
                continue;
            };
            if home != *module && home.first() == module.first() {
                all.entry(module.clone()).or_default().entry(home).or_insert(line);
            }
        }
    }
    all
}

/// Each circle once, by the first of its files: `file:line uses file:line uses file`.
fn circles(sources: &[Source]) -> Vec<String> {
    let code: Vec<(&Source, String)> = sources.iter().map(|source| (source, code_of(&source.text))).collect();
    let mut units = Files::new();
    for (source, code) in &code {
        let Some(module) = source.module() else { continue };
        // a file of tests is no part of the room
        if module.last().is_none_or(|name| *name != "tests") {
            units.insert(module.clone(), unit(&source.path, module, &without_tests(&tokens(code))));
        }
    }
    let uses = uses(&units);
    let mut told: BTreeSet<&Vec<&str>> = BTreeSet::new();
    let mut found = Vec::new();
    for start in units.keys() {
        if told.contains(start) {
            continue;
        }
        // the shortest way back to it
        let mut reached_from: BTreeMap<&Vec<&str>, &Vec<&str>> = BTreeMap::new();
        let mut waiting = VecDeque::from([start]);
        while let Some(here) = waiting.pop_front() {
            for next in uses.get(here).into_iter().flat_map(BTreeMap::keys) {
                if !reached_from.contains_key(next) {
                    reached_from.insert(next, here);
                    waiting.push_back(next);
                }
            }
        }
        if !reached_from.contains_key(start) {
            continue;
        }
        let mut circle = vec![start];
        let mut here = start;
        while let Some(before) = reached_from.get(here).filter(|before| **before != start) {
            circle.push(*before);
            here = *before;
        }
        circle.push(start);
        circle.reverse();
        let steps: Vec<String> = circle
            .windows(2)
            .map(|pair| format!("{}:{} uses", units[pair[0]].path, uses[pair[0]][pair[1]]))
            .collect();
        found.push(format!("{} {}", steps.join(" "), units[start].path));
        told.extend(circle);
    }
    found
}

fn no_room_has_a_circle() {
    let sources = read_sources();
    let code = code_of(&sources.iter().find(|source| source.path == "src/lib.rs").expect("src/lib.rs").text);
    assert!(declared(&tokens(&code)).len() > 20, "the rooms are not read");
    let found = circles(&sources);
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

/// The circles of a room of these files; each has a line for its head.
fn room(files: &[(&str, &str)]) -> Vec<String> {
    let sources: Vec<Source> = files
        .iter()
        .map(|(path, text)| Source::new(&format!("src/{path}"), &format!("//! .\n{text}")))
        .collect();
    circles(&sources)
}

fn two_files_that_use_each_other_are_a_circle() {
    let circle = ["src/room/a.rs:2 uses src/room/b.rs:2 uses src/room/a.rs"];
    let parent = ("room/mod.rs", "mod a;\nmod b;\n");
    assert_eq!(room(&[parent, ("room/a.rs", "use super::b::B;"), ("room/b.rs", "use super::a::A;")]), circle);
    assert_eq!(
        room(&[parent, ("room/a.rs", "use crate::room::b;"), ("room/b.rs", "use super::{a, c};")]),
        circle
    );
    assert_eq!(
        room(&[
            parent,
            ("room/a.rs", "fn f() { super::b::f() }"),
            ("room/b.rs", "fn f(a: &crate::room::a::A) {}")
        ]),
        circle
    );
    assert_eq!(
        room(&[
            parent,
            ("room/a.rs", "use super::b as other;\nfn f() { other::f() }"),
            ("room/b.rs", "use super::a::{A};")
        ]),
        circle
    );
}

fn a_circle_may_lead_through_others() {
    let files = [
        ("room/mod.rs", "mod a;\nmod b;\nmod c;\n"),
        ("room/a.rs", "\nuse super::b::B;"),
        ("room/b.rs", "use super::c;"),
        ("room/c.rs", "\n\nuse super::a::A;"),
    ];
    assert_eq!(
        room(&files),
        ["src/room/a.rs:3 uses src/room/b.rs:2 uses src/room/c.rs:4 uses src/room/a.rs"]
    );
    assert_eq!(room(&files[..3]), Vec::<String>::new());
}

fn a_parent_defines_for_its_children_or_uses_them() {
    let child = ("room/child.rs", "use super::Shared;\npub struct Part;\npub fn build() {}");
    assert_eq!(
        room(&[("room/mod.rs", "mod child;\npub use child::{Part, build};\npub struct Shared;"), child]),
        Vec::<String>::new()
    );
    let circle =
        |line: usize| vec![format!("src/room/mod.rs:{line} uses src/room/child.rs:2 uses src/room/mod.rs")];
    assert_eq!(
        room(&[("room/mod.rs", "mod child;\npub struct Shared;\nfn f() { child::build() }"), child]),
        circle(4)
    );
    assert_eq!(
        room(&[("room/mod.rs", "mod child;\nuse child::Part;\npub struct Shared(Part);"), child]),
        circle(3)
    );
    assert_eq!(
        room(&[("room/mod.rs", "mod child;\npub use child::Part;\npub struct Shared(Part);"), child]),
        circle(3)
    );
    assert_eq!(
        room(&[
            ("room/mod.rs", "mod child;\npub use child::build;\npub struct Shared;\nfn f() { build() }"),
            child
        ]),
        circle(3)
    );
    let user = ("room/mod.rs", "mod child;\nuse child::Part;\npub fn f(part: Part) { child::build() }");
    assert_eq!(room(&[user, ("room/child.rs", "pub struct Part;")]), Vec::<String>::new());
}

fn a_name_is_followed_to_where_it_stands() {
    let parent = ("room/mod.rs", "mod a;\nmod b;\npub use a::A;\npub use b::{B as Other};\n");
    // what the parent only passes on is no use of the parent
    assert_eq!(
        room(&[parent, ("room/a.rs", "pub struct A;"), ("room/b.rs", "use super::A;\npub struct B;")]),
        Vec::<String>::new()
    );
    assert_eq!(
        room(&[parent, ("room/a.rs", "use super::Other;"), ("room/b.rs", "use crate::room::A;")]),
        ["src/room/a.rs:2 uses src/room/b.rs:2 uses src/room/a.rs"]
    );
    // a function of the name of another room's module
    let named =
        ("room/mod.rs", "mod a;\nuse crate::far;\npub use a::far;\nfn f() { far::g() }\npub struct Shared;");
    assert_eq!(
        room(&[named, ("room/a.rs", "use super::Shared;\npub fn far() {}"), ("far.rs", "pub fn g() {}")]),
        Vec::<String>::new()
    );
}

fn what_uses_nothing_makes_no_circle() {
    let parent = ("room/mod.rs", "mod a;\nmod b;\n");
    let nothing = [
        "// super::a::A\nconst T: &str = \"super::a::A\";",
        "mod tests {\n    use super::super::a::A;\n}",
        "pub(in crate::room) fn f() {}",
        "use std::a::A;\nuse other::a;",
    ];
    for text in nothing {
        let found = room(&[parent, ("room/a.rs", "use super::b::B;"), ("room/b.rs", text)]);
        assert_eq!(found, Vec::<String>::new(), "{text}");
    }
    let tests = ("room/tests.rs", "use super::a::A;");
    assert_eq!(
        room(&[("room/mod.rs", "mod a;\nmod tests;\n"), ("room/a.rs", "use super::tests::example;"), tests]),
        Vec::<String>::new()
    );
    // rooms of their own are the layers' business
    assert_eq!(room(&[("a.rs", "use crate::b::B;"), ("b.rs", "use crate::a::A;")]), Vec::<String>::new());
}
