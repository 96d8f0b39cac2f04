//! In which order hosts are changed, and how many at a time. It refuses to put a jump host and a host behind it, or a replica
//! and its primary, into one batch.

use std::fmt;
use std::str::FromStr;

use crate::domain::HostName;
use crate::text::Malformed;

/// How many hosts are changed side by side, one batch after the other: `1,25%,100%`. A share is of all hosts that are to
/// be changed, rounded up; the last one is repeated until none is left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batches(Vec<Share>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Share {
    Hosts(u16),
    Percent(u8),
}

impl Default for Batches {
    /// One alone, then a quarter, then the rest.
    fn default() -> Self {
        Self(vec![Share::Hosts(1), Share::Percent(25), Share::Percent(100)])
    }
}

impl FromStr for Batches {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let share = |part: &str| {
            let part = part.trim();
            match part.strip_suffix('%') {
                Some(number) => {
                    number.parse().ok().filter(|percent| (1..=100).contains(percent)).map(Share::Percent)
                }
                None => part.parse().ok().filter(|hosts| *hosts > 0).map(Share::Hosts),
            }
        };
        let shares: Option<Vec<Share>> = text.split(',').map(share).collect();
        shares.map(Self).ok_or_else(|| {
            Malformed::new(
                "not a list of batches",
                "write numbers of hosts and shares of 1% to 100%, such as 1,25%,100%",
            )
        })
    }
}

impl fmt::Display for Batches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, share) in self.0.iter().enumerate() {
            let comma = if place == 0 { "" } else { "," };
            match share {
                Share::Hosts(hosts) => write!(f, "{comma}{hosts}")?,
                Share::Percent(percent) => write!(f, "{comma}{percent}%")?,
            }
        }
        Ok(())
    }
}

impl Batches {
    /// The most hosts in the batch with this number (from 0), of `all`.
    fn size(&self, number: usize, all: usize) -> usize {
        match self.0.get(number).or_else(|| self.0.last()) {
            Some(Share::Hosts(hosts)) => usize::from(*hosts),
            Some(Share::Percent(percent)) => all.saturating_mul(usize::from(*percent)).div_ceil(100).max(1),
            None => 1,
        }
    }
}

/// A host that is to be changed, and those that it must not be changed together with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    /// The host.
    pub host: HostName,
    /// All jump hosts on the way to it.
    pub behind: Vec<HostName>,
    /// Its primary, where it is a replica.
    pub replica_of: Option<HostName>,
}

impl Unit {
    fn is_behind(&self, other: &Unit) -> bool {
        self.behind.contains(&other.host)
    }

    fn replicates(&self, other: &Unit) -> bool {
        self.replica_of.as_ref() == Some(&other.host)
    }

    /// Whether the two must not be armed at the same time.
    fn apart_from(&self, other: &Unit) -> bool {
        self.is_behind(other) || other.is_behind(self) || self.replicates(other) || other.replicates(self)
    }
}

/// The batches, as places in `units`. A replica comes in an earlier batch than its primary. A jump host comes in an
/// earlier batch than the hosts behind it, unless that would put a primary before its replica; never in the same.
/// Apart from that, hosts through which others are reached come first, and the order is that of `units`.
pub fn schedule(units: &[Unit], batches: &Batches) -> Vec<Vec<usize>> {
    let mut waiting: Vec<(usize, &Unit)> = units.iter().enumerate().collect();
    waiting.sort_by_key(|(_, unit)| !units.iter().any(|other| other.is_behind(unit)));
    let mut planned = Vec::new();
    while !waiting.is_empty() {
        let size = batches.size(planned.len(), units.len());
        let batch = next_batch(&waiting, size);
        waiting.retain(|(place, _)| !batch.contains(place));
        planned.push(batch);
    }
    planned
}

fn next_batch(waiting: &[(usize, &Unit)], size: usize) -> Vec<usize> {
    let any = |wanted: &dyn Fn(&Unit) -> bool| waiting.iter().any(|(_, other)| wanted(other));
    let replicas_done = |unit: &Unit| !any(&|other| other.replicates(unit));
    let way_done = |unit: &Unit| !any(&|other| unit.is_behind(other));
    let pick = |ready: &dyn Fn(&Unit) -> bool| {
        let mut batch: Vec<(usize, &Unit)> = Vec::new();
        for (place, unit) in waiting {
            if batch.len() < size && ready(unit) && !batch.iter().any(|(_, other)| unit.apart_from(other)) {
                batch.push((*place, unit));
            }
        }
        batch.into_iter().map(|(place, _)| place).collect::<Vec<_>>()
    };
    // A primary may be the jump host of its replica: then the replica goes first, over a way that is not done yet.
    // Hosts that replicate each other the parser refuses; were they to come here, each still goes once.
    let tries: [&dyn Fn(&Unit) -> bool; 3] = [
        &|unit| replicas_done(unit) && way_done(unit),
        &|unit| replicas_done(unit) && unit.replica_of.is_some(),
        &|_| true,
    ];
    tries.into_iter().map(|ready| pick(ready)).find(|batch| !batch.is_empty()).unwrap_or_default()
}

/// The replicas of `unit` among `units`.
pub fn replicas<'u>(unit: &Unit, units: &'u [Unit]) -> Vec<&'u HostName> {
    units.iter().filter(|other| other.replicates(unit)).map(|other| &other.host).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn name(text: &str) -> HostName {
        text.parse().unwrap()
    }

    /// `web<jump1<jump2 db-2>db-1`: `<` behind, `>` replica of.
    fn units(text: &str) -> Vec<Unit> {
        let unit = |word: &str| {
            let (rest, primary) = word.split_once('>').map_or((word, None), |(rest, p)| (rest, Some(p)));
            let mut parts = rest.split('<').map(name);
            Unit { host: parts.next().unwrap(), behind: parts.collect(), replica_of: primary.map(name) }
        };
        text.split_whitespace().map(unit).collect()
    }

    fn planned(text: &str, batches: &str) -> String {
        let units = units(text);
        let batches = schedule(&units, &batches.parse().unwrap());
        let words = |batch: &Vec<usize>| {
            batch.iter().map(|place| units[*place].host.to_string()).collect::<Vec<_>>().join(" ")
        };
        batches.iter().map(words).collect::<Vec<_>>().join(" | ")
    }

    #[test]
    fn one_then_a_quarter_then_the_rest() {
        assert_eq!(planned("a b c d e f g h", "1,25%,100%"), "a | b c | d e f g h");
        assert_eq!(planned("a b c", "1,25%,100%"), "a | b | c");
        assert_eq!(planned("a", "1,25%,100%"), "a");
        assert_eq!(planned("a b c d e", "2"), "a b | c d | e", "the last share is repeated");
        assert_eq!(planned("a b c d e", "100%"), "a b c d e");
        assert_eq!(planned("", "1"), "");
    }

    #[test]
    fn a_jump_host_goes_before_those_behind_it_and_never_with_them() {
        assert_eq!(planned("db<web web", "100%"), "web | db");
        assert_eq!(planned("a db-1<web db-2<web web", "100%"), "web a | db-1 db-2");
        assert_eq!(planned("inner<outer<edge edge outer<edge", "100%"), "edge | outer | inner");
        assert_eq!(
            planned("inner<gone<edge edge", "100%"),
            "edge | inner",
            "what lies between may be left out"
        );
    }

    #[test]
    fn a_replica_goes_before_its_primary_even_where_that_is_its_jump_host() {
        assert_eq!(planned("db-1 db-2>db-1", "100%"), "db-2 | db-1");
        assert_eq!(planned("web db-1<web db-2<web>db-1", "1,25%,100%"), "web | db-2 | db-1");
        assert_eq!(planned("db-1 db-2<db-1>db-1 x<db-1", "100%"), "db-2 | db-1 | x");
    }

    #[test]
    fn batches_are_read_and_shown() {
        for text in ["1,25%,100%", "3", "1%,100%"] {
            assert_eq!(text.parse::<Batches>().unwrap().to_string(), text);
        }
        assert_eq!(Batches::default().to_string(), "1,25%,100%");
        for wrong in ["", "0", "0%", "101%", "-1", "1,,2", "half", "25 %%", "70000"] {
            assert!(wrong.parse::<Batches>().is_err(), "{wrong}");
        }
    }

    /// Up to 24 hosts. Each may be behind an earlier one (and all that one is behind), and be the replica of any host
    /// that is no replica itself; the parser refuses the rest.
    fn fleets() -> impl Strategy<Value = Vec<Unit>> {
        let host = (any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0..4_u8);
        (prop::collection::vec(host, 1..24), any::<prop::sample::Index>()).prop_map(|(draws, turn)| {
            let all = draws.len();
            let host = |number: usize| name(&format!("h{number}"));
            let mut units: Vec<Unit> = Vec::new();
            for (number, (jump, primary, sort)) in draws.iter().enumerate() {
                let mut behind = Vec::new();
                if number > 0 && sort & 1 == 1 {
                    let over = &units[jump.index(number)];
                    behind = vec![over.host.clone()];
                    behind.extend(over.behind.clone());
                }
                // Primaries have even numbers and replicas odd ones.
                let primary = primary.index(all) & !1;
                let replica_of = (number % 2 == 1 && sort & 2 == 2).then(|| host(primary));
                units.push(Unit { host: host(number), behind, replica_of });
            }
            units.rotate_left(turn.index(all));
            units
        })
    }

    proptest! {
        #[test]
        fn whatever_the_fleet_each_host_goes_once_and_in_order(
            units in fleets(),
            shares in prop::collection::vec(prop_oneof![(1..5_u16).prop_map(Share::Hosts), (1..=100_u8).prop_map(Share::Percent)], 1..4),
        ) {
            let batches = Batches(shares);
            let planned = schedule(&units, &batches);
            let places: Vec<usize> = planned.iter().flatten().copied().collect();
            prop_assert_eq!(places.len(), units.len());
            prop_assert_eq!(places.iter().collect::<BTreeSet<_>>().len(), units.len());
            let batch_of = |place: usize| planned.iter().position(|batch| batch.contains(&place)).unwrap();
            for (number, batch) in planned.iter().enumerate() {
                prop_assert!(!batch.is_empty() && batch.len() <= batches.size(number, units.len()));
            }
            for (a, one) in units.iter().enumerate() {
                for (b, other) in units.iter().enumerate() {
                    if one.is_behind(other) {
                        prop_assert_ne!(batch_of(a), batch_of(b));
                    }
                    if one.replicates(other) {
                        prop_assert!(batch_of(a) < batch_of(b));
                    }
                    let replicas = units.iter().any(|unit| unit.replica_of.is_some());
                    if one.is_behind(other) && !replicas {
                        prop_assert!(batch_of(b) < batch_of(a));
                    }
                }
            }
        }
    }
}
