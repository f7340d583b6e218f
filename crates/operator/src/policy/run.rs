//! The runner of one policy, with the tasks that carry its state and its events on.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use leeward_api::policy::PlacementPolicySpec;
use leeward_api::policy_status::PlacementPolicyStatus;
use leeward_core::context::Managed;
use leeward_core::history::History;
use leeward_core::names::AccountId;
use leeward_core::policy::Policy;
use leeward_engine::metrics::{Metrics, PolicyLabels};
use leeward_engine::permit::Inhibited;
use leeward_engine::policy_event::PolicyEvent;
use leeward_engine::policy_state::PolicyState;
use leeward_engine::ports::SystemClock;
use leeward_engine::runner::{Runner, RunnerInput, Setup, unfinished_moves};
use leeward_lease::{Deadline, Leadership};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::leader_only::LeaderOnly;
use super::link::AccountLink;
use crate::events::{EventNote, EventSink};
use crate::key::Key;
use crate::reconcile_queue::{ReconcileQueue, poke_on};
use crate::systems::SystemHandle;

/// What a runner is told.
#[derive(Clone, Debug)]
pub struct RunInput {
    /// The specification that the policy was resolved from.
    pub spec: PlacementPolicySpec,
    /// The policy.
    pub policy: Arc<Policy>,
    /// Its generation.
    pub generation: i64,
    /// What withholds the right to act.
    pub inhibited: BTreeSet<Inhibited>,
    /// Streams that NACK owns.
    pub managed: Arc<Managed>,
    /// How old a view may be.
    pub stale_after: Duration,
}

impl RunInput {
    fn same(&self, other: &Self) -> bool {
        let Self {
            spec,
            policy: _,
            generation,
            inhibited,
            managed,
            stale_after,
        } = self;
        *generation == other.generation
            && *inhibited == other.inhibited
            && *stale_after == other.stale_after
            && *managed == other.managed
            && *spec == other.spec
    }

    fn input(&self) -> RunnerInput {
        RunnerInput {
            policy: Arc::clone(&self.policy),
            generation: self.generation,
            stale_after: self.stale_after,
            managed: Arc::clone(&self.managed),
            inhibited: self.inhibited.clone(),
            approved: None,
        }
    }
}

/// A runner at work.
#[derive(Debug)]
pub struct PolicyRun {
    /// The account that it works in.
    pub account: AccountId,
    runner: Runner,
    run_input: RunInput,
    policy_state: watch::Receiver<Option<Arc<PolicyState>>>,
    acts: Deadline,
    tasks: JoinSet<()>,
}

/// What a runner starts with, besides its orders.
#[derive(Debug)]
pub struct Start<'a> {
    /// The policy.
    pub key: &'a Key,
    /// For its events.
    pub object: ObjectReference,
    /// The account.
    pub account: AccountId,
    /// What is known of the past.
    pub past: &'a PlacementPolicyStatus,
    /// Its system.
    pub system: &'a SystemHandle,
    /// Its connection.
    pub link: &'a AccountLink,
    /// Counts.
    pub metrics: Arc<Metrics>,
    /// Wakes its reconcile.
    pub reconcile_queue: &'a ReconcileQueue,
    /// Where its events go.
    pub events: EventSink,
    /// The right to act.
    pub acts: Deadline,
    /// The right to tell of it.
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
    /// Starts a runner.
    pub fn start(start: Start<'_>, run_input: RunInput) -> Self {
        let past = start.past;
        // What was done in another account says nothing of this one.
        let same_account = past
            .account
            .as_ref()
            .is_some_and(|account| account.id == start.account.as_str());
        let token = run_input.spec.reset_token.as_deref();
        let nothing = PlacementPolicyStatus::default();
        let past = if same_account { past } else { &nothing };
        let acts = start.acts;
        let setup = Setup {
            labels: labels(start.key),
            account: start.account.clone(),
            observe: Arc::clone(&start.link.observe),
            act: Arc::new(LeaderOnly::new(Arc::clone(&start.link.client), acts.clone())),
            clock: SystemClock,
            limits: Arc::clone(&start.system.limits),
            metrics: start.metrics,
            history: History::restore(past, token, Timestamp::now()),
            findings: past.findings.clone(),
            recent_actions: past.recent_actions.clone(),
            unfinished_moves: unfinished_moves(past),
            records: true,
        };
        let (runner, policy_events) = Runner::start(setup, run_input.input());
        let policy_state = runner.policy_state();
        let mut tasks = JoinSet::new();
        tasks.spawn(poke_on(
            runner.policy_state(),
            start.key.clone(),
            start.reconcile_queue.clone(),
        ));
        tasks.spawn(tell(policy_events, start.object, start.events, start.leadership));
        Self {
            account: start.account,
            runner,
            run_input,
            policy_state,
            acts,
            tasks,
        }
    }

    /// Whether its loop ended although nobody asked for that, which nothing but a defect does.
    pub fn broke_off(&self) -> bool {
        self.policy_state.has_changed().is_err()
    }

    /// Whether the lease lets it act.
    pub fn may_act(&self) -> bool {
        self.acts.holds()
    }

    /// Gives new orders where they differ.
    pub fn direct(&mut self, run_input: RunInput) {
        if !self.run_input.same(&run_input) {
            self.runner.update(run_input.input());
            self.run_input = run_input;
        }
    }

    /// Takes the right to act away at once, without waiting for anything else that new orders need.
    pub fn inhibit(&mut self, reasons: BTreeSet<Inhibited>) {
        let mut run_input = self.run_input.clone();
        run_input.inhibited.extend(reasons);
        self.direct(run_input);
    }

    /// Whether a specification asks for another connection than this runner's.
    pub fn is_for_other_references(&self, spec: &PlacementPolicySpec) -> bool {
        let own = &self.run_input.spec;
        own.system_ref != spec.system_ref
            || own.credentials_ref != spec.credentials_ref
            || own.jet_stream_domain != spec.jet_stream_domain
            || own.inbox_prefix != spec.inbox_prefix
    }

    /// Where the policy stood with this sequence is in its status now.
    pub fn recorded(&self, sequence: u64) {
        self.runner.recorded(sequence);
    }

    /// Where the policy stands; `None` before the first round.
    pub fn policy_state(&self) -> Option<Arc<PolicyState>> {
        self.policy_state.borrow().clone()
    }

    /// Acts no more from now on, and ends; returns where the policy stood at the end.
    pub async fn end(self) -> Option<Arc<PolicyState>> {
        let Self {
            account: _,
            runner,
            run_input: _,
            policy_state,
            acts: _,
            mut tasks,
        } = self;
        runner.shutdown().await;
        // They end with the runner, once they have passed on what it said last.
        let rest = async { while tasks.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(Duration::from_millis(500), rest).await;
        policy_state.borrow().clone()
    }
}

/// Hands occurrences on as events, if this replica is the one that speaks; never waits for them to be written.
async fn tell(
    mut policy_events: mpsc::Receiver<PolicyEvent>,
    object: ObjectReference,
    events: EventSink,
    leadership: Leadership,
) {
    while let Some(policy_event) = policy_events.recv().await {
        if let Some(told) = EventNote::of(&policy_event)
            && leadership.lease_epoch().is_some()
        {
            events.tell(&object, told);
        }
    }
}
