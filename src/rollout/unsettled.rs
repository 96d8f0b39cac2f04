//! What a look is worth while a change of somebody's is armed and not confirmed: nothing that lasts.

use jiff::Timestamp;

use crate::record::{HostResult, HostState};
use crate::resource::Verdict;

/// Refuses each host in the middle of an unconfirmed change, by who holds it, and makes its verdicts unknown.
pub fn unsettle(results: &mut [HostResult], now: Timestamp) {
    for result in results.iter_mut().filter(|result| result.state == HostState::Answered) {
        let Some(facts) = &result.facts else { continue };
        let Some(holder) = facts.holder("").filter(|holder| holder.pending.is_some()) else { continue };
        let reason = format!("{}; look again when the change was confirmed or taken back", holder.told(now));
        for judged in &mut result.judged {
            judged.verdict = Verdict::Unknown { reason: reason.clone() };
        }
        result.state = HostState::Refused { reason, holder: Some(holder) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::Facts;
    use crate::record::Cost;

    fn looked(pending: Option<i64>) -> HostResult {
        let facts = Facts {
            machine_id: "0123456789abcdef0123456789abcdef".parse().unwrap(),
            boot_id: "7de1efa4-ea2f-4175-bcf4-e39e0bce8ea0".parse().unwrap(),
            distribution: "debian-13".to_owned(),
            environment: None,
            from: None,
            uid: 0,
            pending: pending.and("20261128t220000123z-1a2b3c4d".parse().ok()),
            pending_seconds: pending,
            pending_watched: pending.is_some(),
            lease: None,
            installing: None,
            recovery: true,
            free_kilobytes: Vec::new(),
            free_inodes: Vec::new(),
            read_only: Vec::new(),
            dpkg_audit: String::new(),
        };
        HostResult {
            host: "web-1".parse().unwrap(),
            state: HostState::Answered,
            controls: Vec::new(),
            waivers: Vec::new(),
            facts: Some(facts),
            judged: Vec::new(),
            plan: None,
            ended: Vec::new(),
            raw: Vec::new(),
            cost: Cost::default(),
            milliseconds: 0,
            at: Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn a_host_in_the_middle_of_a_change_is_refused_and_any_other_is_left_as_it_is() {
        let mut results = [looked(None), looked(Some(120))];
        unsettle(&mut results, Timestamp::UNIX_EPOCH);
        assert_eq!(results[0].state, HostState::Answered);
        let HostState::Refused { reason, holder } = &results[1].state else {
            panic!("{:?}", results[1].state)
        };
        assert!(reason.ends_with("; look again when the change was confirmed or taken back"), "{reason}");
        assert!(holder.as_ref().is_some_and(|holder| holder.pending.is_some()));
    }
}
