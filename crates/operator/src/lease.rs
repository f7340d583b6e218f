//! One lease (`coordination.k8s.io`): of the replicas that want it, exactly one holds it, and acts.
//!
//! Promises: what hangs on the lease ends on this process's own clock, before anybody else may take it, whether or not
//! this process runs or reaches the Kubernetes API at that time; updates are refused where somebody else wrote in
//! between; a lease that is given up is free at once. Without an answer of the API nobody begins to act.
//! What a tenure is good for is [`tenure`]'s and its users' matter. A lease knows its own name only, so there may be several.

mod judge;
mod record;
mod store;
mod tenure;
mod timing;

use std::time::Duration;

use jiff::Timestamp;
use kube::Client;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use crate::config::LeaseConfig;
use crate::error::chain;
use crate::gauges::LeaseGauges;
use crate::key::Key;
use judge::{Judged, Sighting, Vacancy};
use record::Record;
use store::{LeaseError, Store};
use tenure::Grip;
use timing::Timing;

pub use tenure::{Tenure, Term};

/// Somebody else wrote just now: look again this soon.
const OVERTAKEN: Duration = Duration::from_millis(100);
/// A trouble that goes on is told again this often.
const TOLD_AGAIN: Duration = Duration::from_mins(1);

/// One replica's part in the contest for a lease.
pub struct Lease {
    store: Store,
    me: String,
    timing: Timing,
    grip: Grip,
    gauges: LeaseGauges,
    seen: Option<Sighting>,
    /// The newest that was seen is this process's own last write: it can be renewed without looking first.
    current: bool,
    /// Nobody else had the lease since this process last had it.
    unbroken: bool,
    rival: Option<String>,
    trouble: Option<(&'static str, Instant)>,
}

impl Lease {
    /// A part in the contest, and what follows from it. Nothing is held until [`Lease::hold`] runs.
    pub fn new(
        client: Client,
        config: &LeaseConfig,
        instance: Option<&str>,
        gauges: LeaseGauges,
    ) -> (Self, Tenure) {
        let namespace = config.namespace.as_deref();
        let key = Key::new(
            namespace.unwrap_or(client.default_namespace()),
            config.name.as_str(),
        );
        let timing = Timing::of(config.duration);
        let (grip, tenure) = Grip::new();
        let lease = Self {
            store: Store::new(client, key, timing.call),
            me: identity(instance),
            timing,
            grip,
            gauges,
            seen: None,
            current: false,
            unbroken: false,
            rival: None,
            trouble: None,
        };
        (lease, tenure)
    }

    /// Takes the lease whenever it is free, and keeps it until `leave`; then gives it up.
    pub async fn hold(mut self, leave: CancellationToken) {
        info!(lease = %self.store.key(), identity = %self.me, "this replica waits for the lease");
        let mut next = Instant::now();
        loop {
            tokio::select! {
                () = leave.cancelled() => break,
                () = sleep_until(next) => next = self.step().await,
            }
        }
        self.release().await;
    }

    /// One attempt; returns when the next one is due.
    async fn step(&mut self) -> Instant {
        let began = Instant::now();
        let outcome = self.attempt().await;
        let overtaken = matches!(outcome, Err(LeaseError::Conflict { .. }));
        self.report(outcome);
        if self.grip.is_held() && !self.grip.stands() {
            let seconds = self.timing.deadline.as_secs_f32();
            error!(lease = %self.store.key(), "the lease was not renewed for {seconds} s: nothing is done until it is");
            self.lose();
        }
        let pause = match (overtaken, self.grip.is_held()) {
            (true, _) => OVERTAKEN,
            (false, true) => self.timing.renew,
            (false, false) => self.timing.look,
        };
        let due = began + pause;
        self.grip.falls_at().map_or(due, |end| due.min(end))
    }

    async fn attempt(&mut self) -> Result<(), LeaseError> {
        if !self.current {
            self.look().await?;
        }
        let Some(seen) = &self.seen else { return Ok(()) };
        match seen.judge(&self.me, self.timing.duration, Instant::now()) {
            Judged::Held { by } => {
                self.unbroken = false;
                self.give_way(by);
                Ok(())
            }
            Judged::Mine => self.write().await,
            Judged::Free(vacancy) => {
                self.unbroken = false;
                let before = seen.record().and_then(|record| record.holder.clone());
                self.write().await?;
                info!(lease = %self.store.key(), identity = %self.me, why = %vacancy, before,
                    "this replica holds the lease");
                Ok(())
            }
        }
    }

    async fn look(&mut self) -> Result<(), LeaseError> {
        let read = self.store.get().await?;
        self.note(read);
        Ok(())
    }

    fn note(&mut self, read: Option<Record>) {
        let now = Instant::now();
        match &mut self.seen {
            Some(seen) => seen.update(read, now),
            None => self.seen = Some(Sighting::new(read, now)),
        }
    }

    /// Takes or renews the lease over what was seen last.
    async fn write(&mut self) -> Result<(), LeaseError> {
        // Everything is counted from before the request: nobody can see the change earlier.
        let sent = Instant::now();
        let below = self.seen.as_ref().and_then(Sighting::stored);
        let wanted = Record::held(&self.me, self.timing.duration, below, Timestamp::now());
        self.current = false;
        let stored = self.store.write(&wanted).await?;
        self.note(Some(stored));
        self.current = true;
        self.grip.extend(sent + self.timing.deadline, !self.unbroken);
        self.unbroken = true;
        self.rival = None;
        self.gauges.hold(self.grip.is_held());
        Ok(())
    }

    fn give_way(&mut self, by: String) {
        if self.grip.is_held() {
            error!(lease = %self.store.key(), holder = %by, "another replica holds the lease: nothing is done here");
            self.lose();
        } else if self.rival.as_ref() != Some(&by) {
            info!(lease = %self.store.key(), holder = %by, "another replica holds the lease");
        }
        self.rival = Some(by);
    }

    fn lose(&mut self) {
        self.grip.lose();
        self.gauges.hold(false);
    }

    /// Tells what went wrong, once and then from time to time.
    fn report(&mut self, outcome: Result<(), LeaseError>) {
        let lease = self.store.key();
        let error = match outcome {
            Ok(()) => {
                if self.trouble.take().is_some() {
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
        let told = self
            .trouble
            .is_some_and(|(before, at)| before == category && at.elapsed() < TOLD_AGAIN);
        if told {
            return;
        }
        self.trouble = Some((category, Instant::now()));
        if self.grip.stands() {
            warn!(%lease, category, error = %chain(&error), "the lease was not renewed, trying again");
        } else {
            error!(%lease, category, error = %chain(&error), "nothing is done by this replica without the lease");
        }
    }

    /// Gives the lease up, so that the next one need not wait.
    async fn release(mut self) {
        if !self.grip.is_held() {
            return;
        }
        self.lose();
        for _ in 0..2 {
            match self.vacate().await {
                Ok(()) => return,
                Err(error) => {
                    self.current = false;
                    warn!(lease = %self.store.key(), error = %chain(&error), "the lease was not given up");
                }
            }
        }
    }

    async fn vacate(&mut self) -> Result<(), LeaseError> {
        if !self.current {
            self.look().await?;
        }
        let Some(mine) = self
            .seen
            .as_ref()
            .and_then(Sighting::stored)
            .filter(|record| record.holder.as_ref() == Some(&self.me))
        else {
            return Ok(());
        };
        let vacant = Record::vacant(mine, Timestamp::now());
        self.store.write(&vacant).await?;
        info!(lease = %self.store.key(), "the lease was given up");
        Ok(())
    }
}

impl std::fmt::Display for Vacancy {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Missing => "there was none",
            Self::Released => "it was given up",
            Self::Expired => "it was not renewed",
        })
    }
}

/// A name that no other process has, not even the next one in the same pod.
fn identity(instance: Option<&str>) -> String {
    let host = instance.map(str::to_owned).or_else(hostname);
    let chance: String = std::iter::repeat_with(fastrand::alphanumeric).take(10).collect();
    format!("{}_{chance}", host.as_deref().unwrap_or("leeward"))
}

fn hostname() -> Option<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    let name = name.trim();
    (!name.is_empty()).then(|| name.to_owned())
}

#[cfg(test)]
mod tests;
