//! Guards the promise of `load` where it matters: leaders step down, a leader's server dies, and the stream moves.

use std::time::Duration;

use anyhow::ensure;
use async_nats::Client;
use leeward_lab::load::{Acknowledge, Load, Publisher, PullWorker};
use leeward_lab::nats::{Layout, System, eventually, jetstream};
use serde_json::json;

const LIMIT: Duration = Duration::from_mins(3);
const STREAM: &str = "ORDERS";
const CONSUMER: &str = "workers";

async fn client_in(system: &System, location: &str) -> Client {
    system
        .connect(location, system.credentials("APP", "app").unwrap())
        .await
        .unwrap()
}

/// The work goes on: more is acknowledged and delivered than now.
async fn await_progress(load: &Load) {
    let before = load.summary();
    eventually(LIMIT, "the load goes on", async || {
        let now = load.summary();
        ensure!(now.acknowledged() > before.acknowledged() + 100, "{now}");
        ensure!(now.delivered() > before.delivered() + 100, "{now}");
        Ok(())
    })
    .await
    .unwrap();
}

/// The leader, which is none of these.
async fn new_leader(client: &Client, former: &str) -> String {
    eventually(LIMIT, "another leader", async || {
        let leader = jetstream::leader_of(client, STREAM).await?;
        leader
            .filter(|leader| leader != former)
            .ok_or_else(|| anyhow::anyhow!("{former} still leads"))
    })
    .await
    .unwrap()
}

async fn start_load(system: &System) -> Load {
    let mut load = Load::new();
    for location in ["us-east", "eu-west"] {
        let publisher = Publisher::new(client_in(system, location).await, location, STREAM, "orders");
        load.publish(Publisher {
            rate_per_second: 100.0,
            ..publisher
        });
        let worker = PullWorker::new(client_in(system, location).await, location, STREAM, CONSUMER);
        load.pull(PullWorker {
            acknowledge: Acknowledge::Confirmed,
            ..worker
        });
    }
    load
}

#[tokio::test]
async fn nothing_acknowledged_is_lost_over_step_downs_the_death_of_a_leader_and_a_move_to_another_cluster() {
    let layout = Layout::supercluster(&[("us-east", 3), ("eu-west", 3)]);
    let system = System::builder(layout)
        .delay(Duration::from_millis(20))
        .start()
        .await
        .unwrap();
    let client = client_in(&system, "us-east").await;
    let placed = |cluster: &str| json!({ "subjects": ["orders"], "num_replicas": 3, "placement": { "cluster": cluster } });
    jetstream::create_stream(&client, STREAM, placed("us-east"))
        .await
        .unwrap();
    let consumer =
        json!({ "durable_name": CONSUMER, "ack_policy": "explicit", "ack_wait": 3_000_000_000_u64 });
    jetstream::create_consumer(&client, STREAM, CONSUMER, consumer)
        .await
        .unwrap();

    let mut load = start_load(&system).await;
    await_progress(&load).await;
    let quiet = load.snapshot_and_reset();
    let mut leader = new_leader(&client, "").await;
    for _ in 0..3 {
        jetstream::step_down(&client, STREAM, None).await.unwrap();
        leader = new_leader(&client, &leader).await;
        await_progress(&load).await;
    }
    let stepped_down = load.snapshot_and_reset();

    system.kill(&leader).await.unwrap();
    new_leader(&client, &leader).await;
    await_progress(&load).await;
    system.restart(&leader).await.unwrap();
    system.ready(LIMIT).await.unwrap();
    await_progress(&load).await;
    let killed = load.snapshot_and_reset();

    jetstream::update_stream(&client, STREAM, placed("eu-west"))
        .await
        .unwrap();
    eventually(LIMIT, "the stream leads from eu-west", async || {
        let info = jetstream::stream_info(&client, STREAM).await?;
        let peers = jetstream::peers_in(&info);
        ensure!(
            peers.len() == 3 && peers.iter().all(|peer| peer.starts_with("eu-west")),
            "{peers:?}"
        );
        Ok(())
    })
    .await
    .unwrap();
    await_progress(&load).await;

    let totals = load.stop().await;
    for (name, phases) in [
        ("quiet", quiet),
        ("step-downs", stepped_down),
        ("death of a leader", killed),
        ("move", totals.phases),
    ] {
        for (location, phase) in phases.0 {
            println!("{name}, clients in {location}: {phase}");
        }
    }
    let summary = totals.summary;
    assert_eq!(summary.outstanding(), 0, "{summary:?}");
    assert_eq!(summary.acknowledged(), summary.published(), "{summary:?}");
    let check = load.verify_stream(&client, STREAM).await.unwrap();
    println!("{check}");
    assert!(check.is_exact(), "{check}");
}
