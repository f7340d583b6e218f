//! The runner of one policy, with the tasks that carry its standing and its occurrences on.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use leeward_api::policy::PlacementPolicySpec;
use leeward_api::policy_status::PlacementPolicyStatus;
use leeward_core::evaluate::Managed;
use leeward_core::history::History;
use leeward_core::names::AccountId;
use leeward_core::policy::Policy;
use leeward_engine::metrics::{Metrics, PolicyLabels};
use leeward_engine::occurrence::Occurrence;
use leeward_engine::permit::{Fence, Withheld};
use leeward_engine::ports::SystemClock;
use leeward_engine::runner::{Input, Runner, Setup, unfinished_moves};
use leeward_engine::standing::Standing;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::fenced::Fenced;
use super::link::Link;
use crate::events::{Events, Told};
use crate::key::Key;
use crate::lease::Tenure;
use crate::pokes::{Pokes, poke_on};
use crate::systems::SystemHandle;

/// What a runner is told.
#[derive(Clone, Debug)]
pub struct Orders {
    /// The specification that the policy was resolved from.
    pub spec: PlacementPolicySpec,
    /// The policy.
    pub policy: Arc<Policy>,
    /// Its generation.
    pub generation: i64,
    /// What withholds the right to act.
    pub withheld: BTreeSet<Withheld>,
    /// Streams that NACK owns.
    pub managed: Arc<Managed>,
    /// How old a view may be.
    pub stale_after: Duration,
}

impl Orders {
    fn same(&self, other: &Self) -> bool {
        let Self {
            spec,
            policy: _,
            generation,
            withheld,
            managed,
            stale_after,
        } = self;
        *generation == other.generation
            && *withheld == other.withheld
            && *stale_after == other.stale_after
            && *managed == other.managed
            && *spec == other.spec
    }

    fn input(&self) -> Input {
        Input {
            policy: Arc::clone(&self.policy),
            generation: self.generation,
            stale_after: self.stale_after,
            managed: Arc::clone(&self.managed),
            withheld: self.withheld.clone(),
            approved: None,
        }
    }
}

/// A runner at work.
#[derive(Debug)]
pub struct Drive {
    /// The account that it works in.
    pub account: AccountId,
    runner: Runner,
    orders: Orders,
    standing: watch::Receiver<Option<Arc<Standing>>>,
    acts: Fence,
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
    pub link: &'a Link,
    /// Counts.
    pub metrics: Arc<Metrics>,
    /// Wakes its reconcile.
    pub pokes: &'a Pokes,
    /// Where its events go.
    pub events: Events,
    /// The right to act.
    pub acts: Fence,
    /// The right to tell of it.
    pub tenure: Tenure,
}

/// Names a policy in logs and metrics.
pub fn labels(key: &Key) -> PolicyLabels {
    PolicyLabels {
        namespace: key.namespace.clone(),
        policy: key.name.clone(),
    }
}

impl Drive {
    /// Starts a runner.
    pub fn start(start: Start<'_>, orders: Orders) -> Self {
        let past = start.past;
        // What was done in another account says nothing of this one.
        let same_account = past
            .account
            .as_ref()
            .is_some_and(|account| account.id == start.account.as_str());
        let token = orders.spec.reset_token.as_deref();
        let nothing = PlacementPolicyStatus::default();
        let past = if same_account { past } else { &nothing };
        let acts = start.acts;
        let setup = Setup {
            labels: labels(start.key),
            account: start.account.clone(),
            observe: Arc::clone(&start.link.observe),
            act: Arc::new(Fenced::new(Arc::clone(&start.link.client), acts.clone())),
            clock: SystemClock,
            limits: Arc::clone(&start.system.limits),
            metrics: start.metrics,
            history: History::restore(past, token, Timestamp::now()),
            findings: past.findings.clone(),
            recent_actions: past.recent_actions.clone(),
            unfinished_moves: unfinished_moves(past),
            records: true,
        };
        let (runner, occurrences) = Runner::start(setup, orders.input());
        let standing = runner.standing();
        let mut tasks = JoinSet::new();
        tasks.spawn(poke_on(runner.standing(), start.key.clone(), start.pokes.clone()));
        tasks.spawn(tell(occurrences, start.object, start.events, start.tenure));
        Self {
            account: start.account,
            runner,
            orders,
            standing,
            acts,
            tasks,
        }
    }

    /// Whether its loop ended although nobody asked for that, which nothing but a defect does.
    pub fn broke_off(&self) -> bool {
        self.standing.has_changed().is_err()
    }

    /// Whether the lease lets it act.
    pub fn may_act(&self) -> bool {
        self.acts.stands()
    }

    /// Gives new orders where they differ.
    pub fn direct(&mut self, orders: Orders) {
        if !self.orders.same(&orders) {
            self.runner.update(orders.input());
            self.orders = orders;
        }
    }

    /// Takes the right to act away at once, without waiting for anything else that new orders need.
    pub fn withhold(&mut self, reasons: BTreeSet<Withheld>) {
        let mut orders = self.orders.clone();
        orders.withheld.extend(reasons);
        self.direct(orders);
    }

    /// Whether a specification asks for another connection than this runner's.
    pub fn is_for_other_references(&self, spec: &PlacementPolicySpec) -> bool {
        let own = &self.orders.spec;
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
    pub fn standing(&self) -> Option<Arc<Standing>> {
        self.standing.borrow().clone()
    }

    /// Acts no more from now on, and ends; returns where the policy stood at the end.
    pub async fn end(self) -> Option<Arc<Standing>> {
        let Self {
            account: _,
            runner,
            orders: _,
            standing,
            acts: _,
            mut tasks,
        } = self;
        runner.shutdown().await;
        // They end with the runner, once they have passed on what it said last.
        let rest = async { while tasks.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(Duration::from_millis(500), rest).await;
        standing.borrow().clone()
    }
}

/// Hands occurrences on as events, if this replica is the one that speaks; never waits for them to be written.
async fn tell(
    mut occurrences: mpsc::Receiver<Occurrence>,
    object: ObjectReference,
    events: Events,
    tenure: Tenure,
) {
    while let Some(occurrence) = occurrences.recv().await {
        if let Some(told) = Told::of(&occurrence)
            && tenure.term().is_some()
        {
            events.tell(&object, told);
        }
    }
}
