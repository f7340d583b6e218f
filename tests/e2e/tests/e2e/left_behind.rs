//! A kill between the two updates of a repair (nats-facts N21) loses nothing of what the owner wrote (P10).

use std::time::Duration;

use anyhow::{bail, ensure};
use async_nats::Client;
use futures::StreamExt;
use leeward_e2e::{CONVERGED, Stage, assets};
use leeward_lab::nats::{DEFAULT_ACCOUNT, Layout, NatsVersion, System, eventually, jetstream};
use serde_json::{Value, json};

use crate::wrong_side::{AWAY, HOME, assert_led_from, more_rounds};

/// One way between the locations: an update is agreed on and answered over it, so it is seen long before its answer is.
const SLOW: Duration = Duration::from_millis(300);

#[tokio::test(flavor = "multi_thread")]
async fn p10_a_kill_between_the_two_updates_of_a_repair_loses_no_placement() {
    // Up to 2.14 a stream whose move was cancelled keeps the placement of the target.
    let builder = System::builder(Layout::supercluster(&[(HOME, 3), (AWAY, 3)]));
    let mut stage = Stage::new(builder.version(NatsVersion::V2_14)).await.unwrap();
    let client = assets::client(&stage.system, AWAY).await.unwrap();
    let away = json!({"placement": {"cluster": AWAY}});
    assets::stream(&client, "ORDERS", 3, away).await.unwrap();
    let _apps = assets::clients(&stage.system, HOME, 7).await.unwrap();
    jetstream::lead_meta_group(&stage.system, HOME).await.unwrap();
    stage.system.wan().set_delay_everywhere(SLOW);
    store_the_placement_of_a_cancelled_move(&stage, &client).await;

    let system = stage.system.system_client().await.unwrap();
    let mut edits = system.subscribe("$JS.API.STREAM.UPDATE.ORDERS").await.unwrap();
    system.flush().await.unwrap();
    let urls = stage.system.urls(AWAY).unwrap();
    let servers: Vec<&str> = urls.split(',').collect();
    stage.apply_system(json!({"servers": servers})).await.unwrap();
    let moves = json!({"actions": {"streamPlacement": {"maxStall": "5m"}}});
    stage.apply_policy("orders", moves).await.unwrap();
    stage.start_operator().await.unwrap();
    let removal = tokio::time::timeout(CONVERGED, edits.next())
        .await
        .unwrap()
        .unwrap();
    stage.operator().unwrap().kill().await.unwrap();
    let removed: Value = serde_json::from_slice(&removal.payload).unwrap();
    assert_eq!(
        removed["placement"],
        Value::Null,
        "the first update takes it away"
    );

    let policy = stage.policy("orders").await.unwrap();
    let left = &policy["status"]["operations"][0];
    assert_eq!(left["replaces"], json!({"cluster": HOME}), "{left}");
    eventually(CONVERGED, "the placement is taken away", || async {
        let stored = placement(&client).await?;
        ensure!(stored.is_null(), "{stored}");
        Ok(())
    })
    .await
    .unwrap();

    // Nothing but what was begun may bring it back.
    let no_moves = json!({"actions": {"streamPlacement": {"enabled": false}}});
    stage.apply_policy("orders", no_moves).await.unwrap();
    stage.system.wan().set_delay_everywhere(Duration::ZERO);
    stage.restart_operator().await.unwrap();
    until_nothing_is_left(&stage).await;
    assert_eq!(placement(&client).await.unwrap(), json!({"cluster": HOME}));
    assert_led_from(&stage, HOME).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn p10_a_placement_that_its_owner_took_away_after_a_killed_move_stays_away() {
    let mut stage = Stage::new(System::builder(Layout::supercluster(&[(HOME, 3), (AWAY, 3)])))
        .await
        .unwrap();
    let client = assets::client(&stage.system, AWAY).await.unwrap();
    let away = json!({"placement": {"cluster": AWAY}});
    assets::stream(&client, "ORDERS", 3, away).await.unwrap();
    let _apps = assets::clients(&stage.system, HOME, 7).await.unwrap();
    stage.apply_system(json!({})).await.unwrap();
    stage.apply_policy("orders", json!({})).await.unwrap();
    stage.start_operator().await.unwrap();
    eventually(CONVERGED, "the move was asked for", || async {
        let stored = placement(&client).await?;
        ensure!(stored == json!({"cluster": HOME}), "{stored}");
        Ok(())
    })
    .await
    .unwrap();
    stage.operator().unwrap().kill().await.unwrap();
    let policy = stage.policy("orders").await.unwrap();
    let left = &policy["status"]["operations"][0];
    assert_eq!(left["replaces"], json!({"cluster": AWAY}), "{left}");

    let info = eventually(CONVERGED, "the servers finish the move", || async {
        let info = jetstream::stream_info(&client, "ORDERS").await?;
        let peers = jetstream::peers_in(&info);
        let at_home = peers.len() == 3 && peers.iter().all(|peer| peer.starts_with(HOME));
        ensure!(at_home, "{peers:?}");
        Ok(info)
    })
    .await
    .unwrap();
    let mut config = info["config"].clone();
    config.as_object_mut().unwrap().remove("placement");
    jetstream::update_stream(&client, "ORDERS", config).await.unwrap();

    stage.restart_operator().await.unwrap();
    until_nothing_is_left(&stage).await;
    more_rounds(&stage, "orders", 2).await;
    assert_eq!(placement(&client).await.unwrap(), Value::Null);
    assert_led_from(&stage, HOME).await;
}

/// Nothing is under way, and the stream is in place.
async fn until_nothing_is_left(stage: &Stage) {
    stage
        .await_policy("orders", "nothing is left behind", |policy| {
            let operations = &policy["status"]["operations"];
            let none = operations.as_array().is_none_or(Vec::is_empty);
            ensure!(
                none && policy["status"]["inPlace"] == "1/1",
                "{}",
                policy["status"]
            );
            Ok(())
        })
        .await
        .unwrap();
}

async fn placement(client: &Client) -> anyhow::Result<Value> {
    let info = jetstream::stream_info(client, "ORDERS").await?;
    Ok(info["config"]["placement"].clone())
}

/// It lies where it lay, and stores where it was to go.
async fn store_the_placement_of_a_cancelled_move(stage: &Stage, client: &Client) {
    let mut config = jetstream::stream_info(client, "ORDERS").await.unwrap()["config"].clone();
    config["placement"] = json!({"cluster": HOME});
    jetstream::update_stream(client, "ORDERS", config).await.unwrap();
    let account = stage.system.account_id(DEFAULT_ACCOUNT).unwrap();
    let cancel = format!("$JS.API.ACCOUNT.STREAM.CANCEL_MOVE.{account}.ORDERS");
    // Nobody answers if the leader has changed sides meanwhile: what lies where is what counts.
    eventually(CONVERGED, "the move is cancelled", || async {
        let info = jetstream::stream_info(client, "ORDERS").await?;
        let peers = jetstream::peers_in(&info);
        let lies_away = peers.len() == 3 && peers.iter().all(|peer| peer.starts_with(AWAY));
        if !lies_away {
            jetstream::request(client, &cancel, &json!({})).await?;
            bail!("{peers:?}");
        }
        let stored = &info["config"]["placement"];
        ensure!(stored["cluster"] == HOME, "{stored}");
        Ok(())
    })
    .await
    .unwrap();
}
