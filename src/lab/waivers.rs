//! What a container cannot keep of a fleet's promises, as waivers of the copy, each with its reason. Pure. They name
//! what the machine below decides, and nothing that palisade could make so.

use jiff::{Timestamp, ToSpan as _};
use serde_json::{Value, json};

use crate::playbook::{Control, Playbook};
use crate::waiver::Waivers;

/// Days for which a lab's own waivers hold. Longer than labs live; an old one shall not look right for ever.
const DAYS: i64 = 90;

/// The waivers of a lab made at `made`: those that containers need, and of the fleet's own every other.
/// Of a lab of virtual machines those that these need; they have disks and a clock, and nobody who looks after them.
pub(super) fn waivers(playbook: &Playbook, own: &Waivers, made: Timestamp, machines: bool) -> Value {
    let made = made.to_zoned(jiff::tz::TimeZone::UTC).date();
    let expires = made.saturating_add(DAYS.days());
    let needed = playbook.controls.iter().filter_map(|control| Some((control, reason(control, machines)?)));
    let needed = needed.map(|(control, reason)| {
        json!({
            "control": control.id,
            "hosts": "all",
            "owner": "the lab",
            "reason": reason,
            "expires": expires.to_string(),
        })
    });
    let other = own.iter().filter(|waiver| {
        playbook.control(&waiver.control).is_some_and(|control| reason(control, machines).is_none())
    });
    needed.chain(other.map(|waiver| json!(waiver))).collect()
}

/// Why a host of the lab cannot keep a control.
fn reason(control: &Control, machines: bool) -> Option<&'static str> {
    control.declarations().find_map(|declaration| declaration.waived_in_lab(machines))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::{example, parse};
    use crate::source::Sources;
    use crate::waiver::WAIVERS_FILE;

    #[test]
    fn the_copy_waives_what_containers_cannot_keep_and_what_the_fleet_waives() {
        let fleet = parse(&example()).expect("the example");
        let playbook = crate::playbook::parse(&Sources::new()).expect("the built-in controls");
        let read = |text: String| {
            let sources = Sources::new().with(WAIVERS_FILE, text);
            Waivers::parse(&sources, &fleet, &playbook).unwrap_or_else(|refusals| panic!("{refusals}"))
        };
        let own = read(
            "- {control: hosting, hosts: all, owner: Alice Martin, reason: x, expires: 2030-01-01}\n\
             - {control: firewall, hosts: [\"role:web\", dev], owner: Alice Martin, reason: x, expires: 2030-01-01}\n"
                .to_owned(),
        );
        let made = "2026-11-28T22:00:00Z".parse().expect("a time");
        let copy = read(waivers(&playbook, &own, made, false).to_string());
        let firewall = copy.iter().find(|waiver| waiver.control.as_str() == "firewall");
        assert_eq!(firewall, own.iter().nth(1));
        let hosting: Vec<_> = copy.iter().filter(|waiver| waiver.control.as_str() == "hosting").collect();
        assert_eq!(hosting.len(), 1);
        let encryption = |copy: &Waivers| copy.iter().any(|waiver| waiver.control.as_str() == "encryption");
        assert!(!encryption(&copy), "a container's disks are not asked about");
        assert!(
            encryption(&read(waivers(&playbook, &own, made, true).to_string())),
            "a machine's are in plain"
        );
        assert_eq!(
            (hosting[0].owner.as_str(), hosting[0].expires.to_string().as_str()),
            ("the lab", "2027-02-26")
        );
    }
}
