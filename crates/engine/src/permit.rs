//! The right to act: made in one place, checked at the last moment, short-lived (P8).
//!
//! Every method of [`crate::ports::Act`] that changes something takes a [`Permit`], so code that only looks cannot
//! act. An [`Authority`] issues permits while nothing withholds them.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use leeward_core::demand::later;

/// How long a permit is good for: one request.
const LIFETIME: Duration = Duration::from_secs(5);

/// The right to send one request that changes something.
#[derive(Debug)]
pub struct Permit {
    expires: Timestamp,
    authority: Authority,
}

impl Permit {
    /// Whether it still holds: not expired, and nothing withholds the authority since it was issued. Adapters ask right
    /// before they publish.
    pub fn holds(&self, now: Timestamp) -> bool {
        now < self.expires && self.authority.withheld().is_none()
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
}
