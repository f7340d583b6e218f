//! What a process may do by a lease, as everything else sees it.
//!
//! Two fences, which fall with the lease: one for acts on NATS, one for words to Kubernetes. The first is ended when the
//! lease is about to be given up, and the second a little later, once everything is said.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use leeward_engine::permit::Fence;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

/// Counts terms over all leases of this process, so that no two are taken for one.
static TERMS: AtomicU64 = AtomicU64::new(1);

/// One time of holding a lease. Within it nobody else held it, so what this process knows is the newest there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Term(u64);

impl Term {
    fn next() -> Self {
        Self(TERMS.fetch_add(1, Ordering::Relaxed))
    }
}

/// What somebody has to say in a term still; dropped once it is said.
pub type Voice = TaskTrackerToken;

/// The right that comes with a lease; clones share it.
#[derive(Clone, Debug)]
pub struct Tenure {
    right: watch::Receiver<Right>,
    sender: Arc<watch::Sender<Right>>,
    words: Fence,
}

#[derive(Clone, Debug)]
struct Right {
    /// The present one, or the last one.
    term: Option<Term>,
    held: bool,
    acts: Fence,
    voices: TaskTracker,
    /// No term to come has acts.
    closed: bool,
}

impl Right {
    fn begin(&mut self) {
        self.acts.end();
        self.term = Some(Term::next());
        self.acts = Fence::fallen();
        self.voices = TaskTracker::new();
        if self.closed {
            self.acts.end();
        }
    }
}

impl Tenure {
    /// The right of a process that is alone: it has it from the beginning.
    pub fn alone() -> Self {
        let right = Right {
            term: Some(Term::next()),
            held: true,
            acts: Fence::open(),
            voices: TaskTracker::new(),
            closed: false,
        };
        Self::with(right, Fence::open())
    }

    fn with(right: Right, words: Fence) -> Self {
        let (sender, right) = watch::channel(right);
        Self {
            right,
            sender: Arc::new(sender),
            words,
        }
    }

    /// The present term; `None` while another replica may hold the lease.
    pub fn term(&self) -> Option<Term> {
        let right = self.right.borrow();
        right.term.filter(|_| right.held && self.words.stands())
    }

    /// What every act of the present term hangs on.
    pub fn acts(&self) -> Fence {
        self.right.borrow().acts.clone()
    }

    /// What acts of this term hang on, with what is to be kept by those who have something to say in it; `None` in another.
    pub fn grant(&self, term: Term) -> Option<(Fence, Voice)> {
        let right = self.right.borrow();
        (right.term == Some(term)).then(|| (right.acts.clone(), right.voices.token()))
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
    pub async fn silence(&self) {
        let voices = self.right.borrow().voices.clone();
        voices.close();
        voices.wait().await;
    }

    /// When it ends unless the lease is renewed.
    pub fn falls_at(&self) -> Option<Instant> {
        self.words.falls_at()
    }

    /// Waits until a term begins or ends, or its acts do; for ever, where that cannot happen.
    pub async fn changed(&mut self) {
        if self.right.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Carries a call on for as long as the lease is held; `None` if it is not, or not to the end.
    pub async fn while_held<T>(&self, call: impl Future<Output = T>) -> Option<T> {
        let term = self.term()?;
        tokio::select! {
            biased;
            () = self.clone().ended(term) => None,
            done = call => Some(done),
        }
    }

    async fn ended(mut self, term: Term) {
        while self.term() == Some(term) {
            match self.words.falls_at() {
                Some(end) => tokio::select! {
                    () = sleep_until(end) => {}
                    () = self.changed() => {}
                },
                None => self.changed().await,
            }
        }
    }
}

/// The side of a [`Tenure`] that contends for the lease.
#[derive(Debug)]
pub struct Grip {
    right: Arc<watch::Sender<Right>>,
    words: Fence,
}

impl Grip {
    /// Holds nothing yet.
    pub fn new() -> (Self, Tenure) {
        let right = Right {
            term: None,
            held: false,
            acts: Fence::fallen(),
            voices: TaskTracker::new(),
            closed: false,
        };
        let tenure = Tenure::with(right, Fence::fallen());
        let grip = Self {
            right: Arc::clone(&tenure.sender),
            words: tenure.words.clone(),
        };
        (grip, tenure)
    }

    /// Holds until then; `anew` if somebody else may have held since the last time.
    pub fn extend(&self, until: Instant, anew: bool) {
        self.right.send_if_modified(|right| {
            let anew = anew || right.term.is_none();
            if anew {
                right.begin();
            }
            right.acts.extend(until);
            self.words.extend(until);
            !std::mem::replace(&mut right.held, true) || anew
        });
    }

    /// Holds no more. The fences fall first.
    pub fn lose(&self) {
        self.right.send_if_modified(|right| {
            right.acts.fall();
            self.words.fall();
            std::mem::replace(&mut right.held, false)
        });
    }

    /// Whether a term is under way, as others were told.
    pub fn is_held(&self) -> bool {
        self.right.borrow().held
    }

    /// Whether it is held in truth.
    pub fn stands(&self) -> bool {
        self.words.stands()
    }

    /// When it ends unless it is extended.
    pub fn falls_at(&self) -> Option<Instant> {
        self.words.falls_at()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const LONG: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn a_term_ends_by_itself_and_goes_on_only_if_nobody_else_came_between() {
        let (grip, tenure) = Grip::new();
        assert_eq!(tenure.term(), None);
        grip.extend(Instant::now() + LONG, false);
        let first = tenure.term().unwrap();
        tokio::time::advance(LONG).await;
        assert_eq!(tenure.term(), None, "nobody had to tell");
        grip.lose();
        grip.extend(Instant::now() + LONG, false);
        assert_eq!(tenure.term(), Some(first));
        grip.lose();
        grip.extend(Instant::now() + LONG, true);
        assert_ne!(tenure.term(), Some(first));
    }

    #[tokio::test(start_paused = true)]
    async fn no_two_terms_of_a_process_are_the_same_whatever_their_lease() {
        let ((one, first), (two, second)) = (Grip::new(), Grip::new());
        one.extend(Instant::now() + LONG, true);
        two.extend(Instant::now() + LONG, true);
        assert_ne!(first.term(), second.term());
    }

    #[tokio::test(start_paused = true)]
    async fn words_end_with_the_lease_in_mid_sentence_and_go_on_while_it_is_renewed() {
        let (grip, tenure) = Grip::new();
        assert_eq!(tenure.while_held(async { 1 }).await, None, "not held yet");
        grip.extend(Instant::now() + LONG, true);
        let slow = tokio::spawn({
            let tenure = tenure.clone();
            async move { tenure.while_held(tokio::time::sleep(LONG * 3 / 2)).await }
        });
        tokio::time::sleep(LONG / 2).await;
        grip.extend(Instant::now() + LONG * 2, false);
        assert_eq!(slow.await.unwrap(), Some(()), "renewed in between");
        let endless = tenure.while_held(std::future::pending::<()>()).await;
        assert_eq!(endless, None);
    }

    #[tokio::test(start_paused = true)]
    async fn words_end_at_once_when_the_lease_is_given_up_and_do_not_go_on_in_the_next_term() {
        let (grip, tenure) = Grip::new();
        for anew in [false, true] {
            grip.extend(Instant::now() + LONG, true);
            let said = tenure.while_held(tokio::time::sleep(LONG / 2));
            let given_up = async {
                tokio::time::sleep(LONG / 10).await;
                grip.lose();
                if anew {
                    grip.extend(Instant::now() + LONG, true);
                }
            };
            assert_eq!(tokio::join!(said, given_up).0, None);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn p8_acts_that_were_ended_stay_so_although_the_lease_is_renewed_until_the_next_term() {
        let (grip, tenure) = Grip::new();
        grip.extend(Instant::now() + LONG, true);
        let of_first = tenure.acts();
        tenure.end_acts();
        grip.extend(Instant::now() + LONG, false);
        assert!(!tenure.acts().stands());
        assert!(tenure.term().is_some(), "it speaks still");
        grip.lose();
        grip.extend(Instant::now() + LONG, true);
        assert!(tenure.acts().stands());
        assert!(!of_first.stands(), "what began in the first term is over");
    }

    #[tokio::test(start_paused = true)]
    async fn p8_a_process_that_is_told_to_stop_acts_no_more_in_any_term() {
        let (grip, tenure) = Grip::new();
        tenure.close();
        for _ in 0..2 {
            grip.extend(Instant::now() + LONG, true);
            assert!(!tenure.acts().stands());
            assert!(tenure.term().is_some());
        }
        assert!(Tenure::alone().acts().stands());
    }

    #[tokio::test(start_paused = true)]
    async fn silence_comes_once_all_who_had_to_say_something_in_the_term_have_said_it() {
        let (grip, tenure) = Grip::new();
        grip.extend(Instant::now() + LONG, true);
        tenure.silence().await;
        grip.extend(Instant::now() + LONG, true);
        let voice = || tenure.grant(tenure.term().unwrap()).unwrap().1;
        let (one, two) = (voice(), voice());
        let silence = tokio::spawn({
            let tenure = tenure.clone();
            async move { tenure.silence().await }
        });
        let pause = Duration::from_millis(1);
        drop(one);
        tokio::time::sleep(pause).await;
        assert!(!silence.is_finished());
        drop(two);
        tokio::time::sleep(pause).await;
        assert!(silence.is_finished());
    }
}
