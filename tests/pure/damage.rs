//! Every case's answer, damaged: cut, with lines lost, doubled or changed, or replaced by noise. A damaged answer may
//! be drift or unknown; it is never better than the whole one.

use std::fmt::Write as _;
use std::path::PathBuf;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use support::Needs;
use support::cases::Case;

use crate::cases::cases;

support::tests! {
    Needs::NOTHING => [
        an_answer_cut_short_is_never_better_than_the_whole,
        an_answer_that_lost_a_line_or_has_one_twice_is_never_better_than_the_whole,
        noise_is_unknown_for_every_kind,
        no_changed_byte_breaks_a_reader_or_reaches_a_terminal,
    ],
}

/// The verdict's word where the host answers `stdout`.
fn word(case: &mut Case, stdout: &str) -> String {
    stdout.clone_into(&mut case.raw.stdout);
    case.outcome().verdict
}

/// Every case that holds an answer, with the word of the whole one.
fn answered() -> Vec<(PathBuf, Case, String, String)> {
    cases()
        .into_iter()
        .filter(|(_, case)| !case.raw.stdout.is_empty() && !matches!(case.raw.status, 124 | 137))
        .map(|(path, case)| {
            let (text, word) = (case.raw.stdout.clone(), case.outcome().verdict);
            (path, case, text, word)
        })
        .collect()
}

fn config(cases: u32) -> Config {
    Config { cases, failure_persistence: None, ..Config::default() }
}

fn passes(word: &str) -> bool {
    matches!(word, "compliant" | "not-applicable")
}

/// Some places in `text` where a cut hurts: around the ends of lines, within the last line, and spread over the rest.
fn cuts(text: &str) -> Vec<usize> {
    let ends = text.match_indices('\n').map(|(at, _)| at);
    let mut cuts: Vec<usize> = ends
        .clone()
        .step_by(1 + ends.count() / 60)
        .flat_map(|at| [at.saturating_sub(1), at, at + 1])
        .collect();
    cuts.extend((0..text.len()).step_by(1 + text.len() / 40));
    cuts.extend(text.len().saturating_sub(80)..text.len());
    cuts.retain(|at| *at < text.len() && text.is_char_boundary(*at));
    cuts.sort_unstable();
    cuts.dedup();
    cuts
}

fn an_answer_cut_short_is_never_better_than_the_whole() {
    let mut wrong = String::new();
    for (path, mut case, text, whole) in answered() {
        if passes(&whole) {
            continue;
        }
        for at in cuts(&text) {
            let got = word(&mut case, &text[..at]);
            if passes(&got) {
                let lost: String = text[at..].chars().take(60).collect();
                let _ = writeln!(
                    wrong,
                    "{}: {whole} becomes {got} when cut at byte {at}, before {lost:?}",
                    path.display()
                );
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

fn an_answer_that_lost_a_line_or_has_one_twice_is_never_better_than_the_whole() {
    let mut wrong = String::new();
    for (path, mut case, text, whole) in answered() {
        if passes(&whole) {
            continue;
        }
        let lines: Vec<&str> = text.split_inclusive('\n').collect();
        for at in (0..lines.len()).step_by(1 + lines.len() / 80) {
            let mut lost = lines.clone();
            let line = lost.remove(at);
            // A setting that sshd does not list is not set: no answer could tell that from a line lost in between.
            if case.spec.kind() == "sshd" && line.starts_with("value\t") {
                continue;
            }
            let mut twice = lines.clone();
            twice.insert(at, line);
            for (how, lines) in [("without", lost), ("with twice", twice)] {
                let got = word(&mut case, &lines.concat());
                if passes(&got) {
                    let _ = writeln!(wrong, "{}: {whole} becomes {got} {how} {line:?}", path.display());
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

fn noise_is_unknown_for_every_kind() {
    let mut seen = std::collections::BTreeSet::new();
    let cases: Vec<Case> =
        cases().into_iter().map(|(_, case)| case).filter(|case| seen.insert(case.spec.name())).collect();
    let cases = std::cell::RefCell::new(cases);
    let mut runner = TestRunner::new(config(40));
    let noise = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..200)
            .prop_map(|bytes| String::from_utf8_lossy(&bytes).into_owned()),
        "[a-z]{0,8}[\t :=][a-z0-9/]{0,9}\n{0,2}(0|1|absent|whole|same|end|-)\n",
        Just(String::new()),
    ];
    runner
        .run(&(noise, 0_u32..3), |(text, status)| {
            for case in cases.borrow_mut().iter_mut() {
                case.raw.status = status;
                let got = word(case, &text);
                prop_assert_eq!(got, "unknown", "{} to {:?}", case.spec.name(), text);
            }
            Ok(())
        })
        .unwrap();
}

fn no_changed_byte_breaks_a_reader_or_reaches_a_terminal() {
    let mut runner = TestRunner::new(config(150));
    let cases = std::cell::RefCell::new(answered());
    let place = (any::<prop::sample::Index>(), any::<prop::sample::Index>());
    let put = prop::sample::select(vec![
        "\u{1b}[2J",
        "\u{202e}",
        "\t",
        "\n",
        "",
        "-1",
        "99999999999999999999",
        "*",
        "\u{fffd}",
        "=",
        "\"",
    ]);
    runner
        .run(&prop::collection::vec((place, put), 1..4), |edits| {
            for (_, case, whole, _) in cases.borrow_mut().iter_mut() {
                let mut text = whole.clone();
                for ((from, to), put) in &edits {
                    let boundary = |at: usize| {
                        (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
                    };
                    let from = boundary(from.index(text.len() + 1));
                    let to = boundary(from + to.index(6)).max(from);
                    text.replace_range(from..to, put);
                }
                case.raw.stdout = text;
                let shown = case.outcome().to_yaml();
                prop_assert!(!shown.contains(['\u{1b}', '\u{202e}']), "{}", shown);
            }
            Ok(())
        })
        .unwrap();
}
