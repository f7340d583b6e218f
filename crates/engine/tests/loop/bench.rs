//! Runners over a fake system, and conditions to wait for.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use leeward_api::policy_status::{PlacementPolicyStatus, RecentAction};
use leeward_api::vocabulary::{ActionResult, InPlaceReason};
use leeward_core::owner::StreamOwners;
use leeward_core::policy::Policy;
use leeward_core::snapshot::AccountView;
use leeward_core::usage::AccountUse;
use leeward_engine::limits::SystemLimits;
use leeward_engine::metrics::{Metrics, PolicyLabels};
use leeward_engine::permit::Inhibited;
use leeward_engine::policy_event::PolicyEvent;
use leeward_engine::policy_state::PolicyState;
use leeward_engine::runner::{Runner, RunnerInput, Setup};
use tokio::sync::mpsc;

use crate::model::FakeSystem;
use crate::worlds::account;

pub const STALE_AFTER: Duration = Duration::from_secs(90);
const SWEEP: Duration = Duration::from_secs(10);

/// A system with everything that runners share.
pub struct Bench {
    pub fake: Arc<FakeSystem>,
    pub limits: Arc<SystemLimits>,
    pub metrics: Arc<Metrics>,
    pub records: bool,
}

/// A runner at work.
pub struct Running {
    pub runner: Runner,
    pub policy_events: mpsc::Receiver<PolicyEvent>,
}

impl Bench {
    /// A system that is looked at regularly.
    pub fn new(truth: AccountView) -> Self {
        let bench = Self::unwatched(truth);
        bench.fake.keep_looking(SWEEP);
        bench
    }

    /// A system that is looked at when the test says so.
    pub fn unwatched(truth: AccountView) -> Self {
        Self {
            fake: FakeSystem::new(truth),
            limits: SystemLimits::new(100, 100),
            metrics: Arc::new(Metrics::new()),
            records: false,
        }
    }

    /// Runners wait until somebody says that their operations are written down.
    pub fn recording(mut self) -> Self {
        self.records = true;
        self
    }

    pub fn start(&self, policy: &Arc<Policy>) -> Running {
        self.start_with(input(policy, []), &PlacementPolicyStatus::default())
    }

    /// Starts a runner as after a restart with that status.
    pub fn start_with(&self, input: RunnerInput, status: &PlacementPolicyStatus) -> Running {
        let setup = Setup {
            labels: PolicyLabels {
                namespace: "apps".to_owned(),
                policy: "nearby".to_owned(),
            },
            account: account(),
            observe: self.fake.clone(),
            act: Arc::clone(&self.fake),
            clock: self.fake.clock,
            limits: Arc::clone(&self.limits),
            metrics: Arc::clone(&self.metrics),
            past: status.clone(),
            usage: AccountUse::default(),
            records: self.records,
        };
        let (runner, policy_events) = Runner::start(setup, input);
        Running {
            runner,
            policy_events,
        }
    }

    /// Lets the fake's time pass.
    pub async fn pass(&self, span: Duration) {
        tokio::time::sleep(span).await;
    }

    /// Waits until at least so many requests reached the system.
    pub async fn written(&self, count: usize) {
        while self.fake.writes() < count {
            self.pass(Duration::from_millis(1)).await;
        }
    }
}

pub fn input(policy: &Arc<Policy>, inhibited: impl IntoIterator<Item = Inhibited>) -> RunnerInput {
    RunnerInput {
        policy: Arc::clone(policy),
        generation: 1,
        stale_after: STALE_AFTER,
        owners: Arc::new(StreamOwners::default()),
        inhibited: inhibited.into_iter().collect::<BTreeSet<_>>(),
        approved: None,
    }
}

impl Running {
    /// Waits until the published standing is as wanted; six hours of the fake's time are too long.
    pub async fn until(&self, what: &str, mut wanted: impl FnMut(&PolicyState) -> bool) -> Arc<PolicyState> {
        let mut policy_state = self.runner.policy_state();
        let waiting =
            policy_state.wait_for(|found| found.as_ref().is_some_and(|policy_state| wanted(policy_state)));
        let found = tokio::time::timeout(Duration::from_hours(6), waiting)
            .await
            .map(|found| found.unwrap().clone().unwrap());
        found.unwrap_or_else(|_| {
            panic!(
                "{what}: not within six hours, but {:#?}",
                self.runner.policy_state().borrow()
            )
        })
    }

    pub async fn until_home(&self) -> Arc<PolicyState> {
        self.until("everything home", |policy_state| {
            policy_state.report.in_place.0 == InPlaceReason::AllInPlace && policy_state.operations.is_empty()
        })
        .await
    }

    pub async fn until_ended(&self, count: usize) -> Arc<PolicyState> {
        self.until("operations ended", |policy_state| {
            policy_state.recent_actions.len() >= count
        })
        .await
    }

    pub fn policy_state(&self) -> Arc<PolicyState> {
        self.runner.policy_state().borrow().clone().unwrap()
    }

    /// Everything that happened so far.
    pub fn happened(&mut self) -> Vec<PolicyEvent> {
        let mut all = Vec::new();
        while let Ok(policy_event) = self.policy_events.try_recv() {
            all.push(policy_event);
        }
        all
    }
}

pub fn results(actions: &[RecentAction]) -> Vec<ActionResult> {
    actions.iter().map(|action| action.result).collect()
}

/// The status that a standing is written to.
pub fn status_of(policy_state: &PolicyState) -> PlacementPolicyStatus {
    PlacementPolicyStatus {
        home: policy_state.report.home.clone(),
        findings: policy_state.report.findings.clone(),
        recent_actions: policy_state.recent_actions.clone(),
        operations: policy_state.operations.clone(),
        breaker: policy_state.limits.breaker.clone(),
        memory: Some(policy_state.memory.clone()),
        ..PlacementPolicyStatus::default()
    }
}
