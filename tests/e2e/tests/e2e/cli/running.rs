//! `leeward run`: the loop with no Kubernetes in sight, its status file, and its end.

use std::collections::BTreeMap;

use anyhow::ensure;
use futures::{FutureExt, StreamExt};
use leeward_e2e::cli::{CommandLine, Started};
use leeward_e2e::{CONVERGED, assets};
use leeward_lab::audit::Audit;
use leeward_lab::nats::{Layout, System, eventually};
use rustix::process::Signal;
use serde_json::{Value, json};

use super::{AWAY, HOME, PATIENT, edits, policy};
use crate::kills::{await_writes, requests};
use crate::wrong_side::{by_region, misplaced, three_servers};

const CONSUMERS: [&str; 6] = ["c0", "c1", "c2", "c3", "c4", "c5"];
const STATUS: &str = "status.yaml";

/// The command with a policy file and a status file beside it, and all its arguments.
async fn loop_on(system: &System, spec: &Value) -> (CommandLine, [&'static str; 7]) {
    let leeward = CommandLine::new(system, HOME).await.unwrap().arguments(&PATIENT);
    leeward
        .file("policy.yaml", &policy("orders", spec.clone()))
        .unwrap();
    let args = [
        "run",
        "--filename",
        "policy.yaml",
        "--status-file",
        STATUS,
        "--interval",
        "3s",
    ];
    (leeward, args)
}

fn status(leeward: &CommandLine) -> String {
    std::fs::read_to_string(leeward.folder().join(STATUS)).unwrap_or_default()
}

/// Waits until the status file says that all is in place, and these streams are led from home.
async fn converged(system: &System, leeward: &CommandLine, running: &Started, streams: &[&str]) {
    let looked = eventually(CONVERGED, "everything is in place", || async {
        ensure!(
            status(leeward).contains("AllInPlace"),
            "status: {}",
            status(leeward)
        );
        let mut led = assets::leaders(system, HOME).await?;
        led.retain(|asset, _| streams.contains(&asset.split('/').next().unwrap_or_default()));
        let away = assets::elsewhere(&led, HOME);
        ensure!(!led.is_empty() && away.is_empty(), "{away:?}");
        Ok(())
    })
    .await;
    looked.unwrap_or_else(|error| panic!("{error:#}\nit said: {}", running.said()));
}

async fn killed(running: Started) {
    running.signal(Signal::KILL).unwrap();
    let ended = running.wait().await.unwrap();
    assert_eq!(ended.code, None, "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn run_survives_kill_9_keeps_its_status_file_to_itself_and_reads_its_files_again() {
    let system = three_servers().start().await.unwrap();
    let _apps = assets::clients(&system, HOME, 7).await.unwrap();
    let client = assets::client(&system, AWAY).await.unwrap();
    let audit = Audit::start(&system, &client).await.unwrap();
    misplaced(&client, "ORDERS", &CONSUMERS).await;
    misplaced(&client, "PAYMENTS", &["work"]).await;
    let spec = |streams: &[&str]| {
        by_region(json!({
            "streams": {"include": streams},
            "disruption": {"maxConcurrent": 1, "cooldown": "1m"},
        }))
    };
    let (leeward, args) = loop_on(&system, &spec(&["ORDERS"])).await;

    let first = leeward.start(&args).unwrap();
    await_writes(&audit, 3).await;
    killed(first).await;
    let at_kill = assets::leaders(&system, AWAY).await.unwrap();
    let asked = requests(&audit);
    let home: BTreeMap<_, _> = at_kill
        .iter()
        .filter(|(_, leader)| leader.starts_with(HOME))
        .collect();
    assert!(
        !home.is_empty() && home.len() < 1 + CONSUMERS.len(),
        "{at_kill:?}"
    );

    let mut second = leeward.start(&args).unwrap();
    converged(&system, &leeward, &second, &["ORDERS"]).await;
    let after = requests(&audit);
    for (asset, count) in &after {
        if home.contains_key(asset) {
            assert_eq!(
                asked.get(asset),
                Some(count),
                "{asset} was home when it was killed"
            );
        }
        assert!(*count <= 2, "{asset}: {count} requests");
    }
    let third = leeward.run(&args).await.unwrap().with_code(1).unwrap();
    assert!(third.err.contains(STATUS), "{}", third.err);

    // A file that cannot be read changes nothing, one that can does.
    leeward.file("policy.yaml", "spec: [\n").unwrap();
    second.signal(Signal::HUP).unwrap();
    second.says("policy.yaml:").await.unwrap();
    assert!(second.running().unwrap(), "{}", second.said());
    leeward
        .file("policy.yaml", &policy("orders", spec(&["ORDERS", "PAYMENTS"])))
        .unwrap();
    second.signal(Signal::HUP).unwrap();
    converged(&system, &leeward, &second, &["ORDERS", "PAYMENTS"]).await;
    second.signal(Signal::TERM).unwrap();
    second.wait().await.unwrap().with_code(0).unwrap();
    leeward.start(&args).map(killed).unwrap().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn run_moves_each_stream_of_a_supercluster_once_although_it_is_killed_in_a_move() {
    let layout = Layout::supercluster(&[(HOME, 2), (AWAY, 1)]);
    let system = System::builder(layout).start().await.unwrap();
    let _apps = assets::clients(&system, HOME, 7).await.unwrap();
    let client = assets::client(&system, AWAY).await.unwrap();
    let streams = ["one", "two", "three"];
    for stream in streams {
        let extra = json!({"placement": {"cluster": AWAY}});
        assets::stream(&client, stream, 1, extra).await.unwrap();
        assets::consumer(&client, stream, "work", json!({}))
            .await
            .unwrap();
    }
    let mut edits = edits(&system).await;
    let (leeward, args) = loop_on(&system, &json!({"disruption": {"maxConcurrent": 1}})).await;

    let first = leeward.start(&args).unwrap();
    let edit = tokio::time::timeout(CONVERGED, edits.next()).await;
    let edit = edit.unwrap_or_else(|_| panic!("no edit; it said: {}", first.said()));
    killed(first).await;
    let mut edited = vec![edit.unwrap().subject.to_string()];

    let mut second = leeward.start(&args).unwrap();
    converged(&system, &leeward, &second, &streams).await;
    assert!(second.running().unwrap());
    second.signal(Signal::INT).unwrap();
    second.wait().await.unwrap().with_code(0).unwrap();
    while let Some(Some(edit)) = edits.next().now_or_never() {
        edited.push(edit.subject.to_string());
    }
    edited.sort();
    let wanted: Vec<String> = ["one", "three", "two"]
        .iter()
        .map(|stream| format!("$JS.API.STREAM.UPDATE.{stream}"))
        .collect();
    assert_eq!(edited, wanted, "each is edited once");
}
