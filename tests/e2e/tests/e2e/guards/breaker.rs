//! The circuit breaker, opened by moves that the servers really refuse.

use anyhow::ensure;
use leeward_e2e::{CONVERGED, Stage, assets};
use leeward_lab::audit::Audit;
use leeward_lab::leeward::manifests::merged;
use leeward_lab::nats::{Layout, System, eventually, jetstream};
use serde_json::{Value, json};

use super::{await_event, change, findings, lies_in, says, time};
use crate::wrong_side::{AWAY, HOME, assert_led_from};

/// Of different origins, so that none waits for another.
const MIRRORS: [(&str, &str); 2] = [("COPY", "ORDERS"), ("SPARE", "PAYMENTS")];
const FAILURES: usize = 2;

/// Mirrors may not take smaller messages than what they mirror: once their origin takes greater ones, the servers refuse
/// every update of them.
#[tokio::test]
async fn repeated_failures_stop_everything_over_a_kill_too_until_a_reset_or_a_success() {
    let layout = Layout::supercluster(&[(HOME, 2), (AWAY, 1)]);
    let mut stage = Stage::new(System::builder(layout)).await.unwrap();
    let _apps = assets::clients(&stage.system, HOME, 7).await.unwrap();
    let client = assets::client(&stage.system, HOME).await.unwrap();
    for (mirror, origin) in MIRRORS {
        lies_in(&client, HOME, origin, json!({"max_msg_size": 1024})).await;
        let config = json!({
            "num_replicas": 1,
            "max_msg_size": 1024,
            "mirror": {"name": origin},
            "placement": {"cluster": AWAY},
        });
        jetstream::create_stream(&client, mirror, config).await.unwrap();
        assets::settled(&client, mirror, 1).await.unwrap();
        change(&client, origin, json!({"max_msg_size": 2048})).await;
    }
    let audit = Audit::start(&stage.system, &client).await.unwrap();
    stage.apply_system(json!({})).await.unwrap();
    let policy = |over: Value| {
        let base = json!({"disruption": {"cooldown": "0s", "maxAttempts": 50, "circuitBreaker": {"failures": FAILURES}}});
        merged(base, over)
    };
    stage.apply_policy("orders", policy(json!({}))).await.unwrap();
    stage.start_operator().await.unwrap();
    stage
        .await_policy("orders", "the breaker is open", open)
        .await
        .unwrap();
    let note = await_event(&stage, "BreakerOpened", "nothing is done until").await;
    assert!(note.contains("the last failure: stream "), "{note}");
    nothing_more(&stage, &audit, FAILURES).await;

    stage.operator().unwrap().kill().await.unwrap();
    stage.restart_operator().await.unwrap();
    nothing_more(&stage, &audit, FAILURES).await;
    stage
        .await_policy("orders", "the breaker is open still", open)
        .await
        .unwrap();

    stage
        .apply_policy("orders", policy(json!({"resetToken": "tuesday"})))
        .await
        .unwrap();
    eventually(CONVERGED, "it tries again", || async {
        let asked = audit.leeward_writes().len();
        ensure!(asked >= 2 * FAILURES, "{asked} requests");
        Ok(())
    })
    .await
    .unwrap();
    stage
        .await_policy("orders", "the breaker is open again", open)
        .await
        .unwrap();
    nothing_more(&stage, &audit, 2 * FAILURES).await;

    for (_, origin) in MIRRORS {
        change(&client, origin, json!({"max_msg_size": 1024})).await;
    }
    let half_open = json!({"resetToken": "tuesday", "disruption": {"circuitBreaker": {"openFor": "1s"}}});
    stage.apply_policy("orders", policy(half_open)).await.unwrap();
    stage
        .await_reason("orders", "InPlace", "AllInPlace")
        .await
        .unwrap();
    await_event(&stage, "BreakerClosed", "").await;
    assert_led_from(&stage, HOME).await;
    let status = stage.policy("orders").await.unwrap()["status"].clone();
    assert!(status["breaker"].is_null(), "{}", status["breaker"]);
}

/// The breaker is open, and says so everywhere.
fn open(policy: &Value) -> anyhow::Result<()> {
    let message = says(policy, "Progressing", "BreakerOpen")?;
    let breaker = &policy["status"]["breaker"];
    ensure!(breaker["state"] == "Open", "{breaker}");
    let failures = breaker["failures"].as_array().map_or(0, Vec::len);
    ensure!(failures == FAILURES, "{breaker}");
    time(&breaker["retryTime"])?;
    ensure!(
        message.contains("2 wait") && message.contains("one is tried at"),
        "{message}"
    );
    let held = findings(policy);
    ensure!(
        held.keys().eq(MIRRORS.map(|(mirror, _)| mirror).iter())
            && held.values().all(|finding| finding["reason"] == "BreakerOpen"),
        "{held:#?}"
    );
    Ok(())
}

/// Looks pass, and no more than these requests were sent.
async fn nothing_more(stage: &Stage, audit: &Audit, requests: usize) {
    assets::looks(stage, "orders", 2).await.unwrap();
    let asked = audit.leeward_writes();
    assert_eq!(asked.len(), requests, "{asked:?}");
}
