//! Ways in: JWTs and TLS of a private authority, and no credentials of the system account at all.

use anyhow::ensure;
use leeward_e2e::{Stage, assets, condition};
use leeward_lab::kube::Kind;
use leeward_lab::nats::{Auth, DEFAULT_ACCOUNT, Layout, System, SystemBuilder, jetstream};
use serde_json::{Value, json};

use crate::wrong_side::{AWAY, HOME, assert_led_from};

fn supercluster() -> SystemBuilder {
    System::builder(Layout::supercluster(&[(HOME, 3), (AWAY, 3)]))
}

/// Streams in the wrong cluster, clients in the other, and the policy that brings them together.
async fn converges(mut stage: Stage, system: Value) -> Stage {
    let _apps = assets::clients(&stage.system, HOME, 7).await.unwrap();
    let client = assets::client(&stage.system, AWAY).await.unwrap();
    let away = json!({"placement": {"cluster": AWAY}});
    assets::stream(&client, "ORDERS", 3, away.clone()).await.unwrap();
    assets::consumer(&client, "ORDERS", "workers", json!({}))
        .await
        .unwrap();
    assets::stream(&client, "NOTES", 1, away).await.unwrap();
    let sequence = jetstream::publish(&client, "ORDERS.new", "an order")
        .await
        .unwrap();
    assert_eq!(sequence, 1);
    assert_led_from(&stage, AWAY).await;

    stage.apply_system(system).await.unwrap();
    stage.apply_policy("orders", json!({})).await.unwrap();
    stage.start_operator().await.unwrap();
    stage
        .await_reason("orders", "InPlace", "AllInPlace")
        .await
        .unwrap();
    stage.await_reason("orders", "Ready", "Evaluated").await.unwrap();
    assert_led_from(&stage, HOME).await;
    let info = jetstream::stream_info(&client, "ORDERS").await.unwrap();
    assert_eq!(info["state"]["messages"], 1);
    stage
}

#[tokio::test]
async fn credentials_files_and_tls_of_a_private_authority_open_the_way() {
    let stage = Stage::new(supercluster().auth(Auth::Operator).tls())
        .await
        .unwrap();
    let stage = converges(stage, json!({})).await;
    let policy = stage.policy("orders").await.unwrap();
    assert_eq!(
        policy["status"]["account"]["id"],
        stage.system.account_id(DEFAULT_ACCOUNT).unwrap()
    );
    assert_eq!(policy["status"]["account"]["name"], DEFAULT_ACCOUNT);
    stage.await_system_reason("Ready", "Ready").await.unwrap();
}

#[tokio::test]
async fn without_credentials_of_the_system_account_a_policy_sees_with_its_own() {
    let stage = Stage::new(supercluster()).await.unwrap();
    let stage = converges(stage, json!({"credentialsRef": null})).await;
    let said = stage.await_system_reason("Observed", "Complete").await.unwrap();
    assert!(said.contains("tenant mode"), "{said}");
    let system = stage.get(Kind::NatsSystem, "prod").await.unwrap();
    assert!(system["status"]["servers"].is_null(), "{system}");
    stage
        .await_policy("orders", "all servers are seen", |policy| {
            let locations = policy["status"]["locations"]
                .as_array()
                .cloned()
                .unwrap_or_default();
            let servers: i64 = locations
                .iter()
                .filter_map(|location| location["servers"].as_i64())
                .sum();
            ensure!(servers == 6, "{locations:?}");
            ensure!(condition(policy, "Observed").is_some_and(|(reason, _)| reason == "Complete"));
            Ok(())
        })
        .await
        .unwrap();
    // It has no observer that an alert could say is not connected.
    let (_, page) = stage.operator.as_ref().unwrap().get("/metrics").await.unwrap();
    assert!(page.contains("leeward_assets{"), "{page}");
    assert!(!page.contains("leeward_nats_connected{"), "{page}");
}
