//! Samples next to a stream's leader: of streams that are too busy to be sampled from elsewhere, and without a preference
//! for near clients.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use async_nats::Client;
use async_nats::jetstream as js;
use futures::StreamExt as _;
use leeward_core::names::ServerName;
use leeward_core::snapshot::AccountView;
use leeward_core::topology::{LocationMap, TopologyKey};
use leeward_core::usage::{Sampled, Sampling, UseKind};
use leeward_engine::ports::Act as _;
use leeward_lab::nats::{Layout, System, eventually, jetstream};
use leeward_nats::{AccountClient, ConnectConfig, SystemObserver};
use serde_json::{Value, json};
use tokio_util::task::AbortOnDropHandle;

use crate::support::{INTERVAL, LIMIT, config, create_stream, system_config, until, view};

const HOME: &str = "us-east";
const AWAY: &str = "eu-west";
/// Publishes that wait for their acknowledgements, of each client.
const OUTSTANDING: usize = 200;
/// Messages that one sampling of publishes may receive next to the leader, with those that are counted and with answers to
/// requests.
const MOST_RECEIVED: u64 = 6 * (4 + 512 + 2) + 512 + 512;
/// Messages that are published at once.
const BATCH: usize = 100;
/// Samplings of one stream, for a share that is no chance.
const SAMPLINGS: usize = 10;

struct BusySystem {
    system: System,
    observer: Arc<SystemObserver>,
    /// It knows servers of both clusters, and acts from the one that is far from the stream.
    account: Arc<AccountClient>,
}

impl BusySystem {
    async fn new() -> Self {
        let layout = Layout::supercluster(&[(HOME, 1), (AWAY, 1)]);
        let builder = System::builder(layout).delay(Duration::from_millis(20));
        let system = builder.start().await.unwrap();
        let observer = SystemObserver::start(system_config(&system), INTERVAL);
        let credentials = system.credentials("APP", "app").unwrap();
        let servers = [AWAY, HOME].map(|location| config(&system, location, credentials).servers);
        let nobody = vec!["nats://127.0.0.1:1".to_owned()];
        let config = ConnectConfig {
            servers: [nobody, servers.concat()].concat(),
            ..config(&system, AWAY, credentials)
        };
        let account = AccountClient::connect(config, None);
        until(&mut account.account(), Option::is_some).await;
        Self {
            system,
            observer,
            account,
        }
    }

    async fn connect(&self, location: &str) -> Client {
        let credentials = self.system.credentials("APP", "app").unwrap();
        self.system.connect(location, credentials).await.unwrap()
    }

    async fn create(&self, name: &str, subject: &str) {
        let client = self.connect(HOME).await;
        let config = json!({"subjects": [subject], "num_replicas": 1, "storage": "memory",
            "max_msgs": 1000, "placement": {"cluster": HOME}});
        create_stream(&client, name, config).await;
    }

    /// A sampling of a stream with the rate that was measured, once it is this much.
    async fn sampling(&self, stream: &str, least: f32) -> Sampling {
        let busy = |view: &AccountView| {
            let rate = view.stream(&stream.into()).and_then(|stream| stream.message_rate);
            rate.is_some_and(|rate| rate >= least)
        };
        let view = view(&*self.observer, "APP", busy).await;
        let locations = LocationMap::new(&view.topology, &TopologyKey::Cluster { tag_prefix: None });
        Sampling::new(&view, &locations, view.stream(&stream.into()).unwrap())
    }

    async fn sample(&self, sampling: &Sampling) -> anyhow::Result<Sampled> {
        let sampled = self.account.sample_use(sampling).await?;
        ensure!(
            sampled.omitted.is_empty() && sampled.denied.is_empty(),
            "{sampled:?}"
        );
        Ok(sampled)
    }

    /// Messages that came to the far cluster from the other one, as its server counts them.
    async fn crossed(&self) -> anyhow::Result<u64> {
        let gateways = self.system.ping("GATEWAYZ", &Value::Null).await?;
        let away = gateways.get("eu-west-0").context("eu-west-0 does not answer")?;
        let inbound = away["inbound_gateways"][HOME].as_array();
        let messages = inbound
            .into_iter()
            .flatten()
            .map(|one| one["connection"]["in_msgs"].as_u64());
        Ok(messages.flatten().sum())
    }

    /// Messages that the near server sent on the connection for samples.
    async fn received(&self) -> anyhow::Result<u64> {
        let options = json!({"acc": "APP", "auth": true});
        let servers = self.system.ping("CONNZ", &options).await?;
        let connections = servers["us-east-0"]["connections"].as_array().cloned();
        let of_leeward = |one: &Value| {
            one["name"]
                .as_str()
                .is_some_and(|name| name.starts_with("leeward"))
        };
        let all = connections.unwrap_or_default().into_iter().filter(of_leeward);
        Ok(all.filter_map(|one| one["out_msgs"].as_u64()).sum())
    }

    async fn stored(&self, stream: &str) -> anyhow::Result<u64> {
        let info = jetstream::stream_info(&self.connect(HOME).await, stream).await?;
        info["state"]["last_seq"].as_u64().context("no sequence")
    }
}

/// Publishes until it is dropped, as fast as the server acknowledges.
fn flood(client: Client, subject: &'static str) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(async move {
        let inbox = client.new_inbox();
        let mut acknowledgements = client.subscribe(format!("{inbox}.*")).await.unwrap();
        let mut outstanding = 0;
        for number in 0u64.. {
            let reply = format!("{inbox}.{number}");
            client
                .publish_with_reply(subject, reply, "x".into())
                .await
                .unwrap();
            outstanding += 1;
            while outstanding >= OUTSTANDING {
                acknowledgements.next().await;
                outstanding -= 1;
            }
        }
    }))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_stream_is_sampled_next_to_its_leader_and_no_more_of_it_crosses_a_gateway() {
    let world = BusySystem::new().await;
    world.create("BUSY", "busy").await;
    let mut floods = Vec::new();
    for _ in 0..4 {
        floods.push(flood(world.connect(HOME).await, "busy"));
    }
    let (crossed, stored) = (
        world.crossed().await.unwrap(),
        world.stored("BUSY").await.unwrap(),
    );
    let received = world.received().await.unwrap();
    let sampling = world.sampling("BUSY", 5_000.0).await;
    let samplings = AtomicU64::new(0);
    eventually(LIMIT, "its publishers are found", || async {
        samplings.fetch_add(1, Ordering::Relaxed);
        let sampled = world.sample(&sampling).await?;
        let published = sampled.samples.iter().find(|one| one.kind == UseKind::Publish);
        let published = published.context("no publishes")?;
        let home = ServerName::from("us-east-0");
        ensure!(published.messages >= 4, "{published:?}");
        ensure!(
            published.clients.keys().all(|client| client.server == home),
            "{published:?}"
        );
        ensure!(
            published.clients.values().sum::<u32>() == published.messages,
            "{published:?}"
        );
        Ok(())
    })
    .await
    .unwrap();
    let stored = world.stored("BUSY").await.unwrap() - stored;
    let crossed = world.crossed().await.unwrap() - crossed;
    let received = world.received().await.unwrap() - received;
    let most = samplings.into_inner() * MOST_RECEIVED;
    assert!(
        received <= most,
        "{received} messages were received, at most {most} may be"
    );
    assert!(
        crossed < stored / 20,
        "{crossed} messages crossed the gateway of {stored}"
    );

    // From elsewhere more messages come in the warm-up than may.
    let far = Sampling {
        near: BTreeSet::new(),
        ..sampling.clone()
    };
    let refused = world.account.sample_use(&far).await.unwrap();
    assert!(refused.omitted.concat().contains("too fast"), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_of_all_locations_are_seen_as_often_as_they_publish() {
    let world = BusySystem::new().await;
    world.create("BOTH", "both").await;
    let publishers = [world.connect(HOME).await, world.connect(AWAY).await];
    let _publishers = publishers.map(|client| {
        AbortOnDropHandle::new(tokio::spawn(async move {
            let stream = js::new(client);
            loop {
                // The next ones show whether it goes on.
                let _ = stream.publish("both", "x".into()).await;
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }))
    });
    let sampling = world.sampling("BOTH", 100.0).await;
    let (mut away, mut all) = (0, 0);
    for _ in 0..SAMPLINGS {
        let sampled = eventually(LIMIT, "both are found", || world.sample(&sampling))
            .await
            .unwrap();
        for sample in sampled.samples {
            for (client, messages) in sample.clients {
                all += messages;
                away += if client.server.as_str() == "eu-west-0" {
                    messages
                } else {
                    0
                };
            }
        }
    }
    assert!(all > 100, "{all}");
    let share = away * 100 / all;
    assert!((30..=70).contains(&share), "{share} % of {all}");
}

/// What one client sends at once tells no more than that it is there.
#[tokio::test(flavor = "multi_thread")]
async fn batches_of_one_client_are_no_more_evidence_than_there_are_batches() {
    let world = BusySystem::new().await;
    world.create("BATCHES", "batches").await;
    let client = world.connect(HOME).await;
    let _publishes = AbortOnDropHandle::new(tokio::spawn(async move {
        let inbox = client.new_inbox();
        let _acknowledgements = client.subscribe(format!("{inbox}.*")).await.unwrap();
        loop {
            for number in 0..BATCH {
                let reply = format!("{inbox}.{number}");
                let _ = client.publish_with_reply("batches", reply, "x".into()).await;
            }
            tokio::time::sleep(Duration::from_millis(700)).await;
        }
    }));
    let sampling = world.sampling("BATCHES", 10.0).await;
    eventually(LIMIT, "batches are sampled", || async {
        let sampled = world.sample(&sampling).await?;
        let published = sampled.samples.iter().find(|one| one.kind == UseKind::Publish);
        let published = published.context("no publishes")?;
        let known: u32 = published.clients.values().sum();
        ensure!(known >= 8, "{published:?}");
        assert!(published.independent <= known / 4 + 1, "{published:?}");
        // Of each batch only a few were taken, and the others were counted.
        let rate = f64::from(published.messages) / published.span.as_secs_f64();
        ensure!(
            rate > f64::from(sampling.rate) / 2.0,
            "{rate} of {}: {published:?}",
            sampling.rate
        );
        Ok(())
    })
    .await
    .unwrap();
}
