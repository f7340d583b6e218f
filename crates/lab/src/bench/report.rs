//! `leeward report` against `nats stream report` and `nats consumer report` for every stream, in one run.
//!
//! Seconds are those of whole processes; requests and bytes are counted outside of them, by a relay that all connect
//! through. Each command outputs every stream and consumer and the server that leads it. In tenant mode servers list
//! consumers one stream per request, whoever asks: the aim cannot be met there.

mod meter;
mod scene;

use std::time::Instant;

use meter::MeteredTraffic;
use scene::{As, ReportScene};

use crate::folder::Folder;
use crate::print_line;

/// The aim: this many times fewer requests.
const AIM: f64 = 10.0;
const AT_ONCE: usize = 8;

struct ReportRun {
    seconds: f64,
    traffic: MeteredTraffic,
}

pub(super) async fn run() -> anyhow::Result<()> {
    let folder = Folder::temporary()?;
    print_line("starting three servers, and making streams and consumers …");
    let began = Instant::now();
    let scene = ReportScene::start(folder.path()).await?;
    print_line(format!(
        "\nreport: {} R{} streams, {} consumers, one cluster of 3 servers {}, made in {:.0} s\n\
         {:44} {:>8} {:>12} {:>9} {:>10} {:>10}",
        scene::STREAMS,
        scene::REPLICAS,
        scene::STREAMS * scene::PER_STREAM,
        scene.version(),
        began.elapsed().as_secs_f64(),
        "",
        "seconds",
        "connections",
        "requests",
        "kB sent",
        "kB read",
    ));
    let mut leeward = Vec::new();
    for (name, whom) in [("system account", As::System), ("tenant mode", As::Tenant)] {
        for more in [&[][..], &["--sample", "0s"]] {
            let name = [&["leeward report,", name][..], more].concat().join(" ");
            let run = timed(&scene, &name, scene.by_leeward(whom, more)).await?;
            leeward.push((name, run));
        }
    }
    let named = "nats stream report, nats consumer report";
    let one_by_one = timed(&scene, named, scene.by_the_nats_command(1)).await?;
    let named = format!("the same, {AT_ONCE} at a time");
    let at_once = timed(&scene, &named, scene.by_the_nats_command(AT_ONCE)).await?;
    let nats = [one_by_one, at_once];
    let ratios: Vec<String> = leeward
        .iter()
        .map(|(name, run)| ratio(name, &nats, run))
        .collect();
    print_line(ratios.join("\n"));
    Ok(())
}

async fn timed(
    scene: &ReportScene,
    name: &str,
    run: impl Future<Output = anyhow::Result<()>>,
) -> anyhow::Result<ReportRun> {
    let began = Instant::now();
    run.await?;
    let seconds = began.elapsed().as_secs_f64();
    let traffic = scene.meter.take().await?;
    print_line(format!(
        "{name:44} {seconds:8.2} {:12} {:9} {:10} {:10}",
        traffic.connections,
        traffic.requests,
        traffic.sent_bytes / 1_000,
        traffic.read_bytes / 1_000
    ));
    Ok(ReportRun { seconds, traffic })
}

/// How many times fewer requests, bytes and seconds than `nats`.
fn ratio(name: &str, nats: &[ReportRun; 2], leeward: &ReportRun) -> String {
    let [one_by_one, at_once] = nats;
    let of = |count: fn(&MeteredTraffic) -> u64| times(count(&one_by_one.traffic), count(&leeward.traffic));
    let requests = of(|traffic| traffic.requests);
    let word = if requests >= AIM { "met" } else { "missed" };
    format!(
        "{name:44} {requests:.1} x fewer requests (aim: {AIM}, {word}), {:.1} x fewer bytes read, {:.1} x faster ({AT_ONCE} at \
         a time: {:.1} x)",
        of(|traffic| traffic.read_bytes),
        one_by_one.seconds / leeward.seconds,
        at_once.seconds / leeward.seconds,
    )
}

fn times(one: u64, other: u64) -> f64 {
    let number = |count: u64| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
    number(one) / number(other)
}
