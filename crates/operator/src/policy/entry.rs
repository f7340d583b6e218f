//! What runs for one policy, and what its status says.

use std::sync::Arc;

use leeward_api::PlacementPolicy;
use leeward_api::policy_status::{Account, PlacementPolicyStatus};
use leeward_engine::policy_state::PolicyState;
use leeward_engine::policy_worker::keep_what_was_done;
use leeward_engine::supervise::RestartBackoff;
use leeward_lease::{LeaseEpoch, PendingWrite};
use tokio::time::Instant;

use super::link::AccountLink;
use super::run::PolicyRun;
use crate::key::Key;
use crate::shared::system_of;
use crate::systems::SystemHandle;

/// One policy at work.
#[derive(Debug)]
pub struct RunningPolicy {
    /// The uid of the object: one that was made anew is another.
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
    /// The policy that has precedence, as it was last told.
    pub outranked_by: Option<Key>,
    /// The term in which the object was read anew: the status is the newest there is, as long as it lasts.
    pub lease_epoch: Option<LeaseEpoch>,
    /// Kept while something was or is done that is not written yet.
    pub pending: Option<PendingWrite>,
    /// When the loop may begin anew that broke off.
    pub restart: RestartBackoff,
    /// The newest status.
    pub status: PlacementPolicyStatus,
    /// The status that is stored.
    pub written: PlacementPolicyStatus,
}

impl RunningPolicy {
    /// Nothing runs yet; what the status says of the past is taken over.
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
            written: status.clone(),
            status,
        }
    }

    /// Takes over what the object says of the past at the beginning of a term.
    pub fn enter(&mut self, lease_epoch: LeaseEpoch, policy: &PlacementPolicy) {
        self.status = policy.status.clone().unwrap_or_default();
        self.written.clone_from(&self.status);
        self.outranked_by = None;
        self.lease_epoch = Some(lease_epoch);
    }

    /// Where the policy stands.
    pub fn policy_state(&self) -> Option<Arc<PolicyState>> {
        self.run.as_ref().and_then(|run| run.worker.policy_state())
    }

    /// The system that the connection goes to.
    pub fn system_key(&self) -> Option<Key> {
        self.link.as_ref().map(|link| link.identity.system.clone())
    }

    /// Where the policy stood is in its status now.
    pub fn recorded(&self, policy_state: Option<&PolicyState>) {
        if let (Some(run), Some(policy_state)) = (&self.run, policy_state) {
            run.worker.recorded(policy_state.sequence);
        }
    }

    /// A loop that broke off: what it wrote down is kept, and another begins from there after a pause.
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
