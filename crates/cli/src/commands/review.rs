//! `leeward approve`, `leeward reject` and `leeward cancel`.

use anyhow::bail;
use kube::ResourceExt as _;
use leeward_api::PlacementPlan;
use leeward_api::vocabulary::{PlanState, ReviewDecision};
use leeward_core::approval::plan_name;

use crate::args::ReviewArgs;
use crate::kubernetes::plans;
use crate::{kubernetes, output, runtime};

/// Decides about a plan.
pub fn run(args: &ReviewArgs, decision: ReviewDecision) -> anyhow::Result<()> {
    runtime::block_on(async {
        let kubernetes = kubernetes::connect(&args.kubernetes).await?;
        let plan = plans::find(&kubernetes, &args.plan).await?;
        let name = plan.name_any();
        let word = match possible(&plan, decision)? {
            ReviewChange::Needed => {
                plans::review(&kubernetes, &plan, decision).await?;
                decision.as_ref().to_lowercase()
            }
            ReviewChange::None => "unchanged".to_owned(),
        };
        output::write(&format!("placementplan.leeward.dev/{name} {word}\n"))
    })
}

/// Whether a decision changes anything.
#[derive(Debug, PartialEq, Eq)]
enum ReviewChange {
    Needed,
    None,
}

fn possible(plan: &PlacementPlan, decision: ReviewDecision) -> anyhow::Result<ReviewChange> {
    let name = plan.name_any();
    let Some(state) = plan.status.as_ref().and_then(|status| status.state) else {
        bail!(
            "plan {name} has no state, so it is none that Leeward proposes: kubectl get plan lists what waits"
        );
    };
    let before = plan.spec.review.as_ref().map(|review| review.decision);
    if state.has_ended() {
        if (state, decision) == (PlanState::Cancelled, ReviewDecision::Cancelled) {
            return Ok(ReviewChange::None);
        }
        let instead = plan
            .status
            .as_ref()
            .and_then(|status| status.superseded_by.as_ref());
        let instead = instead.map_or_else(String::new, |id| {
            format!(
                "; proposed instead: {}",
                plan_name(&plan.spec.policy_ref.name, id)
            )
        });
        bail!("plan {name} is {state}, so nothing was changed{instead}: kubectl get plan lists what waits");
    }
    let (is_approved, is_rejected) = (state.may_begin(), state == PlanState::Rejected);
    match decision {
        decision if before == Some(decision) => Ok(ReviewChange::None),
        ReviewDecision::Approved if is_approved => Ok(ReviewChange::None),
        ReviewDecision::Rejected if is_rejected => Ok(ReviewChange::None),
        ReviewDecision::Rejected if is_approved => {
            bail!("plan {name} is {state}: leeward cancel {name} begins nothing more of it")
        }
        // Leeward may not have seen its approval yet.
        ReviewDecision::Cancelled if !is_approved && before != Some(ReviewDecision::Approved) => {
            bail!(
                "plan {name} is {state}, so there is nothing to cancel: leeward reject {name} keeps it from being done"
            )
        }
        ReviewDecision::Approved | ReviewDecision::Rejected | ReviewDecision::Cancelled => {
            Ok(ReviewChange::Needed)
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn plan(state: &str, review: Option<&str>) -> PlacementPlan {
        let review = review.map(|decision| json!({"decision": decision}));
        serde_json::from_value(json!({
            "apiVersion": "leeward.dev/v1alpha1", "kind": "PlacementPlan",
            "metadata": {"name": "orders-0011223344556677", "namespace": "apps"},
            "spec": {
                "policyRef": {"name": "orders", "uid": "u"}, "policyGeneration": 1, "system": "nats/prod", "account": "A",
                "actions": [{"type": "StreamStepDown", "stream": "ORDERS", "to": "us-east"}],
                "predicted": {"inPlaceBefore": "0/1", "inPlaceAfter": "1/1", "bytes": 0, "savedMillisecondsPerSecond": 0},
                "review": review,
            },
            "status": {"state": state, "supersededBy": "8899aabbccddeeff"},
        }))
        .unwrap()
    }

    #[test]
    fn what_is_decided_already_is_left_as_it_is() {
        let of = |state, review, decision| possible(&plan(state, review), decision).unwrap();
        assert_eq!(
            of("Proposed", None, ReviewDecision::Approved),
            ReviewChange::Needed
        );
        assert_eq!(
            of("Proposed", Some("Approved"), ReviewDecision::Approved),
            ReviewChange::None
        );
        assert_eq!(
            of("Proposed", Some("Approved"), ReviewDecision::Rejected),
            ReviewChange::Needed
        );
        assert_eq!(
            of("Executing", Some("Approved"), ReviewDecision::Approved),
            ReviewChange::None
        );
        assert_eq!(
            of("Rejected", Some("Rejected"), ReviewDecision::Approved),
            ReviewChange::Needed
        );
        assert_eq!(
            of("Executing", Some("Approved"), ReviewDecision::Cancelled),
            ReviewChange::Needed
        );
    }

    #[test]
    fn what_cannot_be_decided_any_more_is_refused_with_what_waits_instead() {
        let refused = possible(&plan("Superseded", None), ReviewDecision::Approved).unwrap_err();
        let refused = refused.to_string();
        assert!(refused.contains("Superseded"), "{refused}");
        assert!(refused.contains("orders-8899aabbccddeeff"), "{refused}");
        let running = possible(&plan("Executing", None), ReviewDecision::Rejected).unwrap_err();
        assert!(running.to_string().contains("leeward cancel"), "{running}");
        let seen_late = possible(&plan("Proposed", Some("Approved")), ReviewDecision::Cancelled);
        assert_eq!(
            seen_late.unwrap(),
            ReviewChange::Needed,
            "it may begin any moment"
        );
        let mut foreign = plan("Proposed", None);
        foreign.status = None;
        let foreign = possible(&foreign, ReviewDecision::Approved).unwrap_err();
        assert!(
            foreign.to_string().contains("none that Leeward proposes"),
            "{foreign}"
        );
        let waiting = possible(&plan("Proposed", None), ReviewDecision::Cancelled).unwrap_err();
        assert!(waiting.to_string().contains("leeward reject"), "{waiting}");
    }
}
