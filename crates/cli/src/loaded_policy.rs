//! A policy as read from any source, with what is known about it.

use std::time::Duration;

use leeward_api::policy::PlacementPolicySpec;
use leeward_api::policy_status::PlacementPolicyStatus;
use leeward_api::system::LimitsSpec;
use leeward_core::approval::plan_identity;
use leeward_core::owner::StreamOwners;
use leeward_core::policy::Policy;
use leeward_core::proposal::Proposal;
use leeward_core::resolve::{InvalidPolicy, resolve};

/// A policy with what is known about it.
#[derive(Clone, Debug)]
pub struct LoadedPolicy {
    /// Its namespace; empty where there is none.
    pub namespace: String,
    /// Its name; `defaults` where no policy was given.
    pub name: String,
    /// Its generation, in Kubernetes.
    pub generation: i64,
    /// Its uid, in Kubernetes: ids of its plans are those that the operator gives them.
    pub uid: Option<String>,
    /// As it is written.
    pub spec: PlacementPolicySpec,
    /// As decisions need it.
    pub policy: Policy,
    /// Its past status, from Kubernetes or from the status file.
    pub past: PlacementPolicyStatus,
    /// Streams that another controller configures, as far as Kubernetes was asked.
    pub owners: StreamOwners,
    /// What was approved: nothing else is planned; `None` for everything.
    pub approved: Option<Proposal>,
    /// The id of the plan that was approved.
    pub approved_id: Option<String>,
    /// Where the object was read.
    pub origin: PolicyOrigin,
}

impl LoadedPolicy {
    /// A policy as it is written, of which nothing else is known.
    pub fn new(
        namespace: String,
        name: String,
        spec: PlacementPolicySpec,
        origin: PolicyOrigin,
    ) -> Result<Self, InvalidPolicy> {
        Ok(Self {
            namespace,
            name,
            generation: 0,
            uid: None,
            policy: resolve(&spec)?,
            spec,
            past: PlacementPolicyStatus::default(),
            owners: StreamOwners::default(),
            approved: None,
            approved_id: None,
            origin,
        })
    }
}

impl LoadedPolicy {
    /// What ids of its plans are made of, in Kubernetes.
    pub fn plan_identity(&self) -> Option<String> {
        let reference = &self.spec.system_ref;
        let namespace = reference.namespace.as_ref().unwrap_or(&self.namespace);
        let uid = self.uid.as_ref()?;
        Some(plan_identity(uid, &format!("{namespace}/{}", reference.name)))
    }
}

/// Where a policy was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PolicyOrigin {
    /// No policy was given.
    Defaults,
    /// From a file, at this line.
    File {
        /// The file, or `-`.
        path: String,
        /// The line of the document.
        line: u64,
    },
    /// From the Kubernetes API.
    Kubernetes,
}

/// What is set for a whole system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SystemRules {
    /// Operations at once, over all policies.
    pub limits: LimitsSpec,
    /// How often to look, if set.
    pub interval: Option<Duration>,
    /// Whether no policy acts.
    pub suspended: bool,
}

/// A policy's name for people.
pub fn name_of(loaded: &LoadedPolicy) -> String {
    if loaded.namespace.is_empty() {
        loaded.name.clone()
    } else {
        format!("{}/{}", loaded.namespace, loaded.name)
    }
}
