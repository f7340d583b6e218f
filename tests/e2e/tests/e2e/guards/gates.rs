//! Gates: what is unsettled is left alone until it has settled.

use std::time::Duration;

use anyhow::{Context, ensure};
use async_nats::Client;
use futures::StreamExt;
use jiff::Timestamp;
use leeward_e2e::{Stage, assets};
use leeward_lab::audit::Audit;
use leeward_lab::nats::jetstream;
use serde_json::json;

use super::{at, held_for, says};
use crate::kills::requests;
use crate::wrong_side::{AWAY, HOME, assert_led_from, by_region, lead_from, misplaced, three_servers};

const QUIET: Duration = Duration::from_secs(90);
const TAKEN: usize = 5;

#[tokio::test]
async fn leaders_that_were_just_elected_are_left_alone_until_they_have_led_for_a_while() {
    let mut stage = Stage::new(three_servers()).await.unwrap();
    let _apps = assets::clients(&stage.system, HOME, 7).await.unwrap();
    let client = assets::client(&stage.system, AWAY).await.unwrap();
    misplaced(&client, "ORDERS", &["workers"]).await;
    let audit = Audit::start(&stage.system, &client).await.unwrap();
    stage.apply_system(json!({})).await.unwrap();
    stage
        .apply_policy("orders", by_region(json!({"mode": "Observe"})))
        .await
        .unwrap();
    stage.start_operator().await.unwrap();
    stage
        .await_reason("orders", "InPlace", "ActionsPending")
        .await
        .unwrap();

    lead_from(&client, HOME, "ORDERS", &["workers"]).await;
    let earliest = Timestamp::now() + QUIET;
    lead_from(&client, AWAY, "ORDERS", &["workers"]).await;
    let gates = json!({"quietAfterLeaderChange": "90s"});
    stage
        .apply_policy("orders", by_region(json!({"disruption": {"gates": gates}})))
        .await
        .unwrap();
    let messages = stage
        .await_policy("orders", "both wait for quiet", |policy| {
            let message = says(policy, "Progressing", "GateClosed")?;
            ensure!(message.contains("RecentlyElected 2"), "{message}");
            held_for(policy, &["ORDERS", "ORDERS/workers"], "RecentlyElected")
        })
        .await
        .unwrap();
    for message in messages.values() {
        assert!(
            message.contains("leads since") && message.contains("disruption.gates.quietAfterLeaderChange"),
            "{message}"
        );
    }

    stage
        .await_reason("orders", "InPlace", "AllInPlace")
        .await
        .unwrap();
    assert_led_from(&stage, HOME).await;
    let first = audit.leeward_writes().iter().map(at).min().unwrap();
    assert!(
        first >= earliest,
        "asked at {first}, no leader was old enough before {earliest}"
    );
}

#[tokio::test]
async fn a_consumer_with_too_many_unacknowledged_messages_is_left_alone_until_they_are_acknowledged() {
    let mut stage = Stage::new(three_servers()).await.unwrap();
    let _apps = assets::clients(&stage.system, HOME, 7).await.unwrap();
    let client = assets::client(&stage.system, AWAY).await.unwrap();
    assets::stream(&client, "ORDERS", 3, json!({})).await.unwrap();
    let hour = json!({"ack_wait": 3_600_000_000_000u64});
    for consumer in ["busy", "calm"] {
        assets::consumer(&client, "ORDERS", consumer, hour.clone())
            .await
            .unwrap();
    }
    for number in 0..TAKEN {
        jetstream::publish(&client, &format!("ORDERS.{number}"), "work")
            .await
            .unwrap();
    }
    lead_from(&client, AWAY, "ORDERS", &["busy", "calm"]).await;
    let taken = take(&client, "ORDERS", "busy").await.unwrap();
    let audit = Audit::start(&stage.system, &client).await.unwrap();
    stage.apply_system(json!({})).await.unwrap();
    let gates = json!({"maxAckPending": 3});
    stage
        .apply_policy("orders", by_region(json!({"disruption": {"gates": gates}})))
        .await
        .unwrap();
    stage.start_operator().await.unwrap();

    let held = |policy: &serde_json::Value| {
        let message = says(policy, "Progressing", "GateClosed")?;
        ensure!(message.contains("AckPendingHigh 1"), "{message}");
        held_for(policy, &["ORDERS/busy"], "AckPendingHigh")
    };
    let messages = stage
        .await_policy("orders", "only the busy one waits", held)
        .await
        .unwrap();
    let message = &messages["ORDERS/busy"];
    assert!(
        message.contains(
            "5 messages wait for consumer busy's acknowledgement, disruption.gates.maxAckPending is 3"
        ),
        "{message}"
    );
    assets::looks(&stage, "orders", 2).await.unwrap();
    let asked = requests(&audit);
    assert!(asked.keys().eq(["ORDERS", "ORDERS/calm"]), "{asked:?}");

    for reply in taken {
        client.publish(reply, "+ACK".into()).await.unwrap();
    }
    client.flush().await.unwrap();
    stage
        .await_reason("orders", "InPlace", "AllInPlace")
        .await
        .unwrap();
    assert_led_from(&stage, HOME).await;
    assert!(requests(&audit).contains_key("ORDERS/busy"));
}

/// Pulls messages without acknowledging them, and gives where they are acknowledged.
async fn take(client: &Client, stream: &str, consumer: &str) -> anyhow::Result<Vec<async_nats::Subject>> {
    let inbox = client.new_inbox();
    let mut messages = client.subscribe(inbox.clone()).await?;
    let request = json!({"batch": TAKEN, "expires": 30_000_000_000u64}).to_string();
    let subject = format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}");
    client.publish_with_reply(subject, inbox, request.into()).await?;
    let mut taken = Vec::new();
    while taken.len() < TAKEN {
        let message = tokio::time::timeout(Duration::from_mins(1), messages.next()).await?;
        let message = message.context("the subscription has ended")?;
        ensure!(message.status.is_none(), "{message:?}");
        taken.push(message.reply.context("a message of a consumer has a reply")?);
    }
    Ok(taken)
}
