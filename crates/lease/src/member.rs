//! This replica as a member: it is one while it holds a member's Lease, which with one shard is the only Lease.
//!
//! Replicas with different numbers of shards never lead at the same time. Each reads the others' Leases, acquires its own,
//! and reads again: of two that do so at once, at least one sees the other, releases its Lease and tries again after a
//! while. A replica that holds a Lease and saw no conflicting one stays a member while it renews in time, since a later
//! replica sees its Lease. A replica that did not renew in time reads again.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::layout::ShardLayout;
use crate::leadership::LeaderHandle;
use crate::lease_handle::{LeaseCandidate, LeaseHandle};
use crate::lease_table::{ConflictingReplica, LeaseTable, MemberSlot, ResourceVersions};
use crate::metrics::LeaseGauge;
use crate::observed_lease::ObservedLease;
use crate::store::LeaseError;

/// This replica's membership.
pub struct Member {
    lease: LeaseHandle,
    table: LeaseTable,
    /// The versions of the conflicting Leases when all of them were free; while they are the same, no conflicting replica
    /// has led.
    clear_at: Option<ResourceVersions>,
    conflict: Option<ConflictingReplica>,
    /// After two replicas acquired conflicting Leases at once, each waits for a random time.
    pause: Duration,
}

impl Member {
    /// A replica that is not a member yet.
    pub fn new(
        candidate: LeaseCandidate,
        layout: &ShardLayout,
        handle: LeaderHandle,
        gauge: LeaseGauge,
    ) -> Self {
        let table = LeaseTable::new(layout.clone(), &candidate.identity, candidate.timing);
        let observed = ObservedLease::new(None, Instant::now());
        let mut lease = LeaseHandle::new(candidate, layout.member_group(), observed, handle, gauge);
        if layout.is_sharded() {
            lease = lease.with_shards(layout.shards());
        }
        Self {
            lease,
            table,
            clear_at: None,
            conflict: None,
            pause: Duration::ZERO,
        }
    }

    /// Is a member whenever it can until `leave` is cancelled, then releases its Lease.
    pub async fn run(mut self, leave: CancellationToken) {
        let identity = &self.lease.candidate().identity;
        info!(lease = self.lease.name(), %identity, "this replica waits for the lease");
        let mut next = Instant::now();
        loop {
            tokio::select! {
                biased;
                () = leave.cancelled() => break,
                () = sleep_until(next) => next = self.step().await,
            }
        }
        self.lease.release().await;
    }

    async fn step(&mut self) -> Instant {
        let began = Instant::now();
        let outcome = self.attempt().await;
        self.lease.finish_attempt(began, outcome) + std::mem::take(&mut self.pause)
    }

    async fn attempt(&mut self) -> Result<(), LeaseError> {
        let has_slot = self.lease.is_known() && self.clear_at.is_some();
        if !has_slot && !self.find_slot().await? {
            return Ok(());
        }
        let Some(sent) = self.lease.acquire_or_renew().await? else {
            return Ok(());
        };
        let until = sent + self.lease.candidate().timing.renew_deadline;
        if self.lease.holds() {
            self.lease.extend(until, false);
            return Ok(());
        }
        if let Some(conflict) = self.read().await? {
            self.back_off(conflict).await;
            return Ok(());
        }
        let versions = self.table.resource_versions();
        let is_new_epoch = self.clear_at.as_ref() != Some(&versions);
        self.clear_at = Some(versions);
        self.lease.extend(until, is_new_epoch);
        Ok(())
    }

    /// Finds a Lease to acquire or renew; returns whether there is one.
    async fn find_slot(&mut self) -> Result<bool, LeaseError> {
        let conflict = self.read().await?;
        if !self.lease.holds()
            && let Some(conflict) = conflict
        {
            self.report(conflict);
            return Ok(false);
        }
        self.conflict = None;
        match self.table.slot(Instant::now()) {
            MemberSlot::Open(name, observed) => {
                self.lease.switch_to(name, *observed);
                Ok(true)
            }
            MemberSlot::Taken { by } => {
                self.lease.lose_to(by);
                Ok(false)
            }
        }
    }

    /// Reads all Leases; returns a conflicting replica that is alive.
    async fn read(&mut self) -> Result<Option<ConflictingReplica>, LeaseError> {
        let read = self.lease.candidate().store.list().await?;
        let now = Instant::now();
        self.table.update(read, now);
        Ok(self.table.conflict(now))
    }

    async fn back_off(&mut self, conflict: ConflictingReplica) {
        self.report(conflict);
        self.lease.release().await;
        self.clear_at = None;
        self.pause = self.lease.candidate().timing.retry_period * fastrand::u32(0..6);
    }

    fn report(&mut self, conflict: ConflictingReplica) {
        if self.conflict.as_ref() != Some(&conflict) {
            let ConflictingReplica { lease, holder } = &conflict;
            warn!(%lease, %holder, "replicas with another number of shards run: this one waits until none of them lives");
        }
        self.conflict = Some(conflict);
    }
}
