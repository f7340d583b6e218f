//! How soon a quiet stream is home after its placement was edited: by the servers alone, and led by Leeward.
//!
//! Streams of 1 MiB with three replicas and three durable consumers move from one cluster to the other, once one of them and
//! once ten at the same time.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use async_nats::Client;
use futures::StreamExt as _;
use futures::future::try_join_all;
use serde_json::{Value, json};

use super::runs::Runs;
use super::{LIMIT, NAMESPACE, apply_system, until_misplaced};
use crate::folder::Folder;
use crate::kube::Kube;
use crate::leeward::{Operator, kube_for, manifests, operator_in};
use crate::load::IdleClients;
use crate::nats::{Layout, NatsVersion, System, jetstream};
use crate::print_line;

const HOME: &str = "us-east";
const OUTSIDE_HOME: &str = "eu-west";
const ONE_WAY: Duration = Duration::from_millis(21);
const CLIENTS: usize = 9;
const CONSUMERS: [&str; 3] = ["a", "b", "c"];
const MESSAGES: usize = 16;
const BYTES: usize = 64 << 10;
const MANY: usize = 10;
const LOOK: Duration = Duration::from_millis(50);

pub(super) async fn run(runs: usize) -> anyhow::Result<()> {
    print_line(format!(
        "\nquiet streams of 1 MiB move, R3, {} ms one way; seconds, median (shortest-longest)\n\
         {:20} {:>18} {:>18} {:>18} {:>22}",
        ONE_WAY.as_millis(),
        "",
        "leader home",
        "consumers home",
        "old peers dropped",
        "ten, all that",
    ));
    for version in [NatsVersion::Newest, NatsVersion::V2_14] {
        let folder = Folder::temporary()?;
        let mut scene = Box::pin(QuietScene::start(version, folder.path())).await?;
        let (mut bare, mut leeward) = (QuietRuns::default(), QuietRuns::default());
        for run in 0..runs {
            let (one, many) = (
                scene.create(&format!("B{run}-"), 1).await?,
                scene.create(&format!("C{run}-"), MANY).await?,
            );
            bare.one(&scene.bare(&one).await?);
            bare.many.add(scene.bare(&many).await?.dropped);
            scene.create(&format!("L{run}-"), 1).await?;
            leeward.one(&scene.leeward(&format!("L{run}-"), 1).await?);
            scene.create(&format!("M{run}-"), MANY).await?;
            leeward
                .many
                .add(scene.leeward(&format!("M{run}-"), MANY).await?.dropped);
        }
        let name = scene.client.server_info().version;
        print_line(bare.line(&format!("{name} bare edit")));
        print_line(leeward.line(&format!("{name} leeward")));
        scene.operator.stop().await?;
    }
    Ok(())
}

/// When everything had come so far, since the move was asked for.
#[derive(Clone, Copy, Debug, Default)]
struct Arrival {
    leader: Duration,
    consumers: Duration,
    dropped: Duration,
}

impl Arrival {
    fn latest(self, other: Self) -> Self {
        Self {
            leader: self.leader.max(other.leader),
            consumers: self.consumers.max(other.consumers),
            dropped: self.dropped.max(other.dropped),
        }
    }
}

#[derive(Debug, Default)]
struct QuietRuns {
    leader: Runs,
    consumers: Runs,
    dropped: Runs,
    many: Runs,
}

impl QuietRuns {
    fn one(&mut self, arrival: &Arrival) {
        self.leader.add(arrival.leader);
        self.consumers.add(arrival.consumers);
        self.dropped.add(arrival.dropped);
    }

    fn line(&self, name: &str) -> String {
        let Self {
            leader,
            consumers,
            dropped,
            many,
        } = self;
        format!("{name:20} {leader:>18} {consumers:>18} {dropped:>18} {many:>22}")
    }
}

struct QuietScene {
    operator: Operator,
    kube: Kube,
    client: Client,
    system_client: Client,
    _clients: IdleClients,
    _system: System,
}

impl QuietScene {
    async fn start(version: NatsVersion, folder: &Path) -> anyhow::Result<Self> {
        let layout = Layout::supercluster(&[(HOME, 3), (OUTSIDE_HOME, 3)]);
        let system = System::builder(layout).version(version).delay(ONE_WAY);
        let starting = system.folder(folder.join("nats")).start();
        let (system, kube) = tokio::try_join!(starting, kube_for(NAMESPACE, folder))?;
        let operator = operator_in(NAMESPACE, &kube, folder).await?;
        apply_system(&kube, &system, json!({})).await?;
        Ok(Self {
            operator,
            kube,
            client: system.connect_default(HOME).await?,
            system_client: system.system_client().await?,
            _clients: IdleClients::in_system(&system, HOME, "app", CLIENTS).await?,
            _system: system,
        })
    }

    async fn create(&self, prefix: &str, count: usize) -> anyhow::Result<Vec<String>> {
        let streams: Vec<String> = (0..count).map(|number| format!("{prefix}{number}")).collect();
        for stream in &streams {
            let placement = json!({"cluster": OUTSIDE_HOME});
            let config = json!({"subjects": [stream], "num_replicas": 3, "placement": placement});
            jetstream::create_stream(&self.client, stream, config).await?;
            for consumer in CONSUMERS {
                let config = json!({"ack_policy": "explicit"});
                jetstream::create_consumer(&self.client, stream, consumer, config).await?;
            }
            for _ in 0..MESSAGES {
                jetstream::publish(&self.client, stream, vec![b'x'; BYTES]).await?;
            }
        }
        Ok(streams)
    }

    /// Edits the placements, all at once, and nothing else.
    async fn bare(&self, streams: &[String]) -> anyhow::Result<Arrival> {
        let began = Instant::now();
        let edits = streams.iter().map(|stream| async move {
            let mut config = jetstream::stream_info(&self.client, stream).await?["config"].clone();
            config["placement"] = json!({"cluster": HOME});
            jetstream::update_stream(&self.client, stream, config).await
        });
        try_join_all(edits).await?;
        self.arrival(streams, began).await
    }

    /// From the moment when the first of these streams is edited, as with the bare edits.
    async fn leeward(&mut self, prefix: &str, count: usize) -> anyhow::Result<Arrival> {
        self.apply(prefix, "Observe").await?;
        until_misplaced(&self.operator, "kind=\"stream\"", count).await?;
        let mut edits = self.system_client.subscribe("$JS.API.STREAM.UPDATE.*").await?;
        self.system_client.flush().await?;
        self.apply(prefix, "Enforce").await?;
        let edited = tokio::time::timeout(LIMIT, edits.next()).await;
        edited.context("nothing was edited")?;
        let began = Instant::now();
        let streams: Vec<String> = (0..count).map(|number| format!("{prefix}{number}")).collect();
        let arrival = self.arrival(&streams, began).await;
        arrival.with_context(|| self.operator.log_tail(10))
    }

    async fn apply(&self, prefix: &str, mode: &str) -> anyhow::Result<()> {
        let spec = json!({
            "mode": mode,
            "disruption": {"maxConcurrent": 16, "cooldown": "0s"},
            "streams": {"include": [format!("{prefix}*")]},
            "actions": {"streamPlacement": {"maxStall": "5m"}},
        });
        let policy = manifests::placement_policy(NAMESPACE, "bench", spec);
        self.kube.apply(&policy.to_string()).await?;
        Ok(())
    }

    /// The latest of all streams.
    async fn arrival(&self, streams: &[String], began: Instant) -> anyhow::Result<Arrival> {
        let each = streams.iter().map(|stream| self.arrival_of(stream, began));
        let all = tokio::time::timeout(LIMIT, try_join_all(each)).await;
        let all = all.context("not all streams are home")??;
        Ok(all.into_iter().fold(Arrival::default(), Arrival::latest))
    }

    async fn arrival_of(&self, stream: &str, began: Instant) -> anyhow::Result<Arrival> {
        let mut arrival = Arrival::default();
        self.until(|| self.is_led_from_home(stream)).await;
        arrival.leader = began.elapsed();
        for consumer in CONSUMERS {
            self.until(|| self.is_consumer_home(stream, consumer)).await;
        }
        arrival.consumers = began.elapsed();
        self.until(|| self.is_moved(stream)).await;
        arrival.dropped = began.elapsed();
        Ok(arrival)
    }

    /// An answer that does not come, as in an election, is asked for again.
    async fn until<F: Future<Output = anyhow::Result<()>>>(&self, look: impl Fn() -> F) {
        while look().await.is_err() {
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn is_led_from_home(&self, stream: &str) -> anyhow::Result<()> {
        let info = self.info(&format!("STREAM.INFO.{stream}")).await?;
        is_home(jetstream::leader_in(&info))
    }

    async fn is_consumer_home(&self, stream: &str, consumer: &str) -> anyhow::Result<()> {
        let info = self.info(&format!("CONSUMER.INFO.{stream}.{consumer}")).await?;
        is_home(jetstream::leader_in(&info))
    }

    async fn is_moved(&self, stream: &str) -> anyhow::Result<()> {
        let info = self.info(&format!("STREAM.INFO.{stream}")).await?;
        let peers = jetstream::peers_in(&info);
        let are_home = peers.iter().all(|peer| jetstream::is_in(peer, HOME));
        ensure!(peers.len() == 3 && are_home, "{peers:?}");
        Ok(())
    }

    /// One that falls into an election is not waited for.
    async fn info(&self, call: &str) -> anyhow::Result<Value> {
        let request = async_nats::Request::new().timeout(Some(Duration::from_millis(500)));
        let answer = self
            .client
            .send_request(format!("$JS.API.{call}"), request)
            .await?;
        Ok(serde_json::from_slice(&answer.payload)?)
    }
}

fn is_home(leader: Option<String>) -> anyhow::Result<()> {
    let leader = leader.context("nobody leads it")?;
    ensure!(jetstream::is_in(&leader, HOME), "{leader} leads it");
    Ok(())
}
