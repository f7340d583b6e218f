//! A move whose leaders are asked to hand over, while the link to its target breaks or the server that took over dies: the
//! servers and Leeward bring it to its end between them, and nothing is lost (P10).

use std::time::Duration;

use anyhow::Context as _;
use leeward_lab::nats::jetstream;

use super::moves::{At, MovesScene};
use crate::wrong_side::{AWAY, HOME};

/// Long enough for elections on both sides.
const APART: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread")]
async fn p10_a_cut_gateway_and_a_dead_successor_keep_no_led_move_from_its_end() {
    let mut scene = MovesScene::start().await;
    scene.move_until(At::Copying, "L0").await;
    let wan = scene.stage.system.wan();
    wan.cut(HOME, AWAY).unwrap();
    tokio::time::sleep(APART).await;
    wan.heal(HOME, AWAY).unwrap();
    scene.home().await;

    scene.move_until(At::Led, "L1").await;
    let leader = jetstream::leader_of(&scene.client, "L1").await.unwrap();
    let leader = leader.context("it was led a moment ago").unwrap();
    scene.stage.system.kill(&leader).await.unwrap();
    tokio::time::sleep(APART).await;
    scene.stage.system.restart(&leader).await.unwrap();
    scene.home().await;

    let writes = scene.audit.leeward_writes();
    let asked = |subject: &str| writes.iter().any(|request| request.subject == subject);
    assert!(
        asked("$JS.API.STREAM.LEADER.STEPDOWN.L1"),
        "it was led there because it was asked"
    );
    scene.end().await;
}
