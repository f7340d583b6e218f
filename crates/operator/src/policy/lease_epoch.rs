//! What the lease means for policies: they run and report only in a lease epoch, and start from what the last left.

use leeward_api::PlacementPolicy;
use leeward_engine::permit::Inhibited;
use leeward_engine::status::same;
use tracing::{info, warn};

use super::Policies;
use super::entry::RunningPolicy;
use super::run;
use crate::cluster::ClusterError;
use crate::error::chain;
use crate::key::Key;
use crate::shared::system_of;

impl Policies {
    /// Inhibits all runners whose act deadline has passed, at once.
    pub fn inhibit(&self) {
        self.entries.each(|entry| {
            if let Some(run) = entry.run.as_mut().filter(|run| !run.may_act()) {
                run.worker.inhibit([Inhibited::NotActive].into());
            }
        });
    }

    /// Reads the object again at the beginning of a lease epoch: what the last holder of the lease wrote, and what
    /// people changed, may not have arrived by the watch yet.
    pub(super) async fn enter(
        &self,
        key: &Key,
        policy: &PlacementPolicy,
        entry: &mut RunningPolicy,
    ) -> Result<Option<Box<PlacementPolicy>>, ClusterError> {
        let Some(lease_epoch) = self.shared.leadership_of(&system_of(policy)).lease_epoch() else {
            return Ok(None);
        };
        if entry.lease_epoch == Some(lease_epoch) {
            return Ok(None);
        }
        self.stop_runner(key, entry).await;
        let read: Box<PlacementPolicy> = match Box::pin(self.shared.cluster.read(key)).await {
            Ok(read) => Box::new(read),
            Err(ClusterError::Missing { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let is_it = read.metadata.uid.as_deref() == Some(&entry.uid);
        if !is_it || read.metadata.deletion_timestamp.is_some() {
            // The watch will deliver it.
            return Ok(None);
        }
        entry.enter(lease_epoch, &read);
        Ok(Some(read))
    }

    /// Whether this replica may write its status: it was read in the present lease epoch.
    pub(super) fn is_in_epoch(&self, policy: &PlacementPolicy, entry: &RunningPolicy) -> bool {
        entry.lease_epoch.is_some()
            && entry.lease_epoch == self.shared.leadership_of(&system_of(policy)).lease_epoch()
    }

    /// Whether it may run: not when the lease is about to be released.
    pub(super) fn may_run(&self, policy: &PlacementPolicy, entry: &RunningPolicy) -> bool {
        self.is_in_epoch(policy, entry)
            && self
                .shared
                .leadership_of(&system_of(policy))
                .act_deadline()
                .holds()
    }

    /// Whether its system was read in that lease epoch, too: a halt switch must not be overlooked.
    pub(super) fn is_system_in_epoch(entry: &RunningPolicy) -> bool {
        entry
            .system
            .as_ref()
            .is_some_and(|system| system.lease_epoch == entry.lease_epoch)
    }

    /// Ends the runner of a policy that another replica may run now, and removes its gauges.
    pub(super) async fn stop_runner(&self, key: &Key, entry: &mut RunningPolicy) {
        if entry.run.is_some() {
            info!(policy = %key, "policy is left to the holder of the lease");
            self.halt(key, entry).await;
            self.shared.metrics.rest(&run::labels(key));
        }
    }

    /// Ends what runs for a policy that now refers to another system, whose leader may be another replica. What was
    /// done in the one before is written as long as this replica leads it.
    pub(super) async fn follow_reference(
        &self,
        key: &Key,
        policy: &PlacementPolicy,
        entry: &mut RunningPolicy,
    ) {
        let system = system_of(policy);
        if entry.of == system {
            return;
        }
        entry.of = system;
        self.halt(key, entry).await;
        entry.link = None;
        if let Err(error) = self.flush_status(key, entry).await {
            warn!(policy = %key, error = %chain(&error), "what was done in the system before is not written");
        }
        entry.lease_epoch = None;
    }

    /// Whether this replica still writes a policy's status but no longer runs it: the lease is about to be released.
    pub(super) fn is_leaving(&self, policy: &PlacementPolicy, entry: &RunningPolicy) -> bool {
        self.is_in_epoch(policy, entry) && !self.may_run(policy, entry)
    }

    /// Ends the runner of a policy and writes what it did last.
    pub(super) async fn leave(&self, key: &Key, entry: &mut RunningPolicy) -> Result<(), ClusterError> {
        self.stop_runner(key, entry).await;
        self.flush_status(key, entry).await
    }

    /// What was not written in time is lost: another replica may be the leader now.
    pub(super) fn drop_status(key: &Key, entry: &mut RunningPolicy) {
        if entry.pending.take().is_some() && !same(&entry.written, &entry.status) {
            warn!(policy = %key, "what was done last was not written before the lease was gone");
        }
    }

    /// Writes what was done last by a runner that has ended, if that is not stored yet and this replica may still write
    /// it; the next runner judges the conditions.
    pub(super) async fn flush_status(
        &self,
        key: &Key,
        entry: &mut RunningPolicy,
    ) -> Result<(), ClusterError> {
        let leadership = entry
            .lease_epoch
            .and_then(|lease_epoch| self.shared.leaderships.in_epoch(lease_epoch));
        let is_unwritten = !same(&entry.written, &entry.status);
        if let Some(leadership) = leadership.filter(|_| is_unwritten) {
            let write = self
                .shared
                .cluster
                .apply_status::<PlacementPolicy>(key, &entry.status);
            match leadership.while_held(write).await {
                Some(Ok(())) => entry.written.clone_from(&entry.status),
                Some(Err(ClusterError::Missing { .. })) | None => {}
                Some(Err(error)) => return Err(error),
            }
        }
        entry.pending = None;
        Ok(())
    }
}
