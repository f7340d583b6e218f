//! The account before Leeward: leaders in one location, most clients in the other.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use async_nats::Client;
use serde_json::json;

use super::Shape;
use crate::leeward::manifests;
use crate::load::{Load, LoadPhase, Publisher, PullWorker};
use crate::nats::jetstream::PreferredLeader;
use crate::nats::{DEFAULT_ACCOUNT, DEFAULT_USER, System, eventually, jetstream};

pub(super) const HOME: &str = "us-east";
pub(super) const AWAY: &str = "eu-west";
pub(super) const SERVERS: usize = 3;
pub(super) const STREAMS: usize = 4;
pub(super) const CONSUMERS: usize = STREAMS * 2;
pub(super) const CLIENTS_HOME: usize = 9;
pub(super) const CLIENTS_AWAY: usize = 2;

const ONE_WAY: Duration = Duration::from_millis(20);
const READY: Duration = Duration::from_mins(3);
/// Messages per second of each publisher.
const RATE: f64 = 40.0;

/// Workers process a few messages at a time, so that the next ones are waiting when they fetch.
const BATCH: usize = 5;
const BUSY: Duration = Duration::from_millis(100);

pub(super) struct DemoScene {
    load: Load,
    clients: Vec<Client>,
    system: System,
    shape: Shape,
    folder: std::path::PathBuf,
}

#[derive(Clone, Debug, Default)]
pub(super) struct LeaderTable {
    pub(super) streams: BTreeMap<String, usize>,
    pub(super) consumers: BTreeMap<String, usize>,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct DemoTotals {
    pub(super) published: u64,
    pub(super) acknowledged: u64,
    pub(super) delivered: u64,
    pub(super) redelivered: u64,
    pub(super) lost: u64,
}

impl DemoScene {
    pub(super) async fn start(shape: Shape, folder: &Path) -> anyhow::Result<Self> {
        let layout = shape.layout(&[(HOME, SERVERS), (AWAY, SERVERS)]);
        let system = System::builder(layout)
            .delay(ONE_WAY)
            .folder(folder.join("nats"))
            .start()
            .await?;
        let mut scene = Self {
            load: Load::new(),
            clients: Vec::new(),
            system,
            shape,
            folder: folder.to_owned(),
        };
        scene.create_assets().await?;
        scene.start_load().await?;
        Ok(scene)
    }

    pub(super) fn system(&self) -> &System {
        &self.system
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) async fn round_trip(&self) -> anyhow::Result<Duration> {
        let (home, away) = (format!("{HOME}-0"), format!("{AWAY}-0"));
        eventually(READY, "a round trip is measured", || async {
            match self.shape {
                Shape::Supercluster => self.system.gateway_rtt(HOME, AWAY).await,
                Shape::Stretched => self.system.route_rtt(&home, &away).await,
            }
        })
        .await
    }

    /// Runs load for some time; returns what clients in home noticed.
    pub(super) async fn measure(&mut self, time: Duration) -> anyhow::Result<LoadPhase> {
        self.cut_phase();
        tokio::time::sleep(time).await;
        self.cut_phase_of_home().context("clients in home publish")
    }

    /// What clients in home noticed since the last cut.
    pub(super) fn cut_phase(&mut self) -> LoadPhase {
        self.cut_phase_of_home().unwrap_or_default()
    }

    fn cut_phase_of_home(&mut self) -> Option<LoadPhase> {
        self.load.snapshot_and_reset().0.remove(HOME)
    }

    /// Where streams and consumers are led from.
    pub(super) async fn leaders(&self) -> anyhow::Result<LeaderTable> {
        let client = self.connect(AWAY, "looks-around").await?;
        let mut leaders = LeaderTable::default();
        let count = |counts: &mut BTreeMap<_, usize>, leader: Option<String>| {
            *counts.entry(location(&leader.context("a leader")?)).or_default() += 1;
            anyhow::Ok(())
        };
        for stream in streams() {
            let leader = jetstream::leader_of(&client, &stream).await?;
            count(&mut leaders.streams, leader)?;
            for consumer in consumers() {
                let leader = jetstream::leader_of_consumer(&client, &stream, consumer).await?;
                count(&mut leaders.consumers, leader)?;
            }
        }
        Ok(leaders)
    }

    /// Ends the load and reads every stream back.
    pub(super) async fn stop_load(&mut self) -> anyhow::Result<DemoTotals> {
        let ended = self.load.stop().await;
        let summary = ended.summary;
        let mut totals = DemoTotals {
            published: summary.published(),
            acknowledged: summary.acknowledged(),
            delivered: summary.delivered(),
            redelivered: summary.redelivered(),
            lost: 0,
        };
        let client = self.connect(HOME, "reads-back").await?;
        for stream in streams() {
            totals.lost += self.load.verify_stream(&client, &stream).await?.lost;
        }
        Ok(totals)
    }

    pub(super) async fn end(self) {
        drop((self.load, self.clients));
        let system = self.system;
        for server in system.server_names() {
            // A server that cannot be stopped is killed when the system is dropped.
            let _ = system.stop(&server).await;
        }
    }

    async fn connect(&self, location: &str, name: &str) -> anyhow::Result<Client> {
        let credentials = self.system.credentials(DEFAULT_ACCOUNT, DEFAULT_USER)?;
        let options = self.system.connect_options(credentials)?.name(name);
        self.system
            .connect_with(&self.system.urls(location)?, options)
            .await
    }

    async fn create_assets(&self) -> anyhow::Result<()> {
        let client = self.connect(AWAY, "sets-up").await?;
        for stream in streams() {
            self.create_stream(&client, &stream).await?;
            for consumer in consumers() {
                let config = json!({"ack_policy": "explicit", "ack_wait": 20_000_000_000u64});
                jetstream::create_consumer(&client, &stream, consumer, config).await?;
                self.lead_outside_home(&client, &stream, Some(consumer)).await?;
            }
        }
        Ok(())
    }

    /// In the stretched cluster a stream needs a peer in each region, as it has when servers are asked for spread.
    async fn create_stream(&self, client: &Client, stream: &str) -> anyhow::Result<()> {
        let config = json!({"subjects": [format!("{stream}.>")], "num_replicas": 3});
        match self.shape {
            Shape::Supercluster => {
                let placed = manifests::merged(config, json!({"placement": {"cluster": AWAY}}));
                jetstream::create_stream(client, stream, placed).await?;
            }
            Shape::Stretched => {
                jetstream::create_spread(client, stream, config, &[HOME, AWAY]).await?;
            }
        }
        self.lead_outside_home(client, stream, None).await
    }

    async fn lead_outside_home(
        &self,
        client: &Client,
        stream: &str,
        consumer: Option<&str>,
    ) -> anyhow::Result<()> {
        jetstream::lead(client, stream, consumer, AWAY, PreferredLeader::Aimed).await?;
        Ok(())
    }

    /// One connection for each client that the account has.
    async fn start_load(&mut self) -> anyhow::Result<()> {
        for (number, stream) in streams().enumerate() {
            let publisher = self.client(HOME, &format!("{stream}-publisher")).await?;
            let mut publisher = Publisher::new(publisher, HOME, &stream, &format!("{stream}.new"));
            publisher.rate_per_second = RATE;
            self.load.publish(publisher);
            let worker = self.client(HOME, &format!("{stream}-worker")).await?;
            let mut worker = PullWorker::new(worker, HOME, &stream, WORKERS);
            (worker.batch, worker.busy) = (BATCH, BUSY);
            self.load.pull(worker);
            if number < CLIENTS_AWAY {
                let audit = self.client(AWAY, &format!("{stream}-audit")).await?;
                self.load.pull(PullWorker::new(audit, AWAY, &stream, AUDIT));
            }
        }
        self.client(HOME, "dashboard").await?;
        Ok(())
    }

    async fn client(&mut self, location: &str, name: &str) -> anyhow::Result<Client> {
        let client = self.connect(location, name).await?;
        self.clients.push(client.clone());
        Ok(client)
    }
}

const WORKERS: &str = "workers";
const AUDIT: &str = "audit";

fn streams() -> impl Iterator<Item = String> {
    ["orders", "payments", "shipments", "returns"]
        .into_iter()
        .map(str::to_owned)
}

fn consumers() -> [&'static str; 2] {
    [WORKERS, AUDIT]
}

/// Servers are named after their location: `us-east-0`.
fn location(server: &str) -> String {
    server
        .rsplit_once('-')
        .map_or(server, |(location, _)| location)
        .to_owned()
}
