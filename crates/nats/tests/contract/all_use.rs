//! What a sample has to see, or to call unknown, so that nobody's use is taken for none.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::ensure;
use async_nats::jetstream::{self as js, consumer::pull};
use futures::StreamExt as _;
use leeward_core::names::ServerName;
use leeward_core::usage::{Sampling, UseKind};
use leeward_engine::ports::Act as _;
use leeward_lab::nats::{AccountSpec, Layout, NatsVersion, Permissions, System, UserSpec, eventually};
use leeward_nats::{AccountClient, SystemObserver};
use serde_json::json;
use tokio_util::task::AbortOnDropHandle;

use crate::sample::{clusters, connect, create_orders, of, publisher, sampling, servers};
use crate::support::{
    INTERVAL, LIMIT, acting_client, config, create_consumer, create_stream, hub_and_leaf, until,
    witnessed_client,
};

const HOME: &str = "us-east";
const AWAY: &str = "eu-west";

#[tokio::test(flavor = "multi_thread")]
async fn who_reads_through_the_leader_and_who_creates_consumers_is_seen() {
    let system = clusters().await;
    let client = connect(&system, HOME).await;
    create_stream(
        &client,
        "KEYS",
        json!({"subjects": ["keys.>"], "num_replicas": 1}),
    )
    .await;
    let _publishes = publisher(client, "keys.new", true);
    let reader = connect(&system, AWAY).await;
    let _reads = AbortOnDropHandle::new(tokio::spawn(async move {
        let stream = js::new(reader).get_stream("KEYS").await.unwrap();
        loop {
            let _ = stream.get_last_raw_message_by_subject("keys.new").await;
            // As who lists the keys of a bucket does.
            let created = stream.create_consumer(pull::Config::default()).await;
            if let Ok(created) = created {
                let _ = stream.delete_consumer(&created.cached_info().name).await;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }));
    let account = acting_client(&system, "app").await;
    eventually(LIMIT, "the reader is found", || async {
        let sampled = account.sample_use(&sampling("KEYS", "keys.>", &[])).await?;
        for kind in [UseKind::Get, UseKind::Create] {
            let read = of(&sampled.samples, kind);
            let away = BTreeMap::from([(ServerName::from("eu-west-0"), read.messages)]);
            ensure!(read.messages > 0 && servers(&read) == away, "{read:?}");
        }
        Ok(())
    })
    .await
    .unwrap();
}

/// Of a batch the first few messages would tell as little as one, and who sends steadily would seem to send the most.
#[tokio::test(flavor = "multi_thread")]
async fn batches_weigh_as_many_messages_as_they_have() {
    const BATCH: u32 = 100;
    const PAUSE: Duration = Duration::from_secs(1);
    let system = clusters().await;
    let client = connect(&system, HOME).await;
    create_stream(&client, "BOTH", json!({"subjects": ["both"], "num_replicas": 1})).await;
    // At most 50 a second.
    let _steady = publisher(client, "both", true);
    let away = connect(&system, AWAY).await;
    let _batches = AbortOnDropHandle::new(tokio::spawn(async move {
        let stream = js::new(away);
        loop {
            for _ in 0..BATCH {
                let _ = stream.publish("both", "x".into()).await;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }));
    let account = acting_client(&system, "app").await;
    eventually(LIMIT, "most comes in batches", || async {
        let stored = Sampling {
            rate: 150,
            ..sampling("BOTH", "both", &[])
        };
        let (mut batches, mut all) = (0, 0);
        for _ in 0..4 {
            let sampled = account.sample_use(&stored).await?;
            let published = of(&sampled.samples, UseKind::Publish);
            let found = servers(&published);
            batches += found
                .get(&ServerName::from("eu-west-0"))
                .copied()
                .unwrap_or_default();
            all += published.messages;
            ensure!(found.values().sum::<u32>() == published.messages, "{published:?}");
            ensure!(published.independent < published.messages, "{published:?}");
        }
        ensure!(all > 4 * 24 && batches * 2 > all, "{batches} of {all}");
        Ok(())
    })
    .await
    .unwrap();
}

/// Servers up to 2.11 tell how many connections the account has, not how many of them match.
#[tokio::test(flavor = "multi_thread")]
async fn publishers_are_found_on_every_version() {
    for version in [
        NatsVersion::V2_10,
        NatsVersion::V2_11,
        NatsVersion::V2_14,
        NatsVersion::Newest,
    ] {
        let layout = Layout::supercluster(&[(HOME, 1), (AWAY, 1)]);
        let system = System::builder(layout).version(version).start().await.unwrap();
        let client = connect(&system, HOME).await;
        create_stream(&client, "LOGS", json!({"subjects": ["logs"], "num_replicas": 1})).await;
        let _others = [connect(&system, HOME).await, connect(&system, AWAY).await];
        let _publishes = publisher(connect(&system, AWAY).await, "logs", true);
        let account = acting_client(&system, "app").await;
        eventually(LIMIT, "the publisher is found", || async {
            let sampled = account.sample_use(&sampling("LOGS", "logs", &[])).await?;
            let published = of(&sampled.samples, UseKind::Publish);
            let away = BTreeMap::from([(ServerName::from("eu-west-0"), published.messages)]);
            ensure!(
                published.messages > 0 && servers(&published) == away,
                "{version:?}: {published:?}"
            );
            Ok(())
        })
        .await
        .unwrap();
    }
}

async fn listener(client: async_nats::Client) -> AbortOnDropHandle<()> {
    let mut deliveries = client.subscribe("deliver.here").await.unwrap();
    AbortOnDropHandle::new(tokio::spawn(
        async move { while deliveries.next().await.is_some() {} },
    ))
}

#[tokio::test(flavor = "multi_thread")]
async fn receivers_behind_a_leaf_node_are_unknown() {
    let (hub, shop) = hub_and_leaf(|hub| hub).await;
    let client = connect(&hub, HOME).await;
    create_orders(&client).await;
    create_consumer(
        &client,
        "ORDERS",
        "pushed",
        json!({"deliver_subject": "deliver.here"}),
    )
    .await;
    let account = acting_client(&hub, "app").await;
    let found = || async {
        let sampled = account
            .sample_use(&sampling("ORDERS", "orders", &["pushed deliver.here"]))
            .await?;
        let mut pushed = sampled
            .samples
            .iter()
            .filter(|sample| sample.kind == UseKind::Push);
        anyhow::Ok(pushed.next().map(|sample| sample.messages))
    };
    let _receives = listener(connect(&hub, HOME).await).await;
    eventually(LIMIT, "the receiver at the hub is found", || async {
        let found = found().await?;
        ensure!(found == Some(1), "{found:?}");
        Ok(())
    })
    .await
    .unwrap();
    let _receives_too = listener(connect(&shop, "shop").await).await;
    eventually(LIMIT, "it is not the only one", || async {
        let found = found().await?;
        ensure!(found.is_none(), "{found:?}");
        Ok(())
    })
    .await
    .unwrap();
}

/// Only a user of the system account can tell what is exported; one that may not ask finds no receivers at all.
#[tokio::test(flavor = "multi_thread")]
async fn receivers_in_other_accounts_are_unknown() {
    let account = AccountSpec::new("APP").user(UserSpec::new("app"));
    let exports = json!([{"stream": "shared.>"}]);
    let layout = Layout::supercluster(&[(HOME, 2), (AWAY, 1)]);
    let asks = ["$SYS.REQ.SERVER.>", "$SYS.REQ.ACCOUNT.PING.>"];
    let system = System::builder(layout)
        .account(account.setting("exports", exports))
        .system_user(UserSpec::limited("lacking", Permissions::allow(&asks, &[">"])))
        .start()
        .await
        .unwrap();
    let client = connect(&system, HOME).await;
    create_orders(&client).await;
    let mut deliveries = Vec::new();
    for (name, subject) in [("own", "own.here"), ("shared", "shared.here")] {
        create_consumer(&client, "ORDERS", name, json!({"deliver_subject": subject})).await;
        deliveries.push(client.subscribe(subject).await.unwrap());
    }
    let (account, _observer) = witnessed_client(&system, "app").await;
    eventually(LIMIT, "who receives is known where nobody else may", || async {
        let sampled = account
            .sample_use(&sampling(
                "ORDERS",
                "orders",
                &["own own.here", "shared shared.here"],
            ))
            .await?;
        let pushed = sampled
            .samples
            .iter()
            .filter(|sample| sample.kind == UseKind::Push);
        let pushed: Vec<_> = pushed
            .map(|sample| (sample.consumer.clone().unwrap(), sample.messages))
            .collect();
        ensure!(pushed == [("own".into(), 1)], "{sampled:?}");
        Ok(())
    })
    .await
    .unwrap();
    let lacking = config(&system, HOME, system.credentials("SYS", "lacking").unwrap());
    let observer = SystemObserver::start(lacking, INTERVAL);
    until(&mut observer.status(), |status| status.observed_at.is_some()).await;
    let app = config(&system, HOME, system.credentials("APP", "app").unwrap());
    let account = AccountClient::connect_witnessed(app, None, observer.witness());
    until(&mut account.account(), Option::is_some).await;
    let sampled = account
        .sample_use(&sampling("ORDERS", "orders", &["own own.here"]))
        .await
        .unwrap();
    let omitted = sampled.omitted.join("; ");
    assert!(
        omitted.contains("may not publish $SYS.REQ.ACCOUNT.APP.INFO"),
        "{sampled:?}"
    );
    assert!(
        sampled.samples.iter().all(|sample| sample.kind != UseKind::Push),
        "{sampled:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn publishers_of_importing_accounts_are_told_from_those_that_are_not_found() {
    let exports = json!([{"service": "orders"}]);
    let imports = json!([{"service": {"account": "APP", "subject": "orders"}}]);
    let app = AccountSpec::new("APP").user(UserSpec::new("app"));
    let shop = AccountSpec::new("SHOP").user(UserSpec::new("till"));
    let system = System::builder(Layout::supercluster(&[(HOME, 2), (AWAY, 1)]))
        .account(app.setting("exports", exports))
        .account(shop.without_jetstream().setting("imports", imports))
        .start()
        .await
        .unwrap();
    let client = connect(&system, HOME).await;
    create_orders(&client).await;
    let till = system.credentials("SHOP", "till").unwrap();
    let till = system.connect(AWAY, till).await.unwrap();
    let _publishes = publisher(till, "orders", true);
    let account = acting_client(&system, "app").await;
    eventually(LIMIT, "the importers are told", || async {
        let sampled = account.sample_use(&sampling("ORDERS", "orders", &[])).await?;
        let published = of(&sampled.samples, UseKind::Publish);
        ensure!(
            published.messages > 0 && published.clients.is_empty(),
            "{published:?}"
        );
        ensure!(sampled.imported == published.messages, "{sampled:?}");
        let problem = sampled.problem().unwrap_or_default();
        ensure!(problem.contains("other accounts that import it"), "{problem}");
        Ok(())
    })
    .await
    .unwrap();
}
