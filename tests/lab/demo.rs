//! `palisade demo` from its start to its end, and cut off in between.

use std::path::Path;

use serde_json::Value;
use support::{Needs, Running, note, palisade, wait_until};

support::tests! {
    Needs::LAB => [
        everything_that_the_demo_promises_is_seen,
        a_demo_that_is_interrupted_leaves_nothing,
    ],
}

fn everything_that_the_demo_promises_is_seen() {
    let ran = palisade(["demo"]).json().run().exits(0);
    let document = ran.json();
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
    assert!(ran.err.contains("$ palisade apply prod --yes"), "the command lines are shown: {}", ran.err);
    // What is said to stay does stay, and can be read by the same program.
    let evidence = document["evidence"].as_str().expect("where the evidence is");
    let runs = palisade(["runs", "--project", evidence]).json().run().json();
    let listed = runs["runs"].as_array().map(Vec::len).and_then(|count| u64::try_from(count).ok());
    assert_eq!(listed, document["runs"].as_u64());
    note(&format!("the demo took {} s", document["seconds"]));
}

/// What is behind `begin` on a line of the demo's, once that was written.
fn rest_of_line(demo: &mut Running, begin: &str) -> String {
    wait_until(&format!("a line that begins with {begin:?}"), || {
        let ended = demo.has_ended();
        let out = demo.out();
        let mut whole = out.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
        let found = whole.find_map(|line| line.strip_prefix(begin));
        assert!(found.is_some() || !ended, "the demo ended without {begin:?}: {}", demo.said());
        found.map(str::to_owned).ok_or_else(|| demo.said())
    })
}

fn a_demo_that_is_interrupted_leaves_nothing() {
    let mut demo = palisade(["demo"]).start();
    let folder = rest_of_line(&mut demo, "$ LAB=");
    let lab = folder.rsplit('/').next().expect("the lab's id");
    rest_of_line(&mut demo, "$ palisade enrol prod");
    demo.signal("INT");
    let ran = demo.end().exits(1);
    assert!(ran.err.contains("interrupted"), "{}", ran.said());
    let interfaces = std::fs::read_dir("/sys/class/net").expect("interfaces");
    for interface in interfaces.flatten() {
        assert_ne!(interface.file_name().to_string_lossy(), format!("pal-{lab}"));
    }
    assert!(!Path::new(&folder).exists());
}
