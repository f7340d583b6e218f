//! Gathers what a policy refers to. IO, no judgement.

use std::sync::Arc;

use leeward_api::PlacementPolicy;

use super::allowed::{Labels, needs_labels};
use crate::cluster::{Cluster, ClusterError, SecretData};
use crate::key::Key;
use crate::objects::Lookup;
use crate::shared::{Shared, system_of};
use crate::systems::SystemHandle;

/// What was found.
#[derive(Debug)]
pub struct References {
    /// The system.
    pub system: (Key, SystemResolution),
    /// Labels of the policy's namespace, if the system asks for them.
    pub labels: Option<Result<Labels, ClusterError>>,
    /// The Secret that the policy names, in its own namespace.
    pub secret: (Key, Result<Arc<SecretData>, ClusterError>),
}

/// What is known of the system.
#[derive(Debug)]
pub enum SystemResolution {
    /// Its namespace is not watched.
    NotWatched,
    /// It does not exist.
    Missing,
    /// It exists, but cannot be read.
    Unreadable,
    /// It exists, and was not reconciled yet.
    Starting,
    /// It is known.
    Known(Arc<SystemHandle>),
}

/// Gathers everything.
pub async fn dereference(shared: &Shared, policy: &PlacementPolicy) -> References {
    let fact = system_fact(shared, &system_of(policy));
    gather(&shared.cluster, policy, fact).await
}

/// Gathers the rest, for a system that was looked up.
pub async fn gather(cluster: &Cluster, policy: &PlacementPolicy, fact: SystemResolution) -> References {
    let own = Key::of(policy);
    let secret = Key::new(own.namespace.as_str(), policy.spec.credentials_ref.name.as_str());
    References {
        labels: labels(cluster, &fact, &own).await,
        system: (system_of(policy), fact),
        secret: (secret.clone(), cluster.secret(&secret).await),
    }
}

fn system_fact(shared: &Shared, key: &Key) -> SystemResolution {
    match shared.systems.find(key) {
        Lookup::NotWatched => SystemResolution::NotWatched,
        Lookup::Missing => SystemResolution::Missing,
        Lookup::NotYet => SystemResolution::Starting,
        Lookup::Found(object) if object.0.is_err() => SystemResolution::Unreadable,
        Lookup::Found(_) => shared
            .handles
            .get(key)
            .map_or(SystemResolution::Starting, SystemResolution::Known),
    }
}

async fn labels(
    cluster: &Cluster,
    fact: &SystemResolution,
    own: &Key,
) -> Option<Result<Labels, ClusterError>> {
    match fact {
        SystemResolution::Known(handle) if needs_labels(&handle.allowed) => {
            Some(cluster.namespace_labels(&own.namespace).await)
        }
        SystemResolution::Known(_)
        | SystemResolution::NotWatched
        | SystemResolution::Missing
        | SystemResolution::Unreadable
        | SystemResolution::Starting => None,
    }
}
