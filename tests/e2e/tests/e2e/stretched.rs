//! One cluster over two regions: leaders come home by step-downs alone.

use std::collections::BTreeMap;

use async_nats::Client;
use futures::{StreamExt, TryStreamExt};
use leeward_e2e::{Stage, assets, condition};
use leeward_lab::audit::{Audit, AuditedRequest};
use leeward_lab::nats::{Layout, NatsVersion, System, SystemBuilder};
use serde_json::{Value, json};

const HOME: &str = "us-east";
const AWAY: &str = "eu-west";
/// Assets that are made at once.
const AT_ONCE: usize = 6;
/// Of 36 assets; each more is an election that another peer won, because servers were late.
const MOST_MISSED: usize = 2;

/// Placement tags that choose a stream's peers, and the servers that carry them.
const GROUPS: [(&str, u8, &[&str]); 6] = [
    ("two-01", 3, &["us-east-0", "us-east-1", "eu-west-0"]),
    ("two-12", 3, &["us-east-1", "us-east-2", "eu-west-1"]),
    ("two-02", 3, &["us-east-0", "us-east-2", "eu-west-2"]),
    ("one-0", 3, &["us-east-0", "eu-west-0", "eu-west-1"]),
    (
        "five-a",
        5,
        &["us-east-0", "us-east-1", "us-east-2", "eu-west-0", "eu-west-1"],
    ),
    (
        "five-b",
        5,
        &["us-east-0", "us-east-1", "us-east-2", "eu-west-1", "eu-west-2"],
    ),
];

fn tagged(mut builder: SystemBuilder, groups: &[(&str, u8, &[&str])]) -> SystemBuilder {
    for (tag, _, servers) in groups {
        for server in *servers {
            builder = builder.server_tag(server, tag);
        }
    }
    builder
}

/// A policy that never moves data.
fn step_downs_only(disruption: &Value) -> Value {
    json!({
        "topology": {"key": "ServerTag", "tagPrefix": "region:"},
        "actions": {"streamPlacement": {"enabled": false}},
        "disruption": disruption,
        "report": {"maxFindings": 200},
    })
}

/// A stream with two durable consumers on peers that its tag chooses, all led from away.
async fn create(client: &Client, name: &str, tag: &str, replicas: u8, aimed: bool) -> anyhow::Result<()> {
    let extra = if tag.is_empty() {
        json!({})
    } else {
        json!({"placement": {"tags": [tag]}})
    };
    assets::stream(client, name, replicas, extra).await?;
    assets::lead(client, name, None, AWAY, aimed).await?;
    for consumer in ["pull", "push"] {
        let extra = match consumer {
            "push" => json!({"deliver_subject": format!("deliver.{name}")}),
            _ => json!({}),
        };
        assets::consumer(client, name, consumer, extra).await?;
        assets::lead(client, name, Some(consumer), AWAY, aimed).await?;
    }
    Ok(())
}

async fn create_all(client: &Client, wanted: Vec<(String, &str, u8)>, aimed: bool) -> anyhow::Result<()> {
    let all = wanted
        .into_iter()
        .map(|(name, tag, replicas)| async move { create(client, &name, tag, replicas, aimed).await });
    futures::stream::iter(all)
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await
}

/// Step-downs that Leeward asked for, by asset (`STREAM` or `STREAM/CONSUMER`).
fn step_downs(writes: &[AuditedRequest]) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for write in writes {
        let stream = write.subject.strip_prefix("$JS.API.STREAM.LEADER.STEPDOWN.");
        let consumer = write.subject.strip_prefix("$JS.API.CONSUMER.LEADER.STEPDOWN.");
        let asset = stream
            .map(str::to_owned)
            .or(consumer.map(|asset| asset.replacen('.', "/", 1)));
        *counts
            .entry(asset.unwrap_or_else(|| panic!("Leeward sent {write:?}")))
            .or_default() += 1;
    }
    counts
}

#[tokio::test(flavor = "multi_thread")]
async fn leaders_come_home_by_one_aimed_step_down_each_and_are_spread() {
    let layout = Layout::stretched(&[(HOME, 3), (AWAY, 3)]);
    let mut stage = Stage::new(tagged(System::builder(layout), &GROUPS))
        .await
        .unwrap();
    let admin = assets::client(&stage.system, AWAY).await.unwrap();
    let wanted = (0..12).map(|number| {
        let (tag, replicas, _) = GROUPS[number % GROUPS.len()];
        (format!("s{number:02}"), tag, replicas)
    });
    create_all(&admin, wanted.collect(), true).await.unwrap();
    let lonely = json!({"placement": {"tags": ["region:eu-west"]}});
    assets::stream(&admin, "lonely", 1, lonely).await.unwrap();
    assets::consumer(&admin, "lonely", "worker", json!({}))
        .await
        .unwrap();
    let before = assets::leaders(&stage.system, AWAY).await.unwrap();
    assert_eq!(assets::elsewhere(&before, AWAY), BTreeMap::new());

    let _apps = assets::clients(&stage.system, HOME, 9).await.unwrap();
    let audit = Audit::start(&stage.system, &admin).await.unwrap();
    stage.apply_system(json!({})).await.unwrap();
    stage
        .apply_policy("orders", step_downs_only(&json!({})))
        .await
        .unwrap();
    stage.start_operator().await.unwrap();
    let unfixable = stage
        .await_reason("orders", "InPlace", "Unfixable")
        .await
        .unwrap();
    assert!(unfixable.contains("SinglePeer 2"), "{unfixable}");

    let after = assets::leaders(&stage.system, AWAY).await.unwrap();
    let away = assets::elsewhere(&after, HOME);
    assert_eq!(away.keys().collect::<Vec<_>>(), ["lonely", "lonely/worker"]);
    let mut led: BTreeMap<&str, usize> = BTreeMap::new();
    for leader in after.values().filter(|leader| assets::location(leader) == HOME) {
        *led.entry(leader).or_default() += 1;
    }
    assert_eq!(led.values().sum::<usize>(), 36);
    assert!(
        led.values().all(|count| *count <= 18),
        "each leads at most 1.5 of its share: {led:?}"
    );

    let status = stage.policy("orders").await.unwrap()["status"].clone();
    for (asset, consumer) in [("stream", Value::Null), ("consumer", json!("worker"))] {
        let findings = status["findings"].as_array().unwrap();
        let found = findings
            .iter()
            .find(|finding| finding["stream"] == "lonely" && finding["consumer"] == consumer);
        assert_eq!(found.unwrap()["reason"], "SinglePeer", "{asset}");
    }

    assets::looks(&stage, "orders", 2).await.unwrap();
    let asked = step_downs(&audit.leeward_writes());
    assert_eq!(asked.len(), 36, "{asked:?}");
    let trail = stage.operator.as_ref().unwrap().audit_trail().unwrap();
    let mut on_record: BTreeMap<&str, u64> = BTreeMap::new();
    for act in &trail {
        *on_record.entry(act["asset"].as_str().unwrap()).or_default() += 1;
        assert_eq!(act["requests"], 1, "{act}");
    }
    let sent: BTreeMap<&str, u64> = asked
        .iter()
        .map(|(asset, sent)| (asset.as_str(), *sent))
        .collect();
    assert_eq!(sent, on_record, "what was asked is on record: {trail:#?}");
    let missed: Vec<&Value> = trail.iter().filter(|act| act["result"] != "Succeeded").collect();
    assert_eq!(
        trail.len(),
        36 + missed.len(),
        "only what missed was asked again: {missed:#?}"
    );
    assert!(missed.len() <= MOST_MISSED, "{missed:#?}");
}

/// Home is one server here, and one of five peers: a step-down without aim mostly misses it.
#[tokio::test(flavor = "multi_thread")]
async fn before_2_11_blind_step_downs_end_at_the_limit_and_each_is_read_back() {
    const MOST: u64 = 2;
    let layout = Layout::stretched(&[(HOME, 1), (AWAY, 4)]);
    let builder = System::builder(layout).version(NatsVersion::V2_10);
    let mut stage = Stage::new(builder).await.unwrap();
    let admin = assets::client(&stage.system, AWAY).await.unwrap();
    let wanted = (0..8).map(|number| (format!("s{number}"), "", 5));
    create_all(&admin, wanted.collect(), false).await.unwrap();

    let _apps = assets::clients(&stage.system, HOME, 12).await.unwrap();
    let audit = Audit::start(&stage.system, &admin).await.unwrap();
    stage.apply_system(json!({})).await.unwrap();
    let disruption = json!({"maxAttempts": MOST, "cooldown": "1s"});
    stage
        .apply_policy("orders", step_downs_only(&disruption))
        .await
        .unwrap();
    stage.start_operator().await.unwrap();
    let said = stage
        .await_reason("orders", "InPlace", "Unfixable")
        .await
        .unwrap();
    assert!(said.contains("AttemptsExhausted"), "{said}");
    assets::looks(&stage, "orders", 2).await.unwrap();

    let policy = stage.policy("orders").await.unwrap();
    let away = assets::elsewhere(&assets::leaders(&stage.system, AWAY).await.unwrap(), HOME);
    assert!(
        !away.is_empty() && away.len() < 24,
        "some came home, some did not: {away:?}"
    );
    let findings = policy["status"]["findings"].as_array().unwrap();
    let mut given_up = BTreeMap::new();
    for finding in findings.iter().filter(|finding| finding["stream"].is_string()) {
        let stream = finding["stream"].as_str().unwrap();
        let asset = finding["consumer"]
            .as_str()
            .map_or(stream.to_owned(), |consumer| format!("{stream}/{consumer}"));
        assert_eq!(finding["reason"], "AttemptsExhausted", "{asset}");
        assert_eq!(finding["attempts"], MOST, "{asset}");
        given_up.insert(asset, finding["leader"].as_str().unwrap().to_owned());
    }
    assert_eq!(
        given_up, away,
        "exactly what is led elsewhere is reported as given up"
    );

    let asked = step_downs(&audit.leeward_writes());
    assert!(
        asked.values().all(|count| (1..=MOST).contains(count)),
        "{asked:?}"
    );
    assert!(away.keys().all(|asset| asked[asset] == MOST), "{asked:?}");
    let mut read_back: BTreeMap<String, u64> = BTreeMap::new();
    for line in stage.operator().unwrap().log().unwrap() {
        if line["message"] == "operation ended" {
            let asset = line["asset"]
                .as_str()
                .unwrap()
                .rsplit(' ')
                .next()
                .unwrap()
                .to_owned();
            *read_back.entry(asset).or_default() += line["requests"].as_u64().unwrap();
        }
    }
    assert_eq!(
        read_back, asked,
        "no step-down is sent before the one before it was read back"
    );
    let (degraded, _) = condition(&policy, "Degraded").unwrap();
    assert_eq!(degraded, "StepDownsMissed");
}
