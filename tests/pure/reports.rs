//! What people read of an audit, a plan, an apply and a rollback, from runs that were made by hand: the wording and
//! the layout are reviewed as snapshots.

use std::collections::BTreeMap;

use palisade::domain::{ControlId, Environment, HostName};
use palisade::plan::{HostPlan, Judged};
use palisade::record::{
    self, AsHostEntry, ControlLine, Cost, Counts, EnrolState, Enrolled, Footer, Header, Holds, HostResult,
    HostState, Installed, Line, Reader, Recorded, ReleaseLine,
};
use palisade::report::json::{Json, Output};
use palisade::report::text::{Text, hints};
use palisade::report::{Depth, Head, Page, Renderer as _, Report, View};
use palisade::resource::{Phase, Verdict};
use serde_json::{Value, json};
use support::schemas::Schema;
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
        an_enrolment_gives_each_host_its_outcome,
        an_installation_names_packages_and_what_is_left_to_do,
    ],
}

pub(crate) const VIEW: View = View { width: 100, all: false };

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

pub(crate) fn head(verb: &str) -> Head {
    Head {
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
        release: None,
        jump_connections: BTreeMap::new(),
        interrupted: false,
        evidence: Some("runs/20261128t220000123z-prod-audit-1a2b3c4d".to_owned()),
    }
}

/// The report of a run, read back from its record: whatever is printed here is printed of the record too.
fn report(verb: &str, results: Vec<HostResult>) -> Report<Vec<Recorded>> {
    both(&Report::new(head(verb), results))
}

/// The report of the record that `report` leaves, once both are the same in every format.
fn both<T: AsHostEntry + 'static>(report: &Report<Vec<T>>) -> Report<Vec<Recorded>> {
    let read = read_back(report);
    for depth in [Depth::Short, Depth::Diffs] {
        for all in [false, true] {
            let text = Text { view: View { all, ..VIEW } };
            assert_eq!(
                text.words(&Page::Run(report, depth)).unwrap(),
                text.words(&Page::Run(&read, depth)).unwrap()
            );
        }
    }
    let document = document(&read);
    assert_eq!(self::document(report), document);
    let schema = Schema::of(match read.head.verb.as_str() {
        "audit" => Output::Audit,
        "plan" => Output::Plan,
        "apply" => Output::Apply,
        "enrol" => Output::Enrol,
        _ => Output::PatchApply,
    });
    schema.holds_alone(&document);
    for place in ["", "/hosts/0", "/hosts/0/cost"] {
        schema.needs_all(&document, place);
    }
    assert_eq!((report.exit(), hints(report)), (read.exit(), hints(&read)));
    read
}

fn document(report: &Report) -> Value {
    let mut out = Vec::new();
    Json.render(&Page::Run(report, Depth::Diffs), &mut out).expect("a document");
    serde_json::from_slice(&out).expect("JSON")
}

fn read_back<T: AsHostEntry + 'static>(report: &Report<Vec<T>>) -> Report<Vec<Recorded>> {
    let at = jiff::Timestamp::UNIX_EPOCH;
    let head = report.head.clone();
    let header = Header {
        schema: record::SCHEMA,
        run: head.run.clone(),
        tool: head.tool.clone(),
        verb: head.verb.clone(),
        environment: Environment::Prod,
        by: None,
        from: "laptop".to_owned(),
        began: at,
        inputs: BTreeMap::new(),
        hosts: Vec::new(),
        controls: head.controls.clone(),
        plan: None,
    };
    let tally = report.tally();
    let enrols = head.verb == "enrol";
    let end = Footer {
        ended: at,
        exit: report.exit(),
        summary: if enrols { Counts::Enrolled(tally.enrolment) } else { Counts::Judged(tally.summary) },
        interrupted: head.interrupted,
        jump_connections: head.jump_connections.clone(),
    };
    let mut reader = Reader::default();
    let mut hosts = Vec::new();
    let schema = Schema::of_record();
    let mut take = |line: Line<'_>| {
        let line = line.to_text().expect("a line");
        let value = serde_json::from_str(&line).expect("JSON");
        schema.holds_alone(&value);
        schema.needs_all(&value, "");
        hosts.extend(reader.line(&line).unwrap_or_else(|why| panic!("{why}: {line}")));
    };
    take(Line::Run(&header));
    head.release.iter().for_each(|release| take(Line::Release(release)));
    for host in report.hosts() {
        let name = "web-1".parse().expect("a name");
        take(Line::Answer { host: &name, at, raw: &["x".to_owned()] });
        host.entry().lines().into_iter().for_each(&mut take);
    }
    take(Line::End(&end));
    let record = reader.end().expect("a record");
    Report::new(
        Head {
            verb: record.header.verb,
            environment: Some(record.header.environment),
            run: record.header.run,
            tool: record.header.tool,
            controls: record.header.controls,
            release: record.release,
            jump_connections: record.end.jump_connections,
            interrupted: record.end.interrupted,
            evidence: head.evidence,
        },
        hosts,
    )
}

fn words(report: &Report, view: View, depth: Depth) -> String {
    Text { view }.words(&Page::Run(report, depth)).expect("text")
}

fn audit(report: &Report, view: View) -> String {
    words(report, view, Depth::Diffs)
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

pub(crate) fn host(name: &str, state: HostState, firewall: Verdict, keys: Verdict) -> HostResult {
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

pub(crate) fn compliant() -> Verdict {
    Verdict::compliant()
}

pub(crate) fn drift(findings: &[&str]) -> Verdict {
    Verdict::Drift { findings: findings.iter().map(|line| (*line).to_owned()).collect() }
}

pub(crate) fn unknown(reason: &str) -> Verdict {
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
    generated("tests/snapshots/apply-taken-back.txt", &seen(&audit(&report, VIEW), &report));
    let narrow = seen(&audit(&report, View { width: 44, ..VIEW }), &report);
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
    generated("tests/snapshots/apply-went-well.txt", &seen(&audit(&report, VIEW), &report));
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
    generated("tests/snapshots/apply-rollback-failed.txt", &seen(&audit(&report, VIEW), &report));
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
    let diffs = words(&report, VIEW, Depth::Diffs);
    generated("tests/snapshots/plan-with-diffs.txt", &seen(&diffs, &report));
    let short = words(&report, VIEW, Depth::Short);
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

fn an_enrolment_gives_each_host_its_outcome() {
    let enrolled = |name: &str, state: EnrolState, changes: &[&str]| Enrolled {
        host: name.parse().expect("a name"),
        address: "192.0.2.1".parse().ok(),
        state,
        fingerprint: "SHA256:uNiVztksCsDhcc0u9e8BrJXL44DoIKgiZEPj0GSqIGE".parse().ok(),
        machine_id: "0123456789abcdef0123456789abcdef".parse().ok(),
        distribution: Some("debian-12".to_owned()),
        changes: changes.iter().map(|change| (*change).to_owned()).collect(),
        rollback_milliseconds: (!changes.is_empty()).then_some(5210),
        cost: Cost { connections: 2, execs: 5, ..Cost::default() },
        milliseconds: 6000,
    };
    let refused = EnrolState::Refused {
        reason: "it runs ubuntu-24.04".to_owned(),
        hint: "install Debian\u{1b}[2J".to_owned(),
    };
    let gone = EnrolState::Unreachable { reason: "port 22: no answer within 20 s".to_owned() };
    let hosts = vec![
        enrolled("web-1", EnrolState::Enrolled, &["/etc/palisade/environment", "the account alice"]),
        enrolled("web-2", EnrolState::Unchanged, &[]),
        enrolled("web-3", refused, &[]),
        Enrolled { fingerprint: None, machine_id: None, distribution: None, ..enrolled("db-2", gone, &[]) },
    ];
    let jump_connections = BTreeMap::from([("web-1".parse().expect("a name"), 1)]);
    let report = both(&Report::new(Head { jump_connections, controls: Vec::new(), ..head("enrol") }, hosts));
    assert_eq!(report.exit(), 6);
    assert_eq!(document(&report)["jump_connections"]["web-1"], 1);
    let text = anstream::adapter::strip_str(&audit(&report, VIEW)).to_string();
    generated("tests/snapshots/enrolment.txt", &text);
}

fn an_installation_names_packages_and_what_is_left_to_do() {
    let release: ReleaseLine = serde_json::from_value(json!({
        "id": "2026-11-28",
        "sha256": palisade::domain::Digest::of(b"x"),
        "emergency": "CVE-2026-1234 is exploited",
        "mirror": null,
        "packages": [{"distribution": "debian-12", "architecture": "amd64", "packages": [
            {"name": "openssl", "version": "3.0.17-1~deb12u3", "sha256": palisade::domain::Digest::of(b"y")},
        ]}],
    }))
    .expect("a release");
    let installed: Installed = serde_json::from_value(json!({
        "packages": {"openssl": "3.0.17-1~deb12u3"},
        "held": ["nginx"],
        "newer": [],
        "restarted": ["ssh.service"],
        "denied": ["postgresql@15-main.service"],
        "until_reboot": [],
        "rebooted": null,
        "conffiles": ["/etc/ssl/openssl.cnf.dpkg-dist"],
        "downloaded": 0,
        "bytes": 4096,
        "journal": [
            {"at": "2026-11-28T22:00:00Z", "boot": "6e6c9c1e-3b34-4b6c-9d8e-0a5a3f0c1d2e", "event": "begun",
                "sha256": palisade::domain::Digest::of(b"x"), "by": "alice", "run": "20261128t220000123z-1a2b3c4d"},
            {"at": "2026-11-28T22:00:01Z", "boot": "6e6c9c1e-3b34-4b6c-9d8e-0a5a3f0c1d2e", "event": "carried"},
        ],
    }))
    .expect("what was installed");
    let failed = HostState::Failed { reason: "dpkg was interrupted".to_owned(), holds: None };
    let hosts = vec![
        (host("web-1", HostState::Changed, compliant(), compliant()), installed),
        (host("web-2", failed, drift(&["x"]), compliant()), Installed::default()),
        (host("web-3", HostState::Answered, compliant(), compliant()), Installed::default()),
    ];
    let report = both(&Report::new(Head { release: Some(release), ..head("patch") }, hosts));
    assert_eq!(report.exit(), 1);
    assert_eq!(document(&report)["hosts"][0]["installed"]["journal"][1]["event"], "carried");
    let text = anstream::adapter::strip_str(&audit(&report, VIEW)).to_string();
    generated("tests/snapshots/installation.txt", &text);
}
