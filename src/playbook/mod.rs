//! What is promised, made precise: controls as data. Parses them, and says where they came from; resolves nothing
//! against an inventory and asks no host. A new control is one entry in `playbooks/`, no Rust.

mod control;
mod parse;
mod proof;
mod reference;
mod shape;

pub use control::{Control, DIRECTORY, Hosts, Origin, Playbook, Severity, UnknownControl};
pub use parse::{BUILTIN, parse};
pub use proof::{AuthMethod, Proof};
pub use reference::{Framework, Promise, Reference};
pub use shape::PLAYBOOK;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ControlId;
    use crate::source::Sources;

    #[test]
    fn keys_and_what_sshd_makes_of_them_go_together() {
        let playbook = parse(&Sources::new()).unwrap();
        let left = |ids: &[&str]| -> Vec<String> {
            let ids: Vec<ControlId> = ids.iter().map(|id| id.parse().unwrap()).collect();
            let selected: Vec<Control> = playbook.select(&ids).unwrap().into_iter().cloned().collect();
            playbook.left_behind(&selected).into_iter().map(ToString::to_string).collect()
        };
        assert_eq!(left(&["server-access"]), ["key-only"]);
        assert_eq!(left(&["key-only"]), ["server-access"]);
        assert!(left(&["firewall"]).is_empty());
        assert!(left(&["key-only", "server-access"]).is_empty());
        assert!(left(&[]).is_empty());
    }
}
