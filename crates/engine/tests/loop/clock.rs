//! The clock of the tests.

use std::time::Duration;

use jiff::Timestamp;
use leeward_engine::ports::Clock;
use tokio::time::Instant;

/// Wall-clock time that runs with tokio's: paused tests jump to whatever is waited for.
#[derive(Clone, Copy)]
pub struct PausedClock {
    start: Instant,
}

impl PausedClock {
    pub fn new() -> Self {
        Self {
            start: Instant::now(),
        }
    }

    pub fn epoch() -> Timestamp {
        "2026-01-01T12:00:00Z".parse().unwrap()
    }

    pub fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }
}

impl Clock for PausedClock {
    fn now(&self) -> Timestamp {
        Self::epoch() + self.start.elapsed()
    }
}
