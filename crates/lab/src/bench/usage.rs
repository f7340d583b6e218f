//! What it costs to find out who uses each stream, and how right that is, where the truth is known.
//!
//! An account with most of its clients in one location has streams that are used from there, from the other, from both and by
//! nobody. The operator only observes it: without samples, with as many as by default, and with as many as it can take. Then
//! `leeward report` judges the busy streams by one look, with the account's home for all of them and with a home for each.

mod cost;
mod scene;
mod verdicts;

use std::time::{Duration, Instant};

use anyhow::ensure;
use serde_json::{Value, json};

use self::cost::SamplingCost;
use self::scene::UseScene;
use self::verdicts::Verdicts;
use super::{LIMIT, NAMESPACE, apply_system};
use crate::folder::Folder;
use crate::kube::Kube;
use crate::leeward::{Operator, kube_for, manifests, operator_in};
use crate::nats::eventually;
use crate::print_line;

/// The aim: fewer than this of the account's messages are received.
const AIM: f64 = 0.01;
const MEASURED: Duration = Duration::from_mins(1);
/// After a change of the policy, until it has come into effect.
const SETTLED: Duration = Duration::from_secs(10);
const DEFAULT_PACE: u32 = 200;
const HIGHEST_PACE: u32 = 100_000;

pub(super) async fn run() -> anyhow::Result<()> {
    let folder = Folder::temporary()?;
    print_line("starting two clusters and a Kubernetes API, and making streams and consumers …");
    let began = Instant::now();
    let (scene, kube) = tokio::try_join!(UseScene::start(folder.path()), kube_for(NAMESPACE, folder.path()))?;
    print_line(heading(&scene, began.elapsed()));
    let mut operator = operator_in(NAMESPACE, &kube, folder.path()).await?;
    apply_system(&kube, scene.system(), json!({})).await?;
    let off = json!({"enabled": false});
    let none = measured(&scene, &kube, &operator, "no samples", off).await?;
    let pace = json!({"messagesPerMinute": DEFAULT_PACE});
    let named = format!("{DEFAULT_PACE} messages a minute");
    let default = measured(&scene, &kube, &operator, &named, pace).await?;
    let pace = json!({"messagesPerMinute": HIGHEST_PACE});
    let most = measured(&scene, &kube, &operator, "as many as it can", pace).await?;
    operator.stop().await?;
    print_line(ratio("default / no samples", &none, &default));
    print_line(ratio("most / no samples", &none, &most));
    print_line(verdict(&default));
    judge(&scene).await
}

fn heading(scene: &UseScene, made: Duration) -> String {
    format!(
        "\nuse: {} streams, {} consumers, R1 in memory, two clusters of {} servers {}, {} ms one way, made in {:.0} s; {} clients in \
         {}, {} in {}\n{:22} {:>10} {:>13} {:>11} {:>7} {:>10} {:>7} {:>7} {:>7} {:>12} {:>11}",
        scene::STREAMS,
        scene::STREAMS * scene::CONSUMERS,
        scene::SERVERS,
        scene.version(),
        scene::ONE_WAY.as_millis(),
        made.as_secs_f64(),
        scene::CLIENTS_HOME,
        scene::HOME,
        scene::CLIENTS_AWAY,
        scene::AWAY,
        "",
        "messages/s",
        "samplings/min",
        "sampled/min",
        "share",
        "received/s",
        "kB/s",
        "sent/s",
        "kB/s",
        "CPU, servers",
        "leeward",
    )
}

/// Of a minute in which the policy only observes.
async fn measured(
    scene: &UseScene,
    kube: &Kube,
    operator: &Operator,
    name: &str,
    sampling: Value,
) -> anyhow::Result<SamplingCost> {
    let home = json!({"scope": "Stream", "stabilizationWindow": "10m", "sampling": sampling});
    let spec = json!({"mode": "Observe", "home": home});
    let policy = manifests::placement_policy(NAMESPACE, "bench", spec);
    kube.apply(&policy.to_string()).await?;
    eventually(LIMIT, "the policy is evaluated", || async {
        let page = operator.get("/metrics").await?.1;
        let assets = cost::metric(&page, "leeward_assets");
        ensure!(assets > 0.0, "no asset is counted");
        Ok(())
    })
    .await?;
    tokio::time::sleep(SETTLED).await;
    let cost = cost::over(MEASURED, scene, operator).await?;
    print_line(line(name, &cost));
    Ok(cost)
}

fn line(name: &str, cost: &SamplingCost) -> String {
    let second = |count: f64| count / cost.seconds;
    let percent = |count: f64| second(count) * 100.0;
    format!(
        "{name:22} {:10.0} {:13.0} {:11.0} {:5.2} % {:10.0} {:7.1} {:7.0} {:7.1} {:10.1} % {:9.1} %",
        second(cost.messages),
        second(cost.samplings) * 60.0,
        second(cost.sampled) * 60.0,
        share(cost) * 100.0,
        second(cost.received),
        second(cost.received_bytes) / 1_000.0,
        second(cost.sent),
        second(cost.sent_bytes) / 1_000.0,
        percent(cost.servers),
        percent(cost.leeward),
    )
}

/// Of the messages that were stored and delivered in the account, as many as were received for samples.
fn share(cost: &SamplingCost) -> f64 {
    cost.sampled / cost.messages
}

fn ratio(name: &str, none: &SamplingCost, sampled: &SamplingCost) -> String {
    let of =
        |count: fn(&SamplingCost) -> f64| (count(sampled) / sampled.seconds) / (count(none) / none.seconds);
    format!(
        "{name:22} {:8.2} x {:42.2} x {:5.2} x {:5.2} x {:5.2} x {:10.2} x {:9.2} x",
        of(|cost| cost.messages),
        of(|cost| cost.received),
        of(|cost| cost.received_bytes),
        of(|cost| cost.sent),
        of(|cost| cost.sent_bytes),
        of(|cost| cost.servers),
        of(|cost| cost.leeward),
    )
}

/// How long a look at every stream takes, and whether the aim is met.
fn verdict(default: &SamplingCost) -> String {
    let word = if share(default) < AIM { "met" } else { "missed" };
    let each = f64::from(u32::try_from(scene::STREAMS).unwrap_or(u32::MAX));
    let minutes = each / (default.samplings / default.seconds * 60.0);
    format!(
        "aim: by default less than {:.0} % of the account's messages: {word}; at the rate of this minute, in which the busiest came first, sampling \
         each stream once takes {minutes:.0} min",
        AIM * 100.0
    )
}

async fn judge(scene: &UseScene) -> anyhow::Result<()> {
    print_line(format!(
        "\nhomes of the {} busy streams that are used, by one look of leeward report\n\
         {:34} {:>8} {:>8} {:>8} {:>16} {:>9} {:>11} {:>5}",
        scene::streams()
            .take(scene::BUSY)
            .filter(|one| one.users.majority().is_some())
            .count(),
        "",
        "streams",
        "covered",
        "right",
        "right of covered",
        "left far",
        "moved away",
        "held"
    ));
    let account = verdicts::report(scene, "Account").await?;
    let stream = verdicts::report(scene, "Stream").await?;
    for (scope, report) in [("Account", &account), ("Stream", &stream)] {
        let all = verdicts::verdicts(report, &stream);
        for (users, verdicts) in &all.by_users {
            print_line(verdicts_line(scope, &users.describe(), verdicts));
        }
        let name = format!("all, in {:.0} s", report.took.as_secs_f64());
        print_line(verdicts_line(scope, &name, &all.total()));
        if !all.reasons.is_empty() {
            print_line(format!("  held: {:?}", all.reasons));
        }
        // The account's home is wrong by its nature; a stream's own should not be.
        if scope == "Stream" {
            let mistakes = all.mistakes.iter();
            mistakes.for_each(|one| print_line(format!("  moved away: {one}")));
            print_line(aim_of_homes(&all.total()));
        }
    }
    Ok(())
}

fn aim_of_homes(verdicts: &Verdicts) -> String {
    let word = if verdicts.away == 0 { "met" } else { "missed" };
    format!("aim: no stream is moved away from its users: {word}")
}

fn verdicts_line(scope: &str, name: &str, verdicts: &Verdicts) -> String {
    let Verdicts {
        streams,
        covered,
        right,
        right_of_covered,
        left,
        away,
        held,
    } = verdicts;
    format!(
        "{:34} {streams:8} {covered:8} {right:8} {right_of_covered:16} {left:9} {away:11} {held:5}",
        format!("{scope}: {name}")
    )
}
