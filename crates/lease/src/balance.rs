//! Which shards a member acquires and releases. Pure.
//!
//! All members read the same Leases, so each decides by itself who acquires which shard: a free shard is assigned to the
//! member that holds the fewest. Where two members have read different things, both try to acquire a shard, and the write
//! of one is refused. Shards are released one at a time over all members, and only while one member holds two more than
//! another, so nothing moves where nothing is gained.

use std::collections::{BTreeMap, BTreeSet};

/// What a member knows.
#[derive(Clone, Debug)]
pub struct BalanceView<'a> {
    /// The member that decides.
    pub me: &'a str,
    /// All members that are alive, with the number of shards that each holds.
    pub members: &'a BTreeMap<String, usize>,
    /// The shards that this member holds.
    pub mine: &'a BTreeSet<usize>,
    /// The shards that nobody holds.
    pub free: &'a BTreeSet<usize>,
    /// The shards that were free for so long that any member may acquire them.
    pub orphaned: &'a BTreeSet<usize>,
}

/// What a member does next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rebalance {
    /// The shards to acquire.
    pub acquire: BTreeSet<usize>,
    /// The shard to release.
    pub release: Option<usize>,
}

impl BalanceView<'_> {
    /// What to do next: nothing for a replica that is not a member.
    pub fn decide(&self) -> Rebalance {
        if !self.members.contains_key(self.me) {
            return Rebalance::default();
        }
        Rebalance {
            acquire: &self.assigned() | self.orphaned,
            release: self.surplus(),
        }
    }

    /// The free shards that are assigned to this member.
    fn assigned(&self) -> BTreeSet<usize> {
        let mut members: BTreeSet<(usize, &str)> = self
            .members
            .iter()
            .map(|(member, count)| (*count, member.as_str()))
            .collect();
        let mut assigned = BTreeSet::new();
        for shard in self.free {
            let Some((count, member)) = members.pop_first() else {
                break;
            };
            if member == self.me {
                assigned.insert(*shard);
            }
            members.insert((count + 1, member));
        }
        assigned
    }

    /// A shard that this member holds too many. While a shard is free, members that hold fewer acquire that one.
    fn surplus(&self) -> Option<usize> {
        let counts = || self.members.iter().map(|(member, count)| (*count, member));
        let (most, fullest) = counts().max()?;
        let (least, _) = counts().min()?;
        let has_surplus = self.free.is_empty() && fullest == self.me && most >= least + 2;
        has_surplus.then(|| self.mine.last().copied()).flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Which shards each member holds.
    #[derive(Clone, Debug, Default)]
    struct World {
        shards: usize,
        members: BTreeMap<String, BTreeSet<usize>>,
    }

    impl World {
        fn new(shards: usize, members: usize) -> Self {
            let members = (0..members).map(|number| (format!("m{number:02}"), BTreeSet::new()));
            Self {
                shards,
                members: members.collect(),
            }
        }

        fn free(&self) -> BTreeSet<usize> {
            let taken: BTreeSet<usize> = self.members.values().flatten().copied().collect();
            (0..self.shards).filter(|shard| !taken.contains(shard)).collect()
        }

        fn counts(&self) -> BTreeMap<String, usize> {
            let count = |(member, mine): (&String, &BTreeSet<usize>)| (member.clone(), mine.len());
            self.members.iter().map(count).collect()
        }

        fn decide(&self, me: &str) -> Rebalance {
            let nothing = BTreeSet::new();
            BalanceView {
                me,
                members: &self.counts(),
                mine: self.members.get(me).unwrap_or(&nothing),
                free: &self.free(),
                orphaned: &nothing,
            }
            .decide()
        }

        /// All members know the same and do what they decide; returns how many shards were released, `None` if nothing changed.
        fn round(&mut self) -> Option<usize> {
            let seen = self.clone();
            let (mut changed, mut released) = (false, 0);
            for (member, mine) in &mut self.members {
                let decision = seen.decide(member);
                changed |= decision != Rebalance::default();
                mine.extend(decision.acquire);
                if let Some(shard) = decision.release {
                    assert!(mine.remove(&shard), "{member} releases what it holds");
                    released += 1;
                }
            }
            let all: usize = self.members.values().map(BTreeSet::len).sum();
            let distinct: BTreeSet<usize> = self.members.values().flatten().copied().collect();
            assert_eq!(all, distinct.len(), "no shard has two holders: {self:?}");
            changed.then_some(released)
        }

        /// Repeats until nothing changes; returns how many shards were released.
        fn settle(&mut self) -> usize {
            let mut released = 0;
            for _ in 0..1000 {
                match self.round() {
                    None => return released,
                    Some(in_round) => {
                        assert!(in_round <= 1, "one at a time");
                        released += in_round;
                    }
                }
            }
            panic!("never settles: {self:?}");
        }

        fn assert_balanced(&self) {
            assert!(self.free().is_empty(), "{self:?}");
            let counts = self.counts();
            let (least, most) = (counts.values().min().unwrap(), counts.values().max().unwrap());
            assert!(most - least <= 1, "{self:?}");
        }
    }

    #[test]
    fn any_number_of_members_settles_on_any_number_of_shards_whichever_join_and_leave() {
        let mut random = fastrand::Rng::with_seed(7);
        for shards in [1, 2, 3, 4, 7, 16, 64] {
            for members in 1..=9 {
                let mut world = World::new(shards, members);
                assert_eq!(world.settle(), 0, "at first nothing is to be released");
                world.assert_balanced();
                for number in 0..6 {
                    let before = world.clone();
                    let leaves = world.members.len() > 1 && random.bool();
                    if leaves {
                        let keys: Vec<String> = world.members.keys().cloned().collect();
                        world.members.remove(&keys[random.usize(0..keys.len())]);
                    } else {
                        let name = format!("m{:02}-{number}", random.usize(0..20));
                        world.members.entry(name).or_default();
                    }
                    let released = world.settle();
                    world.assert_balanced();
                    let fair = shards / world.members.len() + 1;
                    assert!(
                        released <= if leaves { 0 } else { fair },
                        "{released} released: {before:?} → {world:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn what_is_balanced_stays_as_it_is() {
        let mut world = World::new(4, 2);
        world.settle();
        assert_eq!(world.decide("m00"), Rebalance::default());
        let mut world = World::new(1, 1);
        world.settle();
        world.members.insert("a".into(), BTreeSet::new());
        assert_eq!(world.round(), None, "one shard does not move back and forth");
    }

    #[test]
    fn a_replica_that_is_no_member_acquires_nothing_and_any_member_acquires_what_is_orphaned() {
        let world = World::new(4, 2);
        assert_eq!(world.decide("stranger"), Rebalance::default());
        let members = [("a".to_owned(), 0), ("b".to_owned(), 2)].into();
        let (mine, free) = ([0, 1].into(), [2].into());
        let decide = |orphaned: &BTreeSet<usize>| {
            BalanceView {
                me: "b",
                members: &members,
                mine: &mine,
                free: &free,
                orphaned,
            }
            .decide()
        };
        assert_eq!(
            decide(&BTreeSet::new()),
            Rebalance::default(),
            "it is assigned to the other member"
        );
        assert_eq!(decide(&free).acquire, free);
    }
}
