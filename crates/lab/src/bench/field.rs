//! Consumers in a stretched cluster, led from outside home, and three ways to bring them home.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;
use async_nats::{Client, Subscriber};
use futures::future::try_join_all;
use futures::{StreamExt as _, TryStreamExt as _};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use super::LIMIT;
use crate::audit::Audit;
use crate::load::IdleClients;
use crate::nats::jetstream::{self, PreferredLeader};
use crate::nats::{DEFAULT_ACCOUNT, DEFAULT_USER, Layout, System};

pub(super) const HOME: &str = "us-east";
pub(super) const OUTSIDE_HOME: &str = "eu-west";
const CLIENTS: usize = 9;
/// A leader that was not announced by then comes of an ordinary election, or of none (nats-facts N14).
const TRANSFERRED: Duration = Duration::from_secs(12);
/// Consumers that are created together.
const AT_ONCE: usize = 16;
const ELECTED: &str = "$JS.EVENT.ADVISORY.CONSUMER.LEADER_ELECTED.>";

/// How many streams, with how many consumers each.
#[derive(Clone, Copy, Debug)]
pub(super) struct FieldSize {
    pub(super) streams: usize,
    pub(super) consumers_each: usize,
}

impl FieldSize {
    pub(super) fn consumers(self) -> usize {
        self.streams * self.consumers_each
    }
}

/// The cluster with its consumers, and the clients that define the home.
pub(super) struct Testfield {
    client: Client,
    audit: Audit,
    clients: IdleClients,
    size: FieldSize,
    led: watch::Receiver<LedConsumers>,
    _listening: AbortOnDropHandle<()>,
    system: System,
}

/// Who leads each consumer, by stream and name, as it was announced last.
type LedConsumers = BTreeMap<(String, String), String>;

async fn listen(mut elections: Subscriber, announced: watch::Sender<LedConsumers>) {
    while let Some(election) = elections.next().await {
        let Ok(said) = serde_json::from_slice::<Value>(&election.payload) else {
            continue;
        };
        let word = |name: &str| said[name].as_str().map(str::to_owned);
        if let (Some(stream), Some(consumer), Some(leader)) =
            (word("stream"), word("consumer"), word("leader"))
        {
            announced.send_modify(|led| {
                led.insert((stream, consumer), leader);
            });
        }
    }
}

impl Testfield {
    pub(super) async fn start(folder: &Path, size: FieldSize) -> anyhow::Result<Self> {
        let layout = Layout::stretched(&[(HOME, 3), (OUTSIDE_HOME, 3)]);
        let system = System::builder(layout)
            .folder(folder.join("nats"))
            .start()
            .await?;
        let client = system.connect_default(HOME).await?;
        let clients = IdleClients::in_system(&system, HOME, "app", CLIENTS).await?;
        let audit = Audit::start(&system, &client).await?;
        let elections = client.subscribe(ELECTED).await?;
        let (announced, led) = watch::channel(LedConsumers::new());
        let listening = tokio::spawn(listen(elections, announced));
        let field = Self {
            client,
            audit,
            clients,
            size,
            led,
            _listening: AbortOnDropHandle::new(listening),
            system,
        };
        field.create().await?;
        field.lead_outside_home().await?;
        Ok(field)
    }

    pub(super) fn system(&self) -> &System {
        &self.system
    }

    /// Step-downs requested by Leeward, as the servers counted them.
    pub(super) fn step_downs_by_leeward(&self) -> u64 {
        let asked = self.audit.leeward_writes();
        let step_downs = asked
            .iter()
            .filter(|request| request.subject.contains("LEADER.STEPDOWN"));
        step_downs.map(|_| 1).sum()
    }

    async fn create(&self) -> anyhow::Result<()> {
        for stream in self.streams() {
            let config = json!({"subjects": [format!("{stream}.>")], "num_replicas": 3});
            jetstream::create_spread(&self.client, &stream, config, &[HOME, OUTSIDE_HOME]).await?;
        }
        let create = |(stream, consumer): (String, String)| async move {
            let config = json!({"ack_policy": "explicit"});
            jetstream::create_consumer(&self.client, &stream, &consumer, config)
                .await
                .map(drop)
        };
        futures::stream::iter(self.assets())
            .map(create)
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await
    }

    /// Leads every consumer from outside its home, and every stream from its home: only consumers must come home.
    pub(super) async fn lead_outside_home(&self) -> anyhow::Result<()> {
        for stream in self.streams() {
            self.lead_from(&stream, None, HOME).await?;
        }
        self.all(
            |stream, consumer| async move { self.lead_from(&stream, Some(&consumer), OUTSIDE_HOME).await },
        )
        .await?;
        Ok(())
    }

    /// One aimed step-down for each consumer, all at once; nothing is read but who its peers are.
    pub(super) async fn floor(&self) -> anyhow::Result<()> {
        self.all(|stream, consumer| async move {
            let info = jetstream::consumer_info(&self.client, &stream, &consumer).await?;
            let peers = jetstream::peers_in(&info);
            let peer = peers.iter().find(|peer| jetstream::is_in(peer, HOME));
            let peer = peer.with_context(|| format!("{stream}/{consumer} has no peer in {HOME}"))?;
            // Only who is elected counts: an answer may come from a server that does not know the leader yet.
            let _ = jetstream::step_down_consumer(&self.client, &stream, &consumer, Some(peer)).await;
            anyhow::Ok(())
        })
        .await?;
        if self.until_led_from(HOME, TRANSFERRED).await.is_ok() {
            return Ok(());
        }
        self.script().await
    }

    /// How long a script takes until the servers announce the last leader, by the same clock as Leeward's.
    pub(super) async fn script_until_announced(&self) -> anyhow::Result<Duration> {
        let began = Instant::now();
        let announced = async {
            self.until_led_from(HOME, LIMIT).await?;
            anyhow::Ok(began.elapsed())
        };
        let (took, ()) = tokio::try_join!(announced, self.script())?;
        Ok(took)
    }

    /// The same by a script that reads every leader back, and asks again where it is not home.
    pub(super) async fn script(&self) -> anyhow::Result<()> {
        let led = |stream: String, consumer: String| async move {
            self.lead_from(&stream, Some(&consumer), HOME).await
        };
        self.all(led).await.map(drop)
    }

    /// Today's practice: step each consumer down until its leader happens to be home.
    pub(super) async fn loop_over_the_nats_command(&self) -> anyhow::Result<u64> {
        let context = self.system.nats_context(DEFAULT_ACCOUNT, DEFAULT_USER, HOME)?;
        let mut sent = 0;
        for (stream, consumer) in self.assets() {
            while !self.leader(&stream, &consumer).await?.starts_with(HOME) {
                // The command's own error about a slow election is no reason to give up: the loop looks again.
                self.system
                    .nats_cli(
                        &context,
                        &["consumer", "cluster", "step-down", &stream, &consumer],
                    )
                    .await?;
                sent += 1;
            }
        }
        Ok(sent)
    }

    /// Moves all clients to a location.
    pub(super) async fn move_clients(&mut self, location: &str) -> anyhow::Result<()> {
        self.clients.move_to(location).await
    }

    /// Waits until every consumer is led from a location, as the servers announce it, which costs them nothing.
    pub(super) async fn until_led_from(&self, location: &str, limit: Duration) -> anyhow::Result<()> {
        let announced = async {
            let mut led = self.led.clone();
            let is_there = |leader: &&String| jetstream::is_in(leader, location);
            let all = |led: &LedConsumers| led.values().filter(is_there).count() == self.size.consumers();
            led.wait_for(all).await.map(drop)
        };
        tokio::time::timeout(limit, announced)
            .await
            .with_context(|| format!("not all consumers are led from {location}"))??;
        Ok(())
    }

    async fn all<T, F, Fut>(&self, each: F) -> anyhow::Result<Vec<T>>
    where
        F: Fn(String, String) -> Fut,
        Fut: Future<Output = anyhow::Result<T>>,
    {
        try_join_all(self.assets().map(|(stream, consumer)| each(stream, consumer))).await
    }

    /// Aims step-downs at a peer in a region until the leader is there; gives how many were sent.
    async fn lead_from(&self, stream: &str, consumer: Option<&str>, region: &str) -> anyhow::Result<u64> {
        jetstream::lead(&self.client, stream, consumer, region, PreferredLeader::Aimed).await
    }

    async fn leader(&self, stream: &str, consumer: &str) -> anyhow::Result<String> {
        let leader = jetstream::leader_of_consumer(&self.client, stream, consumer).await?;
        Ok(leader.unwrap_or_default())
    }

    fn streams(&self) -> impl Iterator<Item = String> + use<> {
        (0..self.size.streams).map(|number| format!("s-{number}"))
    }

    fn assets(&self) -> impl Iterator<Item = (String, String)> + use<> {
        let consumers = self.size.consumers_each;
        self.streams()
            .flat_map(move |stream| (0..consumers).map(move |number| (stream.clone(), format!("c-{number}"))))
    }
}
