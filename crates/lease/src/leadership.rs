//! What a replica may do as the leader of a shard.
//!
//! Two deadlines pass with the Lease: one for acts, and one for writes about them. Before a Lease is released the first is
//! ended, and the second a little later, once nothing is pending.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::deadline::Deadline;

/// Counts the epochs over all Leases of this process, so that no two are the same.
static NEXT_EPOCH: AtomicU64 = AtomicU64::new(1);

/// One span of holding a Lease in which no other replica held it, so what this process has read since is up to date. A
/// later epoch of a process is greater than an earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LeaseEpoch(u64);

impl LeaseEpoch {
    fn next() -> Self {
        Self(NEXT_EPOCH.fetch_add(1, Ordering::Relaxed))
    }
}

/// A write that is still to be made in an epoch; dropped once it is made.
pub type PendingWrite = TaskTrackerToken;

/// Whether this replica is the leader of a shard, and what it may do; clones share it.
#[derive(Clone, Debug)]
pub struct Leadership {
    state: watch::Receiver<EpochState>,
    sender: Arc<watch::Sender<EpochState>>,
    write_deadline: Deadline,
}

#[derive(Clone, Debug)]
struct EpochState {
    /// The present epoch, or the last one.
    lease_epoch: Option<LeaseEpoch>,
    is_held: bool,
    act_deadline: Deadline,
    pending: TaskTracker,
    /// Nothing may be done in later epochs either.
    is_closed: bool,
}

impl EpochState {
    fn begin(&mut self) {
        self.act_deadline.end();
        self.lease_epoch = Some(LeaseEpoch::next());
        self.act_deadline = Deadline::expired();
        self.pending = TaskTracker::new();
        if self.is_closed {
            self.act_deadline.end();
        }
    }
}

impl Leadership {
    /// The leadership of a process that runs without an election: it is the leader from the beginning.
    pub(crate) fn alone() -> Self {
        let state = EpochState {
            lease_epoch: Some(LeaseEpoch::next()),
            is_held: true,
            act_deadline: Deadline::open(),
            pending: TaskTracker::new(),
            is_closed: false,
        };
        Self::with(state, Deadline::open())
    }

    fn with(state: EpochState, write_deadline: Deadline) -> Self {
        let (sender, state) = watch::channel(state);
        Self {
            state,
            sender: Arc::new(sender),
            write_deadline,
        }
    }

    /// The present epoch; `None` while another replica may hold the Lease.
    pub fn lease_epoch(&self) -> Option<LeaseEpoch> {
        let state = self.state.borrow();
        state
            .lease_epoch
            .filter(|_| state.is_held && self.write_deadline.holds())
    }

    /// Until when this replica may act in the present epoch.
    pub fn act_deadline(&self) -> Deadline {
        self.state.borrow().act_deadline.clone()
    }

    /// Until when this replica may act in an epoch, and a token to keep until what was done is written; `None` if the epoch
    /// is not the present one.
    pub fn grant(&self, lease_epoch: LeaseEpoch) -> Option<(Deadline, PendingWrite)> {
        let state = self.state.borrow();
        (state.lease_epoch == Some(lease_epoch)).then(|| (state.act_deadline.clone(), state.pending.token()))
    }

    /// Ends all acts of the present epoch; what was done may still be written.
    pub(crate) fn end_acts(&self) {
        self.sender.send_modify(|state| state.act_deadline.end());
    }

    /// Ends all acts for good, in later epochs too. [`Leadership::changed`] does not return for this: the caller ends the
    /// rest as well.
    pub(crate) fn close(&self) {
        self.sender.send_if_modified(|state| {
            state.is_closed = true;
            state.act_deadline.end();
            false
        });
    }

    /// Waits until no write is pending in the present epoch.
    pub(crate) async fn drain(&self) {
        let pending = self.state.borrow().pending.clone();
        pending.close();
        pending.wait().await;
    }

    /// When the epoch ends unless the Lease is renewed.
    pub(crate) fn expires_at(&self) -> Option<Instant> {
        self.write_deadline.expires_at()
    }

    /// Waits until an epoch begins or ends, or its acts do; for ever, if that cannot happen.
    pub async fn changed(&mut self) {
        if self.state.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Runs a call while the Lease is held; `None` if it is not held, or lost before the call is done.
    pub async fn while_held<T>(&self, call: impl Future<Output = T>) -> Option<T> {
        let lease_epoch = self.lease_epoch()?;
        tokio::select! {
            biased;
            () = self.clone().ended(lease_epoch) => None,
            done = call => Some(done),
        }
    }

    async fn ended(mut self, lease_epoch: LeaseEpoch) {
        while self.lease_epoch() == Some(lease_epoch) {
            match self.write_deadline.expires_at() {
                Some(end) => tokio::select! {
                    biased;
                    () = sleep_until(end) => {}
                    () = self.changed() => {}
                },
                None => self.changed().await,
            }
        }
    }
}

/// The side of a [`Leadership`] that acquires and renews the Lease.
#[derive(Debug)]
pub struct LeaderHandle {
    state: Arc<watch::Sender<EpochState>>,
    write_deadline: Deadline,
}

impl LeaderHandle {
    /// The Lease is not held yet.
    pub fn new() -> (Self, Leadership) {
        let state = EpochState {
            lease_epoch: None,
            is_held: false,
            act_deadline: Deadline::expired(),
            pending: TaskTracker::new(),
            is_closed: false,
        };
        let leadership = Leadership::with(state, Deadline::expired());
        let handle = Self {
            state: Arc::clone(&leadership.sender),
            write_deadline: leadership.write_deadline.clone(),
        };
        (handle, leadership)
    }

    /// The Lease is held until then. A new epoch begins if `is_new_epoch`: another replica may have held the Lease since
    /// the last one.
    pub fn extend(&self, until: Instant, is_new_epoch: bool) {
        self.state.send_if_modified(|state| {
            let begins = is_new_epoch || state.lease_epoch.is_none();
            if begins {
                state.begin();
            }
            state.act_deadline.extend(until);
            self.write_deadline.extend(until);
            !std::mem::replace(&mut state.is_held, true) || begins
        });
    }

    /// The Lease is not held any more. The deadlines pass before this is announced.
    pub fn lose(&self) {
        self.state.send_if_modified(|state| {
            state.act_deadline.expire();
            self.write_deadline.expire();
            std::mem::replace(&mut state.is_held, false)
        });
    }

    /// Whether the end of the epoch was not announced yet; it may have expired.
    pub fn is_held(&self) -> bool {
        self.state.borrow().is_held
    }

    /// Whether the Lease is held: the deadline has not passed.
    pub fn holds(&self) -> bool {
        self.write_deadline.holds()
    }

    /// When the epoch ends unless it is extended.
    pub fn expires_at(&self) -> Option<Instant> {
        self.write_deadline.expires_at()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const LONG: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn an_epoch_expires_by_itself_and_continues_only_if_no_other_replica_held_the_lease() {
        let (handle, leadership) = LeaderHandle::new();
        assert_eq!(leadership.lease_epoch(), None);
        handle.extend(Instant::now() + LONG, false);
        let first = leadership.lease_epoch().unwrap();
        tokio::time::advance(LONG).await;
        assert_eq!(leadership.lease_epoch(), None, "nobody had to end it");
        handle.lose();
        handle.extend(Instant::now() + LONG, false);
        assert_eq!(leadership.lease_epoch(), Some(first));
        handle.lose();
        handle.extend(Instant::now() + LONG, true);
        assert_ne!(leadership.lease_epoch(), Some(first));
    }

    #[tokio::test(start_paused = true)]
    async fn no_two_epochs_of_a_process_are_the_same_whatever_their_lease() {
        let ((one, first), (two, second)) = (LeaderHandle::new(), LeaderHandle::new());
        one.extend(Instant::now() + LONG, true);
        two.extend(Instant::now() + LONG, true);
        assert_ne!(first.lease_epoch(), second.lease_epoch());
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_is_cut_off_when_the_lease_expires_and_continues_while_it_is_renewed() {
        let (handle, leadership) = LeaderHandle::new();
        assert_eq!(leadership.while_held(async { 1 }).await, None, "not held yet");
        handle.extend(Instant::now() + LONG, true);
        let slow = tokio::spawn({
            let leadership = leadership.clone();
            async move { leadership.while_held(tokio::time::sleep(LONG * 3 / 2)).await }
        });
        tokio::time::sleep(LONG / 2).await;
        handle.extend(Instant::now() + LONG * 2, false);
        assert_eq!(slow.await.unwrap(), Some(()), "renewed in between");
        let endless = leadership.while_held(std::future::pending::<()>()).await;
        assert_eq!(endless, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_is_cut_off_when_the_lease_is_released_and_does_not_continue_in_the_next_epoch() {
        let (handle, leadership) = LeaderHandle::new();
        for begins_again in [false, true] {
            handle.extend(Instant::now() + LONG, true);
            let written = leadership.while_held(tokio::time::sleep(LONG / 2));
            let released = async {
                tokio::time::sleep(LONG / 10).await;
                handle.lose();
                if begins_again {
                    handle.extend(Instant::now() + LONG, true);
                }
            };
            assert_eq!(tokio::join!(written, released).0, None);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn p8_acts_that_were_ended_stay_so_until_the_next_epoch_although_the_lease_is_renewed() {
        let (handle, leadership) = LeaderHandle::new();
        handle.extend(Instant::now() + LONG, true);
        let of_first = leadership.act_deadline();
        leadership.end_acts();
        handle.extend(Instant::now() + LONG, false);
        assert!(!leadership.act_deadline().holds());
        assert!(leadership.lease_epoch().is_some(), "writes may still be made");
        handle.lose();
        handle.extend(Instant::now() + LONG, true);
        assert!(leadership.act_deadline().holds());
        assert!(!of_first.holds(), "what began in the first epoch has ended");
    }

    #[tokio::test(start_paused = true)]
    async fn p8_a_process_that_was_closed_acts_in_no_later_epoch() {
        let (handle, leadership) = LeaderHandle::new();
        leadership.close();
        for _ in 0..2 {
            handle.extend(Instant::now() + LONG, true);
            assert!(!leadership.act_deadline().holds());
            assert!(leadership.lease_epoch().is_some());
        }
        assert!(Leadership::alone().act_deadline().holds());
    }

    #[tokio::test(start_paused = true)]
    async fn drain_returns_once_every_write_that_was_pending_in_the_epoch_is_made() {
        let (handle, leadership) = LeaderHandle::new();
        handle.extend(Instant::now() + LONG, true);
        leadership.drain().await;
        handle.extend(Instant::now() + LONG, true);
        let pending = || leadership.grant(leadership.lease_epoch().unwrap()).unwrap().1;
        let (one, two) = (pending(), pending());
        let drain = tokio::spawn({
            let leadership = leadership.clone();
            async move { leadership.drain().await }
        });
        let pause = Duration::from_millis(1);
        drop(one);
        tokio::time::sleep(pause).await;
        assert!(!drain.is_finished());
        drop(two);
        tokio::time::sleep(pause).await;
        assert!(drain.is_finished());
    }
}
