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

use super::board::{Board, Editions, Rival, Seat};
use super::hold::{Contender, Hold};
use super::judge::Sighting;
use super::layout::Layout;
use super::store::LeaseError;
use super::tenure::Grip;
use crate::gauges::LeaseGauges;

/// This process's part.
pub struct Member {
    hold: Hold,
    board: Board,
    /// The rivals' leases when nobody was seen; none of them acted while these are the same.
    cleared: Option<Editions>,
    rival: Option<Rival>,
    /// Two took their leases at once: this one waits a little longer than the other, by chance.
    pause: Duration,
}

impl Member {
    /// Takes no part yet.
    pub fn new(contender: Contender, layout: &Layout, grip: Grip, gauges: LeaseGauges) -> Self {
        let board = Board::new(layout.clone(), &contender.me, contender.timing);
        let seen = Sighting::new(None, Instant::now());
        let mut hold = Hold::new(contender, layout.member_group(), seen, grip, gauges);
        if layout.is_sharded() {
            hold = hold.counting(layout.shards());
        }
        Self {
            hold,
            board,
            cleared: None,
            rival: None,
            pause: Duration::ZERO,
        }
    }

    /// Takes part whenever it can until `leave`; then gives its lease up.
    pub async fn keep(mut self, leave: CancellationToken) {
        let identity = &self.hold.contender().me;
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
        if !has_seat && !self.find_seat().await? {
            return Ok(());
        }
        let Some(sent) = self.hold.claim().await? else {
            return Ok(());
        };
        let until = sent + self.hold.contender().timing.deadline;
        if self.hold.stands() {
            self.hold.extend(until, false);
            return Ok(());
        }
        if let Some(rival) = self.look().await? {
            self.tell(rival);
            self.hold.release().await;
            self.cleared = None;
            self.pause = self.hold.contender().timing.look * fastrand::u32(0..6);
            return Ok(());
        }
        let editions = self.board.editions();
        let anew = self.cleared.as_ref() != Some(&editions);
        self.cleared = Some(editions);
        self.hold.extend(until, anew);
        Ok(())
    }

    /// Looks for a lease to take or to renew; whether there is one.
    async fn find_seat(&mut self) -> Result<bool, LeaseError> {
        let rival = self.look().await?;
        if !self.hold.stands()
            && let Some(rival) = rival
        {
            self.tell(rival);
            return Ok(false);
        }
        self.rival = None;
        match self.board.seat(Instant::now()) {
            Seat::Open(name, seen) => {
                self.hold.aim(name, *seen);
                Ok(true)
            }
            Seat::Taken { by } => {
                self.hold.give_way(by);
                Ok(false)
            }
        }
    }

    async fn look(&mut self) -> Result<Option<Rival>, LeaseError> {
        let read = self.hold.contender().store.list().await?;
        let now = Instant::now();
        self.board.update(read, now);
        Ok(self.board.rival(now))
    }

    fn tell(&mut self, rival: Rival) {
        if self.rival.as_ref() != Some(&rival) {
            let Rival { lease, holder } = &rival;
            warn!(%lease, %holder, "replicas with another number of shards run: this one waits until none of them lives");
        }
        self.rival = Some(rival);
    }
}
