//! What a process may do by a lease, as everything else sees it.
//!
//! Two deadlines, which pass with the lease: one for acts on NATS, one for writes to Kubernetes. The first is ended when the
//! lease is about to be given up, and the second a little later, once everything is said.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use leeward_engine::permit::Deadline;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

/// Counts terms over all leases of this process, so that no two are taken for one.
static TERMS: AtomicU64 = AtomicU64::new(1);

/// One time of holding a lease. Within it nobody else held it, so what this process knows is the newest there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseEpoch(u64);

impl LeaseEpoch {
    fn next() -> Self {
        Self(TERMS.fetch_add(1, Ordering::Relaxed))
    }
}

/// What somebody has to say in a term still; dropped once it is said.
pub type PendingWrite = TaskTrackerToken;

/// The right that comes with a lease; clones share it.
#[derive(Clone, Debug)]
pub struct Leadership {
    right: watch::Receiver<EpochState>,
    sender: Arc<watch::Sender<EpochState>>,
    words: Deadline,
}

#[derive(Clone, Debug)]
struct EpochState {
    /// The present one, or the last one.
    lease_epoch: Option<LeaseEpoch>,
    held: bool,
    acts: Deadline,
    voices: TaskTracker,
    /// No term to come has acts.
    closed: bool,
}

impl EpochState {
    fn begin(&mut self) {
        self.acts.end();
        self.lease_epoch = Some(LeaseEpoch::next());
        self.acts = Deadline::expired();
        self.voices = TaskTracker::new();
        if self.closed {
            self.acts.end();
        }
    }
}

impl Leadership {
    /// The right of a process that is alone: it has it from the beginning.
    pub fn alone() -> Self {
        let right = EpochState {
            lease_epoch: Some(LeaseEpoch::next()),
            held: true,
            acts: Deadline::open(),
            voices: TaskTracker::new(),
            closed: false,
        };
        Self::with(right, Deadline::open())
    }

    fn with(right: EpochState, words: Deadline) -> Self {
        let (sender, right) = watch::channel(right);
        Self {
            right,
            sender: Arc::new(sender),
            words,
        }
    }

    /// The present term; `None` while another replica may hold the lease.
    pub fn lease_epoch(&self) -> Option<LeaseEpoch> {
        let right = self.right.borrow();
        right.lease_epoch.filter(|_| right.held && self.words.holds())
    }

    /// What every act of the present term hangs on.
    pub fn acts(&self) -> Deadline {
        self.right.borrow().acts.clone()
    }

    /// What acts of this term hang on, with what is to be kept by those who have something to say in it; `None` in another.
    pub fn grant(&self, lease_epoch: LeaseEpoch) -> Option<(Deadline, PendingWrite)> {
        let right = self.right.borrow();
        (right.lease_epoch == Some(lease_epoch)).then(|| (right.acts.clone(), right.voices.token()))
    }

    /// Ends all acts of the present term; what was done may still be said.
    pub fn end_acts(&self) {
        self.sender.send_modify(|right| right.acts.end());
    }

    /// Ends all acts for good, those of terms to come too. Nobody is woken: whoever calls this ends the rest as well.
    pub fn close(&self) {
        self.sender.send_if_modified(|right| {
            right.closed = true;
            right.acts.end();
            false
        });
    }

    /// Waits until everything is said that somebody had to say in the present term.
    pub async fn drain(&self) {
        let voices = self.right.borrow().voices.clone();
        voices.close();
        voices.wait().await;
    }

    /// When it ends unless the lease is renewed.
    pub fn expires_at(&self) -> Option<Instant> {
        self.words.expires_at()
    }

    /// Waits until a term begins or ends, or its acts do; for ever, where that cannot happen.
    pub async fn changed(&mut self) {
        if self.right.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Carries a call on for as long as the lease is held; `None` if it is not, or not to the end.
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
            match self.words.expires_at() {
                Some(end) => tokio::select! {
                    () = sleep_until(end) => {}
                    () = self.changed() => {}
                },
                None => self.changed().await,
            }
        }
    }
}

/// The side of a [`Leadership`] that contends for the lease.
#[derive(Debug)]
pub struct LeaderHandle {
    right: Arc<watch::Sender<EpochState>>,
    words: Deadline,
}

impl LeaderHandle {
    /// Holds nothing yet.
    pub fn new() -> (Self, Leadership) {
        let right = EpochState {
            lease_epoch: None,
            held: false,
            acts: Deadline::expired(),
            voices: TaskTracker::new(),
            closed: false,
        };
        let leadership = Leadership::with(right, Deadline::expired());
        let handle = Self {
            right: Arc::clone(&leadership.sender),
            words: leadership.words.clone(),
        };
        (handle, leadership)
    }

    /// Holds until then; `anew` if somebody else may have held since the last time.
    pub fn extend(&self, until: Instant, anew: bool) {
        self.right.send_if_modified(|right| {
            let anew = anew || right.lease_epoch.is_none();
            if anew {
                right.begin();
            }
            right.acts.extend(until);
            self.words.extend(until);
            !std::mem::replace(&mut right.held, true) || anew
        });
    }

    /// Holds no more. The deadlines pass first.
    pub fn lose(&self) {
        self.right.send_if_modified(|right| {
            right.acts.expire();
            self.words.expire();
            std::mem::replace(&mut right.held, false)
        });
    }

    /// Whether a term is under way, as others were told.
    pub fn is_held(&self) -> bool {
        self.right.borrow().held
    }

    /// Whether it is held in truth.
    pub fn holds(&self) -> bool {
        self.words.holds()
    }

    /// When it ends unless it is extended.
    pub fn expires_at(&self) -> Option<Instant> {
        self.words.expires_at()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const LONG: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn a_term_ends_by_itself_and_goes_on_only_if_nobody_else_came_between() {
        let (handle, leadership) = LeaderHandle::new();
        assert_eq!(leadership.lease_epoch(), None);
        handle.extend(Instant::now() + LONG, false);
        let first = leadership.lease_epoch().unwrap();
        tokio::time::advance(LONG).await;
        assert_eq!(leadership.lease_epoch(), None, "nobody had to tell");
        handle.lose();
        handle.extend(Instant::now() + LONG, false);
        assert_eq!(leadership.lease_epoch(), Some(first));
        handle.lose();
        handle.extend(Instant::now() + LONG, true);
        assert_ne!(leadership.lease_epoch(), Some(first));
    }

    #[tokio::test(start_paused = true)]
    async fn no_two_terms_of_a_process_are_the_same_whatever_their_lease() {
        let ((one, first), (two, second)) = (LeaderHandle::new(), LeaderHandle::new());
        one.extend(Instant::now() + LONG, true);
        two.extend(Instant::now() + LONG, true);
        assert_ne!(first.lease_epoch(), second.lease_epoch());
    }

    #[tokio::test(start_paused = true)]
    async fn words_end_with_the_lease_in_mid_sentence_and_go_on_while_it_is_renewed() {
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
    async fn words_end_at_once_when_the_lease_is_given_up_and_do_not_go_on_in_the_next_term() {
        let (handle, leadership) = LeaderHandle::new();
        for anew in [false, true] {
            handle.extend(Instant::now() + LONG, true);
            let said = leadership.while_held(tokio::time::sleep(LONG / 2));
            let given_up = async {
                tokio::time::sleep(LONG / 10).await;
                handle.lose();
                if anew {
                    handle.extend(Instant::now() + LONG, true);
                }
            };
            assert_eq!(tokio::join!(said, given_up).0, None);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn p8_acts_that_were_ended_stay_so_although_the_lease_is_renewed_until_the_next_term() {
        let (handle, leadership) = LeaderHandle::new();
        handle.extend(Instant::now() + LONG, true);
        let of_first = leadership.acts();
        leadership.end_acts();
        handle.extend(Instant::now() + LONG, false);
        assert!(!leadership.acts().holds());
        assert!(leadership.lease_epoch().is_some(), "it speaks still");
        handle.lose();
        handle.extend(Instant::now() + LONG, true);
        assert!(leadership.acts().holds());
        assert!(!of_first.holds(), "what began in the first term is over");
    }

    #[tokio::test(start_paused = true)]
    async fn p8_a_process_that_is_told_to_stop_acts_no_more_in_any_term() {
        let (handle, leadership) = LeaderHandle::new();
        leadership.close();
        for _ in 0..2 {
            handle.extend(Instant::now() + LONG, true);
            assert!(!leadership.acts().holds());
            assert!(leadership.lease_epoch().is_some());
        }
        assert!(Leadership::alone().acts().holds());
    }

    #[tokio::test(start_paused = true)]
    async fn silence_comes_once_all_who_had_to_say_something_in_the_term_have_said_it() {
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
