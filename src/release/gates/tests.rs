//! Each gate in each environment, in turn and in an emergency; and what each says.

use super::*;

const BOOT: &str = "11111111-2222-3333-4444-555555555555";

/// Inside the window of 2026-11-28, which opens 22:00 in Paris.
const NOW: &str = "2026-11-28T22:00:00Z";

/// What is asked; everything is in order but for what a case changes.
struct Asked {
    now: Timestamp,
    plan: Plan,
    release: Release,
    file: Digest,
    notices: Vec<Notice>,
    before: Vec<HostHistory>,
}

/// A history in which the release ended so: at `at`, with the file of this digest.
fn history(end: &[&str], at: &str, file: &Digest) -> History {
    let seconds = at.parse::<Timestamp>().unwrap().as_second();
    let begun = format!("begun {file} alice r-1");
    let line =
        |event: &&str| format!("{seconds} {BOOT} {}\n", if *event == "begun" { &begun } else { *event });
    let text = end.iter().map(line).collect::<Vec<_>>().concat();
    [("2026-11-28".parse().unwrap(), Journal::parse(text.as_bytes()))].into_iter().collect()
}

const DONE: [&str; 4] = ["begun", "installed", "checked", "completed"];

fn asked() -> Asked {
    let plan = crate::inventory::parse(&crate::inventory::example()).unwrap().release.unwrap();
    let now: Timestamp = NOW.parse().unwrap();
    let window = plan.open(now).unwrap();
    let file = Digest::of(b"the file");
    let release = Release {
        id: "2026-11-28".parse().unwrap(),
        planned: "2026-11-13T10:00:00Z".parse().unwrap(),
        by: "alice".parse().unwrap(),
        emergency: None,
        sets: Vec::new(),
    };
    let notice = Notice {
        schema: super::super::notice::SCHEMA,
        release: release.id.clone(),
        sha256: file.clone(),
        environment: Environment::Prod,
        opens: window.opens.timestamp(),
        closes: window.closes.timestamp(),
        sent: "2026-11-26T21:00:00Z".parse().unwrap(),
        by: "alice".parse().unwrap(),
        to: vec!["ops@example.com".to_owned()],
        message: "x@palisade.invalid".to_owned(),
        server: "smtp.example.com:587".to_owned(),
        answer: "2.0.0 OK".to_owned(),
    };
    let host = |name: &str| (name.parse().unwrap(), Ok(history(&DONE, "2026-11-25T10:00:00Z", &file)));
    Asked { now, plan, before: vec![host("web-1"), host("db-1")], notices: vec![notice], release, file }
}

impl Asked {
    fn refuse(&self, environment: Environment, emergency: bool) -> Vec<Refusal> {
        let reason = Reason::lossy("CVE-2026-1234 is exploited");
        refuse(&GateInput {
            now: self.now,
            environment,
            plan: &self.plan,
            release: &self.release,
            file: &self.file,
            notices: &self.notices,
            before: &self.before,
            emergency: emergency.then_some(&reason),
        })
    }
}

/// What a case changes, by its name.
fn change(asked: &mut Asked, fault: &str) {
    let file = asked.file.clone();
    let mut first = |history: Result<History, String>| asked.before[0].1 = history;
    match fault {
        "nothing" => {}
        "no host before" => asked.before.clear(),
        "one is silent" => first(Err("connection refused".to_owned())),
        "one never had it" => first(Ok(History::default())),
        "one began it" => first(Ok(history(&["begun"], "2026-11-25T10:00:00Z", &file))),
        "one failed" => {
            first(Ok(history(&["begun", "failed disk-full no space left"], "2026-11-25T10:00:00Z", &file)));
        }
        "one is broken" => first(Ok(history(&["completed"], "2026-11-25T10:00:00Z", &file))),
        "one has another file" => first(Ok(history(&DONE, "2026-11-25T10:00:00Z", &Digest::of(b"other")))),
        "one has a wrong clock" => first(Ok(history(&DONE, "2025-11-25T10:00:00Z", &file))),
        "one came late" => first(Ok(history(&DONE, "2026-11-26T22:00:01Z", &file))),
        "frozen everywhere" => asked.plan.freezes.push(crate::calendar::Freeze {
            from: "2026-11-27".parse().unwrap(),
            to: "2026-11-29".parse().unwrap(),
            reason: "sales".to_owned(),
            environments: Environment::ALL.into(),
        }),
        "a holiday" => {
            asked.plan.holidays.insert("2026-11-28".parse().unwrap());
        }
        "before the window" => asked.now = "2026-11-28T20:59:59Z".parse().unwrap(),
        "after the window" => asked.now = "2026-11-29T01:00:00Z".parse().unwrap(),
        "no notice" => asked.notices.clear(),
        "a late notice" => asked.notices[0].sent = "2026-11-26T21:00:01Z".parse().unwrap(),
        "notice of another file" => asked.notices[0].sha256 = Digest::of(b"other"),
        "notice for test" => asked.notices[0].environment = Environment::Test,
        other => panic!("{other}"),
    }
}

/// The fault; which gates shut for test, for prod, and for prod in an emergency.
type Row = (&'static str, &'static [Gate], &'static [Gate], &'static [Gate]);

#[test]
fn each_gate_asks_where_it_shall() {
    let table: [Row; 18] = [
        ("nothing", &[], &[], &[]),
        ("no host before", &[Gate::Promotion], &[Gate::Promotion], &[Gate::Promotion]),
        ("one is silent", &[Gate::Promotion], &[Gate::Promotion], &[Gate::Promotion]),
        ("one never had it", &[Gate::Promotion], &[Gate::Promotion], &[Gate::Promotion]),
        ("one began it", &[Gate::Promotion], &[Gate::Promotion], &[Gate::Promotion]),
        ("one failed", &[Gate::Promotion], &[Gate::Promotion], &[Gate::Promotion]),
        ("one is broken", &[Gate::Promotion], &[Gate::Promotion], &[Gate::Promotion]),
        ("one has another file", &[Gate::Promotion], &[Gate::Promotion], &[Gate::Promotion]),
        ("one has a wrong clock", &[Gate::Promotion], &[Gate::Promotion], &[Gate::Promotion]),
        ("one came late", &[], &[Gate::Soak], &[]),
        ("frozen everywhere", &[Gate::Freeze], &[Gate::Freeze], &[Gate::Freeze]),
        ("a holiday", &[], &[Gate::Window], &[]),
        ("before the window", &[], &[Gate::Window], &[]),
        ("after the window", &[], &[Gate::Window], &[]),
        ("no notice", &[], &[Gate::Notice], &[]),
        ("a late notice", &[], &[Gate::Notice], &[]),
        ("notice of another file", &[], &[Gate::Notice], &[]),
        ("notice for test", &[], &[Gate::Notice], &[]),
    ];
    for (fault, test, prod, hasty) in table {
        let mut asked = asked();
        change(&mut asked, fault);
        let shut = |environment, emergency| -> Vec<Gate> {
            asked.refuse(environment, emergency).iter().map(|refusal| refusal.gate).collect()
        };
        let dev: &[Gate] = if fault == "frozen everywhere" { &[Gate::Freeze] } else { &[] };
        assert_eq!(shut(Environment::Dev, false), dev, "{fault}: dev");
        assert_eq!(shut(Environment::Dev, true), dev, "{fault}: dev, emergency");
        assert_eq!(shut(Environment::Test, false), test, "{fault}: test");
        assert_eq!(shut(Environment::Test, true), test, "{fault}: test, emergency");
        assert_eq!(shut(Environment::Prod, false), prod, "{fault}: prod");
        assert_eq!(shut(Environment::Prod, true), hasty, "{fault}: prod, emergency");
    }
}

#[test]
fn every_shut_gate_is_named_at_once() {
    let mut asked = asked();
    for fault in ["one failed", "no notice"] {
        change(&mut asked, fault);
    }
    asked.before[1].1 = Err("no route".to_owned());
    let gates: Vec<Gate> =
        asked.refuse(Environment::Prod, false).iter().map(|refusal| refusal.gate).collect();
    assert_eq!(gates, [Gate::Promotion, Gate::Promotion, Gate::Notice]);
}

#[test]
fn a_refusal_says_what_why_since_when_and_what_to_do() {
    let text = |faults: &[&str]| -> String {
        let mut asked = asked();
        for fault in faults {
            change(&mut asked, fault);
        }
        let lines = asked.refuse(Environment::Prod, false);
        lines.iter().map(|refusal| format!("{refusal}\n  {}\n", refusal.fix)).collect::<Vec<_>>().concat()
    };
    let mut all = String::new();
    for faults in [
        &["no host before"][..],
        &["one is silent"],
        &["one never had it"],
        &["one began it"],
        &["one failed"],
        &["one is broken"],
        &["one has another file"],
        &["one has a wrong clock"],
        &["one came late"],
        &["frozen everywhere"],
        &["a holiday"],
        &["before the window"],
        &["no notice"],
        &["a late notice"],
    ] {
        all.push_str(&text(faults));
    }
    support::generated("tests/snapshots/release-gates.txt", &all);
}

#[test]
fn the_edges_of_soak_and_notice_count() {
    // 48 hours to the second.
    let mut asked = asked();
    asked.before[0].1 = Ok(history(&DONE, "2026-11-26T22:00:00Z", &asked.file.clone()));
    assert_eq!(asked.refuse(Environment::Prod, false), []);
    // A second notice that came too late takes nothing from the first.
    let mut late = asked.notices[0].clone();
    late.sent = "2026-11-28T20:00:00Z".parse().unwrap();
    asked.notices.push(late);
    assert_eq!(asked.refuse(Environment::Prod, false), []);
}
