//! The circuit breaker of one policy: after some failures within a span nothing is tried for a while, then one action.
//!
//! What counts as a failure, and that a half open breaker lets one action through at a time, is up to the caller.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::time::{elapsed, later};

/// When the breaker opens, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerRules {
    /// How many failures open it; 0 counts as 1.
    pub failures: u32,
    /// Within this span.
    pub within: Duration,
    /// How long nothing is tried.
    pub open_for: Duration,
}

/// What the breaker remembers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Breaker {
    /// The failures that count, oldest first; never more than the rules allow.
    pub failures: Vec<Timestamp>,
    /// When it opened, unless it is closed.
    pub opened: Option<Timestamp>,
}

/// What the breaker lets through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerPhase {
    /// Everything.
    Closed,
    /// Nothing.
    Open {
        /// When it becomes half open.
        until: Timestamp,
    },
    /// One action at a time: its success closes the breaker, its failure opens it again.
    HalfOpen,
}

impl Breaker {
    /// What is let through now.
    pub fn phase(&self, rules: &BreakerRules, now: Timestamp) -> BreakerPhase {
        match self.opened.map(|opened| later(opened, rules.open_for)) {
            None => BreakerPhase::Closed,
            Some(until) if now < until => BreakerPhase::Open { until },
            Some(_) => BreakerPhase::HalfOpen,
        }
    }

    /// Counts a failure; true when this opened the breaker, for the first time or again.
    ///
    /// While it is open, failures are those of operations that were in flight before: they do not prolong it.
    pub fn failed(&mut self, rules: &BreakerRules, at: Timestamp) -> bool {
        match self.phase(rules, at) {
            BreakerPhase::Open { until: _ } => false,
            BreakerPhase::HalfOpen => {
                self.count(rules, at);
                self.opened = Some(at);
                true
            }
            BreakerPhase::Closed => {
                self.count(rules, at);
                let opens = self.failures.len() >= limit(rules);
                self.opened = opens.then_some(at);
                opens
            }
        }
    }

    /// Counts a success; true when this closed the breaker. It changes only a half open breaker: an open one may see
    /// the success of an operation that was in flight before.
    pub fn succeeded(&mut self, rules: &BreakerRules, at: Timestamp) -> bool {
        let closes = self.phase(rules, at) == BreakerPhase::HalfOpen;
        if closes {
            self.reset();
        }
        closes
    }

    /// Closes it and forgets the failures.
    pub fn reset(&mut self) {
        *self = Self::default();
    }

    fn count(&mut self, rules: &BreakerRules, at: Timestamp) {
        self.failures.push(at);
        self.failures.sort_unstable();
        let newest = self.failures.last().copied().unwrap_or(at);
        self.failures
            .retain(|failure| elapsed(*failure, newest) <= rules.within);
        let surplus = self.failures.len().saturating_sub(limit(rules));
        self.failures.drain(..surplus);
    }
}

fn limit(rules: &BreakerRules) -> usize {
    usize::try_from(rules.failures.max(1)).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests;
