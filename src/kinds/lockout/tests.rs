//! What is judged of a lockout, each part by itself. What hosts answer is in `tests/cases/lockout/`.

use super::*;

fn answer() -> Answer {
    let mut values = std::collections::BTreeMap::new();
    for (name, value) in lockout().wanted() {
        values.insert(name.to_owned(), value);
    }
    let listing = "table inet palisade-bans {\n\tchain input {\n\t}\n}".to_owned();
    Answer {
        overruled: Vec::new(),
        watch: Watch::Jail(Jail {
            values,
            ignored: ["198.51.100.10".to_owned()].into(),
            banned: ["203.0.113.7".to_owned(), "2001:db8:1:2".to_owned()].into(),
            others: vec!["postfix".to_owned()],
        }),
        kernel: Some(Kernel {
            desired: listing.clone(),
            live: Some(listing),
            banned: ["203.0.113.7", "2001:db8:1:2::/64"].map(|one| one.parse().unwrap()).into(),
        }),
        sshd: Sshd { log_level: "VERBOSE".to_owned(), penalties: None, spared: None },
        later: Vec::new(),
    }
}

fn lockout() -> Lockout {
    Lockout {
        attempts: 5,
        management: vec!["198.51.100.10".parse().unwrap()],
        table: "table inet palisade-bans {}".to_owned(),
    }
}

fn findings(answer: &Answer) -> Vec<String> {
    match lockout().judge(answer, Timestamp::UNIX_EPOCH) {
        Verdict::Drift { findings } => findings,
        _ => Vec::new(),
    }
}

fn jail(answer: &mut Answer) -> &mut Jail {
    match &mut answer.watch {
        Watch::Jail(jail) => jail,
        other => panic!("{other:?}"),
    }
}

#[test]
fn whom_fail2ban_bans_the_kernel_must_drop() {
    assert_eq!(findings(&answer()), [""; 0]);
    assert_eq!(lockout().remedy(&answer()), Ok(Vec::new()));
    for banned in ["203.0.113.8", "2001:db8:1:3", "2001:db8::1:2:3:4:5", "no address"] {
        let mut answer = answer();
        jail(&mut answer).banned.insert(banned.to_owned());
        let found = findings(&answer);
        assert!(found.len() == 1 && found[0].contains("the kernel does not drop it"), "{found:?}");
        assert_eq!(lockout().remedy(&answer).unwrap().len(), 1);
    }
}

#[test]
fn the_management_is_exempt_in_every_layer_and_nobody_else_is() {
    let mut answer = answer();
    jail(&mut answer).ignored = ["203.0.113.66".to_owned()].into();
    answer.sshd.penalties = Some("authfail:5".to_owned());
    answer.sshd.spared = Some("none".to_owned());
    assert_eq!(
        findings(&answer),
        [
            "fail2ban may ban the management (198.51.100.10)",
            "fail2ban never bans 203.0.113.66, which is no management",
            "sshd's own penalties may hit the management (198.51.100.10)",
        ]
    );
}

#[test]
fn a_later_file_of_somebody_else_is_not_overruled() {
    let mut answer = answer();
    answer.later.push("/etc/fail2ban/jail.d/zzz.local".to_owned());
    assert_eq!(lockout().remedy(&answer), Ok(Vec::new()), "it does no harm as it is");
    jail(&mut answer).values.insert("maxretry".to_owned(), "100".to_owned());
    assert!(
        lockout()
            .remedy(&answer)
            .unwrap_err()
            .what
            .starts_with("/etc/fail2ban/jail.d/zzz.local is read after")
    );
}
