//! Guards the promise of `load`: every message that a server acknowledged is accounted for, whatever happened on the
//! way.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_nats::jetstream::{self, consumer, stream};
use async_nats::{Client, ConnectOptions, HeaderMap};
use leeward_lab::load::{Acknowledge, Connect, IdleClients, Load, Publisher, PullWorker, PushWorker};
use leeward_lab::ports::Port;
use leeward_lab::process::{Process, ServerCommand};
use leeward_lab::tools::{NatsVersion, Tool, tool};
use tempfile::TempDir;

const STREAM: &str = "ORDERS";
const SUBJECT: &str = "orders.new";

struct Server {
    process: Process,
    port: Port,
    folder: TempDir,
}

impl Server {
    async fn start() -> Self {
        let folder = TempDir::new().unwrap();
        let port = Port::reserve().unwrap();
        let process = Process::start(command(folder.path(), port.number()))
            .await
            .unwrap();
        Self {
            process,
            port,
            folder,
        }
    }

    async fn start_again(&mut self) {
        self.process = Process::start(command(self.folder.path(), self.port.number()))
            .await
            .unwrap();
    }

    async fn client(&self, name: &str) -> Client {
        connect(self.port.number(), name).await.unwrap()
    }
}

fn command(folder: &Path, port: u16) -> ServerCommand {
    let args = [
        "--addr",
        "127.0.0.1",
        "--jetstream",
        "--port",
        &port.to_string(),
        "--store_dir",
    ];
    ServerCommand {
        program: tool(Tool::NatsServer(NatsVersion::Newest)).unwrap(),
        args: args
            .iter()
            .map(Into::into)
            .chain([folder.join("store").into()])
            .collect(),
        log: folder.join("nats.log"),
        envs: Vec::new(),
    }
}

/// Retries, because the server may be starting.
async fn connect(port: u16, name: &str) -> anyhow::Result<Client> {
    let started = Instant::now();
    loop {
        match ConnectOptions::new()
            .name(name)
            .connect(format!("nats://127.0.0.1:{port}"))
            .await
        {
            Ok(client) => return Ok(client),
            Err(error) if started.elapsed() > Duration::from_secs(30) => return Err(error.into()),
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

async fn make_stream(client: &Client, duplicate_window: Duration) -> stream::Stream {
    let config = stream::Config {
        name: STREAM.into(),
        subjects: vec!["orders.>".into()],
        duplicate_window,
        ..Default::default()
    };
    jetstream::new(client.clone())
        .create_stream(config)
        .await
        .unwrap()
}

async fn make_consumers(stream: &stream::Stream) {
    let ack_wait = Duration::from_secs(2);
    let pull = consumer::pull::Config {
        durable_name: Some("puller".into()),
        ack_wait,
        ..Default::default()
    };
    stream.create_consumer(pull).await.unwrap();
    let push = consumer::push::Config {
        durable_name: Some("pushed".into()),
        deliver_subject: "deliver.orders".into(),
        deliver_group: Some("workers".into()),
        ack_wait,
        ..Default::default()
    };
    stream.create_consumer(push).await.unwrap();
}

async fn await_condition(what: &str, condition: impl AsyncFn() -> bool) {
    let started = Instant::now();
    while !condition().await {
        assert!(started.elapsed() < Duration::from_mins(1), "still not so: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn publisher(client: Client, rate_per_second: f64) -> Publisher {
    Publisher {
        rate_per_second,
        ..Publisher::new(client, "east", STREAM, SUBJECT)
    }
}

#[tokio::test]
async fn every_acknowledged_message_is_stored_once_and_delivered_although_the_server_is_killed_meanwhile() {
    let mut server = Server::start().await;
    let client = server.client("setup").await;
    make_consumers(&make_stream(&client, Duration::from_mins(2)).await).await;

    let mut load = Load::new();
    for number in 0..2 {
        load.publish(publisher(
            server.client(&format!("publisher-{number}")).await,
            400.0,
        ));
        let worker = PushWorker::new(
            server.client("pushed").await,
            "west",
            STREAM,
            "pushed",
            "deliver.orders",
        );
        load.push(PushWorker {
            queue: Some("workers".into()),
            ..worker
        });
    }
    await_condition("pull requests find something", async || {
        load.summary().acknowledged() > 20
    })
    .await;
    for _ in 0..2 {
        let worker = PullWorker::new(server.client("puller").await, "west", STREAM, "puller");
        load.pull(PullWorker {
            acknowledge: Acknowledge::Confirmed,
            batch: 10,
            ..worker
        });
    }
    await_condition("the first messages are delivered", async || {
        load.summary().delivered() > 400
    })
    .await;
    let before = load.snapshot_and_reset();
    server.process.kill().await.unwrap();
    let published = load.summary().published();
    await_condition("messages are begun without a server", async || {
        load.summary().published() > published + 10
    })
    .await;
    server.start_again().await;
    let acknowledged = load.summary().acknowledged();
    await_condition("messages are acknowledged again", async || {
        load.summary().acknowledged() > acknowledged + 400
    })
    .await;

    let totals = load.stop().await;
    let after = totals.phases;
    println!(
        "before: {}\nafter: {}\n{}",
        before.total(),
        after.total(),
        totals.summary
    );
    let summary = totals.summary;
    assert_eq!(summary.acknowledged(), summary.published(), "{summary:?}");
    assert_eq!(summary.outstanding(), 0, "{summary:?}");
    assert_eq!(
        summary.delivered(),
        2 * summary.acknowledged(),
        "two consumers deliver each message"
    );
    let check = load.verify_stream(&client, STREAM).await.unwrap();
    println!("{check}");
    assert!(check.is_exact(), "{check}");
    assert_eq!((check.stored, check.foreign), (summary.acknowledged(), 0));

    let (east, west) = (&after.0["east"], &after.0["west"]);
    assert_eq!(
        before.total().counts.acknowledged + east.counts.acknowledged,
        summary.acknowledged()
    );
    assert_eq!(east.publish.quantiles().count, east.counts.acknowledged);
    assert_eq!(west.delivery.quantiles().count, west.counts.delivered);
    assert!(west.ack.quantiles().count > 0 && before.0["west"].fetch.quantiles().count > 0);
}

#[tokio::test]
async fn a_message_whose_answer_came_too_late_is_stored_once_and_counts_once() {
    let server = Server::start().await;
    let client = server.client("setup").await;
    make_stream(&client, Duration::from_mins(2)).await;
    let mut load = Load::new();
    load.publish(publisher(server.client("publisher").await, 100.0));
    await_condition("the first message is acknowledged", async || {
        load.summary().acknowledged() > 0
    })
    .await;
    server.process.pause().unwrap();
    await_condition("an attempt has timed out", async || {
        load.summary().last_error.is_some()
    })
    .await;
    server.process.resume().unwrap();
    let totals = load.stop().await;
    let counts = totals.phases.total().counts;
    assert!(
        counts.publishes_unanswered > 0 && counts.duplicates > 0,
        "{counts:?}"
    );
    assert_eq!(counts.acknowledged, counts.published);
    let check = load.verify_stream(&client, STREAM).await.unwrap();
    assert!(check.is_exact(), "{check}");
    assert_eq!(check.stored, counts.published);
}

#[tokio::test]
async fn a_message_that_is_gone_counts_as_lost_until_it_was_delivered_and_one_stored_twice_as_doubled() {
    let server = Server::start().await;
    let client = server.client("setup").await;
    let stream = make_stream(&client, Duration::from_millis(100)).await;
    make_consumers(&stream).await;
    let mut load = Load::new();
    load.publish(publisher(client.clone(), 1000.0));
    await_condition("enough is acknowledged", async || {
        load.summary().acknowledged() >= 50
    })
    .await;
    load.stop_publishing().await;
    client.publish(SUBJECT, "not of the load".into()).await.unwrap();
    let check = load.verify_stream(&client, STREAM).await.unwrap();
    assert!(check.is_exact() && check.foreign <= 1, "{check}");

    let first = stream.get_raw_message(1).await.unwrap();
    let id = first
        .headers
        .get(async_nats::header::NATS_MESSAGE_ID)
        .unwrap()
        .clone();
    await_condition("the id is outside of the duplicate window", async || {
        let mut headers = HeaderMap::new();
        headers.insert(async_nats::header::NATS_MESSAGE_ID, id.clone());
        let context = jetstream::new(client.clone());
        let ack = context
            .publish_with_headers(SUBJECT, headers, "again".into())
            .await
            .unwrap();
        !ack.await.unwrap().duplicate
    })
    .await;
    stream.delete_message(5).await.unwrap();
    let check = load.verify_stream(&client, STREAM).await.unwrap();
    assert_eq!(
        (check.missing, check.lost, check.doubled, check.foreign),
        (1, 1, 1, 1),
        "{check}"
    );
    assert_eq!(check.examples.len(), 1);

    // What is left is delivered, and two more are removed afterwards.
    load.pull(PullWorker::new(client.clone(), "east", STREAM, "puller"));
    let left = check.acknowledged - 1;
    await_condition("all that is left is delivered", async || {
        load.summary().delivered() >= left
    })
    .await;
    stream.delete_message(6).await.unwrap();
    stream.delete_message(7).await.unwrap();
    let check = load.verify_stream(&client, STREAM).await.unwrap();
    assert_eq!((check.missing, check.lost), (3, 1), "{check}");
    let summary = load.summary();
    assert_eq!(
        (summary.outstanding(), summary.redelivered()),
        (1, 1),
        "{summary:?}"
    );
    assert_eq!(summary.streams[STREAM].consumers["puller"].foreign, 1);
}

#[tokio::test]
async fn a_publisher_without_a_stream_acknowledges_nothing_and_says_why() {
    let server = Server::start().await;
    let mut load = Load::new();
    let worker = load.publish(publisher(server.client("publisher").await, 100.0));
    await_condition("attempts have failed", async || {
        load.summary().last_error.is_some()
    })
    .await;
    worker.stop();
    let summary = load.summary();
    assert!(
        summary.published() > 0 && summary.acknowledged() == 0,
        "{summary}"
    );
    assert!(summary.last_error.unwrap().contains("no responders"));
}

async fn connections(client: &Client, name: &str) -> usize {
    let reply = client
        .request("$SYS.REQ.ACCOUNT.PING.CONNZ", r#"{"limit":1024}"#.into())
        .await
        .unwrap();
    let answer: serde_json::Value = serde_json::from_slice(&reply.payload).unwrap();
    let connections = answer["data"]["connections"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    connections
        .iter()
        .filter(|connection| connection["name"] == name)
        .count()
}

#[tokio::test]
async fn idle_clients_move_from_one_location_to_another() {
    let (east, west) = (Server::start().await, Server::start().await);
    let (east_client, west_client) = (east.client("observer").await, west.client("observer").await);
    let (east_port, west_port) = (east.port.number(), west.port.number());
    let to: Connect = Arc::new(move |location, name| {
        let port = if location == "east" { east_port } else { west_port };
        Box::pin(async move { connect(port, &name).await })
    });
    let mut idle = IdleClients::start(to, "east", "sleeper", 5).await.unwrap();
    assert_eq!(connections(&east_client, "sleeper").await, 5);
    idle.move_to("west").await.unwrap();
    assert_eq!((idle.location(), idle.clients().len()), ("west", 5));
    assert_eq!(connections(&west_client, "sleeper").await, 5);
    await_condition("nobody is left", async || {
        connections(&east_client, "sleeper").await == 0
    })
    .await;
    idle.resize(2).await.unwrap();
    await_condition("three have gone", async || {
        connections(&west_client, "sleeper").await == 2
    })
    .await;
    idle.stop().await.unwrap();
    await_condition("all have gone", async || {
        connections(&west_client, "sleeper").await == 0
    })
    .await;
}
