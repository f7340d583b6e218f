use leeward_api::vocabulary::ReviewDecision;
use leeward_core::approval::plan_identity;
use serde_json::{Value, json};

use super::*;

const POLICY: &str = "orders";

fn reference() -> PlanPolicyReference {
    PlanPolicyReference {
        name: POLICY.into(),
        uid: "u".into(),
    }
}

/// A plan as the API has it, under the id of what it proposes.
fn plan(uid: &str, state: &Value, change: impl FnOnce(&mut Value)) -> PlacementPlan {
    let mut plan = json!({
        "apiVersion": "leeward.dev/v1alpha1", "kind": "PlacementPlan",
        "metadata": {"name": "", "namespace": "apps", "uid": uid, "generation": 1},
        "spec": {
            "policyRef": {"name": POLICY, "uid": "u"}, "policyGeneration": 1, "system": "nats/prod", "account": "A",
            "actions": [{"type": "StreamStepDown", "stream": "ORDERS", "from": "eu-west", "to": "us-east"}],
            "predicted": {"inPlaceBefore": "0/1", "inPlaceAfter": "1/1", "bytes": 0, "savedMillisecondsPerSecond": 0},
        },
        "status": {"state": state, "done": "0/1"},
    });
    plan["metadata"]["name"] = json!(plan_name(POLICY, &id()));
    if state == "Approved" {
        plan["status"]["approval"] = json!({"through": "Review", "time": "2026-01-01T12:00:00Z"});
    }
    change(&mut plan);
    serde_json::from_value(plan).unwrap()
}

fn id() -> String {
    let record: PlanRecord = PlanRecord {
        spec: serde_json::from_value(json!({
            "policyRef": {"name": POLICY, "uid": "u"}, "policyGeneration": 1, "system": "nats/prod", "account": "A",
            "actions": [{"type": "StreamStepDown", "stream": "ORDERS", "from": "eu-west", "to": "us-east"}],
            "predicted": {"inPlaceBefore": "0/1", "inPlaceAfter": "1/1", "bytes": 0, "savedMillisecondsPerSecond": 0},
        }))
        .unwrap(),
        status: PlacementPlanStatus::default(),
    };
    record
        .proposal()
        .id(&plan_identity("u", "nats/prod"), &"A".into(), &[])
        .unwrap()
}

fn loaded(objects: Vec<PlacementPlan>) -> StoredPlans {
    let (key, reference) = (Key::new("apps", POLICY), reference());
    let owner = PlanOwner {
        key: &key,
        reference: &reference,
    };
    let mut plans = StoredPlans::default();
    plans.load(objects, &owner, &[], None);
    plans
}

fn found(object: &PlacementPlan) -> CachedPlan {
    CachedPlan::Found(PlanObject::of(object), review_of(object))
}

#[test]
fn a_plan_that_is_approved_and_stored_may_begin_and_one_that_was_edited_is_none() {
    let approved = loaded(vec![plan("1", &json!("Approved"), |_| {})]);
    assert_eq!(approved.may_begin(&"A".into()).actions.len(), 1);
    assert!(
        approved.may_begin(&"B".into()).actions.is_empty(),
        "of another account"
    );
    for change in [
        (|plan: &mut Value| plan["spec"]["actions"][0]["to"] = json!("elsewhere")) as fn(&mut Value),
        |plan| plan["spec"]["account"] = json!("B"),
        |plan| plan["spec"]["policyRef"]["uid"] = json!("v"),
        |plan| plan["metadata"]["name"] = json!("orders-0011223344556677"),
        |plan| plan["metadata"]["name"] = json!("junk"),
        |plan| plan["spec"]["system"] = json!("nats/staging"),
        |plan| plan["status"] = Value::Null,
        |plan| plan["status"]["approval"] = Value::Null,
        |plan| {
            plan["metadata"]["deletionTimestamp"] = json!("2026-01-01T12:00:00Z");
            plan["metadata"]["finalizers"] = json!(["theirs"]);
        },
    ] {
        let forged = loaded(vec![plan("1", &json!("Approved"), change)]);
        assert!(forged.may_begin(&"A".into()).actions.is_empty());
        assert!(forged.stored.by_id.is_empty());
    }
}

#[test]
fn another_object_under_the_name_of_a_plan_approves_nothing_and_takes_its_approval_away() {
    let own = plan("1", &json!("Approved"), |_| {});
    let other = plan("2", &json!("Approved"), |plan| {
        plan["spec"]["review"] = json!({"decision": "Cancelled"});
    });
    let mut plans = loaded(vec![own.clone()]);
    // A cache that has not seen it yet may show what had its name before.
    plans.take_in(|_| found(&other));
    plans.take_in(|_| CachedPlan::Missing);
    assert_eq!(plans.may_begin(&"A".into()).actions.len(), 1);
    plans.take_in(|_| found(&own));
    plans.take_in(|_| CachedPlan::Unknown);
    assert_eq!(plans.may_begin(&"A".into()).actions.len(), 1);
    plans.take_in(|_| found(&other));
    assert!(plans.may_begin(&"A".into()).actions.is_empty());
    assert_eq!(plans.decided.spent, [id()]);
}

#[tokio::test(start_paused = true)]
async fn a_plan_that_was_deleted_before_any_cache_showed_it_is_gone_after_a_while() {
    let mut plans = loaded(vec![plan("1", &json!("Proposed"), |_| {})]);
    plans.take_in(|_| CachedPlan::Missing);
    assert_eq!(plans.stored.by_id.len(), 1);
    tokio::time::sleep(Duration::from_mins(1)).await;
    plans.take_in(|_| CachedPlan::Unknown);
    assert_eq!(
        plans.stored.by_id.len(),
        1,
        "a cache that was not filled says nothing"
    );
    plans.take_in(|_| CachedPlan::Missing);
    assert!(plans.stored.by_id.is_empty() && plans.decided.by_id.is_empty());
}

#[test]
fn what_a_cache_shows_that_is_older_than_what_was_read_does_not_count() {
    let read = plan("1", &json!("Proposed"), |plan| {
        plan["metadata"]["generation"] = json!(3);
        plan["spec"]["review"] = json!({"decision": "Rejected"});
    });
    let older = plan("1", &json!("Proposed"), |plan| {
        plan["metadata"]["generation"] = json!(2);
        plan["spec"]["review"] = json!({"decision": "Approved"});
    });
    let mut plans = loaded(vec![read]);
    plans.take_in(|_| found(&older));
    let review = |plans: &StoredPlans| plans.decided.by_id[&id()].spec.review.clone().unwrap().decision;
    assert_eq!(review(&plans), ReviewDecision::Rejected);
    let newer = plan("1", &json!("Proposed"), |plan| {
        plan["metadata"]["generation"] = json!(4);
        plan["spec"]["review"] = json!({"decision": "Approved"});
    });
    plans.take_in(|_| found(&newer));
    assert_eq!(review(&plans), ReviewDecision::Approved);
}

#[test]
fn a_plan_that_could_not_be_stored_says_so_in_the_condition() {
    let mut plans = StoredPlans::default();
    assert!(plans.status(POLICY).is_none(), "nobody has looked yet");
    plans.problem = Some("placementplans in apps does not exist".into());
    let status = plans.status(POLICY).unwrap();
    assert_eq!(status.condition.reason, ApprovedReason::PlansUnavailable);
    assert!(
        status.status.is_none(),
        "what was spent is not known, and stays as it is"
    );
}

#[test]
fn who_may_only_make_plans_may_not_approve_them() {
    let made = plan("1", &json!("Proposed"), |plan| {
        plan["spec"]["review"] = json!({"decision": "Approved"});
    });
    assert_eq!(review_of(&made), None);
    let plans = loaded(vec![made]);
    assert_eq!(plans.decided.by_id[&id()].spec.review, None);
}
