//! What people read of an audit, a plan, an apply and a rollback, from runs that were made by hand: the wording and
//! the layout are reviewed as snapshots.

use palisade::domain::{ControlId, Environment, HostName};
use palisade::fleet::{Holds, HostResult, HostState};
use palisade::plan::{HostPlan, Judged};
use palisade::record::{self, ControlLine, Footer, Header, Reader};
use palisade::report::{Depth, Report, View, audit, change, hints, plan};
use palisade::resource::{Phase, Verdict};
use palisade::transport::Cost;
use serde_json::json;
use support::{Needs, generated};

support::tests! {
    Needs::NOTHING => [
        an_audit_shows_who_needs_somebody_first_and_the_same_only_once,
        what_two_controls_share_is_said_by_the_first_that_shows_it,
        a_narrow_terminal_breaks_lines_between_words,
        many_findings_are_counted_unless_everything_is_asked_for,
        an_apply_says_what_happened_and_not_once_more_what_an_audit_says,
        an_apply_that_went_well_is_short,
        a_rollback_that_failed_names_the_way_in,
        a_plan_names_what_it_cuts_off_before_what_it_changes,
        what_a_host_says_cannot_draw_on_the_terminal,
    ],
}

const VIEW: View = View { width: 100, all: false };

fn id(text: &str) -> ControlId {
    text.parse().expect("an id")
}

fn control(name: &str, title: &str) -> ControlLine {
    ControlLine {
        id: id(name),
        title: title.to_owned(),
        severity: "critical".to_owned(),
        promise: name.to_owned(),
        origin: "builtin".to_owned(),
    }
}

/// The report of a run, read back from its record: whatever is printed here is printed of the record too.
fn report(verb: &str, results: Vec<HostResult>) -> Report {
    let report = Report {
        verb: verb.to_owned(),
        environment: Some(Environment::Prod),
        run: "20261128t220000123z-1a2b3c4d".parse().expect("an id"),
        tool: "0.1.0".to_owned(),
        controls: vec![
            control(
                "firewall",
                "Every server lets in what is declared, from where it is declared, and nothing else",
            ),
            control("key-only", "Servers accept private keys, never passwords"),
        ],
        results,
        interrupted: false,
        evidence: Some("runs/20261128t220000123z-prod-audit-1a2b3c4d".to_owned()),
    };
    let read = read_back(&report);
    assert_eq!(read.json(), report.json());
    read
}

fn read_back(report: &Report) -> Report {
    let at = jiff::Timestamp::UNIX_EPOCH;
    let header = Header {
        schema: record::SCHEMA,
        run: report.run.clone(),
        tool: report.tool.clone(),
        verb: report.verb.clone(),
        environment: Environment::Prod,
        by: None,
        from: "laptop".to_owned(),
        began: at,
        inputs: std::collections::BTreeMap::new(),
        hosts: Vec::new(),
        controls: report.controls.clone(),
        plan: None,
    };
    let end = Footer {
        ended: at,
        exit: report.exit(),
        summary: json!(report.summary()),
        interrupted: report.interrupted,
    };
    let mut reader = Reader::default();
    reader.line(&record::line("run", &header)).expect("a beginning");
    for result in &report.results {
        reader.line(&record::line("answer", &json!({"host": result.host, "raw": ["x"]}))).expect("an answer");
        let line = record::line("host", &json!({"result": result, "controls": []}));
        reader.line(&line).unwrap_or_else(|why| panic!("{why}: {line}"));
    }
    reader.line(&record::line("end", &end)).expect("an end");
    let record = reader.end().expect("a record");
    Report::of(record, report.evidence.clone().expect("where it lies"))
}

fn judged(name: &str, verdict: Verdict) -> Judged {
    Judged {
        resource: name.to_owned(),
        kind: "file".to_owned(),
        enforced: true,
        controls: vec![id(name)],
        waived: false,
        verdict,
    }
}

fn host(name: &str, state: HostState, firewall: Verdict, keys: Verdict) -> HostResult {
    HostResult {
        host: name.parse::<HostName>().expect("a name"),
        state,
        controls: vec![id("firewall"), id("key-only")],
        waivers: Vec::new(),
        facts: None,
        judged: vec![judged("firewall", firewall), judged("key-only", keys)],
        ended: Vec::new(),
        plan: None,
        raw: Vec::new(),
        cost: Cost { connections: 1, execs: 1, ..Cost::default() },
        milliseconds: 640,
        at: jiff::Timestamp::UNIX_EPOCH,
    }
}

fn compliant() -> Verdict {
    Verdict::compliant()
}

fn drift(findings: &[&str]) -> Verdict {
    Verdict::Drift { findings: findings.iter().map(|line| (*line).to_owned()).collect() }
}

fn unknown(reason: &str) -> Verdict {
    Verdict::Unknown { reason: reason.to_owned() }
}

const GONE: &str = "db-2 (10.20.0.6) is unreachable: port 22: no answer within 20 s";

fn gone(name: &str) -> HostResult {
    let state = HostState::Unreachable { reason: GONE.to_owned() };
    HostResult {
        cost: Cost::default(),
        milliseconds: 20_010,
        ..host(name, state, unknown(GONE), unknown(GONE))
    }
}

/// What a person sees, with the hints under it.
fn seen(text: &str, report: &Report) -> String {
    let mut text = anstream::adapter::strip_str(text).to_string();
    for hint in hints(report) {
        text.push_str("hint: ");
        text.push_str(&hint);
        text.push('\n');
    }
    assert!(!text.contains('\u{1b}'));
    text
}

fn an_audit_shows_who_needs_somebody_first_and_the_same_only_once() {
    let keys = || {
        drift(&[
            "kexalgorithms allows ecdh-sha2-nistp256, ecdh-sha2-nistp384 and 6 more, not declared (sshd's default)",
            "passwordauthentication is `yes`, not `no` (/etc/ssh/sshd_config.d/50-cloud-init.conf:1)",
        ])
    };
    let served = |pid: u32| Verdict::Compliant {
        notes: vec![format!(
            "undeclared listener tcp 0.0.0.0:8000 by nc (pid {pid}), which the declared rules cut off"
        )],
    };
    let report = report(
        "audit",
        vec![
            host("web-1", HostState::Answered, served(51), compliant()),
            host("web-2", HostState::Answered, served(4711), compliant()),
            host("web-3", HostState::Answered, served(52), keys()),
            host("web-4", HostState::Answered, served(53), keys()),
            gone("db-2"),
            host("db-1", HostState::Answered, unknown("nft answered nothing"), keys()),
        ],
    );
    generated("tests/snapshots/audit.txt", &seen(&audit(&report, VIEW), &report));
}

fn what_two_controls_share_is_said_by_the_first_that_shows_it() {
    let shared = Judged {
        resource: "firewall rules (table inet palisade)".to_owned(),
        controls: vec![id("firewall"), id("key-only")],
        ..judged("firewall", drift(&["ufw filters too"]))
    };
    let mut one = host("web-1", HostState::Answered, compliant(), drift(&["its own"]));
    one.judged.push(shared);
    let all = audit(&report("audit", vec![one.clone()]), View { width: 200, all: false });
    assert_eq!(all.matches("ufw filters too").count(), 1, "{all}");
    let told =
        "it needs the firewall rules (table inet palisade) as declared, and firewall says above what differs";
    assert!(all.contains(told) && all.contains("its own"), "{all}");
    // Alone it says all of it.
    one.controls = vec![id("key-only")];
    let alone = audit(&report("audit", vec![one]), View { width: 200, all: false });
    assert!(alone.contains("ufw filters too") && !alone.contains("says above"), "{alone}");
}

fn a_narrow_terminal_breaks_lines_between_words() {
    let report = report(
        "audit",
        vec![host(
            "web-1",
            HostState::Answered,
            compliant(),
            drift(&[
                "root: key SHA256:qf/CkkSEkQ6m5YVH2aPMP9YYMntzXxAQ/I9DQv45FK4 (someone-who-left) in /root/.ssh/authorized_keys is not declared",
            ]),
        )],
    );
    let text = audit(&report, View { width: 60, all: false });
    generated("tests/snapshots/audit-on-a-narrow-terminal.txt", &seen(&text, &report));
}

fn many_findings_are_counted_unless_everything_is_asked_for() {
    let lines: Vec<String> = (1..=11).map(|number| format!("finding {number}")).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let report = report("audit", vec![host("web-1", HostState::Answered, compliant(), drift(&lines))]);
    let short = audit(&report, VIEW);
    assert!(short.contains("finding 8") && !short.contains("finding 9") && short.contains("and 3 more"));
    assert!(audit(&report, View { all: true, ..VIEW }).contains("finding 11"));
}

fn an_apply_says_what_happened_and_not_once_more_what_an_audit_says() {
    let after = || drift(&["declared, and not loaded: tcp dport 9100 accept"]);
    let back = HostState::RolledBack {
        phase: Phase::Narrow,
        reason: "web-1 (2001:db8:20::21) is unreachable: port 22: no answer within 20 s".to_owned(),
        holds: Holds::Old,
    };
    let waiting = || HostState::NotStarted { reason: "web-1 went first and was taken back".to_owned() };
    let report = report(
        "apply",
        vec![
            host("db-1", HostState::Answered, compliant(), compliant()),
            HostResult {
                cost: Cost { connections: 5, execs: 6, ..Cost::default() },
                ..host("web-1", back, after(), compliant())
            },
            host("web-2", waiting(), after(), compliant()),
            host("web-3", waiting(), after(), compliant()),
        ],
    );
    assert_eq!(report.exit(), 5);
    generated("tests/snapshots/apply-taken-back.txt", &seen(&change(&report, VIEW), &report));
    let narrow = seen(&change(&report, View { width: 44, ..VIEW }), &report);
    let stands = narrow.lines().find(|line| line.contains("stands")).expect("how it stands");
    assert!(stands.chars().count() <= 44, "{narrow}");
}

fn an_apply_that_went_well_is_short() {
    let report = report(
        "apply",
        vec![
            host("web-1", HostState::Changed, compliant(), compliant()),
            host("web-2", HostState::Changed, compliant(), compliant()),
            host(
                "db-1",
                HostState::Changed,
                compliant(),
                drift(&["/etc/ssh/sshd_config.d/99-local.conf is not declared"]),
            ),
        ],
    );
    generated("tests/snapshots/apply-went-well.txt", &seen(&change(&report, VIEW), &report));
}

fn a_rollback_that_failed_names_the_way_in() {
    let tx = "20261128t220000123z-1a2b3c4d".parse().expect("an id");
    let reason = palisade::fleet::rescue_hint(&tx, "sshd is not running after its reload");
    let failed = HostState::Failed { reason, holds: None };
    let refused = HostState::Refused {
        reason: "held by bob from laptop since 2026-11-28T21:58:02Z (run 20261128t215800z-9e8d7c6b), for 240 s more"
            .to_owned(),
        holder: None,
    };
    let report = report(
        "apply",
        vec![
            host("web-1", failed, drift(&["x"]), compliant()),
            host("web-2", refused, drift(&["x"]), compliant()),
            gone("db-2"),
        ],
    );
    assert_eq!(report.exit(), 1);
    generated("tests/snapshots/apply-rollback-failed.txt", &seen(&change(&report, VIEW), &report));
}

/// What would change on a host: a file that is new, one that changes, one that goes, and who is cut off.
fn changes(name: &str) -> HostPlan {
    let file = |content: &str, mode: &str| json!({"state": "present", "content": content, "mode": mode, "owner": "root", "group": "root"});
    let step = |phase: &str,
                summary: &str,
                path: &str,
                before: serde_json::Value,
                after: serde_json::Value| {
        json!({"phase": phase, "summary": summary, "change": {"type": "file", "path": path, "before": before, "after": after}})
    };
    let absent = || json!({"state": "absent"});
    serde_json::from_value(json!({
        "host": name,
        "machine_id": "0123456789abcdef0123456789abcdef",
        "desired": palisade::domain::Digest::of(b"x"),
        "steps": [
            {"phase": "package", "summary": "install nftables", "change": {"type": "package", "name": "nftables"}},
            step("widen", "write the declared keys of alice to /etc/ssh/authorized_keys.d/alice",
                "/etc/ssh/authorized_keys.d/alice", absent(), file("ssh-ed25519 AAAA alice\n", "0644")),
            step("narrow", "write /etc/ssh/sshd_config.d/00-palisade.conf", "/etc/ssh/sshd_config.d/00-palisade.conf",
                file("# ours\nMaxAuthTries 9\nUsePAM yes\n", "0644"), file("# ours\nMaxAuthTries 6\nUsePAM yes\n", "0600")),
            step("narrow", "remove /root/.ssh/authorized_keys", "/root/.ssh/authorized_keys",
                file("ssh-ed25519 BBBB someone-who-left\n", "0600"), absent()),
        ],
        "cuts": ["key SHA256:qf/CkkSEkQ6m5YVH2aPMP9YYMntzXxAQ/I9DQv45FK4 (someone-who-left) of root in /root/.ssh/authorized_keys",
            "undeclared listener tcp 0.0.0.0:8000 by nc (pid 51), which the declared rules cut off"],
        "obstacles": [],
    }))
    .expect("a plan")
}

fn planned(name: &str) -> HostResult {
    HostResult { plan: Some(changes(name)), ..host(name, HostState::Answered, drift(&["x"]), drift(&["y"])) }
}

fn a_plan_names_what_it_cuts_off_before_what_it_changes() {
    let nothing = HostPlan { steps: Vec::new(), cuts: Vec::new(), ..changes("db-1") };
    let obstructed: HostPlan = HostPlan {
        obstacles: serde_json::from_value(json!([
            {"obstacle": "unread", "resource": "the accounts", "reason": "getent answered nothing"},
            {"obstacle": "defeated", "what": "/etc/ssh/sshd_config:3 sets PasswordAuthentication before the Include",
                "hint": "move the line behind the Include"},
        ]))
        .expect("obstacles"),
        steps: Vec::new(),
        cuts: Vec::new(),
        ..changes("db-3")
    };
    let report = report(
        "plan",
        vec![
            HostResult { plan: Some(nothing), ..host("db-1", HostState::Answered, compliant(), compliant()) },
            planned("web-1"),
            planned("web-2"),
            HostResult {
                plan: Some(obstructed),
                ..host("db-3", HostState::Answered, compliant(), compliant())
            },
            gone("db-2"),
        ],
    );
    let diffs = plan(&report, VIEW, Depth::Diffs);
    generated("tests/snapshots/plan-with-diffs.txt", &seen(&diffs, &report));
    let short = plan(&report, VIEW, Depth::Short);
    assert!(short.contains("remove /root/.ssh/authorized_keys") && !short.contains("-MaxAuthTries 9"));
}

fn what_a_host_says_cannot_draw_on_the_terminal() {
    let report = report(
        "audit",
        vec![host("web-1", HostState::Answered, unknown("\u{1b}[2Jall is well"), drift(&["a\nb \u{202e}c"]))],
    );
    let text = audit(&report, VIEW);
    let plain = anstream::adapter::strip_str(&text).to_string();
    assert!(plain.contains("\\u{1b}[2Jall is well") && plain.contains("a\\nb \\u{202e}c"), "{plain}");
}
