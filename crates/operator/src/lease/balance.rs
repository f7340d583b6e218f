//! Which shards a member takes and gives up. Pure.
//!
//! All members see the same leases, so each tells by itself who takes what: a free shard is for the member that has the
//! fewest. Where two see different things they contend for a lease, which decides. Shards are given up one at a time over
//! all members, and only while one has two more than another, so nothing moves where nothing is gained.

use std::collections::{BTreeMap, BTreeSet};

/// What a member sees.
#[derive(Clone, Debug)]
pub struct BalanceView<'a> {
    /// Who looks.
    pub me: &'a str,
    /// All members that live, with how many shards each has.
    pub members: &'a BTreeMap<String, usize>,
    /// What this one has.
    pub mine: &'a BTreeSet<usize>,
    /// What nobody has.
    pub free: &'a BTreeSet<usize>,
    /// What nobody has taken for so long that it is better in anybody's hands.
    pub orphaned: &'a BTreeSet<usize>,
}

/// What it does next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rebalance {
    /// To be taken.
    pub take: BTreeSet<usize>,
    /// To be given up.
    pub give_up: Option<usize>,
}

impl BalanceView<'_> {
    /// What to do next; nothing by one who is no member.
    pub fn decide(&self) -> Rebalance {
        if !self.members.contains_key(self.me) {
            return Rebalance::default();
        }
        Rebalance {
            take: &self.assigned() | self.orphaned,
            give_up: self.surplus(),
        }
    }

    /// Of what is free, what is for this one.
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

    /// What this one has too much. As long as something is free, that goes to those who have less.
    fn surplus(&self) -> Option<usize> {
        let counts = || self.members.iter().map(|(member, count)| (*count, member));
        let (most, fullest) = counts().max()?;
        let (least, _) = counts().min()?;
        let gives = self.free.is_empty() && fullest == self.me && most >= least + 2;
        gives.then(|| self.mine.last().copied()).flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Who has what.
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

        /// All see the same and do what they decide; returns how many shards were given up, `None` if nothing changed.
        fn round(&mut self) -> Option<usize> {
            let seen = self.clone();
            let (mut changed, mut given) = (false, 0);
            for (member, mine) in &mut self.members {
                let decision = seen.decide(member);
                changed |= decision != Rebalance::default();
                mine.extend(decision.take);
                if let Some(shard) = decision.give_up {
                    assert!(mine.remove(&shard), "{member} gives up what it has");
                    given += 1;
                }
            }
            let all: usize = self.members.values().map(BTreeSet::len).sum();
            let distinct: BTreeSet<usize> = self.members.values().flatten().copied().collect();
            assert_eq!(all, distinct.len(), "no shard has two holders: {self:?}");
            changed.then_some(given)
        }

        /// Until nothing changes; returns how many shards were given up.
        fn settle(&mut self) -> usize {
            let mut given = 0;
            for _ in 0..1000 {
                match self.round() {
                    None => return given,
                    Some(in_round) => {
                        assert!(in_round <= 1, "one at a time");
                        given += in_round;
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
    fn any_number_of_members_settles_on_any_number_of_shards_whoever_comes_and_goes() {
        let mut chance = fastrand::Rng::with_seed(7);
        for shards in [1, 2, 3, 4, 7, 16, 64] {
            for members in 1..=9 {
                let mut world = World::new(shards, members);
                assert_eq!(world.settle(), 0, "at first nothing is to be given up");
                world.assert_balanced();
                for number in 0..6 {
                    let before = world.clone();
                    let leaves = world.members.len() > 1 && chance.bool();
                    if leaves {
                        let keys: Vec<String> = world.members.keys().cloned().collect();
                        world.members.remove(&keys[chance.usize(0..keys.len())]);
                    } else {
                        let name = format!("m{:02}-{number}", chance.usize(0..20));
                        world.members.entry(name).or_default();
                    }
                    let given = world.settle();
                    world.assert_balanced();
                    let fair = shards / world.members.len() + 1;
                    assert!(
                        given <= if leaves { 0 } else { fair },
                        "{given} given up: {before:?} → {world:?}"
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
        assert_eq!(world.round(), None, "one shard does not go to and fro");
    }

    #[test]
    fn who_is_no_member_takes_nothing_and_anybody_takes_what_is_forsaken() {
        let world = World::new(4, 2);
        assert_eq!(world.decide("stranger"), Rebalance::default());
        let members = [("a".to_owned(), 0), ("b".to_owned(), 2)].into();
        let (mine, free) = ([0, 1].into(), [2].into());
        let scene = |orphaned: &BTreeSet<usize>| {
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
            scene(&BTreeSet::new()),
            Rebalance::default(),
            "it is for the other"
        );
        assert_eq!(scene(&free).take, free);
    }
}
