//! Moves: none is asked for that finds no room, and each proves what it changed.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::ensure;
use leeward_e2e::{CONVERGED, Stage, assets};
use leeward_lab::audit::Audit;
use leeward_lab::kube::Kind;
use leeward_lab::nats::{Layout, System, eventually, jetstream};
use serde_json::{Value, json};

use super::{await_event, held_for, lies_in, moved, says};
use crate::wrong_side::{AWAY, HOME, assert_led_from};

const GIB: u64 = 1 << 30;
/// One way between the clusters; a round trip takes two of these at least.
const ONE_WAY: Duration = Duration::from_millis(10);

/// The lab's servers have 8 GiB each; streams reserve what they may grow to.
#[tokio::test]
async fn a_stream_without_room_in_home_is_not_asked_to_move_until_there_is() {
    let layout = Layout::supercluster(&[(HOME, 1), (AWAY, 2)]);
    let mut stage = Stage::new(System::builder(layout)).await.unwrap();
    let _apps = assets::clients(&stage.system, HOME, 7).await.unwrap();
    let client = assets::client(&stage.system, AWAY).await.unwrap();
    lies_in(&client, HOME, "FILLER", json!({"max_bytes": 7 * GIB})).await;
    lies_in(&client, AWAY, "BIG", json!({"max_bytes": 2 * GIB})).await;
    lies_in(&client, AWAY, "SMALL", json!({})).await;
    let audit = Audit::start(&stage.system, &client).await.unwrap();
    stage.apply_system(json!({})).await.unwrap();
    stage.apply_policy("orders", json!({})).await.unwrap();
    stage.start_operator().await.unwrap();

    let messages = stage
        .await_policy("orders", "only the big one waits", |policy| {
            says(policy, "InPlace", "Unfixable")?;
            held_for(policy, &["BIG"], "NoCapacity")
        })
        .await
        .unwrap();
    let message = &messages["BIG"];
    for words in [
        "0 of 1 replicas find room",
        "us-east-0 lacks",
        "of the 2 GiB of file storage",
    ] {
        assert!(message.contains(words), "{message}");
    }
    assets::looks(&stage, "orders", 2).await.unwrap();
    let asked = |audit: &Audit| -> BTreeSet<String> {
        let writes = audit.leeward_writes().into_iter();
        writes.map(|write| write.subject).collect()
    };
    let small = "$JS.API.STREAM.UPDATE.SMALL".to_owned();
    assert_eq!(asked(&audit), BTreeSet::from([small.clone()]));

    jetstream::delete_stream(&client, "FILLER").await.unwrap();
    stage
        .await_reason("orders", "InPlace", "AllInPlace")
        .await
        .unwrap();
    assert_led_from(&stage, HOME).await;
    let big = "$JS.API.STREAM.UPDATE.BIG".to_owned();
    assert_eq!(asked(&audit), BTreeSet::from([big, small]));
}

#[tokio::test]
async fn what_a_move_changed_is_told_with_the_round_trip_that_it_saves() {
    let layout = Layout::supercluster(&[(HOME, 1), (AWAY, 2)]);
    let mut stage = Stage::new(System::builder(layout).delay(ONE_WAY)).await.unwrap();
    let _apps = assets::clients(&stage.system, HOME, 7).await.unwrap();
    let client = assets::client(&stage.system, AWAY).await.unwrap();
    for stream in ["ORDERS", "PAYMENTS"] {
        lies_in(&client, AWAY, stream, json!({})).await;
        assets::consumer(&client, stream, "workers", json!({}))
            .await
            .unwrap();
    }
    stage.apply_system(json!({})).await.unwrap();
    stage
        .apply_policy("orders", json!({"mode": "Observe"}))
        .await
        .unwrap();
    stage.start_operator().await.unwrap();
    stage
        .await_reason("orders", "InPlace", "ActionsPending")
        .await
        .unwrap();
    eventually(CONVERGED, "round trips are measured", || async {
        let system = stage.get(Kind::NatsSystem, "prod").await?;
        let measured = system["status"]["roundTrips"].as_array().map_or(0, Vec::len);
        ensure!(measured == 2, "{}", system["status"]["roundTrips"]);
        Ok(())
    })
    .await
    .unwrap();
    stage.apply_policy("orders", json!({})).await.unwrap();
    stage
        .await_reason("orders", "InPlace", "AllInPlace")
        .await
        .unwrap();

    let actions = stage
        .await_policy("orders", "both moves are proven", |policy| {
            ensure!(moved(policy) == 2, "{}", policy["status"]["recentActions"]);
            let actions = policy["status"]["recentActions"].as_array().cloned();
            let actions = actions.unwrap_or_default();
            let proven = |action: &Value| action["proof"]["inPlaceAfter"].is_string();
            ensure!(actions.len() == 2 && actions.iter().all(proven), "{actions:#?}");
            Ok(actions)
        })
        .await
        .unwrap();
    let round_trip = i64::try_from(2 * ONE_WAY.as_millis()).unwrap();
    for action in &actions {
        let saved = action["proof"]["roundTripMilliseconds"].as_i64();
        assert!(saved.is_some_and(|saved| saved >= round_trip), "{action:#}");
    }
    let proof = |action: Option<&Value>, field: &str| action.unwrap()["proof"][field].clone();
    assert_eq!(
        proof(actions.last(), "inPlaceBefore"),
        "0/4",
        "the first: {actions:#?}"
    );
    assert_eq!(
        proof(actions.first(), "inPlaceAfter"),
        "4/4",
        "the last: {actions:#?}"
    );
    let note = await_event(&stage, "PlanCompleted", "4/4 after").await;
    assert!(note.contains("Succeeded"), "{note}");
}
