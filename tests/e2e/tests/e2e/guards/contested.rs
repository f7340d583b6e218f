//! Two tools want a stream in two places: Leeward gives in, and says so.

use anyhow::ensure;
use leeward_e2e::{Stage, assets};
use leeward_lab::audit::Audit;
use leeward_lab::nats::{Layout, System};
use serde_json::{Value, json};

use super::{await_event, change, held_for, lies_in, moved, says};
use crate::wrong_side::{AWAY, HOME, assert_led_from};

#[tokio::test]
async fn a_stream_that_somebody_else_moves_back_twice_is_left_to_them_until_a_reset() {
    let layout = Layout::supercluster(&[(HOME, 2), (AWAY, 1)]);
    let mut stage = Stage::new(System::builder(layout)).await.unwrap();
    let _apps = assets::clients(&stage.system, HOME, 7).await.unwrap();
    let client = assets::client(&stage.system, HOME).await.unwrap();
    lies_in(&client, AWAY, "ORDERS", json!({})).await;
    let audit = Audit::start(&stage.system, &client).await.unwrap();
    stage.apply_system(json!({})).await.unwrap();
    let policy = |token: &str| json!({"resetToken": token, "disruption": {"cooldown": "5s"}});
    stage.apply_policy("orders", policy("monday")).await.unwrap();
    stage.start_operator().await.unwrap();

    for times in 1..=2 {
        comes_home(&stage, times).await;
        // Another tool has its own opinion, and applies it.
        change(&client, "ORDERS", json!({"placement": {"cluster": AWAY}})).await;
    }
    stage
        .await_policy("orders", "it is contested", |policy| {
            says(policy, "InPlace", "Contested")?;
            held_for(policy, &["ORDERS"], "Contested")
        })
        .await
        .unwrap();
    let note = await_event(&stage, "PlacementContested", "ORDERS").await;
    assert!(note.contains("2 times") && note.contains("resetToken"), "{note}");
    let asked = audit.leeward_writes().len();
    assets::looks(&stage, "orders", 3).await.unwrap();
    assert_eq!(
        audit.leeward_writes().len(),
        asked,
        "{:?}",
        audit.leeward_writes()
    );
    assert_eq!(moved(&stage.policy("orders").await.unwrap()), 2);
    let leaders = assets::leaders(&stage.system, HOME).await.unwrap();
    assert_eq!(assets::location(&leaders["ORDERS"]), AWAY, "it is theirs");

    stage.apply_policy("orders", policy("tuesday")).await.unwrap();
    comes_home(&stage, 3).await;
    assert_led_from(&stage, HOME).await;
}

/// The stream is home after its move of this number.
async fn comes_home(stage: &Stage, times: usize) {
    stage
        .await_policy("orders", &format!("move {times} is done"), |policy: &Value| {
            let moves = moved(policy);
            ensure!(moves == times, "{moves} moves");
            says(policy, "InPlace", "AllInPlace")
        })
        .await
        .unwrap();
}
