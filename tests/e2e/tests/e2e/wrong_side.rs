//! A small stretched account whose leaders are on the wrong side, for tests of what goes wrong there.

use std::collections::BTreeMap;

use anyhow::ensure;
use async_nats::Client;
use leeward_e2e::{CONVERGED, Stage, assets};
use leeward_lab::leeward::manifests::merged;
use leeward_lab::nats::{Layout, System, SystemBuilder, eventually};
use serde_json::{Value, json};

pub const HOME: &str = "us-east";
pub const AWAY: &str = "eu-west";

/// Two servers at home and one away: every stream of three replicas has peers in both regions.
pub fn three_servers() -> SystemBuilder {
    System::builder(Layout::stretched(&[(HOME, 2), (AWAY, 1)]))
}

/// The topology by tags, step-downs alone, and nothing to wait for between two of them.
pub fn by_region(spec: Value) -> Value {
    let base = json!({
        "topology": {"key": "ServerTag", "tagPrefix": "region:"},
        "actions": {"streamPlacement": {"enabled": false}},
        "disruption": {"cooldown": "0s"},
    });
    merged(base, spec)
}

/// Creates a stream of three replicas with consumers of three replicas, all led from the wrong side.
pub async fn misplaced(client: &Client, stream: &str, consumers: &[&str]) {
    assets::stream(client, stream, 3, json!({})).await.unwrap();
    for consumer in consumers {
        assets::consumer(client, stream, consumer, json!({}))
            .await
            .unwrap();
    }
    lead_from(client, AWAY, stream, consumers).await;
}

/// Steps leaders down until a stream and its consumers are led from a location.
pub async fn lead_from(client: &Client, location: &str, stream: &str, consumers: &[&str]) {
    assets::lead(client, stream, None, location, true).await.unwrap();
    for consumer in consumers {
        assets::lead(client, stream, Some(consumer), location, true)
            .await
            .unwrap();
    }
}

/// Every leader of the default account, seen with the `nats` command, is in a location. A group that misses heartbeats, on
/// a busy machine, has no leader while it elects one: that is waited for.
pub async fn assert_led_from(stage: &Stage, location: &str) -> BTreeMap<String, String> {
    let leaders = eventually(CONVERGED, "everything has a leader", || async {
        let leaders = assets::leaders(&stage.system, HOME).await?;
        ensure!(!leaders.is_empty(), "no assets");
        ensure!(leaders.values().all(|leader| !leader.is_empty()), "{leaders:?}");
        Ok(leaders)
    })
    .await
    .unwrap();
    let elsewhere: Vec<_> = leaders
        .iter()
        .filter(|(_, leader)| !leader.starts_with(location))
        .collect();
    assert!(elsewhere.is_empty(), "not led from {location}: {elsewhere:?}");
    leaders
}

/// Waits until a policy was evaluated some more times.
pub async fn more_rounds(stage: &Stage, policy: &str, more: u64) {
    let start = eventually(CONVERGED, "the policy is judged", || {
        assets::rounds(stage, policy)
    });
    let start = start.await.unwrap();
    eventually(CONVERGED, "more rounds of the policy", || async {
        let now = assets::rounds(stage, policy).await?;
        ensure!(now >= start + more, "{now} rounds, {start} before");
        Ok(())
    })
    .await
    .unwrap();
}

/// Puts another Secret in the place of one.
pub async fn replace_secret(stage: &Stage, secret: &Value) {
    let name = secret["metadata"]["name"].as_str().unwrap();
    stage.kubectl(&["delete", "secret", name]).await.unwrap();
    stage.apply(secret).await.unwrap();
}
