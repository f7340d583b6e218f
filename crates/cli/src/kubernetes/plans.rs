//! Reading plans and writing what a person decided about one.

use anyhow::bail;
use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt as _};
use leeward_api::PlacementPlan;
use leeward_api::plan::PlanReview;
use leeward_api::vocabulary::{PlanState, ReviewDecision};
use leeward_core::approval::plan_name;

use super::{FIELD_MANAGER, Kubernetes, answered, place, problem};

/// What the API calls plans.
const PLANS: &str = "placementplans";

/// Reads a plan by its name, or by its id alone.
pub async fn find(kubernetes: &Kubernetes, wanted: &str) -> anyhow::Result<PlacementPlan> {
    // As kubectl and this program print it.
    let prefixes = ["placementplan.leeward.dev/", "placementplan/"];
    let bare = prefixes.iter().find_map(|prefix| wanted.strip_prefix(prefix));
    let (namespace, name) = kubernetes.key(bare.unwrap_or(wanted))?;
    let plans = kubernetes.plans(&namespace);
    let list = answered(&kubernetes.server, plans.list(&ListParams::default())).await?;
    let list = list.map_err(|error| problem(&kubernetes.server, "list", PLANS, &namespace, &error))?;
    let is_meant = |plan: &PlacementPlan| {
        let own = plan.name_any();
        own == name || own == plan_name(&plan.spec.policy_ref.name, &name)
    };
    let (meant, others): (Vec<_>, Vec<_>) = list.items.into_iter().partition(is_meant);
    match <[PlacementPlan; 1]>::try_from(meant) {
        Ok([plan]) => Ok(plan),
        Err(none) if none.is_empty() => bail!("{}", missing(&namespace, &name, &others)),
        Err(_) => bail!("several plans are meant by {name}: give the whole name of one"),
    }
}

fn missing(namespace: &str, name: &str, others: &[PlacementPlan]) -> String {
    let waits = |plan: &&PlacementPlan| state(plan).is_undecided();
    let waiting: Vec<String> = others
        .iter()
        .filter(waits)
        .map(kube::ResourceExt::name_any)
        .collect();
    let hint = if waiting.is_empty() {
        "no plan waits there; kubectl get plan -A lists all".to_owned()
    } else {
        format!("what waits there is {}", waiting.join(", "))
    };
    format!(
        "PlacementPlan {name} does not exist in {}: {hint}",
        place(namespace)
    )
}

/// Where a plan stands.
pub fn state(plan: &PlacementPlan) -> PlanState {
    plan.status
        .as_ref()
        .and_then(|status| status.state)
        .unwrap_or(PlanState::Proposed)
}

/// Writes what was decided.
pub async fn review(
    kubernetes: &Kubernetes,
    plan: &PlacementPlan,
    decision: ReviewDecision,
) -> anyhow::Result<()> {
    let namespace = plan.namespace().unwrap_or_default();
    let review = PlanReview {
        decision,
        by: who(kubernetes).await,
    };
    let params = PatchParams {
        field_manager: Some(FIELD_MANAGER.into()),
        ..PatchParams::default()
    };
    // Nothing is written over another object of that name.
    let metadata = serde_json::json!({"uid": plan.metadata.uid});
    let patch = Patch::Merge(serde_json::json!({"metadata": metadata, "spec": {"review": review}}));
    let plans = kubernetes.plans(&namespace);
    let patched = answered(&kubernetes.server, plans.patch(&plan.name_any(), &params, &patch)).await?;
    patched.map_err(|error| problem(&kubernetes.server, "patch", PLANS, &namespace, &error))?;
    Ok(())
}

/// The name of the kubeconfig's user, as the API server knows it; servers before 1.28 do not tell.
async fn who(kubernetes: &Kubernetes) -> Option<String> {
    let reviews: Api<SelfSubjectReview> = Api::all(kubernetes.client.clone());
    let asked = SelfSubjectReview::default();
    let params = PostParams::default();
    let answer = answered(&kubernetes.server, reviews.create(&params, &asked)).await;
    let user = answer.ok()?.ok()?.status?.user_info?;
    user.username
        .map(|name| name.chars().take(MOST_OF_NAME).collect())
}

/// As much of a user's name as a plan holds.
const MOST_OF_NAME: usize = 255;
