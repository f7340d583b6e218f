//! What clients notice while a stream moves to another cluster: by a bare placement edit, and by Leeward.
//!
//! A stream of 100,000 messages of 1 KiB with three replicas moves from one cluster to the other under 500 messages per
//! second, and a stream that does not move sources it. Each move has its own servers, so that none inherits state from
//! another.

mod scene;

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde_json::json;

use super::runs::Runs;
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

/// The moves of one kind.
#[derive(Default)]
struct MovedRuns {
    took: Runs,
    publish_stall: Runs,
    delivery_delay: Runs,
    refused: u64,
    unanswered: u64,
    published: u64,
    acknowledged: u64,
    lost: u64,
}

impl MovedRuns {
    fn add(&mut self, Moved { took, felt }: &Moved) {
        self.took.add(*took);
        self.publish_stall.add(felt.publish_stall);
        self.delivery_delay.add(felt.delivery_delay);
        self.refused += felt.refused;
        self.unanswered += felt.unanswered;
        self.published += felt.published;
        self.acknowledged += felt.acknowledged;
        self.lost += felt.lost;
    }
}

pub(super) async fn run(runs: usize) -> anyhow::Result<()> {
    print_line(format!(
        "\nmove of {} x {} bytes, R3, {} messages/s, {} ms one way; seconds, median (shortest-longest), and sums\n\
         {:24} {:>18} {:>18} {:>20} {:>8} {:>10} {:>10} {:>13} {:>5}",
        scene::STORED,
        scene::BYTES,
        scene::RATE,
        scene::ONE_WAY.as_millis(),
        "",
        "took",
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
        let (mut bare, mut leeward, mut name) = (MovedRuns::default(), MovedRuns::default(), String::new());
        for _ in 0..runs {
            let (version_name, moved) = Box::pin(by_bare_edit(version)).await?;
            name = version_name;
            bare.add(&moved);
            leeward.add(&Box::pin(by_leeward(version)).await?);
        }
        print_line(line(&name, "bare edit", &bare));
        print_line(line(&name, "leeward", &leeward));
        print_line(ratio(&bare, &leeward));
        if version == NatsVersion::Newest {
            print_line(verdict(&leeward));
        }
        lost += bare.lost + leeward.lost;
    }
    ensure!(lost == 0, "{lost} acknowledged messages were lost");
    Ok(())
}

/// A manual edit of the placement, and nothing else.
async fn by_bare_edit(version: NatsVersion) -> anyhow::Result<(String, Moved)> {
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

fn line(version: &str, way: &str, moved: &MovedRuns) -> String {
    let MovedRuns {
        took,
        publish_stall,
        delivery_delay,
        refused,
        unanswered,
        published,
        acknowledged,
        lost,
    } = moved;
    let name = format!("{version} {way}");
    format!(
        "{name:24} {took:>18} {publish_stall:>18} {delivery_delay:>20} {refused:8} {unanswered:10} {published:10} \
         {acknowledged:13} {lost:5}"
    )
}

fn ratio(bare: &MovedRuns, leeward: &MovedRuns) -> String {
    format!(
        "{:24} {:16.2} x {:16.2} x {:18.2} x",
        "leeward / bare edit",
        leeward.took.ratio(&bare.took),
        leeward.publish_stall.ratio(&bare.publish_stall),
        leeward.delivery_delay.ratio(&bare.delivery_delay),
    )
}

fn verdict(leeward: &MovedRuns) -> String {
    let delay = leeward.delivery_delay.median();
    let word = if delay <= AIM { "met" } else { "missed" };
    format!(
        "aim: leeward's worst delivery delay through the sourced stream at most {:.1} s: {word}",
        AIM.as_secs_f64()
    )
}
