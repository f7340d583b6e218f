//! An account with many streams of which it is known who uses them, and its clients, who mostly are in one location.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_nats::{Client, Request};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::nats::{DEFAULT_ACCOUNT, DEFAULT_USER, Layout, System, jetstream};

pub(super) const STREAMS: usize = 1_000;
pub(super) const CONSUMERS: usize = 3;
/// The first streams are busy, so that one look shows enough of their messages.
pub(super) const BUSY: usize = 200;
pub(super) const ONE_WAY: Duration = Duration::from_millis(20);
pub(super) const HOME: &str = "us-east";
pub(super) const AWAY: &str = "eu-west";
pub(super) const CLIENTS_HOME: usize = 24;
pub(super) const CLIENTS_AWAY: usize = 8;
/// Servers in each location.
pub(super) const SERVERS: usize = 3;

/// Messages a second to each stream that is used.
const BUSY_RATE: f64 = 5.0;
const QUIET_RATE: f64 = 0.2;
/// Of what is published to a shared stream; what is published is all delivered to its majority, so that this has 70 % of both.
const SHARE_OF_MAJORITY: f64 = 0.4;
const KEPT_MESSAGES: u32 = 50;
const CREATED_AT_ONCE: usize = 32;
const ACKNOWLEDGED: Duration = Duration::from_secs(5);
const EXPIRES: Duration = Duration::from_secs(20);
const GRACE: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_secs(1);

/// Who uses a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Users {
    /// All of them are in one location.
    In(&'static str),
    /// Seven of ten messages are those of clients in one location, the others of the other.
    MostlyIn(&'static str),
    Nobody,
}

impl Users {
    /// Where a stream belongs that has these users.
    pub(super) fn majority(self) -> Option<&'static str> {
        match self {
            Self::In(location) | Self::MostlyIn(location) => Some(location),
            Self::Nobody => None,
        }
    }

    pub(super) fn describe(self) -> String {
        match self {
            Self::In(location) => format!("used from {location}"),
            Self::MostlyIn(location) => format!("shared, 70 % {location}"),
            Self::Nobody => "idle".to_owned(),
        }
    }
}

/// One stream, and what is true of it.
#[derive(Clone, Debug)]
pub(super) struct KnownStream {
    pub(super) name: String,
    pub(super) users: Users,
    /// Every other one is led from the wrong location.
    pub(super) led_from: &'static str,
    number: usize,
}

/// All streams; half of each kind is led from each location.
pub(super) fn streams() -> impl Iterator<Item = KnownStream> {
    (0..STREAMS).map(|number| {
        let users = match number % 10 {
            0..=4 => Users::In(HOME),
            5 | 6 => Users::In(AWAY),
            7 => Users::MostlyIn(HOME),
            8 => Users::MostlyIn(AWAY),
            _ => Users::Nobody,
        };
        let class = if number < BUSY { "busy" } else { "quiet" };
        KnownStream {
            name: format!("{class}-{number:04}"),
            users,
            led_from: if number / 10 % 2 == 0 { HOME } else { AWAY },
            number,
        }
    })
}

pub(super) struct UseScene {
    used: JoinSet<()>,
    counts: Arc<MessageCounts>,
    home: Vec<Client>,
    away: Vec<Client>,
    system: System,
}

/// Messages of the account.
#[derive(Debug, Default)]
struct MessageCounts {
    acknowledged: AtomicU64,
    delivered: AtomicU64,
}

impl UseScene {
    pub(super) async fn start(folder: &Path) -> anyhow::Result<Self> {
        let layout = Layout::supercluster(&[(HOME, SERVERS), (AWAY, SERVERS)]);
        let system = System::builder(layout)
            .delay(ONE_WAY)
            .folder(folder.join("nats"))
            .start()
            .await?;
        let mut scene = Self {
            used: JoinSet::new(),
            counts: Arc::default(),
            home: connected(&system, HOME, CLIENTS_HOME).await?,
            away: connected(&system, AWAY, CLIENTS_AWAY).await?,
            system,
        };
        scene.create().await?;
        for stream in streams() {
            scene.use_stream(&stream);
        }
        Ok(scene)
    }

    pub(super) fn system(&self) -> &System {
        &self.system
    }

    pub(super) fn version(&self) -> String {
        let version = self.home.first().map(|client| client.server_info().version);
        version.unwrap_or_default()
    }

    /// Messages that were stored and that were delivered until now.
    pub(super) fn messages(&self) -> u64 {
        let MessageCounts {
            acknowledged,
            delivered,
        } = &*self.counts;
        acknowledged.load(Ordering::Relaxed) + delivered.load(Ordering::Relaxed)
    }

    async fn create(&self) -> anyhow::Result<()> {
        let client = &self.system.connect_default(HOME).await?;
        stream::iter(streams())
            .map(|KnownStream { name, led_from, .. }| async move {
                let config = json!({
                    "subjects": [format!("{name}.>")],
                    "storage": "memory",
                    "max_msgs": KEPT_MESSAGES,
                    "placement": {"cluster": led_from},
                });
                jetstream::create_stream(client, &name, config).await?;
                for number in 0..CONSUMERS {
                    let config = json!({"ack_policy": "explicit", "mem_storage": true});
                    jetstream::create_consumer(client, &name, &format!("c-{number}"), config).await?;
                }
                anyhow::Ok(())
            })
            .buffer_unordered(CREATED_AT_ONCE)
            .try_collect::<()>()
            .await
    }

    /// A publisher and a worker, as its users are; the other consumers are idle.
    fn use_stream(&mut self, stream: &KnownStream) {
        let KnownStream {
            name, users, number, ..
        } = stream;
        let Some(majority) = users.majority() else {
            return;
        };
        let (own, others) = if majority == HOME {
            (&self.home, &self.away)
        } else {
            (&self.away, &self.home)
        };
        let client = |clients: &[Client]| clients.get(number % clients.len().max(1)).cloned();
        let (Some(own), Some(other)) = (client(own), client(others)) else {
            return;
        };
        let (share, other) = match users {
            Users::MostlyIn(_) => (SHARE_OF_MAJORITY, other),
            Users::In(_) | Users::Nobody => (1.0, own.clone()),
        };
        let rate = if *number < BUSY { BUSY_RATE } else { QUIET_RATE };
        let counts = &self.counts;
        let publish = publish(
            format!("{name}.new"),
            rate,
            (own.clone(), share),
            other,
            Arc::clone(counts),
        );
        self.used.spawn(publish);
        let next = format!("$JS.API.CONSUMER.MSG.NEXT.{name}.c-0");
        self.used.spawn(work(own, next, Arc::clone(counts)));
    }
}

async fn connected(system: &System, location: &str, count: usize) -> anyhow::Result<Vec<Client>> {
    let mut clients = Vec::new();
    for number in 0..count {
        let options = system.connect_options(system.credentials(DEFAULT_ACCOUNT, DEFAULT_USER)?)?;
        let options = options.name(format!("app-{location}-{number}"));
        clients.push(system.connect_with(&system.urls(location)?, options).await?);
    }
    Ok(clients)
}

/// Publishes at irregular times, so many a second on average, and waits for each acknowledgement.
async fn publish(
    subject: String,
    rate: f64,
    (own, share): (Client, f64),
    other: Client,
    counts: Arc<MessageCounts>,
) {
    loop {
        sleep(Duration::from_secs_f64(2.0 * fastrand::f64() / rate)).await;
        let client = if fastrand::f64() < share { &own } else { &other };
        let message = Request::new().payload("x".into()).timeout(Some(ACKNOWLEDGED));
        if client.send_request(subject.clone(), message).await.is_ok() {
            counts.acknowledged.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Requests one message after the other, and acknowledges it.
async fn work(client: Client, next: String, counts: Arc<MessageCounts>) {
    let inbox = client.new_inbox();
    // What is delivered has the subject under which it was published, so it needs a subscription of its own.
    let Ok(mut replies) = client.subscribe(format!("{inbox}.*")).await else {
        return;
    };
    let request = json!({"batch": 1, "expires": EXPIRES.as_nanos()}).to_string();
    for number in 0_u64.. {
        let reply = format!("{inbox}.{number}");
        let asked = client.publish_with_reply(next.clone(), reply, request.clone().into());
        if asked.await.is_err() {
            return;
        }
        match timeout(EXPIRES + GRACE, replies.next()).await {
            Ok(Some(message)) if message.status.is_some() => sleep(PAUSE).await,
            Ok(Some(message)) => {
                if let Some(reply) = message.reply
                    && client.publish(reply, "".into()).await.is_ok()
                {
                    counts.delivered.fetch_add(1, Ordering::Relaxed);
                }
            }
            Ok(None) => return,
            Err(_) => {}
        }
    }
}
