//! Writing plans: each change once, and its event and audit line when it is stored.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::Resource as _;
use kube::core::ObjectMeta;
use leeward_api::plan::{POLICY_UID_LABEL, PlacementPlan, PlacementPlanStatus};
use leeward_api::policy::PlacementPolicy;
use leeward_api::vocabulary::{EventReason, PlanCondition, PlanState};
use leeward_core::approval::{PlanRecord, plan_name};
use leeward_engine::condition::{Conditions, ReasonMessage};
use leeward_engine::policy_event::audit;
use tracing::{info, warn};

use super::super::Policies;
use super::super::entry::RunningPolicy;
use super::super::run::labels;
use super::{PlanObject, PlanOwner};
use crate::cluster::ClusterError;
use crate::events::EventNote;
use crate::key::Key;
use crate::shared::system_of;

impl Policies {
    /// The plans of a policy as the API has them now.
    pub(super) async fn read_plans(&self, owner: &PlanOwner<'_>) -> Result<Vec<PlacementPlan>, ClusterError> {
        let selector = format!("{POLICY_UID_LABEL}={}", owner.reference.uid);
        self.shared
            .cluster
            .list::<PlacementPlan>(&owner.key.namespace, &selector)
            .await
    }

    /// Writes what is decided and not stored.
    pub(super) async fn store_plans(
        &self,
        owner: &PlanOwner<'_>,
        policy: &PlacementPolicy,
        entry: &mut RunningPolicy,
    ) -> Result<(), ClusterError> {
        entry.plans.decided.prune();
        let mut problem = None;
        for (id, plan) in entry.plans.decided.by_id.clone() {
            let stored = entry.plans.stored.by_id.get(&id);
            if stored.is_none_or(|stored| stored.status != plan.status) {
                // What hinders one must not hinder the others.
                let written = self.store_plan(owner, policy, entry, &id, plan).await;
                problem = problem.or(written.err());
            }
        }
        entry.plans.stored.spent.clone_from(&entry.plans.decided.spent);
        let leadership = self.shared.leadership_of(&system_of(policy));
        let objects = entry.plans.objects.clone();
        for (id, object) in objects {
            if entry.plans.decided.by_id.contains_key(&id) {
                continue;
            }
            let key = Key::new(owner.key.namespace.as_str(), plan_name(&owner.key.name, &id));
            let delete = self
                .shared
                .cluster
                .delete::<PlacementPlan>(&key, Some(&object.uid));
            match leadership.while_held(delete).await {
                Some(Err(error)) if !error.is_of_another_object() => problem = problem.or(Some(error)),
                Some(Ok(()) | Err(_)) => entry.plans.forget(&id),
                None => {}
            }
        }
        let waits = entry.plans.waiting_since();
        self.shared.gauges.set_plan_waits(owner.key, waits);
        problem.map_or(Ok(()), Err)
    }

    /// Writes one plan, and makes its object if it has none.
    async fn store_plan(
        &self,
        owner: &PlanOwner<'_>,
        policy: &PlacementPolicy,
        entry: &mut RunningPolicy,
        id: &str,
        plan: PlanRecord,
    ) -> Result<(), ClusterError> {
        let leadership = self.shared.leadership_of(&system_of(policy));
        let name = plan_name(&owner.key.name, id);
        let key = Key::new(owner.key.namespace.as_str(), name.as_str());
        if !entry.plans.objects.contains_key(id) {
            match leadership.while_held(self.create_plan(owner, &key, &plan)).await {
                // What has its name cannot be deleted.
                Some(Err(error)) if error.is_conflict() => {
                    entry.plans.decided.give_up(id);
                    return Err(error);
                }
                Some(created) => entry.plans.objects.insert(id.to_owned(), created?),
                None => return Ok(()),
            };
        }
        let uid = entry.plans.objects.get(id).map(|object| object.uid.clone());
        let status = with_conditions(&name, &plan);
        let cluster = &self.shared.cluster;
        let write = cluster.apply_status_of::<PlacementPlan>(&key, uid.as_deref(), &status);
        match leadership.while_held(write).await {
            Some(Ok(())) => {}
            // Somebody deleted it, or put another one in its place, and with it its approval is gone.
            Some(Err(error)) if error.is_of_another_object() => {
                entry.plans.forget(id);
                return Ok(());
            }
            Some(Err(error)) => {
                // It may be written all the same: the next step writes what is true then.
                if let Some(stored) = entry.plans.stored.by_id.get_mut(id) {
                    stored.status.conditions.clear();
                }
                return Err(error);
            }
            None => return Ok(()),
        }
        let before = entry
            .plans
            .stored
            .by_id
            .get(id)
            .and_then(|stored| stored.status.state);
        self.report_plan(owner, policy, &name, &plan, before);
        let plan = PlanRecord { status, ..plan };
        entry.plans.decided.by_id.insert(id.to_owned(), plan.clone());
        entry.plans.stored.by_id.insert(id.to_owned(), plan);
        Ok(())
    }

    /// Makes the object. What stands under its name and is something else is deleted: nobody else's plan is carried out.
    async fn create_plan(
        &self,
        owner: &PlanOwner<'_>,
        key: &Key,
        plan: &PlanRecord,
    ) -> Result<PlanObject, ClusterError> {
        let object = PlacementPlan {
            metadata: ObjectMeta {
                name: Some(key.name.clone()),
                namespace: Some(key.namespace.clone()),
                labels: Some([(POLICY_UID_LABEL.to_owned(), owner.reference.uid.clone())].into()),
                owner_references: Some(vec![OwnerReference {
                    api_version: PlacementPolicy::api_version(&()).into_owned(),
                    kind: PlacementPolicy::kind(&()).into_owned(),
                    name: owner.reference.name.clone(),
                    uid: owner.reference.uid.clone(),
                    controller: Some(true),
                    block_owner_deletion: None,
                }]),
                ..ObjectMeta::default()
            },
            spec: plan.spec.clone(),
            status: None,
        };
        let created = match self.shared.cluster.create(&object).await {
            Err(error) if error.is_conflict() => {
                warn!(plan = %key, "an object of that name is not a plan of this policy that Leeward made: deleting it");
                self.shared.cluster.delete::<PlacementPlan>(key, None).await?;
                self.shared.cluster.create(&object).await
            }
            created => created,
        };
        created.map(|created| PlanObject::of(&created))
    }

    /// Says what happened to a plan: log line, Kubernetes event and, for an approval, the line of the audit trail.
    fn report_plan(
        &self,
        owner: &PlanOwner<'_>,
        policy: &PlacementPolicy,
        name: &str,
        plan: &PlanRecord,
        before: Option<PlanState>,
    ) {
        let state = plan.state();
        if before == Some(state) {
            return;
        }
        let approved = plan.approved(name);
        info!(policy = %owner.key, plan = name, %state, done = plan.status.done, "plan");
        let was_approved = before.is_some_and(PlanState::may_begin);
        if let Some(approval) = plan
            .status
            .approval
            .as_ref()
            .filter(|_| !was_approved && !state.is_undecided())
        {
            let (through, by) = (approval.through, approval.by.as_deref());
            audit::approved(
                &labels(owner.key),
                &plan.spec.account,
                name,
                through,
                by,
                plan.spec.actions.len(),
            );
        }
        let (reason, note) = match state {
            PlanState::Proposed => (EventReason::PlanProposed, approved.1),
            PlanState::Approved | PlanState::Executing if !was_approved => {
                (EventReason::PlanApproved, approved.1)
            }
            PlanState::Approved | PlanState::Executing | PlanState::Rejected | PlanState::Superseded => {
                return;
            }
            PlanState::Completed | PlanState::PartlyDone | PlanState::Expired | PlanState::Cancelled => {
                let done = plan.status.done.as_deref().unwrap_or_default();
                let after = plan.status.in_place.as_ref().map_or_else(String::new, |after| {
                    let predicted = &plan.spec.predicted;
                    format!(
                        "; in place {} before, {after} after, {} predicted",
                        predicted.in_place_before, predicted.in_place_after
                    )
                });
                (
                    EventReason::PlanEnded,
                    format!("{name} is {state}: {done} actions done{after}"),
                )
            }
        };
        let event = EventNote {
            reason,
            note,
            subject: format!("PlacementPlan {name}"),
        };
        self.shared.events.publish(&policy.object_ref(&()), event);
    }
}

/// The status with its conditions.
fn with_conditions(name: &str, plan: &PlanRecord) -> PlacementPlanStatus {
    let mut conditions = Conditions::new(&plan.status.conditions, None, jiff::Timestamp::now());
    let (reason, message) = plan.approved(name);
    conditions.add(PlanCondition::Approved, &ReasonMessage::new(reason, message));
    let done = plan.status.done.as_deref().unwrap_or_default();
    let text = format!("{done} actions are done");
    conditions.add(PlanCondition::Complete, &ReasonMessage::new(plan.state(), text));
    PlacementPlanStatus {
        conditions: conditions.finish(),
        ..plan.status.clone()
    }
}
