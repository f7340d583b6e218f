//! The main job, under load: everything that is led elsewhere comes home, and nothing else changes.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::ensure;
use async_nats::Client;
use futures::future::try_join_all;
use futures::{FutureExt, StreamExt};
use leeward_e2e::{CONVERGED, Stage, assets};
use leeward_lab::audit::{Audit, AuditedRequest};
use leeward_lab::load::{Load, Publisher, PullWorker, PushWorker};
use leeward_lab::nats::{Layout, System, eventually, jetstream};
use serde_json::{Value, json};

const HOME: &str = "us-east";
const AWAY: &str = "eu-west";
const KEPT: usize = 7;

fn layout() -> Layout {
    let layout = Layout::supercluster(&[(HOME, 3), (AWAY, 3)]);
    layout.tag("region:{location}").tag("ssd").tag("tier:gold")
}

/// Streams with their replicas and what is special about their configuration.
fn streams() -> Vec<(&'static str, u8, Value)> {
    let away = |tags: Value| json!({"cluster": AWAY, "tags": tags});
    vec![
        ("orders", 3, json!({"placement": away(json!(null))})),
        ("payments", 3, json!({"placement": away(json!(["ssd"]))})),
        (
            "shipments",
            3,
            json!({"placement": away(json!(["tier:gold", "region:eu-west", "ssd"]))}),
        ),
        (
            "returns",
            3,
            json!({"placement": away(json!(["region:eu-west"])), "metadata": {"team": "returns", "leeward.test/Odd": "é ✓"}}),
        ),
        (
            "ledger",
            3,
            json!({"placement": away(json!(null)), "deny_delete": true, "deny_purge": true, "max_age": 86_400_000_000_000u64,
                "max_msg_size": 65536, "description": "kept \"as it is\""}),
        ),
        (
            "prices",
            3,
            json!({"placement": away(json!(["ssd"])), "max_msgs_per_subject": 3, "discard": "new",
                "discard_new_per_subject": true, "max_bytes": 10_000_000, "compression": "s2"}),
        ),
        (
            "KV_sessions",
            3,
            json!({"subjects": ["$KV.sessions.>"], "placement": away(json!(null)), "max_msgs_per_subject": 5,
                "allow_rollup_hdrs": true, "deny_delete": true, "allow_direct": true, "allow_msg_ttl": true}),
        ),
        (
            "mapped",
            3,
            json!({"placement": away(json!(null)), "republish": {"src": "mapped.out.>", "dest": "seen.>", "headers_only": true},
                "subject_transform": {"src": "mapped.in.*", "dest": "mapped.out.{{wildcard(1)}}"}}),
        ),
        (
            "tasks",
            3,
            json!({"placement": away(json!(null)), "retention": "interest", "consumer_limits": {"max_ack_pending": 500,
                "inactive_threshold": 3_600_000_000_000u64}}),
        ),
        (
            "cache",
            3,
            json!({"placement": away(json!(null)), "storage": "memory", "max_msgs": 1000}),
        ),
        ("single", 1, json!({"placement": away(json!(null))})),
        (
            "scratch",
            1,
            json!({"placement": away(json!(["ssd"])), "storage": "memory"}),
        ),
    ]
}

/// Thirty consumers over the streams: name, configuration.
fn consumers(stream: &str, replicas: u8) -> Vec<(&'static str, Value)> {
    let mut all = vec![("work", json!({}))];
    if replicas == 3 {
        all.push(("feed", json!({"deliver_subject": format!("deliver.{stream}")})));
    }
    if ["orders", "payments", "shipments", "returns", "ledger"].contains(&stream) {
        all.push(("alone", json!({"num_replicas": 1})));
    }
    if ["orders", "payments", "single"].contains(&stream) {
        all.push(("passing", json!({"inactive_threshold": 600_000_000_000u64})));
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn under_load_all_leaders_come_home_and_nothing_but_placement_changes() {
    let builder = System::builder(layout()).delay(Duration::from_millis(5));
    let mut stage = Stage::new(builder).await.unwrap();
    let admin = assets::client(&stage.system, AWAY).await.unwrap();
    create(&admin).await.unwrap();
    let before = configs(&admin).await.unwrap();
    let led = assets::leaders(&stage.system, AWAY).await.unwrap();
    assert_eq!(led.len(), 12 + 30);
    assert_eq!(assets::elsewhere(&led, AWAY), BTreeMap::new(), "led away before");

    let _apps = assets::clients(&stage.system, HOME, 8).await.unwrap();
    let mut load = start_load(&stage.system).await.unwrap();
    let kept = keep_unacknowledged(&admin).await.unwrap();
    let client = assets::client(&stage.system, HOME).await.unwrap();
    let audit = Audit::start(&stage.system, &client).await.unwrap();

    // The audit tells of one update once for each step of its move, so requests are counted as they arrive (nats-facts
    // N48).
    let watcher = stage.system.system_client().await.unwrap();
    let mut updates = watcher.subscribe("$JS.API.STREAM.UPDATE.*").await.unwrap();
    watcher.flush().await.unwrap();

    stage.apply_system(json!({"limits": {"moves": 4}})).await.unwrap();
    let spec = json!({
        "topology": {"tagPrefix": "region:"},
        "disruption": {"maxConcurrent": 4},
    });
    stage.apply_policy("orders", spec).await.unwrap();
    stage.start_operator().await.unwrap();
    stage
        .await_reason("orders", "InPlace", "AllInPlace")
        .await
        .unwrap();

    let led = assets::leaders(&stage.system, AWAY).await.unwrap();
    assert_eq!(assets::elsewhere(&led, HOME), BTreeMap::new(), "led away after");
    let status = stage.policy("orders").await.unwrap()["status"].clone();
    assert_eq!(status["home"]["location"], HOME);
    assert_eq!(status["streams"]["inPlace"], 12, "{status:#}");
    assert_eq!(
        (
            status["consumers"]["inPlace"].as_i64(),
            status["consumers"]["ignored"].as_i64()
        ),
        (Some(27), Some(3))
    );

    nothing_but_placement_changed(&before, &configs(&admin).await.unwrap());
    redelivered(&admin, &kept).await.unwrap();

    let writes = audit.leeward_writes();
    let known = |write: &AuditedRequest| {
        write.subject.contains(".STREAM.UPDATE.") || write.subject.contains(".LEADER.STEPDOWN.")
    };
    assert!(writes.iter().all(known), "{writes:?}");
    assets::looks(&stage, "orders", 2).await.unwrap();
    assert_eq!(
        audit.leeward_writes().len(),
        writes.len(),
        "a second round does nothing"
    );
    let mut updated = Vec::new();
    while let Some(update) = updates.next().now_or_never().flatten() {
        updated.push(update.subject.rsplit('.').next().unwrap().to_owned());
    }
    updated.sort();
    assert_eq!(
        updated,
        led.keys()
            .filter(|asset| !asset.contains('/'))
            .cloned()
            .collect::<Vec<_>>(),
        "each stream is updated once"
    );

    let totals = load.stop().await;
    assert_eq!(totals.summary.outstanding(), 0, "{}", totals.summary);
    for stream in LOADED {
        let check = load.verify_stream(&admin, stream).await.unwrap();
        assert!(check.acknowledged > 0, "{stream}: {check}");
        assert_eq!((check.lost, check.doubled), (0, 0), "{stream}: {check}");
    }
}

const LOADED: [&str; 5] = ["orders", "payments", "shipments", "returns", "single"];

async fn create(admin: &Client) -> anyhow::Result<()> {
    let create = |(name, replicas, config): (&'static str, u8, Value)| async move {
        assets::stream(admin, name, replicas, config).await?;
        for (consumer, config) in consumers(name, replicas) {
            assets::consumer(admin, name, consumer, config).await?;
        }
        anyhow::Ok(())
    };
    try_join_all(streams().into_iter().map(create)).await?;
    Ok(())
}

async fn configs(client: &Client) -> anyhow::Result<BTreeMap<&'static str, Value>> {
    let mut configs = BTreeMap::new();
    for (stream, _, _) in streams() {
        configs.insert(
            stream,
            jetstream::stream_info(client, stream).await?["config"].clone(),
        );
    }
    Ok(configs)
}

fn nothing_but_placement_changed(
    before: &BTreeMap<&'static str, Value>,
    after: &BTreeMap<&'static str, Value>,
) {
    let split = |config: &Value| {
        let mut rest = config.clone();
        let placement = rest.as_object_mut().and_then(|fields| fields.remove("placement"));
        (rest, placement.unwrap_or_default())
    };
    let others = |placement: &Value| -> Vec<String> {
        let tags = placement["tags"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str);
        tags.filter(|tag| !tag.starts_with("region:"))
            .map(str::to_owned)
            .collect()
    };
    for (stream, before) in before {
        let (rest_before, placed_before) = split(before);
        let (rest, placed) = split(&after[stream]);
        assert_eq!(rest, rest_before, "{stream}");
        assert_eq!(placed["cluster"], HOME, "{stream}: {placed}");
        assert_eq!(
            others(&placed),
            others(&placed_before),
            "{stream}: other tags stay as they were"
        );
        let tags = placed["tags"].as_array().cloned().unwrap_or_default();
        assert!(
            tags.contains(&json!("region:us-east")) && !tags.contains(&json!("region:eu-west")),
            "{stream}: {placed}"
        );
    }
}

/// Most clients publish and work in home, one reads along from away.
async fn start_load(system: &System) -> anyhow::Result<Load> {
    let mut load = Load::new();
    for stream in LOADED {
        let client = assets::client(system, HOME).await?;
        let mut publisher = Publisher::new(client.clone(), HOME, stream, &format!("{stream}.new"));
        publisher.rate_per_second = 20.0;
        load.publish(publisher);
        load.pull(PullWorker::new(client, HOME, stream, "work"));
    }
    let reader = assets::client(system, AWAY).await?;
    load.push(PushWorker::new(reader, AWAY, "orders", "feed", "deliver.orders"));
    Ok(load)
}

/// Messages of `ledger` that its worker has taken and not acknowledged.
async fn keep_unacknowledged(client: &Client) -> anyhow::Result<BTreeMap<u64, u64>> {
    for number in 0..KEPT {
        jetstream::publish(client, &format!("ledger.{number}"), "kept").await?;
    }
    let kept = assets::pull_and_keep(client, "ledger", "work", KEPT).await?;
    ensure!(
        kept.len() == KEPT && kept.values().all(|deliveries| *deliveries == 1),
        "{kept:?}"
    );
    Ok(kept)
}

/// They are delivered again, none is forgotten.
async fn redelivered(client: &Client, kept: &BTreeMap<u64, u64>) -> anyhow::Result<()> {
    let again = std::sync::Mutex::new(BTreeMap::new());
    eventually(CONVERGED, "unacknowledged messages come again", || async {
        let pulled = assets::pull_and_keep(client, "ledger", "work", KEPT).await?;
        let mut again = again.lock().unwrap();
        again.extend(pulled);
        ensure!(again.keys().eq(kept.keys()), "came again: {again:?}");
        Ok(())
    })
    .await
}
