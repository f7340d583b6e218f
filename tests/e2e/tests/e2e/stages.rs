//! The operator killed at each stage of a hand-over, on real servers: whoever starts next asks for nothing twice that is
//! done, forgets no cooldown, and brings the rest home (P10). Moves, what is remembered, and what an action proves have
//! files of their own.

mod dependents;
mod led;
mod moves;
mod overdue;
mod remembered;
mod stalled;

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::ensure;
use async_nats::{Client, Subscriber};
use futures::StreamExt;
use jiff::{SignedDuration, Timestamp};
use leeward_e2e::shared_kube::SharedKube;
use leeward_e2e::{CONVERGED, Stage, assets, condition};
use leeward_lab::audit::Audit;
use leeward_lab::load::{Load, Publisher, PullWorker};
use leeward_lab::nats::{System, jetstream};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::kills::{asset, requests};
use crate::wrong_side::{AWAY, HOME, assert_led_from, by_region, lead_from, misplaced, three_servers};

/// `work` is in use; the clients of `kept` hold messages and ask for no more, so that five seconds pass until it is plain
/// that nothing is to be expected of it.
const CONSUMERS: [&str; 2] = ["kept", "work"];
const COOLDOWN: SignedDuration = SignedDuration::from_mins(1);

/// The moment of the kill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// The status shows the operation.
    Recorded,
    /// The request is on its way.
    Requested,
    /// A server at home leads.
    Led,
    /// A consumer is led from home, and is watched for whether it goes on.
    Verifying,
}

#[tokio::test(flavor = "multi_thread")]
async fn p10_killed_at_any_stage_of_a_step_down_it_repeats_nothing_and_keeps_the_cooldown() {
    let mut stage = Stage::new(three_servers()).await.unwrap();
    let _apps = assets::clients(&stage.system, HOME, 7).await.unwrap();
    let client = assets::client(&stage.system, AWAY).await.unwrap();
    let audit = Audit::start(&stage.system, &client).await.unwrap();
    let mut load = Load::new();
    stage.apply_system(json!({})).await.unwrap();
    let one_by_one = json!({"disruption": {"maxConcurrent": 1, "cooldown": "1m"}});
    stage.apply_policy("orders", by_region(one_by_one)).await.unwrap();

    let mut configs = Vec::new();
    for (number, at) in [At::Recorded, At::Requested, At::Led, At::Verifying]
        .into_iter()
        .enumerate()
    {
        let stream = format!("S{number}");
        misplaced(&client, &stream, &CONSUMERS).await;
        keep_some(&client, &stream).await;
        work(&mut load, &stage.system, &stream).await;
        configs.push((stream.clone(), config(&client, &stream).await));
        let hand_overs = HandOvers::watch(&client).await;
        let recorded = recorded(&stage, &stream);

        stage.start_operator().await.unwrap();
        reach(at, &stream, hand_overs, recorded).await;
        stage.operator().unwrap().kill().await.unwrap();
        let home_at_kill = home(&stage.system).await;
        let asked_at_kill = requests(&audit);
        let status = stage.policy("orders").await.unwrap()["status"].clone();
        if at == At::Verifying {
            assert_under_way(&status, &stream, Some("kept"));
            assert!(
                home_at_kill.contains_key(&format!("{stream}/kept")),
                "{home_at_kill:?}"
            );
        }
        let taken_back = at == At::Led;
        if taken_back {
            lead_from(&client, AWAY, &stream, &[]).await;
        }

        stage.restart_operator().await.unwrap();
        if taken_back {
            rests(&stage, &stream).await;
        }
        all_in_place(&stage, number + 1).await;
        assert_led_from(&stage, HOME).await;
        let asked = requests(&audit);
        println!("{at:?}: asked before the kill {asked_at_kill:?}, in all {asked:?}");
        for (asset, count) in &asked {
            assert!(*count <= 2, "{at:?}: {asset} was asked {count} times");
            let stayed = home_at_kill.contains_key(asset) && !(taken_back && *asset == stream);
            if stayed {
                assert_eq!(
                    asked_at_kill.get(asset),
                    Some(count),
                    "{at:?}: {asset} was home at the kill"
                );
            }
        }
        assert_eq!(
            asked.keys().filter(|asset| asset.starts_with(&stream)).count(),
            1 + CONSUMERS.len(),
            "{at:?}: {asked:?}"
        );
        if taken_back {
            assert_eq!(asked[&stream], 2);
        }
        assert_eq!(stage.operator().unwrap().stop().await.unwrap(), Some(0));
    }
    assert_rested(&audit);
    for (stream, before) in &configs {
        assert_eq!(&config(&client, stream).await, before, "{stream}");
    }
    assert_whole(load, &client, configs.iter().map(|(stream, _)| stream.as_str())).await;
}

/// Takes messages and acknowledges none.
async fn keep_some(client: &Client, stream: &str) {
    for number in 0..5 {
        jetstream::publish(client, &format!("{stream}.old.{number}"), "kept")
            .await
            .unwrap();
    }
    let kept = assets::pull_and_keep(client, stream, "kept", 5).await.unwrap();
    assert_eq!(kept.len(), 5, "{kept:?}");
}

/// A publisher and a worker at home.
async fn work(load: &mut Load, system: &System, stream: &str) {
    let client = assets::client(system, HOME).await.unwrap();
    let mut publisher = Publisher::new(client.clone(), HOME, stream, &format!("{stream}.new"));
    publisher.rate_per_second = 20.0;
    load.publish(publisher);
    load.pull(PullWorker::new(client, HOME, stream, "work"));
}

async fn assert_whole(mut load: Load, client: &Client, streams: impl Iterator<Item = &str>) {
    let totals = load.stop().await;
    for stream in streams {
        let check = load.verify_stream(client, stream).await.unwrap();
        assert!(check.acknowledged > 0, "{stream}: {check}");
        assert_eq!((check.lost, check.doubled), (0, 0), "{stream}: {check}");
    }
    assert_eq!(totals.summary.outstanding(), 0, "{}", totals.summary);
}

async fn config(client: &Client, stream: &str) -> Value {
    jetstream::stream_info(client, stream).await.unwrap()["config"].clone()
}

/// What is led from home.
async fn home(system: &System) -> BTreeMap<String, String> {
    let led = assets::leaders(system, AWAY).await.unwrap();
    let home = led.into_iter().filter(|(_, leader)| leader.starts_with(HOME));
    home.collect()
}

/// Tells once the status shows an operation on a stream; kubectl watches for it, so that it is told within milliseconds.
fn recorded(stage: &Stage, stream: &str) -> JoinHandle<anyhow::Result<()>> {
    let (kube, namespace): (Arc<SharedKube>, String) = (Arc::clone(&stage.kube), stage.namespace.clone());
    let wanted = format!("--for=jsonpath={{.status.operations[*].stream}}={stream}");
    tokio::spawn(async move {
        let args = [
            "--namespace",
            &namespace,
            "wait",
            "placementpolicy/orders",
            &wanted,
            "--timeout=170s",
        ];
        kube.kube().kubectl(&args).await?;
        Ok(())
    })
}

/// Step-downs as they are asked for, and the elections after them.
struct HandOvers {
    requested: Subscriber,
    elected: Subscriber,
}

impl HandOvers {
    async fn watch(client: &Client) -> Self {
        let requested = client.subscribe("$JS.API.*.LEADER.STEPDOWN.>").await.unwrap();
        let elected = client
            .subscribe("$JS.EVENT.ADVISORY.*.LEADER_ELECTED.>")
            .await
            .unwrap();
        client.flush().await.unwrap();
        Self { requested, elected }
    }

    /// Until one of this asset is asked for.
    async fn asked(&mut self, asset: &str) {
        until(&mut self.requested, &format!(".STEPDOWN.{asset}")).await;
    }

    /// Until a leader of this asset was elected after that.
    async fn led(&mut self, asset: &str) {
        self.asked(asset).await;
        until(&mut self.elected, &format!(".LEADER_ELECTED.{asset}")).await;
    }
}

async fn until(told: &mut Subscriber, ending: &str) {
    let waiting = async { while !told.next().await.unwrap().subject.ends_with(ending) {} };
    tokio::time::timeout(CONVERGED, waiting)
        .await
        .unwrap_or_else(|_| panic!("nothing was told of {ending}"));
}

async fn reach(at: At, stream: &str, mut told: HandOvers, recorded: JoinHandle<anyhow::Result<()>>) {
    match at {
        At::Recorded => return recorded.await.unwrap().unwrap(),
        At::Requested => told.asked(stream).await,
        At::Led => told.led(stream).await,
        At::Verifying => told.led(&format!("{stream}.kept")).await,
    }
    recorded.abort();
}

/// The status tells of an operation that has not ended.
fn assert_under_way(status: &Value, stream: &str, consumer: Option<&str>) {
    let about = |entry: &Value| entry["stream"] == stream && entry["consumer"].as_str() == consumer;
    let listed = |list: &Value| list.as_array().into_iter().flatten().any(about);
    assert!(listed(&status["operations"]), "{status:#}");
    assert!(!listed(&status["recentActions"]), "{status:#}");
}

/// A stream that was taken away again is seen, and left alone for now.
async fn rests(stage: &Stage, stream: &str) {
    stage
        .await_policy("orders", "the cooldown is remembered", |policy| {
            let findings = policy["status"]["findings"].as_array().into_iter().flatten();
            let of_it = findings
                .filter(|finding| finding["stream"] == stream && finding["consumer"].is_null())
                .map(|finding| finding["reason"].as_str().unwrap_or_default());
            let reasons: Vec<&str> = of_it.collect();
            ensure!(reasons == ["CoolingDown"], "{reasons:?}");
            Ok(())
        })
        .await
        .unwrap();
}

/// Waits until so many streams and all consumers are in place, and nothing is under way.
async fn all_in_place(stage: &Stage, streams: usize) {
    stage
        .await_policy("orders", "everything is in place", |policy| {
            let (reason, message) = condition(policy, "InPlace").unwrap_or_default();
            let status = &policy["status"];
            ensure!(
                reason == "AllInPlace" && status["streams"]["inPlace"] == streams,
                "{reason}: {message}"
            );
            ensure!(status["operations"].is_null(), "{}", status["operations"]);
            Ok(())
        })
        .await
        .unwrap();
}

/// Nothing was asked for again before its cooldown was over.
fn assert_rested(audit: &Audit) {
    let mut last: BTreeMap<String, Timestamp> = BTreeMap::new();
    for request in audit.leeward_writes() {
        let at: Timestamp = request.at.parse().unwrap();
        let asset = asset(&request.subject);
        if let Some(before) = last.insert(asset.clone(), at) {
            let rest = at.duration_since(before);
            assert!(rest >= COOLDOWN, "{asset} was asked again after {rest:?}");
        }
    }
}
