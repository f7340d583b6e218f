//! Which leases there are, and which shard a system belongs to. Pure.
//!
//! With one shard there is one lease, and its holder is the one member that acts. With more each shard has a lease, and
//! as many replicas as there are shards may be members: a lease each, that says with how many shards the member counts.

use super::record::LeaseRecord;
use crate::key::Key;

/// FNV-1a, whose result is the same in every build and on every machine.
const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0000_0100_0000_01b3;

/// The leases of an operator with a number of shards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardLayout {
    base: String,
    shards: usize,
}

impl ShardLayout {
    /// The leases whose names begin with `base`, for this many shards; none counts as one.
    pub fn new(base: &str, shards: usize) -> Self {
        Self {
            base: base.to_owned(),
            shards: shards.max(1),
        }
    }

    /// How many shards there are.
    pub fn shards(&self) -> usize {
        self.shards
    }

    /// Whether systems are spread at all.
    pub fn is_sharded(&self) -> bool {
        self.shards > 1
    }

    /// The shard of a system.
    pub fn shard_of(&self, system: &Key) -> usize {
        let bytes = system.namespace.bytes().chain([b'/']).chain(system.name.bytes());
        let hash = bytes.fold(OFFSET, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME));
        let shards = u64::try_from(self.shards).unwrap_or(u64::MAX);
        usize::try_from(hash % shards).unwrap_or_default()
    }

    /// The lease of a shard.
    pub fn shard_lease(&self, shard: usize) -> String {
        if self.is_sharded() {
            format!("{}-shard-{shard}", self.base)
        } else {
            self.base.clone()
        }
    }

    /// The leases of members: who holds one of them takes part.
    pub fn member_leases(&self) -> Vec<String> {
        if self.is_sharded() {
            let member = |number| format!("{}-{number}", self.members());
            (0..self.shards).map(member).collect()
        } else {
            vec![self.base.clone()]
        }
    }

    /// What the members' leases have in common, for metrics.
    pub fn member_group(&self) -> String {
        if self.is_sharded() {
            self.members()
        } else {
            self.base.clone()
        }
    }

    /// Whether the holder of this lease takes part with another number of shards, or may do so for all that it says.
    pub fn is_conflicting(&self, name: &str, record: &LeaseRecord) -> bool {
        if name == self.base {
            return self.is_sharded();
        }
        let number = name
            .strip_prefix(&self.members())
            .and_then(|rest| rest.strip_prefix('-'));
        let is_members = number.is_some_and(|number| number.parse::<usize>().is_ok());
        is_members && record.shards() != Some(self.shards)
    }

    /// Whether a lease is one of this operator's, whatever its number of shards.
    pub fn has(&self, name: &str) -> bool {
        name.strip_prefix(&self.base).is_some_and(|rest| {
            rest.is_empty() || rest.starts_with("-shard-") || rest.starts_with("-member-")
        })
    }

    fn members(&self) -> String {
        format!("{}-member", self.base)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_shard_of_a_system_is_the_same_in_every_release() {
        let shards = |layout: &ShardLayout| {
            [("nats", "prod"), ("nats", "stage"), ("team-a", "prod"), ("", "")]
                .map(|(namespace, name)| layout.shard_of(&Key::new(namespace, name)))
        };
        assert_eq!(shards(&ShardLayout::new("leeward", 1)), [0, 0, 0, 0]);
        assert_eq!(shards(&ShardLayout::new("leeward", 4)), [3, 0, 2, 2]);
        assert_eq!(shards(&ShardLayout::new("leeward", 64)), [43, 0, 50, 62]);
    }

    #[test]
    fn systems_are_spread_over_all_shards() {
        let layout = ShardLayout::new("leeward", 16);
        let mut counts = [0_usize; 16];
        for number in 0..1600 {
            counts[layout.shard_of(&Key::new("nats", format!("system-{number}")))] += 1;
        }
        assert!(counts.iter().all(|count| (50..150).contains(count)), "{counts:?}");
    }

    #[test]
    fn no_two_leases_of_a_layout_have_one_name_and_each_is_known_as_its_own() {
        for shards in [1, 2, 64] {
            let layout = ShardLayout::new("leeward", shards);
            let names: BTreeSet<String> = (0..shards)
                .map(|shard| layout.shard_lease(shard))
                .chain(layout.member_leases())
                .collect();
            let expected = if shards == 1 { 1 } else { shards * 2 };
            assert_eq!(names.len(), expected, "{names:?}");
            assert!(names.iter().all(|name| layout.has(name)), "{names:?}");
        }
        let layout = ShardLayout::new("leeward", 2);
        assert!(!layout.has("leeward-2") && !layout.has("other") && !layout.has("leewards"));
    }

    #[test]
    fn whoever_counts_with_another_number_or_does_not_say_is_a_rival() {
        let silent = LeaseRecord::default();
        let four = LeaseRecord::default().counting(4);
        for (shards, single, member, mute) in [
            (1, false, true, true),
            (4, true, false, true),
            (8, true, true, true),
        ] {
            let layout = ShardLayout::new("leeward", shards);
            assert_eq!(layout.is_conflicting("leeward", &silent), single, "{shards}");
            assert_eq!(
                layout.is_conflicting("leeward-member-3", &four),
                member,
                "{shards}"
            );
            assert_eq!(
                layout.is_conflicting("leeward-member-3", &silent),
                mute,
                "{shards}"
            );
            for other in ["leeward-shard-0", "leeward-member-", "leeward-member-x", "else"] {
                assert!(!layout.is_conflicting(other, &silent), "{other}");
            }
        }
    }
}
