//! The right to act: made in one place, checked at the last moment, short-lived (P8).
//!
//! Every method of [`crate::ports::Act`] that changes something takes a [`Permit`], so code that only looks cannot
//! act. An [`Authority`] issues permits while nothing withholds them; a [`Fence`] ends them all when its time is over.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use leeward_core::demand::later;
use tokio::time::Instant;

/// How long a permit is good for: one request.
const LIFETIME: Duration = Duration::from_secs(5);

/// The right to send one request that changes something.
#[derive(Debug)]
pub struct Permit {
    expires: Timestamp,
    authority: Authority,
    fence: Option<Fence>,
}

impl Permit {
    /// Whether it still holds: not expired, nothing withholds the authority since it was issued, and its fence stands.
    /// Adapters ask right before they publish.
    pub fn holds(&self, now: Timestamp) -> bool {
        now < self.expires
            && self.authority.withheld().is_none()
            && self.fence.as_ref().is_none_or(Fence::stands)
    }

    /// The same permit, which from now on holds only while a fence stands.
    #[must_use]
    pub fn behind(self, fence: &Fence) -> Self {
        Self {
            fence: Some(fence.clone()),
            ..self
        }
    }
}

/// Until when this process may do something at all, on a clock that nobody sets; clones share it.
///
/// It falls by itself when it is not extended, so a process that was asleep finds it fallen before it does anything.
#[derive(Clone, Debug)]
pub struct Fence {
    line: Arc<Mutex<Line>>,
}

#[derive(Clone, Copy, Debug)]
enum Line {
    Open,
    Until(Instant),
    Fallen,
    Ended,
}

impl Fence {
    /// One that has not stood yet.
    pub fn fallen() -> Self {
        Self::at(Line::Fallen)
    }

    /// One that stands until it is ended.
    pub fn open() -> Self {
        Self::at(Line::Open)
    }

    fn at(line: Line) -> Self {
        Self {
            line: Arc::new(Mutex::new(line)),
        }
    }

    /// Whether it stands now.
    pub fn stands(&self) -> bool {
        match *self.lock() {
            Line::Open => true,
            Line::Until(end) => Instant::now() < end,
            Line::Fallen | Line::Ended => false,
        }
    }

    /// When it falls unless it is extended; `None` where nothing can make it fall later: it stands for good, or not.
    pub fn falls_at(&self) -> Option<Instant> {
        match *self.lock() {
            Line::Until(end) => Some(end),
            Line::Open | Line::Fallen | Line::Ended => None,
        }
    }

    /// Lets it stand until then; one that was ended stays so.
    pub fn extend(&self, until: Instant) {
        let mut line = self.lock();
        if !matches!(*line, Line::Ended) {
            *line = Line::Until(until);
        }
    }

    /// Lets it fall now; it may be extended again.
    pub fn fall(&self) {
        let mut line = self.lock();
        if !matches!(*line, Line::Ended) {
            *line = Line::Fallen;
        }
    }

    /// Lets it fall now and for good.
    pub fn end(&self) {
        *self.lock() = Line::Ended;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why nothing may be done now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Withheld {
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

impl fmt::Display for Withheld {
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
pub struct Authority {
    withheld: Arc<Mutex<BTreeSet<Withheld>>>,
}

impl Authority {
    /// An authority that acts only once everything in `withheld` is lifted.
    pub fn new(withheld: impl IntoIterator<Item = Withheld>) -> Self {
        Self {
            withheld: Arc::new(Mutex::new(withheld.into_iter().collect())),
        }
    }

    /// Replaces all that withholds it; takes effect at once, also for permits that were issued before.
    pub fn set(&self, withheld: impl IntoIterator<Item = Withheld>) {
        *self.lock() = withheld.into_iter().collect();
    }

    /// The first reason that withholds it.
    pub fn withheld(&self) -> Option<Withheld> {
        self.lock().first().copied()
    }

    /// A permit for one request.
    pub fn issue(&self, now: Timestamp) -> Result<Permit, Withheld> {
        match self.withheld() {
            Some(reason) => Err(reason),
            None => Ok(Permit {
                expires: later(now, LIFETIME),
                authority: self.clone(),
                fence: None,
            }),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeSet<Withheld>> {
        self.withheld.lock().unwrap_or_else(PoisonError::into_inner)
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
        let authority = Authority::new([Withheld::Suspended, Withheld::Observing]);
        assert_eq!(authority.issue(at(0)).unwrap_err(), Withheld::Observing);
        authority.set([]);
        assert!(authority.issue(at(0)).unwrap().holds(at(1)));
    }

    #[test]
    fn p8_a_permit_ends_with_its_time_and_with_the_authority() {
        let authority = Authority::new([]);
        let permit = authority.issue(at(0)).unwrap();
        assert!(permit.holds(at(4)));
        assert!(!permit.holds(at(5)), "expired");
        authority.set([Withheld::NotActive]);
        assert!(!permit.holds(at(1)), "withheld after it was issued");
    }

    #[tokio::test(start_paused = true)]
    async fn p8_a_permit_behind_a_fence_ends_when_nobody_extends_it() {
        let fence = Fence::fallen();
        let authority = Authority::new([]);
        let permit = || authority.issue(at(0)).unwrap().behind(&fence);
        assert!(!permit().holds(at(0)), "it never stood");
        fence.extend(Instant::now() + Duration::from_secs(2));
        let early = permit();
        assert!(early.holds(at(0)));
        tokio::time::advance(Duration::from_secs(2)).await;
        assert!(!early.holds(at(0)), "not extended, whatever the wall clock says");
        fence.extend(Instant::now() + Duration::from_secs(2));
        assert!(early.holds(at(0)), "extended in time for this one");
        fence.fall();
        assert!(!early.holds(at(0)));
    }

    #[tokio::test(start_paused = true)]
    async fn p8_a_fence_that_was_ended_never_stands_again() {
        for fence in [Fence::open(), Fence::fallen()] {
            fence.end();
            fence.extend(Instant::now() + Duration::from_mins(1));
            assert!(!fence.stands());
        }
        assert!(Fence::open().stands());
    }
}
