//! What the lease means for policies: they run and speak only in a term, and begin it from what the last one left.

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
    /// Withholds the right to act at once from all runners whose acts have ended, or rest.
    pub fn inhibit(&self) {
        self.entries.each(|entry| {
            if let Some(run) = entry.run.as_mut().filter(|run| !run.may_act()) {
                run.worker.inhibit([Inhibited::NotActive].into());
            }
        });
    }

    /// At the beginning of a term the object is read anew: what the last holder of the lease wrote, and what people
    /// asked of it, may not have come by the watch yet.
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
        self.stand_down(key, entry).await;
        let read: Box<PlacementPolicy> = match Box::pin(self.shared.cluster.read(key)).await {
            Ok(read) => Box::new(read),
            Err(ClusterError::Missing { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let is_it = read.metadata.uid.as_deref() == Some(&entry.uid);
        if !is_it || read.metadata.deletion_timestamp.is_some() {
            // The watch will tell.
            return Ok(None);
        }
        entry.enter(lease_epoch, &read);
        Ok(Some(read))
    }

    /// Whether a policy may be spoken for: in the present term, in which it was read.
    pub(super) fn is_in_epoch(&self, policy: &PlacementPolicy, entry: &RunningPolicy) -> bool {
        entry.lease_epoch.is_some()
            && entry.lease_epoch == self.shared.leadership_of(&system_of(policy)).lease_epoch()
    }

    /// Whether it may run: not when the lease is about to be given up.
    pub(super) fn may_run(&self, policy: &PlacementPolicy, entry: &RunningPolicy) -> bool {
        self.is_in_epoch(policy, entry)
            && self
                .shared
                .leadership_of(&system_of(policy))
                .act_deadline()
                .holds()
    }

    /// Whether its system was read in that term, too: a halt switch must not be overlooked.
    pub(super) fn is_system_in_epoch(entry: &RunningPolicy) -> bool {
        entry
            .system
            .as_ref()
            .is_some_and(|system| system.lease_epoch == entry.lease_epoch)
    }

    /// Ends the runner of a policy that another replica may run now, with its numbers.
    pub(super) async fn stand_down(&self, key: &Key, entry: &mut RunningPolicy) {
        if entry.run.is_some() {
            info!(policy = %key, "policy is left to the holder of the lease");
            self.halt(key, entry).await;
            self.shared.metrics.rest(&run::labels(key));
        }
    }

    /// Ends what runs for a policy that refers to another system now, which may be another replica's matter. What was done in
    /// the one before is written as long as this replica may speak for it.
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

    /// Whether this replica speaks for a policy still, but does not run it any more: the lease is about to be given up.
    pub(super) fn is_leaving(&self, policy: &PlacementPolicy, entry: &RunningPolicy) -> bool {
        self.is_in_epoch(policy, entry) && !self.may_run(policy, entry)
    }

    /// Ends the runner of a policy and writes what it did last.
    pub(super) async fn leave(&self, key: &Key, entry: &mut RunningPolicy) -> Result<(), ClusterError> {
        self.stand_down(key, entry).await;
        self.flush_status(key, entry).await
    }

    /// What was not said in time is lost: another replica may speak now.
    pub(super) fn drop_status(key: &Key, entry: &mut RunningPolicy) {
        if entry.pending.take().is_some() && !same(&entry.written, &entry.status) {
            warn!(policy = %key, "what was done last was not written before the lease was gone");
        }
    }

    /// Writes what was done last by a runner that has ended, if that is not stored yet and this replica may still speak: the
    /// conditions stay as they are for the next one to judge.
    pub(super) async fn flush_status(
        &self,
        key: &Key,
        entry: &mut RunningPolicy,
    ) -> Result<(), ClusterError> {
        let leadership = entry
            .lease_epoch
            .and_then(|lease_epoch| self.shared.leaderships.in_epoch(lease_epoch));
        let unsaid = !same(&entry.written, &entry.status);
        if let Some(leadership) = leadership.filter(|_| unsaid) {
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
