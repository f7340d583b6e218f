//! The controller of `PlacementPlan`: what people decide about one is their policy's next reconcile.

use std::time::Duration;

use leeward_api::plan::PlacementPlan;
use leeward_api::policy::Mode;

use super::super::RESYNC;
use crate::cluster::ClusterError;
use crate::key::Key;
use crate::objects::Guarded;
use crate::shared::Shared;
use crate::watch::Reconcile;

/// Enqueues policies whose plans changed.
#[derive(Debug)]
pub struct PlanChanges {
    shared: Shared,
}

impl PlanChanges {
    /// Of all plans.
    pub fn new(shared: Shared) -> Self {
        Self { shared }
    }
}

impl Reconcile<PlacementPlan> for PlanChanges {
    async fn reconcile(&self, object: &Guarded<PlacementPlan>) -> Result<Duration, ClusterError> {
        if let Ok(plan) = &object.0 {
            let key = Key::new(Key::of(object).namespace, plan.spec.policy_ref.name.as_str());
            self.shared.policy_queue.enqueue(key);
        }
        Ok(RESYNC)
    }

    /// Nobody says any more whose plans are gone.
    async fn sweep(&self) {
        self.shared.policies.each(|policy| {
            if policy.spec.mode == Mode::Propose {
                self.shared.policy_queue.enqueue(Key::of(policy));
            }
        });
    }
}
