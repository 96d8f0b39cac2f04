//! The table of docs/transports.md: each case of the contract, what both transports make of it, and the test that shows it.
//! A test of the contract without a row, a row without its test, and a document that says something else fail.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use palisade::domain::HostName;
use support::{Needs, section};

const BEGIN: &str = "<!-- contract: written by tests/transport, held by a test -->\n";
const END: &str = "<!-- contract ends -->\n";

const FILES: [(&str, &str); 6] = [
    ("exec", include_str!("exec.rs")),
    ("host_keys", include_str!("host_keys.rs")),
    ("identities", include_str!("identities.rs")),
    ("routes", include_str!("routes.rs")),
    ("ssh", include_str!("ssh.rs")),
    ("table", include_str!("table.rs")),
];

/// How lists of tests begin that ask the sshd of each release, and of those where no sshd answers.
const EACH_RELEASE: [&str; 2] = ["over_both! {", "of_each_release! {"];
const NO_SSHD: [&str; 1] = ["over_both_once! {"];

/// What one transport makes of a case.
enum Made {
    /// As the contract says, shown by this test.
    Holds(&'static str),
    /// Something else, and the test that shows it, where there is one.
    Differs(&'static str, &'static str),
}
use Made::{Differs, Holds};

support::tests! {
    Needs::NOTHING => [
        the_document_shows_the_contract,
        every_test_of_the_contract_has_a_row,
        a_host_name_with_a_leading_dash_is_none,
    ],
}

/// A case and what comes of it: over both the same, by one test that runs over both.
const BOTH: [(&str, &str); 27] = [
    ("exit statuses 0, 1, 127, 255; a signal is no status", "exit_statuses_come_back_as_they_are"),
    (
        "standard output and error apart; children read nothing",
        "outputs_stay_apart_and_children_read_nothing",
    ),
    ("nothing of the login shell's environment", "the_environment_is_ours"),
    ("10 MB in, 10 MB out", "ten_megabytes_go_in_and_come_out"),
    ("endless output is cut off", "endless_output_is_cut_off_and_the_session_lives_on"),
    ("an exec that never ends", "an_exec_that_never_ends_is_given_up_and_the_session_lives_on"),
    (
        "a program that does not read what it is sent",
        "a_program_that_ends_before_it_has_read_everything_is_no_hang",
    ),
    ("noise before our output", "noise_of_the_login_shell_stands_before_ours_and_changes_nothing"),
    (
        "connections and execs are counted as sshd counts them",
        "execs_and_connections_are_those_that_sshd_saw",
    ),
    ("two execs at once", "two_execs_at_once_do_not_mix"),
    ("sshd dies in mid exec", "a_connection_that_dies_in_mid_exec_is_broken_never_an_answer"),
    (
        "a host key that is pinned, unknown, changed, revoked",
        "a_pinned_key_is_accepted_and_any_other_verdict_is_an_error",
    ),
    (
        "a jump host, its connection shared",
        "one_connection_per_jump_host_is_shared_unless_a_fresh_one_is_asked_for",
    ),
    ("the jump host itself is asked", "a_jump_host_is_asked_over_the_connection_that_others_share"),
    ("two jump hosts in a row", "two_jump_hosts_in_a_row"),
    ("the jump host's connection dies", "a_jump_connection_that_died_is_made_again"),
    ("the jump host's key is not the pinned one", "the_jump_host_s_own_key_is_judged"),
    ("a jump host that does not forward", "a_jump_host_that_does_not_forward_is_named"),
    ("a jump host that refuses us", "a_failure_at_the_jump_host_is_shared_by_all_who_wait_for_it"),
    ("200 hosts behind `MaxStartups 10:30:100`", "a_crowd_gets_through_sshd_s_limit_on_startups"),
    ("the connection is cut in mid exec", "a_host_that_goes_away_in_mid_exec_is_broken"),
    ("a link that dies without a word", "a_link_that_dies_without_a_word_is_noticed"),
    ("IPv6, also behind a jump host", "an_ipv6_address_is_reached_also_behind_a_jump_host"),
    (
        "a key file, Ed25519; one that is not declared is not offered",
        "a_key_file_is_offered_only_where_it_is_declared_or_nothing_is",
    ),
    ("nothing listens", "nothing_there_is_unreachable_at_once"),
    ("a host that never answers", "a_host_that_never_answers_is_given_up_in_time"),
    ("a host that hangs up", "a_host_that_hangs_up_is_tried_again_and_then_unreachable"),
];

/// Cases that each transport is asked in its own way: case, within this process, by ssh(1).
const EACH: [(&str, Made, Made); 15] = [
    (
        "what answers does not speak SSH",
        Holds("what_does_not_speak_ssh_is_said_so_and_its_words_are_made_visible"),
        Holds("what_does_not_speak_ssh_is_said_so_and_its_words_are_made_visible"),
    ),
    (
        "verdicts on host keys as ssh(1)'s own",
        Holds("our_verdicts_are_those_of_ssh"),
        Differs("ssh's own", "a_pinned_key_is_accepted_and_any_other_verdict_is_an_error"),
    ),
    (
        "a key that an agent holds; nothing else is offered",
        Holds("the_agent_s_declared_key_is_the_only_one_offered"),
        Holds("keys_of_files_and_of_the_persons_agent_work"),
    ),
    (
        "an RSA key",
        Differs("through an agent only", "an_rsa_key_of_the_agent_signs_with_sha2"),
        Holds("keys_of_files_and_of_the_persons_agent_work"),
    ),
    (
        "an encrypted key file",
        Differs(
            "through an agent, or unlocked; else refused, with what to do",
            "an_encrypted_key_file_works_through_the_agent",
        ),
        Differs(
            "through an agent, or unlocked; else refused, with what to do",
            "an_encrypted_key_file_works_through_the_persons_agent",
        ),
    ),
    (
        "an encrypted key file that a person unlocked",
        Holds("a_key_that_was_unlocked_proves_an_account_over_both"),
        Holds("a_key_that_was_unlocked_proves_an_account_over_both"),
    ),
    (
        "given up in mid handshake, in mid exec",
        Differs("its connections end with it", ""),
        Differs("no process stays", "what_is_given_up_leaves_no_process_behind"),
    ),
    (
        "palisade is killed, and never started again",
        Differs("its connections end with it", ""),
        Differs("its masters end by themselves", "a_master_whose_palisade_was_killed_ends_by_itself"),
    ),
    (
        "a process of ssh that does not hear that it shall end",
        Differs("there is none", ""),
        Differs("it is killed", "a_master_that_does_not_hear_is_killed"),
    ),
    (
        "the key exchange",
        Differs("the best that both know", "the_key_exchange_is_the_best_that_the_host_knows"),
        Differs("ssh's own", ""),
    ),
    (
        "a key that the host does not take is offered once",
        Holds("a_refused_key_is_offered_once"),
        Holds("a_key_that_the_host_does_not_take_is_offered_once"),
    ),
    (
        "a certificate",
        Differs("not known; `--transport auto` takes ssh(1)", ""),
        Holds("a_certificate_of_the_person_is_the_proof"),
    ),
    (
        "a `ProxyCommand`",
        Differs("not known; `--transport auto` takes ssh(1)", ""),
        Holds("a_proxy_command_of_the_person_is_the_way"),
    ),
    (
        "a configuration that would weaken checks or run something",
        Differs("not read", ""),
        Holds("the_persons_configuration_weakens_nothing"),
    ),
    (
        "palisade is killed",
        Differs("its connections end with it", ""),
        Differs(
            "its masters end within a minute, or by the next start",
            "what_a_killed_run_left_is_ended_by_the_next",
        ),
    ),
];

/// Cases that end before any transport is asked.
const NEITHER: [(&str, &str); 1] =
    [("a host name with a leading dash", "a_host_name_with_a_leading_dash_is_none")];

fn place(test: &str) -> String {
    let file = FILES.iter().find(|(_, text)| text.contains(&format!("fn {test}(")));
    let (file, _) = file.unwrap_or_else(|| panic!("{test} is in no file"));
    format!("`{file}.rs`: `{test}`")
}

/// The tests in the lists that begin so.
fn listed(begins: &[&str]) -> BTreeSet<&'static str> {
    let mut tests = BTreeSet::new();
    for (_, text) in FILES.iter().filter(|(file, _)| *file != "table") {
        for begin in begins {
            let lists = text.split(begin).skip(1).filter_map(|rest| rest.split_once('}'));
            tests.extend(lists.flat_map(|(list, _)| list.split(',')).map(str::trim));
        }
    }
    tests.remove("");
    tests
}

/// Whose sshd these tests ask.
fn asked(tests: &[&str]) -> &'static str {
    let (each, none) = (listed(&EACH_RELEASE), listed(&NO_SSHD));
    let all = |list: &BTreeSet<&str>| tests.iter().all(|test| list.contains(test));
    match tests {
        [_, ..] if all(&each) => "Debian 12, Debian 13",
        [_, ..] if all(&none) => "none",
        _ => "",
    }
}

fn render() -> String {
    let mut text = String::from(
        "| case | within this process | by ssh(1) | sshd of | shown by, in tests/transport |\n|---|---|---|---|---|\n",
    );
    for (case, test) in BOTH {
        let _ = writeln!(text, "| {case} | ✓ | ✓ | {} | {} |", asked(&[test]), place(test));
    }
    for (case, russh, openssh) in &EACH {
        let word = |made: &Made| match made {
            Holds(_) => "✓".to_owned(),
            Differs(what, _) => (*what).to_owned(),
        };
        let shown_by = |made: &Made| match made {
            Holds(name) | Differs(_, name) => *name,
        };
        let mut tests = Vec::from([shown_by(russh), shown_by(openssh)]);
        tests.sort_unstable();
        tests.dedup();
        tests.retain(|test| !test.is_empty());
        let places: Vec<String> = tests.iter().map(|test| place(test)).collect();
        let (of, by) = (asked(&tests), places.join(", "));
        let _ = writeln!(text, "| {case} | {} | {} | {of} | {by} |", word(russh), word(openssh));
    }
    for (case, test) in NEITHER {
        let refused = "refused by the parser";
        let _ = writeln!(text, "| {case} | {refused} | {refused} | none | {} |", place(test));
    }
    text
}

fn the_document_shows_the_contract() {
    let table = format!("\n{}\n", render());
    section("docs/transports.md", BEGIN, END, &table);
}

fn every_test_of_the_contract_has_a_row() {
    let rendered = render();
    for test in listed(&[EACH_RELEASE[0], NO_SSHD[0]]) {
        assert!(rendered.contains(&format!("`{test}`")), "{test} runs over both, and has no row");
    }
}

fn a_host_name_with_a_leading_dash_is_none() {
    for name in ["-oProxyCommand=sh", "-x", "--"] {
        assert!(name.parse::<HostName>().is_err(), "{name}");
    }
}
