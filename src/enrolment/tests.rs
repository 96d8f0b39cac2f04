//! The trust of an enrolment: what is asked, what is refused, and what is written down.

use std::collections::BTreeMap;

use super::*;
use crate::domain::{BootId, Fingerprint, HostName};
use crate::inventory::{HostIdentity, Identities};
use crate::known_hosts::KnownHosts;
use crate::probe::Facts;
use crate::shell::Exit;

const A: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJZPZT0xPypwCdpyR1rpPhiuQ9I9vMF4zqOBlLxnGf73";
const B: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILtb7UgAi5OmvXSJFg9DSn6rc5CAhQtRUJWcA2spuWPA";

fn host(name: &str) -> HostName {
    name.parse().unwrap()
}

fn key(text: &str) -> PublicKey {
    text.parse().unwrap()
}

fn survey() -> Survey {
    Survey {
        facts: Facts {
            machine_id: "a".repeat(32).parse().unwrap(),
            boot_id: "0a1b2c3d-0000-4000-8000-000000000000".parse::<BootId>().unwrap(),
            distribution: "debian-12".to_owned(),
            environment: None,
            from: None,
            uid: 0,
            pending: None,
            pending_seconds: None,
            pending_watched: false,
            lease: None,
            installing: None,
            recovery: false,
            free_kilobytes: vec![1 << 20],
            free_inodes: vec![1 << 20],
            read_only: Vec::new(),
            dpkg_audit: String::new(),
        },
        systemd: true,
        missing: Vec::new(),
        marker: None,
    }
}

fn enrolled(name: &str, machine: &str) -> Identities {
    let identity = HostIdentity {
        machine_id: machine.repeat(32).parse().unwrap(),
        environment: Environment::Prod,
        distribution: "debian-12".to_owned(),
        vendor: None,
        enrolled: "2026-11-28T22:00:00Z".parse().unwrap(),
        by: "alice".parse().unwrap(),
    };
    Identities { hosts: BTreeMap::from([(host(name), identity)]) }
}

#[test]
fn a_key_is_trusted_by_its_pin_or_by_a_person_alone() {
    let (a, b): (Fingerprint, Fingerprint) = (key(A).fingerprint(), key(B).fingerprint());
    let decide = |pins: &str, given: Option<&Fingerprint>, replace: bool| {
        let given: Vec<Fingerprint> = given.into_iter().cloned().collect();
        trust(&KnownHosts::parse(pins).unwrap(), &host("web-1"), &key(A), &given, replace)
            .map_err(|refusal| refusal.why)
    };
    let pinned = format!("web-1 {A}");
    let changed = format!("web-1 {B}");
    assert_eq!(decide("", None, false), Ok(Trust::Ask));
    assert_eq!(decide("", Some(&a), false), Ok(Trust::Confirmed));
    assert!(decide("", Some(&b), false).unwrap_err().contains("not the given"));
    assert_eq!(decide(&pinned, None, false), Ok(Trust::Pinned));
    assert_eq!(decide(&pinned, Some(&a), false), Ok(Trust::Pinned));
    assert!(decide(&pinned, Some(&b), false).is_err(), "a given fingerprint is compared even with a pin");
    assert!(decide(&changed, None, false).unwrap_err().contains("another key than the pinned one"));
    assert!(decide(&changed, Some(&a), false).is_err(), "a fingerprint alone replaces nothing");
    assert_eq!(decide(&changed, Some(&a), true), Ok(Trust::Confirmed));
    assert_eq!(decide(&changed, None, true), Ok(Trust::Ask));
    assert_eq!(decide(&pinned, None, true), Ok(Trust::Ask), "--replace asks again in every case");
    for replace in [false, true] {
        let revoked = format!("@revoked * {A}\n{pinned}");
        assert!(decide(&revoked, Some(&a), replace).unwrap_err().contains("revoked"));
        let other = format!("db-1 {A}");
        assert!(decide(&other, Some(&a), replace).unwrap_err().contains("pinned for another host"));
    }
}

#[test]
fn a_machine_is_enrolled_only_where_it_belongs() {
    let nobody = Identities::default();
    let decide = |survey: &Survey, identities: &Identities, replace: bool| {
        may_enrol(survey, &host("web-1"), Environment::Prod, identities, replace)
            .map_err(|refusal| refusal.why)
    };
    assert_eq!(decide(&survey(), &nobody, false), Ok(()));
    assert_eq!(decide(&survey(), &enrolled("web-1", "a"), false), Ok(()));
    assert!(decide(&survey(), &enrolled("web-1", "b"), false).unwrap_err().contains("another machine"));
    assert_eq!(decide(&survey(), &enrolled("web-1", "b"), true), Ok(()));

    let mut ours = survey();
    ours.marker = Some("prod".to_owned());
    assert_eq!(decide(&ours, &nobody, false), Ok(()));
    for replace in [false, true] {
        let refuses = |change: fn(&mut Survey), words: &str| {
            let mut survey = survey();
            change(&mut survey);
            let why = decide(&survey, &nobody, replace).unwrap_err();
            assert!(why.contains(words), "{why}");
        };
        refuses(|s| s.marker = Some("dev".to_owned()), "a machine of `dev`");
        refuses(|s| s.marker = Some(String::new()), "a machine of ``");
        refuses(|s| s.facts.distribution = "ubuntu-24.04".to_owned(), "it runs ubuntu-24.04");
        refuses(|s| s.facts.distribution = "debian-11".to_owned(), "it runs debian-11");
        refuses(|s| s.facts.uid = 1000, "not root");
        refuses(|s| s.systemd = false, "systemd");
        refuses(|s| s.missing = vec!["visudo".to_owned()], "visudo");
        refuses(|s| s.facts.read_only = vec!["/var".to_owned()], "read-only");
        refuses(|s| s.facts.pending = "20261128t220000123z-1a2b3c4d".parse().ok(), "pending");
        let why = decide(&survey(), &enrolled("db-1", "a"), replace).unwrap_err();
        assert!(why.contains("enrolled as db-1"), "{why}");
    }
}

fn answer(question: &Question, stdout: &str, status: u32) -> Output {
    let nonce = nonce();
    let mark = nonce.as_str();
    let label = question.label;
    Output {
        exit: Exit::Status(0),
        stdout: format!("\n{mark} begin {label}\n{stdout}\n{mark} end {label} {status}\n").into_bytes(),
        stderr: format!("\n{mark} begin {label}\nnoise\n{mark} end {label} {status}\n").into_bytes(),
    }
}

fn nonce() -> Nonce {
    Nonce::new([7; 16])
}

#[test]
fn an_installation_is_whole_or_failed() {
    let question = install_question(Environment::Prod, None);
    let read = |stdout: &str, status| {
        installed(&nonce(), &answer(&question, stdout, status), Environment::Prod, None)
    };
    assert_eq!(
        read("kept\t/var/lib/palisade\nchanged\t/etc/palisade/environment\nend\tinstall", 0),
        Ok(vec!["/etc/palisade/environment".to_owned()])
    );
    assert_eq!(read("kept\tx\nfailed\tno \u{1b}[31mspace", 9), Err("no \\u{1b}[31mspace".to_owned()));
    assert!(read("changed\tx", 0).unwrap_err().contains("ended early"));
    assert!(read("", 0).unwrap_err().contains("ended early"), "a silent tool proves nothing");
    assert!(read("end\tinstall", 1).unwrap_err().contains("ended early (exit 1): noise"));
}

#[test]
fn names_and_keys_reach_the_script_quoted() {
    let newcomer = Newcomer {
        user: "alice".parse().unwrap(),
        comment: "Alice O'Hara, CTO".parse().unwrap(),
        keys: vec![key(&format!("{A} $(reboot)"))],
    };
    let body = install_question(Environment::Prod, Some(&newcomer)).body.script(0);
    assert!(body.body().contains("person 'alice' 'Alice O'\\''Hara, CTO'\n"));
    assert!(body.body().contains(&format!("key '{A} $(reboot)'\n")));
    let without = install_question(Environment::Prod, None).body.script(0);
    assert!(!without.body().contains("\nperson '"));
}

#[test]
fn the_rehearsal_changes_what_it_expects_to_find() {
    let step = rehearsal_step().unwrap();
    let Change::File { before: FileState::Present(before), after: FileState::Present(after), .. } =
        &step.change
    else {
        panic!("{step:?}")
    };
    let question = rehearsal_question();
    let read = |text: &str| rehearsed(&nonce(), &answer(&question, text, 0));
    assert_eq!(read(&before.content), Ok(Rehearsed::Before));
    assert_eq!(read(&after.content), Ok(Rehearsed::After));
    assert!(read("").is_err());
}
