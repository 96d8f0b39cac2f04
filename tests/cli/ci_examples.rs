//! The jobs of `examples/ci/` against palisade: they are YAML, every command line in them is one that the command line takes, and
//! every exit code means there what the help says it means. Whether GitHub and GitLab take them, only they can say.

use std::collections::BTreeMap;

use clap::{CommandFactory as _, Parser as _};
use palisade::cli::Cli;
use palisade::failure::Kind;
use serde_json::Value;
use support::Needs;

support::tests! {
    Needs::NOTHING => [
        every_command_line_is_one_that_palisade_takes,
        every_exit_code_is_what_it_is_called,
        nothing_weakens_what_is_pinned_or_writes_a_key_down,
    ],
}

const FILES: [&str; 3] = ["github/nightly.yml", "github/release.yml", "gitlab-ci.yml"];

fn read(file: &str) -> Value {
    let text = std::fs::read_to_string(format!("examples/ci/{file}")).unwrap();
    serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// Every text in `value`, but for the names of fields.
fn texts<'v>(value: &'v Value, found: &mut Vec<&'v str>) {
    match value {
        Value::String(text) => found.push(text),
        Value::Array(items) => items.iter().for_each(|item| texts(item, found)),
        Value::Object(fields) => fields.values().for_each(|field| texts(field, found)),
        _ => {}
    }
}

/// What shells are given.
fn scripts_of<'v>(value: &'v Value, found: &mut Vec<&'v str>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| scripts_of(item, found)),
        Value::Object(fields) => {
            for (name, field) in fields {
                if matches!(name.as_str(), "run" | "script") {
                    texts(field, found);
                } else {
                    scripts_of(field, found);
                }
            }
        }
        _ => {}
    }
}

/// The lines of all texts of a file.
fn lines(value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    texts(value, &mut found);
    found.into_iter().flat_map(str::lines).map(|line| line.trim().to_owned()).collect()
}

/// The words of a command line, up to where its output goes or what follows it.
fn words(line: &str) -> Vec<String> {
    let line = line.replace("\"$ENVIRONMENT\"", "prod").replace("\"$RELEASE\"", "2026-11-28");
    let line = line.replace("\"smtp-password=$SMTP_RECEIVER\"", "smtp-password=smtp.example.com:587");
    let ends = |word: &&str| !(word.starts_with('>') || *word == "||" || *word == "|" || *word == "&&");
    let words: Vec<String> = line.split_whitespace().take_while(ends).map(str::to_owned).collect();
    assert!(
        !words.iter().any(|word| word.contains(['$', '"', '\''])),
        "{line}: a word that is not understood here"
    );
    words
}

/// What each exit code means, by its first words, as the help says it.
fn meanings() -> BTreeMap<u8, String> {
    let help = Cli::command().get_after_help().unwrap().to_string();
    let meaning = |line: &str| {
        let (code, meaning) = line.trim().split_once("  ")?;
        let first = meaning.split([':', ',', ';']).next()?;
        Some((code.parse().ok()?, first.to_owned()))
    };
    help.lines().filter_map(meaning).collect()
}

fn every_command_line_is_one_that_palisade_takes() {
    for file in FILES {
        let lines = lines(&read(file));
        let commands: Vec<&String> = lines.iter().filter(|line| line.starts_with("palisade ")).collect();
        let mentioned =
            lines.iter().filter(|line| line.contains("palisade ") && !line.contains("echo ")).count();
        assert_eq!(commands.len(), mentioned, "{file}: a command that does not begin its line");
        assert!(!commands.is_empty(), "{file}");
        for command in commands {
            if let Err(error) = Cli::try_parse_from(words(command)) {
                panic!("{file}: {command}: {error}");
            }
        }
    }
    assert!(Cli::try_parse_from(words("palisade patch nothing prod")).is_err());
}

fn every_exit_code_is_what_it_is_called() {
    let meanings = meanings();
    assert!((0..=6).all(|code| meanings.contains_key(&code)), "{meanings:?}");
    for (kind, word) in [
        (Kind::Failed, "failed"),
        (Kind::Refused, "refused"),
        (Kind::Incomplete, "incomplete"),
        (Kind::Gate, "gate"),
    ] {
        let said = &meanings[&(kind as u8)];
        assert!(said.contains(word) || said.contains("bad usage"), "{kind:?} is said to be {said}");
    }
    for file in FILES {
        let lines = lines(&read(file));
        let arms = lines.iter().filter_map(|line| {
            let (code, told) = line.split_once(") echo \"")?;
            Some((code.to_owned(), told.replace("::error::", "")))
        });
        let (mut named, mut others) = (0, 0);
        for (code, told) in arms {
            match code.parse::<u8>() {
                Ok(0) => {}
                Ok(code) => {
                    named += 1;
                    let meaning = &meanings[&code];
                    assert!(
                        told.starts_with(meaning.as_str()),
                        "{file}: {code} is `{meaning}`, and not `{told}`"
                    );
                }
                Err(_) => {
                    assert!(code == "*" && told.contains("exit $code"), "{file}: {code}) {told}");
                    others += 1;
                }
            }
        }
        let kept = lines.iter().filter(|line| line.ends_with("|| code=$?")).count();
        let passed_on = lines.iter().filter(|line| *line == "exit \"$code\"").count();
        assert!(named >= 4 && kept > 0, "{file}");
        assert_eq!((others, passed_on), (kept, kept), "{file}: a code that is kept and not passed on");
    }
}

fn nothing_weakens_what_is_pinned_or_writes_a_key_down() {
    for file in FILES {
        let text = std::fs::read_to_string(format!("examples/ci/{file}")).unwrap();
        for never in ["ssh-keyscan", "StrictHostKeyChecking", "UserKnownHostsFile", "set -x", "id_ed25519"] {
            assert!(!text.contains(never), "{file}: {never}");
        }
        // What a person typed into a form is never part of a script's text.
        let mut scripts = Vec::new();
        let jobs = read(file);
        scripts_of(&jobs, &mut scripts);
        assert!(!scripts.is_empty(), "{file}");
        assert!(!scripts.iter().any(|text| text.contains("${{")), "{file}: a value is pasted into a script");
    }
}
