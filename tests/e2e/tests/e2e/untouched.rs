//! What is seen and not touched: by a person's choice, by the owner's, and while somebody else acts.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context, ensure};
use async_nats::Client;
use leeward_e2e::{Stage, assets};
use leeward_lab::audit::Audit;
use leeward_lab::nats::{Layout, System, jetstream};
use serde_json::{Value, json};

const HOME: &str = "us-east";
const AWAY: &str = "eu-west";
const FAR: &str = "ap-south";
/// One way between the two, while a move between them is to last: each of its steps takes two of these.
const SLOW: Duration = Duration::from_millis(4500);

async fn create(admin: &Client) -> anyhow::Result<()> {
    let away = |extra: Value| {
        leeward_lab::leeward::manifests::merged(json!({"placement": {"cluster": AWAY}}), extra)
    };
    let ignored = json!({"leeward.dev/ignore": "true"});
    for (stream, extra) in [
        ("orders", json!({})),
        ("returns", json!({})),
        ("pinned", json!({"metadata": ignored})),
        ("moving", json!({})),
    ] {
        assets::stream(admin, stream, 1, away(extra)).await?;
        assets::consumer(admin, stream, "worker", json!({})).await?;
    }
    for number in 0..200 {
        jetstream::publish(admin, &format!("moving.{number}"), vec![b'x'; 2048]).await?;
    }
    assets::consumer(admin, "orders", "theirs", json!({"metadata": ignored})).await?;
    assets::consumer(
        admin,
        "orders",
        "passing",
        json!({"inactive_threshold": 600_000_000_000u64}),
    )
    .await
}

/// Three clusters, so that a stream can move slowly between two of them while Leeward sees both well from the third.
#[tokio::test(flavor = "multi_thread")]
async fn observed_suspended_opted_out_and_moving_assets_are_reported_and_not_touched() {
    let layout = Layout::supercluster(&[(HOME, 3), (AWAY, 1), (FAR, 1)]);
    let mut stage = Stage::new(System::builder(layout)).await.unwrap();
    let admin = assets::client(&stage.system, HOME).await.unwrap();
    create(&admin).await.unwrap();
    let _apps = assets::clients(&stage.system, HOME, 9).await.unwrap();
    let audit = Audit::start(&stage.system, &admin).await.unwrap();
    let untouched =
        |audit: &Audit| assert!(audit.leeward_writes().is_empty(), "{:?}", audit.leeward_writes());

    let servers: Vec<String> = stage
        .system
        .urls(HOME)
        .unwrap()
        .split(',')
        .map(str::to_owned)
        .collect();
    // The move that somebody else begins counts against the limit.
    let system = |suspend: bool| json!({"servers": servers, "suspend": suspend, "limits": {"moves": 2}});
    stage.apply_system(system(false)).await.unwrap();
    let policy =
        |mode: &str, suspend: bool| json!({"mode": mode, "suspend": suspend, "report": {"maxFindings": 200}});

    stage
        .apply_policy("orders", policy("Observe", false))
        .await
        .unwrap();
    stage.start_operator().await.unwrap();
    let expected = expected_while_nothing_is_done();
    let observed = findings(&stage, &expected).await;
    stage
        .await_reason("orders", "Progressing", "Observing")
        .await
        .unwrap();
    let counts = |status: &Value, kind: &str| {
        let count = |state: &str| status[kind][state].as_i64().unwrap_or(0);
        (count("total"), count("misplaced"), count("ignored"))
    };
    assert_eq!(counts(&observed, "streams"), (4, 3, 1));
    assert_eq!(
        counts(&observed, "consumers"),
        (6, 3, 3),
        "two opted-out ones and an ephemeral one are ignored"
    );
    assets::looks(&stage, "orders", 1).await.unwrap();
    untouched(&audit);

    stage
        .apply_policy("orders", policy("Enforce", true))
        .await
        .unwrap();
    stage
        .await_reason("orders", "Progressing", "Suspended")
        .await
        .unwrap();
    let suspended = findings(&stage, &expected).await;
    assert_eq!(suspended["findings"], observed["findings"], "reported as before");
    assets::looks(&stage, "orders", 1).await.unwrap();
    untouched(&audit);

    stage.apply_system(system(true)).await.unwrap();
    assets::looks(&stage, "orders", 1).await.unwrap();
    stage
        .apply_policy("orders", policy("Enforce", false))
        .await
        .unwrap();
    stage
        .await_policy("orders", "only the system is suspended", |policy| {
            let seen = &policy["status"]["observedGeneration"];
            ensure!(*seen == policy["metadata"]["generation"], "generation {seen}");
            let (reason, message) = leeward_e2e::condition(policy, "Progressing").context("Progressing")?;
            ensure!(
                reason == "Suspended" && message.contains("NatsSystem"),
                "{reason}: {message}"
            );
            Ok(())
        })
        .await
        .unwrap();
    let suspended = findings(&stage, &expected).await;
    assert_eq!(suspended["findings"], observed["findings"], "reported as before");
    assets::looks(&stage, "orders", 1).await.unwrap();
    untouched(&audit);

    let config = start_a_slow_move(&stage, &admin).await;
    let mut while_moving = expected.clone();
    while_moving.insert("moving".to_owned(), "MoveInProgress".to_owned());
    while_moving.insert("moving/worker".to_owned(), "StreamMoving".to_owned());
    findings(&stage, &while_moving).await;
    stage.apply_system(system(false)).await.unwrap();
    while_moving.retain(|asset, _| asset.starts_with("moving"));
    findings(&stage, &while_moving).await;
    assets::looks(&stage, "orders", 1).await.unwrap();
    let info = jetstream::stream_info(&admin, "moving").await.unwrap();
    assert_eq!(info["config"], config, "the move that runs is left alone");
    let written: BTreeSet<String> = audit
        .leeward_writes()
        .into_iter()
        .map(|write| write.subject)
        .collect();
    let moves = ["$JS.API.STREAM.UPDATE.orders", "$JS.API.STREAM.UPDATE.returns"].map(str::to_owned);
    assert_eq!(
        written,
        BTreeSet::from(moves),
        "what could move was moved, nothing else"
    );

    stage.system.wan().set_delay(AWAY, FAR, Duration::ZERO).unwrap();
    stage
        .await_reason("orders", "InPlace", "AllInPlace")
        .await
        .unwrap();
    let leaders = assets::leaders(&stage.system, HOME).await.unwrap();
    let away = assets::elsewhere(&leaders, HOME);
    let away: BTreeMap<&str, &str> = away
        .iter()
        .map(|(asset, leader)| (asset.as_str(), assets::location(leader)))
        .collect();
    assert_eq!(away, BTreeMap::from([("pinned", AWAY), ("pinned/worker", AWAY)]));
}

/// What every finding about an asset says: the reason against it, or the cure.
fn expected_while_nothing_is_done() -> BTreeMap<String, String> {
    let streams =
        ["orders", "returns", "moving"].map(|stream| (stream.to_owned(), "StreamPlacement".to_owned()));
    let consumers = ["orders/worker", "returns/worker", "moving/worker"]
        .map(|consumer| (consumer.to_owned(), "FollowsStream".to_owned()));
    streams.into_iter().chain(consumers).collect()
}

/// Waits until findings about assets are exactly these, and gives the status.
async fn findings(stage: &Stage, expected: &BTreeMap<String, String>) -> Value {
    stage
        .await_policy("orders", "findings are as expected", |policy| {
            let listed = policy["status"]["findings"].as_array().context("no findings")?;
            let of_assets = listed.iter().filter_map(|finding| {
                let stream = finding["stream"].as_str()?;
                let consumer = finding["consumer"].as_str();
                let asset =
                    consumer.map_or_else(|| stream.to_owned(), |consumer| format!("{stream}/{consumer}"));
                let says = finding["reason"].as_str().or(finding["remedy"].as_str())?;
                Some((asset, says.to_owned()))
            });
            let found: BTreeMap<String, String> = of_assets.collect();
            ensure!(found == *expected, "{found:?}");
            Ok(policy["status"].clone())
        })
        .await
        .unwrap()
}

/// Somebody else sends `moving` to a cluster that is far from its present one; gives its configuration since.
async fn start_a_slow_move(stage: &Stage, admin: &Client) -> Value {
    jetstream::lead_meta_group(&stage.system, HOME).await.unwrap();
    stage.system.wan().set_delay(AWAY, FAR, SLOW).unwrap();
    let mut config = jetstream::stream_info(admin, "moving").await.unwrap()["config"].clone();
    config["placement"] = json!({"cluster": FAR});
    jetstream::update_stream(admin, "moving", config).await.unwrap();
    jetstream::stream_info(admin, "moving").await.unwrap()["config"].clone()
}
