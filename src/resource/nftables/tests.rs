//! What widening and narrowing do to a live table, checked with a real nft in a namespace of its own.

use super::super::ruleset::tests::{cidrs, listed};
use super::super::ruleset::{Reach, Ssh};
use super::*;

fn firewall(management: &[&str]) -> Nftables {
    let management = cidrs(management);
    let ssh = Ssh { port: Port::SSH, from: Reach::Networks(Vec::new()), attempts: 5 };
    let ruleset = Ruleset::new(&management, &ssh, &[]);
    Nftables { ruleset, management, ssh_port: Port::SSH }
}

fn answer(desired: &str, live: Option<&str>, file: FileState) -> Answer {
    let tables = Tables {
        desired: desired.to_owned(),
        live: live.map(str::to_owned),
        dropping: Vec::new(),
        others: Vec::new(),
        beside: Others::default(),
    };
    Answer { tables: Some(tables), file, forwards: false, unlisted: Vec::new() }
}

fn loads(steps: &[Step]) -> Vec<(Phase, Option<&str>, &str)> {
    let ruleset = |step| match step {
        &Step { phase, change: Change::Ruleset { ref before, ref load }, .. } => {
            Some((phase, before.as_deref(), load.as_str()))
        }
        _ => None,
    };
    steps.iter().filter_map(ruleset).collect()
}

#[test]
fn widening_lets_the_management_in_in_front_of_the_live_rules_and_narrow_expects_it() {
    let (old, new) = (firewall(&["192.0.2.1"]), firewall(&["192.0.2.1", "192.0.2.2", "2001:db8::/48"]));
    let (Some(live), Some(desired)) = (listed(&old.ruleset.render()), listed(&new.ruleset.render())) else {
        return;
    };
    let (live, desired) = (live.trim_end(), desired.trim_end());
    let file = FileState::Present(old.wanted());
    let steps = new.remedy(&answer(desired, Some(live), file)).unwrap();
    let phases: Vec<Phase> = steps.iter().map(|step| step.phase).collect();
    assert_eq!(phases, [Phase::Widen, Phase::Widen, Phase::Narrow, Phase::Narrow]);
    let [(_, Some(before), insert), (_, Some(expected), whole)] = loads(&steps)[..] else {
        panic!("{steps:?}");
    };
    assert_eq!((before, whole), (live, new.ruleset.render().as_str()));
    // What narrow expects is what nft lists once widen is done, from the kernel and from the file alike.
    let widened = listed(&format!("{}{insert}", old.ruleset.render())).unwrap();
    assert_eq!(widened.trim_end(), expected);
    let Change::File { after: FileState::Present(file), .. } = &steps[0].change else { panic!("{steps:?}") };
    assert_eq!(listed(&file.content).unwrap(), widened);
    // Asked again after widen, only narrow is left.
    let again = new.remedy(&answer(desired, Some(expected), FileState::Present(file.clone()))).unwrap();
    assert!(again.iter().all(|step| step.phase == Phase::Narrow), "{again:?}");
    assert_eq!(loads(&again).len(), 1);
}

#[test]
fn nothing_widens_where_the_management_is_let_in_already() {
    let wanted = firewall(&["192.0.2.1", "192.0.2.2"]);
    let Some(desired) = listed(&wanted.ruleset.render()) else { return };
    let live = desired.replace("\t\tcounter", "\t\ttcp dport 8000 accept\n\t\tcounter");
    let state = answer(&desired, Some(&live), FileState::Present(wanted.wanted()));
    let steps = wanted.remedy(&state).unwrap();
    assert_eq!(steps.iter().map(|step| step.phase).collect::<Vec<_>>(), [Phase::Narrow]);
    assert_eq!(
        wanted.judge(&state, Timestamp::UNIX_EPOCH),
        Verdict::Drift { findings: vec!["loaded, and not declared: tcp dport 8000 accept".to_owned()] }
    );
}

#[test]
fn a_drop_in_front_of_the_management_is_widened_over() {
    let wanted = firewall(&["192.0.2.1"]);
    let Some(desired) = listed(&wanted.ruleset.render()) else { return };
    let live = desired.replace("\t\tct state est", "\t\ttcp dport 22 drop\n\t\tct state est");
    let steps = wanted.remedy(&answer(&desired, Some(&live), FileState::Absent)).unwrap();
    let [(Phase::Widen, _, load), (Phase::Narrow, ..)] = loads(&steps)[..] else { panic!("{steps:?}") };
    assert_eq!(
        load,
        "insert rule inet palisade input ip saddr 192.0.2.1 tcp dport 22 accept comment \"palisade widen\"\n"
    );
}

#[test]
fn a_host_without_rules_is_not_widened() {
    let wanted = firewall(&["192.0.2.1"]);
    let steps = wanted.remedy(&answer("table inet palisade {\n}", None, FileState::Absent)).unwrap();
    assert!(steps.iter().all(|step| step.phase == Phase::Narrow));
    assert_eq!(loads(&steps), [(Phase::Narrow, None, wanted.ruleset.render().as_str())]);
    assert!(steps.iter().all(|step| step.cuts.is_empty()));
    let forwards = Answer { forwards: true, ..answer("table inet palisade {\n}", None, FileState::Absent) };
    let cuts: Vec<String> =
        wanted.remedy(&forwards).unwrap().into_iter().flat_map(|step| step.cuts).collect();
    assert_eq!(cuts.len(), 1, "{cuts:?}");
}
