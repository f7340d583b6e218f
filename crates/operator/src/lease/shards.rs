//! Spreads the shards over the members: looks at all leases, and takes and gives up what [`super::balance`] says.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use super::balance::Scene;
use super::board::Board;
use super::hold::{Contender, Hold};
use super::judge::Sighting;
use super::layout::Layout;
use super::shard::Shard;
use super::tenure::{Grip, Tenure};
use super::trouble::Trouble;
use crate::error::chain;
use crate::gauges::LeaseGauges;

/// Before a shard is given up, what was done in it may be written for this long.
const FAREWELL: Duration = Duration::from_millis(1500);

/// A shard's lease, held or not.
pub struct ShardLease {
    /// What acts and words of the shard hang on.
    pub tenure: Tenure,
    /// The other side of that, while the shard is not held.
    pub grip: Option<Grip>,
    /// Its numbers.
    pub gauges: LeaseGauges,
}

/// All shards, as one member sees them.
pub struct Shards {
    contender: Contender,
    layout: Layout,
    member: Tenure,
    board: Board,
    leases: Vec<ShardLease>,
    held: BTreeMap<usize, CancellationToken>,
    keepers: JoinSet<(usize, Grip)>,
    /// Since when nobody has them.
    free: BTreeMap<usize, Instant>,
    trouble: Trouble,
}

impl Shards {
    /// None is held yet; there is a lease for each shard.
    pub fn new(contender: Contender, layout: Layout, member: Tenure, leases: Vec<ShardLease>) -> Self {
        let board = Board::new(layout.clone(), &contender.me, contender.timing);
        Self {
            contender,
            layout,
            member,
            board,
            leases,
            held: BTreeMap::new(),
            keepers: JoinSet::new(),
            free: BTreeMap::new(),
            trouble: Trouble::default(),
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
                    next = Instant::now() + self.contender.timing.look;
                }
            }
        }
        for token in self.held.values() {
            token.cancel();
        }
        while self.keepers.join_next().await.is_some() {}
    }

    async fn step(&mut self) {
        match self.contender.store.list().await {
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
        if self.member.term().is_some() {
            self.act(Instant::now()).await;
        }
    }

    async fn act(&mut self, now: Instant) {
        let mine: BTreeSet<usize> = self.held.keys().copied().collect();
        let mut open = self.board.open_shards(now);
        open.retain(|shard, _| self.leases.get(*shard).is_some_and(|lease| lease.grip.is_some()));
        self.free.retain(|shard, _| open.contains_key(shard));
        let mut forsaken = BTreeSet::new();
        for shard in open.keys() {
            let since = *self.free.entry(*shard).or_insert(now);
            if now.saturating_duration_since(since) >= self.contender.timing.duration {
                forsaken.insert(*shard);
            }
        }
        let mut members = self.board.members(now);
        members.insert(self.contender.me.clone(), mine.len());
        let decision = Scene {
            me: &self.contender.me,
            members: &members,
            mine: &mine,
            free: &open.keys().copied().collect(),
            forsaken: &forsaken,
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

    fn take(&mut self, shard: usize, seen: Sighting) {
        let Some(lease) = self.leases.get_mut(shard) else {
            return;
        };
        let Some(grip) = lease.grip.take() else { return };
        let name = self.layout.shard_lease(shard);
        let hold = Hold::new(self.contender.clone(), name, seen, grip, lease.gauges.clone());
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
        lease.tenure.end_acts();
        if timeout(FAREWELL, lease.tenure.silence()).await.is_err() {
            info!(shard, "not everything was written in time");
        }
        leave.cancel();
    }

    /// Takes back what hangs on a shard that is not held any more; whether that was all.
    fn reclaim(&mut self, ended: Result<(usize, Grip), JoinError>) -> bool {
        match ended {
            Ok((shard, grip)) => {
                self.held.remove(&shard);
                if let Some(lease) = self.leases.get_mut(shard) {
                    lease.grip = Some(grip);
                }
                true
            }
            Err(error) => {
                error!(error = %chain(&error), "the keeper of a shard failed");
                self.leases.iter().for_each(|lease| lease.tenure.close());
                false
            }
        }
    }
}
