//! `palisade demo` from its start to its end, and cut off in between.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use crate::lane::{runs_here, say};
use serde_json::Value;

fn demo() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_palisade"));
    command.arg("demo");
    command
}

#[test]
fn everything_that_the_demo_promises_is_seen() {
    if !runs_here("everything_that_the_demo_promises_is_seen") {
        return;
    }
    let output = demo().args(["--format", "json"]).output().expect("palisade starts");
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{told}");
    let document: Value = serde_json::from_slice(&output.stdout).expect("one JSON document");
    let seen: Vec<&str> =
        document["seen"].as_array().expect("what was seen").iter().filter_map(Value::as_str).collect();
    for needed in [
        "prod is not as declared",
        "web-1 took the change back by itself",
        "byte for byte what it was before",
        "ended with exit code 5",
        "once more changes nothing",
    ] {
        assert!(seen.iter().any(|line| line.contains(needed)), "{needed}: {seen:?}");
    }
    assert!(told.contains("$ palisade apply prod --yes"), "the command lines are shown: {told}");
    // What is said to stay does stay, and can be read by the same program.
    let evidence = document["evidence"].as_str().expect("where the evidence is");
    let runs = Command::new(env!("CARGO_BIN_EXE_palisade"))
        .args(["runs", "--format", "json", "--project", evidence])
        .output()
        .expect("palisade starts");
    let runs: Value = serde_json::from_slice(&runs.stdout).expect("one JSON document");
    let listed = runs["runs"].as_array().map(Vec::len).and_then(|count| u64::try_from(count).ok());
    assert_eq!(listed, document["runs"].as_u64());
    say(&format!("the demo took {} s", document["seconds"]));
}

#[test]
fn a_demo_that_is_interrupted_leaves_nothing() {
    if !runs_here("a_demo_that_is_interrupted_leaves_nothing") {
        return;
    }
    let mut child = demo().stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("palisade starts");
    let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines().map_while(Result::ok);
    let folder =
        lines.find_map(|line| Some(line.strip_prefix("$ LAB=")?.to_owned())).expect("the lab's folder");
    let lab = folder.rsplit('/').next().expect("the lab's id");
    lines.find(|line| line.starts_with("$ palisade enrol prod")).expect("it enrols");
    let kill = Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill runs");
    assert!(kill.success());
    let rest: Vec<String> = lines.collect();
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(1), "{rest:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("interrupted"));
    let interfaces = std::fs::read_dir("/sys/class/net").expect("interfaces");
    for interface in interfaces.flatten() {
        assert_ne!(interface.file_name().to_string_lossy(), format!("pal-{lab}"));
    }
    assert!(!std::path::Path::new(&folder).exists());
}
