//! Two clusters, a stream that will move, a stream that sources it and stays, and load that accounts for every message.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::ensure;
use async_nats::Client;
use futures::{StreamExt, TryStreamExt};
use serde_json::json;

use crate::load::{Load, Publisher, PullWorker, PushWorker};
use crate::nats::{Layout, NatsVersion, System, eventually, jetstream};

pub(super) const STORED: usize = 100_000;
pub(super) const BYTES: usize = 1024;
pub(super) const RATE: u32 = 500;
pub(super) const ONE_WAY: Duration = Duration::from_millis(20);

const HOME: &str = "us-east";
const OUTSIDE_HOME: &str = "eu-west";
const STREAM: &str = "ORDERS";
const WORKERS: &str = "workers";
/// Sources [`STREAM`] and is always home.
const COPY: &str = "COPY";
const PROBE: &str = "probe";
const AT_PROBE: &str = "probe.deliver";

/// A leader change may swallow a message (nats-facts N16): a stall must not be this publisher's own patience.
const PATIENCE: Duration = Duration::from_millis(500);

const CLIENTS: usize = 9;
const AT_ONCE: usize = 256;
const LIMIT: Duration = Duration::from_mins(10);
/// The sourced stream follows again when at most the messages in flight are missing, for this long.
const FOLLOWS: Duration = Duration::from_secs(5);
/// What may be in flight: half a second of load.
const UNDER_WAY: u64 = RATE as u64 / 2;
const LOOK: Duration = Duration::from_millis(100);

pub(super) struct MoveScene {
    load: Load,
    admin: Client,
    clients: Vec<Client>,
    system: System,
}

/// What clients noticed from the start of the move until the sourced stream followed again.
pub(super) struct ClientImpact {
    pub(super) publish_stall: Duration,
    pub(super) delivery_delay: Duration,
    /// Attempts to publish that were refused at once, or never answered.
    pub(super) refused: u64,
    pub(super) unanswered: u64,
    pub(super) published: u64,
    pub(super) acknowledged: u64,
    /// Acknowledged, but not in the stream, or not delivered by its consumer, or not through the sourced stream.
    pub(super) lost: u64,
}

impl MoveScene {
    pub(super) async fn start(version: NatsVersion, folder: &Path) -> anyhow::Result<Self> {
        let system = System::builder(Layout::supercluster(&[(HOME, 3), (OUTSIDE_HOME, 3)]))
            .version(version)
            .delay(ONE_WAY)
            .folder(folder.join("nats"))
            .start()
            .await?;
        let mut scene = Self {
            load: Load::new(),
            admin: system.connect_default(OUTSIDE_HOME).await?,
            clients: Vec::new(),
            system,
        };
        scene.create().await?;
        for _ in 0..CLIENTS {
            scene.clients.push(scene.system.connect_default(HOME).await?);
        }
        scene.start_load().await?;
        Ok(scene)
    }

    pub(super) fn system(&self) -> &System {
        &self.system
    }

    pub(super) fn version(&self) -> String {
        self.admin.server_info().version
    }

    async fn create(&self) -> anyhow::Result<()> {
        let admin = &self.admin;
        let config =
            json!({"subjects": ["orders.>"], "num_replicas": 3, "placement": {"cluster": OUTSIDE_HOME}});
        jetstream::create_stream(admin, STREAM, config).await?;
        let message = bytes::Bytes::from(vec![b'x'; BYTES]);
        futures::stream::iter(0..STORED)
            .map(|_| jetstream::publish(admin, "orders.old", message.clone()))
            .buffer_unordered(AT_ONCE)
            .try_for_each(|_| async { Ok(()) })
            .await?;
        let explicit = json!({"ack_policy": "explicit", "deliver_policy": "new"});
        jetstream::create_consumer(admin, STREAM, WORKERS, explicit).await?;
        let sources = json!([{"name": STREAM, "opt_start_seq": STORED + 1}]);
        let config = json!({"num_replicas": 3, "placement": {"cluster": HOME}, "sources": sources});
        jetstream::create_stream(admin, COPY, config).await?;
        let pushed = json!({"ack_policy": "explicit", "deliver_subject": AT_PROBE, "max_ack_pending": -1});
        jetstream::create_consumer(admin, COPY, PROBE, pushed).await?;
        Ok(())
    }

    async fn start_load(&mut self) -> anyhow::Result<()> {
        let client = self.system.connect_default(HOME).await?;
        self.load
            .push(PushWorker::new(client, "probe", COPY, PROBE, AT_PROBE));
        let client = self.system.connect_default(HOME).await?;
        self.load
            .pull(PullWorker::new(client, "workers", STREAM, WORKERS));
        let client = self.system.connect_default(HOME).await?;
        let mut publisher = Publisher::new(client, "publisher", STREAM, "orders.new");
        (publisher.rate_per_second, publisher.payload_bytes) = (f64::from(RATE), BYTES);
        publisher.patience = PATIENCE;
        self.load.publish(publisher);
        self.until_follows().await
    }

    /// Discards earlier measurements.
    pub(super) fn begin(&self) {
        let _before = self.load.snapshot_and_reset();
    }

    /// Writes the configuration that the servers have, with another cluster.
    pub(super) async fn edit_placement(&self) -> anyhow::Result<()> {
        let mut config = jetstream::stream_info(&self.admin, STREAM).await?["config"].clone();
        config["placement"] = json!({"cluster": HOME});
        jetstream::update_stream(&self.admin, STREAM, config).await?;
        Ok(())
    }

    /// Led from home, three replicas there and current, and no move under way (nats-facts N22).
    pub(super) async fn until_moved(&self) -> anyhow::Result<()> {
        eventually(LIMIT, "the stream has moved", || async {
            let info = jetstream::stream_info(&self.admin, STREAM).await?;
            let peers = jetstream::peers_in(&info);
            let home = peers.iter().filter(|peer| jetstream::is_in(peer, HOME)).count();
            ensure!(peers.len() == 3 && home == 3, "peers: {peers:?}");
            let replicas = info["cluster"]["replicas"].as_array();
            let current = |peer: &serde_json::Value| peer["current"] == true;
            ensure!(
                replicas.is_some_and(|replicas| replicas.iter().all(current)),
                "a replica lags"
            );
            ensure!(info["cluster"]["desired"].is_null(), "the move goes on");
            Ok(())
        })
        .await
    }

    /// Waits until the sourced stream follows again, ends the load, and returns what clients noticed.
    pub(super) async fn felt(&mut self) -> anyhow::Result<ClientImpact> {
        self.until_follows().await?;
        self.load.stop_publishing().await;
        // What does not arrive is reported as lost.
        let _ = eventually(LIMIT / 5, "all arrives through the sourced stream", || async {
            let missing = self.missing_at_probe();
            ensure!(missing == 0, "{missing} have not arrived");
            Ok(())
        })
        .await;
        let ended = self.load.stop().await;
        let first = u64::try_from(STORED)? + 1;
        let in_stream = self.load.verify_stream_from(&self.admin, STREAM, first).await?;
        let of = |part: &str| ended.phases.0.get(part).cloned().unwrap_or_default();
        let micros = Duration::from_micros;
        Ok(ClientImpact {
            publish_stall: micros(of("publisher").publish.quantiles().max_micros),
            delivery_delay: micros(of("probe").arrival.quantiles().max_micros),
            refused: of("publisher").counts.publishes_refused,
            unanswered: of("publisher").counts.publishes_unanswered,
            published: ended.summary.published(),
            acknowledged: ended.summary.acknowledged(),
            lost: in_stream.missing + ended.summary.outstanding() + self.missing_at_probe(),
        })
    }

    fn missing_at_probe(&self) -> u64 {
        self.load.ledger().undelivered(STREAM, (COPY, PROBE))
    }

    async fn until_follows(&self) -> anyhow::Result<()> {
        let (begin, mut since) = (Instant::now(), None);
        loop {
            let missing = self.missing_at_probe();
            let flows = self.load.summary().acknowledged() > 0 && missing <= UNDER_WAY;
            since = if flows {
                since.or_else(|| Some(Instant::now()))
            } else {
                None
            };
            if since.is_some_and(|since: Instant| since.elapsed() > FOLLOWS) {
                return Ok(());
            }
            ensure!(
                begin.elapsed() < LIMIT,
                "{missing} messages do not arrive through {COPY}; {:?}",
                self.load.summary().last_error
            );
            tokio::time::sleep(LOOK).await;
        }
    }
}
