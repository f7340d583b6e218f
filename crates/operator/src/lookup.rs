//! What one policy refers to, read once and without controllers: for commands that look at a cluster from outside.
//!
//! It judges by the operator's own rules, `allowedNamespaces` among them. It connects to nothing and writes nothing.

use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use leeward_api::system::LimitsSpec;
use leeward_api::{NatsSystem, PlacementPolicy};
use leeward_core::owner::StreamOwners;
use leeward_engine::limits::SystemLimits;
use leeward_nats::ConnectConfig;

use crate::cluster::{Cluster, ClusterError};
use crate::error::chain;
use crate::key::Key;
use crate::owners;
use crate::policy::{SystemResolution, Unresolved, gather, judge};
use crate::shared::system_of;
use crate::system::{GatherError, dereference, validate};
use crate::systems::{Route, SystemHandle};

/// A system that a policy refers to.
#[derive(Clone, Debug)]
pub struct SystemLookup {
    key: Key,
    object: NatsSystem,
}

/// How to reach NATS for one policy.
#[derive(Clone, Debug)]
pub struct Access {
    /// As the account's user.
    pub account: ConnectConfig,
    /// As a user of the system account; `None` in tenant mode.
    pub system: Option<ConnectConfig>,
}

/// Why something that a policy refers to cannot be used, with the remedy.
#[derive(Debug, thiserror::Error)]
pub enum LookupError {
    /// It is missing, wrong or not permitted.
    #[error("{0}")]
    Wrong(String),
    /// The Kubernetes API did not answer.
    #[error("{0}")]
    Unknown(String),
}

impl SystemLookup {
    /// Reads the system of a policy.
    pub async fn of(client: &Client, policy: &PlacementPolicy) -> Result<Self, LookupError> {
        let key = system_of(policy);
        let cluster = Cluster::new(client.clone());
        match cluster.read(&key).await {
            Ok(object) => Ok(Self { key, object }),
            Err(error @ ClusterError::Missing { .. }) => Err(LookupError::Wrong(format!(
                "{error}: create it, or correct systemRef"
            ))),
            Err(error @ ClusterError::Forbidden { .. }) => Err(LookupError::Wrong(format!(
                "{error}: grant get on natssystems in that namespace to it"
            ))),
            Err(
                error @ (ClusterError::Foreign { .. }
                | ClusterError::Unanswered { .. }
                | ClusterError::Failed { .. }),
            ) => Err(LookupError::Unknown(chain(&error))),
        }
    }

    /// Namespace and name.
    pub fn name(&self) -> String {
        self.key.to_string()
    }

    /// Operations at once over all of its policies.
    pub fn limits(&self) -> LimitsSpec {
        self.object.spec.limits
    }

    /// How often it is observed.
    pub fn interval(&self) -> Duration {
        self.object.spec.observe_interval.into()
    }

    /// The halt switch.
    pub fn is_suspended(&self) -> bool {
        self.object.spec.suspend
    }

    /// How to reach the system for the policy, if it may use it.
    pub async fn access(&self, client: &Client, policy: &PlacementPolicy) -> Result<Access, LookupError> {
        let cluster = Cluster::new(client.clone());
        // Whether the policy may use the system is decided before what the system is reached with is read.
        let unreached = ConnectConfig::default();
        self.judged(&cluster, policy, unreached).await?;
        let connect = self.connect(&cluster).await?;
        let account = self.judged(&cluster, policy, connect.clone()).await?;
        let system = connect.credentials.is_some().then_some(connect);
        Ok(Access { account, system })
    }

    async fn connect(&self, cluster: &Cluster) -> Result<ConnectConfig, LookupError> {
        let of_system = |text: String| format!("NatsSystem {}: {text}", self.key);
        let materials = dereference(cluster, &self.key, &self.object.spec)
            .await
            .map_err(|trouble| match trouble {
                GatherError::Definite(verdict) => LookupError::Wrong(of_system(verdict.message)),
                GatherError::Unknown(message) => LookupError::Unknown(of_system(message)),
            })?;
        validate(&materials).map_err(|verdict| LookupError::Wrong(of_system(verdict.message)))
    }

    async fn judged(
        &self,
        cluster: &Cluster,
        policy: &PlacementPolicy,
        connect: ConnectConfig,
    ) -> Result<ConnectConfig, LookupError> {
        let spec = &self.object.spec;
        let handle = SystemHandle {
            uid: self.object.metadata.uid.clone().unwrap_or_default(),
            allowed: spec.allowed_namespaces.clone(),
            interval: self.interval(),
            suspended: spec.suspend,
            lease_epoch: None,
            limits: SystemLimits::new(0, 0),
            route: Ok(Route {
                epoch: 0,
                connect,
                observer: None,
            }),
        };
        let facts = gather(cluster, policy, SystemResolution::Known(Arc::new(handle))).await;
        match judge(policy, &facts) {
            Ok(refs) => Ok(refs.connect),
            Err(Unresolved::Refs(verdict)) => Err(LookupError::Wrong(verdict.message)),
            Err(Unresolved::System(verdict)) => Err(LookupError::Wrong(verdict.message)),
            Err(Unresolved::Unknown(message)) => Err(LookupError::Unknown(message)),
        }
    }
}

/// Streams whose configuration belongs to NACK, in any namespace, as policies of this one have them.
pub async fn owners(client: &Client, namespace: &str) -> StreamOwners {
    owners::read_once(client).await.seen_from(namespace)
}
