//! What the built-in controls cite of frameworks: only what `tests/pure/references.txt` lists for them, and nothing as
//! fulfilled that it lists as supported. Whether an item asks for what a control does was judged by people; that nothing
//! else is cited is judged here.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use palisade::playbook::{self, Framework, Reference};
use palisade::source::Sources;
use support::Needs;

support::tests! {
    Needs::NOTHING => [
        the_built_in_controls_cite_nothing_else,
    ],
}

const LIST: &str = include_str!("references.txt");

/// By control, framework and item: whether the item asks for just this.
fn list() -> BTreeMap<(&'static str, Framework, String), bool> {
    let mut list = BTreeMap::new();
    for line in LIST.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let mut words = line.split(' ');
        let (control, framework) = (words.next().expect("a control"), words.next().expect("a framework"));
        let framework: Framework = framework.parse().unwrap_or_else(|why| panic!("{line}: {why}"));
        for item in words {
            let item =
                Reference::parse(framework, item).unwrap_or_else(|why| panic!("{line}: {item}: {why}"));
            let twice = list.insert((control, framework, item.id.clone()), item.satisfies);
            assert!(twice.is_none(), "{line}: {} is there twice", item.id);
        }
    }
    list
}

fn the_built_in_controls_cite_nothing_else() {
    let (list, mut wrong, mut count) = (list(), String::new(), 0);
    let playbook = playbook::parse(&Sources::new()).expect("the built-in controls");
    for control in &playbook.controls {
        let id = control.id.to_string();
        for (framework, items) in &control.references {
            for item in items {
                count += 1;
                match list.get(&(id.as_str(), *framework, item.id.clone())) {
                    None => {
                        let _ = writeln!(wrong, "{id}: {framework} {} is not on the list", item.id);
                    }
                    Some(false) if item.satisfies => {
                        let _ = writeln!(wrong, "{id}: {framework} {} is only supported: write a ~", item.id);
                    }
                    Some(_) => {}
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert!(count > 150, "only {count} references were found");
}
