//! Which policies decide: read from files, from Kubernetes, or the defaults for everything in the account.
//!
//! A policy in a file is refused for exactly what the apiserver would refuse it for, every problem with its place. The
//! references that only mean something in Kubernetes may be left out.

mod files;
mod object;

use itertools::Itertools as _;
use leeward_api::policy::PlacementPolicySpec;
use serde_json::json;

use crate::args::{self, ConnectionArgs, PolicyArgs};
use crate::connection::{self, ConnectionOptions};
use crate::loaded_policy::{LoadedPolicy, PolicyOrigin, SystemRules};
use crate::{input, kubernetes};

pub use files::{FromFiles, from_documents, sound};
pub use object::{NO_REFERENCE, is_kind, is_ours};

/// Policies, and how to reach the system that they are about.
#[derive(Clone, Debug)]
pub struct PolicySource {
    /// At least one, ordered by rank: the first wins where two select one stream.
    pub policies: Vec<LoadedPolicy>,
    /// How to reach NATS.
    pub connections: ConnectionOptions,
    /// What is set for the whole system, or why that is not known; needed to act.
    pub system: Result<SystemRules, String>,
}

/// Reads the policies and resolves the connection that goes with them. As a plugin of kubectl, the only policy of the
/// namespace is meant where none is named.
pub async fn read(connection: &ConnectionArgs, policy: &PolicyArgs) -> anyhow::Result<PolicySource> {
    if policy.policy.is_some() || (policy.files.is_empty() && args::is_plugin()) {
        return from_kubernetes(connection, policy).await;
    }
    let found = if policy.files.is_empty() {
        FromFiles::defaults()?
    } else {
        let documents = input::read(&policy.files, &policy.exclude).strict()?;
        let found = from_documents(&documents)?;
        if found.policies.is_empty() {
            anyhow::bail!(
                "no PlacementPolicy is in {}: name a file that has one, or leave -f out for the defaults",
                policy.files.iter().map(|path| path.display()).join(", ")
            );
        }
        found
    };
    found.with(connection::resolve(connection)?)
}

/// One policy from the Kubernetes API, with the connection that it names unless arguments give another.
async fn from_kubernetes(connection: &ConnectionArgs, policy: &PolicyArgs) -> anyhow::Result<PolicySource> {
    let is_explicit = connection::is_explicit(connection);
    let found = kubernetes::policy(&policy.kubernetes, policy.policy.as_deref(), !is_explicit).await?;
    let connections = match found.connections {
        Some(connections) if !is_explicit => connection::over_references(connection, connections)?,
        Some(_) | None => connection::resolve(connection)?,
    };
    subject(vec![found.loaded], found.system, connections)
}

/// The domain and the prefix of inboxes are the policies', unless an argument sets them.
fn subject(
    mut policies: Vec<LoadedPolicy>,
    system: Result<SystemRules, String>,
    mut connections: ConnectionOptions,
) -> anyhow::Result<PolicySource> {
    if let Some(account) = &mut connections.account {
        if account.domain.is_none() {
            account.domain = files::common_domain(&policies)?;
        }
        if account.config.inbox_prefix.is_none() {
            account.config.inbox_prefix = files::common_inbox_prefix(&policies)?;
        }
        for loaded in &mut policies {
            // A look's domain is compared with this one.
            loaded.policy.domain.clone_from(&account.domain);
        }
    }
    Ok(PolicySource {
        policies,
        connections,
        system,
    })
}

impl FromFiles {
    /// No policy was given: everything in the account, by the defaults.
    pub fn defaults() -> anyhow::Result<Self> {
        let spec: PlacementPolicySpec = serde_json::from_value(json!({
            "systemRef": {"name": object::NO_REFERENCE},
            "credentialsRef": {"name": object::NO_REFERENCE},
        }))?;
        let name = "defaults".to_owned();
        let loaded = LoadedPolicy::new(String::new(), name, spec, PolicyOrigin::Defaults)?;
        Ok(Self {
            policies: vec![loaded],
            system: Ok(SystemRules::default()),
        })
    }

    /// With the connection that goes with them.
    pub fn with(self, connections: ConnectionOptions) -> anyhow::Result<PolicySource> {
        let system = self.system.map_err(|problem| problem.to_string());
        subject(self.policies, system, connections)
    }
}

#[cfg(test)]
mod tests;
