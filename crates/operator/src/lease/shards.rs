//! Spreads the shards over the members: looks at all leases, and takes and gives up what [`super::balance`] says.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use super::balance::BalanceView;
use super::layout::ShardLayout;
use super::leadership::{LeaderHandle, Leadership};
use super::lease_handle::{LeaseCandidate, LeaseHandle};
use super::lease_table::LeaseTable;
use super::log_throttle::LogThrottle;
use super::observed_lease::ObservedLease;
use super::shard::Shard;
use crate::error::chain;
use crate::gauges::LeaseGauges;

/// Before a shard is given up, what was done in it may be written for this long.
const FLUSH_TIMEOUT: Duration = Duration::from_millis(1500);

/// A shard's lease, held or not.
pub struct ShardLease {
    /// What acts and words of the shard hang on.
    pub leadership: Leadership,
    /// The other side of that, while the shard is not held.
    pub handle: Option<LeaderHandle>,
    /// Its numbers.
    pub gauges: LeaseGauges,
}

/// All shards, as one member sees them.
pub struct Shards {
    candidate: LeaseCandidate,
    layout: ShardLayout,
    member: Leadership,
    board: LeaseTable,
    leases: Vec<ShardLease>,
    held: BTreeMap<usize, CancellationToken>,
    keepers: JoinSet<(usize, LeaderHandle)>,
    /// Since when nobody has them.
    free: BTreeMap<usize, Instant>,
    trouble: LogThrottle,
}

impl Shards {
    /// None is held yet; there is a lease for each shard.
    pub fn new(
        candidate: LeaseCandidate,
        layout: ShardLayout,
        member: Leadership,
        leases: Vec<ShardLease>,
    ) -> Self {
        let board = LeaseTable::new(layout.clone(), &candidate.me, candidate.timing);
        Self {
            candidate,
            layout,
            member,
            board,
            leases,
            held: BTreeMap::new(),
            keepers: JoinSet::new(),
            free: BTreeMap::new(),
            trouble: LogThrottle::default(),
        }
    }

    /// Takes its part of the shards until `leave`; then gives all of them up.
    pub async fn spread(mut self, leave: CancellationToken) {
        let mut next = Instant::now();
        loop {
            tokio::select! {
                () = leave.cancelled() => break,
                Some(ended) = self.keepers.join_next() => if !self.reclaim(ended) { break },
                () = sleep_until(next) => {
                    self.step().await;
                    next = Instant::now() + self.candidate.timing.look;
                }
            }
        }
        for token in self.held.values() {
            token.cancel();
        }
        while self.keepers.join_next().await.is_some() {}
    }

    async fn step(&mut self) {
        match self.candidate.store.list().await {
            Ok(read) => {
                if self.trouble.end() {
                    info!("the shards' leases can be read again");
                }
                self.board.update(read, Instant::now());
            }
            Err(error) => {
                let category = error.category();
                if self.trouble.is_news(category) {
                    error!(category, error = %chain(&error), "the shards' leases were not read, none is taken");
                }
                return;
            }
        }
        // Others are watched all the time, so that a member that is new knows who is gone.
        if self.member.lease_epoch().is_some() {
            self.act(Instant::now()).await;
        }
    }

    async fn act(&mut self, now: Instant) {
        let mine: BTreeSet<usize> = self.held.keys().copied().collect();
        let mut open = self.board.open_shards(now);
        open.retain(|shard, _| {
            self.leases
                .get(*shard)
                .is_some_and(|lease| lease.handle.is_some())
        });
        self.free.retain(|shard, _| open.contains_key(shard));
        let mut orphaned = BTreeSet::new();
        for shard in open.keys() {
            let since = *self.free.entry(*shard).or_insert(now);
            if now.saturating_duration_since(since) >= self.candidate.timing.duration {
                orphaned.insert(*shard);
            }
        }
        let mut members = self.board.members(now);
        members.insert(self.candidate.me.clone(), mine.len());
        let decision = BalanceView {
            me: &self.candidate.me,
            members: &members,
            mine: &mine,
            free: &open.keys().copied().collect(),
            orphaned: &orphaned,
        }
        .decide();
        for shard in decision.take {
            if let Some(seen) = open.remove(&shard) {
                self.take(shard, seen);
            }
        }
        if let Some(shard) = decision.give_up {
            self.give_up(shard).await;
        }
    }

    fn take(&mut self, shard: usize, seen: ObservedLease) {
        let Some(lease) = self.leases.get_mut(shard) else {
            return;
        };
        let Some(handle) = lease.handle.take() else { return };
        let name = self.layout.shard_lease(shard);
        let hold = LeaseHandle::new(self.candidate.clone(), name, seen, handle, lease.gauges.clone());
        let keeper = Shard::new(hold, self.member.clone());
        let leave = CancellationToken::new();
        self.held.insert(shard, leave.clone());
        self.keepers
            .spawn(async move { (shard, keeper.keep(leave).await) });
    }

    /// Acts end first, then words, then the lease.
    async fn give_up(&mut self, shard: usize) {
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

    /// Takes back what hangs on a shard that is not held any more; whether that was all.
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
                error!(error = %chain(&error), "the keeper of a shard failed");
                self.leases.iter().for_each(|lease| lease.leadership.close());
                false
            }
        }
    }
}
