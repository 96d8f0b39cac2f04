//! Every kind against the raw output of real hosts: `tests/cases/<kind>/<name>.yaml`. A case holds a resource, what a
//! host answered to the kind's question, the expected verdict with its lines, and the expected steps. The runner
//! reads, judges and remedies, and compares all of it exactly; it contacts no host. `tests/cases/README.md` says how
//! a case is captured and updated.

use std::fmt::Write as _;
use std::path::Path;

use support::cases::{Case, Expected, Source, difference, found_in, rewrite};
use support::{Needs, blessing};

support::tests! {
    Needs::NOTHING => [
        every_case_is_judged_and_mended_as_it_says,
        every_case_stands_in_the_folder_of_its_kind,
        a_case_that_expects_something_else_is_told,
    ],
}

/// Every case, by path, or every path that is no case.
pub(crate) fn cases() -> Vec<(std::path::PathBuf, Case)> {
    let found = found_in(Path::new("tests/cases"));
    let (cases, broken): (Vec<_>, Vec<_>) = found.into_iter().partition(|(_, case)| case.is_ok());
    assert!(
        broken.is_empty(),
        "{}",
        broken.iter().fold(String::new(), |mut text, (path, case)| {
            let _ = writeln!(text, "{}: {}", path.display(), case.as_ref().err().map_or("", String::as_str));
            text
        })
    );
    cases.into_iter().filter_map(|(path, case)| Some((path, case.ok()?))).collect()
}

fn every_case_is_judged_and_mended_as_it_says() {
    let mut wrong = String::new();
    for (path, case) in cases() {
        let got = case.outcome();
        if blessing() {
            rewrite(&path, &case, &got);
        } else if got != case.expected {
            let _ = writeln!(wrong, "--- {}\n{}", path.display(), difference(&case.expected, &got));
        }
    }
    assert!(
        wrong.is_empty(),
        "{wrong}\nif this is what is meant: PALISADE_BLESS=1 cargo test --test pure cases, then read the diff\n"
    );
}

fn every_case_stands_in_the_folder_of_its_kind() {
    for (path, case) in cases() {
        let folder = path.parent().and_then(Path::file_name).and_then(|name| name.to_str()).unwrap();
        assert_eq!(folder, case.spec.kind(), "{} holds a resource of another kind", path.display());
    }
}

fn a_case_that_expects_something_else_is_told() {
    let case = Case::parse(
        "about: a test of the runner\nspec:\n  file:\n    path: /etc/motd\n    content: null\nsource: made\nraw:\n  status: 0\n  stdout: |2\n    /etc/motd\tabsent\n  stderr: \"\"\nnow: 2026-11-28T22:00:00Z\nverdict: drift\nfindings:\n  - \"/etc/motd exists\"\nsteps: []\n",
    )
    .unwrap();
    assert_eq!(case.source, Source::Made);
    let got = case.outcome();
    assert_eq!(got, Expected { verdict: "compliant".to_owned(), ..Expected::default() });
    assert!(difference(&case.expected, &got).contains("-verdict: drift"));
}
