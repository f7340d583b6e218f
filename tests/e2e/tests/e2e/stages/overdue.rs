//! A move that cannot end: it is cancelled after its time, and nothing but the attempt is left of it (P7). What was tried
//! is remembered over a kill, until the policy says otherwise.

use std::time::Duration;

use anyhow::{Context, ensure};
use async_nats::{Client, Subscriber};
use futures::{FutureExt, StreamExt};
use leeward_e2e::{CONVERGED, Stage, assets, condition};
use leeward_lab::audit::Audit;
use leeward_lab::leeward::manifests::merged;
use leeward_lab::load::Load;
use leeward_lab::nats::gateways::may_sleep;
use leeward_lab::nats::{Layout, NatsVersion, System, eventually, jetstream};
use serde_json::{Value, json};

use super::remembered::assert_alike;
use super::{all_in_place, assert_whole, config, until, work};
use crate::wrong_side::{AWAY, HOME, assert_led_from};

/// Until Leeward says what became of a move that it cancels, by its own limits: the minute of the move, three in which it is
/// asked for until nobody loses the request, and three in which the stream's group, of whose six peers two sleep, has to keep
/// a leader for as long as the servers need to go back.
const CANCELLED: Duration = Duration::from_mins(10);

/// From one location to the other, until they sleep: without it, a move of little data may end before they do.
const SLOW: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread")]
async fn p7_a_move_that_does_not_end_is_cancelled_and_tried_again_only_when_told() {
    overdue(NatsVersion::Newest).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn p7_a_move_that_does_not_end_is_cancelled_on_servers_that_keep_the_targets_placement() {
    overdue(NatsVersion::V2_14).await;
}

async fn overdue(version: NatsVersion) {
    let layout = Layout::supercluster(&[(HOME, 3), (AWAY, 3)]);
    let mut stage = Stage::new(System::builder(layout).version(version))
        .await
        .unwrap();
    let _apps = assets::clients(&stage.system, HOME, 7).await.unwrap();
    let client = assets::client(&stage.system, AWAY).await.unwrap();
    let system = stage.system.system_client().await.unwrap();
    let audit = Audit::start(&stage.system, &client).await.unwrap();
    // Acknowledgements get stuck with the servers that sleep, for longer than the two minutes of the default.
    let away = json!({
        "placement": {"cluster": AWAY}, "description": "kept \"as it is\"", "metadata": {"team": "é ✓"},
        "duplicate_window": 1_200_000_000_000_i64,
    });
    assets::stream(&client, "ORDERS", 3, away).await.unwrap();
    assets::consumer(&client, "ORDERS", "work", json!({}))
        .await
        .unwrap();
    let mut load = Load::new();
    work(&mut load, &stage.system, "ORDERS").await;
    // The servers that fall asleep must not lead the meta group.
    jetstream::lead_meta_group(&stage.system, AWAY).await.unwrap();
    // With two asleep, a group of three at home comes to no decision.
    let asleep = may_sleep(&stage.system, AWAY, HOME).await.unwrap();
    let before = (config(&client, "ORDERS").await, peers(&client).await);
    let servers: Vec<String> = stage
        .system
        .urls(AWAY)
        .unwrap()
        .split(',')
        .map(str::to_owned)
        .collect();
    stage.apply_system(json!({"servers": servers})).await.unwrap();
    let spec = json!({
        "actions": {"streamPlacement": {"timeout": "1m", "maxStall": "5m"}},
        "disruption": {"cooldown": "0s", "maxAttempts": 1},
    });
    stage.apply_policy("orders", spec.clone()).await.unwrap();

    let mut edits = system.subscribe("$JS.API.STREAM.UPDATE.*").await.unwrap();
    system.flush().await.unwrap();
    let mut cancels = Cancels::watch(&client).await;
    stage.start_operator().await.unwrap();
    until(&mut edits, ".UPDATE.ORDERS").await;
    stage.system.wan().set_delay_everywhere(SLOW);
    // A server that sleeps before the edit is agreed on could make the meta group lose it.
    eventually(CONVERGED, "the edit is stored", || async {
        let info = jetstream::stream_info(&client, "ORDERS").await?;
        let stored = &info["config"]["placement"]["cluster"];
        ensure!(*stored == HOME, "{stored}");
        Ok(())
    })
    .await
    .unwrap();
    for server in &asleep {
        stage.system.pause(server).await.unwrap();
    }
    stage.system.wan().set_delay_everywhere(Duration::ZERO);
    stage
        .await_policy_for(CANCELLED, "orders", "the move has timed out", |policy| {
            let last = &policy["status"]["recentActions"][0];
            ensure!(
                last["type"] == "StreamPlacement" && last["result"] == "TimedOut",
                "{last}"
            );
            Ok(())
        })
        .await
        .unwrap();
    for server in &asleep {
        stage.system.resume(server).await.unwrap();
    }
    // Gateways through a server that sleeps may cost the meta group its leader for a minute: then it is asked again.
    assert!(cancels.told() > 0, "{:?}", audit.leeward_writes());
    // One that was asleep may think for a while that it leads the stream in its target, and answer with what it knew.
    eventually(CONVERGED, "the stream is as it was", || async {
        let now = (config(&client, "ORDERS").await, peers(&client).await);
        ensure!(now == before, "{now:?} instead of {before:?}");
        Ok(())
    })
    .await
    .unwrap();
    stage
        .await_reason("orders", "Degraded", "MoveTimedOut")
        .await
        .unwrap();
    let events = stage
        .kubectl(&["get", "events", "--output", "json"])
        .await
        .unwrap();
    let events: Value = serde_json::from_str(&events).unwrap();
    let about = |event: &Value| event["reason"] == "StreamMoveTimedOut";
    assert!(
        events["items"].as_array().unwrap().iter().any(about),
        "{events:#}"
    );

    gave_up(&stage).await;
    let remembered = memory(&stage).await;
    stage.operator().unwrap().kill().await.unwrap();
    stage.restart_operator().await.unwrap();
    assets::looks(&stage, "orders", 2).await.unwrap();
    gave_up(&stage).await;
    assert_alike(&remembered, &memory(&stage).await, "memory");
    let written = audit.leeward_writes().len();

    stage.operator().unwrap().kill().await.unwrap();
    let told = merged(spec, json!({"resetToken": "once more"}));
    stage.apply_policy("orders", told).await.unwrap();
    assert_eq!(audit.leeward_writes().len(), written, "nothing was tried");
    stage.restart_operator().await.unwrap();
    all_in_place(&stage, 1).await;
    assert_led_from(&stage, HOME).await;
    let mut after = config(&client, "ORDERS").await;
    assert_eq!(after["placement"]["cluster"], HOME);
    after["placement"] = before.0["placement"].clone();
    assert_eq!(after, before.0);
    assert_eq!(memory(&stage).await["resetToken"], "once more");
    assert_whole(load, &client, std::iter::once("ORDERS")).await;
}

/// Requests to cancel a move. The audit of the newest servers tells of the edit again instead.
struct Cancels(Vec<Subscriber>);

impl Cancels {
    async fn watch(client: &Client) -> Self {
        let mut told = Vec::new();
        for subject in [
            "$JS.API.STREAM.CANCEL_MOVE.*",
            "$JS.API.ACCOUNT.STREAM.CANCEL_MOVE.>",
        ] {
            told.push(client.subscribe(subject).await.unwrap());
        }
        client.flush().await.unwrap();
        Self(told)
    }

    fn told(&mut self) -> usize {
        let count =
            |told: &mut Subscriber| std::iter::from_fn(|| told.next().now_or_never().flatten()).count();
        self.0.iter_mut().map(count).sum()
    }
}

/// The stream is left alone, for its attempts are used up.
async fn gave_up(stage: &Stage) {
    stage
        .await_policy("orders", "the stream is given up", |policy| {
            let findings = policy["status"]["findings"].as_array().into_iter().flatten();
            let reasons: Vec<&str> = findings
                .filter(|finding| finding["consumer"].is_null() && finding["stream"] == "ORDERS")
                .filter_map(|finding| finding["reason"].as_str())
                .collect();
            ensure!(reasons == ["AttemptsExhausted"], "{reasons:?}");
            let (observed, said) = condition(policy, "Observed").context("no condition")?;
            ensure!(observed == "Complete", "{observed}: {said}");
            Ok(())
        })
        .await
        .unwrap();
}

async fn memory(stage: &Stage) -> Value {
    stage.policy("orders").await.unwrap()["status"]["memory"].clone()
}

/// Where the stream lies, in order; the servers have ended what they were doing with it.
async fn peers(client: &Client) -> Vec<String> {
    let info = assets::settled(client, "ORDERS", 3).await.unwrap();
    let mut peers = jetstream::peers_in(&info);
    peers.sort();
    peers
}
