//! A consumer whose only client does not ask again after the hand-over: said as what it is, and counted.

use std::time::Duration;

use anyhow::ensure;
use async_nats::{Client, StatusCode};
use futures::StreamExt;
use leeward_e2e::{CONVERGED, Stage, assets};
use leeward_lab::load::{Load, Publisher, PullWorker};
use serde_json::{Value, json};

use super::config;
use crate::wrong_side::{AWAY, HOME, assert_led_from, by_region, misplaced, three_servers};

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_whose_client_gives_up_at_the_hand_over_is_said_to_be_stalled() {
    let mut stage = Stage::new(three_servers()).await.unwrap();
    let _apps = assets::clients(&stage.system, HOME, 7).await.unwrap();
    let client = assets::client(&stage.system, AWAY).await.unwrap();
    misplaced(&client, "ORDERS", &["work"]).await;
    let before = config(&client, "ORDERS").await;
    let mut load = Load::new();
    let home = assets::client(&stage.system, HOME).await.unwrap();
    let mut publisher = Publisher::new(home.clone(), HOME, "ORDERS", "ORDERS.new");
    publisher.rate_per_second = 5.0;
    load.publish(publisher);
    let worker = tokio::spawn(pull_until_told_of_a_new_leader(home.clone()));
    stage.apply_system(json!({})).await.unwrap();
    let breaker = json!({"disruption": {"circuitBreaker": {"failures": 1}, "cooldown": "1h"}});
    stage.apply_policy("orders", by_region(breaker)).await.unwrap();
    stage.start_operator().await.unwrap();
    let taken = tokio::time::timeout(CONVERGED, worker)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    println!("the worker took {taken} messages and gave up");

    stage
        .await_policy("orders", "it is told", |policy| {
            let recent = policy["status"]["recentActions"].as_array().into_iter().flatten();
            let results: Vec<&Value> = recent
                .filter(|action| action["consumer"] == "work")
                .map(|action| &action["result"])
                .collect();
            ensure!(results == ["Stalled"], "{results:?}");
            ensure!(
                policy["status"]["breaker"]["state"] == "Open",
                "{}",
                policy["status"]["breaker"]
            );
            Ok(())
        })
        .await
        .unwrap();
    let events = stage
        .kubectl(&["get", "events", "--output", "json"])
        .await
        .unwrap();
    let events: Value = serde_json::from_str(&events).unwrap();
    stage
        .await_reason("orders", "Degraded", "ConsumerStalled")
        .await
        .unwrap();
    let about = |event: &&Value| event["reason"] == "ConsumerStalled";
    let event = events["items"].as_array().unwrap().iter().find(about);
    println!("{}", event.unwrap_or_else(|| panic!("{events:#}"))["message"]);

    assert_led_from(&stage, HOME).await;
    assert_eq!(config(&client, "ORDERS").await, before);
    load.pull(PullWorker::new(home, HOME, "ORDERS", "work"));
    let delivered = async {
        while load.summary().delivered() == 0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(CONVERGED, delivered).await.unwrap();
    let _ = load.stop().await;
    let check = load.verify_stream(&client, "ORDERS").await.unwrap();
    assert!(check.acknowledged > 0 && check.lost == 0, "{check}");
}

/// Asks for more and more, always before it has what it asked for last, as clients do that lose no time; it takes the end
/// of a request for the end of everything.
async fn pull_until_told_of_a_new_leader(client: Client) -> anyhow::Result<u64> {
    let mut taken = 0;
    let inbox = client.new_inbox();
    let mut replies = client.subscribe(format!("{inbox}.*")).await?;
    let ask = async |number: u64| {
        let request = json!({"batch": 1, "expires": 30_000_000_000u64}).to_string();
        let next = "$JS.API.CONSUMER.MSG.NEXT.ORDERS.work";
        let reply = format!("{inbox}.{number}");
        client.publish_with_reply(next, reply, request.into()).await
    };
    ask(0).await?;
    for number in 1u64.. {
        ask(number).await?;
        let Some(message) = replies.next().await else {
            break;
        };
        match message.status {
            None => {
                let reply = message
                    .reply
                    .unwrap_or_else(|| panic!("a delivered message has a reply"));
                client.publish(reply, "+ACK".into()).await?;
                taken += 1;
            }
            Some(StatusCode::TIMEOUT | StatusCode::NOT_FOUND) => {}
            Some(_) => break,
        }
    }
    Ok(taken)
}
