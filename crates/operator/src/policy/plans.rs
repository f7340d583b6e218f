//! The plans of a policy of mode Propose, as objects: read at the beginning of a lease epoch, and stored before anything of
//! them begins. What becomes of them is decided in `leeward_core::approval`.

mod changes;
mod store;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use kube::ResourceExt as _;
use leeward_api::plan::{PlacementPlan, PlacementPlanStatus, PlanPolicyReference, PlanReview};
use leeward_api::policy::{Mode, PlacementPolicy};
use leeward_api::policy_status::ApprovalStatus;
use leeward_api::vocabulary::{ApprovedReason, PlanState};
use leeward_core::approval::{ApprovalContext, PlanRecord, Plans, plan_name};
use leeward_core::names::{AccountId, AssetName};
use leeward_core::policy::ApprovalRules;
use leeward_core::proposal::Proposal;
use leeward_engine::condition::ReasonMessage;
use leeward_engine::status::ApprovalInput;
use leeward_lease::LeaseEpoch;
use tracing::warn;

pub use changes::PlanChanges;

use super::Policies;
use super::entry::RunningPolicy;
use crate::cluster::ClusterError;
use crate::error::chain;
use crate::key::Key;
use crate::objects::Lookup;

/// The plans of one policy, as they are decided and as they are stored.
#[derive(Debug, Default)]
pub struct StoredPlans {
    /// As they are decided.
    decided: Plans,
    /// As this replica last read or wrote them: nothing begins of what is not stored.
    stored: Plans,
    /// Their objects, by id.
    objects: BTreeMap<String, PlanObject>,
    /// The lease epoch in which they were read.
    lease_epoch: Option<LeaseEpoch>,
    /// Why they could not be read or stored the last time.
    problem: Option<String>,
}

/// The object of a plan: whatever else has its name is not the plan.
#[derive(Clone, Debug)]
struct PlanObject {
    uid: String,
    /// A cache that is older does not count.
    generation: i64,
    /// Whether the cache has shown it: if it does so no more, it was deleted.
    is_cached: bool,
}

impl PlanObject {
    fn of(object: &PlacementPlan) -> Self {
        Self {
            uid: object.metadata.uid.clone().unwrap_or_default(),
            generation: object.metadata.generation.unwrap_or_default(),
            is_cached: false,
        }
    }
}

impl StoredPlans {
    /// What may be begun: what is approved as it is decided and as it is stored.
    pub fn may_begin(&self) -> Arc<Proposal> {
        let decided = self.decided.may_begin().actions;
        let mut approved = self.stored.may_begin();
        approved.actions.retain(|asset, _| decided.contains_key(asset));
        Arc::new(approved)
    }

    /// For the policy's status, once they were read, or could not be.
    pub fn status(&self, policy: &str, rules: &ApprovalRules) -> Option<ApprovalInput> {
        let (reason, message) = if let Some(problem) = &self.problem {
            (ApprovedReason::PlansUnavailable, problem.clone())
        } else {
            self.lease_epoch?;
            self.stored.approved(policy, rules)
        };
        Some(ApprovalInput {
            condition: ReasonMessage::<ApprovedReason>::new(reason, message),
            status: ApprovalStatus {
                spent: self.decided.spent.clone(),
                ..self.stored.status()
            },
        })
    }

    /// Since when a plan waits for a person, if one does.
    pub fn waiting_since(&self) -> Option<Timestamp> {
        self.stored.waiting_since()
    }

    /// Starts from what was read.
    fn load(
        &mut self,
        objects: Vec<PlacementPlan>,
        of: &PlanOwner<'_>,
        spent: &[String],
        lease_epoch: Option<LeaseEpoch>,
    ) {
        *self = Self {
            lease_epoch,
            ..Self::default()
        };
        self.decided.spent = spent.to_vec();
        for object in objects {
            let name = object.name_any();
            let Some(id) = id_of(of.reference, &name) else {
                continue;
            };
            let plan_object = PlanObject::of(&object);
            let record = PlanRecord {
                spec: object.spec,
                status: object.status.unwrap_or_default(),
            };
            if !record.is_genuine(id, of.reference) {
                warn!(plan = %name, "not what its name says: left alone");
                continue;
            }
            self.objects.insert(id.to_owned(), plan_object);
            self.decided.restore(id, record);
        }
        self.stored = self.decided.clone();
    }

    /// Takes over what people decided, and what they deleted.
    fn take_in(&mut self, find: impl Fn(&str) -> CachedPlan) {
        let mut gone = Vec::new();
        for (id, object) in &mut self.objects {
            match find(id) {
                CachedPlan::Found(found, review) if found.uid == object.uid => {
                    object.is_cached = true;
                    if found.generation >= object.generation {
                        object.generation = found.generation;
                        for plans in [&mut self.decided, &mut self.stored] {
                            if let Some(plan) = plans.by_id.get_mut(id) {
                                plan.spec.review.clone_from(&review);
                            }
                        }
                    }
                }
                // Another object has its name, or had it before.
                CachedPlan::Found(_, _) | CachedPlan::Missing if object.is_cached => gone.push(id.clone()),
                CachedPlan::Found(_, _) | CachedPlan::Missing | CachedPlan::Unknown => {}
            }
        }
        for id in gone {
            self.forget(&id);
        }
    }

    /// Its object is gone, and with it its approval.
    fn forget(&mut self, id: &str) {
        self.decided.forget(id);
        self.stored.forget(id);
        self.objects.remove(id);
    }
}

/// What the cache has of a plan.
enum CachedPlan {
    Found(PlanObject, Option<PlanReview>),
    Missing,
    Unknown,
}

/// Whose plans they are.
#[derive(Clone, Copy, Debug)]
struct PlanOwner<'a> {
    key: &'a Key,
    reference: &'a PlanPolicyReference,
}

/// The id in the name of a policy's plan.
fn id_of<'a>(policy: &PlanPolicyReference, name: &'a str) -> Option<&'a str> {
    let (_, id) = name.rsplit_once('-')?;
    (plan_name(&policy.name, id) == name).then_some(id)
}

impl Policies {
    /// Brings a policy's plans to what the last look and people decide, and stores them.
    pub(super) async fn follow_plans(
        &self,
        key: &Key,
        policy: &PlacementPolicy,
        entry: &mut RunningPolicy,
    ) -> Result<(), ClusterError> {
        let followed = self.try_follow_plans(key, policy, entry).await;
        entry.plans.problem = followed.as_ref().err().map(|error| chain(error));
        followed
    }

    async fn try_follow_plans(
        &self,
        key: &Key,
        policy: &PlacementPolicy,
        entry: &mut RunningPolicy,
    ) -> Result<(), ClusterError> {
        let Some(lease_epoch) = entry.lease_epoch.filter(|_| self.may_run(policy, entry)) else {
            entry.plans = StoredPlans::default();
            return Ok(());
        };
        let reference = PlanPolicyReference {
            name: key.name.clone(),
            uid: entry.uid.clone(),
        };
        let owner = PlanOwner {
            key,
            reference: &reference,
        };
        let proposes = policy.spec.mode == Mode::Propose;
        if entry.plans.lease_epoch != Some(lease_epoch) {
            if !proposes && !self.has_open_plans(&reference) {
                return Ok(());
            }
            let objects = self.read_plans(&owner).await?;
            let spent = entry
                .status
                .approval
                .as_ref()
                .map_or(&[][..], |approval| &approval.spent);
            entry.plans.load(objects, &owner, spent, Some(lease_epoch));
        }
        entry.plans.take_in(|id| self.cached_plan(&owner, id));
        let now = Timestamp::now();
        let state = entry.policy_state();
        let in_flight: BTreeSet<AssetName> =
            state.as_ref().map(|state| state.in_flight()).unwrap_or_default();
        let account = entry
            .account
            .as_ref()
            .map(|account| AccountId::from(account.id.as_str()));
        let decided = &mut entry.plans.decided;
        let other_account = account
            .as_ref()
            .is_some_and(|account| !decided.are_all_of(account));
        if !proposes || other_account {
            decided.withdraw(&in_flight, now);
        } else {
            decided.cancel_reviewed(&in_flight, now);
        }
        let look = state.as_ref().and_then(|state| state.proposed.as_deref());
        if let (true, Some(look), Some(account), Ok(resolved)) =
            (proposes, look, &account, super::accept(policy))
        {
            decided.advance(&ApprovalContext {
                policy: &reference,
                generation: policy.metadata.generation.unwrap_or_default(),
                account,
                rules: &resolved.approval,
                look,
                in_flight: &in_flight,
                now,
            });
        }
        self.store_plans(&owner, policy, entry).await
    }

    /// Whether the cache shows plans of a policy that are not ended, such as those from before its mode was changed.
    fn has_open_plans(&self, policy: &PlanPolicyReference) -> bool {
        let mut has = false;
        self.shared.plans.each(|plan| {
            let ended = |status: &PlacementPlanStatus| status.state.is_some_and(PlanState::has_ended);
            has |= plan.spec.policy_ref == *policy && !plan.status.as_ref().is_some_and(ended);
        });
        has
    }

    fn cached_plan(&self, owner: &PlanOwner<'_>, id: &str) -> CachedPlan {
        let key = Key::new(owner.key.namespace.as_str(), plan_name(&owner.key.name, id));
        match self.shared.plans.find(&key) {
            Lookup::Found(object) => match &object.0 {
                Ok(plan) => CachedPlan::Found(PlanObject::of(plan), plan.spec.review.clone()),
                Err(_) => CachedPlan::Unknown,
            },
            Lookup::Missing => CachedPlan::Missing,
            Lookup::NotYet | Lookup::NotWatched => CachedPlan::Unknown,
        }
    }
}

#[cfg(test)]
mod tests;
