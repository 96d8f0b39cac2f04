//! Verdicts and edits. That the verdicts are ssh(1)'s own is tested in `tests/transport/host_keys.rs`, against ssh itself.

use proptest::prelude::*;

use super::*;

const A: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJZPZT0xPypwCdpyR1rpPhiuQ9I9vMF4zqOBlLxnGf73";
const B: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILtb7UgAi5OmvXSJFg9DSn6rc5CAhQtRUJWcA2spuWPA";
const HASHED_WEB_1: &str = "|1|zUkCBElmcExshbIAE62GoRkyS7s=|Pe3/MG6fDtPTbTF4+vBZKdkIXdU=";

fn key(text: &str) -> PublicKey {
    text.parse().unwrap()
}

fn host(text: &str) -> HostName {
    text.parse().unwrap()
}

fn judge(text: &str, name: &str, shown: &str) -> Judgement {
    KnownHosts::parse(text).unwrap().judge(name, &key(shown))
}

#[test]
fn a_name_is_looked_up_as_it_is_and_never_by_address_or_port() {
    let text = format!("# pinned\n\nweb-1 {A} comment with blanks\nweb-2\t{B}\r\n  web-3 \t {A}\n");
    assert_eq!(judge(&text, "web-1", A), Judgement::Accepted);
    assert_eq!(judge(&text, "web-1", B), Judgement::Changed);
    assert_eq!(judge(&text, "web-2", B), Judgement::Accepted);
    assert_eq!(judge(&text, "web-3", A), Judgement::Accepted);
    assert_eq!(judge(&text, "web-4", A), Judgement::Unknown);
    assert_eq!(judge(&format!("[web-1]:2222 {A}"), "web-1", A), Judgement::Unknown);
    assert_eq!(judge(&format!("[web-1]:2222 {A}"), "[web-1]:2222", A), Judgement::Accepted);
}

#[test]
fn revoked_wins_over_pinned_in_any_order() {
    for text in [format!("web-1 {A}\n@revoked * {A}\n"), format!("@revoked\tweb-1\t{A}\nweb-1 {A}\n")] {
        assert_eq!(judge(&text, "web-1", A), Judgement::Revoked);
        assert_ne!(judge(&text, "web-1", B), Judgement::Revoked);
    }
    assert_eq!(judge(&format!("@revoked web-2 {A}\nweb-1 {A}"), "web-1", A), Judgement::Accepted);
    assert_eq!(judge(&format!("@revoked web-1 {A}"), "web-1", B), Judgement::Unknown);
}

#[test]
fn wildcards_negation_and_hashes() {
    assert_eq!(judge(&format!("web-* {A}"), "web-1", A), Judgement::Accepted);
    assert_eq!(judge(&format!("web-? {A}"), "web-12", A), Judgement::Unknown);
    assert_eq!(judge(&format!("*,!web-1 {A}"), "web-1", A), Judgement::Unknown);
    assert_eq!(judge(&format!("!web-1,* {A}"), "web-2", A), Judgement::Accepted);
    assert_eq!(judge(&format!("!web-2 {A}"), "web-1", A), Judgement::Unknown);
    assert_eq!(judge(&format!("WEB-1 {A}"), "web-1", A), Judgement::Accepted);
    assert_eq!(judge(&format!("{HASHED_WEB_1} {A}"), "web-1", A), Judgement::Accepted);
    assert_eq!(judge(&format!("{HASHED_WEB_1} {A}"), "web-1", B), Judgement::Changed);
    assert_eq!(judge(&format!("{HASHED_WEB_1} {A}"), "web-2", A), Judgement::Unknown);
}

#[test]
fn what_ssh_would_skip_is_refused_with_its_line() {
    for (line, why) in [
        (format!("@cert-authority * {A}"), "@cert-authority is not supported"),
        (format!("@Revoked web-1 {A}"), "unknown marker"),
        ("@revoked".to_owned(), "a marker without a host name"),
        ("web-1".to_owned(), "no key behind"),
        ("web-1 ssh-ed25519".to_owned(), "no key behind"),
        ("web-1 ssh-ed25519 AAAA".to_owned(), "not a public key"),
        (format!("web-1 {}", A.replace("ssh-ed25519 ", "ssh-rsa ")), "not a public key"),
        ("web-1 1024 35 1234567890".to_owned(), "not a public key"),
        (format!("web-1,,web-2 {A}"), "an empty host name"),
        (format!("|1|abc|def {A}"), "damaged"),
        (format!("|2|x|y {A}"), "not |1|salt|hash"),
        (format!("web-1,{HASHED_WEB_1} {A}"), "within a list"),
        (format!("web-1 {A} \u{1b}[31m"), "control character"),
    ] {
        let refused = KnownHosts::parse(&format!("# first\n{line}\n")).unwrap_err();
        assert_eq!(refused.line, 2, "{line}");
        assert!(refused.why.contains(why), "{line}: {}", refused.why);
    }
}

#[test]
fn pinning_adds_what_is_missing_and_keeps_the_rest() {
    let text = format!("# ours\nweb-2 {B}  since 2026");
    let pinned = pin(&text, &host("web-1"), &[key(A), key(B)]).unwrap();
    assert_eq!(pinned, format!("{text}\nweb-1 {A}\nweb-1 {B}\n"));
    assert_eq!(pin(&pinned, &host("web-1"), &[key(A)]).unwrap(), pinned);
}

#[test]
fn unpinning_takes_the_name_alone() {
    let text = format!(
        "# web-1\nweb-1 {A}\n web-1,web-2 {A} both\nweb-1,!web-9 {B}\n@revoked web-1 {B}\n* {B}\n{HASHED_WEB_1} {A}"
    );
    let left = unpin(&text, &host("web-1")).unwrap();
    assert_eq!(left, format!("# web-1\nweb-2 {A} both\n@revoked web-1 {B}\n* {B}\n"));
    let known = KnownHosts::parse(&left).unwrap();
    assert_eq!(known.keys("web-1"), [&key(B)], "the wildcard still stands, and can be seen");
}

#[test]
fn repinning_leaves_only_the_new_key() {
    let text = format!("web-2 {A}\nweb-1 {A}\n");
    let edited = repin(&text, &host("web-1"), &[key(B)]).unwrap();
    assert_eq!(edited, format!("web-2 {A}\nweb-1 {B}\n"));
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(text in "\\PC{0,200}", line in "[@!*?|,# \t\r\nA-Za-z0-9+/=-]{0,200}") {
        for text in [&text, &line] {
            if let Ok(known) = KnownHosts::parse(text) {
                known.judge("web-1", &key(A));
            }
            let _ = repin(text, &host("web-1"), &[key(A)]);
        }
    }

    #[test]
    fn after_an_edit_the_file_says_what_was_meant(names in proptest::collection::vec("[a-c*?!]{1,3}", 1..4)) {
        let text = format!("{} {B}\n", names.join(","));
        prop_assume!(KnownHosts::parse(&text).is_ok());
        let pinned = pin(&text, &host("a"), &[key(A)]).unwrap();
        prop_assert_eq!(judge(&pinned, "a", A), Judgement::Accepted);
        let gone = unpin(&pinned, &host("a")).unwrap();
        prop_assert_ne!(judge(&gone, "a", A), Judgement::Accepted);
    }
}
