//! The pause before the next look: short at first, then longer.

use std::time::Duration;

pub(super) struct Backoff {
    next: Duration,
    most: Duration,
    growth: f32,
}

impl Backoff {
    /// Most leader transfers take tens of milliseconds (nats-facts N14), and the servers announce them.
    pub(super) fn of_step_down() -> Self {
        Self {
            next: Duration::from_millis(30),
            most: Duration::from_millis(500),
            growth: 1.5,
        }
    }

    /// Consumers' new peers are caught up a second after the stream's, or never.
    pub(super) fn of_transfers() -> Self {
        Self {
            next: Duration::from_millis(100),
            most: Duration::from_secs(2),
            growth: 1.2,
        }
    }

    /// Moves take a second or minutes.
    pub(super) fn of_move() -> Self {
        Self {
            next: Duration::from_millis(150),
            most: Duration::from_secs(2),
            growth: 1.25,
        }
    }

    /// Consumers in use resume within a second, others when their clients next fetch.
    pub(super) fn of_proof() -> Self {
        Self {
            next: Duration::from_millis(100),
            most: Duration::from_secs(2),
            growth: 1.5,
        }
    }

    /// Somebody is waiting for this result.
    pub(super) fn urgent() -> Self {
        Self {
            next: Duration::from_millis(100),
            most: Duration::from_millis(200),
            growth: 1.5,
        }
    }

    /// From now on looks are at most this far apart.
    pub(super) fn at_most(&mut self, most: Duration) {
        self.most = self.most.min(most);
        self.next = self.next.min(most);
    }

    pub(super) async fn rest(&mut self) {
        tokio::time::sleep(self.next).await;
        self.next = self.next.mul_f32(self.growth).min(self.most);
    }
}
