//! Windows: nothing before they open, and at once when they do; a malformed one allows nothing.

use std::time::Duration;

use anyhow::ensure;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use leeward_e2e::{Stage, assets};
use leeward_lab::audit::Audit;
use serde_json::{Value, json};

use super::{at, held_for, says, time};
use crate::wrong_side::{AWAY, HOME, assert_led_from, by_region, misplaced, three_servers};

/// At least this far ahead, a window opens at a full minute.
const AHEAD: Duration = Duration::from_secs(40);
/// Much less than the interval between two looks.
const SOON: Duration = Duration::from_mins(1);

#[tokio::test]
async fn p3_nothing_is_done_before_a_window_opens_and_work_begins_then_without_another_look() {
    let mut stage = Stage::new(three_servers()).await.unwrap();
    let _apps = assets::clients(&stage.system, HOME, 7).await.unwrap();
    let client = assets::client(&stage.system, AWAY).await.unwrap();
    misplaced(&client, "ORDERS", &["workers"]).await;
    let audit = Audit::start(&stage.system, &client).await.unwrap();
    stage
        .apply_system(json!({"observeInterval": "10m"}))
        .await
        .unwrap();
    stage
        .apply_policy("orders", by_region(json!({"mode": "Observe"})))
        .await
        .unwrap();
    stage.start_operator().await.unwrap();
    stage
        .await_reason("orders", "InPlace", "ActionsPending")
        .await
        .unwrap();

    let opens = full_minute(Timestamp::now() + AHEAD);
    let clock = opens.to_zoned(TimeZone::UTC);
    let schedule = format!("{} {} * * *", clock.minute(), clock.hour());
    let windows = json!([{"kind": "Allow", "schedule": schedule, "duration": "2h"}]);
    stage
        .apply_policy("orders", by_region(json!({"disruption": {"windows": windows}})))
        .await
        .unwrap();
    stage
        .await_policy("orders", "the window is waited for", |policy| {
            let message = says(policy, "Progressing", "OutsideWindow")?;
            ensure!(message.contains(&opens.to_string()), "{message}");
            held_for(policy, &["ORDERS", "ORDERS/workers"], "OutsideWindow")?;
            let windows = &policy["status"]["windows"];
            ensure!(
                windows["open"] == false && time(&windows["nextTransitionTime"])? == opens,
                "{windows}"
            );
            Ok(())
        })
        .await
        .unwrap();
    stage
        .await_reason("orders", "InPlace", "AllInPlace")
        .await
        .unwrap();
    assert_led_from(&stage, HOME).await;

    let first = audit.leeward_writes().iter().map(at).min().unwrap();
    assert!(first >= opens, "asked at {first}, the window opened at {opens}");
    assert!(
        first < opens + SOON,
        "asked at {first}, the window opened at {opens}"
    );
    let windows = stage.policy("orders").await.unwrap()["status"]["windows"].clone();
    assert_eq!(windows["open"], true, "{windows}");
}

fn full_minute(after: Timestamp) -> Timestamp {
    Timestamp::from_second((after.as_second() / 60 + 1) * 60).unwrap()
}

#[tokio::test]
async fn p3_a_malformed_window_allows_nothing_and_the_condition_names_its_field() {
    let mut stage = Stage::new(three_servers()).await.unwrap();
    let _apps = assets::clients(&stage.system, HOME, 7).await.unwrap();
    let client = assets::client(&stage.system, AWAY).await.unwrap();
    misplaced(&client, "ORDERS", &["workers"]).await;
    let audit = Audit::start(&stage.system, &client).await.unwrap();
    stage.apply_system(json!({})).await.unwrap();
    // Tells how often was looked, while the other is not judged.
    let bystander = json!({"mode": "Observe", "streams": {"include": ["OTHER"]}});
    stage
        .apply_policy("bystander", by_region(bystander))
        .await
        .unwrap();
    let window = |schedule: &str, zone: &str| json!([{"kind": "Allow", "schedule": schedule, "duration": "24h", "timeZone": zone}]);

    let atlantis = window("0 0 * * *", "Europe/Atlantis");
    stage
        .apply_policy("orders", by_region(json!({"disruption": {"windows": atlantis}})))
        .await
        .unwrap();
    stage.start_operator().await.unwrap();
    let message = refused(&stage, &audit, "InvalidTimeZone").await;
    assert!(
        message.contains("disruption.windows[0]") && message.contains("Europe/Atlantis"),
        "{message}"
    );

    // A policy that runs, and is spoilt.
    stage
        .apply_policy("orders", by_region(json!({"mode": "Observe"})))
        .await
        .unwrap();
    stage
        .await_reason("orders", "InPlace", "ActionsPending")
        .await
        .unwrap();
    let no_minute = window("61 * * * *", "Europe/Berlin");
    stage
        .apply_policy("orders", by_region(json!({"disruption": {"windows": no_minute}})))
        .await
        .unwrap();
    let message = refused(&stage, &audit, "Invalid").await;
    assert!(
        message.contains("disruption.windows[0]") && message.contains("61"),
        "{message}"
    );

    let right = window("0 * * * *", "Europe/Berlin");
    stage
        .apply_policy("orders", by_region(json!({"disruption": {"windows": right}})))
        .await
        .unwrap();
    stage
        .await_reason("orders", "InPlace", "AllInPlace")
        .await
        .unwrap();
    stage
        .await_reason("orders", "Accepted", "Accepted")
        .await
        .unwrap();
    assert_led_from(&stage, HOME).await;
    assert!(!audit.leeward_writes().is_empty());
}

/// The policy is not accepted, and nothing is done although it is looked; gives the message.
async fn refused(stage: &Stage, audit: &Audit, reason: &str) -> String {
    let message = stage
        .await_policy("orders", reason, |policy: &Value| {
            let message = says(policy, "Accepted", reason)?;
            says(policy, "Ready", reason)?;
            let seen = &policy["status"]["observedGeneration"];
            ensure!(*seen == policy["metadata"]["generation"], "generation {seen}");
            Ok(message)
        })
        .await
        .unwrap();
    assets::looks(stage, "bystander", 2).await.unwrap();
    assert!(audit.leeward_writes().is_empty(), "{:?}", audit.leeward_writes());
    message
}
