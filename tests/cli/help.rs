//! The command line, as it explains itself: the help of every verb in one snapshot, so that a change of it is read before
//! it lands. What verbs do is tested elsewhere.

use std::fmt::Write as _;

use clap::CommandFactory as _;
use support::{Needs, generated, palisade};

support::tests! {
    Needs::NOTHING => [
        the_help_is_as_it_was_read_last,
        every_verb_that_judges_or_changes_says_its_exit_codes_and_an_example,
    ],
}

/// What `palisade PATH --help` prints, without what all verbs have in common.
fn help(path: &[String]) -> String {
    let ran = palisade(path).arg("--help").alone().run().exits(0);
    assert!(ran.err.is_empty(), "{path:?}: {}", ran.err);
    let text = ran.out;
    if path.is_empty() {
        return text;
    }
    // From the common options to the examples, if there are any.
    match text.split_once("Common options:\n") {
        None => text,
        Some((before, rest)) => {
            let examples = rest.find("\nExamples:").or_else(|| rest.find("\nExit codes:"));
            let after = examples.and_then(|at| rest.get(at..)).unwrap_or_default();
            format!("{}\n{after}", before.trim_end())
        }
    }
}

/// Every verb and verb of a verb, in the order of the help.
fn paths(command: &clap::Command, above: &[String], found: &mut Vec<Vec<String>>) {
    for verb in command.get_subcommands().filter(|verb| verb.get_name() != "help") {
        let path = [above, &[verb.get_name().to_owned()]].concat();
        found.push(path.clone());
        paths(verb, &path, found);
    }
}

fn the_help_is_as_it_was_read_last() {
    let mut all = vec![Vec::new()];
    paths(&palisade::cli::Cli::command(), &[], &mut all);
    assert!(all.len() > 10, "{all:?}");
    let text = all.iter().fold(String::new(), |mut text, path| {
        let name = [&["palisade".to_owned()], path.as_slice()].concat().join(" ");
        let _ = writeln!(text, "==== {name} ====\n{}", help(path));
        text
    });
    generated("tests/snapshots/help.txt", &format!("{}\n", text.trim_end()));
}

fn every_verb_that_judges_or_changes_says_its_exit_codes_and_an_example() {
    for verb in
        ["audit", "plan", "apply", "enrol", "retire", "status", "unlock", "check", "init", "diff", "merge"]
    {
        let text = help(&[verb.to_owned()]);
        assert!(text.contains("Examples:"), "{verb} has no example");
        if verb != "init" {
            assert!(text.contains("Exit codes:"), "{verb} does not say its exit codes");
        }
    }
}
