//! What both controllers work with.

use std::sync::Arc;

use leeward_api::{NatsSystem, PlacementPlan, PlacementPolicy};
use leeward_engine::metrics::Metrics;
use leeward_lease::{Leadership, Leaderships};
use serde::Serialize;
use tokio::sync::watch;

use crate::cluster::{Cluster, ClusterError, HasStatus};
use crate::events::EventSink;
use crate::gauges::Gauges;
use crate::key::Key;
use crate::objects::Objects;
use crate::owners::OwnerObjects;
use crate::reconcile_queue::ReconcileQueue;
use crate::systems::SystemHandles;

/// Everything that is shared; clones share it.
#[derive(Clone, Debug)]
pub struct Shared {
    /// The Kubernetes API.
    pub cluster: Cluster,
    /// Systems as the cache has them.
    pub systems: Objects<NatsSystem>,
    /// Policies as the cache has them.
    pub policies: Objects<PlacementPolicy>,
    /// Plans as the cache has them.
    pub plans: Objects<PlacementPlan>,
    /// Queues reconciles of systems.
    pub system_queue: ReconcileQueue,
    /// Queues reconciles of policies.
    pub policy_queue: ReconcileQueue,
    /// Systems as policies use them.
    pub handles: Arc<SystemHandles>,
    /// Objects of NACK that own streams.
    pub owners: watch::Receiver<Arc<OwnerObjects>>,
    /// Where events go.
    pub events: EventSink,
    /// Numbers of the engine.
    pub metrics: Arc<Metrics>,
    /// Numbers of this adapter.
    pub gauges: Gauges,
    /// The rights to act and to write status.
    pub leaderships: Leaderships,
}

impl Shared {
    /// The policies that refer to a system.
    pub fn policies_of(&self, system: &Key) -> Vec<Key> {
        let mut keys = Vec::new();
        self.policies.each(|policy| {
            if system_of(policy) == *system {
                keys.push(Key::of(policy));
            }
        });
        keys.sort();
        keys
    }

    /// The right to act on a system, and to write its status and its policies'.
    pub fn leadership_of(&self, system: &Key) -> &Leadership {
        self.leaderships.of(&system.to_string())
    }

    /// The shard of a system, by the namespace and name that identify it in every release.
    pub fn shard_of(&self, system: &Key) -> usize {
        self.leaderships.shard_of(&system.to_string())
    }

    /// Writes the status of a system or of one of its policies, while this replica leads; returns whether it is stored.
    pub async fn store_status<K: HasStatus>(
        &self,
        system: &Key,
        key: &Key,
        status: &impl Serialize,
    ) -> Result<bool, ClusterError> {
        let write = self.cluster.apply_status::<K>(key, status);
        match self.leadership_of(system).while_held(write).await {
            Some(Ok(())) => Ok(true),
            // It was deleted meanwhile, or another replica is the leader now.
            Some(Err(ClusterError::Missing { .. })) | None => Ok(false),
            Some(Err(error)) => Err(error),
        }
    }

    /// Enqueues everything in a shard, systems first: policies wait for theirs.
    pub fn enqueue_shard(&self, shard: usize) {
        let mut systems = self.systems.keys();
        systems.retain(|system| self.shard_of(system) == shard);
        self.system_queue.enqueue_all(systems);
        self.policies.each(|policy| {
            if self.shard_of(&system_of(policy)) == shard {
                self.policy_queue.enqueue(Key::of(policy));
            }
        });
    }

    /// Enqueues every policy.
    pub fn enqueue_policies(&self) {
        self.policies
            .each(|policy| self.policy_queue.enqueue(Key::of(policy)));
    }
}

/// The system that a policy refers to.
pub fn system_of(policy: &PlacementPolicy) -> Key {
    let reference = &policy.spec.system_ref;
    let own = || Key::of(policy).namespace;
    Key::new(
        reference.namespace.clone().unwrap_or_else(own),
        reference.name.as_str(),
    )
}
