//! Scripts as a real shell runs them: what comes back of each question, what is bounded, and what a script that was cut
//! runs. How they are quoted for any bytes is asked in `tests/pure/properties.rs`.

use std::io::Write as _;
use std::process::Stdio;

use palisade::program::Program;
use palisade::shell::{Exit, FrameError, Nonce, Output, Question, Script, frame};
use support::Needs;

support::tests! {
    Needs::programs(&[Program::Sh, Program::Perl, Program::Sleep, Program::Yes]) => [
        a_frame_carries_output_status_and_stderr,
        a_body_that_hangs_or_floods_is_bounded_and_unknown,
        nobody_but_root_can_read_the_nonce_while_questions_are_asked,
        what_a_question_leaves_behind_is_not_waited_for_longer_than_it_may_take,
        what_ignores_the_end_of_its_time_is_killed,
        a_script_cut_anywhere_runs_nothing,
    ],
}

/// What becomes of `text` on a shell's standard input.
fn fed(text: &[u8]) -> Output {
    let mut shell = Program::Sh
        .command()
        .arg("-s")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    shell.stdin.take().unwrap().write_all(text).unwrap();
    let done = shell.wait_with_output().unwrap();
    Output {
        exit: done.status.code().map_or(Exit::Unknown, |code| Exit::Status(code.unsigned_abs())),
        stdout: done.stdout,
        stderr: done.stderr,
    }
}

fn asked(nonce: &Nonce, questions: &[Question]) -> Output {
    fed(Script::new().framed(nonce, questions).to_stdin().as_bytes())
}

fn question(label: &'static str, body: &'static str) -> Question {
    Question { label, body: Script::new().text(body).into(), seconds: 1, cap: 20_000 }
}

fn a_frame_carries_output_status_and_stderr() {
    let nonce = Nonce::new([7; 16]);
    let questions = [question("a", "echo out; echo err >&2; exit 3"), question("b", "printf x")];
    let output = asked(&nonce, &questions);
    let a = frame(&output, &nonce, &questions[0]).unwrap();
    assert_eq!((a.status, a.stdout.as_slice(), a.stderr.as_slice()), (3, &b"out\n"[..], &b"err\n"[..]));
    assert_eq!(frame(&output, &nonce, &questions[1]).unwrap().stdout, b"x");
}

fn a_body_that_hangs_or_floods_is_bounded_and_unknown() {
    let nonce = Nonce::new([7; 16]);
    let questions = [question("hang", "sleep 60"), question("flood", "yes"), question("last", "echo ok")];
    let output = asked(&nonce, &questions);
    assert_eq!(frame(&output, &nonce, &questions[0]), Err(FrameError::TimedOut("hang".into())));
    assert_eq!(frame(&output, &nonce, &questions[1]), Err(FrameError::TooLong("flood".into())));
    assert_eq!(frame(&output, &nonce, &questions[2]).unwrap().stdout, b"ok\n");
}

fn nobody_but_root_can_read_the_nonce_while_questions_are_asked() {
    let nonce = Nonce::new([7; 16]);
    // arguments are everybody's to read, and an environment is handed on
    let questions =
        [question("a", "tr '\\0' '\\n' </proc/$PPID/cmdline; tr '\\0' '\\n' </proc/$$/environ; env")];
    let output = asked(&nonce, &questions);
    let said = frame(&output, &nonce, &questions[0]).unwrap().stdout;
    let said = String::from_utf8(said).unwrap();
    assert!(said.contains("perl\n-e\n") && !said.contains(nonce.as_str()), "{said}");
}

fn what_a_question_leaves_behind_is_not_waited_for_longer_than_it_may_take() {
    let nonce = Nonce::new([7; 16]);
    let questions = [question("left", "sleep 60 & echo here"), question("last", "echo ok")];
    let output = asked(&nonce, &questions);
    assert_eq!(frame(&output, &nonce, &questions[0]), Err(FrameError::TimedOut("left".into())));
    assert_eq!(frame(&output, &nonce, &questions[1]).unwrap().stdout, b"ok\n");
}

fn what_ignores_the_end_of_its_time_is_killed() {
    let nonce = Nonce::new([7; 16]);
    let questions =
        [question("deaf", "trap '' TERM; while :; do sleep 1; done"), question("last", "echo ok")];
    let output = asked(&nonce, &questions);
    assert_eq!(frame(&output, &nonce, &questions[0]), Err(FrameError::TimedOut("deaf".into())));
    assert_eq!(frame(&output, &nonce, &questions[1]).unwrap().stdout, b"ok\n");
}

fn a_script_cut_anywhere_runs_nothing() {
    let whole = Script::new().text("echo ran").to_stdin();
    assert_eq!(fed(whole.as_bytes()).stdout, b"ran\n");
    for length in 0..whole.len() - 2 {
        assert_eq!(fed(&whole.as_bytes()[..length]).stdout, b"", "cut at {length}");
    }
}
