//! Spreads the shards over the members: reads all Leases, and acquires and releases what [`crate::balance`] decides.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use crate::balance::BalanceView;
use crate::layout::ShardLayout;
use crate::leadership::{LeaderHandle, Leadership};
use crate::lease_handle::{LeaseCandidate, LeaseHandle};
use crate::lease_table::LeaseTable;
use crate::log_throttle::LogThrottle;
use crate::metrics::LeaseGauge;
use crate::observed_lease::ObservedLease;
use crate::shard::Shard;

/// Before a shard is released, what was done in it may be written for this long.
const FLUSH_TIMEOUT: Duration = Duration::from_millis(1500);

/// The Lease of a shard, held or not.
pub struct ShardLease {
    /// What the shard's leader may do.
    pub leadership: Leadership,
    /// The other side of the leadership, while the shard is not held.
    handle: Option<LeaderHandle>,
    gauge: LeaseGauge,
}

impl ShardLease {
    /// A Lease that is not held yet.
    pub fn new(gauge: LeaseGauge) -> Self {
        let (handle, leadership) = LeaderHandle::new();
        Self {
            leadership,
            handle: Some(handle),
            gauge,
        }
    }
}

/// All shards, as one member sees them.
pub struct Shards {
    candidate: LeaseCandidate,
    layout: ShardLayout,
    membership: Leadership,
    table: LeaseTable,
    leases: Vec<ShardLease>,
    held: BTreeMap<usize, CancellationToken>,
    tasks: JoinSet<(usize, LeaderHandle)>,
    /// Since when each free shard is free.
    free_since: BTreeMap<usize, Instant>,
    read_errors: LogThrottle,
}

impl Shards {
    /// No shard is held yet; there is a Lease for each shard.
    pub fn new(
        candidate: LeaseCandidate,
        layout: ShardLayout,
        membership: Leadership,
        leases: Vec<ShardLease>,
    ) -> Self {
        let table = LeaseTable::new(layout.clone(), &candidate.identity, candidate.timing);
        Self {
            candidate,
            layout,
            membership,
            table,
            leases,
            held: BTreeMap::new(),
            tasks: JoinSet::new(),
            free_since: BTreeMap::new(),
            read_errors: LogThrottle::default(),
        }
    }

    /// Holds this member's part of the shards until `leave` is cancelled, then releases them.
    pub async fn run(mut self, leave: CancellationToken) {
        let mut next = Instant::now();
        loop {
            tokio::select! {
                biased;
                () = leave.cancelled() => break,
                Some(ended) = self.tasks.join_next() => if !self.reclaim(ended) { break },
                () = sleep_until(next) => {
                    self.step().await;
                    next = Instant::now() + self.candidate.timing.retry_period;
                }
            }
        }
        for token in self.held.values() {
            token.cancel();
        }
        while self.tasks.join_next().await.is_some() {}
    }

    async fn step(&mut self) {
        match self.candidate.store.list().await {
            Ok(read) => {
                if self.read_errors.end() {
                    info!("the shards' leases can be read again");
                }
                self.table.update(read, Instant::now());
            }
            Err(error) => {
                let category = error.category();
                if self.read_errors.is_due(category) {
                    error!(category, %error, "the shards' leases were not read, none is taken");
                }
                return;
            }
        }
        // A replica that waits for a member's Lease reads them too, so that it knows who has died once it is a member.
        if self.membership.lease_epoch().is_some() {
            self.rebalance(Instant::now()).await;
        }
    }

    async fn rebalance(&mut self, now: Instant) {
        let mine: BTreeSet<usize> = self.held.keys().copied().collect();
        let mut open = self.table.open_shards(now);
        open.retain(|shard, _| {
            self.leases
                .get(*shard)
                .is_some_and(|lease| lease.handle.is_some())
        });
        let orphaned = self.orphaned(&open, now);
        let mut members = self.table.members(now);
        members.insert(self.candidate.identity.clone(), mine.len());
        let decision = BalanceView {
            me: &self.candidate.identity,
            members: &members,
            mine: &mine,
            free: &open.keys().copied().collect(),
            orphaned: &orphaned,
        }
        .decide();
        for shard in decision.acquire {
            if let Some(observed) = open.remove(&shard) {
                self.acquire(shard, observed);
            }
        }
        if let Some(shard) = decision.release {
            self.release(shard).await;
        }
    }

    /// Of the shards that are free now, those that were free for the duration of a Lease.
    fn orphaned(&mut self, open: &BTreeMap<usize, ObservedLease>, now: Instant) -> BTreeSet<usize> {
        self.free_since.retain(|shard, _| open.contains_key(shard));
        for shard in open.keys() {
            self.free_since.entry(*shard).or_insert(now);
        }
        let limit = self.candidate.timing.lease_duration;
        self.free_since
            .iter()
            .filter(|(_, since)| now.saturating_duration_since(**since) >= limit)
            .map(|(shard, _)| *shard)
            .collect()
    }

    fn acquire(&mut self, shard: usize, observed: ObservedLease) {
        let Some(lease) = self.leases.get_mut(shard) else {
            return;
        };
        let Some(handle) = lease.handle.take() else { return };
        let name = self.layout.shard_lease(shard);
        let lease = LeaseHandle::new(
            self.candidate.clone(),
            name,
            observed,
            handle,
            lease.gauge.clone(),
        );
        let task = Shard::new(lease, self.membership.clone());
        let leave = CancellationToken::new();
        self.held.insert(shard, leave.clone());
        self.tasks.spawn(async move { (shard, task.run(leave).await) });
    }

    /// First acts end, then pending writes, then the Lease is released.
    async fn release(&mut self, shard: usize) {
        let (Some(leave), Some(lease)) = (self.held.remove(&shard), self.leases.get(shard)) else {
            return;
        };
        info!(shard, "another member has fewer shards: this one is left to it");
        lease.leadership.end_acts();
        if timeout(FLUSH_TIMEOUT, lease.leadership.drain()).await.is_err() {
            info!(shard, "not everything was written in time");
        }
        leave.cancel();
    }

    /// Takes back the leadership of a shard whose task ended; returns whether the others continue.
    fn reclaim(&mut self, ended: Result<(usize, LeaderHandle), JoinError>) -> bool {
        match ended {
            Ok((shard, handle)) => {
                self.held.remove(&shard);
                if let Some(lease) = self.leases.get_mut(shard) {
                    lease.handle = Some(handle);
                }
                true
            }
            Err(error) => {
                error!(%error, "the keeper of a shard failed");
                self.leases.iter().for_each(|lease| lease.leadership.close());
                false
            }
        }
    }
}
