//! What the lease means for policies: they run and speak only in a term, and begin it from what the last one left.

use leeward_api::PlacementPolicy;
use leeward_engine::permit::Withheld;
use leeward_engine::status::same;
use tracing::{info, warn};

use super::Policies;
use super::entry::Entry;
use super::run;
use crate::cluster::ClusterError;
use crate::error::chain;
use crate::key::Key;
use crate::shared::system_of;

impl Policies {
    /// Withholds the right to act at once from all runners whose acts have ended, or rest.
    pub fn withhold(&self) {
        self.entries.each(|entry| {
            if let Some(drive) = entry.drive.as_mut().filter(|drive| !drive.may_act()) {
                drive.withhold([Withheld::NotActive].into());
            }
        });
    }

    /// At the beginning of a term the object is read anew: what the last holder of the lease wrote, and what people
    /// asked of it, may not have come by the watch yet.
    pub(super) async fn enter(
        &self,
        key: &Key,
        policy: &PlacementPolicy,
        entry: &mut Entry,
    ) -> Result<Option<Box<PlacementPolicy>>, ClusterError> {
        let Some(term) = self.shared.tenure_of(&system_of(policy)).term() else {
            return Ok(None);
        };
        if entry.term == Some(term) {
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
        entry.enter(term, &read);
        Ok(Some(read))
    }

    /// Whether a policy may be spoken for: in the present term, in which it was read.
    pub(super) fn is_in_term(&self, policy: &PlacementPolicy, entry: &Entry) -> bool {
        entry.term.is_some() && entry.term == self.shared.tenure_of(&system_of(policy)).term()
    }

    /// Whether it may run: not when the lease is about to be given up.
    pub(super) fn may_run(&self, policy: &PlacementPolicy, entry: &Entry) -> bool {
        self.is_in_term(policy, entry) && self.shared.tenure_of(&system_of(policy)).acts().stands()
    }

    /// Whether its system was read in that term, too: a halt switch must not be overlooked.
    pub(super) fn is_system_in_term(entry: &Entry) -> bool {
        entry
            .system
            .as_ref()
            .is_some_and(|system| system.term == entry.term)
    }

    /// Ends the runner of a policy that another replica may run now, with its numbers.
    pub(super) async fn stand_down(&self, key: &Key, entry: &mut Entry) {
        if entry.drive.is_some() {
            info!(policy = %key, "policy is left to the holder of the lease");
            self.halt(key, entry).await;
            self.shared.metrics.rest(&run::labels(key));
        }
    }

    /// Ends what runs for a policy that refers to another system now, which may be another replica's matter. What was done in
    /// the one before is written as long as this replica may speak for it.
    pub(super) async fn follow_reference(&self, key: &Key, policy: &PlacementPolicy, entry: &mut Entry) {
        let system = system_of(policy);
        if entry.of == system {
            return;
        }
        entry.of = system;
        self.halt(key, entry).await;
        entry.link = None;
        if let Err(error) = self.say_last(key, entry).await {
            warn!(policy = %key, error = %chain(&error), "what was done in the system before is not written");
        }
        entry.term = None;
    }

    /// Whether this replica speaks for a policy still, but does not run it any more: the lease is about to be given up.
    pub(super) fn is_leaving(&self, policy: &PlacementPolicy, entry: &Entry) -> bool {
        self.is_in_term(policy, entry) && !self.may_run(policy, entry)
    }

    /// Ends the runner of a policy and writes what it did last.
    pub(super) async fn leave(&self, key: &Key, entry: &mut Entry) -> Result<(), ClusterError> {
        self.stand_down(key, entry).await;
        self.say_last(key, entry).await
    }

    /// What was not said in time is lost: another replica may speak now.
    pub(super) fn fall_silent(key: &Key, entry: &mut Entry) {
        if entry.voice.take().is_some() && !same(&entry.written, &entry.status) {
            warn!(policy = %key, "what was done last was not written before the lease was gone");
        }
    }

    /// Writes what was done last by a runner that has ended, if that is not stored yet and this replica may still speak: the
    /// conditions stay as they are for the next one to judge.
    pub(super) async fn say_last(&self, key: &Key, entry: &mut Entry) -> Result<(), ClusterError> {
        let tenure = entry.term.and_then(|term| self.shared.tenures.in_term(term));
        let unsaid = !same(&entry.written, &entry.status);
        if let Some(tenure) = tenure.filter(|_| unsaid) {
            let write = self
                .shared
                .cluster
                .apply_status::<PlacementPolicy>(key, &entry.status);
            match tenure.while_held(write).await {
                Some(Ok(())) => entry.written.clone_from(&entry.status),
                Some(Err(ClusterError::Missing { .. })) | None => {}
                Some(Err(error)) => return Err(error),
            }
        }
        entry.voice = None;
        Ok(())
    }
}
