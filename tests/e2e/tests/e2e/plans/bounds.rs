//! What asks nobody, what is rejected, cancelled or too old, and what another mode leaves of plans.

use serde_json::json;

use super::{Proposing, closed};
use crate::wrong_side::{AWAY, HOME, assert_led_from, lead_from, more_rounds};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_below_the_bounds_asks_nobody_and_the_rest_is_rejected_and_cancelled() {
    let auto = json!({"approval": {"autoApprove": {"actions": ["ConsumerStepDown"], "maxActions": 2}}});
    let proposing = Proposing::new(&["a", "b"], auto.clone()).await;
    let id = proposing.awaits_approval().await;
    let plan = proposing.plan(&id).await;
    let actions = plan["spec"]["actions"].as_array().unwrap();
    assert_eq!(actions.len(), 1, "{plan:#}");
    assert_eq!(actions[0]["type"], "StreamStepDown");
    proposing
        .stage
        .await_policy("orders", "consumers are home without asking", |policy| {
            anyhow::ensure!(
                policy["status"]["inPlace"] == "2/3",
                "{}",
                policy["status"]["inPlace"]
            );
            Ok(())
        })
        .await
        .unwrap();
    assert_eq!(proposing.acts(), ["ORDERS/a", "ORDERS/b"]);

    proposing.leeward("reject", &id, 0).await;
    let message = proposing
        .stage
        .await_reason("orders", "Approved", "Rejected")
        .await;
    assert!(message.unwrap().contains(&id));
    more_rounds(&proposing.stage, "orders", 2).await;
    assert_eq!(proposing.becomes(&id, "Rejected").await["status"]["done"], "0/1");
    assert_eq!(proposing.acts(), ["ORDERS/a", "ORDERS/b"]);

    // Approved after all, but while nothing may begin, and cancelled then.
    proposing
        .change(leeward_lab::leeward::manifests::merged(auto, closed()))
        .await;
    proposing.leeward("approve", &id, 0).await;
    proposing.becomes(&id, "Approved").await;
    proposing.leeward("cancel", &id, 0).await;
    let plan = proposing.becomes(&id, "Cancelled").await;
    assert_eq!(plan["status"]["actions"][0]["skipped"], "Cancelled");
    let next = proposing.awaits_another(&id).await;
    assert_eq!(proposing.acts(), ["ORDERS/a", "ORDERS/b"]);

    // Without plans, what waits is withdrawn.
    proposing.change(json!({"mode": "Observe"})).await;
    proposing.becomes(&next, "Superseded").await;
    // The policy's own status is written after its plans.
    let asks_nobody = proposing
        .stage
        .await_policy("orders", "nobody is asked", |policy| {
            let asked = leeward_e2e::condition(policy, "Approved");
            anyhow::ensure!(asked.is_none(), "{asked:?}");
            Ok(())
        });
    asks_nobody.await.unwrap();
    more_rounds(&proposing.stage, "orders", 2).await;
    assert_eq!(proposing.acts(), ["ORDERS/a", "ORDERS/b"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_expires_and_one_that_is_deleted_is_approved_no_more() {
    let proposing = Proposing::new(&["a"], json!({"approval": {"planTTL": "1m"}})).await;
    let id = proposing.awaits_approval().await;
    proposing.becomes(&id, "Expired").await;
    let second = proposing.awaits_another(&id).await;
    // An approval of the old one comes too late.
    proposing
        .change(json!({"approval": {"planTTL": "1h", "approvedPlan": id}}))
        .await;
    more_rounds(&proposing.stage, "orders", 2).await;
    assert_led_from(&proposing.stage, AWAY).await;

    proposing.change(closed()).await;
    proposing.leeward("approve", &second, 0).await;
    proposing.becomes(&second, "Approved").await;
    let name = format!("orders-{second}");
    proposing.stage.kubectl(&["delete", "plan", &name]).await.unwrap();
    let third = proposing.awaits_another(&second).await;
    proposing.change(json!({"disruption": {"windows": []}})).await;
    more_rounds(&proposing.stage, "orders", 2).await;
    assert_led_from(&proposing.stage, AWAY).await;
    assert!(proposing.acts().is_empty());

    // In mode Enforce nobody is asked.
    lead_from(&proposing.client, AWAY, "ORDERS", &["a"]).await;
    proposing.change(json!({"mode": "Enforce"})).await;
    proposing.becomes(&third, "Superseded").await;
    proposing
        .stage
        .await_reason("orders", "InPlace", "AllInPlace")
        .await
        .unwrap();
    assert_led_from(&proposing.stage, HOME).await;
}
