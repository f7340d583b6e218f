//! What a process may do by a lease, as everything else sees it.
//!
//! Two fences, which fall with the lease: one for acts on NATS, one for words to Kubernetes. The first is ended when the
//! process is told to stop, and the second a little later, once everything is said.

use leeward_engine::permit::Fence;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// One time of holding a lease. Within it nobody else held it, so what this process knows is the newest there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Term(u64);

/// The right that comes with a lease; clones share it.
#[derive(Clone, Debug)]
pub struct Tenure {
    term: watch::Receiver<Option<Term>>,
    acts: Fence,
    words: Fence,
}

impl Tenure {
    /// The right of a process that is alone: it has it from the beginning.
    pub fn alone() -> Self {
        let (_, term) = watch::channel(Some(Term(0)));
        Self {
            term,
            acts: Fence::open(),
            words: Fence::open(),
        }
    }

    /// The present term; `None` while another replica may hold the lease.
    pub fn term(&self) -> Option<Term> {
        let term = *self.term.borrow();
        term.filter(|_| self.words.stands())
    }

    /// What every act hangs on.
    pub fn acts(&self) -> &Fence {
        &self.acts
    }

    /// Ends all acts of this process for good; it may still say what it did.
    pub fn end_acts(&self) {
        self.acts.end();
    }

    /// Waits until a term begins or ends; for ever, where that cannot happen.
    pub async fn changed(&mut self) {
        if self.term.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Carries a call on for as long as the lease is held; `None` if it is not, or not to the end.
    pub async fn while_held<T>(&self, call: impl Future<Output = T>) -> Option<T> {
        self.term()?;
        tokio::select! {
            biased;
            () = self.fallen() => None,
            done = call => Some(done),
        }
    }

    async fn fallen(&self) {
        while self.words.stands() {
            match self.words.falls_at() {
                Some(end) => sleep_until(end).await,
                None => std::future::pending().await,
            }
        }
    }
}

/// The side of a [`Tenure`] that contends for the lease.
pub struct Grip {
    term: watch::Sender<Option<Term>>,
    acts: Fence,
    words: Fence,
    last: u64,
}

impl Grip {
    /// Holds nothing yet.
    pub fn new() -> (Self, Tenure) {
        let (sender, term) = watch::channel(None);
        let (acts, words) = (Fence::fallen(), Fence::fallen());
        let tenure = Tenure {
            term,
            acts: acts.clone(),
            words: words.clone(),
        };
        let grip = Self {
            term: sender,
            acts,
            words,
            last: 0,
        };
        (grip, tenure)
    }

    /// Holds until then; `anew` if somebody else may have held since the last time.
    pub fn extend(&mut self, until: Instant, anew: bool) {
        if anew || self.last == 0 {
            self.last += 1;
        }
        self.acts.extend(until);
        self.words.extend(until);
        let term = Some(Term(self.last));
        self.term
            .send_if_modified(|current| std::mem::replace(current, term) != term);
    }

    /// Holds no more. The fences fall first.
    pub fn lose(&self) {
        self.acts.fall();
        self.words.fall();
        self.term.send_if_modified(|current| current.take().is_some());
    }

    /// Whether a term is under way, as others were told.
    pub fn is_held(&self) -> bool {
        self.term.borrow().is_some()
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
        let (mut grip, tenure) = Grip::new();
        assert_eq!(tenure.term(), None);
        grip.extend(Instant::now() + LONG, true);
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
    async fn words_end_with_the_lease_in_mid_sentence_and_go_on_while_it_is_renewed() {
        let (mut grip, tenure) = Grip::new();
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
    async fn p8_a_process_that_is_told_to_stop_acts_no_more_although_it_renews_and_speaks() {
        let (mut grip, tenure) = Grip::new();
        grip.extend(Instant::now() + LONG, true);
        tenure.end_acts();
        grip.extend(Instant::now() + LONG, false);
        assert!(!tenure.acts().stands());
        assert!(tenure.term().is_some());
        assert!(Tenure::alone().acts().stands());
    }
}
