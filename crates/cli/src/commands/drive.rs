//! The engine's loop for one policy, in the account of one session: what `apply` and `run` have in common.

use std::sync::Arc;

use anyhow::anyhow;
use leeward_api::policy_status::PlacementPolicyStatus;
use leeward_core::usage::AccountUse;
use leeward_engine::limits::SystemLimits;
use leeward_engine::metrics::{Metrics, PolicyLabels};
use leeward_engine::policy_event::PolicyEvent;
use leeward_engine::policy_worker::PolicyWorker;
use leeward_engine::ports::SystemClock;
use leeward_engine::runner::{RunnerInput, Setup};
use tokio::sync::mpsc;

use crate::loaded_policy::{LoadedPolicy, SystemRules};
use crate::look::Session;
use crate::policies::PolicySource;

/// What all policies of a system share.
#[derive(Clone, Debug)]
pub struct SystemContext {
    /// Limits over all of them.
    pub limits: Arc<SystemLimits>,
    /// Metrics; not served here.
    pub metrics: Arc<Metrics>,
}

/// The system's rules, or why they are not known.
pub fn rules(subject: &PolicySource) -> anyhow::Result<SystemRules> {
    subject.system.clone().map_err(|message| anyhow!(message))
}

/// Step-downs and moves at once.
fn counts(rules: SystemRules) -> (usize, usize) {
    let count = |most: u32| usize::try_from(most).unwrap_or(usize::MAX);
    (count(rules.limits.step_downs), count(rules.limits.moves))
}

impl SystemContext {
    /// Nothing is in flight yet.
    pub fn new(rules: SystemRules) -> Self {
        let (step_downs, moves) = counts(rules);
        Self {
            limits: SystemLimits::new(step_downs, moves),
            metrics: Arc::new(Metrics::new()),
        }
    }

    /// Sets other rules; what is in flight stays as it is.
    pub fn set_rules(&self, rules: SystemRules) {
        let (step_downs, moves) = counts(rules);
        self.limits.set(step_downs, moves);
    }
}

/// What a worker starts from.
#[derive(Clone, Debug)]
pub struct StartedFrom {
    /// The policy's status.
    pub past: PlacementPolicyStatus,
    /// What was sampled already of who uses streams.
    pub usage: AccountUse,
}

impl StartedFrom {
    /// A policy's status, and no samples.
    pub fn status(past: &PlacementPolicyStatus) -> Self {
        Self {
            past: past.clone(),
            usage: AccountUse::default(),
        }
    }
}

/// Starts the worker of one policy. With `records` the status is written before any request is sent.
pub fn start(
    session: &Session,
    common: &SystemContext,
    loaded: &LoadedPolicy,
    from: StartedFrom,
    records: bool,
    input: RunnerInput,
) -> (PolicyWorker, mpsc::Receiver<PolicyEvent>) {
    let setup = Setup {
        labels: PolicyLabels {
            namespace: loaded.namespace.clone(),
            policy: loaded.name.clone(),
        },
        account: session.account.id.clone(),
        observe: Arc::clone(&session.observe),
        act: Arc::clone(&session.client),
        clock: SystemClock,
        limits: Arc::clone(&common.limits),
        metrics: Arc::clone(&common.metrics),
        past: from.past,
        usage: from.usage,
        records,
    };
    PolicyWorker::start(setup, input)
}
