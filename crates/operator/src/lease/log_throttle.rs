//! A trouble that goes on is told once, and then from time to time.

use std::time::Duration;

use tokio::time::Instant;

/// So often.
const TOLD_AGAIN: Duration = Duration::from_mins(1);

/// What was told last.
#[derive(Debug, Default)]
pub struct LogThrottle {
    told: Option<(&'static str, Instant)>,
}

impl LogThrottle {
    /// Whether to tell of this one now.
    pub fn is_news(&mut self, category: &'static str) -> bool {
        let known = self
            .told
            .is_some_and(|(before, at)| before == category && at.elapsed() < TOLD_AGAIN);
        if !known {
            self.told = Some((category, Instant::now()));
        }
        !known
    }

    /// There is none from now on; whether there was one.
    pub fn end(&mut self) -> bool {
        self.told.take().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_trouble_is_told_when_it_begins_when_it_changes_and_once_a_minute() {
        let mut trouble = LogThrottle::default();
        assert!(!trouble.end());
        assert!(trouble.is_news("failed") && !trouble.is_news("failed"));
        assert!(trouble.is_news("forbidden"));
        tokio::time::advance(TOLD_AGAIN).await;
        assert!(trouble.is_news("forbidden"));
        assert!(trouble.end() && trouble.is_news("forbidden"));
    }
}
