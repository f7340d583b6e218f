//! Arithmetic of moments that never fails.

use std::time::Duration;

use jiff::Timestamp;

/// Time from one moment to a later one; zero when the clock went backwards.
pub fn elapsed(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or(Duration::ZERO)
}

/// A moment after another; the end of time when it would lie beyond.
pub fn later(from: Timestamp, span: Duration) -> Timestamp {
    from.checked_add(span).unwrap_or(Timestamp::MAX)
}
