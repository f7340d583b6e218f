//! The account before Leeward: most streams are led far from their users, most clients are in one location, and two
//! streams are used from the other.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use async_nats::Client;
use serde_json::{Value, json};

use super::Shape;
use crate::leeward::manifests;
use crate::load::{Load, LoadPhase, Publisher, PullWorker};
use crate::nats::jetstream::PreferredLeader;
use crate::nats::{DEFAULT_ACCOUNT, DEFAULT_USER, System, eventually, jetstream};

pub(super) const HOME: &str = "us-east";
pub(super) const AWAY: &str = "eu-west";
pub(super) const SERVERS: usize = 3;

/// Streams that are used from one location, by a publisher and a worker each, and led from one location at first.
pub(super) struct StreamGroup {
    pub(super) streams: &'static [&'static str],
    pub(super) used_from: &'static str,
    pub(super) led_from: &'static str,
}

/// The account's majority is in [`HOME`]; that of the last two streams is not.
pub(super) const GROUPS: [StreamGroup; 3] = [
    StreamGroup {
        streams: &["orders", "payments", "shipments", "returns"],
        used_from: HOME,
        led_from: AWAY,
    },
    StreamGroup {
        streams: &["pickups"],
        used_from: AWAY,
        led_from: HOME,
    },
    StreamGroup {
        streams: &["kiosks"],
        used_from: AWAY,
        led_from: AWAY,
    },
];

/// The first streams that are used from [`HOME`] have a client in [`AWAY`], too.
const AUDITED: usize = 2;
/// Connections in [`HOME`] that use no stream.
const DASHBOARDS: usize = 7;

const ONE_WAY: Duration = Duration::from_millis(20);
const READY: Duration = Duration::from_mins(3);
/// How often a stream is created until its peers are as wanted.
const TRIES: usize = 60;
/// Messages per second of each publisher.
const RATE: f64 = 40.0;

/// Workers process a few messages at a time, so that the next ones are waiting when they fetch.
const BATCH: usize = 5;
const BUSY: Duration = Duration::from_millis(100);

pub(super) struct DemoScene {
    load: Load,
    clients: Vec<Client>,
    counted: ClientCount,
    system: System,
    shape: Shape,
    folder: std::path::PathBuf,
}

/// From where the streams of a group and their consumers are led.
#[derive(Clone, Debug, Default)]
pub(super) struct LeaderTable {
    pub(super) streams: BTreeMap<String, usize>,
    pub(super) consumers: BTreeMap<String, usize>,
}

/// Clients of the account by location.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ClientCount {
    pub(super) home: usize,
    pub(super) away: usize,
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
            counted: ClientCount::default(),
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

    pub(super) fn clients(&self) -> ClientCount {
        self.counted
    }

    /// Runs load for some time; returns what the users of each group noticed.
    pub(super) async fn measure(&mut self, time: Duration) -> Vec<LoadPhase> {
        self.cut_phase();
        tokio::time::sleep(time).await;
        self.cut_phase()
    }

    /// What the users of each group noticed since the last cut.
    pub(super) fn cut_phase(&mut self) -> Vec<LoadPhase> {
        let mut phases = self.load.snapshot_and_reset().0;
        let noticed = GROUPS.iter().map(|group| phases.remove(&group.name()));
        noticed.map(Option::unwrap_or_default).collect()
    }

    /// Where each group's streams and consumers are led from.
    pub(super) async fn leaders(&self) -> anyhow::Result<Vec<LeaderTable>> {
        let client = self.connect(AWAY, "looks-around").await?;
        let mut tables = Vec::new();
        for group in &GROUPS {
            let mut leaders = LeaderTable::default();
            let count = |counts: &mut BTreeMap<_, usize>, leader: Option<String>| {
                *counts.entry(location(&leader.context("a leader")?)).or_default() += 1;
                anyhow::Ok(())
            };
            for stream in group.streams {
                let leader = jetstream::leader_of(&client, stream).await?;
                count(&mut leaders.streams, leader)?;
                for consumer in CONSUMERS {
                    let leader = jetstream::leader_of_consumer(&client, stream, consumer).await?;
                    count(&mut leaders.consumers, leader)?;
                }
            }
            tables.push(leaders);
        }
        Ok(tables)
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
        for stream in GROUPS.iter().flat_map(|group| group.streams) {
            totals.lost += self.load.verify_stream(&client, stream).await?.lost;
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
        for group in &GROUPS {
            for stream in group.streams {
                self.create_stream(&client, stream, group).await?;
                for consumer in CONSUMERS {
                    let config = json!({"ack_policy": "explicit", "ack_wait": 20_000_000_000u64});
                    jetstream::create_consumer(&client, stream, consumer, config).await?;
                    lead_from(&client, stream, Some(consumer), group.led_from).await?;
                }
            }
        }
        Ok(())
    }

    async fn create_stream(&self, client: &Client, stream: &str, group: &StreamGroup) -> anyhow::Result<()> {
        let config = json!({"subjects": [format!("{stream}.>")], "num_replicas": 3});
        match self.shape {
            Shape::Supercluster => {
                let placed = manifests::merged(config, json!({"placement": {"cluster": group.led_from}}));
                jetstream::create_stream(client, stream, placed).await?;
            }
            Shape::Stretched => create_with_quorum(client, stream, config, group.used_from).await?,
        }
        lead_from(client, stream, None, group.led_from).await
    }

    /// One connection for each client that the account has.
    async fn start_load(&mut self) -> anyhow::Result<()> {
        for group in &GROUPS {
            for stream in group.streams {
                self.use_stream(group, stream).await?;
            }
        }
        let audited = GROUPS.iter().filter(|group| group.used_from == HOME);
        for stream in audited.flat_map(|group| group.streams).take(AUDITED) {
            let audit = self.client(AWAY, &format!("{stream}-audit")).await?;
            self.load.pull(PullWorker::new(audit, AUDIT, stream, AUDIT));
        }
        for _ in 0..DASHBOARDS {
            self.client(HOME, "dashboard").await?;
        }
        Ok(())
    }

    async fn use_stream(&mut self, group: &StreamGroup, stream: &str) -> anyhow::Result<()> {
        let (from, name) = (group.used_from, group.name());
        let publisher = self.client(from, &format!("{stream}-publisher")).await?;
        let mut publisher = Publisher::new(publisher, &name, stream, &format!("{stream}.new"));
        publisher.rate_per_second = RATE;
        self.load.publish(publisher);
        let worker = self.client(from, &format!("{stream}-worker")).await?;
        let mut worker = PullWorker::new(worker, &name, stream, WORKERS);
        (worker.batch, worker.busy) = (BATCH, BUSY);
        self.load.pull(worker);
        Ok(())
    }

    async fn client(&mut self, location: &str, name: &str) -> anyhow::Result<Client> {
        let client = self.connect(location, name).await?;
        self.clients.push(client.clone());
        if location == HOME {
            self.counted.home += 1;
        } else {
            self.counted.away += 1;
        }
        Ok(client)
    }
}

impl StreamGroup {
    /// Its streams, which is also under what its latencies are counted.
    pub(super) fn name(&self) -> String {
        self.streams.join(", ")
    }
}

/// In the stretched cluster a stream needs a peer in each region, as it has when servers are asked for spread, and two of
/// three next to its users: an acknowledgement waits for two. The servers choose the emptiest peers, so what does not fit
/// stays until another choice does.
async fn create_with_quorum(client: &Client, stream: &str, config: Value, place: &str) -> anyhow::Result<()> {
    let mut fillers = Vec::new();
    let has_quorum = |info: &Value| {
        let peers = jetstream::peers_in(info);
        peers.iter().filter(|peer| jetstream::is_in(peer, place)).count() == 2
    };
    while !has_quorum(&jetstream::create_stream(client, stream, config.clone()).await?) {
        ensure!(fillers.len() < TRIES, "{stream} never got two peers in {place}");
        jetstream::delete_stream(client, stream).await?;
        let filler = format!("filler-{}", fillers.len());
        jetstream::create_stream(client, &filler, json!({"num_replicas": 3})).await?;
        fillers.push(filler);
    }
    for filler in fillers {
        jetstream::delete_stream(client, &filler).await?;
    }
    Ok(())
}

async fn lead_from(client: &Client, stream: &str, consumer: Option<&str>, place: &str) -> anyhow::Result<()> {
    jetstream::lead(client, stream, consumer, place, PreferredLeader::Aimed).await?;
    Ok(())
}

const WORKERS: &str = "workers";
const AUDIT: &str = "audit";
const CONSUMERS: [&str; 2] = [WORKERS, AUDIT];

/// Whether all streams are led from where they are used.
pub(super) fn next_to_their_users(leaders: &[LeaderTable]) -> anyhow::Result<()> {
    for (group, leaders) in GROUPS.iter().zip(leaders) {
        let at_users = leaders.streams.get(group.used_from).copied().unwrap_or(0);
        ensure!(
            at_users == group.streams.len(),
            "{} are used from {}, and {at_users} are led from there",
            group.name(),
            group.used_from
        );
    }
    Ok(())
}

/// Servers are named after their location: `us-east-0`.
fn location(server: &str) -> String {
    server
        .rsplit_once('-')
        .map_or(server, |(location, _)| location)
        .to_owned()
}
