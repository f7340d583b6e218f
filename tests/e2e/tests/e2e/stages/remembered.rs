//! What limits is remembered over a kill, and nothing is written while nothing happens (P10, P12).

use anyhow::ensure;
use jiff::Timestamp;
use leeward_e2e::{CONVERGED, Stage, assets, condition};
use leeward_lab::audit::Audit;
use leeward_lab::nats::{eventually, jetstream};
use serde_json::{Value, json};

use crate::wrong_side::{AWAY, HOME, assert_led_from, by_region, lead_from, misplaced, three_servers};

const CONSUMERS: [&str; 3] = ["a", "b", "c"];

#[tokio::test(flavor = "multi_thread")]
async fn p12_at_rest_nothing_is_written_and_a_restart_remembers_what_was_spent() {
    let mut stage = Stage::new(three_servers()).await.unwrap();
    let _apps = assets::clients(&stage.system, HOME, 7).await.unwrap();
    let client = assets::client(&stage.system, AWAY).await.unwrap();
    let audit = Audit::start(&stage.system, &client).await.unwrap();
    misplaced(&client, "ORDERS", &CONSUMERS).await;
    stage.apply_system(json!({})).await.unwrap();
    let limits =
        json!({"disruption": {"cooldown": "1h", "budgets": [{"name": "all", "max": 4, "per": "1h"}]}});
    stage.apply_policy("orders", by_region(limits)).await.unwrap();
    stage.start_operator().await.unwrap();
    stage
        .await_reason("orders", "InPlace", "AllInPlace")
        .await
        .unwrap();
    assert_led_from(&stage, HOME).await;

    assets::looks(&stage, "orders", 2).await.unwrap();
    let before = at_rest(&stage).await;
    let (memory, spent) = (&before["status"]["memory"], &before["status"]["memory"]["spent"]);
    assert_eq!(memory["assets"].as_array().unwrap().len(), 4, "{memory:#}");
    let count: i64 = spent
        .as_array()
        .unwrap()
        .iter()
        .map(|spent| spent["count"].as_i64().unwrap())
        .sum();
    assert_eq!(count, 4, "{spent:#}");
    assert_eq!(before["status"]["budget"], "4/4");

    stage.operator().unwrap().kill().await.unwrap();
    stage.restart_operator().await.unwrap();
    assets::looks(&stage, "orders", 2).await.unwrap();
    let after = at_rest(&stage).await;
    println!(
        "resourceVersion before the kill {}, after the restart {}",
        before["metadata"]["resourceVersion"], after["metadata"]["resourceVersion"]
    );
    assert_alike(&before["status"]["memory"], &after["status"]["memory"], "memory");
    assert_eq!(before["status"]["home"], after["status"]["home"]);
    assert_eq!(after["status"]["budget"], "4/4");
    for kept in ["recentActions", "streams", "consumers", "inPlace", "breaker"] {
        assert_eq!(before["status"][kept], after["status"][kept], "{kept}");
    }

    let asked = audit.leeward_writes().len();
    assert_eq!(asked, 4, "{:?}", audit.leeward_writes());
    lead_from(&client, AWAY, "ORDERS", &CONSUMERS[..1]).await;
    stage
        .await_policy("orders", "what was taken away rests", |policy| {
            let findings = policy["status"]["findings"].as_array().into_iter().flatten();
            let reasons: Vec<&str> = findings
                .filter_map(|finding| finding["reason"].as_str())
                .collect();
            ensure!(reasons == ["CoolingDown", "CoolingDown"], "{reasons:?}");
            Ok(())
        })
        .await
        .unwrap();
    assets::looks(&stage, "orders", 2).await.unwrap();
    assert_eq!(
        audit.leeward_writes().len(),
        asked,
        "{:?}",
        audit.leeward_writes()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_over_is_forgotten_and_the_next_action_is_written_down_as_ever() {
    let mut stage = Stage::new(three_servers()).await.unwrap();
    let _apps = assets::clients(&stage.system, HOME, 7).await.unwrap();
    let client = assets::client(&stage.system, AWAY).await.unwrap();
    let audit = Audit::start(&stage.system, &client).await.unwrap();
    misplaced(&client, "ORDERS", &[]).await;
    stage.apply_system(json!({})).await.unwrap();
    let spec = by_region(json!({"disruption": {"cooldown": "5s"}}));
    stage.apply_policy("orders", spec).await.unwrap();
    stage.start_operator().await.unwrap();
    for _ in 0..2 {
        let before = acted(&stage.policy("orders").await.unwrap());
        assets::lead(&client, "ORDERS", None, AWAY, true).await.unwrap();
        // The servers may elect the one in home by themselves, on a busy machine: then there is nothing to do, and it is
        // taken away again.
        eventually(CONVERGED, "what was done is written down", || async {
            let policy = stage.policy("orders").await?;
            let in_place = condition(&policy, "InPlace").is_some_and(|(reason, _)| reason == "AllInPlace");
            let written = acted(&policy) > before;
            let leader = jetstream::leader_of(&client, "ORDERS").await?;
            let is_home = leader
                .as_deref()
                .is_some_and(|leader| assets::location(leader) == HOME);
            if in_place && is_home && !written {
                assets::lead(&client, "ORDERS", None, AWAY, true).await?;
            }
            // What is told may be of before it was taken away.
            ensure!(in_place && is_home && written, "it is home, as told: {policy:#}");
            Ok(())
        })
        .await
        .unwrap();
        assert_led_from(&stage, HOME).await;
        // Longer than the cooldown: nothing is left to be remembered.
        assets::looks(&stage, "orders", 3).await.unwrap();
    }
    assert!(audit.leeward_writes().len() >= 2);
}

/// How many actions that succeeded its status tells of.
fn acted(policy: &Value) -> usize {
    let recent = policy["status"]["recentActions"].as_array();
    let succeeded = |action: &&Value| action["result"] == "Succeeded";
    recent.into_iter().flatten().filter(succeeded).count()
}

/// The policy, which is not written during some looks.
async fn at_rest(stage: &Stage) -> Value {
    let before = stage.policy("orders").await.unwrap();
    assets::looks(stage, "orders", 3).await.unwrap();
    let after = stage.policy("orders").await.unwrap();
    assert_eq!(
        before["metadata"]["resourceVersion"], after["metadata"]["resourceVersion"],
        "{:#}\n{:#}",
        before["status"], after["status"]
    );
    after
}

/// The same, but for times, which are stored in whole seconds and may be one later, never earlier.
pub fn assert_alike(before: &Value, after: &Value, path: &str) {
    match (before, after) {
        (Value::Object(left), Value::Object(right)) => {
            assert!(left.keys().eq(right.keys()), "{path}: {before:#}\n{after:#}");
            for (key, value) in left {
                assert_alike(value, &right[key], &format!("{path}.{key}"));
            }
        }
        (Value::Array(left), Value::Array(right)) => {
            assert_eq!(left.len(), right.len(), "{path}: {before:#}\n{after:#}");
            for (left, right) in left.iter().zip(right) {
                assert_alike(left, right, path);
            }
        }
        _ if before == after => {}
        _ => {
            let time = |value: &Value| value.as_str().and_then(|text| text.parse::<Timestamp>().ok());
            let (Some(left), Some(right)) = (time(before), time(after)) else {
                panic!("{path}: {before} and then {after}");
            };
            let later = right.duration_since(left).as_secs();
            assert!((0..=2).contains(&later), "{path}: {left} and then {right}");
        }
    }
}
