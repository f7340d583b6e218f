//! Until when a replica may act.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::Instant;

/// Until when this process may act, on the monotonic clock; clones share it.
///
/// A deadline passes unless it is extended, so a process that was stopped finds that it has passed before it acts again.
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
    /// A deadline that has passed, until it is extended.
    pub(crate) fn expired() -> Self {
        Self::at(DeadlineState::Expired)
    }

    /// A deadline that does not pass, until it is ended.
    pub fn open() -> Self {
        Self::at(DeadlineState::Open)
    }

    fn at(state: DeadlineState) -> Self {
        Self {
            state: Arc::new(Mutex::new(state)),
        }
    }

    /// Whether it has not passed yet.
    pub fn holds(&self) -> bool {
        match *self.lock() {
            DeadlineState::Open => true,
            DeadlineState::Until(end) => Instant::now() < end,
            DeadlineState::Expired | DeadlineState::Ended => false,
        }
    }

    /// When it passes unless it is extended; `None` if it has been expired or ended, or does not pass.
    pub(crate) fn expires_at(&self) -> Option<Instant> {
        match *self.lock() {
            DeadlineState::Until(end) => Some(end),
            DeadlineState::Open | DeadlineState::Expired | DeadlineState::Ended => None,
        }
    }

    /// Moves it to `until`; a deadline that was ended is not moved.
    pub(crate) fn extend(&self, until: Instant) {
        self.set_unless_ended(DeadlineState::Until(until));
    }

    /// Makes it pass now; it may be extended again.
    pub(crate) fn expire(&self) {
        self.set_unless_ended(DeadlineState::Expired);
    }

    /// Makes it pass now; it cannot be extended again.
    pub fn end(&self) {
        *self.lock() = DeadlineState::Ended;
    }

    fn set_unless_ended(&self, next: DeadlineState) {
        let mut state = self.lock();
        if !matches!(*state, DeadlineState::Ended) {
            *state = next;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, DeadlineState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const SHORT: Duration = Duration::from_secs(2);

    #[tokio::test(start_paused = true)]
    async fn p8_a_deadline_passes_when_nobody_extends_it() {
        let deadline = Deadline::expired();
        assert!(!deadline.holds(), "it was not extended yet");
        deadline.extend(Instant::now() + SHORT);
        assert!(deadline.holds());
        tokio::time::advance(SHORT).await;
        assert!(!deadline.holds(), "not extended");
        deadline.extend(Instant::now() + SHORT);
        assert!(deadline.holds());
        deadline.expire();
        assert!(!deadline.holds());
    }

    #[tokio::test(start_paused = true)]
    async fn p8_a_deadline_that_was_ended_cannot_be_extended() {
        for deadline in [Deadline::open(), Deadline::expired()] {
            deadline.end();
            deadline.extend(Instant::now() + Duration::from_mins(1));
            assert!(!deadline.holds());
        }
        assert!(Deadline::open().holds());
    }
}
