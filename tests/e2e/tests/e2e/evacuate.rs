//! Consumers with one replica of a stretched stream: nobody can take their leadership over, so the servers put the
//! replica elsewhere, on a peer of the stream that they choose, until that is one in home.

use std::collections::BTreeMap;

use anyhow::{Context, ensure};
use async_nats::Client;
use leeward_e2e::{CONVERGED, Stage, assets, condition};
use leeward_lab::audit::Audit;
use leeward_lab::load::{Load, Publisher, PullWorker};
use leeward_lab::nats::{Layout, NatsVersion, System, eventually, jetstream};
use serde_json::{Value, json};

const HOME: &str = "us-east";
const AWAY: &str = "eu-west";
/// One of its three peers is in home, so that about every second request ends away again.
const STREAM: &str = "orders";
const CONSUMERS: [&str; 4] = ["c0", "c1", "c2", "kept"];
const KEPT: usize = 7;

fn policy(evacuation: bool) -> Value {
    json!({
        "topology": {"key": "ServerTag", "tagPrefix": "region:"},
        "actions": {"consumerEvacuation": {"enabled": evacuation}, "streamPlacement": {"enabled": false}},
        "disruption": {"maxAttempts": 30, "cooldown": "1s"},
    })
}

async fn stage(version: NatsVersion) -> (Stage, Client) {
    let layout = Layout::stretched(&[(HOME, 2), (AWAY, 2)]);
    let mut builder = System::builder(layout).version(version);
    for server in ["us-east-0", "eu-west-0", "eu-west-1"] {
        builder = builder.server_tag(server, "peers");
    }
    let stage = Stage::new(builder).await.unwrap();
    let admin = assets::client(&stage.system, AWAY).await.unwrap();
    assets::stream(&admin, STREAM, 3, json!({"placement": {"tags": ["peers"]}}))
        .await
        .unwrap();
    assets::lead(&admin, STREAM, None, HOME, version != NatsVersion::V2_10)
        .await
        .unwrap();
    (stage, admin)
}

#[tokio::test(flavor = "multi_thread")]
async fn consumers_with_one_replica_are_evacuated_until_home_leads_them_and_lose_nothing() {
    let (mut stage, admin) = stage(NatsVersion::Newest).await;
    for consumer in CONSUMERS {
        assets::consumer(&admin, STREAM, consumer, json!({"num_replicas": 1}))
            .await
            .unwrap();
        assets::evacuate(&admin, STREAM, consumer, AWAY).await.unwrap();
    }
    let _apps = assets::clients(&stage.system, HOME, 9).await.unwrap();
    for number in 0..KEPT {
        jetstream::publish(&admin, &format!("{STREAM}.{number}"), "kept")
            .await
            .unwrap();
    }
    let kept = assets::pull_and_keep(&admin, STREAM, "kept", KEPT).await.unwrap();
    let mut load = Load::new();
    let client = assets::client(&stage.system, HOME).await.unwrap();
    let mut publisher = Publisher::new(client.clone(), HOME, STREAM, &format!("{STREAM}.new"));
    publisher.rate_per_second = 20.0;
    load.publish(publisher);
    load.pull(PullWorker::new(client, HOME, STREAM, "c0"));

    let audit = Audit::start(&stage.system, &admin).await.unwrap();
    stage.apply_system(json!({})).await.unwrap();
    stage.apply_policy("orders", policy(false)).await.unwrap();
    // An operation that a lost lease cuts off is never said to have ended; a busy API server costs no lease of a minute.
    stage
        .start_operator_with(&["--lease-duration", "1m"])
        .await
        .unwrap();
    let unfixable = stage
        .await_reason("orders", "InPlace", "Unfixable")
        .await
        .unwrap();
    assert!(unfixable.contains("SinglePeer 4"), "not allowed: {unfixable}");
    assert_eq!(audit.leeward_writes().len(), 0);

    stage.apply_policy("orders", policy(true)).await.unwrap();
    stage
        .await_reason("orders", "InPlace", "AllInPlace")
        .await
        .unwrap();
    let leaders = assets::leaders(&stage.system, HOME).await.unwrap();
    assert_eq!(assets::elsewhere(&leaders, HOME), BTreeMap::new());
    // An operation ends when it is seen that the consumer goes on.
    let trail = eventually(CONVERGED, "every operation ended", || async {
        let operator = stage.operator.as_ref().context("an operator")?;
        let trail = operator.audit_trail()?;
        let done = trail.iter().filter(|act| act["result"] == "Succeeded").count();
        ensure!(done == CONSUMERS.len(), "{trail:#?}");
        Ok(trail)
    })
    .await
    .unwrap();
    assert!(
        trail.iter().all(|act| act["action"] == "ConsumerEvacuation"),
        "{trail:#?}"
    );
    let recent = stage.policy("orders").await.unwrap()["status"]["recentActions"].clone();
    assert_eq!(recent[0]["type"], "ConsumerEvacuation", "{recent}");

    let info = jetstream::request(
        &admin,
        &format!("$JS.API.CONSUMER.INFO.{STREAM}.kept"),
        &json!({}),
    )
    .await
    .unwrap();
    assert_eq!(
        info["num_ack_pending"],
        json!(kept.len()),
        "what was taken is remembered: {info}"
    );
    assert_eq!(info["config"]["num_replicas"], 1);
    let summary = load.stop().await.summary;
    assert!(summary.delivered() > 0, "{summary:?}");
    let check = load.verify_stream(&admin, STREAM).await.unwrap();
    assert_eq!((check.lost, check.doubled), (0, 0), "{check}");
}

#[tokio::test(flavor = "multi_thread")]
async fn before_2_15_a_consumer_with_one_replica_stays_where_it_is_and_the_reason_is_told() {
    let (mut stage, admin) = stage(NatsVersion::V2_14).await;
    let mut away = false;
    for number in 0..12 {
        let name = format!("c{number}");
        assets::consumer(&admin, STREAM, &name, json!({"num_replicas": 1}))
            .await
            .unwrap();
        let leader = jetstream::leader_of_consumer(&admin, STREAM, &name)
            .await
            .unwrap();
        away = away || leader.is_some_and(|leader| assets::location(&leader) == AWAY);
    }
    assert!(away, "of twelve consumers none came to lie away");
    let _apps = assets::clients(&stage.system, HOME, 9).await.unwrap();
    let audit = Audit::start(&stage.system, &admin).await.unwrap();
    stage.apply_system(json!({})).await.unwrap();
    stage.apply_policy("orders", policy(true)).await.unwrap();
    stage.start_operator().await.unwrap();
    let unfixable = stage
        .await_reason("orders", "InPlace", "Unfixable")
        .await
        .unwrap();
    assert!(unfixable.contains("SinglePeer"), "{unfixable}");
    assets::looks(&stage, "orders", 2).await.unwrap();
    let (degraded, _) = condition(&stage.policy("orders").await.unwrap(), "Degraded").unwrap();
    assert_eq!(degraded, "Healthy");
    assert_eq!(audit.leeward_writes().len(), 0);
}
