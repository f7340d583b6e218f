//! What clients notice while a stream moves to another cluster: by a bare placement edit, and by Leeward.
//!
//! A stream of 100,000 messages of 1 KiB with three replicas moves from one cluster to the other under 500 messages per
//! second, and a stream that does not move sources it. Each move has its own servers, so that none inherits state from
//! another.

mod scene;

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde_json::json;

use super::{NAMESPACE, apply_system, until_misplaced};
use crate::folder::Folder;
use crate::leeward::{kube_for, manifests, operator_in};
use crate::nats::NatsVersion;
use crate::print_line;
use scene::{ClientImpact, MoveScene};

/// The worst delivery delay through a sourced stream that Leeward aims at, on the newest servers.
const AIM: Duration = Duration::from_millis(2500);

struct Moved {
    took: Duration,
    felt: ClientImpact,
}

pub(super) async fn run() -> anyhow::Result<()> {
    print_line(format!(
        "\nmove of {} x {} bytes, R3, {} messages/s, {} ms one way\n\
         {:24} {:>8} {:>14} {:>15} {:>8} {:>10} {:>10} {:>13} {:>5}",
        scene::STORED,
        scene::BYTES,
        scene::RATE,
        scene::ONE_WAY.as_millis(),
        "",
        "seconds",
        "publish stall",
        "delivery delay",
        "refused",
        "unanswered",
        "published",
        "acknowledged",
        "lost",
    ));
    let mut lost = 0;
    for version in [NatsVersion::Newest, NatsVersion::V2_14] {
        let (name, bare) = Box::pin(bare(version)).await?;
        print_line(line(&name, "bare edit", &bare));
        let leeward = Box::pin(by_leeward(version)).await?;
        print_line(line(&name, "leeward", &leeward));
        print_line(ratio(&bare, &leeward));
        if version == NatsVersion::Newest {
            print_line(verdict(&leeward));
        }
        lost += bare.felt.lost + leeward.felt.lost;
    }
    ensure!(lost == 0, "{lost} acknowledged messages were lost");
    Ok(())
}

/// A manual edit of the placement, and nothing else.
async fn bare(version: NatsVersion) -> anyhow::Result<(String, Moved)> {
    let folder = Folder::temporary()?;
    let mut scene = MoveScene::start(version, folder.path()).await?;
    let name = scene.version();
    scene.begin();
    let began = Instant::now();
    scene.edit_placement().await?;
    let moved = finish(&mut scene, began).await?;
    Ok((name, moved))
}

/// Counts from the moment when a policy may act.
async fn by_leeward(version: NatsVersion) -> anyhow::Result<Moved> {
    let folder = Folder::temporary()?;
    let kube = kube_for(NAMESPACE, folder.path()).await?;
    let mut scene = MoveScene::start(version, folder.path()).await?;
    let mut operator = operator_in(NAMESPACE, &kube, folder.path()).await?;
    apply_system(&kube, scene.system(), json!({})).await?;
    kube.apply(&policy("Observe")).await?;
    until_misplaced(&operator, "kind=\"stream\"", 1).await?;
    scene.begin();
    let began = Instant::now();
    kube.apply(&policy("Enforce")).await?;
    let moved = finish(&mut scene, began)
        .await
        .with_context(|| operator.log_tail(15))?;
    operator.stop().await?;
    Ok(moved)
}

async fn finish(scene: &mut MoveScene, began: Instant) -> anyhow::Result<Moved> {
    scene.until_moved().await?;
    let took = began.elapsed();
    let felt = scene.felt().await?;
    Ok(Moved { took, felt })
}

/// Up to 2.14 a move blocks writes for longer than a policy allows by default.
fn policy(mode: &str) -> String {
    let spec = json!({
        "mode": mode,
        "actions": {"streamPlacement": {"maxStall": "5m"}},
    });
    manifests::placement_policy(NAMESPACE, "bench", spec).to_string()
}

fn line(version: &str, way: &str, moved: &Moved) -> String {
    let Moved { took, felt } = moved;
    format!(
        "{:24} {:8.1} {:12.2} s {:13.2} s {:8} {:10} {:10} {:13} {:5}",
        format!("{version} {way}"),
        took.as_secs_f64(),
        felt.publish_stall.as_secs_f64(),
        felt.delivery_delay.as_secs_f64(),
        felt.refused,
        felt.unanswered,
        felt.published,
        felt.acknowledged,
        felt.lost
    )
}

fn ratio(bare: &Moved, leeward: &Moved) -> String {
    let of = |bare: Duration, leeward: Duration| leeward.as_secs_f64() / bare.as_secs_f64();
    format!(
        "{:24} {:6.2} x {:12.2} x {:13.2} x",
        "leeward / bare edit",
        of(bare.took, leeward.took),
        of(bare.felt.publish_stall, leeward.felt.publish_stall),
        of(bare.felt.delivery_delay, leeward.felt.delivery_delay),
    )
}

fn verdict(leeward: &Moved) -> String {
    let delay = leeward.felt.delivery_delay;
    let word = if delay <= AIM { "met" } else { "missed" };
    format!(
        "aim: leeward's worst delivery delay through the sourced stream at most {:.1} s: {word}",
        AIM.as_secs_f64()
    )
}
