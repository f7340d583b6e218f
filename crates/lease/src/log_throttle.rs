//! An error that persists is logged once, and then from time to time.

use std::time::Duration;

use tokio::time::Instant;

/// An error that persists is logged this often.
const REPEAT_AFTER: Duration = Duration::from_mins(1);

/// Which error was logged last.
#[derive(Debug, Default)]
pub struct LogThrottle {
    logged: Option<(&'static str, Instant)>,
}

impl LogThrottle {
    /// Whether an error of this category is to be logged now; it counts as logged then.
    pub fn is_due(&mut self, category: &'static str) -> bool {
        let is_known = self
            .logged
            .is_some_and(|(before, at)| before == category && at.elapsed() < REPEAT_AFTER);
        if !is_known {
            self.logged = Some((category, Instant::now()));
        }
        !is_known
    }

    /// The error is over; returns whether there was one.
    pub fn end(&mut self) -> bool {
        self.logged.take().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_error_is_logged_when_it_begins_when_it_changes_and_once_a_minute() {
        let mut throttle = LogThrottle::default();
        assert!(!throttle.end());
        assert!(throttle.is_due("failed") && !throttle.is_due("failed"));
        assert!(throttle.is_due("forbidden"));
        tokio::time::advance(REPEAT_AFTER).await;
        assert!(throttle.is_due("forbidden"));
        assert!(throttle.end() && throttle.is_due("forbidden"));
    }
}
