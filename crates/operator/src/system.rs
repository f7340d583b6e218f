//! The reconciler of `NatsSystem`: dereference → validate → run → publish. Each step is its own module.
//!
//! One observer per system, restarted when what it connects with changes. Without an answer from the Kubernetes API,
//! what runs continues with what was known.

// Numbers and texts of servers come here: no sum of them overflows and no index misses.
#![cfg_attr(
    not(test),
    warn(
        clippy::arithmetic_side_effects,
        clippy::indexing_slicing,
        clippy::string_slice
    )
)]

mod dereference;
mod run;
mod status;
mod validate;

use std::time::Duration;

use futures::future::join_all;
use jiff::Timestamp;
use kube::Resource as _;
use kube::core::error_boundary::InvalidObject;
use leeward_api::NatsSystem;
use leeward_api::vocabulary::ConnectedReason;
use leeward_engine::condition::ReasonMessage;
use tracing::{info, warn};

use crate::cluster::ClusterError;
use crate::key::Key;
use crate::objects::Guarded;
use crate::registry::Registry;
use crate::shared::Shared;
use crate::systems::SystemHandle;
use crate::watch::Reconcile;
use run::RunningSystem;
use status::{SystemObservation, SystemStatusInput, build, same};

pub use dereference::{GatherError, dereference};
pub use validate::validate;

/// A Secret is missing or wrong: look again this soon.
const RETRY_SOON: Duration = Duration::from_secs(5);
/// Nothing but a change of the object can help.
const RESYNC: Duration = Duration::from_hours(1);

/// All systems.
#[derive(Debug)]
pub struct Systems {
    shared: Shared,
    entries: Registry<RunningSystem>,
}

impl Reconcile<NatsSystem> for Systems {
    async fn reconcile(&self, object: &Guarded<NatsSystem>) -> Result<Duration, ClusterError> {
        let key = Key::of(object);
        if object.meta().deletion_timestamp.is_some() {
            self.end(&key).await;
            return Ok(RESYNC);
        }
        match &object.0 {
            Ok(system) => self.follow(&key, system).await,
            Err(invalid) => {
                self.refuse(&key, invalid).await;
                Ok(RESYNC)
            }
        }
    }

    async fn sweep(&self) {
        let gone = self.entries.take_unless(|key| self.shared.systems.has(key));
        join_all(gone.into_iter().map(|(key, entry)| self.remove(key, entry))).await;
    }
}

impl Systems {
    /// No system is observed yet.
    pub fn new(shared: Shared) -> Self {
        Self {
            shared,
            entries: Registry::default(),
        }
    }

    /// Ends all observers.
    pub async fn shutdown(&self) {
        let entries = self.entries.close();
        join_all(entries.into_iter().map(|(_, entry)| entry.end())).await;
    }

    async fn follow(&self, key: &Key, system: &NatsSystem) -> Result<Duration, ClusterError> {
        let uid = system.metadata.uid.clone().unwrap_or_default();
        let mut entry = match self.entries.take(key) {
            Some(entry) if entry.uid == uid => entry,
            Some(stranger) => {
                self.remove(key.clone(), stranger).await;
                RunningSystem::new(system)
            }
            None => RunningSystem::new(system),
        };
        let entered = self.enter(key, &mut entry).await;
        let system = match &entered {
            Ok(Some(read)) => read,
            Ok(None) | Err(_) => system,
        };
        self.reconcile_refs(key, system, &mut entry).await;
        let written = self.publish(key, system, &mut entry).await;
        let interval: Duration = system.spec.observe_interval.into();
        let wait = if entry.route.is_ok() {
            interval
        } else {
            interval.min(RETRY_SOON)
        };
        self.put_back(key, entry).await;
        entered?;
        written.map(|()| wait)
    }

    /// Reads the object again at the beginning of a lease epoch: what the last holder of the lease wrote, and what
    /// people changed, may not have arrived by the watch yet.
    async fn enter(&self, key: &Key, entry: &mut RunningSystem) -> Result<Option<NatsSystem>, ClusterError> {
        let Some(lease_epoch) = self.shared.leadership_of(key).lease_epoch() else {
            return Ok(None);
        };
        if entry.lease_epoch == Some(lease_epoch) {
            return Ok(None);
        }
        let system: NatsSystem = self.shared.cluster.read(key).await?;
        if system.metadata.uid.as_deref() == Some(&entry.uid) {
            let shard = self.shared.shard_of(key);
            info!(system = %key, shard, "this replica acts on the system");
            entry.enter(lease_epoch, &system);
            return Ok(Some(system));
        }
        // Recreated meanwhile: the watch will deliver it.
        Ok(None)
    }

    /// The entry may have been out of the registry when the sweep ran after a deletion, so check again.
    async fn put_back(&self, key: &Key, entry: RunningSystem) {
        if let Err(entry) = self.entries.put(key.clone(), entry) {
            entry.end().await;
        } else if !self.shared.systems.has(key) {
            self.end(key).await;
        }
    }

    /// Brings the entry to what the system asks for, and enqueues its policies.
    async fn reconcile_refs(&self, key: &Key, system: &NatsSystem, entry: &mut RunningSystem) {
        let spec = &system.spec;
        // The halt switch waits for nothing that has to be read (P8).
        if spec.suspend && self.shared.handles.suspend(key) {
            self.shared.policy_queue.enqueue_all(self.shared.policies_of(key));
        }
        match dereference(&self.shared.cluster, key, spec).await {
            Ok(materials) => {
                if !entry.uses(&materials) {
                    match validate(&materials) {
                        Ok(config) => {
                            entry
                                .start(materials, config, key, &self.shared.system_queue)
                                .await;
                        }
                        Err(verdict) => entry.stop(verdict).await,
                    }
                }
            }
            Err(GatherError::Definite(verdict)) => entry.stop(verdict).await,
            Err(GatherError::Unknown(message)) => {
                warn!(system = %key, error = %message, "Secrets not read, going on with those known");
                entry.wait(message);
            }
        }
        let size = |count: u32| usize::try_from(count).unwrap_or(usize::MAX);
        let limits = (size(spec.limits.step_downs), size(spec.limits.moves));
        entry.limit(limits);
        let handle = SystemHandle {
            uid: entry.uid.clone(),
            allowed: spec.allowed_namespaces.clone(),
            interval: spec.observe_interval.into(),
            suspended: spec.suspend,
            lease_epoch: entry.lease_epoch,
            limits: entry.limits.clone(),
            route: entry.route.clone(),
        };
        if self.shared.handles.put(key, &handle) {
            self.shared.policy_queue.enqueue_all(self.shared.policies_of(key));
        }
    }

    /// Writes the status if it has changed and this replica is the leader.
    async fn publish(
        &self,
        key: &Key,
        system: &NatsSystem,
        entry: &mut RunningSystem,
    ) -> Result<(), ClusterError> {
        let seen = entry.seen();
        let status_input = SystemStatusInput {
            generation: system.metadata.generation,
            interval: system.spec.observe_interval.into(),
            policies: self.shared.policies_of(key).len(),
            observation: match (&entry.route, &seen) {
                (Err(verdict), _) => SystemObservation::Unreachable(verdict.clone()),
                (Ok(_), Some(seen)) => SystemObservation::Seen(seen),
                (Ok(_), None) => SystemObservation::Tenant,
            },
        };
        match status_input.numbers() {
            Some((connected, expected, answered)) => {
                self.shared.gauges.set(key, connected, expected, answered);
            }
            None => self.shared.gauges.remove(key),
        }
        let leadership = self.shared.leadership_of(key);
        if entry.lease_epoch.is_none() || entry.lease_epoch != leadership.lease_epoch() {
            return Ok(());
        }
        let status = build(&entry.status, &status_input, Timestamp::now());
        if same(&entry.written, &status) {
            return Ok(());
        }
        entry.status = status;
        if self
            .shared
            .store_status::<NatsSystem>(key, key, &entry.status)
            .await?
        {
            entry.written.clone_from(&entry.status);
        }
        Ok(())
    }

    /// Ends what runs for an object that cannot be read.
    async fn refuse(&self, key: &Key, invalid: &InvalidObject) {
        warn!(system = %key, error = %invalid.error, "the system cannot be read");
        self.end(key).await;
    }

    async fn end(&self, key: &Key) {
        if let Some(entry) = self.entries.take(key) {
            self.remove(key.clone(), entry).await;
        }
    }

    /// Ends what runs for an object that is gone.
    async fn remove(&self, key: Key, entry: RunningSystem) {
        self.shared.handles.remove(&key);
        self.shared.gauges.remove(&key);
        self.shared
            .policy_queue
            .enqueue_all(self.shared.policies_of(&key));
        entry.end().await;
    }
}

fn not_found(message: String) -> ReasonMessage<ConnectedReason> {
    ReasonMessage::new(ConnectedReason::SecretNotFound, message)
}
