//! What the firewall makes of a host without rules. What widening and narrowing do to a live table is asked of a real nft,
//! in `tests/cli/nft.rs`.

use super::super::ruleset::tests::cidrs;
use super::super::ruleset::{Reach, Ssh};
use super::*;

/// A host that has loaded nothing of ours.
fn unloaded(forwards: bool) -> Answer {
    let tables = Tables {
        desired: "table inet palisade {\n}".to_owned(),
        live: None,
        dropping: Vec::new(),
        others: Vec::new(),
        beside: Others::default(),
    };
    Answer { tables: Some(tables), file: FileState::Absent, forwards, unlisted: Vec::new() }
}

#[test]
fn a_host_without_rules_is_not_widened() {
    let management = cidrs(&["192.0.2.1"]);
    let ssh = Ssh { port: Port::SSH, from: Reach::Networks(Vec::new()), attempts: 5 };
    let ruleset = Ruleset::new(&management, &ssh, &[]);
    let wanted = Nftables { ruleset, management, ssh_port: Port::SSH };
    let steps = wanted.remedy(&unloaded(false)).unwrap();
    assert!(steps.iter().all(|step| step.phase == Phase::Narrow));
    let loads: Vec<_> = steps
        .iter()
        .filter_map(|step| match &step.change {
            Change::Ruleset { before, load } => Some((before.as_deref(), load.as_str())),
            _ => None,
        })
        .collect();
    assert_eq!(loads, [(None, wanted.ruleset.render().as_str())]);
    assert!(steps.iter().all(|step| step.cuts.is_empty()));
    let steps = wanted.remedy(&unloaded(true)).unwrap();
    let cuts: Vec<String> = steps.into_iter().flat_map(|step| step.cuts).collect();
    assert_eq!(cuts.len(), 1, "{cuts:?}");
}
