//! One Lease as this replica contends for it: acquired, renewed, lost and released.
//!
//! Which Lease a replica may acquire, and what its leadership depends on besides, is decided by [`crate::member`] and
//! [`crate::shard`].

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;
use tracing::{debug, error, info, warn};

use crate::leadership::LeaderHandle;
use crate::log_throttle::LogThrottle;
use crate::metrics::LeaseGauge;
use crate::observed_lease::{LeaseState, ObservedLease};
use crate::record::LeaseRecord;
use crate::store::{LeaseError, LeaseStore};
use crate::timing::Timing;

/// After a write that another replica's write came before, the Lease is read again this soon.
const CONFLICT_PAUSE: Duration = Duration::from_millis(100);

/// A replica that contends for Leases.
#[derive(Clone)]
pub struct LeaseCandidate {
    /// Where the Leases are.
    pub store: Arc<dyn LeaseStore>,
    /// The holder identity, which no other process has.
    pub identity: String,
    /// The times of each Lease.
    pub timing: Timing,
}

/// A Lease, held or not.
pub struct LeaseHandle {
    candidate: LeaseCandidate,
    name: String,
    /// The number of shards that is written on a member's Lease.
    shards: Option<usize>,
    leader: LeaderHandle,
    gauge: LeaseGauge,
    observed: ObservedLease,
    /// What was observed last is what is stored, unless another replica has written since: no answer to a write is missing.
    is_known: bool,
    /// No other replica has held the Lease since this one held it last.
    is_uninterrupted: bool,
    /// The other holder that was logged last.
    other_holder: Option<String>,
    errors: LogThrottle,
}

impl LeaseHandle {
    /// A Lease that was observed just now, and is not held yet.
    pub fn new(
        candidate: LeaseCandidate,
        name: String,
        observed: ObservedLease,
        leader: LeaderHandle,
        gauge: LeaseGauge,
    ) -> Self {
        Self {
            candidate,
            name,
            shards: None,
            leader,
            gauge,
            observed,
            is_known: true,
            is_uninterrupted: false,
            other_holder: None,
            errors: LogThrottle::default(),
        }
    }

    /// The same, with the number of shards written on the Lease.
    #[must_use]
    pub fn with_shards(self, shards: usize) -> Self {
        Self {
            shards: Some(shards),
            ..self
        }
    }

    /// The replica that contends for it.
    pub fn candidate(&self) -> &LeaseCandidate {
        &self.candidate
    }

    /// The name of the Lease.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it can be written without reading it first.
    pub fn is_known(&self) -> bool {
        self.is_known
    }

    /// Whether it is held: its deadline has not passed.
    pub fn holds(&self) -> bool {
        self.leader.holds()
    }

    /// The leadership, for another handle.
    pub fn into_leader_handle(self) -> LeaderHandle {
        self.leader
    }

    /// From now on this replica contends for another Lease, which was observed just now, or for the same one again.
    pub fn switch_to(&mut self, name: String, observed: ObservedLease) {
        self.is_uninterrupted &= self.name == name;
        self.name = name;
        self.observed = observed;
    }

    /// Reads it again.
    pub async fn read(&mut self) -> Result<(), LeaseError> {
        let mut read = self.candidate.store.list().await?;
        self.observed.update(read.remove(&self.name), Instant::now());
        Ok(())
    }

    /// Acquires or renews it unless another replica holds it. Returns the time before the request was sent: no other
    /// replica can have observed the write earlier, so deadlines count from there. The caller decides whether this replica
    /// leads for it ([`Self::extend`]).
    pub async fn acquire_or_renew(&mut self) -> Result<Option<Instant>, LeaseError> {
        let sent = Instant::now();
        let LeaseCandidate { identity, timing, .. } = &self.candidate;
        let acquired = match self.observed.state(identity, timing.lease_duration, sent) {
            LeaseState::Held { by } => {
                self.lose_to(by);
                return Ok(None);
            }
            LeaseState::Mine => None,
            LeaseState::Free(reason) => Some(reason),
        };
        let record = self.held_record();
        let before = self.observed.record().and_then(|record| record.holder.clone());
        if acquired.is_some() {
            // Another replica may have held it in between, which counts although the answer to this write may be lost.
            self.is_uninterrupted = false;
            self.lose();
        }
        self.write(&record).await?;
        self.other_holder = None;
        if let Some(why) = acquired {
            let (lease, identity) = (self.key(), &self.candidate.identity);
            info!(%lease, %identity, %why, before, "this replica holds the lease");
        }
        Ok(Some(sent))
    }

    fn held_record(&self) -> LeaseRecord {
        let LeaseCandidate { identity, timing, .. } = &self.candidate;
        let stored = self.observed.stored();
        let record = LeaseRecord::held(identity, timing.lease_duration, stored, Timestamp::now());
        match self.shards {
            Some(shards) => record.with_shards(shards),
            None => record,
        }
    }

    /// The leadership holds until then, in a new epoch if `is_new_epoch` or if another replica may have held the Lease since.
    pub fn extend(&mut self, until: Instant, is_new_epoch: bool) {
        self.leader.extend(until, is_new_epoch || !self.is_uninterrupted);
        self.is_uninterrupted = true;
        self.gauge.set_held(self.leader.is_held());
    }

    /// Another replica holds it.
    pub fn lose_to(&mut self, holder: String) {
        let lease = self.key();
        self.is_uninterrupted = false;
        if self.leader.is_held() {
            error!(%lease, %holder, "another replica holds the lease: nothing is done here");
            self.lose();
        } else if self.other_holder.as_ref() != Some(&holder) {
            info!(%lease, %holder, "another replica holds the lease");
        }
        self.other_holder = Some(holder);
    }

    /// Ends an attempt that began at `began`: logs its error, and returns when the next one is due.
    pub fn finish_attempt(&mut self, began: Instant, outcome: Result<(), LeaseError>) -> Instant {
        let is_conflict = matches!(outcome, Err(LeaseError::Conflict { .. }));
        self.report(outcome);
        let timing = self.candidate.timing;
        if self.leader.is_held() && !self.leader.holds() {
            let seconds = timing.renew_deadline.as_secs_f32();
            error!(lease = %self.key(), "the lease was not renewed for {seconds} s: nothing is done until it is");
            self.lose();
        }
        let pause = match (is_conflict, self.leader.is_held()) {
            (true, _) => CONFLICT_PAUSE,
            (false, true) => timing.renew_period,
            (false, false) => timing.retry_period,
        };
        let due = began + pause;
        self.leader.expires_at().map_or(due, |end| due.min(end))
    }

    /// Releases it, so that another replica need not wait until it expires.
    pub async fn release(&mut self) {
        self.lose();
        for _ in 0..2 {
            match self.write_released().await {
                Ok(()) => return,
                Err(error) => {
                    warn!(lease = %self.key(), %error, "the lease was not given up");
                }
            }
        }
    }

    async fn write_released(&mut self) -> Result<(), LeaseError> {
        if !self.is_known {
            self.read().await?;
        }
        let identity = &self.candidate.identity;
        let mine = self
            .observed
            .stored()
            .filter(|record| record.holder.as_ref() == Some(identity));
        let Some(mine) = mine else { return Ok(()) };
        let released = LeaseRecord::released(mine, Timestamp::now());
        self.write(&released).await?;
        info!(lease = %self.key(), "the lease was given up");
        Ok(())
    }

    async fn write(&mut self, record: &LeaseRecord) -> Result<(), LeaseError> {
        self.is_known = false;
        let stored = self.candidate.store.write(&self.name, record).await?;
        self.observed.update(Some(stored), Instant::now());
        self.is_known = true;
        Ok(())
    }

    /// This replica does not lead from now on.
    pub fn lose(&mut self) {
        self.leader.lose();
        self.gauge.set_held(false);
    }

    fn report(&mut self, outcome: Result<(), LeaseError>) {
        let lease = self.key();
        let error = match outcome {
            Ok(()) => {
                if self.errors.end() {
                    info!(%lease, "the lease can be read and written again");
                }
                return;
            }
            Err(LeaseError::Conflict { what }) => {
                debug!(%what, "changed meanwhile, looking again");
                return;
            }
            Err(error) => error,
        };
        let category = error.category();
        self.gauge.count_error(category);
        if !self.errors.is_due(category) {
            return;
        }
        if self.leader.holds() {
            warn!(%lease, category, %error, "the lease was not renewed, trying again");
        } else {
            error!(%lease, category, %error, "nothing is done by this replica without the lease");
        }
    }

    fn key(&self) -> String {
        self.candidate.store.key(&self.name)
    }
}
