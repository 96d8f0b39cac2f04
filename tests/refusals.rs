//! What the parsers refuse, each as a case in `tests/refusals/*.cases`: an edit of the example project, and exactly the
//! refusals that follow from it, so that a message too many fails as well as one too few.
//!
//! A case begins with `# what it is`. `@ path` names a file; below it, `-` lines are replaced by `+` lines, and `+` lines
//! alone are the whole file; `@! path` removes a file. `>` lines are the refusals. `UPDATE_REFUSALS=1` writes them anew;
//! read the difference before you keep it. `$NAME` stands for what [`constants`] says.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test ends where it cannot go on")]

use std::fmt::Write as _;
use std::path::Path;

use palisade::inventory::Identities;
use palisade::source::{Refusals, Sources};
use palisade::waiver::Waivers;
use palisade::{inventory, playbook, template};

#[expect(clippy::disallowed_methods, reason = "a test reads its cases")]
#[test]
fn every_case_is_refused_as_it_says() {
    let mut failures = String::new();
    let mut count = 0;
    for entry in std::fs::read_dir("tests/refusals").unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "cases") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let mut rewritten = String::new();
        for case in text.split("\n# ").map(|case| case.strip_prefix("# ").unwrap_or(case)) {
            count += 1;
            let (edit, expected) = split(case);
            let found = refusals(&edit);
            let _ = write!(rewritten, "# {}\n{found}\n", edit.trim_end());
            if found != expected {
                let _ = writeln!(
                    failures,
                    "{}: {}\nexpected:\n{expected}\nfound:\n{found}",
                    path.display(),
                    title(case)
                );
            }
        }
        if std::env::var_os("UPDATE_REFUSALS").is_some() {
            std::fs::write(&path, rewritten).unwrap();
        }
    }
    assert!(count > 100, "only {count} cases were found");
    assert!(failures.is_empty() || std::env::var_os("UPDATE_REFUSALS").is_some(), "{failures}");
}

fn title(case: &str) -> &str {
    case.lines().next().unwrap_or_default()
}

/// A case's edit, and its refusals.
fn split(case: &str) -> (String, String) {
    let (mut edit, mut expected) = (String::new(), String::new());
    for line in case.lines() {
        let target = if line.starts_with('>') { &mut expected } else { &mut edit };
        target.push_str(line);
        target.push('\n');
    }
    (edit.trim_end().to_owned() + "\n", expected)
}

/// The refusals of the example project after `edit`, one to a line.
fn refusals(edit: &str) -> String {
    let sources = edited(edit);
    let mut all = Vec::new();
    let mut keep = |refused: Option<Refusals>| all.extend(refused.into_iter().flatten());
    keep(inventory::parse(&sources).err());
    keep(playbook::parse(&sources).err());
    if let (Ok(fleet), Ok(playbook)) = (inventory::parse(&sources), playbook::parse(&sources)) {
        keep(Waivers::parse(&sources, &fleet, &playbook).err());
    }
    keep(template::Templates::read(&sources).err());
    keep(sources.get(inventory::IDENTITIES_FILE).and_then(|bytes| Identities::parse(bytes).err()));
    if all.is_empty() {
        return "> nothing\n".to_owned();
    }
    all.iter().fold(String::new(), |mut text, refusal| {
        let _ = writeln!(text, "> {refusal}");
        text
    })
}

fn edited(edit: &str) -> Sources {
    let mut files = example();
    let mut path = String::new();
    let (mut old, mut new) = (Vec::new(), Vec::new());
    for line in edit.lines().skip(1).map(constants).chain(["@ ".to_owned()]) {
        let (mark, rest) = line.split_at(1.min(line.len()));
        if (mark != "+" && !new.is_empty()) || (mark == "@" && !old.is_empty()) {
            apply(&mut files, &path, &old, &new);
            (old, new) = (Vec::new(), Vec::new());
        }
        match mark {
            "@" => match rest.strip_prefix("! ") {
                Some(removed) => files.retain(|(name, _)| name != removed),
                None => rest.trim().clone_into(&mut path),
            },
            "-" => old.push(rest.to_owned()),
            "+" => new.push(rest.to_owned()),
            _ => assert!(line.trim().is_empty(), "what is `{line}`?"),
        }
    }
    files.iter().fold(Sources::new(), |sources, (path, text)| sources.with(path, text.as_bytes()))
}

fn apply(files: &mut Vec<(String, String)>, path: &str, old: &[String], new: &[String]) {
    let joined = |lines: &[String]| lines.iter().fold(String::new(), |text, line| text + line + "\n");
    if old.is_empty() {
        files.retain(|(name, _)| name != path);
        files.push((path.to_owned(), joined(new)));
        return;
    }
    let (_, text) =
        files.iter_mut().find(|(name, _)| name == path).unwrap_or_else(|| panic!("no file {path}"));
    assert_eq!(text.matches(&joined(old)).count(), 1, "{path} must hold once:\n{}", joined(old));
    *text = text.replacen(&joined(old), &joined(new), 1);
}

#[expect(clippy::disallowed_methods, reason = "a test reads the example project")]
fn example() -> Vec<(String, String)> {
    let mut files = Vec::new();
    for folder in ["inventories", "playbooks", "templates"] {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            files.push((path.display().to_string(), std::fs::read_to_string(&path).unwrap()));
        }
    }
    files
}

/// What cannot stand in a text file as it is, or would make it unreadable.
fn constants(line: &str) -> String {
    let private = format!("-----BEGIN OPENSSH {} KEY-----", "PRIVATE");
    let own = |file: &str, comment: &str| {
        let (_, text) = example().into_iter().find(|(path, _)| path.ends_with(file)).unwrap();
        text.split('"').find(|part| part.ends_with(comment)).unwrap().to_owned()
    };
    let line = if line.contains("$CIDEV") {
        line.replace("$CIDEV", &own("dev.yaml", "ci-dev@example.com"))
    } else {
        line.to_owned()
    };
    let line = if line.contains("$BOB") {
        line.replace("$BOB", &own("fleet.yaml", "bob@example.com"))
    } else {
        line
    };
    let line = if line.contains("$CAROL") {
        line.replace("$CAROL", &own("fleet.yaml", "carol@example.com"))
    } else {
        line
    };
    line.replace("$ED25519", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPdPYWQMzlMD9aJ9lXVu+UTF/iDDzb4DdBmbR97ZwXsY")
        .replace("$ECDSA", "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBLk9nTW+oOgtE5IRkX+pNtMQX5v5BGzjywvipRhz20avnOGow+ciTsMO1a8wxSYq7Za92vo4O0aFbFKzSlU5/aE=")
        .replace("$RSA2048", include_str!("refusals/rsa2048.pub").trim())
        .replace("$DSA", include_str!("refusals/dsa.pub").trim())
        .replace("$PRIVATE", &private)
        .replace("$TAB", "\t")
        .replace("$ESC", "\u{1b}")
        .replace("$RLO", "\u{202e}")
}

/// What the whole file must be, and no edit can say.
#[test]
fn files_that_are_no_text_are_refused() {
    let refused = |bytes: Vec<u8>| {
        let sources = edited("").with("inventories/dev.yaml", bytes);
        inventory::parse(&sources).map(|_| ()).unwrap_err().to_string()
    };
    let dev = include_str!("../inventories/dev.yaml");
    let bomb = (1..12).fold("a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned(), |text, level| {
        let uses = vec![format!("*a{}", level - 1); 9].join(", ");
        format!("{text}a{level}: &a{level} [{uses}]\n")
    });
    let deep = format!("a: {}{}\n", "[".repeat(40), "]".repeat(40));
    let indented = (0..40).fold(String::new(), |text, depth| format!("{text}{}a:\n", " ".repeat(depth)));
    let cases = [
        (b"environment: dev\ncompany: \xff\n".to_vec(), "not UTF-8 in line 2; save it as UTF-8"),
        ([b"\xef\xbb\xbf", dev.as_bytes()].concat(), "the file starts with a byte-order mark;"),
        (
            dev.encode_utf16().flat_map(u16::to_be_bytes).collect(),
            "NUL bytes: the file is no text, or UTF-16; save it as UTF-8",
        ),
        ([&[0xff, 0xfe], dev.as_bytes()].concat(), "the file is UTF-16, not UTF-8;"),
        (dev.repeat(2000).into_bytes(), "more than the 1048576 that are read;"),
        (deep.into_bytes(), "nested deeper than 24 levels"),
        (indented.into_bytes(), "nested deeper than 24 levels"),
        (bomb.into_bytes(), "more values than a file may hold, aliases counted as often as they are used"),
        (Vec::new(), "the file is empty;"),
        (b"# nothing\n\n".to_vec(), "the file is empty;"),
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
#[test]
fn secrets_are_never_shown() {
    let body = "b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gtZW";
    let key = constants(&format!("    key: |\n      $PRIVATE\n      {body}\n")).replace("\\n", "\n");
    let files = [
        format!("environment: dev\npassword: hunter2\nhosts: {{a: {{token: hunter2, b: 1}}, c: [}}\n{key}"),
        format!("environment: dev\nproxy: http://user:hunter2@example.com/\nwhatever:\n{key}"),
        format!("environment: dev\n# {body}\npassword: [hunter2\n"),
    ];
    for file in files {
        let refusals = inventory::parse(&edited("").with("inventories/dev.yaml", file.as_bytes()))
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

/// The example as it stands is refused nowhere.
#[test]
fn the_example_is_accepted() {
    assert_eq!(refusals(""), "> nothing\n");
    assert!(Path::new("inventories/fleet.yaml").exists());
}

proptest::proptest! {
    /// Whatever a file holds, it is read or refused, with places that exist and texts that can be shown.
    #[test]
    fn no_file_breaks_the_parser(cut in 0usize..2000, length in 0usize..40, text in "(?s)[ -~\\n\\t\\u{1b}\\u{202e}é:{}\\[\\],&*#|>'\"]{0,30}") {
        let example = include_str!("../inventories/prod.yaml");
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
    let sources = edited("").with("inventories/prod.yaml", text.as_bytes());
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
