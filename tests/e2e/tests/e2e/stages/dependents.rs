//! Streams that mirror or source a stream that moved stay where they are, and read on once their leader has changed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::ensure;
use async_nats::Client;
use leeward_e2e::{CONVERGED, Stage, assets};
use leeward_lab::audit::Audit;
use leeward_lab::load::Load;
use leeward_lab::nats::{Layout, System, eventually, jetstream};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::{assert_whole, work};
use crate::kills::asset;
use crate::wrong_side::{AWAY, HOME};

const DEPENDENTS: [&str; 2] = ["COPY", "SUMS"];

#[tokio::test(flavor = "multi_thread")]
async fn streams_that_read_a_moved_stream_get_a_new_leader_each_and_read_on() {
    let Moved { asked, recent, gaps } = moved(true).await;
    println!("longest without a message: {gaps:?}");
    let once = DEPENDENTS.map(|stream| (stream.to_owned(), 1));
    assert_eq!(asked, once.into_iter().collect());
    for stream in DEPENDENTS {
        let told = recent
            .iter()
            .filter(|action| action["stream"] == stream && action["type"] == "StreamStepDown")
            .filter(|action| action["result"] == "Succeeded");
        assert_eq!(told.count(), 1, "{recent:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_that_read_a_moved_stream_are_left_alone_where_the_policy_says_so() {
    let Moved { asked, recent, gaps } = moved(false).await;
    println!("longest without a message, left alone: {gaps:?}");
    assert_eq!(asked, BTreeMap::new());
    assert!(
        recent.iter().all(|action| action["type"] == "StreamPlacement"),
        "{recent:#?}"
    );
}

/// What became of a move.
struct Moved {
    /// The step-downs of these that Leeward asked for.
    asked: BTreeMap<String, usize>,
    /// What its status tells.
    recent: Vec<Value>,
    /// The longest time in which each dependent stream received nothing.
    gaps: Gaps,
}

/// Has Leeward move a stream that two others read.
async fn moved(refresh: bool) -> Moved {
    let layout = Layout::supercluster(&[(HOME, 3), (AWAY, 3)]);
    let builder = System::builder(layout).delay(Duration::from_millis(5));
    let mut stage = Stage::new(builder).await.unwrap();
    let _apps = assets::clients(&stage.system, HOME, 7).await.unwrap();
    let client = assets::client(&stage.system, AWAY).await.unwrap();
    let audit = Audit::start(&stage.system, &client).await.unwrap();
    let away = |extra: Value| {
        let mut config = json!({"placement": {"cluster": AWAY}});
        config
            .as_object_mut()
            .unwrap()
            .extend(extra.as_object().cloned().unwrap());
        config
    };
    assets::stream(&client, "ORDERS", 3, away(json!({})))
        .await
        .unwrap();
    assets::consumer(&client, "ORDERS", "work", json!({}))
        .await
        .unwrap();
    let mirror = away(json!({"subjects": null, "mirror": {"name": "ORDERS"}}));
    assets::stream(&client, "COPY", 3, mirror).await.unwrap();
    let source = away(json!({"subjects": [], "sources": [{"name": "ORDERS"}]}));
    assets::stream(&client, "SUMS", 3, source).await.unwrap();
    let mut load = Load::new();
    work(&mut load, &stage.system, "ORDERS").await;
    for stream in DEPENDENTS {
        caught_up(&client, stream).await;
    }
    let reading = Reading::watch(&client);
    stage.apply_system(json!({})).await.unwrap();
    let spec = json!({
        "streams": {"include": ["ORDERS"]},
        "actions": {"streamPlacement": {"refreshDependents": refresh}},
    });
    stage.apply_policy("orders", spec).await.unwrap();
    stage.start_operator().await.unwrap();
    stage
        .await_reason("orders", "InPlace", "AllInPlace")
        .await
        .unwrap();
    let status = stage
        .await_policy("orders", "the move is over", |policy| {
            let status = &policy["status"];
            ensure!(status["operations"].is_null(), "{}", status["operations"]);
            let recent = status["recentActions"].as_array().into_iter().flatten();
            ensure!(
                recent.clone().any(|action| action["type"] == "StreamPlacement"),
                "{status:#}"
            );
            Ok(status.clone())
        })
        .await
        .unwrap();
    for stream in DEPENDENTS {
        caught_up(&client, stream).await;
    }
    let gaps = reading.end();
    for stream in DEPENDENTS {
        let leader = jetstream::leader_of(&client, stream).await.unwrap();
        assert!(leader.is_some_and(|leader| leader.starts_with(AWAY)), "{stream}");
    }
    assert_whole(load, &client, std::iter::once("ORDERS")).await;
    for stream in DEPENDENTS {
        holds_all(&client, stream).await;
    }
    let mut asked = BTreeMap::new();
    for request in audit.leeward_writes() {
        let asset = asset(&request.subject);
        if DEPENDENTS.contains(&asset.as_str()) {
            *asked.entry(asset).or_default() += 1;
        }
    }
    let recent = status["recentActions"].as_array().cloned().unwrap_or_default();
    Moved { asked, recent, gaps }
}

async fn messages(client: &Client, stream: &str) -> anyhow::Result<u64> {
    let info = jetstream::stream_info(client, stream).await?;
    Ok(info["state"]["messages"].as_u64().unwrap_or(0))
}

/// Waits until a stream holds all that `ORDERS` held when this began.
async fn caught_up(client: &Client, stream: &str) {
    let wanted = eventually(CONVERGED, "the stream answers", || messages(client, "ORDERS"))
        .await
        .unwrap();
    eventually(CONVERGED, &format!("{stream} reads on"), || async {
        let here = messages(client, stream).await?;
        ensure!(here >= wanted.max(1), "{here} of {wanted} messages");
        Ok(())
    })
    .await
    .unwrap();
}

/// Nothing is missing, and nothing is there twice.
async fn holds_all(client: &Client, stream: &str) {
    eventually(CONVERGED, &format!("{stream} holds all"), || async {
        let (here, there) = (messages(client, stream).await?, messages(client, "ORDERS").await?);
        ensure!(here == there, "{here} of {there} messages");
        Ok(())
    })
    .await
    .unwrap();
}

type Gaps = BTreeMap<&'static str, Duration>;

/// How long each dependent stream received nothing.
struct Reading {
    gaps: Arc<Mutex<Gaps>>,
    tasks: Vec<JoinHandle<()>>,
}

impl Reading {
    fn watch(client: &Client) -> Self {
        let gaps: Arc<Mutex<Gaps>> = Arc::default();
        let tasks = DEPENDENTS
            .into_iter()
            .map(|stream| tokio::spawn(watch(client.clone(), stream, Arc::clone(&gaps))))
            .collect();
        Self { gaps, tasks }
    }

    fn end(self) -> Gaps {
        for task in &self.tasks {
            task.abort();
        }
        self.gaps.lock().unwrap().clone()
    }
}

async fn watch(client: Client, stream: &'static str, gaps: Arc<Mutex<Gaps>>) {
    let (mut most, mut grown) = (0, Instant::now());
    loop {
        if let Ok(now) = messages(&client, stream).await
            && now > most
        {
            let mut gaps = gaps.lock().unwrap();
            let longest = gaps.entry(stream).or_default();
            *longest = (*longest).max(grown.elapsed());
            (most, grown) = (now, Instant::now());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
