//! A move whose leaders are asked to hand over, while the link to its target breaks or the server that took over dies: the
//! servers and Leeward bring it to its end between them, and nothing is lost (P10).

use std::time::Duration;

use anyhow::Context as _;
use futures::FutureExt as _;

use super::moves::{At, Signs, assert_only_placed_elsewhere, create};
use super::*;
use crate::wrong_side::assert_led_from;

/// Long enough for elections on both sides.
const APART: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread")]
async fn p10_a_cut_gateway_and_a_dead_successor_keep_no_led_move_from_its_end() {
    let layout = leeward_lab::nats::Layout::supercluster(&[(HOME, 3), (AWAY, 3)]);
    let builder = System::builder(layout).delay(Duration::from_millis(10));
    let mut stage = Stage::new(builder).await.unwrap();
    let _apps = assets::clients(&stage.system, HOME, 7).await.unwrap();
    let client = assets::client(&stage.system, AWAY).await.unwrap();
    let audit = Audit::start(&stage.system, &client).await.unwrap();
    let system = stage.system.system_client().await.unwrap();
    let mut edits = system.subscribe("$JS.API.STREAM.UPDATE.*").await.unwrap();
    system.flush().await.unwrap();
    let mut load = Load::new();
    stage.apply_system(json!({})).await.unwrap();
    let policy = json!({"disruption": {"maxConcurrent": 1, "cooldown": "1m"}});
    stage.apply_policy("orders", policy).await.unwrap();

    let mut configs = Vec::new();
    for (number, at) in [At::Copying, At::Led].into_iter().enumerate() {
        let stream = format!("L{number}");
        create(&client, &stream).await;
        keep_some(&client, &stream).await;
        work(&mut load, &stage.system, &stream).await;
        configs.push((stream.clone(), config(&client, &stream).await));
        let signs = Signs::watch(&stage, &client, &system, &stream).await;
        stage.start_operator().await.unwrap();
        signs.reach(at, &client, &stream).await;
        if at == At::Copying {
            stage.system.wan().cut(HOME, AWAY).unwrap();
            tokio::time::sleep(APART).await;
            stage.system.wan().heal(HOME, AWAY).unwrap();
        } else {
            let leader = jetstream::leader_of(&client, &stream).await.unwrap();
            let leader = leader.context("it was led a moment ago").unwrap();
            stage.system.kill(&leader).await.unwrap();
            tokio::time::sleep(APART).await;
            stage.system.restart(&leader).await.unwrap();
        }
        all_in_place(&stage, number + 1).await;
        assert_led_from(&stage, HOME).await;
        assert_eq!(stage.operator().unwrap().stop().await.unwrap(), Some(0));
        println!("{at:?}: {stream} is home");
    }

    system.flush().await.unwrap();
    let mut edited = Vec::new();
    while let Some(Some(edit)) = edits.next().now_or_never() {
        edited.push(edit.subject.to_string());
    }
    assert_eq!(edited, ["$JS.API.STREAM.UPDATE.L0", "$JS.API.STREAM.UPDATE.L1"]);
    let asked = |stream: &str| {
        let subject = format!("$JS.API.STREAM.LEADER.STEPDOWN.{stream}");
        let writes = audit.leeward_writes();
        writes.iter().filter(|request| request.subject == subject).count()
    };
    assert!(asked("L1") >= 1, "it was led there because it was asked");
    for (stream, before) in &configs {
        assert_only_placed_elsewhere(stream, before, &config(&client, stream).await);
    }
    assert_whole(load, &client, configs.iter().map(|(stream, _)| stream.as_str())).await;
}
