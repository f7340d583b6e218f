//! Samples show who uses a stream, from where, and by what.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::ensure;
use async_nats::Client;
use async_nats::jetstream::{self as js, consumer::PullConsumer};
use futures::StreamExt as _;
use leeward_core::names::{ConsumerName, ServerName, StreamName};
use leeward_core::usage::{Sampling, UseKind, UseSample};
use leeward_engine::ports::Act as _;
use leeward_lab::nats::{AccountSpec, Layout, Permissions, System, UserSpec, eventually};
use leeward_nats::AccountClient;
use serde_json::json;
use tokio_util::task::AbortOnDropHandle;

use crate::support::{LIMIT, acting_client, create_consumer, create_stream};

const HOME: &str = "us-east";
const AWAY: &str = "eu-west";
const SERVERS: usize = 3;

/// Users of the account APP: one that may do anything, one that may not listen, and one that may not look for clients.
async fn clusters() -> System {
    let deaf = Permissions::allow(&["$JS.API.>", "$SYS.REQ.>"], &["_INBOX.>"]);
    let blind = ["$JS.API.>", "$SYS.REQ.USER.INFO"];
    let blind = Permissions::allow(&blind, &["_INBOX.>", "logs", "$JS.API.DIRECT.GET.>"]);
    let account = AccountSpec::new("APP")
        .user(UserSpec::new("app"))
        .user(UserSpec::limited("blind", blind))
        .user(UserSpec::limited("deaf", deaf));
    let layout = Layout::supercluster(&[(HOME, 2), (AWAY, 1)]);
    System::builder(layout).account(account).start().await.unwrap()
}

async fn connect(system: &System, location: &str) -> Client {
    let credentials = system.credentials("APP", "app").unwrap();
    system.connect(location, credentials).await.unwrap()
}

/// Publishes every 20 ms until it is dropped; with `acknowledged` as JetStream clients do.
fn publisher(client: Client, subject: &'static str, acknowledged: bool) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(async move {
        let stream = js::new(client.clone());
        loop {
            if acknowledged {
                // The next one shows whether it goes on.
                let _ = async { stream.publish(subject, "x".into()).await?.await }.await;
            } else {
                let _ = client.publish(subject, "x".into()).await;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }))
}

/// Fetches from a pull consumer until it is dropped.
async fn puller(client: Client, stream: &str, name: &str) -> AbortOnDropHandle<()> {
    let consumer: PullConsumer = js::new(client)
        .get_consumer_from_stream(name, stream)
        .await
        .unwrap();
    AbortOnDropHandle::new(tokio::spawn(async move {
        loop {
            let fetch = || consumer.fetch().max_messages(5).expires(Duration::from_secs(1));
            let Ok(mut batch) = fetch().messages().await else {
                continue;
            };
            while let Some(Ok(message)) = batch.next().await {
                let _ = message.ack().await;
            }
        }
    }))
}

fn sampling(stream: &str, consumers: &[&str]) -> Sampling {
    Sampling {
        stream: StreamName::from(stream),
        consumers: consumers.iter().map(|name| ConsumerName::from(*name)).collect(),
        servers: SERVERS,
    }
}

async fn sample(account: &AccountClient, stream: &str, consumers: &[&str]) -> Vec<UseSample> {
    let sampled = account.sample_use(&sampling(stream, consumers)).await.unwrap();
    assert!(
        sampled.denied.is_empty() && sampled.omitted.is_empty(),
        "{sampled:?}"
    );
    sampled.samples
}

fn of(samples: &[UseSample], kind: UseKind) -> UseSample {
    let mut found = samples.iter().filter(|sample| sample.kind == kind);
    found
        .next()
        .unwrap_or_else(|| panic!("no {kind:?} in {samples:?}"))
        .clone()
}

/// Messages by server.
fn servers(sample: &UseSample) -> BTreeMap<ServerName, u32> {
    let mut servers = BTreeMap::new();
    for (client, messages) in &sample.clients {
        *servers.entry(client.server.clone()).or_default() += messages;
    }
    servers
}

#[tokio::test(flavor = "multi_thread")]
async fn samples_show_the_connection_of_each_publisher_reader_and_receiver() {
    let system = clusters().await;
    let client = connect(&system, HOME).await;
    let config = json!({"subjects": ["orders.>"], "num_replicas": 1, "allow_direct": true});
    create_stream(&client, "ORDERS", config).await;
    create_consumer(&client, "ORDERS", "pulled", json!({"ack_policy": "explicit"})).await;
    create_consumer(
        &client,
        "ORDERS",
        "pushed",
        json!({"deliver_subject": "deliver.here"}),
    )
    .await;
    create_consumer(&client, "ORDERS", "idle", json!({"ack_policy": "explicit"})).await;
    let account = acting_client(&system, "app").await;
    let far = connect(&system, AWAY).await;
    let _pulls = puller(far.clone(), "ORDERS", "pulled").await;
    let receiver = connect(&system, HOME).await;
    let mut deliveries = receiver.subscribe("deliver.here").await.unwrap();
    let _receives =
        AbortOnDropHandle::new(tokio::spawn(
            async move { while deliveries.next().await.is_some() {} },
        ));
    // Somebody looks at everything, and uses nothing.
    let listener = connect(&system, HOME).await;
    let mut everything = listener.subscribe(">").await.unwrap();
    let _listens = AbortOnDropHandle::new(tokio::spawn(
        async move { while everything.next().await.is_some() {} },
    ));
    let _publishes = publisher(far.clone(), "orders.new", true);
    let reader = connect(&system, AWAY).await;
    let _reads = AbortOnDropHandle::new(tokio::spawn(async move {
        let stream = js::new(reader).get_stream("ORDERS").await.unwrap();
        loop {
            let _ = stream.direct_get_last_for_subject("orders.new").await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }));

    eventually(LIMIT, "everybody is found", || async {
        let samples = sample(&account, "ORDERS", &["pulled", "pushed", "idle"]).await;
        let away = ServerName::from("eu-west-0");
        for kind in [UseKind::Publish, UseKind::Pull, UseKind::DirectGet] {
            let one = of(&samples, kind);
            let found = servers(&one);
            ensure!(
                one.messages > 0 && found == BTreeMap::from([(away.clone(), one.messages)]),
                "{one:?}"
            );
        }
        let pushed = of(&samples, UseKind::Push);
        let at = servers(&pushed);
        ensure!(
            at.len() == 1 && at.keys().all(|server| server.as_str().starts_with(HOME)),
            "{pushed:?}"
        );
        Ok(())
    })
    .await
    .unwrap();

    let samples = sample(&account, "ORDERS", &["idle"]).await;
    let idle = of(&samples, UseKind::Pull);
    assert!(idle.messages == 0 && idle.clients.is_empty(), "{idle:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sample_ends_after_its_messages_and_what_has_no_reply_is_seen_and_unexplained() {
    let system = clusters().await;
    let client = connect(&system, HOME).await;
    create_stream(
        &client,
        "LOGS",
        json!({"subjects": ["logs"], "num_replicas": 1, "allow_direct": true}),
    )
    .await;
    create_consumer(&client, "LOGS", "pulled", json!({"ack_policy": "explicit"})).await;
    let account = acting_client(&system, "app").await;
    let publishers: Vec<_> = (0..3).map(|_| publisher(client.clone(), "logs", false)).collect();
    let samples = sample(&account, "LOGS", &[]).await;
    let published = of(&samples, UseKind::Publish);
    assert!(
        published.messages > 0 && published.clients.is_empty(),
        "{published:?}"
    );
    assert!(published.messages <= 16, "{published:?}");
    // As Go's asynchronous publishers do: an inbox of few characters, with a subscription to all of it.
    let asynchronous = connect(&system, AWAY).await;
    let mut acknowledgements = asynchronous.subscribe("_INBOX.aB3dE9.*").await.unwrap();
    create_stream(&client, "GO", json!({"subjects": ["go"], "num_replicas": 1})).await;
    let _publishes = AbortOnDropHandle::new(tokio::spawn(async move {
        for number in 0u64.. {
            let reply = format!("_INBOX.aB3dE9.{number:06}");
            let _ = asynchronous.publish_with_reply("go", reply, "x".into()).await;
            let _ = tokio::time::timeout(Duration::from_millis(20), acknowledgements.next()).await;
        }
    }));
    eventually(LIMIT, "the asynchronous publisher is found", || async {
        let published = of(&sample(&account, "GO", &[]).await, UseKind::Publish);
        let at = servers(&published);
        ensure!(
            at == BTreeMap::from([(ServerName::from("eu-west-0"), published.messages)]),
            "{published:?}"
        );
        Ok(())
    })
    .await
    .unwrap();
    // Without permission to listen nothing is sampled, and each subject is named.
    let deaf = acting_client(&system, "deaf").await;
    let refused = deaf.sample_use(&sampling("LOGS", &["pulled"])).await.unwrap();
    let next = "$JS.API.CONSUMER.MSG.NEXT.LOGS.pulled".to_owned();
    let gets = ["", ".>"].map(|rest| format!("$JS.API.DIRECT.GET.LOGS{rest}"));
    let all = gets.into_iter().chain([next, "logs".to_owned()]);
    assert_eq!(refused.denied, all.collect());
    assert!(
        refused.samples.iter().all(|sample| sample.messages == 0),
        "{refused:?}"
    );
    // Whoever may not look for clients finds none.
    let _acknowledged = publisher(client, "logs", true);
    let blind = acting_client(&system, "blind").await;
    let refused = blind.sample_use(&sampling("LOGS", &[])).await.unwrap();
    let omitted = refused.omitted.join(" ");
    assert!(
        omitted.contains("may not publish $SYS.REQ.ACCOUNT.PING.CONNZ"),
        "{refused:?}"
    );
    drop(publishers);
}
