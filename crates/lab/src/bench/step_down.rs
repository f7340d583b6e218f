//! What clients feel of step-downs: publishes that are refused or never answered, fetches that end early or never.
//!
//! One stream with three replicas in two regions, and its consumer; one publisher sends a message after the other, one sends
//! many at once, and a worker pulls them, each with the time limits that clients have by default. A refused message is sent
//! again at once; one that nobody answered may be stored all the same, which sending it again shows.

use std::time::{Duration, Instant};

use async_nats::Client;
use serde_json::json;

use crate::folder::Folder;
use crate::load::{Load, LoadPhase, Phases, Publisher, PullWorker};
use crate::nats::jetstream::{self, PreferredLeader};
use crate::nats::{Layout, NatsVersion, System};
use crate::print_line;

const REGIONS: [&str; 2] = ["us-east", "eu-west"];
const ONE_WAY: Duration = Duration::from_millis(20);
const STREAM: &str = "S";
const CONSUMER: &str = "C";
const STEP_DOWNS: usize = 30;
/// Clients of Go wait this long for an acknowledgement.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between two step-downs: what one left undone shows before the next.
const PAUSE: Duration = Duration::from_millis(700);
const EACH_PER_SECOND: f64 = 100.0;

pub(super) async fn run() -> anyhow::Result<()> {
    print_line(format!(
        "\n{STEP_DOWNS} step-downs of each kind under load, R3, {} ms one way between regions\n\
         {:32} {:>10} {:>10} {:>8} {:>11}    {:>7} {:>10}",
        ONE_WAY.as_millis(),
        "publishes (one by one | at once)",
        "refused",
        "unanswered",
        "stored",
        "worst ack",
        "fetches",
        "unanswered",
    ));
    for version in [NatsVersion::Newest, NatsVersion::V2_14] {
        let folder = Folder::temporary()?;
        let mut scene = StepDownScene::start(version, &folder).await?;
        for (led, consumer) in [("stream", None), ("consumer", Some(CONSUMER))] {
            for (way, aim) in [
                ("aimed", PreferredLeader::Aimed),
                ("blind", PreferredLeader::Blind),
            ] {
                let felt = scene.step_downs(consumer, aim).await?;
                let name = format!("{} {led}, {way}", scene.client.server_info().version);
                print_line(line(&name, &felt));
            }
        }
        let _totals = scene.load.stop().await;
    }
    Ok(())
}

struct StepDownScene {
    load: Load,
    client: Client,
    _system: System,
}

impl StepDownScene {
    async fn start(version: NatsVersion, folder: &Folder) -> anyhow::Result<Self> {
        let layout = Layout::stretched(&REGIONS.map(|region| (region, 3)));
        let system = System::builder(layout)
            .version(version)
            .delay(ONE_WAY)
            .folder(folder.path().join("nats"))
            .start()
            .await?;
        let [home, _] = REGIONS;
        let client = system.connect_default(home).await?;
        let config = json!({"subjects": ["s.>"], "num_replicas": 3, "max_bytes": 64 << 20});
        jetstream::create_spread(&client, STREAM, config, &REGIONS).await?;
        let explicit = json!({"ack_policy": "explicit"});
        jetstream::create_consumer(&client, STREAM, CONSUMER, explicit).await?;
        let mut load = Load::new();
        for (name, in_flight) in [("one by one", 1), ("at once", 256)] {
            let own = system.connect_default(home).await?;
            let mut publisher = Publisher::new(own, name, STREAM, "s.x");
            (publisher.rate_per_second, publisher.in_flight) = (EACH_PER_SECOND, in_flight);
            publisher.patience = PATIENCE;
            load.publish(publisher);
        }
        let own = system.connect_default(home).await?;
        let mut worker = PullWorker::new(own, "worker", STREAM, CONSUMER);
        worker.expires = PATIENCE;
        load.pull(worker);
        Ok(Self {
            load,
            client,
            _system: system,
        })
    }

    /// Leads the stream or its consumer from one region and then the other.
    async fn step_downs(&mut self, consumer: Option<&str>, aim: PreferredLeader) -> anyhow::Result<Phases> {
        tokio::time::sleep(PATIENCE).await;
        let _before = self.load.snapshot_and_reset();
        let (mut sent, begun) = (0, Instant::now());
        for region in REGIONS.iter().cycle() {
            sent += jetstream::lead(&self.client, STREAM, consumer, region, aim).await?;
            tokio::time::sleep(PAUSE).await;
            if sent >= STEP_DOWNS as u64 {
                break;
            }
        }
        tracing::debug!(sent, took = ?begun.elapsed(), "step-downs");
        // What nobody answers shows only then.
        tokio::time::sleep(PATIENCE * 2).await;
        Ok(self.load.snapshot_and_reset())
    }
}

fn line(name: &str, felt: &Phases) -> String {
    let of = |name: &str| felt.0.get(name).cloned().unwrap_or_default();
    let (one, many, worker) = (of("one by one"), of("at once"), of("worker"));
    let both = |value: fn(&LoadPhase) -> u64| format!("{} | {}", value(&one), value(&many));
    let worst = |phase: &LoadPhase| phase.publish.quantiles().max_micros / 1000;
    format!(
        "{name:32} {:>10} {:>10} {:>8} {:>11} ms {:>7} {:>10}",
        both(|phase| phase.counts.publishes_refused),
        both(|phase| phase.counts.publishes_unanswered),
        both(|phase| phase.counts.duplicates),
        format!("{} | {}", worst(&one), worst(&many)),
        worker.counts.fetches_refused,
        worker.counts.fetches_unanswered,
    )
}
