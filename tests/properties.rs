//! What must hold for any bytes: a word comes out of a real shell as it went in, and no answer of a host, however cut,
//! flooded or forged, is taken for more than it says. Cases go to the shell many at a time.

use std::process::{Command, Stdio};

use palisade::domain::Identifier;
use palisade::probe;
use palisade::shell::{self, Arg, Exit, FrameError, Nonce, Output, Question, Script};
use palisade::transaction::{Outcome, Replies};
use proptest::prelude::*;

/// Text that shells and terminals stumble over, and any other; never NUL.
fn word() -> impl Strategy<Value = String> {
    let tricky = prop::sample::select(vec![
        "'", "\"", "\\", "$", "`", "$(", "${", "!", "\n", "\r", "\t", "\u{1b}", "\u{7f}", " ", "-", "*", "~",
        ";", "&", "|", "<<EOF", "\u{81}", "\u{88}", "é", "\u{202e}", "日", "%s", "\\n", "\\0", "}", "{", "#",
        "=", "'\\''",
    ])
    .prop_map(str::to_owned);
    let any = any::<String>().prop_map(|text| text.replace('\0', "0"));
    prop::collection::vec(prop_oneof![4 => tricky, 1 => any], 0..8).prop_map(|parts| parts.concat())
}

#[expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test of what real shells do with the text, which fails by panicking"
)]
fn run(shell: &str, script: &Script) -> Vec<u8> {
    use std::io::Write as _;
    let mut child = Command::new(shell)
        .arg("-s")
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("LC_ALL", "C")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let text = script.to_stdin();
    let feed = std::thread::spawn(move || stdin.write_all(text.as_bytes()));
    let done = child.wait_with_output().unwrap();
    feed.join().unwrap().unwrap();
    assert!(done.status.success());
    done.stdout
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// As arguments, as a variable's value, and in a script within a script, which is quoted twice.
    #[test]
    fn a_word_comes_out_of_a_shell_as_it_went_in(words in prop::collection::vec(word(), 60)) {
        let args = || words.iter().map(|word| Arg::new(word.as_str()).unwrap());
        let mut script = Script::new().call("printf '%s\\0'", args());
        for arg in args() {
            script = script.set("value", arg).text("printf '%s\\0' \"$value\"");
        }
        let inner = Script::new().call("printf '%s\\0'", args());
        let script = script.call_with_script("/bin/sh -c", [], &inner);
        let expected: Vec<u8> = (0..3).flat_map(|_| &words).flat_map(|word| [word.as_bytes(), b"\0"].concat()).collect();
        for shell in ["/bin/sh", "/bin/bash"] {
            prop_assert!(run(shell, &script) == expected, "{shell}: {:?}", words);
        }
    }
}

const NONCE: [u8; 16] = *b"\x00\x01 not guessed \xff";

fn question(label: &'static str, cap: usize) -> Question {
    Question { label, body: Script::new(), seconds: 1, cap }
}

/// What a host sends that answers `label` with `body`.
fn framed(nonce: &Nonce, label: &str, body: &[u8], status: u32) -> Vec<u8> {
    let nonce = nonce.as_str();
    [
        format!("\n{nonce} begin {label}\n").as_bytes(),
        body,
        format!("\n{nonce} end {label} {status}\n").as_bytes(),
    ]
    .concat()
}

fn output(stdout: Vec<u8>, stderr: Vec<u8>) -> Output {
    Output { exit: Exit::Status(0), stdout, stderr }
}

/// Bytes, often with pieces of what frames are made of, but never with the nonce.
fn noise() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..20),
        prop::sample::select(vec![
            "\n",
            " begin a\n",
            " end a 0\n",
            " begin b\n",
            "00000000000000000000000000000000",
            "\n00000000000000000000000000000000 begin a\n",
            "\n00000000000000000000000000000000 end a 0\n",
            "\u{1b}[2J",
            "0",
            "124",
        ])
        .prop_map(|text| text.as_bytes().to_vec()),
    ];
    prop::collection::vec(piece, 0..12).prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn what_does_not_know_the_nonce_is_no_answer(stdout in noise(), stderr in noise()) {
        let nonce = Nonce::new(NONCE);
        let output = output(stdout, stderr);
        prop_assert_eq!(shell::frame(&output, &nonce, &question("a", 1000)), Err(FrameError::Missing("a".into())));
        prop_assert!(probe::read_facts(&nonce, &output).is_err());
        prop_assert_eq!(Replies::read(&output, &nonce).outcome(), None);
    }

    /// Noise before, between and behind changes nothing: neither forged marks nor another frame of the same name.
    #[test]
    fn an_answer_is_the_first_whole_one(before in noise(), body in noise(), behind in noise(), status in 0_u32..124) {
        let nonce = Nonce::new(NONCE);
        let stdout = [before.clone(), framed(&nonce, "a", &body, status), behind.clone(), framed(&nonce, "a", b"second", 0)].concat();
        let stderr = [behind, framed(&nonce, "a", b"said", status), before].concat();
        let frame = shell::frame(&output(stdout, stderr), &nonce, &question("a", 10_000)).unwrap();
        prop_assert_eq!((frame.stdout, frame.stderr, frame.status), (body, b"said".to_vec(), status));
    }

    /// However an answer is cut, it is missing, never a shorter one or one that ended otherwise.
    #[test]
    fn a_cut_answer_is_missing(body in noise(), status in prop::sample::select(vec![0_u32, 1, 12, 124, 127, 137])) {
        let nonce = Nonce::new(NONCE);
        let whole = framed(&nonce, "a", &body, status);
        let asked = question("a", 10_000);
        for length in 0..whole.len() {
            let cut = whole[..length].to_vec();
            for output in [output(cut.clone(), whole.clone()), output(whole.clone(), cut)] {
                prop_assert_eq!(shell::frame(&output, &nonce, &asked), Err(FrameError::Missing("a".into())));
            }
        }
        match shell::frame(&output(whole.clone(), whole), &nonce, &asked) {
            Ok(frame) => prop_assert!(frame.status == status && frame.stdout == body),
            Err(error) => prop_assert!(matches!((status, error), (124 | 137, FrameError::TimedOut(_)))),
        }
    }

    /// The right nonce where no mark belongs: the answer is refused whole, and the others stay as they are.
    #[test]
    fn marks_within_an_answer_are_refused(body in noise(), mark in prop::sample::select(vec![" begin b\n", " end b 0\n", " begin a\n", ""])) {
        let nonce = Nonce::new(NONCE);
        let forged = [body.as_slice(), b"\n", nonce.as_str().as_bytes(), mark.as_bytes()].concat();
        let stdout = [framed(&nonce, "a", &forged, 0), framed(&nonce, "b", b"real", 0)].concat();
        let output = output(stdout, [framed(&nonce, "a", b"", 0), framed(&nonce, "b", b"", 0)].concat());
        prop_assert_eq!(shell::frame(&output, &nonce, &question("a", 10_000)), Err(FrameError::Malformed("a".into())));
        if mark != " begin b\n" && mark != " end b 0\n" {
            prop_assert_eq!(shell::frame(&output, &nonce, &question("b", 10_000)).unwrap().stdout, b"real".to_vec());
        }
    }

    #[test]
    fn an_answer_as_long_as_its_cap_is_none(length in 0_usize..40) {
        let nonce = Nonce::new(NONCE);
        let answer = framed(&nonce, "a", &vec![b'x'; length], 0);
        let frame = shell::frame(&output(answer.clone(), answer), &nonce, &question("a", 20));
        prop_assert_eq!(frame.is_ok(), length < 20);
    }

    /// A transaction's reply that is cut says nothing, or what the whole one says.
    #[test]
    fn a_cut_reply_says_nothing_else(left in 10_u32..100_000, place in 0_usize..200, word in prop::sample::select(vec!["confirmed", "rolled-back", "rollback-failed", "none"])) {
        let nonce = Nonce::new(NONCE);
        let id: Identifier = "0-abc-12".parse().unwrap();
        for text in [format!("outcome pending {left}"), format!("outcome {word} {left}"), format!("confirmed {id} {left}")] {
            let whole = format!("{} {text}\n", nonce.as_str()).into_bytes();
            let cut = whole[..place.min(whole.len() - 1)].to_vec();
            let whole = Replies::read(&output(whole, Vec::new()), &nonce);
            let cut = Replies::read(&output(cut, Vec::new()), &nonce);
            prop_assert!(whole.outcome().is_some() || whole.expect("confirmed", &id).is_ok());
            prop_assert_eq!(cut.outcome(), None::<Outcome>);
            prop_assert!(cut.expect("confirmed", &id).is_err());
        }
    }

    /// What a host says of itself: read whole or not at all, and shown without a single control character.
    #[test]
    fn facts_are_whole_or_unread(cut in 0_usize..400, extra in noise()) {
        let nonce = Nonce::new(NONCE);
        let extra = String::from_utf8_lossy(&extra).replace(nonce.as_str(), "");
        let text = format!(
            "machine-id\t0123456789abcdef0123456789abcdef\nboot-id\t01234567-89ab-cdef-0123-456789abcdef\ndistribution\tdebian-12\u{1b}\nuid\t0\n\
             lease-who\t{extra}\ndpkg-audit\t{extra}\nread-only\t/\u{1b}\nend\tfacts\n",
        );
        let whole = text.as_bytes();
        let read = |body: &[u8]| probe::read_facts(&nonce, &output(framed(&nonce, "facts", body, 0), framed(&nonce, "facts", b"", 0)));
        let facts = read(whole).unwrap();
        let shown = serde_json::to_value(&facts).unwrap();
        let mut strings = Vec::new();
        collect(&shown, &mut strings);
        prop_assert!(!strings.iter().any(|text| text.chars().any(palisade::text::is_deceptive)), "{strings:?}");
        if cut + 1 < whole.len() {
            let text = &whole[..cut];
            prop_assert!(read(text).is_err(), "{}", String::from_utf8_lossy(text));
        }
    }
}

fn collect(value: &serde_json::Value, into: &mut Vec<String>) {
    match value {
        serde_json::Value::String(text) => into.push(text.clone()),
        serde_json::Value::Array(items) => items.iter().for_each(|item| collect(item, into)),
        serde_json::Value::Object(fields) => fields.values().for_each(|field| collect(field, into)),
        _ => {}
    }
}

/// As long as a transport lets through, of what a search likes least: it must not be searched again for every byte.
#[test]
fn a_flood_is_searched_in_one_pass() {
    let nonce = Nonce::new([0; 16]);
    let flood = vec![b'0'; 16 << 20];
    let begun = begun();
    for label in ["a", "b", "c", "d"] {
        let output = output(flood.clone(), flood.clone());
        assert_eq!(
            shell::frame(&output, &nonce, &question(label, 1000)),
            Err(FrameError::Missing(label.into()))
        );
        let body = framed(&nonce, label, &b"\n0000000000000000 ".repeat(1 << 19), 0);
        assert!(shell::frame(&self::output(body.clone(), body), &nonce, &question(label, 1 << 24)).is_ok());
    }
    // Half a second on a slow machine; the window-by-window search of before took 40 s.
    assert!(begun.elapsed().as_secs() < 15, "{:?}", begun.elapsed());
}

#[expect(clippy::disallowed_methods, reason = "a test of how long something takes")]
fn begun() -> std::time::Instant {
    std::time::Instant::now()
}
