//! What runs for one policy, and its status.

use std::collections::BTreeSet;
use std::sync::Arc;

use leeward_api::PlacementPolicy;
use leeward_api::policy::Mode;
use leeward_api::policy_status::{Account, OperationStatus, PlacementPolicyStatus};
use leeward_core::names::AssetName;
use leeward_engine::policy_state::PolicyState;
use leeward_engine::policy_worker::keep_what_was_done;
use leeward_engine::supervise::RestartBackoff;
use leeward_lease::{LeaseEpoch, PendingWrite};
use tokio::time::Instant;

use super::link::AccountLink;
use super::plans::StoredPlans;
use super::run::PolicyRun;
use crate::key::Key;
use crate::shared::system_of;
use crate::systems::SystemHandle;

/// One policy at work.
#[derive(Debug)]
pub struct RunningPolicy {
    /// The uid of the object: one that was recreated is another object.
    pub uid: String,
    /// The system that it refers to.
    pub of: Key,
    /// Its connection.
    pub link: Option<AccountLink>,
    /// Its runner.
    pub run: Option<PolicyRun>,
    /// Its system, as it was last seen.
    pub system: Option<Arc<SystemHandle>>,
    /// Its account, as it was last seen.
    pub account: Option<Account>,
    /// The policy that has precedence, as it was last reported.
    pub outranked_by: Option<Key>,
    /// The lease epoch in which the object was read again: as long as it lasts, the status is the newest.
    pub lease_epoch: Option<LeaseEpoch>,
    /// Kept while something that was or is being done is not written yet.
    pub pending: Option<PendingWrite>,
    /// When the loop that panicked may restart.
    pub restart: RestartBackoff,
    /// Its plans, in mode Propose.
    pub plans: StoredPlans,
    /// The newest status.
    pub status: PlacementPolicyStatus,
    /// The status that is stored.
    pub written: PlacementPolicyStatus,
}

impl RunningPolicy {
    /// Nothing runs yet; the history in the status is taken over.
    pub fn new(policy: &PlacementPolicy) -> Self {
        let status = policy.status.clone().unwrap_or_default();
        Self {
            uid: policy.metadata.uid.clone().unwrap_or_default(),
            of: system_of(policy),
            link: None,
            run: None,
            system: None,
            account: None,
            outranked_by: None,
            lease_epoch: None,
            pending: None,
            restart: RestartBackoff::default(),
            plans: StoredPlans::default(),
            written: status.clone(),
            status,
        }
    }

    /// Takes over the history in the status at the beginning of a lease epoch.
    pub fn enter(&mut self, lease_epoch: LeaseEpoch, policy: &PlacementPolicy) {
        self.status = policy.status.clone().unwrap_or_default();
        self.written.clone_from(&self.status);
        self.outranked_by = None;
        self.lease_epoch = Some(lease_epoch);
    }

    /// The policy's state.
    pub fn policy_state(&self) -> Option<Arc<PolicyState>> {
        self.run.as_ref().and_then(|run| run.worker.policy_state())
    }

    /// What is being acted on, as far as a look does not show what came of it.
    pub fn in_flight(&self) -> BTreeSet<AssetName> {
        let Some(run) = &self.run else {
            let operations = self.status.operations.iter();
            let asset =
                |operation: &OperationStatus| AssetName::of(&operation.stream, operation.consumer.as_deref());
            return operations.map(asset).collect();
        };
        let state = run.worker.policy_state();
        let mut in_flight = state.map(|state| state.in_flight()).unwrap_or_default();
        let underway = run.worker.underway();
        in_flight.extend(
            underway
                .borrow()
                .iter()
                .map(|operation| operation.action.asset.clone()),
        );
        in_flight
    }

    /// From now on a policy that proposes begins only what is approved.
    pub fn limit_to_plans(&mut self, policy: &PlacementPolicy) {
        if let Some(run) = self.run.as_mut().filter(|_| policy.spec.mode == Mode::Propose) {
            let approved = self.plans.may_begin(&run.account);
            run.worker.approve(approved);
        }
    }

    /// The system that the connection goes to.
    pub fn system_key(&self) -> Option<Key> {
        self.link.as_ref().map(|link| link.identity.system.clone())
    }

    /// This state is in the policy's status now.
    pub fn recorded(&self, policy_state: Option<&PolicyState>) {
        if let (Some(run), Some(policy_state)) = (&self.run, policy_state) {
            run.worker.recorded(policy_state.sequence);
        }
    }

    /// The loop panicked: what it recorded is kept, and another starts from there after a pause.
    pub fn broke_off(&mut self) {
        self.restart.begin(Instant::now());
    }

    /// Keeps what was done, for the status and for the next runner.
    pub fn remember(&mut self, last: Option<&PolicyState>) {
        if let Some(last) = last {
            keep_what_was_done(&mut self.status, last);
        }
    }
}
