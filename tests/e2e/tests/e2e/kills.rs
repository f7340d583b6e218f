//! The operator killed in the middle of its work, or told to end: nothing is repeated, lost or left half done (P10).

use std::collections::{BTreeMap, BTreeSet};

use anyhow::ensure;
use futures::{FutureExt, StreamExt};
use leeward_e2e::{CONVERGED, Stage, assets};
use leeward_lab::audit::Audit;
use leeward_lab::load::{Load, Publisher, PullWorker};
use leeward_lab::nats::{Layout, System, eventually, jetstream};
use serde_json::json;

use crate::handover::replicas;
use crate::wrong_side::{AWAY, HOME, assert_led_from, by_region, lead_from, misplaced, three_servers};

const STREAMS: [&str; 2] = ["ORDERS", "PAYMENTS"];
const CONSUMERS: [&str; 12] = [
    "c00", "c01", "c02", "c03", "c04", "c05", "c06", "c07", "c08", "c09", "c10", "c11",
];

#[tokio::test]
async fn killed_or_ended_between_step_downs_it_repeats_nothing_and_loses_nothing() {
    let mut stage = Stage::new(three_servers()).await.unwrap();
    let _apps = assets::clients(&stage.system, HOME, 7).await.unwrap();
    let client = assets::client(&stage.system, AWAY).await.unwrap();
    let audit = Audit::start(&stage.system, &client).await.unwrap();
    for stream in STREAMS {
        misplaced(&client, stream, &CONSUMERS).await;
    }
    let load = load_on(&stage.system, "ORDERS", CONSUMERS[0]).await;
    stage.apply_system(json!({})).await.unwrap();
    let one_by_one = by_region(json!({"disruption": {"maxConcurrent": 1}}));
    stage.apply_policy("orders", one_by_one).await.unwrap();

    stage.start_operator().await.unwrap();
    await_writes(&audit, 3).await;
    stage.operator().unwrap().kill().await.unwrap();
    let at_kill = assets::leaders(&stage.system, AWAY).await.unwrap();
    let asked = requests(&audit);
    let home: BTreeSet<&String> = at_kill
        .iter()
        .filter(|(_, leader)| leader.starts_with(HOME))
        .map(|(asset, _)| asset)
        .collect();
    assert!(
        !home.is_empty() && home.len() < at_kill.len(),
        "killed in the middle: {at_kill:?}"
    );

    stage.operator().unwrap().restart().await.unwrap();
    stage
        .await_reason("orders", "InPlace", "AllInPlace")
        .await
        .unwrap();
    let leaders = assert_led_from(&stage, HOME).await;
    assert_eq!(leaders.len(), STREAMS.len() * (1 + CONSUMERS.len()));
    let after = requests(&audit);
    for asset in leaders.keys() {
        let (before, after) = (asked.get(asset), after.get(asset));
        if home.contains(asset) {
            assert_eq!(before, after, "{asset} was home when the operator was killed");
        }
        assert!(
            after.is_some_and(|count| *count <= 2),
            "{asset}: {after:?} requests"
        );
    }

    assert_eq!(
        stage.operator().unwrap().stop().await.unwrap(),
        Some(0),
        "ends by itself"
    );
    for stream in STREAMS {
        lead_from(&client, AWAY, stream, &CONSUMERS).await;
    }
    let earlier = audit.leeward_writes().len();
    stage.start_operator().await.unwrap();
    await_writes(&audit, earlier + 3).await;
    assert_eq!(
        stage.operator().unwrap().stop().await.unwrap(),
        Some(0),
        "ends in the middle"
    );
    let at_end = assets::leaders(&stage.system, AWAY).await.unwrap();
    let asked: Vec<String> = audit
        .leeward_writes()
        .iter()
        .skip(earlier)
        .map(|request| asset(&request.subject))
        .collect();
    assert!(asked.len() < at_end.len(), "ended in the middle: {asked:?}");
    for asset in &asked {
        assert!(
            at_end[asset].starts_with(HOME),
            "{asset} was left half done: {at_end:?}"
        );
    }

    // Whether its last words were written in the time that it takes for them, or what is over seems to be under way.
    stage.start_operator().await.unwrap();
    stage
        .await_reason("orders", "InPlace", "AllInPlace")
        .await
        .unwrap();
    assert_led_from(&stage, HOME).await;
    for request in audit.leeward_writes().iter().skip(earlier + asked.len()) {
        let asset = asset(&request.subject);
        assert!(!asked.contains(&asset), "{asset} was asked for once more");
    }
    assert_nothing_lost(load, &stage.system, "ORDERS").await;
}

/// That the operator itself does so after a restart is proved with the other stages of a move.
#[tokio::test]
async fn p10_after_a_kill_during_a_move_the_other_replica_watches_the_same_move_to_its_end() {
    let builder = System::builder(Layout::supercluster(&[(HOME, 3), (AWAY, 3)]));
    let mut stage = Stage::new(builder).await.unwrap();
    let _apps = assets::clients(&stage.system, HOME, 7).await.unwrap();
    let client = assets::client(&stage.system, AWAY).await.unwrap();
    let audit = Audit::start(&stage.system, &client).await.unwrap();
    // The audit tells of one edit again and again while the servers carry it out; the system account sees requests.
    let system = stage.system.system_client().await.unwrap();
    let mut edits = system.subscribe("$JS.API.STREAM.UPDATE.*").await.unwrap();
    system.flush().await.unwrap();
    let away = json!({"placement": {"cluster": AWAY}});
    assets::stream(&client, "ORDERS", 3, away).await.unwrap();
    assets::consumer(&client, "ORDERS", "workers", json!({}))
        .await
        .unwrap();
    let half_a_mebibyte = vec![b'x'; 512 * 1024];
    for _ in 0..100 {
        jetstream::publish(&client, "ORDERS.old", half_a_mebibyte.clone())
            .await
            .unwrap();
    }
    assets::settled(&client, "ORDERS", 3).await.unwrap();
    let load = load_on(&stage.system, "ORDERS", "workers").await;
    stage.apply_system(json!({})).await.unwrap();
    let (mut first, second) = replicas(&mut stage, &[]).await;
    stage
        .apply_policy("orders", json!({"disruption": {"cooldown": "0s"}}))
        .await
        .unwrap();

    await_writes(&audit, 1).await;
    first.kill().await.unwrap();
    let info = jetstream::stream_info(&client, "ORDERS").await;
    let arrived = info.as_ref().is_ok_and(|info| {
        let peers = jetstream::peers_in(info);
        peers.len() == 3 && peers.iter().all(|peer| peer.starts_with(HOME))
    });
    assert!(!arrived, "the move was over before the kill: {info:?}");

    stage.operator = Some(second);
    stage
        .await_reason("orders", "InPlace", "AllInPlace")
        .await
        .unwrap();
    assert_led_from(&stage, HOME).await;
    let others = audit
        .leeward_writes()
        .into_iter()
        .filter(|request| !request.subject.contains(".UPDATE."));
    assert_eq!(others.count(), 0, "{:?}", audit.leeward_writes());
    system.flush().await.unwrap();
    let mut seen = Vec::new();
    while let Some(Some(edit)) = edits.next().now_or_never() {
        seen.push(edit.subject.to_string());
    }
    assert_eq!(seen, ["$JS.API.STREAM.UPDATE.ORDERS"]);
    assert_nothing_lost(load, &stage.system, "ORDERS").await;
}

/// A publisher and a worker at home.
pub async fn load_on(system: &System, stream: &str, consumer: &str) -> Load {
    let mut load = Load::new();
    let publisher = assets::client(system, HOME).await.unwrap();
    load.publish(Publisher::new(publisher, HOME, stream, &format!("{stream}.new")));
    let worker = assets::client(system, HOME).await.unwrap();
    load.pull(PullWorker::new(worker, HOME, stream, consumer));
    load
}

pub async fn assert_nothing_lost(mut load: Load, system: &System, stream: &str) {
    let totals = load.stop().await;
    assert!(totals.summary.acknowledged() > 0);
    let client = assets::client(system, HOME).await.unwrap();
    let check = load.verify_stream(&client, stream).await.unwrap();
    assert!(check.lost == 0 && check.doubled == 0, "{check}");
}

pub async fn await_writes(audit: &Audit, count: usize) {
    eventually(CONVERGED, "the operator acts", || async {
        let writes = audit.leeward_writes().len();
        ensure!(writes >= count, "{writes} requests");
        Ok(())
    })
    .await
    .unwrap();
}

/// How often Leeward asked for each asset.
pub fn requests(audit: &Audit) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for request in audit.leeward_writes() {
        *counts.entry(asset(&request.subject)).or_default() += 1;
    }
    counts
}

/// `STREAM` or `STREAM/CONSUMER` of a step-down's subject.
pub fn asset(subject: &str) -> String {
    let (_, name) = subject.split_once(".LEADER.STEPDOWN.").unwrap_or(("", subject));
    name.replace('.', "/")
}
