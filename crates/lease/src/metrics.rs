//! What the election counts, wherever it is counted.

use std::sync::Arc;

/// Receives the numbers of the Leases.
pub trait LeaseMetrics: Send + Sync {
    /// Whether this replica holds a Lease. It is also called with `false` once at the start for each Lease, so that
    /// each is there before it is held.
    fn set_held(&self, lease: &str, is_held: bool);

    /// A request about a Lease failed; `reason` is one of a fixed set.
    fn count_error(&self, lease: &str, reason: &'static str);
}

/// The numbers of one Lease.
#[derive(Clone)]
pub(crate) struct LeaseGauge {
    metrics: Arc<dyn LeaseMetrics>,
    lease: String,
}

impl LeaseGauge {
    /// The numbers of a Lease that is not held yet.
    pub fn new(metrics: &Arc<dyn LeaseMetrics>, lease: &str) -> Self {
        metrics.set_held(lease, false);
        Self {
            metrics: Arc::clone(metrics),
            lease: lease.to_owned(),
        }
    }

    /// Sets whether this replica holds the Lease.
    pub fn set_held(&self, is_held: bool) {
        self.metrics.set_held(&self.lease, is_held);
    }

    /// Counts a request that failed.
    pub fn count_error(&self, reason: &'static str) {
        self.metrics.count_error(&self.lease, reason);
    }
}
