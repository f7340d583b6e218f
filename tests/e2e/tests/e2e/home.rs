//! Home follows the clients, late and only when they mean it.

use std::time::Duration;

use anyhow::{Context, ensure};
use async_nats::Client;
use jiff::Timestamp;
use leeward_e2e::{CONVERGED, Stage, assets, condition};
use leeward_lab::audit::Audit;
use leeward_lab::nats::{Layout, System, eventually};
use serde_json::{Value, json};

const EAST: &str = "us-east";
const WEST: &str = "eu-west";
const WINDOW: Duration = Duration::from_secs(10);

/// Streams that have peers in both regions, since no region has three servers.
const STREAMS: [&str; 3] = ["orders", "payments", "returns"];

#[tokio::test(flavor = "multi_thread")]
async fn without_a_majority_nothing_moves_and_with_one_home_changes_only_after_the_window() {
    let layout = Layout::stretched(&[(EAST, 2), (WEST, 2)]);
    let mut stage = Stage::new(System::builder(layout)).await.unwrap();
    let admin = assets::client(&stage.system, WEST).await.unwrap();
    for stream in STREAMS {
        assets::stream(&admin, stream, 3, json!({})).await.unwrap();
        assets::lead(&admin, stream, None, WEST, true).await.unwrap();
        assets::consumer(&admin, stream, "worker", json!({}))
            .await
            .unwrap();
        assets::lead(&admin, stream, Some("worker"), WEST, true)
            .await
            .unwrap();
    }
    let audit = Audit::start(&stage.system, &admin).await.unwrap();
    let mut apps = Apps::default();
    apps.east(&stage, 3).await;
    stage.apply_system(json!({})).await.unwrap();
    let spec = |cooldown: &str| {
        json!({
            "topology": {"key": "ServerTag", "tagPrefix": "region:"},
            "home": {"stabilizationWindow": "10s"},
            "clients": {"names": ["app-*"]},
            "disruption": {"cooldown": cooldown},
        })
    };
    stage.apply_policy("orders", spec("30m")).await.unwrap();
    stage.start_operator().await.unwrap();

    no_majority(&stage, &audit, "3 connections, 5 are needed").await;
    apps.east(&stage, 4).await;
    apps.west(&stage, 4).await;
    no_majority(&stage, &audit, "a tie between region:eu-west and region:us-east").await;
    apps.east(&stage, 5).await;
    no_majority(
        &stage,
        &audit,
        "region:us-east has the largest share with 55 %, 60 % are needed",
    )
    .await;

    // The first home: weighed for the window too.
    let earliest = Timestamp::now() + WINDOW;
    apps.east(&stage, 9).await;
    let weighed = stage
        .await_policy("orders", "us-east is weighed", |policy| {
            let home = &policy["status"]["home"];
            ensure!(
                home["stable"] == false && home["location"] == "region:us-east",
                "home: {home}"
            );
            let (reason, message) = condition(policy, "InPlace").context("InPlace")?;
            ensure!(
                reason == "Held" && message.contains("region:us-east becomes home at"),
                "{reason}: {message}"
            );
            Ok(policy["status"].clone())
        })
        .await
        .unwrap();
    let findings = weighed["findings"].as_array().unwrap();
    let assets: Vec<&Value> = findings
        .iter()
        .filter(|finding| finding["stream"].is_string())
        .collect();
    assert_eq!(assets.len(), 6);
    assert!(
        assets.iter().all(|finding| finding["reason"] == "Stabilizing"),
        "{findings:#?}"
    );
    assert!(audit.leeward_writes().is_empty(), "{:?}", audit.leeward_writes());
    settles(&mut stage, "region:us-east", 1, earliest).await;
    led_from(&stage, EAST).await;

    // The majority moves back: the old home is kept until the window is over, and what strays meanwhile is left alone.
    let done = audit.leeward_writes().len();
    assets::lead(&admin, "orders", None, WEST, true).await.unwrap();
    let cooling = stage.await_reason("orders", "InPlace", "Held").await.unwrap();
    assert!(cooling.contains("CoolingDown 1"), "{cooling}");
    let earliest = Timestamp::now() + WINDOW;
    apps.west(&stage, 12).await;
    apps.east(&stage, 1).await;
    let finding = stage
        .await_policy("orders", "eu-west is weighed", |policy| {
            let home = &policy["status"]["home"];
            ensure!(
                home["stable"] == false && home["location"] == "region:us-east",
                "home: {home}"
            );
            let (reason, message) = condition(policy, "InPlace").context("InPlace")?;
            ensure!(
                reason == "Held" && message.contains("region:eu-west becomes home at"),
                "{reason}: {message}"
            );
            let findings = policy["status"]["findings"].as_array().context("findings")?;
            let of_orders = findings
                .iter()
                .find(|finding| finding["stream"] == "orders" && finding["consumer"].is_null());
            Ok(of_orders.context("no finding of orders")?.clone())
        })
        .await
        .unwrap();
    assert_eq!(finding["reason"], "Stabilizing", "{finding:#}");
    assert_eq!(audit.leeward_writes().len(), done);
    settles(&mut stage, "region:eu-west", 2, earliest).await;
    // What was moved lately rests, although home is another now.
    stage.apply_policy("orders", spec("1s")).await.unwrap();
    led_from(&stage, WEST).await;
}

/// Clients that count, by region.
#[derive(Default)]
struct Apps {
    east: Vec<Client>,
    west: Vec<Client>,
}

impl Apps {
    async fn east(&mut self, stage: &Stage, count: usize) {
        resize(&mut self.east, stage, EAST, count).await;
    }

    async fn west(&mut self, stage: &Stage, count: usize) {
        resize(&mut self.west, stage, WEST, count).await;
    }
}

async fn resize(clients: &mut Vec<Client>, stage: &Stage, location: &str, count: usize) {
    clients.truncate(count);
    let missing = count - clients.len();
    clients.extend(assets::clients(&stage.system, location, missing).await.unwrap());
}

/// No home, for this reason; a look later still nothing was written.
async fn no_majority(stage: &Stage, audit: &Audit, why: &str) {
    stage
        .await_policy("orders", why, |policy| {
            let conditions = policy["status"]["conditions"]
                .as_array()
                .context("no conditions")?;
            let found = conditions.iter().find(|condition| condition["type"] == "InPlace");
            let found = found.context("no InPlace")?;
            ensure!(
                found["reason"] == "NoMajority" && found["status"] == "Unknown",
                "{found}"
            );
            ensure!(
                found["message"]
                    .as_str()
                    .is_some_and(|message| message.contains(why)),
                "{found}"
            );
            Ok(())
        })
        .await
        .unwrap();
    assets::looks(stage, "orders", 1).await.unwrap();
    assert!(audit.leeward_writes().is_empty(), "{:?}", audit.leeward_writes());
}

/// Home becomes a location, not before a moment, and it is the operator's change number `changes`.
async fn settles(stage: &mut Stage, location: &str, changes: usize, earliest: Timestamp) {
    let settled = |policy: &Value| {
        let home = &policy["status"]["home"];
        ensure!(
            home["stable"] == true && home["location"] == location,
            "home: {home}"
        );
        Ok(())
    };
    stage
        .await_policy("orders", &format!("home is {location}"), settled)
        .await
        .unwrap();
    let log = stage.operator().unwrap().log().unwrap();
    let changed: Vec<&Value> = log
        .iter()
        .filter(|line| line["message"] == "home changed")
        .collect();
    assert_eq!(changed.len(), changes, "{changed:?}");
    let last = changed.last().unwrap();
    assert_eq!(last["to"], location);
    let at: Timestamp = last["timestamp"].as_str().unwrap().parse().unwrap();
    assert!(
        at >= earliest,
        "home changed at {at}, the window was over at {earliest}"
    );
}

async fn led_from(stage: &Stage, location: &str) {
    stage
        .await_reason("orders", "InPlace", "AllInPlace")
        .await
        .unwrap();
    eventually(CONVERGED, &format!("all are led from {location}"), || async {
        let leaders = assets::leaders(&stage.system, WEST).await?;
        let elsewhere = assets::elsewhere(&leaders, location);
        ensure!(elsewhere.is_empty() && leaders.len() == 6, "{elsewhere:?}");
        Ok(())
    })
    .await
    .unwrap();
}
