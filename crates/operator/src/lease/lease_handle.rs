//! One lease in the hands of this process: taken, renewed, lost and given up.
//!
//! What hangs on it ends on this process's own clock. Who may take a lease, and what else a right depends on, is its
//! users' matter: [`super::member`] and [`super::shard`].

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;
use tracing::{debug, error, info, warn};

use super::leadership::LeaderHandle;
use super::log_throttle::LogThrottle;
use super::observed_lease::{FreeReason, LeaseState, ObservedLease};
use super::record::LeaseRecord;
use super::store::{LeaseError, LeaseStore};
use super::timing::Timing;
use crate::error::chain;
use crate::gauges::LeaseGauges;

/// Somebody else wrote just now: look again this soon.
const OVERTAKEN: Duration = Duration::from_millis(100);

/// Who contends, and how.
#[derive(Clone)]
pub struct LeaseCandidate {
    /// Where the leases are.
    pub store: LeaseStore,
    /// A name that no other process has.
    pub me: String,
    /// Durations.
    pub timing: Timing,
}

/// A lease, held or not.
pub struct LeaseHandle {
    candidate: LeaseCandidate,
    name: String,
    /// What a member says on its lease.
    counts: Option<usize>,
    handle: LeaderHandle,
    gauges: LeaseGauges,
    seen: ObservedLease,
    /// What was seen last can be written over without looking first.
    known: bool,
    /// Nobody else had the lease since this process last had it.
    unbroken: bool,
    holder: Option<String>,
    trouble: LogThrottle,
}

impl LeaseHandle {
    /// A lease that was seen like this just now, and is not held yet.
    pub fn new(
        candidate: LeaseCandidate,
        name: String,
        seen: ObservedLease,
        handle: LeaderHandle,
        gauges: LeaseGauges,
    ) -> Self {
        Self {
            candidate,
            name,
            counts: None,
            handle,
            gauges,
            seen,
            known: true,
            unbroken: false,
            holder: None,
            trouble: LogThrottle::default(),
        }
    }

    /// The same, where the holder says with how many shards it counts.
    #[must_use]
    pub fn counting(self, shards: usize) -> Self {
        Self {
            counts: Some(shards),
            ..self
        }
    }

    /// Who contends, and how.
    pub fn candidate(&self) -> &LeaseCandidate {
        &self.candidate
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it can be written without looking first.
    pub fn is_known(&self) -> bool {
        self.known
    }

    /// Whether it is held in truth.
    pub fn holds(&self) -> bool {
        self.handle.holds()
    }

    /// What hangs on it, for another one.
    pub fn into_handle(self) -> LeaderHandle {
        self.handle
    }

    /// From now on it is this lease, which was seen like this just now.
    pub fn successor(&mut self, name: String, seen: ObservedLease) {
        self.unbroken &= self.name == name;
        self.name = name;
        self.seen = seen;
    }

    /// Looks at it again.
    pub async fn look(&mut self) -> Result<(), LeaseError> {
        let mut read = self.candidate.store.list().await?;
        self.seen.update(read.remove(&self.name), Instant::now());
        Ok(())
    }

    /// Takes or renews it, if it is not another's; returns from when on that counts, before the request: nobody can see
    /// the change earlier. Whether it gives a right is still to be said ([`Self::extend`]).
    pub async fn claim(&mut self) -> Result<Option<Instant>, LeaseError> {
        let sent = Instant::now();
        let LeaseCandidate { me, timing, .. } = &self.candidate;
        let vacancy = match self.seen.judge(me, timing.duration, sent) {
            LeaseState::Held { by } => {
                self.give_way(by);
                return Ok(None);
            }
            LeaseState::Mine => None,
            LeaseState::Free(vacancy) => Some(vacancy),
        };
        let record = LeaseRecord::held(me, timing.duration, self.seen.stored(), Timestamp::now());
        let record = match self.counts {
            Some(shards) => record.counting(shards),
            None => record,
        };
        let before = self.seen.record().and_then(|record| record.holder.clone());
        if vacancy.is_some() {
            // Somebody may have had it, also where the answer to this write is lost.
            self.unbroken = false;
            self.lose();
        }
        self.write(&record).await?;
        self.holder = None;
        if let Some(why) = vacancy {
            let (lease, identity) = (self.key(), &self.candidate.me);
            info!(%lease, %identity, %why, before, "this replica holds the lease");
        }
        Ok(Some(sent))
    }

    /// Lets what hangs on it stand until then; `anew` if somebody else may have acted since it last stood.
    pub fn extend(&mut self, until: Instant, anew: bool) {
        self.handle.extend(until, anew || !self.unbroken);
        self.unbroken = true;
        self.gauges.hold(self.handle.is_held());
    }

    /// Another one has it.
    pub fn give_way(&mut self, by: String) {
        let lease = self.key();
        self.unbroken = false;
        if self.handle.is_held() {
            error!(%lease, holder = %by, "another replica holds the lease: nothing is done here");
            self.lose();
        } else if self.holder.as_ref() != Some(&by) {
            info!(%lease, holder = %by, "another replica holds the lease");
        }
        self.holder = Some(by);
    }

    /// Ends an attempt that began then: tells what went wrong, and when the next one is due.
    pub fn settle(&mut self, began: Instant, outcome: Result<(), LeaseError>) -> Instant {
        let overtaken = matches!(outcome, Err(LeaseError::Conflict { .. }));
        self.report(outcome);
        let timing = self.candidate.timing;
        if self.handle.is_held() && !self.handle.holds() {
            let seconds = timing.deadline.as_secs_f32();
            error!(lease = %self.key(), "the lease was not renewed for {seconds} s: nothing is done until it is");
            self.lose();
        }
        let pause = match (overtaken, self.handle.is_held()) {
            (true, _) => OVERTAKEN,
            (false, true) => timing.renew,
            (false, false) => timing.look,
        };
        let due = began + pause;
        self.handle.expires_at().map_or(due, |end| due.min(end))
    }

    /// Gives it up, so that the next one need not wait.
    pub async fn release(&mut self) {
        self.lose();
        for _ in 0..2 {
            match self.vacate().await {
                Ok(()) => return,
                Err(error) => {
                    warn!(lease = %self.key(), error = %chain(&error), "the lease was not given up");
                }
            }
        }
    }

    async fn vacate(&mut self) -> Result<(), LeaseError> {
        if !self.known {
            self.look().await?;
        }
        let me = &self.candidate.me;
        let mine = self
            .seen
            .stored()
            .filter(|record| record.holder.as_ref() == Some(me));
        let Some(mine) = mine else { return Ok(()) };
        let vacant = LeaseRecord::vacant(mine, Timestamp::now());
        self.write(&vacant).await?;
        info!(lease = %self.key(), "the lease was given up");
        Ok(())
    }

    async fn write(&mut self, record: &LeaseRecord) -> Result<(), LeaseError> {
        self.known = false;
        let stored = self.candidate.store.write(&self.name, record).await?;
        self.seen.update(Some(stored), Instant::now());
        self.known = true;
        Ok(())
    }

    /// Nothing hangs on it from now on.
    pub fn lose(&mut self) {
        self.handle.lose();
        self.gauges.hold(false);
    }

    fn report(&mut self, outcome: Result<(), LeaseError>) {
        let lease = self.key();
        let error = match outcome {
            Ok(()) => {
                if self.trouble.end() {
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
        self.gauges.fail(category);
        if !self.trouble.is_news(category) {
            return;
        }
        if self.handle.holds() {
            warn!(%lease, category, error = %chain(&error), "the lease was not renewed, trying again");
        } else {
            error!(%lease, category, error = %chain(&error), "nothing is done by this replica without the lease");
        }
    }

    fn key(&self) -> crate::key::Key {
        self.candidate.store.key(&self.name)
    }
}

impl std::fmt::Display for FreeReason {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Missing => "there was none",
            Self::Released => "it was given up",
            Self::Expired => "it was not renewed",
        })
    }
}
