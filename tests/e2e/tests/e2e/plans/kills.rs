//! Operators that are killed while a plan waits, is approved or is carried out, and two replicas.

use serde_json::json;

use super::{Proposing, closed};
use crate::wrong_side::{AWAY, HOME, assert_led_from};

#[tokio::test(flavor = "multi_thread")]
async fn p10_killed_in_each_state_of_a_plan_it_repeats_nothing_and_asks_nothing_twice() {
    let mut proposing = Proposing::new(&["a", "b"], closed()).await;
    let id = proposing.awaits_approval().await;
    // Proposed: what is approved meanwhile is found.
    proposing.stage.operator().unwrap().kill().await.unwrap();
    proposing.leeward("approve", &id, 0).await;
    proposing.stage.restart_operator().await.unwrap();
    proposing.becomes(&id, "Approved").await;
    assert_led_from(&proposing.stage, AWAY).await;
    // Approved: a replica beside it takes over, and carries on from what is stored.
    let other = proposing.stage.another_operator("other", &[]).await.unwrap();
    proposing.stage.operator().unwrap().kill().await.unwrap();
    for lease in proposing
        .stage
        .list(leeward_lab::kube::Kind::Lease)
        .await
        .unwrap()
    {
        let name = lease["metadata"]["name"].as_str().unwrap().to_owned();
        let delete = ["delete", "lease", &name, "--ignore-not-found"];
        proposing.stage.kubectl(&delete).await.unwrap();
    }
    // One at a time, so that it is killed between two.
    let one_by_one = json!({"disruption": {"windows": [], "maxConcurrent": 1}});
    proposing.change(one_by_one).await;
    proposing.becomes(&id, "Executing").await;
    drop(other);
    proposing.stage.restart_operator().await.unwrap();
    let plan = proposing.becomes(&id, "Completed").await;
    assert_eq!(plan["status"]["done"], "3/3");
    assert_led_from(&proposing.stage, HOME).await;
    let plans = proposing
        .stage
        .list(leeward_lab::kube::Kind::PlacementPlan)
        .await
        .unwrap();
    assert_eq!(plans.len(), 1, "{plans:#?}");
    // Completed: nothing is done again after another restart.
    proposing.stage.operator().unwrap().kill().await.unwrap();
    proposing.stage.restart_operator().await.unwrap();
    proposing
        .stage
        .await_reason("orders", "Approved", "NothingProposed")
        .await
        .unwrap();
    let policy = proposing.stage.policy("orders").await.unwrap();
    assert_eq!(policy["status"]["approval"]["spent"], json!([id]));
}
