//! All leases of this operator, as this process saw them last. Pure.

use std::collections::BTreeMap;

use tokio::time::Instant;

use super::layout::ShardLayout;
use super::observed_lease::{LeaseState, ObservedLease};
use super::record::LeaseRecord;
use super::timing::Timing;

/// What was seen.
#[derive(Debug)]
pub struct LeaseTable {
    layout: ShardLayout,
    me: String,
    timing: Timing,
    /// By name; `None` before the first look.
    seen: Option<BTreeMap<String, ObservedLease>>,
}

/// A replica that counts with another number of shards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConflictingReplica {
    /// Its lease.
    pub lease: String,
    /// Which.
    pub holder: String,
}

/// Which editions of the rivals' leases were seen.
pub type ResourceVersions = Vec<(String, Option<String>)>;

/// A member's lease for this process.
#[derive(Clone, Debug)]
pub enum MemberSlot {
    /// It has this one, or may take it.
    Open(String, Box<ObservedLease>),
    /// All are taken; this is whose one of them is.
    Taken {
        /// Whose.
        by: String,
    },
}

impl LeaseTable {
    /// Nothing was seen yet.
    pub fn new(layout: ShardLayout, me: &str, timing: Timing) -> Self {
        Self {
            layout,
            me: me.to_owned(),
            timing,
            seen: None,
        }
    }

    /// The next look; `now` is when it was answered.
    pub fn update(&mut self, mut read: BTreeMap<String, LeaseRecord>, now: Instant) {
        read.retain(|name, _| self.layout.has(name));
        let Some(seen) = &mut self.seen else {
            let first = |(name, record)| (name, ObservedLease::new(Some(record), now));
            self.seen = Some(read.into_iter().map(first).collect());
            return;
        };
        for (name, sighting) in &mut *seen {
            sighting.update(read.remove(name), now);
        }
        seen.extend(
            read.into_iter()
                .map(|(name, record)| (name, ObservedLease::appeared(record, now))),
        );
    }

    /// What was seen of a lease.
    pub fn sighting(&self, name: &str, now: Instant) -> ObservedLease {
        let seen = self.seen.as_ref().and_then(|seen| seen.get(name));
        seen.cloned().unwrap_or_else(|| ObservedLease::new(None, now))
    }

    /// Whose a lease is.
    pub fn judge(&self, name: &str, now: Instant) -> LeaseState {
        self.sighting(name, now)
            .judge(&self.me, self.timing.duration, now)
    }

    /// One that lives, for all that can be known.
    pub fn conflict(&self, now: Instant) -> Option<ConflictingReplica> {
        self.conflicts()
            .find_map(|(name, _)| match self.judge(name, now) {
                LeaseState::Held { by } => Some(ConflictingReplica {
                    lease: name.to_owned(),
                    holder: by,
                }),
                LeaseState::Mine | LeaseState::Free(_) => None,
            })
    }

    /// As long as these stay the same, no rival wrote anything.
    pub fn resource_versions(&self) -> ResourceVersions {
        let edition = |(name, sighting): (&String, &ObservedLease)| {
            let stored = sighting.stored();
            (name.clone(), stored.and_then(|record| record.version.clone()))
        };
        self.conflicts().map(edition).collect()
    }

    fn conflicts(&self) -> impl Iterator<Item = (&String, &ObservedLease)> {
        let is_conflicting = |name: &str, record| self.layout.is_conflicting(name, record);
        self.seen
            .iter()
            .flatten()
            .filter(move |(name, seen)| seen.record().is_some_and(|record| is_conflicting(name, record)))
    }

    /// The member's lease to hold: the one that this process has, or the first that is free.
    pub fn slot(&self, now: Instant) -> MemberSlot {
        let (mut free, mut by) = (None, String::new());
        for name in self.layout.member_leases() {
            match self.judge(&name, now) {
                LeaseState::Mine => return self.open(name, now),
                LeaseState::Free(_) => free = free.or(Some(name)),
                LeaseState::Held { by: holder } => by = holder,
            }
        }
        match free {
            Some(name) => self.open(name, now),
            None => MemberSlot::Taken { by },
        }
    }

    fn open(&self, name: String, now: Instant) -> MemberSlot {
        let seen = self.sighting(&name, now);
        MemberSlot::Open(name, Box::new(seen))
    }

    /// The members of the same layout that are there for certain, with how many shards each of them has. One that died
    /// a moment ago would be left what nobody else then takes.
    pub fn members(&self, now: Instant) -> BTreeMap<String, usize> {
        let present = |name: &String| self.sighting(name, now).moved_within(self.timing.present, now);
        let members = self.layout.member_leases().into_iter().filter(present);
        let members = members.filter_map(|name| self.holder(&name, now));
        let mut counts: BTreeMap<String, usize> = members.map(|member| (member, 0)).collect();
        for shard in 0..self.layout.shards() {
            let holder = self.holder(&self.layout.shard_lease(shard), now);
            if let Some(count) = holder.and_then(|holder| counts.get_mut(&holder)) {
                *count += 1;
            }
        }
        counts
    }

    fn holder(&self, name: &str, now: Instant) -> Option<String> {
        match self.judge(name, now) {
            LeaseState::Mine => Some(self.me.clone()),
            LeaseState::Held { by } => Some(by),
            LeaseState::Free(_) => None,
        }
    }

    /// What was seen of the lease of each shard that this process may hold: it is free, or its own.
    pub fn open_shards(&self, now: Instant) -> BTreeMap<usize, ObservedLease> {
        let open = |shard: usize| {
            let name = self.layout.shard_lease(shard);
            let held = matches!(self.judge(&name, now), LeaseState::Held { .. });
            (!held).then(|| (shard, self.sighting(&name, now)))
        };
        (0..self.layout.shards()).filter_map(open).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::Timestamp;
    use k8s_openapi::api::coordination::v1::Lease as Object;

    use super::*;

    const USUAL: Duration = Duration::from_secs(6);

    fn held(by: &str, version: &str) -> LeaseRecord {
        let mut object = Object::default();
        object.metadata.resource_version = Some(version.into());
        LeaseRecord::held(by, USUAL, Some(&LeaseRecord::of(object)), Timestamp::UNIX_EPOCH)
    }

    fn board(shards: usize, leases: &[(&str, LeaseRecord)], now: Instant) -> LeaseTable {
        let mut board = LeaseTable::new(ShardLayout::new("leeward", shards), "me", Timing::of(USUAL));
        look(&mut board, leases, now);
        board
    }

    fn look(board: &mut LeaseTable, leases: &[(&str, LeaseRecord)], now: Instant) {
        let read = leases
            .iter()
            .map(|(name, record)| ((*name).to_owned(), record.clone()));
        board.update(read.collect(), now);
    }

    #[test]
    fn whoever_counts_with_another_number_of_shards_or_does_not_say_is_a_rival_while_it_lives() {
        let now = Instant::now();
        let single = ("leeward", held("single", "1"));
        let four = ("leeward-member-0", held("four", "2").counting(4));
        let silent = ("leeward-member-1", held("silent", "3"));
        let found = |shards, lease: &(&str, LeaseRecord)| {
            let board = board(shards, std::slice::from_ref(lease), now);
            board.conflict(now).map(|conflict| conflict.holder)
        };
        assert_eq!(found(1, &single), None);
        assert_eq!(found(4, &single).as_deref(), Some("single"));
        assert_eq!(found(4, &four), None);
        assert_eq!(found(1, &four).as_deref(), Some("four"));
        assert_eq!(found(8, &four).as_deref(), Some("four"));
        assert_eq!(found(4, &silent).as_deref(), Some("silent"));
        let late = board(4, &[single, silent], now);
        assert_eq!(late.conflict(now + USUAL), None, "they were not renewed");
    }

    #[test]
    fn editions_change_with_every_word_of_a_rival_and_with_none_of_ones_own() {
        let now = Instant::now();
        let single = |version| ("leeward", held("single", version));
        let own = |version| ("leeward-member-0", held("me", version).counting(2));
        let mut seen = board(2, &[single("1"), own("2")], now);
        let before = seen.resource_versions();
        look(&mut seen, &[single("1"), own("3")], now);
        assert_eq!(seen.resource_versions(), before);
        look(&mut seen, &[single("4"), own("3")], now);
        let renewed = seen.resource_versions();
        assert_ne!(renewed, before);
        look(&mut seen, &[own("3")], now);
        assert_ne!(seen.resource_versions(), renewed, "deleted");
    }

    #[test]
    fn the_first_free_seat_is_taken_and_ones_own_is_kept() {
        let now = Instant::now();
        let slot = |leases: &[(&str, LeaseRecord)]| match board(2, leases, now).slot(now) {
            MemberSlot::Open(name, _) => name,
            MemberSlot::Taken { by } => format!("taken by {by}"),
        };
        let other = |name| (name, held("other", "1").counting(2));
        assert_eq!(slot(&[]), "leeward-member-0");
        assert_eq!(slot(&[other("leeward-member-0")]), "leeward-member-1");
        let mine = ("leeward-member-1", held("me", "2").counting(2));
        assert_eq!(slot(&[mine]), "leeward-member-1");
        let both = [other("leeward-member-0"), other("leeward-member-1")];
        assert_eq!(slot(&both), "taken by other");
    }

    #[test]
    fn members_are_counted_with_what_they_hold_while_they_are_seen_to_renew() {
        let now = Instant::now();
        let leases = |edition: &str| {
            [
                ("leeward-member-0", held("me", &format!("{edition}0")).counting(4)),
                (
                    "leeward-member-1",
                    held("other", &format!("{edition}1")).counting(4),
                ),
                ("leeward-member-2", held("ghost", "2").counting(4)),
                ("leeward-shard-0", held("other", "3")),
                ("leeward-shard-1", held("ghost", "4")),
                ("leeward-shard-2", held("me", "5")),
            ]
        };
        let mut seen = board(4, &leases("1"), now);
        assert_eq!(seen.members(now), [].into(), "nobody was seen to renew");
        look(&mut seen, &leases("2"), now);
        let counts = [("me".to_owned(), 1), ("other".to_owned(), 1)];
        assert_eq!(seen.members(now), counts.into());
        assert_eq!(seen.open_shards(now).into_keys().collect::<Vec<_>>(), [2, 3]);
        assert_eq!(seen.members(now + Timing::of(USUAL).present), [].into());
        let later = now + USUAL;
        look(
            &mut seen,
            &[("leeward-member-0", held("me", "6").counting(4))],
            later,
        );
        assert_eq!(seen.members(later), [("me".to_owned(), 0)].into());
        assert_eq!(seen.open_shards(later).len(), 4);
    }
}
