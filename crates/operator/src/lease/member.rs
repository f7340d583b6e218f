//! This process among the replicas: it takes part while it holds a member's lease, which with one shard is all there is.
//!
//! Replicas that count with different numbers of shards never act at the same time. Each looks for the others, takes its
//! lease, and looks again: of two that do so at once, at least one sees the other, gives its lease up and tries again after
//! a while. Whoever has a lease and saw nobody keeps the right for as long as it renews in time, for whoever comes later
//! sees it. One that did not renew in time looks again.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::layout::ShardLayout;
use super::leadership::LeaderHandle;
use super::lease_handle::{LeaseCandidate, LeaseHandle};
use super::lease_table::{ConflictingReplica, LeaseTable, MemberSlot, ResourceVersions};
use super::observed_lease::ObservedLease;
use super::store::LeaseError;
use crate::gauges::LeaseGauges;

/// This process's part.
pub struct Member {
    hold: LeaseHandle,
    board: LeaseTable,
    /// The rivals' leases when nobody was seen; none of them acted while these are the same.
    cleared: Option<ResourceVersions>,
    conflict: Option<ConflictingReplica>,
    /// Two took their leases at once: this one waits a little longer than the other, by chance.
    pause: Duration,
}

impl Member {
    /// Takes no part yet.
    pub fn new(
        candidate: LeaseCandidate,
        layout: &ShardLayout,
        handle: LeaderHandle,
        gauges: LeaseGauges,
    ) -> Self {
        let board = LeaseTable::new(layout.clone(), &candidate.me, candidate.timing);
        let seen = ObservedLease::new(None, Instant::now());
        let mut hold = LeaseHandle::new(candidate, layout.member_group(), seen, handle, gauges);
        if layout.is_sharded() {
            hold = hold.counting(layout.shards());
        }
        Self {
            hold,
            board,
            cleared: None,
            conflict: None,
            pause: Duration::ZERO,
        }
    }

    /// Takes part whenever it can until `leave`; then gives its lease up.
    pub async fn keep(mut self, leave: CancellationToken) {
        let identity = &self.hold.candidate().me;
        info!(lease = self.hold.name(), %identity, "this replica waits for the lease");
        let mut next = Instant::now();
        loop {
            tokio::select! {
                () = leave.cancelled() => break,
                () = sleep_until(next) => next = self.step().await,
            }
        }
        self.hold.release().await;
    }

    async fn step(&mut self) -> Instant {
        let began = Instant::now();
        let outcome = self.attempt().await;
        self.hold.settle(began, outcome) + std::mem::take(&mut self.pause)
    }

    async fn attempt(&mut self) -> Result<(), LeaseError> {
        let has_seat = self.hold.is_known() && self.cleared.is_some();
        if !has_seat && !self.find_slot().await? {
            return Ok(());
        }
        let Some(sent) = self.hold.claim().await? else {
            return Ok(());
        };
        let until = sent + self.hold.candidate().timing.deadline;
        if self.hold.holds() {
            self.hold.extend(until, false);
            return Ok(());
        }
        if let Some(conflict) = self.look().await? {
            self.tell(conflict);
            self.hold.release().await;
            self.cleared = None;
            self.pause = self.hold.candidate().timing.look * fastrand::u32(0..6);
            return Ok(());
        }
        let resource_versions = self.board.resource_versions();
        let anew = self.cleared.as_ref() != Some(&resource_versions);
        self.cleared = Some(resource_versions);
        self.hold.extend(until, anew);
        Ok(())
    }

    /// Looks for a lease to take or to renew; whether there is one.
    async fn find_slot(&mut self) -> Result<bool, LeaseError> {
        let conflict = self.look().await?;
        if !self.hold.holds()
            && let Some(conflict) = conflict
        {
            self.tell(conflict);
            return Ok(false);
        }
        self.conflict = None;
        match self.board.slot(Instant::now()) {
            MemberSlot::Open(name, seen) => {
                self.hold.successor(name, *seen);
                Ok(true)
            }
            MemberSlot::Taken { by } => {
                self.hold.give_way(by);
                Ok(false)
            }
        }
    }

    async fn look(&mut self) -> Result<Option<ConflictingReplica>, LeaseError> {
        let read = self.hold.candidate().store.list().await?;
        let now = Instant::now();
        self.board.update(read, now);
        Ok(self.board.conflict(now))
    }

    fn tell(&mut self, conflict: ConflictingReplica) {
        if self.conflict.as_ref() != Some(&conflict) {
            let ConflictingReplica { lease, holder } = &conflict;
            warn!(%lease, %holder, "replicas with another number of shards run: this one waits until none of them lives");
        }
        self.conflict = Some(conflict);
    }
}
