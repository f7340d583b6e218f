//! The worker of one policy, with the tasks that forward its state and its events.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use leeward_api::policy::PlacementPolicySpec;
use leeward_api::policy_status::PlacementPolicyStatus;
use leeward_core::names::AccountId;
use leeward_core::usage::AccountUse;
use leeward_engine::metrics::{Metrics, PolicyLabels};
use leeward_engine::permit::Inhibited;
use leeward_engine::policy_event::PolicyEvent;
use leeward_engine::policy_state::PolicyState;
use leeward_engine::policy_worker::PolicyWorker;
use leeward_engine::ports::SystemClock;
use leeward_engine::runner::{RunnerInput, Setup};
use leeward_lease::{Deadline, Leadership};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::leader_only::LeaderOnly;
use super::link::AccountLink;
use super::owner_edits::OwnerEdits;
use crate::cluster::Cluster;
use crate::events::{EventNote, EventSink};
use crate::key::Key;
use crate::reconcile_queue::{ReconcileQueue, enqueue_on};
use crate::systems::SystemHandle;

/// A worker, with the tasks that forward its state and its events.
#[derive(Debug)]
pub struct PolicyRun {
    /// The account that it works in.
    pub account: AccountId,
    /// The worker.
    pub worker: PolicyWorker,
    spec: PlacementPolicySpec,
    acts: Deadline,
    tasks: JoinSet<()>,
}

/// What a worker starts with, besides its input.
#[derive(Debug)]
pub struct Start<'a> {
    /// The policy.
    pub key: &'a Key,
    /// For its events.
    pub object: ObjectReference,
    /// Its specification.
    pub spec: &'a PlacementPolicySpec,
    /// The account.
    pub account: AccountId,
    /// The status so far.
    pub past: &'a PlacementPolicyStatus,
    /// Its system.
    pub system: &'a SystemHandle,
    /// Its connection.
    pub link: &'a AccountLink,
    /// For objects that own streams.
    pub cluster: Cluster,
    /// Counts.
    pub metrics: Arc<Metrics>,
    /// Queues its reconcile.
    pub reconcile_queue: &'a ReconcileQueue,
    /// Where its events go.
    pub events: EventSink,
    /// The right to act.
    pub acts: Deadline,
    /// The right to report it.
    pub leadership: Leadership,
}

/// Names a policy in logs and metrics.
pub fn labels(key: &Key) -> PolicyLabels {
    PolicyLabels {
        namespace: key.namespace.clone(),
        policy: key.name.clone(),
    }
}

impl PolicyRun {
    /// Starts a worker.
    pub fn start(start: Start<'_>, input: RunnerInput) -> Self {
        let acts = start.acts;
        let account = Arc::clone(&start.link.client);
        let edits = OwnerEdits::new(account, start.cluster, start.key.namespace.clone());
        let setup = Setup {
            labels: labels(start.key),
            account: start.account.clone(),
            observe: Arc::clone(&start.link.observe),
            act: Arc::new(LeaderOnly::new(Arc::new(edits), acts.clone())),
            clock: SystemClock,
            limits: Arc::clone(&start.system.limits),
            metrics: start.metrics,
            past: start.past.clone(),
            usage: AccountUse::default(),
            records: true,
        };
        let (worker, policy_events) = PolicyWorker::start(setup, input);
        let mut tasks = JoinSet::new();
        tasks.spawn(enqueue_on(
            worker.watch(),
            start.key.clone(),
            start.reconcile_queue.clone(),
        ));
        tasks.spawn(publish_events(
            policy_events,
            start.object,
            start.events,
            start.leadership,
        ));
        Self {
            account: start.account,
            worker,
            spec: start.spec.clone(),
            acts,
            tasks,
        }
    }

    /// Whether another policy acts instead, or may have to.
    pub fn is_outranked(&self) -> bool {
        self.worker.input().inhibited.contains(&Inhibited::NotAccepted)
    }

    /// Whether the lease lets it act.
    pub fn may_act(&self) -> bool {
        self.acts.holds()
    }

    /// Gives new input where it differs.
    pub fn update(&mut self, spec: &PlacementPolicySpec, input: RunnerInput) {
        self.worker.update(input);
        self.spec.clone_from(spec);
    }

    /// Whether a specification asks for another connection than this worker's.
    pub fn is_for_other_references(&self, spec: &PlacementPolicySpec) -> bool {
        let own = &self.spec;
        own.system_ref != spec.system_ref
            || own.credentials_ref != spec.credentials_ref
            || own.jet_stream_domain != spec.jet_stream_domain
            || own.inbox_prefix != spec.inbox_prefix
    }

    /// Stops acting at once, and ends; returns the policy's last state.
    pub async fn end(mut self) -> Option<Arc<PolicyState>> {
        let last = self.worker.end().await;
        // They end with the worker, once they have forwarded its last state and events.
        let rest = async { while self.tasks.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(Duration::from_millis(500), rest).await;
        last
    }
}

/// Forwards policy events as Kubernetes events if this replica is the leader; never waits for them to be written.
async fn publish_events(
    mut policy_events: mpsc::Receiver<PolicyEvent>,
    object: ObjectReference,
    events: EventSink,
    leadership: Leadership,
) {
    while let Some(policy_event) = policy_events.recv().await {
        if let Some(event) = EventNote::of(&policy_event)
            && leadership.lease_epoch().is_some()
        {
            events.publish(&object, event);
        }
    }
}
