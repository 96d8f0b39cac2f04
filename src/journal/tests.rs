//! Journals as hosts keep them: whole, torn, foreign, and with lines that stand where none may.

use proptest::prelude::*;
use proptest::sample::Index;

use super::*;

const ONE: &str = "11111111-2222-3333-4444-555555555555";
const TWO: &str = "99999999-2222-3333-4444-555555555555";

/// A journal of these events, a minute apart, in the first boot but for those behind a `!`.
fn text(events: &[&str]) -> String {
    let line = |(at, event): (usize, &&str)| {
        let (boot, event) = event.strip_prefix('!').map_or((ONE, *event), |event| (TWO, event));
        let (a, b) = ("a".repeat(64), "b".repeat(64));
        let event = event.replace("AAA", &a).replace("BBB", &b);
        format!("{} {boot} {event}\n", 1_795_903_200 + 60 * at)
    };
    events.iter().enumerate().map(line).collect()
}

fn state(events: &[&str]) -> String {
    match Journal::parse(text(events).as_bytes()).map(|journal| journal.state()) {
        Err(broken) => broken.to_string(),
        Ok(State::Untouched) => "untouched".to_owned(),
        Ok(State::Underway { after, .. }) => format!("after {after}"),
        Ok(State::Failed { word, reason, .. }) => format!("{word}: {reason}"),
        Ok(State::Completed(completion)) => {
            format!("completed {:.1} by {} in {}", completion.sha256.as_str(), completion.by, completion.run)
        }
    }
}

const BEGUN: &str = "begun AAA alice r-1";

const WHOLE: [&str; 10] = [
    BEGUN,
    "emergency CVE-2026-1234 is exploited",
    "carried",
    "installing",
    "installed",
    "restarted cron.service",
    "reboot-asked",
    "!rebooted",
    "!checked",
    "!completed",
];

#[test]
fn a_journal_is_read_as_it_was_written() {
    let journal = Journal::parse(text(&WHOLE).as_bytes()).unwrap();
    assert_eq!(journal.to_text(), text(&WHOLE));
    assert_eq!(journal.emergency().unwrap().as_str(), "CVE-2026-1234 is exploited");
    let completion = journal.completion().unwrap();
    assert_eq!(completion.sha256.as_str(), "a".repeat(64));
    assert_eq!((completion.by.as_str(), completion.run.as_str()), ("alice", "r-1"));
    assert_eq!(completion.at.as_second(), 1_795_903_200 + 9 * 60);
}

#[test]
fn how_far_it_is_follows_from_the_last_line() {
    for (events, expected) in [
        (&[][..], "untouched"),
        (&[BEGUN], "after begun"),
        (&[BEGUN, "carried", "installing"], "after installing"),
        (&[BEGUN, "failed disk-full no space left on /var"], "disk-full: no space left on /var"),
        (&[BEGUN, "failed x y", "installing"], "after installing"),
        (
            &[BEGUN, "installed", "failed x y", "begun AAA bob r-2", "checked", "completed"],
            "completed a by bob in r-2",
        ),
        (&[BEGUN, "installed", "checked", "completed", "begun AAA bob r-2"], "after begun"),
        (
            &[BEGUN, "failed x y", "begun BBB bob r-2", "installed", "checked", "completed"],
            "completed b by bob in r-2",
        ),
    ] {
        assert_eq!(state(events), expected, "{events:?}");
    }
}

#[test]
fn what_stands_where_it_may_not_makes_the_journal_say_nothing() {
    let twice = "begun AAA alice r-1\u{20}extra";
    for (events, why) in [
        (&["carried"][..], "line 1 says `carried` before anything was begun"),
        (&[BEGUN, "completed"], "line 2 says `completed` without `checked`"),
        (&[BEGUN, "checked", "completed"], "line 3 says `completed` without `installed`"),
        (&[BEGUN, "installed", "completed"], "line 3 says `completed` without `checked`"),
        (&[BEGUN, "installed", "checked", "failed x y", "completed"], "without `checked`"),
        (&[BEGUN, "installed", "checked", "begun AAA bob r-2", "completed"], "without `checked`"),
        (&[BEGUN, "checked", "installed", "completed"], "without `checked`"),
        (&[BEGUN, "installed", "begun BBB alice r-2", "checked", "completed"], "without `installed`"),
        (&[BEGUN, "installed", "installing", "checked", "completed"], "without `installed`"),
        (&[BEGUN, "installed", "checked", "completed", "checked"], "line 5 says `checked` behind the end"),
        (&[BEGUN, "rebooted"], "line 2 says `rebooted` where no reboot was asked for"),
        (&[BEGUN, "reboot-asked", "rebooted"], "in the boot in which it was asked for"),
        (&[BEGUN, "done"], "line 2 is none of its events"),
        (&[BEGUN, "completed now"], "line 2 is none of its events"),
        (&[BEGUN, "carried "], "line 2 is none of its events"),
        (&["begun AAA alice"], "line 1 is none of its events"),
        (&["begun AAA Alice r-1"], "line 1 is none of its events"),
        (&["begun aaa alice r-1"], "line 1 is none of its events"),
        (&[twice], "line 1 is none of its events"),
        (&[BEGUN, "restarted cron"], "line 2 is none of its events"),
        (&[BEGUN, "failed disk-full"], "line 2 is none of its events"),
        (&[BEGUN, "failed x a\u{1b}[2Jb"], r"line 2 is none of its events"),
    ] {
        let said = state(events);
        assert!(said.contains(why), "{events:?}: {said}");
    }
}

#[test]
fn foreign_bytes_make_it_say_nothing() {
    let whole = text(&WHOLE);
    for foreign in [
        whole.replace('\n', "\r\n"),
        whole.replacen('\n', "\n\n", 1),
        format!("\u{feff}{whole}"),
        whole.replacen("1795903200 ", "01795903200 ", 1),
        whole.replacen("1795903200 ", "-1795903200 ", 1),
        whole.replacen("1795903200 ", "1795903200  ", 1),
        whole.replacen("1795903200 ", "999999999999 ", 1),
        whole.replacen(ONE, "not-a-boot", 1),
        format!("{whole}\0\n"),
        "x".repeat(LARGEST + 1),
    ] {
        assert!(Journal::parse(foreign.as_bytes()).is_err(), "{foreign:.80}");
    }
    let mut bytes = whole.into_bytes();
    bytes.extend_from_slice(b"\xff\xfe\n");
    assert!(Journal::parse(&bytes).is_err());
}

#[test]
fn what_a_power_cut_left_is_dropped_and_nothing_else() {
    let whole = text(&WHOLE);
    for cut in 0..whole.len() {
        let (kept, _) = whole.split_at(cut);
        let journal = Journal::parse(kept.as_bytes()).unwrap();
        assert!(whole.starts_with(&journal.to_text()));
        assert_eq!(journal.entries().len(), kept.matches('\n').count());
        assert_eq!(journal.completion(), None, "{cut}");
    }
    let torn = [whole.as_bytes(), b"17959\0\0\xff"].concat();
    assert!(Journal::parse(&torn).unwrap().completion().is_some());
    let appended = [b"1795903200 1111", whole.as_bytes()].concat();
    assert!(Journal::parse(&appended).is_err(), "two lines became one");
}

#[test]
fn a_reboot_is_awaited_until_a_line_is_of_another_boot() {
    let awaits = |events: &[&str]| Journal::parse(text(events).as_bytes()).unwrap().awaits_reboot();
    assert!(!awaits(&[BEGUN, "installed"]));
    assert!(awaits(&[BEGUN, "installed", "reboot-asked"]));
    assert!(awaits(&[BEGUN, "installed", "reboot-asked", "failed x y"]));
    assert!(!awaits(&[BEGUN, "installed", "reboot-asked", "!rebooted"]));
    assert!(!awaits(&[BEGUN, "installed", "reboot-asked", "!begun AAA alice r-2"]));
}

#[test]
fn a_reason_is_one_harmless_line() {
    for text in ["", " ", "\n", "a\nb", "\u{1b}[31mred", "é".repeat(600).as_str(), "\u{202e}evil", " edges "]
    {
        let reason = Reason::lossy(text);
        assert_eq!(reason.as_str().parse::<Reason>().as_ref(), Ok(&reason), "{text:?}");
    }
    assert_eq!(Reason::lossy("a\nb").as_str(), "a\\nb");
    for text in ["", " x", "x ", "a\nb", "a\u{7f}b"] {
        assert!(text.parse::<Reason>().is_err(), "{text:?}");
    }
}

/// Lines that are ours and lines that are nearly so, ends of them, and any bytes.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let ours = prop::sample::select(WHOLE.to_vec()).prop_map(|event| text(&[event]).into_bytes());
    let ends = prop::sample::select(vec!["\n", " completed\n", "completed", "1 ", "\r\n", "\0", " "])
        .prop_map(|text| text.as_bytes().to_vec());
    prop_oneof![12 => ours, 1 => ends, 1 => prop::collection::vec(any::<u8>(), 0..6)]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever the bytes: a journal is exactly the lines that were written, or it says nothing; and it is completed only
    /// where its last whole line says so behind a check.
    #[test]
    fn a_journal_says_what_was_written_or_nothing(pieces in prop::collection::vec(piece(), 0..14)) {
        let bytes = pieces.concat();
        let Ok(journal) = Journal::parse(&bytes) else { return Ok(()) };
        let written = journal.to_text();
        prop_assert!(bytes.starts_with(written.as_bytes()) && !bytes[written.len()..].contains(&b'\n'));
        let words: Vec<&str> = written.lines().map(|line| line.split(' ').nth(2).unwrap_or_default()).collect();
        prop_assert_eq!(journal.completion().is_some(), words.ends_with(&["checked", "completed"]));
    }

    /// Of a journal with a byte changed no release is completed that was not before.
    #[test]
    fn a_damaged_journal_completes_nothing(place in any::<Index>(), byte in any::<u8>(), length in 1..=WHOLE.len()) {
        let mut bytes = text(&WHOLE[..length]).into_bytes();
        let before = Journal::parse(&bytes).unwrap();
        let place = place.index(bytes.len());
        bytes[place] = byte;
        let Ok(after) = Journal::parse(&bytes) else { return Ok(()) };
        prop_assert!(after.completion().is_none() || before.completion().is_some());
    }
}
