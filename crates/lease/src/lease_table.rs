//! All Leases of the replicas, as this replica read them last. Pure.

use std::collections::BTreeMap;

use tokio::time::Instant;

use crate::layout::ShardLayout;
use crate::observed_lease::{LeaseState, ObservedLease};
use crate::record::LeaseRecord;
use crate::timing::Timing;

/// What this replica read.
#[derive(Debug)]
pub struct LeaseTable {
    layout: ShardLayout,
    identity: String,
    timing: Timing,
    /// By name; `None` before the first read.
    observed: Option<BTreeMap<String, ObservedLease>>,
}

/// A replica that is configured with another number of shards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConflictingReplica {
    /// Its lease.
    pub lease: String,
    /// Its identity.
    pub holder: String,
}

/// The versions of the Leases of conflicting replicas.
pub type ResourceVersions = Vec<(String, Option<String>)>;

/// A member's Lease for this replica.
#[derive(Clone, Debug)]
pub enum MemberSlot {
    /// This replica holds this one, or may acquire it.
    Open(String, Box<ObservedLease>),
    /// All are held by others.
    Taken {
        /// The identity of one of the holders.
        by: String,
    },
}

impl LeaseTable {
    /// Nothing was read yet.
    pub fn new(layout: ShardLayout, identity: &str, timing: Timing) -> Self {
        Self {
            layout,
            identity: identity.to_owned(),
            timing,
            observed: None,
        }
    }

    /// What was read next, at `now`.
    pub fn update(&mut self, mut read: BTreeMap<String, LeaseRecord>, now: Instant) {
        read.retain(|name, _| self.layout.has(name));
        let Some(observed) = &mut self.observed else {
            let first = |(name, record)| (name, ObservedLease::new(Some(record), now));
            self.observed = Some(read.into_iter().map(first).collect());
            return;
        };
        for (name, lease) in &mut *observed {
            lease.update(read.remove(name), now);
        }
        observed.extend(
            read.into_iter()
                .map(|(name, record)| (name, ObservedLease::appeared(record, now))),
        );
    }

    /// What was observed of a Lease.
    pub fn observed(&self, name: &str, now: Instant) -> ObservedLease {
        let observed = self.observed.as_ref().and_then(|observed| observed.get(name));
        observed.cloned().unwrap_or_else(|| ObservedLease::new(None, now))
    }

    /// Who holds a Lease.
    pub fn state(&self, name: &str, now: Instant) -> LeaseState {
        self.observed(name, now)
            .state(&self.identity, self.timing.lease_duration, now)
    }

    /// A conflicting replica that is alive, as far as this one can know.
    pub fn conflict(&self, now: Instant) -> Option<ConflictingReplica> {
        self.conflicts()
            .find_map(|(name, _)| match self.state(name, now) {
                LeaseState::Held { by } => Some(ConflictingReplica {
                    lease: name.to_owned(),
                    holder: by,
                }),
                LeaseState::Mine | LeaseState::Free(_) => None,
            })
    }

    /// While these stay the same, no conflicting replica has written anything.
    pub fn resource_versions(&self) -> ResourceVersions {
        let version = |(name, lease): (&String, &ObservedLease)| {
            let stored = lease.stored();
            (name.clone(), stored.and_then(|record| record.version.clone()))
        };
        self.conflicts().map(version).collect()
    }

    fn conflicts(&self) -> impl Iterator<Item = (&String, &ObservedLease)> {
        let is_conflicting = |name: &str, record| self.layout.is_conflicting(name, record);
        self.observed
            .iter()
            .flatten()
            .filter(move |(name, lease)| lease.record().is_some_and(|record| is_conflicting(name, record)))
    }

    /// The member's Lease to hold: the one that this replica holds, or the first that is free.
    pub fn slot(&self, now: Instant) -> MemberSlot {
        let (mut free, mut by) = (None, String::new());
        for name in self.layout.member_leases() {
            match self.state(&name, now) {
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
        let observed = self.observed(&name, now);
        MemberSlot::Open(name, Box::new(observed))
    }

    /// The members that are alive for certain, with the number of shards that each holds. A shard that were assigned to a
    /// member that has just died would stay free.
    pub fn members(&self, now: Instant) -> BTreeMap<String, usize> {
        let is_alive = |name: &String| {
            self.observed(name, now)
                .changed_within(self.timing.liveness_timeout, now)
        };
        let members = self.layout.member_leases().into_iter().filter(is_alive);
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
        match self.state(name, now) {
            LeaseState::Mine => Some(self.identity.clone()),
            LeaseState::Held { by } => Some(by),
            LeaseState::Free(_) => None,
        }
    }

    /// What was observed of the Lease of each shard that this replica may hold: the shard is free, or its own already.
    pub fn open_shards(&self, now: Instant) -> BTreeMap<usize, ObservedLease> {
        let open = |shard: usize| {
            let name = self.layout.shard_lease(shard);
            let held = matches!(self.state(&name, now), LeaseState::Held { .. });
            (!held).then(|| (shard, self.observed(&name, now)))
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

    fn table(shards: usize, leases: &[(&str, LeaseRecord)], now: Instant) -> LeaseTable {
        let mut table = LeaseTable::new(ShardLayout::new("leeward", shards), "me", Timing::of(USUAL));
        read(&mut table, leases, now);
        table
    }

    fn read(table: &mut LeaseTable, leases: &[(&str, LeaseRecord)], now: Instant) {
        let read = leases
            .iter()
            .map(|(name, record)| ((*name).to_owned(), record.clone()));
        table.update(read.collect(), now);
    }

    #[test]
    fn a_member_with_another_number_of_shards_or_with_none_conflicts_while_it_is_alive() {
        let now = Instant::now();
        let single = ("leeward", held("single", "1"));
        let four = ("leeward-member-0", held("four", "2").with_shards(4));
        let without = ("leeward-member-1", held("without", "3"));
        let found = |shards, lease: &(&str, LeaseRecord)| {
            let table = table(shards, std::slice::from_ref(lease), now);
            table.conflict(now).map(|conflict| conflict.holder)
        };
        assert_eq!(found(1, &single), None);
        assert_eq!(found(4, &single).as_deref(), Some("single"));
        assert_eq!(found(4, &four), None);
        assert_eq!(found(1, &four).as_deref(), Some("four"));
        assert_eq!(found(8, &four).as_deref(), Some("four"));
        assert_eq!(found(4, &without).as_deref(), Some("without"));
        let late = table(4, &[single, without], now);
        assert_eq!(late.conflict(now + USUAL), None, "they were not renewed");
    }

    #[test]
    fn versions_change_with_every_write_of_a_conflicting_replica_and_with_none_of_ones_own() {
        let now = Instant::now();
        let single = |version| ("leeward", held("single", version));
        let own = |version| ("leeward-member-0", held("me", version).with_shards(2));
        let mut known = table(2, &[single("1"), own("2")], now);
        let before = known.resource_versions();
        read(&mut known, &[single("1"), own("3")], now);
        assert_eq!(known.resource_versions(), before);
        read(&mut known, &[single("4"), own("3")], now);
        let renewed = known.resource_versions();
        assert_ne!(renewed, before);
        read(&mut known, &[own("3")], now);
        assert_ne!(known.resource_versions(), renewed, "deleted");
    }

    #[test]
    fn the_first_free_slot_is_open_and_ones_own_is_kept() {
        let now = Instant::now();
        let slot = |leases: &[(&str, LeaseRecord)]| match table(2, leases, now).slot(now) {
            MemberSlot::Open(name, _) => name,
            MemberSlot::Taken { by } => format!("taken by {by}"),
        };
        let other = |name| (name, held("other", "1").with_shards(2));
        assert_eq!(slot(&[]), "leeward-member-0");
        assert_eq!(slot(&[other("leeward-member-0")]), "leeward-member-1");
        let mine = ("leeward-member-1", held("me", "2").with_shards(2));
        assert_eq!(slot(&[mine]), "leeward-member-1");
        let both = [other("leeward-member-0"), other("leeward-member-1")];
        assert_eq!(slot(&both), "taken by other");
    }

    #[test]
    fn members_are_counted_with_their_shards_while_they_are_seen_to_renew() {
        let now = Instant::now();
        let leases = |version: &str| {
            [
                (
                    "leeward-member-0",
                    held("me", &format!("{version}0")).with_shards(4),
                ),
                (
                    "leeward-member-1",
                    held("other", &format!("{version}1")).with_shards(4),
                ),
                ("leeward-member-2", held("ghost", "2").with_shards(4)),
                ("leeward-shard-0", held("other", "3")),
                ("leeward-shard-1", held("ghost", "4")),
                ("leeward-shard-2", held("me", "5")),
            ]
        };
        let mut known = table(4, &leases("1"), now);
        assert_eq!(known.members(now), [].into(), "nobody was seen to renew");
        read(&mut known, &leases("2"), now);
        let counts = [("me".to_owned(), 1), ("other".to_owned(), 1)];
        assert_eq!(known.members(now), counts.into());
        assert_eq!(known.open_shards(now).into_keys().collect::<Vec<_>>(), [2, 3]);
        assert_eq!(known.members(now + Timing::of(USUAL).liveness_timeout), [].into());
        let later = now + USUAL;
        read(
            &mut known,
            &[("leeward-member-0", held("me", "6").with_shards(4))],
            later,
        );
        assert_eq!(known.members(later), [("me".to_owned(), 0)].into());
        assert_eq!(known.open_shards(later).len(), 4);
    }
}
