//! Samples show who uses a stream, from where, and by what.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::ensure;
use async_nats::Client;
use async_nats::jetstream::{self as js, consumer::PullConsumer};
use futures::StreamExt as _;
use leeward_core::names::{ConsumerName, ServerName, StreamName};
use leeward_core::usage::{ConsumerSampling, Sampling, UseKind, UseSample, WarmUp};
use leeward_engine::ports::Act as _;
use leeward_lab::nats::{AccountSpec, Credentials, Layout, Permissions, System, UserSpec, eventually};
use leeward_nats::AccountClient;
use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio_util::task::AbortOnDropHandle;

use crate::support::{
    LIMIT, acting_client, config, create_consumer, create_stream, hub_and_leaf, until, witnessed_client,
};

const HOME: &str = "us-east";
const AWAY: &str = "eu-west";
const SERVERS: [&str; 3] = ["eu-west-0", "us-east-0", "us-east-1"];

/// Users of the account APP: one that may do anything, one that may not listen, and one that may not look for clients.
pub(crate) async fn clusters() -> System {
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

pub(crate) async fn connect(system: &System, location: &str) -> Client {
    let credentials = system.credentials("APP", "app").unwrap();
    system.connect(location, credentials).await.unwrap()
}

/// A stream of one subject.
pub(crate) async fn create_orders(client: &Client) {
    let config = json!({"subjects": ["orders"], "num_replicas": 1});
    create_stream(client, "ORDERS", config).await;
}

/// Publishes every 20 ms until it is dropped; with `acknowledged` as JetStream clients do.
pub(crate) fn publisher(client: Client, subject: &'static str, acknowledged: bool) -> AbortOnDropHandle<()> {
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

/// With subjects, and of consumers where they deliver, after a space.
pub(crate) fn sampling(stream: &str, subjects: &str, consumers: &[&str]) -> Sampling {
    let consumer = |words: &&str| {
        let (name, deliver_subject) = words
            .split_once(' ')
            .map_or((*words, None), |(name, at)| (name, Some(at)));
        ConsumerSampling {
            name: ConsumerName::from(name),
            deliver_subject: deliver_subject.map(str::to_owned),
        }
    };
    Sampling {
        stream: StreamName::from(stream),
        subjects: subjects.split(' ').map(str::to_owned).collect(),
        allow_direct: true,
        consumers: consumers.iter().map(consumer).collect(),
        servers: SERVERS.map(ServerName::from).into(),
        rate: 0,
        near: BTreeSet::new(),
        near_warm_up: WarmUp {
            time: Duration::from_millis(10),
            messages: 50,
        },
        warm_up: WarmUp {
            time: Duration::from_millis(100),
            messages: 50,
        },
        is_idle: false,
    }
}

async fn sample(account: &AccountClient, subjects: &str, consumers: &[&str]) -> Vec<UseSample> {
    let sampling = sampling("ORDERS", subjects, consumers);
    let sampled = account.sample_use(&sampling).await.unwrap();
    assert!(
        sampled.denied.is_empty() && sampled.omitted.is_empty(),
        "{sampled:?}"
    );
    sampled.samples
}

pub(crate) fn of(samples: &[UseSample], kind: UseKind) -> UseSample {
    let mut found = samples.iter().filter(|sample| sample.kind == kind);
    found
        .next()
        .unwrap_or_else(|| panic!("no {kind:?} in {samples:?}"))
        .clone()
}

/// Messages by server.
pub(crate) fn servers(sample: &UseSample) -> BTreeMap<ServerName, u32> {
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
        let samples = sample(&account, "orders.>", &["pulled", "pushed deliver.here", "idle"]).await;
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

    let samples = sample(&account, "orders.>", &["idle"]).await;
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
    eventually(LIMIT, "publishes are seen", || async {
        // What comes at once after a delay is too fast to sample.
        let sampled = account.sample_use(&sampling("LOGS", "logs", &[])).await?;
        let published = of(&sampled.samples, UseKind::Publish);
        ensure!(
            (1..=24).contains(&published.messages) && published.clients.is_empty(),
            "{sampled:?}"
        );
        Ok(())
    })
    .await
    .unwrap();
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
        // It publishes as fast as it is acknowledged.
        let quick = Sampling {
            warm_up: WarmUp {
                time: Duration::from_millis(100),
                messages: 250,
            },
            ..sampling("GO", "go", &[])
        };
        let sampled = account.sample_use(&quick).await?;
        let published = of(&sampled.samples, UseKind::Publish);
        let away = BTreeMap::from([(ServerName::from("eu-west-0"), published.messages)]);
        ensure!(
            published.messages > 0 && servers(&published) == away,
            "{sampled:?}"
        );
        Ok(())
    })
    .await
    .unwrap();
    // Without permission to listen nothing is sampled, and each subject is named.
    let deaf = acting_client(&system, "deaf").await;
    let refused = deaf
        .sample_use(&sampling("LOGS", "logs", &["pulled"]))
        .await
        .unwrap();
    let next = "$JS.API.CONSUMER.MSG.NEXT.LOGS.pulled".to_owned();
    let direct_gets = ["", ".>"].map(|rest| format!("$JS.API.DIRECT.GET.LOGS{rest}"));
    let creates = ["", ".>"].map(|rest| format!("$JS.API.CONSUMER.CREATE.LOGS{rest}"));
    let gets = "$JS.API.STREAM.MSG.GET.LOGS".to_owned();
    let all = direct_gets
        .into_iter()
        .chain(creates)
        .chain([gets, next, "logs".to_owned()]);
    assert_eq!(refused.denied, all.collect());
    assert!(
        refused.samples.iter().all(|sample| sample.messages == 0),
        "{refused:?}"
    );
    // Whoever may not look for clients finds none.
    let _acknowledged = publisher(client, "logs", true);
    let blind = acting_client(&system, "blind").await;
    let refused = blind.sample_use(&sampling("LOGS", "logs", &[])).await.unwrap();
    let omitted = refused.omitted.join(" ");
    assert!(
        omitted.contains("may not publish $SYS.REQ.ACCOUNT.PING.CONNZ"),
        "{refused:?}"
    );
    drop(publishers);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_much_for_a_sample_is_left_out_and_named() {
    let system = clusters().await;
    let client = connect(&system, HOME).await;
    let subjects: Vec<String> = (0..300).map(|number| format!("many.{number}")).collect();
    create_stream(&client, "MANY", json!({"subjects": subjects, "num_replicas": 1})).await;
    let names: Vec<String> = (0..18).map(|number| format!("c{number:02}")).collect();
    for name in &names {
        create_consumer(&client, "MANY", name, json!({"ack_policy": "explicit"})).await;
    }
    let _pulls = puller(connect(&system, AWAY).await, "MANY", "c03").await;
    let account = acting_client(&system, "app").await;
    let consumers: Vec<&str> = names.iter().map(String::as_str).collect();
    eventually(LIMIT, "the consumer's client is found", || async {
        let sampled = account
            .sample_use(&sampling("MANY", &subjects.join(" "), &consumers))
            .await?;
        let omitted = sampled.omitted.join("; ");
        ensure!(omitted.contains("it has 300 subjects"), "{omitted}");
        ensure!(omitted.contains("2 consumers more than the 16"), "{omitted}");
        let of_consumers = sampled.samples.iter().filter(|sample| sample.consumer.is_some());
        ensure!(of_consumers.count() == 16, "{sampled:?}");
        let worked = sampled.samples.iter().find(|sample| !sample.clients.is_empty());
        let worked = worked.and_then(|sample| sample.consumer.as_ref());
        ensure!(worked == Some(&ConsumerName::from("c03")), "{sampled:?}");
        Ok(())
    })
    .await
    .unwrap();
}

/// Requests of a domain are delivered without its prefix; who is behind a leaf node is found there, and is in no location of
/// the hub.
#[tokio::test(flavor = "multi_thread")]
async fn requests_of_a_domain_are_seen_and_clients_behind_a_leaf_node_are_told_from_those_of_the_hub() {
    let (hub, shop) = hub_and_leaf(|hub| hub.domain("hub")).await;
    let client = connect(&hub, HOME).await;
    create_orders(&client).await;
    create_consumer(&client, "ORDERS", "work", json!({"ack_policy": "explicit"})).await;
    let credentials = hub.credentials("APP", "app").unwrap();
    let account = AccountClient::connect(config(&hub, HOME, credentials), Some("hub"));
    until(&mut account.account(), Option::is_some).await;

    let worker = js::with_domain(connect(&hub, AWAY).await, "hub");
    let worker: PullConsumer = worker.get_consumer_from_stream("work", "ORDERS").await.unwrap();
    let _works = AbortOnDropHandle::new(tokio::spawn(async move {
        loop {
            let fetch = worker.fetch().max_messages(5).expires(Duration::from_secs(1));
            if let Ok(mut batch) = fetch.messages().await {
                while let Some(Ok(message)) = batch.next().await {
                    let _ = message.ack().await;
                }
            }
        }
    }));
    let till = connect(&shop, "shop").await;
    let _behind_the_leaf = publisher(till, "orders", true);
    eventually(
        LIMIT,
        "the worker is found, and the till at its own server",
        || async {
            let samples = sample(&account, "orders", &["work"]).await;
            let pulled = of(&samples, UseKind::Pull);
            let away = BTreeMap::from([(ServerName::from("eu-west-0"), pulled.messages)]);
            ensure!(pulled.messages > 0 && servers(&pulled) == away, "{pulled:?}");
            let published = of(&samples, UseKind::Publish);
            let shop = BTreeMap::from([(ServerName::from("shop-0"), published.messages)]);
            ensure!(
                published.messages > 0 && servers(&published) == shop,
                "{published:?}"
            );
            Ok(())
        },
    )
    .await
    .unwrap();
    // A client beside it is found all the same.
    let _at_the_hub = publisher(connect(&hub, HOME).await, "orders", true);
    eventually(LIMIT, "the publisher of the hub is found", || async {
        let published = of(&sample(&account, "orders", &[]).await, UseKind::Publish);
        let at: Vec<ServerName> = servers(&published).into_keys().collect();
        let both = ["shop-0", "us-east-0"].map(ServerName::from);
        ensure!(at == both, "{published:?}");
        Ok(())
    })
    .await
    .unwrap();
}

/// The NATS library ends a connection that receives a subject which is no text; the account's own connection goes on.
#[tokio::test(flavor = "multi_thread")]
async fn subjects_that_are_no_text_end_no_connection_but_that_of_samples() {
    let system = clusters().await;
    let client = connect(&system, HOME).await;
    create_stream(&client, "BAD", json!({"subjects": ["bad.>"], "num_replicas": 1})).await;
    let account = acting_client(&system, "app").await;
    let connected = account.state().borrow().clone();
    let mut changes = account.state();
    changes.mark_unchanged();
    let bad = AbortOnDropHandle::new(tokio::spawn(bad_subjects(&system)));
    for _ in 0..3 {
        // A connection that is lost is no silence.
        if let Ok(sampled) = account.sample_use(&sampling("BAD", "bad.>", &[])).await {
            assert!(of(&sampled.samples, UseKind::Publish).messages > 0, "{sampled:?}");
        }
    }
    assert!(!changes.has_changed().unwrap(), "{:?}", account.state().borrow());
    assert_eq!(*account.state().borrow(), connected);
    drop(bad);
    let _publishes = publisher(client, "bad.now", true);
    eventually(LIMIT, "samples go on afterwards", || async {
        let sampled = account.sample_use(&sampling("BAD", "bad.>", &[])).await?;
        let mut published = sampled.samples.iter();
        let found = published.any(|sample| !sample.clients.is_empty());
        ensure!(found, "{sampled:?}");
        Ok(())
    })
    .await
    .unwrap();
}

/// Publishes to a subject that is no text, by hand, until it is dropped.
fn bad_subjects(system: &System) -> impl Future<Output = ()> + use<> {
    let url = system.urls(HOME).unwrap();
    let address = url
        .split(',')
        .next()
        .unwrap()
        .trim_start_matches("nats://")
        .to_owned();
    let Credentials::UserPassword { user, password } = system.credentials("APP", "app").unwrap() else {
        panic!("a password");
    };
    let connect = format!(
        "CONNECT {{\"verbose\":false,\"pedantic\":false,\"user\":\"{user}\",\"pass\":\"{password}\"}}\r\n"
    );
    async move {
        let mut socket = TcpStream::connect(address).await.unwrap();
        socket.write_all(connect.as_bytes()).await.unwrap();
        loop {
            socket
                .write_all(b"PUB bad.\xff _INBOX.1 1\r\nx\r\n")
                .await
                .unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Servers that read their configuration again answer an account's users no more, except the one that they are connected to.
#[tokio::test(flavor = "multi_thread")]
async fn after_a_reload_clients_are_found_through_the_system_account() {
    let system = clusters().await;
    let client = connect(&system, HOME).await;
    create_orders(&client).await;
    let (witnessed, _observer) = witnessed_client(&system, "app").await;
    let alone = acting_client(&system, "app").await;
    let _publishes = publisher(connect(&system, AWAY).await, "orders", true);
    // The share of messages whose client is found, in percent.
    let found = |account: Arc<AccountClient>| async move {
        let sampled = account.sample_use(&sampling("ORDERS", "orders", &[])).await?;
        // While servers read their configuration a lookup may stay without an answer: then it is told as omitted.
        ensure!(sampled.omitted.is_empty(), "{sampled:?}");
        let published = of(&sampled.samples, UseKind::Publish);
        ensure!(published.messages > 0, "{published:?}");
        let known: u32 = servers(&published).values().sum();
        anyhow::Ok(known * 100 / published.messages)
    };
    let both = |wanted: (u32, u32)| {
        let (witnessed, alone) = (witnessed.clone(), alone.clone());
        async move {
            let shares = (found(witnessed).await?, found(alone).await?);
            ensure!(shares == wanted, "{shares:?}");
            Ok(())
        }
    };
    eventually(LIMIT, "both find the publisher", || both((100, 100)))
        .await
        .unwrap();
    for location in [HOME, AWAY] {
        for server in system.servers_in(location) {
            system.reload(&server).await.unwrap();
        }
    }
    let what = "only a user of the system account finds it";
    eventually(LIMIT, what, || both((100, 0))).await.unwrap();
}
