//! What comes back of an exec. Every promise is asked of both kinds of session.

use std::time::{Duration, Instant};

use palisade::domain::HostName;
use palisade::record::Cost;
use palisade::shell::{Arg, Exit, Output, Script};
use palisade::transport::{Bounds, Entry, LocalSession, Session, TransportError};

use crate::releases::{NEEDS, over_both};
use crate::sshd::{Sshd, bounds, connect, host, run};

support::tests! {
    NEEDS => [
        a_local_session_costs_no_connection,
    ],
}

over_both! {
    exit_statuses_come_back_as_they_are,
    outputs_stay_apart_and_children_read_nothing,
    the_environment_is_ours,
    ten_megabytes_go_in_and_come_out,
    endless_output_is_cut_off_and_the_session_lives_on,
    an_exec_that_never_ends_is_given_up_and_the_session_lives_on,
    a_program_that_ends_before_it_has_read_everything_is_no_hang,
    noise_of_the_login_shell_stands_before_ours_and_changes_nothing,
    execs_and_connections_are_those_that_sshd_saw,
    two_execs_at_once_do_not_mix,
    a_connection_that_dies_in_mid_exec_is_broken_never_an_answer,
}

/// `contract` over SSH, then on this machine.
async fn on_both<F>(contract: F)
where
    F: AsyncFn(&dyn Session),
{
    contract(&LocalSession::new(host("here"))).await;
    let server = Sshd::start("");
    contract(connect(&server.target()).await.unwrap().as_ref()).await;
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

async fn exit_statuses_come_back_as_they_are() {
    on_both(async |session| {
        for (script, exit) in [
            ("true", Exit::Status(0)),
            ("exit 1", Exit::Status(1)),
            ("no-such-command-here", Exit::Status(127)),
            ("exit 255", Exit::Status(255)),
            ("kill -KILL $$; sleep 5", Exit::Unknown),
        ] {
            assert_eq!(run(session, script).await.unwrap().exit, exit, "{script}");
        }
    })
    .await;
}

async fn outputs_stay_apart_and_children_read_nothing() {
    on_both(async |session| {
        let output = run(session, "echo out; echo err >&2; cat; echo after").await.unwrap();
        let expected =
            Output { exit: Exit::Status(0), stdout: b"out\nafter\n".to_vec(), stderr: b"err\n".to_vec() };
        assert_eq!(output, expected);
    })
    .await;
}

async fn the_environment_is_ours() {
    on_both(async |session| {
        let output = run(session, "env | sort | cut -d= -f1 | tr '\\n' ' '").await.unwrap();
        let names: Vec<&str> = text(&output.stdout).split_whitespace().collect();
        assert_eq!(
            names.iter().filter(|n| !matches!(**n, "PWD" | "_" | "SHLVL" | "OLDPWD")).collect::<Vec<_>>(),
            [&"LC_ALL", &"PATH", &"SSH_CONNECTION"]
        );
    })
    .await;
}

async fn ten_megabytes_go_in_and_come_out() {
    on_both(async |session| {
        const SIZE: usize = 10_000_000;
        let script = Script::new()
            .set("big", Arg::lossy("x".repeat(SIZE)))
            .text("printf '%s' \"${#big}\" >&2\nprintf '%s' \"$big\"");
        let output = session.run(&script, Entry::Root, bounds(60, SIZE)).await.unwrap();
        assert_eq!(output.exit, Exit::Status(0));
        assert_eq!(text(&output.stderr), SIZE.to_string());
        assert_eq!(output.stdout.len(), SIZE);
        assert!(output.stdout.iter().all(|byte| *byte == b'x'));
        let Cost { bytes_sent, bytes_received, .. } = session.cost();
        assert_eq!(bytes_sent, script.to_stdin().len() as u64);
        assert_eq!(bytes_received, (SIZE + SIZE.to_string().len()) as u64);
    })
    .await;
}

async fn endless_output_is_cut_off_and_the_session_lives_on() {
    on_both(async |session| {
        for flood in ["yes", "yes >&2", "while :; do echo out; echo err >&2; done"] {
            let script = Script::new().text(flood);
            let begun = Instant::now();
            let error = session.run(&script, Entry::Root, bounds(60, 100_000)).await.unwrap_err();
            assert_eq!(error, TransportError::TooMuch { host: host("here"), bytes: 100_000 });
            assert!(begun.elapsed() < Duration::from_secs(30), "it was not cut off, but given up");
            assert_eq!(run(session, "echo alive").await.unwrap().stdout, b"alive\n");
        }
    })
    .await;
}

async fn an_exec_that_never_ends_is_given_up_and_the_session_lives_on() {
    on_both(async |session| {
        let begun = Instant::now();
        let script = Script::new().text("echo begun; sleep 60");
        let error = session.run(&script, Entry::Root, bounds(1, 1000)).await.unwrap_err();
        assert_eq!(error, TransportError::TooSlow { host: host("here"), what: "answer", seconds: 1 });
        assert!(begun.elapsed() < Duration::from_secs(50));
        assert_eq!(run(session, "echo alive").await.unwrap().stdout, b"alive\n");
    })
    .await;
}

async fn a_program_that_ends_before_it_has_read_everything_is_no_hang() {
    // The channel's window holds 2 MiB; a shell that dies at once reads none of the 8 MB behind.
    let server = Sshd::start("ForceCommand exit 7");
    let session = connect(&server.target()).await.unwrap();
    let script = Script::new().set("big", Arg::lossy("x".repeat(8_000_000)));
    let output = session.run(&script, Entry::Root, bounds(20, 1000)).await.unwrap();
    assert_eq!(output.exit, Exit::Status(7));
}

async fn noise_of_the_login_shell_stands_before_ours_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let noise = dir.path().join("noise");
    std::fs::write(&noise, "echo Welcome!; alias env=false; PATH=/nowhere; export LC_ALL=xx\n").unwrap();
    let server = Sshd::start(&format!("SetEnv BASH_ENV={} HOME=/nonexistent", noise.display()));
    let session = connect(&server.target()).await.unwrap();
    let output = run(session.as_ref(), "echo $LC_ALL; id -u >/dev/null && echo ours").await.unwrap();
    assert_eq!(output.exit, Exit::Status(0));
    assert!(text(&output.stdout).ends_with("C\nours\n"), "{:?}", text(&output.stdout));
}

async fn execs_and_connections_are_those_that_sshd_saw() {
    let server = Sshd::start("");
    let session = connect(&server.target()).await.unwrap();
    for _ in 0..3 {
        run(session.as_ref(), "true").await.unwrap();
    }
    let cost = session.cost();
    assert_eq!((cost.connections, cost.execs), (1, 3));
    session.close().await;
    assert_eq!(server.log_count("Connection from", 1), 1);
    assert_eq!(server.log_count("Accepted publickey", 1), 1);
    assert_eq!(server.log_count("Starting session: command", 3), 3);
    assert_eq!(server.log_count("Disconnected from", 1), 1, "close says goodbye: {}", server.log());
}

async fn two_execs_at_once_do_not_mix() {
    let server = Sshd::start("");
    let session = connect(&server.target()).await.unwrap();
    let slow = run(session.as_ref(), "sleep 0.3; echo slow");
    let quick = run(session.as_ref(), "echo quick");
    let (slow, quick) = tokio::join!(slow, quick);
    assert_eq!((slow.unwrap().stdout, quick.unwrap().stdout), (b"slow\n".to_vec(), b"quick\n".to_vec()));
}

async fn a_connection_that_dies_in_mid_exec_is_broken_never_an_answer() {
    let server = Sshd::start("");
    let session = connect(&server.target()).await.unwrap();
    // The session's own sshd is the shell's parent.
    let error = run(session.as_ref(), "echo half; kill -KILL $PPID; sleep 5").await;
    assert!(matches!(error, Err(TransportError::Broken { .. })), "{error:?}");
    let again = run(session.as_ref(), "true").await;
    assert!(matches!(again, Err(TransportError::Broken { .. })), "{again:?}");
}

fn a_local_session_costs_no_connection() {
    support::block_on(async {
        let session = LocalSession::new("here".parse::<HostName>().unwrap());
        run(&session, "true").await.unwrap();
        let cost = session.cost();
        assert_eq!((cost.connections, cost.execs), (0, 1));
        assert_eq!(Bounds::default().bytes, 16 << 20);
    });
}
