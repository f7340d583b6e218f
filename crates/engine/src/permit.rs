//! The right to act: made in one place, checked at the last moment, short-lived (P8).
//!
//! Every method of [`crate::ports::Act`] that changes something takes a [`Permit`], so code that only looks cannot
//! act. An [`Authorizer`] issues permits while nothing withholds them; a [`Deadline`] ends them all when its time is over.

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
    authority: Authorizer,
    lease_deadline: Option<Deadline>,
}

impl Permit {
    /// Whether it still holds: not expired, nothing withholds the authority since it was issued, and its fence stands.
    /// Adapters ask right before they publish.
    pub fn holds(&self, now: Timestamp) -> bool {
        now < self.expires
            && self.authority.inhibited().is_none()
            && self.lease_deadline.as_ref().is_none_or(Deadline::stands)
    }

    /// The same permit, which from now on holds only while a fence stands.
    #[must_use]
    pub fn behind(self, lease_deadline: &Deadline) -> Self {
        Self {
            lease_deadline: Some(lease_deadline.clone()),
            ..self
        }
    }
}

/// Until when this process may do something at all, on a clock that nobody sets; clones share it.
///
/// It falls by itself when it is not extended, so a process that was asleep finds it fallen before it does anything.
#[derive(Clone, Debug)]
pub struct Deadline {
    line: Arc<Mutex<DeadlineState>>,
}

#[derive(Clone, Copy, Debug)]
enum DeadlineState {
    Open,
    Until(Instant),
    Fallen,
    Ended,
}

impl Deadline {
    /// One that has not stood yet.
    pub fn fallen() -> Self {
        Self::at(DeadlineState::Fallen)
    }

    /// One that stands until it is ended.
    pub fn open() -> Self {
        Self::at(DeadlineState::Open)
    }

    fn at(line: DeadlineState) -> Self {
        Self {
            line: Arc::new(Mutex::new(line)),
        }
    }

    /// Whether it stands now.
    pub fn stands(&self) -> bool {
        match *self.lock() {
            DeadlineState::Open => true,
            DeadlineState::Until(end) => Instant::now() < end,
            DeadlineState::Fallen | DeadlineState::Ended => false,
        }
    }

    /// When it falls unless it is extended; `None` where nothing can make it fall later: it stands for good, or not.
    pub fn expires_at(&self) -> Option<Instant> {
        match *self.lock() {
            DeadlineState::Until(end) => Some(end),
            DeadlineState::Open | DeadlineState::Fallen | DeadlineState::Ended => None,
        }
    }

    /// Lets it stand until then; one that was ended stays so.
    pub fn extend(&self, until: Instant) {
        let mut line = self.lock();
        if !matches!(*line, DeadlineState::Ended) {
            *line = DeadlineState::Until(until);
        }
    }

    /// Lets it fall now; it may be extended again.
    pub fn fall(&self) {
        let mut line = self.lock();
        if !matches!(*line, DeadlineState::Ended) {
            *line = DeadlineState::Fallen;
        }
    }

    /// Lets it fall now and for good.
    pub fn end(&self) {
        *self.lock() = DeadlineState::Ended;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, DeadlineState> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
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
                authority: self.clone(),
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
        let authority = Authorizer::new([Inhibited::Suspended, Inhibited::Observing]);
        assert_eq!(authority.issue(at(0)).unwrap_err(), Inhibited::Observing);
        authority.set([]);
        assert!(authority.issue(at(0)).unwrap().holds(at(1)));
    }

    #[test]
    fn p8_a_permit_ends_with_its_time_and_with_the_authority() {
        let authority = Authorizer::new([]);
        let permit = authority.issue(at(0)).unwrap();
        assert!(permit.holds(at(4)));
        assert!(!permit.holds(at(5)), "expired");
        authority.set([Inhibited::NotActive]);
        assert!(!permit.holds(at(1)), "withheld after it was issued");
    }

    #[tokio::test(start_paused = true)]
    async fn p8_a_permit_behind_a_fence_ends_when_nobody_extends_it() {
        let lease_deadline = Deadline::fallen();
        let authority = Authorizer::new([]);
        let permit = || authority.issue(at(0)).unwrap().behind(&lease_deadline);
        assert!(!permit().holds(at(0)), "it never stood");
        lease_deadline.extend(Instant::now() + Duration::from_secs(2));
        let early = permit();
        assert!(early.holds(at(0)));
        tokio::time::advance(Duration::from_secs(2)).await;
        assert!(!early.holds(at(0)), "not extended, whatever the wall clock says");
        lease_deadline.extend(Instant::now() + Duration::from_secs(2));
        assert!(early.holds(at(0)), "extended in time for this one");
        lease_deadline.fall();
        assert!(!early.holds(at(0)));
    }

    #[tokio::test(start_paused = true)]
    async fn p8_a_fence_that_was_ended_never_stands_again() {
        for lease_deadline in [Deadline::open(), Deadline::fallen()] {
            lease_deadline.end();
            lease_deadline.extend(Instant::now() + Duration::from_mins(1));
            assert!(!lease_deadline.stands());
        }
        assert!(Deadline::open().stands());
    }
}
