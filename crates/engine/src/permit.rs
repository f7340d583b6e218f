//! The right to act: made in one place, checked at the last moment, short-lived (P8).
//!
//! Every method of [`crate::ports::Act`] that changes something takes a [`Permit`], so code that only looks cannot
//! act. An [`Authorizer`] issues permits while nothing inhibits it; a [`Deadline`] ends them all when it passes.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use leeward_core::time::later;
use tokio::time::Instant;

/// How long a permit is good for: one request.
const LIFETIME: Duration = Duration::from_secs(5);

/// The right to send one request that changes something.
#[derive(Debug)]
pub struct Permit {
    expires: Timestamp,
    authorizer: Authorizer,
    lease_deadline: Option<Deadline>,
}

impl Permit {
    /// Whether it still holds: not expired, nothing has inhibited the authorizer since it was issued, and its deadline has
    /// not passed.
    /// Adapters ask right before they publish.
    pub fn holds(&self, now: Timestamp) -> bool {
        now < self.expires
            && self.authorizer.inhibited().is_none()
            && self.lease_deadline.as_ref().is_none_or(Deadline::holds)
    }

    /// The same permit, which from now on holds only until a deadline.
    #[must_use]
    pub fn until(self, lease_deadline: &Deadline) -> Self {
        Self {
            lease_deadline: Some(lease_deadline.clone()),
            ..self
        }
    }
}

/// Until when this process may do something at all, on a clock that nobody sets; clones share it.
///
/// It passes by itself when it is not extended, so a process that was asleep finds it expired before it does anything.
#[derive(Clone, Debug)]
pub struct Deadline {
    state: Arc<Mutex<DeadlineState>>,
}

#[derive(Clone, Copy, Debug)]
enum DeadlineState {
    Open,
    Until(Instant),
    Expired,
    Ended,
}

impl Deadline {
    /// One that has passed, until it is extended.
    pub fn expired() -> Self {
        Self::at(DeadlineState::Expired)
    }

    /// One that never passes by itself.
    pub fn open() -> Self {
        Self::at(DeadlineState::Open)
    }

    fn at(state: DeadlineState) -> Self {
        Self {
            state: Arc::new(Mutex::new(state)),
        }
    }

    /// Whether it is still ahead.
    pub fn holds(&self) -> bool {
        match *self.lock() {
            DeadlineState::Open => true,
            DeadlineState::Until(end) => Instant::now() < end,
            DeadlineState::Expired | DeadlineState::Ended => false,
        }
    }

    /// When it passes unless it is extended; `None` for one that has passed or never does.
    pub fn expires_at(&self) -> Option<Instant> {
        match *self.lock() {
            DeadlineState::Until(end) => Some(end),
            DeadlineState::Open | DeadlineState::Expired | DeadlineState::Ended => None,
        }
    }

    /// Moves it to then; one that was ended stays so.
    pub fn extend(&self, until: Instant) {
        let mut state = self.lock();
        if !matches!(*state, DeadlineState::Ended) {
            *state = DeadlineState::Until(until);
        }
    }

    /// Lets it pass now; it may be extended again.
    pub fn expire(&self) {
        let mut state = self.lock();
        if !matches!(*state, DeadlineState::Ended) {
            *state = DeadlineState::Expired;
        }
    }

    /// Lets it pass now and for good.
    pub fn end(&self) {
        *self.lock() = DeadlineState::Ended;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, DeadlineState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why nothing may be done now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Inhibited {
    /// The policy only observes.
    Observing,
    /// A person suspended the policy.
    Suspended,
    /// A person suspended the whole system.
    SystemSuspended,
    /// The policy is not accepted: invalid, or another one outranks it.
    NotAccepted,
    /// The operator is shutting down, or another replica acts.
    NotActive,
}

impl fmt::Display for Inhibited {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Observing => "the policy's mode is Observe",
            Self::Suspended => "the policy is suspended",
            Self::SystemSuspended => "the NatsSystem is suspended",
            Self::NotAccepted => "the policy is not accepted",
            Self::NotActive => "this replica does not act",
        })
    }
}

/// Says whether one policy may act now. Clones share their state.
#[derive(Clone, Debug)]
pub struct Authorizer {
    inhibited: Arc<Mutex<BTreeSet<Inhibited>>>,
}

impl Authorizer {
    /// An authority that acts only once everything in `inhibited` is lifted.
    pub fn new(inhibited: impl IntoIterator<Item = Inhibited>) -> Self {
        Self {
            inhibited: Arc::new(Mutex::new(inhibited.into_iter().collect())),
        }
    }

    /// Replaces all that withholds it; takes effect at once, also for permits that were issued before.
    pub fn set(&self, inhibited: impl IntoIterator<Item = Inhibited>) {
        *self.lock() = inhibited.into_iter().collect();
    }

    /// The first reason that withholds it.
    pub fn inhibited(&self) -> Option<Inhibited> {
        self.lock().first().copied()
    }

    /// A permit for one request.
    pub fn issue(&self, now: Timestamp) -> Result<Permit, Inhibited> {
        match self.inhibited() {
            Some(reason) => Err(reason),
            None => Ok(Permit {
                expires: later(now, LIFETIME),
                authorizer: self.clone(),
                lease_deadline: None,
            }),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeSet<Inhibited>> {
        self.inhibited.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_permit_is_issued_only_when_nothing_withholds_it() {
        let authorizer = Authorizer::new([Inhibited::Suspended, Inhibited::Observing]);
        assert_eq!(authorizer.issue(at(0)).unwrap_err(), Inhibited::Observing);
        authorizer.set([]);
        assert!(authorizer.issue(at(0)).unwrap().holds(at(1)));
    }

    #[test]
    fn p8_a_permit_ends_with_its_time_and_with_the_authority() {
        let authorizer = Authorizer::new([]);
        let permit = authorizer.issue(at(0)).unwrap();
        assert!(permit.holds(at(4)));
        assert!(!permit.holds(at(5)), "expired");
        authorizer.set([Inhibited::NotActive]);
        assert!(!permit.holds(at(1)), "withheld after it was issued");
    }

    #[tokio::test(start_paused = true)]
    async fn p8_a_permit_behind_a_fence_ends_when_nobody_extends_it() {
        let lease_deadline = Deadline::expired();
        let authorizer = Authorizer::new([]);
        let permit = || authorizer.issue(at(0)).unwrap().until(&lease_deadline);
        assert!(!permit().holds(at(0)), "it never stood");
        lease_deadline.extend(Instant::now() + Duration::from_secs(2));
        let early = permit();
        assert!(early.holds(at(0)));
        tokio::time::advance(Duration::from_secs(2)).await;
        assert!(!early.holds(at(0)), "not extended, whatever the wall clock says");
        lease_deadline.extend(Instant::now() + Duration::from_secs(2));
        assert!(early.holds(at(0)), "extended in time for this one");
        lease_deadline.expire();
        assert!(!early.holds(at(0)));
    }

    #[tokio::test(start_paused = true)]
    async fn p8_a_fence_that_was_ended_never_stands_again() {
        for lease_deadline in [Deadline::open(), Deadline::expired()] {
            lease_deadline.end();
            lease_deadline.extend(Instant::now() + Duration::from_mins(1));
            assert!(!lease_deadline.holds());
        }
        assert!(Deadline::open().holds());
    }
}
