//! The cases of `tests/refusals/*.cases`, read, and the project that each of them is about. It asserts nothing about
//! palisade.
//!
//! `## ` begins an item, as docs/refusals.md is divided; `not yet: ` says why one has no case. `# ` begins a case: an edit
//! of the example project, and what palisade says of it. `@ path` names a file; below it `-` lines are replaced by `+`
//! lines, and `+` lines alone are the whole file. `@! path` removes a file, `@chmod MODE path`, `@chown UID path` and
//! `@link path target` do what they say, `@enrolled` enrols every host, `@plan FILE HOW` and `@record NAME HOW` write a
//! plan and a run's record. `$ palisade …` is what is run, `palisade check` where nothing is said. `>` lines are what is
//! said of it. Words that begin with `$` stand for what [`constants`] says.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// The groups, in the order of the page, by their file and their heading.
const GROUPS: [(&str, &str); 6] = [
    ("structure", "Structure"),
    ("hosts", "Hosts"),
    ("networks", "Networks and allowlists"),
    ("people", "People and keys"),
    ("playbooks", "Playbooks and templates"),
    ("runs", "Plans, runs, exceptions"),
];

/// One file of cases.
#[derive(Debug)]
pub struct Group {
    /// The file's name, without folder and ending.
    pub file: &'static str,
    /// The heading of the page.
    pub title: &'static str,
    /// In the order of the file.
    pub items: Vec<Item>,
}

/// What one sentence asks to be refused.
#[derive(Debug)]
pub struct Item {
    /// The sentence.
    pub title: String,
    /// Why there is no case.
    pub later: Option<String>,
    /// In the order of the file.
    pub cases: Vec<Case>,
}

/// An edit of the example, and what is said of it.
#[derive(Debug)]
pub struct Case {
    /// What is wrong with the project.
    pub title: String,
    /// The lines of the edit, as they stand in the file.
    pub edit: Vec<String>,
    /// What is said of it, line by line.
    pub expected: Vec<String>,
}

/// All cases.
pub fn groups() -> Vec<Group> {
    GROUPS.map(|(file, title)| Group { file, title, items: items(&read(&path(file))) }).into()
}

/// Where the cases of a group stand.
pub fn path(file: &str) -> String {
    format!("tests/refusals/{file}.cases")
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn items(text: &str) -> Vec<Item> {
    let mut items: Vec<Item> = Vec::new();
    for line in text.lines() {
        if let Some(title) = line.strip_prefix("## ") {
            items.push(Item { title: title.to_owned(), later: None, cases: Vec::new() });
            continue;
        }
        let item = items.last_mut().unwrap_or_else(|| panic!("`{line}` stands above every item"));
        if let Some(title) = line.strip_prefix("# ") {
            item.cases.push(Case { title: title.to_owned(), edit: Vec::new(), expected: Vec::new() });
        } else if let Some(why) = line.strip_prefix("not yet: ") {
            item.later = Some(why.to_owned());
        } else if let Some(case) = item.cases.last_mut() {
            match line.strip_prefix('>') {
                Some(said) => case.expected.push(said.strip_prefix(" ").unwrap_or(said).to_owned()),
                None if line.is_empty() => {}
                None => case.edit.push(line.to_owned()),
            }
        } else {
            assert!(line.is_empty(), "what is `{line}`?");
        }
    }
    items
}

impl Case {
    /// What is run; none for `palisade check`.
    pub fn command(&self) -> Option<&str> {
        self.edit.iter().find_map(|line| line.strip_prefix("$ palisade "))
    }

    /// The example's files after the edit.
    pub fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let mut files = example();
        let mut path = String::new();
        let (mut old, mut new) = (Vec::new(), Vec::new());
        for line in self.edit.iter().map(String::as_str).chain(["@ "]) {
            let (mark, rest) = line.split_at(1.min(line.len()));
            if (mark != "+" && !new.is_empty()) || (mark == "@" && !old.is_empty()) {
                apply(&mut files, &path, &old, &new);
                (old, new) = (Vec::new(), Vec::new());
            }
            match mark {
                "@" => {
                    if let Some(removed) = rest.strip_prefix("! ") {
                        files.remove(removed);
                    } else if let Some(named) = rest.strip_prefix(' ') {
                        named.trim().clone_into(&mut path);
                    } else if rest == "enrolled" {
                        files.insert("inventories/identities.yaml".to_owned(), identities());
                        files.insert("inventories/known_hosts".to_owned(), pins());
                    }
                }
                "-" => old.push(constants(rest)),
                "+" => new.push(constants(rest)),
                "$" => {}
                _ => panic!("what is `{line}`?"),
            }
        }
        files
    }

    /// Writes the project, with what is no edit of a file too. False where that cannot be done here.
    pub fn write(&self, root: &Path) -> bool {
        for (path, bytes) in self.files() {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, bytes).unwrap();
        }
        let directives = self.edit.iter().filter_map(|line| line.strip_prefix('@'));
        directives.map(|line| line.split(' ').collect::<Vec<_>>()).all(|words| match *words.as_slice() {
            ["chmod", mode, path] => {
                let mode = u32::from_str_radix(mode, 8).unwrap();
                fs::set_permissions(root.join(path), fs::Permissions::from_mode(mode)).unwrap();
                true
            }
            ["chown", uid, path] => {
                std::os::unix::fs::chown(root.join(path), Some(uid.parse().unwrap()), None).is_ok()
            }
            ["link", path, target] => {
                fs::remove_file(root.join(path)).unwrap();
                std::os::unix::fs::symlink(target, root.join(path)).unwrap();
                true
            }
            _ => true,
        })
    }
}

fn apply(files: &mut BTreeMap<String, Vec<u8>>, path: &str, old: &[String], new: &[String]) {
    let joined = |lines: &[String]| lines.iter().fold(String::new(), |text, line| text + line + "\n");
    let bytes = if old.is_empty() {
        joined(new)
    } else {
        let text = files.get(path).unwrap_or_else(|| panic!("no file {path}"));
        let text = String::from_utf8(text.clone()).unwrap();
        assert_eq!(text.matches(&joined(old)).count(), 1, "{path} must hold once:\n{}", joined(old));
        text.replacen(&joined(old), &joined(new), 1)
    };
    // A byte that no text can hold.
    let bytes = bytes.split('\u{f8ff}').map(str::as_bytes).collect::<Vec<_>>().join(&0xff);
    files.insert(path.to_owned(), bytes);
}

/// The example project, as `palisade init` writes it.
pub fn example() -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for folder in ["inventories", "playbooks", "templates"] {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension != "md") {
                files.insert(path.display().to_string(), fs::read(&path).unwrap());
            }
        }
    }
    files
}

/// Every host of the example, and its environment.
fn hosts() -> Vec<(String, &'static str)> {
    let environments = ["dev", "test", "prod"];
    let hosts = environments.into_iter().flat_map(|environment| {
        let text = read(&format!("inventories/{environment}.yaml"));
        let hosts = text.split("\nhosts:\n").nth(1).unwrap().lines();
        let names = hosts.filter_map(|line| line.strip_prefix("  ")?.strip_suffix(':'));
        let names = names.filter(|name| !name.starts_with(' '));
        names.map(|name| (name.to_owned(), environment)).collect::<Vec<_>>()
    });
    hosts.collect()
}

fn identities() -> Vec<u8> {
    let hosts = hosts();
    let lines = hosts.iter().enumerate().map(|(index, (name, environment))| {
        format!(
            "  {name}: {{machine_id: \"{index:032}\", environment: {environment}, distribution: debian-12, \
             enrolled: \"2026-11-01T10:00:00Z\", by: alice}}\n"
        )
    });
    format!("hosts:\n{}", lines.collect::<String>()).into_bytes()
}

/// A key of its own environment for every host. Nobody connects to one.
fn pins() -> Vec<u8> {
    let keys = BTreeMap::from([
        ("dev", constants("$CIDEV")),
        ("test", constants("$BOB")),
        ("prod", constants("$CAROL")),
    ]);
    let lines = hosts().into_iter().map(|(name, environment)| {
        let key = keys[environment].split(' ').take(2).collect::<Vec<_>>().join(" ");
        format!("{name} {key}\n")
    });
    lines.collect::<String>().into_bytes()
}

/// `line` with what cannot stand in a text file as it is, or would make it unreadable.
fn constants(line: &str) -> String {
    if !line.contains('$') {
        return line.to_owned();
    }
    let own = |file: &str, comment: &str| {
        let text = read(&format!("inventories/{file}"));
        text.split('"').find(|part| part.ends_with(comment)).unwrap().to_owned()
    };
    let replacements = [
        ("$CIDEV", own("dev.yaml", "ci-dev@example.com")),
        ("$BOB", own("fleet.yaml", "bob@example.com")),
        ("$CAROL", own("fleet.yaml", "carol@example.com")),
        ("$ED25519", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPdPYWQMzlMD9aJ9lXVu+UTF/iDDzb4DdBmbR97ZwXsY".to_owned()),
        ("$ECDSA", "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBLk9nTW+oOgtE5IRkX+pNtMQX5v5BGzjywvipRhz20avnOGow+ciTsMO1a8wxSYq7Za92vo4O0aFbFKzSlU5/aE=".to_owned()),
        ("$RSA2048", include_str!("../../refusals/rsa2048.pub").trim().to_owned()),
        ("$DSA", include_str!("../../refusals/dsa.pub").trim().to_owned()),
        ("$PRIVATE", format!("-----BEGIN OPENSSH {} KEY-----", "PRIVATE")),
        ("$TAB", "\t".to_owned()),
        ("$ESC", "\u{1b}".to_owned()),
        ("$RLO", "\u{202e}".to_owned()),
        ("$NUL", "\0".to_owned()),
        ("$MARK", "\u{feff}".to_owned()),
        ("$BYTE", "\u{f8ff}".to_owned()),
        ("$HUGE", "x".repeat(4 << 20)),
        ("$DEEP", format!("{}{}", "[".repeat(40), "]".repeat(40))),
        ("$BOMB", bomb()),
    ];
    replacements.iter().fold(line.to_owned(), |line, (word, text)| line.replace(word, text))
}

/// Nine aliases of nine aliases of nine …: a few hundred bytes that stand for more values than a file may hold.
fn bomb() -> String {
    let first = "&a0 [x, x, x, x, x, x, x, x, x]".to_owned();
    let level = |level: usize| format!("&a{level} [{}]", vec![format!("*a{}", level - 1); 9].join(", "));
    [first].into_iter().chain((1..12).map(level)).collect::<Vec<_>>().join(", ")
}

/// The cases that no schema can refuse, by reason.
pub fn parser_alone() -> String {
    read("tests/refusals/parser-alone.txt")
}
