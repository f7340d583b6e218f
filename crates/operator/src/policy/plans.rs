//! The plans of a policy of mode Propose, as objects: read at the beginning of a lease epoch, and stored before anything of
//! them begins. What becomes of them is decided in `leeward_core::approval`.

mod changes;
mod store;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt as _;
use leeward_api::plan::{
    PlacementPlan, PlacementPlanSpec, PlacementPlanStatus, PlanPolicyReference, PlanReview,
};
use leeward_api::policy::{Mode, PlacementPolicy};
use leeward_api::policy_status::ApprovalStatus;
use leeward_api::vocabulary::{ApprovedReason, PlanState};
use leeward_core::approval::{ApprovalContext, PlanRecord, Plans, plan_name};
use leeward_core::names::AccountId;
use leeward_core::proposal::Proposal;
use leeward_engine::condition::ReasonMessage;
use leeward_engine::status::ApprovalInput;
use leeward_lease::LeaseEpoch;
use tokio::time::Instant;
use tracing::warn;

pub use changes::PlanChanges;

use super::Policies;
use super::entry::RunningPolicy;
use crate::cluster::ClusterError;
use crate::error::chain;
use crate::key::Key;
use crate::objects::Lookup;
use crate::shared::system_of;

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
    /// When it was read or made.
    since: Instant,
}

/// A cache that has not shown an object by then will not: it was deleted before.
const CACHE_PATIENCE: Duration = Duration::from_secs(30);

impl PlanObject {
    fn of(object: &PlacementPlan) -> Self {
        Self {
            uid: object.metadata.uid.clone().unwrap_or_default(),
            generation: object.metadata.generation.unwrap_or_default(),
            is_cached: false,
            since: Instant::now(),
        }
    }
}

impl StoredPlans {
    /// What may be begun in an account: what is approved as it is decided and as it is stored.
    pub fn may_begin(&self, account: &AccountId) -> Arc<Proposal> {
        let of_account = self
            .stored
            .by_id
            .iter()
            .filter(|(_, plan)| plan.spec.account == account.as_str());
        let both = of_account.flat_map(|(id, stored)| {
            let decided = self
                .decided
                .by_id
                .get(id)
                .map(PlanRecord::may_begin)
                .unwrap_or_default();
            let mut actions = stored.may_begin().actions;
            actions.retain(|asset, _| decided.actions.contains_key(asset));
            actions
        });
        Arc::new(Proposal {
            actions: both.collect(),
        })
    }

    /// For the policy's status, once they were read, or could not be.
    pub fn status(&self, policy: &str) -> Option<ApprovalInput> {
        let (reason, message) = if let Some(problem) = &self.problem {
            (ApprovedReason::PlansUnavailable, problem.clone())
        } else {
            self.lease_epoch?;
            self.stored.approved(policy)
        };
        Some(ApprovalInput {
            condition: ReasonMessage::<ApprovedReason>::new(reason, message),
            // Where they could not be read, what was spent is not known here.
            status: self.lease_epoch.map(|_| ApprovalStatus {
                spent: self.decided.spent.clone(),
                ..self.stored.status()
            }),
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
            let review = review_of(&object);
            let record = PlanRecord {
                spec: PlacementPlanSpec {
                    review,
                    ..object.spec
                },
                status: object.status.unwrap_or_default(),
            };
            // Without a status it was never stored as a plan, whoever made it.
            if record.status.state.is_none() || !record.is_genuine(id, of.reference) {
                warn!(plan = %name, "not a plan that was stored: left alone");
                continue;
            }
            let was_approved = record.status.approval.is_some();
            if record.status.state.is_some_and(PlanState::may_begin) && !was_approved {
                warn!(plan = %name, "its status was edited by somebody else: left alone");
                continue;
            }
            self.decided.restore(id, record);
            if object.metadata.deletion_timestamp.is_some() {
                self.decided.forget(id);
            } else {
                self.objects.insert(id.to_owned(), plan_object);
            }
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
                CachedPlan::Found(_, _) | CachedPlan::Missing
                    if object.is_cached || object.since.elapsed() > CACHE_PATIENCE =>
                {
                    gone.push(id.clone());
                }
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

/// What a person decided about a plan since it was made: who may only make plans may not approve them.
fn review_of(object: &PlacementPlan) -> Option<PlanReview> {
    let was_edited = object
        .metadata
        .generation
        .is_some_and(|generation| generation > 1);
    object.spec.review.clone().filter(|_| was_edited)
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
            // What was approved in an earlier lease epoch may have been cancelled or done since.
            entry.plans = StoredPlans::default();
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
        for plans in [&mut entry.plans.decided, &mut entry.plans.stored] {
            plans.named.clone_from(&policy.spec.approval.approved_plan);
        }
        // What a person takes back is begun no more, however slow all that follows is.
        entry.limit_to_plans(policy);
        let (in_flight, now) = (entry.in_flight(), Timestamp::now());
        let system = system_of(policy).to_string();
        let account = entry
            .account
            .as_ref()
            .map(|account| AccountId::from(account.id.as_str()));
        let StoredPlans { decided, stored, .. } = &mut entry.plans;
        decided.take_back_unstored(stored);
        let elsewhere = |spec: &PlacementPlanSpec| {
            let other_account = account
                .as_ref()
                .is_some_and(|account| spec.account != account.as_str());
            !proposes || other_account || spec.system != system
        };
        decided.withdraw(elsewhere, &in_flight, now);
        decided.cancel_reviewed(&in_flight, now);
        let state = entry.run.as_ref().filter(|run| !run.is_outranked());
        let state = state.and_then(|run| run.worker.policy_state());
        let look = state.as_ref().and_then(|state| state.proposed.as_deref());
        if let (true, Some(look), Some(account), Ok(resolved)) =
            (proposes, look, &account, super::accept(policy))
        {
            entry.plans.decided.advance(&ApprovalContext {
                policy: &reference,
                generation: policy.metadata.generation.unwrap_or_default(),
                system: &system,
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
                Ok(plan) if plan.metadata.deletion_timestamp.is_some() => CachedPlan::Missing,
                Ok(plan) => CachedPlan::Found(PlanObject::of(plan), review_of(plan)),
                Err(_) => CachedPlan::Unknown,
            },
            Lookup::Missing => CachedPlan::Missing,
            Lookup::NotYet | Lookup::NotWatched => CachedPlan::Unknown,
        }
    }
}

#[cfg(test)]
mod tests;
