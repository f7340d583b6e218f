//! Which Leases there are, and which shard a key belongs to. Pure.
//!
//! With one shard there is one Lease, and its holder is the only member. With more, each shard has a Lease, and as many
//! replicas as there are shards may be members: each holds a member's Lease, annotated with the number of shards that the
//! member is configured with.

use crate::record::LeaseRecord;

/// FNV-1a, whose result is the same in every build and on every machine.
const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0000_0100_0000_01b3;

/// The Leases of replicas that are configured with a number of shards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardLayout {
    base: String,
    shards: usize,
}

impl ShardLayout {
    /// The Leases whose names begin with `base`, for this many shards; zero counts as one.
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

    /// Whether there is more than one shard.
    pub fn is_sharded(&self) -> bool {
        self.shards > 1
    }

    /// The shard that a key belongs to: the same in every replica, in every release.
    pub fn shard_of(&self, key: &str) -> usize {
        let hash = key
            .bytes()
            .fold(OFFSET, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME));
        let shards = u64::try_from(self.shards).unwrap_or(u64::MAX);
        usize::try_from(hash % shards).unwrap_or_default()
    }

    /// The name of a shard's Lease.
    pub fn shard_lease(&self, shard: usize) -> String {
        if self.is_sharded() {
            format!("{}-shard-{shard}", self.base)
        } else {
            self.base.clone()
        }
    }

    /// The names of the members' Leases: a replica that holds one of them is a member.
    pub fn member_leases(&self) -> Vec<String> {
        if self.is_sharded() {
            let member = |number| format!("{}-{number}", self.members());
            (0..self.shards).map(member).collect()
        } else {
            vec![self.base.clone()]
        }
    }

    /// What the names of the members' Leases begin with, for metrics.
    pub fn member_group(&self) -> String {
        if self.is_sharded() {
            self.members()
        } else {
            self.base.clone()
        }
    }

    /// Whether the holder of this Lease is a member with another number of shards, or may be one: its Lease has no number.
    pub fn is_conflicting(&self, name: &str, record: &LeaseRecord) -> bool {
        if name == self.base {
            return self.is_sharded();
        }
        let number = name
            .strip_prefix(&self.members())
            .and_then(|rest| rest.strip_prefix('-'));
        let is_member = number.is_some_and(|number| number.parse::<usize>().is_ok());
        is_member && record.shards() != Some(self.shards)
    }

    /// Whether this is the name of a Lease of these replicas, whatever their number of shards.
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
    fn the_shard_of_a_key_is_the_same_in_every_release() {
        let shards = |layout: &ShardLayout| {
            ["nats/prod", "nats/stage", "team-a/prod", "/"].map(|key| layout.shard_of(key))
        };
        assert_eq!(shards(&ShardLayout::new("leeward", 1)), [0, 0, 0, 0]);
        assert_eq!(shards(&ShardLayout::new("leeward", 4)), [3, 0, 2, 2]);
        assert_eq!(shards(&ShardLayout::new("leeward", 64)), [43, 0, 50, 62]);
    }

    #[test]
    fn keys_are_spread_over_all_shards() {
        let layout = ShardLayout::new("leeward", 16);
        let mut counts = [0_usize; 16];
        for number in 0..1600 {
            counts[layout.shard_of(&format!("nats/system-{number}"))] += 1;
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
    fn a_member_with_another_number_of_shards_or_with_none_conflicts() {
        let without = LeaseRecord::default();
        let four = LeaseRecord::default().with_shards(4);
        for (shards, single, member, unknown) in [
            (1, false, true, true),
            (4, true, false, true),
            (8, true, true, true),
        ] {
            let layout = ShardLayout::new("leeward", shards);
            assert_eq!(layout.is_conflicting("leeward", &without), single, "{shards}");
            assert_eq!(
                layout.is_conflicting("leeward-member-3", &four),
                member,
                "{shards}"
            );
            assert_eq!(
                layout.is_conflicting("leeward-member-3", &without),
                unknown,
                "{shards}"
            );
            for other in ["leeward-shard-0", "leeward-member-", "leeward-member-x", "else"] {
                assert!(!layout.is_conflicting(other, &without), "{other}");
            }
        }
    }
}
