//! Moments in the future.

use std::time::Duration;

use tokio::time::Instant;

/// Anything further ahead never comes.
const FAR: Duration = Duration::from_hours(24 * 365 * 30);

/// The moment this long after another.
pub(crate) fn later(moment: Instant, by: Duration) -> Instant {
    moment.checked_add(by.min(FAR)).unwrap_or(moment)
}

/// The moment this long from now.
pub(crate) fn ahead(by: Duration) -> Instant {
    later(Instant::now(), by)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_span_can_be_added() {
        let now = Instant::now();
        assert!(later(now, Duration::MAX) > later(now, Duration::from_hours(1)));
    }
}
