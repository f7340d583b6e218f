//! Each stream belongs where its own clients are, whoever else is in the account.

use std::time::Duration;

use anyhow::ensure;
use leeward_e2e::{Stage, assets};
use leeward_lab::audit::Audit;
use leeward_lab::load::Load;
use leeward_lab::nats::{Layout, System, eventually};
use serde_json::{Value, json};

const HOME: &str = "us-east";
const AWAY: &str = "eu-west";
/// Old samples have to go before others decide, and homes by use settle after their window.
const FOLLOWED: Duration = Duration::from_mins(6);

async fn led_from(stage: &Stage, stream: &str, location: &str) -> anyhow::Result<()> {
    let leaders = assets::leaders(&stage.system, HOME).await?;
    for asset in [stream.to_owned(), format!("{stream}/work")] {
        let leader = &leaders[&asset];
        ensure!(assets::location(leader) == location, "{asset} is led by {leader}");
    }
    Ok(())
}

async fn all_in_place(stage: &Stage) -> Value {
    stage
        .await_policy_for(FOLLOWED, "orders", "all leaders are home", |policy| {
            let conditions = policy["status"]["conditions"].to_string();
            ensure!(conditions.contains("AllInPlace"), "{conditions}");
            let streams = &policy["status"]["streams"];
            ensure!(
                streams["total"] == 3 && streams["inPlace"] == 3,
                "streams: {streams}"
            );
            Ok(policy.clone())
        })
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_stream_is_led_next_to_its_own_clients_and_follows_them() {
    let layout = Layout::supercluster(&[(HOME, 3), (AWAY, 3)]);
    let mut stage = Stage::new(System::builder(layout)).await.unwrap();
    stage.system.wan().set_delay_everywhere(Duration::from_millis(20));
    // The account's majority, which uses nothing.
    let _most = assets::clients(&stage.system, HOME, 9).await.unwrap();
    let mut load = Load::new();
    let mut used = Vec::new();
    for (stream, placed, from) in [("us", HOME, HOME), ("eu", AWAY, AWAY), ("astray", HOME, AWAY)] {
        assets::placed_in(&stage.system, stream, placed).await.unwrap();
        used = assets::use_from(&stage.system, &mut load, stream, from)
            .await
            .unwrap()
            .to_vec();
    }
    let admin = assets::client(&stage.system, HOME).await.unwrap();
    let audit = Audit::start(&stage.system, &admin).await.unwrap();
    stage.apply_system(json!({})).await.unwrap();
    let home = json!({"scope": "Stream", "stabilizationWindow": "5s"});
    let spec = json!({"home": home, "disruption": {"cooldown": "0s"}});
    stage.apply_policy("orders", spec).await.unwrap();
    stage.start_operator().await.unwrap();

    eventually(FOLLOWED, "the stream that was led astray comes home", || async {
        led_from(&stage, "astray", AWAY).await
    })
    .await
    .unwrap();
    let policy = all_in_place(&stage).await;
    assert_eq!(
        policy["status"]["home"]["location"], HOME,
        "by the account's clients"
    );
    led_from(&stage, "us", HOME).await.unwrap();
    led_from(&stage, "eu", AWAY).await.unwrap();
    for write in audit.leeward_writes() {
        assert!(write.subject.contains("astray"), "{write:?}");
    }

    // Its clients go to the other region, and it follows.
    for worker in &used {
        worker.stop();
    }
    assets::use_from(&stage.system, &mut load, "astray", HOME)
        .await
        .unwrap();
    eventually(FOLLOWED, "the stream follows its clients", || async {
        led_from(&stage, "astray", HOME).await
    })
    .await
    .unwrap();
    all_in_place(&stage).await;
    led_from(&stage, "eu", AWAY).await.unwrap();
}
