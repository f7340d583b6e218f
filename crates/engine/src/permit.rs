//! The right to act: made in one place, checked at the last moment, short-lived (P8).
//!
//! Every method of [`crate::ports::Act`] that changes something takes a [`Permit`], so code that only looks cannot act.
//! An [`Authorizer`] issues permits while nothing inhibits it. A permit may also depend on a condition, such as that
//! this replica is the leader.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use leeward_core::time::later;

/// How long a permit is good for: one request.
const LIFETIME: Duration = Duration::from_secs(5);

/// The right to send one request that changes something.
pub struct Permit {
    expires: Timestamp,
    authorizer: Authorizer,
    condition: Option<Box<dyn Fn() -> bool + Send + Sync>>,
    report: Option<Box<dyn Fn() + Send + Sync>>,
}

impl Permit {
    /// Whether it still holds: not expired, nothing inhibits the authorizer now, and its condition is true. Adapters
    /// ask right before they publish, after everything else that could keep the request back: what holds counts as sent.
    pub fn holds(&self, now: Timestamp) -> bool {
        let holds = now < self.expires
            && self.authorizer.inhibited().is_none()
            && self.condition.as_ref().is_none_or(|condition| condition());
        if let Some(report) = self.report.as_ref().filter(|_| holds) {
            report();
        }
        holds
    }

    /// The same permit, which reports the moment in which its request is sent.
    #[must_use]
    pub fn reporting(self, report: impl Fn() + Send + Sync + 'static) -> Self {
        Self {
            report: Some(Box::new(report)),
            ..self
        }
    }

    /// The same permit, which from now on holds only while this condition is true.
    #[must_use]
    pub fn only_while(self, condition: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self {
            condition: Some(Box::new(condition)),
            ..self
        }
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = formatter.debug_struct("Permit");
        shown
            .field("expires", &self.expires)
            .field("authorizer", &self.authorizer);
        shown.finish_non_exhaustive()
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

/// Decides whether one policy may act now. Clones share their state.
#[derive(Clone, Debug)]
pub struct Authorizer {
    inhibited: Arc<Mutex<BTreeSet<Inhibited>>>,
}

impl Authorizer {
    /// An authorizer that issues permits only once everything in `inhibited` is lifted.
    pub fn new(inhibited: impl IntoIterator<Item = Inhibited>) -> Self {
        Self {
            inhibited: Arc::new(Mutex::new(inhibited.into_iter().collect())),
        }
    }

    /// Replaces everything that inhibits it; takes effect at once, also for permits that were issued before.
    pub fn set(&self, inhibited: impl IntoIterator<Item = Inhibited>) {
        *self.lock() = inhibited.into_iter().collect();
    }

    /// The first reason that inhibits it.
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
                condition: None,
                report: None,
            }),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeSet<Inhibited>> {
        self.inhibited.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

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

    #[test]
    fn p9_a_permit_reports_that_its_request_is_sent_and_nothing_before_that() {
        let sent = Arc::new(AtomicBool::new(false));
        let authorizer = Authorizer::new([]);
        let permit = |holds: bool| {
            let sent = Arc::clone(&sent);
            let permit = authorizer
                .issue(at(0))
                .unwrap()
                .reporting(move || sent.store(true, Ordering::Relaxed));
            permit.only_while(move || holds)
        };
        assert!(!permit(false).holds(at(0)) && !permit(true).holds(at(5)));
        assert!(!sent.load(Ordering::Relaxed), "nothing was sent");
        assert!(permit(true).holds(at(0)));
        assert!(sent.load(Ordering::Relaxed));
    }

    #[test]
    fn p8_a_permit_holds_only_while_its_condition_is_true() {
        let is_leader = Arc::new(AtomicBool::new(false));
        let authorizer = Authorizer::new([]);
        let permit = || {
            let is_leader = Arc::clone(&is_leader);
            let permit = authorizer.issue(at(0)).unwrap();
            permit.only_while(move || is_leader.load(Ordering::Relaxed))
        };
        assert!(!permit().holds(at(0)), "it was not true yet");
        is_leader.store(true, Ordering::Relaxed);
        let early = permit();
        assert!(early.holds(at(0)));
        assert!(!early.holds(at(5)), "expired, whatever the condition is");
        is_leader.store(false, Ordering::Relaxed);
        assert!(!early.holds(at(0)), "it is asked at the last moment");
        is_leader.store(true, Ordering::Relaxed);
        authorizer.set([Inhibited::NotActive]);
        assert!(!early.holds(at(0)), "inhibited, whatever the condition is");
    }
}
