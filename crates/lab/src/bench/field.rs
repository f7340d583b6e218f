//! 100 consumers in a stretched cluster, led from outside home, and three ways to bring them home.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use async_nats::Client;
use futures::future::try_join_all;
use serde_json::json;

use crate::audit::Audit;
use crate::load::IdleClients;
use crate::nats::jetstream::{self, PreferredLeader};
use crate::nats::{DEFAULT_ACCOUNT, DEFAULT_USER, Layout, System};

pub(super) const CONSUMERS: usize = STREAMS * PER_STREAM;

const STREAMS: usize = 10;
const PER_STREAM: usize = 10;
const HOME: &str = "us-east";
const OUTSIDE_HOME: &str = "eu-west";
const LOOK: Duration = Duration::from_millis(10);

/// The cluster with its consumers, and the clients that define the home.
pub(super) struct Testfield {
    client: Client,
    audit: Audit,
    _clients: IdleClients,
    system: System,
}

impl Testfield {
    pub(super) async fn start(folder: &Path) -> anyhow::Result<Self> {
        let layout = Layout::stretched(&[(HOME, 3), (OUTSIDE_HOME, 3)]);
        let system = System::builder(layout)
            .folder(folder.join("nats"))
            .start()
            .await?;
        let client = system.connect_default(HOME).await?;
        let clients = IdleClients::in_system(&system, HOME, "app", 9).await?;
        let audit = Audit::start(&system, &client).await?;
        let field = Self {
            client,
            audit,
            _clients: clients,
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
        for stream in streams() {
            let config = json!({"subjects": [format!("{stream}.>")], "num_replicas": 3});
            jetstream::create_spread(&self.client, &stream, config, &[HOME, OUTSIDE_HOME]).await?;
            for consumer in consumers() {
                let config = json!({"ack_policy": "explicit"});
                jetstream::create_consumer(&self.client, &stream, &consumer, config).await?;
            }
        }
        Ok(())
    }

    /// Leads every consumer from outside its home, and every stream from its home: only consumers must come home.
    pub(super) async fn lead_outside_home(&self) -> anyhow::Result<()> {
        for stream in streams() {
            self.lead_from(&stream, None, HOME).await?;
        }
        self.all(
            |stream, consumer| async move { self.lead_from(&stream, Some(&consumer), OUTSIDE_HOME).await },
        )
        .await?;
        Ok(())
    }

    /// One aimed step-down for each consumer, all at once, read back.
    pub(super) async fn floor(&self) -> anyhow::Result<u64> {
        let asked = self
            .all(|stream, consumer| async move { self.lead_from(&stream, Some(&consumer), HOME).await })
            .await?;
        Ok(asked.into_iter().sum())
    }

    /// Today's practice: step each consumer down until its leader happens to be home.
    pub(super) async fn loop_over_the_nats_command(&self) -> anyhow::Result<u64> {
        let context = self.system.nats_context(DEFAULT_ACCOUNT, DEFAULT_USER, HOME)?;
        let mut sent = 0;
        for (stream, consumer) in assets() {
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

    /// Waits until every consumer is led from home.
    pub(super) async fn until_home(&self, limit: Duration) -> anyhow::Result<()> {
        let waiting = self.all(|stream, consumer| async move {
            while !self.leader(&stream, &consumer).await?.starts_with(HOME) {
                tokio::time::sleep(LOOK).await;
            }
            Ok(())
        });
        tokio::time::timeout(limit, waiting)
            .await
            .context("not all consumers came home")??;
        Ok(())
    }

    async fn all<T, F, Fut>(&self, each: F) -> anyhow::Result<Vec<T>>
    where
        F: Fn(String, String) -> Fut,
        Fut: Future<Output = anyhow::Result<T>>,
    {
        try_join_all(assets().map(|(stream, consumer)| each(stream, consumer))).await
    }

    /// Aims step-downs at a peer in a region until the leader is there; gives how many were sent.
    async fn lead_from(&self, stream: &str, consumer: Option<&str>, region: &str) -> anyhow::Result<u64> {
        jetstream::lead(&self.client, stream, consumer, region, PreferredLeader::Aimed).await
    }

    async fn leader(&self, stream: &str, consumer: &str) -> anyhow::Result<String> {
        let leader = jetstream::leader_of_consumer(&self.client, stream, consumer).await?;
        Ok(leader.unwrap_or_default())
    }
}

fn streams() -> impl Iterator<Item = String> {
    (0..STREAMS).map(|number| format!("s-{number}"))
}

fn consumers() -> impl Iterator<Item = String> {
    (0..PER_STREAM).map(|number| format!("c-{number}"))
}

fn assets() -> impl Iterator<Item = (String, String)> {
    streams().flat_map(|stream| consumers().map(move |consumer| (stream.clone(), consumer)))
}
