//! What must hold for any bytes: a word comes out of a real shell as it went in, and no answer of a host, however cut,
//! flooded or forged, is taken for more than it says; files of a project, plans and records are read whole, or refused in
//! words that can be shown. Cases go to the shell many at a time.

use std::collections::BTreeMap;
use std::process::Stdio;

use palisade::domain::{Digest, Environment, Identifier};
use palisade::inventory::{self, IDENTITIES_FILE, Identities, LAB_FILE, LabMarker};
use palisade::plan::{HostPlan, Plan};
use palisade::playbook;
use palisade::probe;
use palisade::program::Program;
use palisade::record::{self, Counts, Footer, Header, Line, Summary};
use palisade::resource::{Phase, Step};
use palisade::shell::{self, Arg, Exit, FrameError, Nonce, Output, Question, Script};
use palisade::source::{Refusal, Sources};
use palisade::store;
use palisade::transaction::{Outcome, Replies};
use palisade::waiver::Waivers;
use proptest::prelude::*;
use proptest::sample::Index;
use support::Needs;

support::tests! {
    Needs::programs(&[Program::Sh, Program::Bash]) => [
        a_word_comes_out_of_a_shell_as_it_went_in,
    ],
    Needs::NOTHING => [
        what_does_not_know_the_nonce_is_no_answer,
        an_answer_is_the_first_whole_one,
        a_cut_answer_is_missing,
        marks_within_an_answer_are_refused,
        an_answer_as_long_as_its_cap_is_none,
        a_cut_reply_says_nothing_else,
        facts_are_whole_or_unread,
        a_flood_is_searched_in_one_pass,
        a_broken_file_is_refused_where_it_is_and_harmlessly,
        a_touched_plan_is_not_taken,
        a_touched_record_is_never_whole,
    ],
}

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

fn run(shell: Program, script: &Script) -> Vec<u8> {
    use std::io::Write as _;
    let mut child = shell
        .command()
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
    fn a_word_comes_out_of_a_shell_as_it_went_in(words in prop::collection::vec(word(), 60)) {
        let args = || words.iter().map(|word| Arg::new(word.as_str()).unwrap());
        let mut script = Script::new().call("printf '%s\\0'", args());
        for arg in args() {
            script = script.set("value", arg).text("printf '%s\\0' \"$value\"");
        }
        let inner = Script::new().call("printf '%s\\0'", args());
        let script = script.call_with_script("/bin/sh -c", [], &inner);
        let expected: Vec<u8> = (0..3).flat_map(|_| &words).flat_map(|word| [word.as_bytes(), b"\0"].concat()).collect();
        for shell in [Program::Sh, Program::Bash] {
            prop_assert!(run(shell, &script) == expected, "{shell:?}: {:?}", words);
        }
    }
}

const NONCE: [u8; 16] = *b"\x00\x01 not guessed \xff";

fn question(label: &'static str, cap: usize) -> Question {
    Question { label, body: Script::new().into(), seconds: 1, cap }
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
    fn what_does_not_know_the_nonce_is_no_answer(stdout in noise(), stderr in noise()) {
        let nonce = Nonce::new(NONCE);
        let output = output(stdout, stderr);
        prop_assert_eq!(shell::frame(&output, &nonce, &question("a", 1000)), Err(FrameError::Missing("a".into())));
        prop_assert!(probe::read_facts(&nonce, &output).is_err());
        prop_assert_eq!(Replies::read(&output, &nonce).outcome(), None);
    }

    /// Noise before, between and behind changes nothing: neither forged marks nor another frame of the same name.
    fn an_answer_is_the_first_whole_one(before in noise(), body in noise(), behind in noise(), status in 0_u32..124) {
        let nonce = Nonce::new(NONCE);
        let stdout = [before.clone(), framed(&nonce, "a", &body, status), behind.clone(), framed(&nonce, "a", b"second", 0)].concat();
        let stderr = [behind, framed(&nonce, "a", b"said", status), before].concat();
        let frame = shell::frame(&output(stdout, stderr), &nonce, &question("a", 10_000)).unwrap();
        prop_assert_eq!((frame.stdout, frame.stderr, frame.status), (body, b"said".to_vec(), status));
    }

    /// However an answer is cut, it is missing, never a shorter one or one that ended otherwise.
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

    fn an_answer_as_long_as_its_cap_is_none(length in 0_usize..40) {
        let nonce = Nonce::new(NONCE);
        let answer = framed(&nonce, "a", &vec![b'x'; length], 0);
        let frame = shell::frame(&output(answer.clone(), answer), &nonce, &question("a", 20));
        prop_assert_eq!(frame.is_ok(), length < 20);
    }

    /// A transaction's reply that is cut says nothing, or what the whole one says.
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
fn a_flood_is_searched_in_one_pass() {
    let nonce = Nonce::new([0; 16]);
    let flood = vec![b'0'; 16 << 20];
    let begun = std::time::Instant::now();
    for label in ["a", "b", "c", "d"] {
        let output = output(flood.clone(), flood.clone());
        assert_eq!(
            shell::frame(&output, &nonce, &question(label, 1000)),
            Err(FrameError::Missing(label.into()))
        );
        let body = framed(&nonce, label, &b"\n0000000000000000 ".repeat(1 << 19), 0);
        assert!(shell::frame(&self::output(body.clone(), body), &nonce, &question(label, 1 << 24)).is_ok());
    }
    // Half a second on a slow machine; searched window by window it takes 40 s and more.
    assert!(begun.elapsed().as_secs() < 35, "{:?}", begun.elapsed());
}

/// The files of a project that the parsers read, and a playbook and waivers of its own.
const FILES: [(&str, &str); 8] = [
    ("inventories/fleet.yaml", include_str!("../../inventories/fleet.yaml")),
    ("inventories/dev.yaml", include_str!("../../inventories/dev.yaml")),
    ("inventories/test.yaml", include_str!("../../inventories/test.yaml")),
    ("inventories/prod.yaml", include_str!("../../inventories/prod.yaml")),
    ("playbooks/baseline.yaml", include_str!("../../playbooks/baseline.yaml")),
    (
        "inventories/waivers.yaml",
        "- {control: firewall, hosts: [db-1, role:web], owner: Alice Martin, reason: a test, expires: 2026-12-31}\n",
    ),
    (
        "inventories/identities.yaml",
        "hosts:\n  web-1: {machine_id: \"0123456789abcdef0123456789abcdef\", environment: prod, distribution: debian-12, \
         enrolled: \"2026-11-01T10:00:00Z\", by: alice}\n",
    ),
    ("inventories/lab.yaml", "subnets: [10.20.0.0/16]\n"),
];

/// Everything that is refused of `sources`, whichever parser says so.
fn refused(sources: &Sources) -> Vec<Refusal> {
    let (fleet, playbook) = (inventory::parse(sources), playbook::parse(sources));
    let mut all: Vec<Refusal> = Vec::new();
    if let (Ok(fleet), Ok(playbook)) = (&fleet, &playbook) {
        all.extend(Waivers::parse(sources, fleet, playbook).err().into_iter().flatten());
    }
    let identities = sources.get(IDENTITIES_FILE).map(Identities::parse);
    let marker = sources.get(LAB_FILE).map(LabMarker::parse);
    all.extend(fleet.err().into_iter().flatten());
    all.extend(playbook.err().into_iter().flatten());
    all.extend(identities.and_then(Result::err).into_iter().flatten());
    all.extend(marker.and_then(Result::err).into_iter().flatten());
    all
}

/// `bytes` with `length` of them at `place` replaced by `noise`.
fn damaged(bytes: &[u8], place: Index, length: usize, noise: &[u8]) -> Vec<u8> {
    let from = place.index(bytes.len() + 1);
    let behind = bytes.get((from + length).min(bytes.len())..).unwrap_or_default();
    [bytes.get(..from).unwrap_or_default(), noise, behind].concat()
}

/// Pieces of YAML, and bytes that are no text.
fn pieces() -> impl Strategy<Value = Vec<u8>> {
    let tricky = prop::sample::select(vec![
        &b"\xff"[..],
        b"\xc3",
        b"\0",
        b"\t",
        b"\x1b[2J",
        b"\xe2\x80\xae",
        b"\xef\xbb\xbf",
        b"\n",
        b": ",
        b"- ",
        b"? ",
        b"{",
        b"}",
        b"[",
        b"]",
        b"&a ",
        b"*a",
        b"!t ",
        b"|\n",
        b">-\n",
        b"'",
        b"\"",
        b"#",
        b"%",
        b"---\n",
        b"...\n",
        b"<<: ",
        b"{{ x }}",
        b"$(x)",
        b"~",
        b"null",
        b"no",
        b"0777",
        b"1e3",
        b"\\x",
        b"\"\\u202e\"",
    ])
    .prop_map(<[u8]>::to_vec);
    prop::collection::vec(prop_oneof![4 => tricky, 1 => prop::collection::vec(any::<u8>(), 0..4)], 0..4)
        .prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 160, failure_persistence: None, ..ProptestConfig::default() })]

    /// However a file is broken, it is read, or refused at a place that it has, in words that can be shown.
    fn a_broken_file_is_refused_where_it_is_and_harmlessly(
        file in 0..FILES.len(), place in any::<Index>(), length in 0_usize..30, noise in pieces(),
    ) {
        let (path, text) = FILES.into_iter().nth(file).unwrap_or_default();
        let broken = damaged(text.as_bytes(), place, length, &noise);
        let lines = broken.split(|byte| *byte == b'\n').count();
        let sources = FILES.iter().fold(Sources::new(), |sources, (path, text)| sources.with(path, *text)).with(path, broken);
        for refusal in refused(&sources) {
            prop_assert!(refusal.file != path || (1..=lines).contains(&refusal.line), "{refusal}");
            prop_assert!(!refusal.why.is_empty() && !refusal.fix.is_empty(), "{refusal}");
            let shown = format!("{refusal}{}{}", refusal.annotated(false), serde_json::json!(refusal));
            prop_assert!(!shown.contains(['\u{1b}', '\u{202e}', '\t', '\0', '\r']), "{shown:?}");
        }
    }

    /// A plan whose file was touched says the same as before, or is not taken.
    fn a_touched_plan_is_not_taken(place in any::<Index>(), length in 0_usize..4, noise in prop::collection::vec(any::<u8>(), 0..3)) {
        let made: jiff::Timestamp = "2026-11-28T22:00:00Z".parse().unwrap_or_default();
        let inputs = Digest::of(b"inputs");
        let step = Step {
            phase: Phase::Package,
            summary: "install nftables".to_owned(),
            change: serde_json::from_str(r#"{"type": "package", "name": "nftables"}"#).map_err(fail)?,
            cuts: vec!["undeclared listener tcp 0.0.0.0:8000".to_owned()],
        };
        let host = HostPlan {
            host: "web-1".parse().map_err(fail)?,
            machine_id: "0123456789abcdef0123456789abcdef".parse().map_err(fail)?,
            desired: Digest::of(b"desired"),
            steps: vec![step],
            cuts: Vec::new(),
            closes: Vec::new(),
            obstacles: Vec::new(),
            blocked: Vec::new(),
        };
        let plan = Plan::new("0.1.0", Environment::Prod, made, inputs.clone(), vec![host]);
        prop_assert!(plan.fresh("0.1.0", &inputs, made).is_ok());
        let bytes = serde_json::to_vec_pretty(&plan).map_err(fail)?;
        if let Ok(touched) = serde_json::from_slice::<Plan>(&damaged(&bytes, place, length, &noise)) {
            prop_assert!(touched == plan || touched.fresh("0.1.0", &inputs, made).is_err(), "{touched:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    /// A record that was cut or touched is listed as such, or not at all; a journal in the same state is never gone on with
    /// as another.
    fn a_touched_record_is_never_whole(place in any::<Index>(), length in 0_usize..40, noise in pieces()) {
        let root = tempfile::tempdir().map_err(fail)?;
        let run: Identifier = "20261128t220000123z-1a2b3c4d".parse().map_err(fail)?;
        let name = store::folder_name(&run, Environment::Prod, "audit");
        let at: jiff::Timestamp = "2026-11-28T22:00:00Z".parse().map_err(fail)?;
        let header = Header {
            schema: record::SCHEMA,
            run: run.clone(),
            tool: "0.1.0".to_owned(),
            verb: "audit".to_owned(),
            environment: Environment::Prod,
            by: None,
            from: "laptop".to_owned(),
            began: at,
            inputs: BTreeMap::new(),
            hosts: vec!["web-1".to_owned()],
            controls: Vec::new(),
            plan: None,
        };
        let end = Footer {
            ended: at,
            exit: 0,
            summary: Counts::Judged(Summary::default()),
            interrupted: false,
            jump_connections: BTreeMap::new(),
        };
        let lines = [Line::Run(&header), Line::End(&end)].map(|line| line.to_text().map_err(fail));
        let text = lines.into_iter().collect::<Result<Vec<_>, _>>()?.join("\n") + "\n";
        let folder = store::write_run(root.path(), &name, &run, &text).map_err(fail)?;
        let touched = damaged(text.as_bytes(), place, length, &noise);
        std::fs::write(folder.join(store::RECORD), &touched).map_err(fail)?;
        for listed in store::list_runs(root.path()).map_err(fail)? {
            prop_assert_eq!(listed.intact, touched == text.as_bytes(), "{}", String::from_utf8_lossy(&touched));
        }
        let open = root.path().join("runs").join(".20261128t220000123z-prod-apply-1a2b3c4d.open");
        std::fs::create_dir_all(&open).map_err(fail)?;
        std::fs::write(open.join("state.json"), &touched).map_err(fail)?;
        prop_assert!(store::list_unfinished(root.path()).iter().all(|unfinished| unfinished.open.is_err()));
    }
}

fn fail(error: impl std::fmt::Display) -> TestCaseError {
    TestCaseError::fail(error.to_string())
}
