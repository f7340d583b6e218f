//! What the observers show.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::ensure;
use leeward_core::names::{AccountId, AssetName, ClusterName, ConsumerName, ServerName, StreamName};
use leeward_core::operation::ReadResult;
use leeward_core::snapshot::{AccountView, ClientKind, Gap, RaftGroup};
use leeward_engine::ports::{Act, Observe};
use leeward_lab::nats::{
    AccountSpec, Auth, Layout, NatsVersion, Permissions, System, UserSpec, eventually, jetstream,
};
use leeward_nats::{AccountClient, ObserverRights, SystemObserver, TenantObserver};
use serde_json::json;

use crate::support::{
    INTERVAL, LIMIT, account_client, create_consumer, create_stream, system_config, until, view,
};

/// Streams and consumers of every kind.
async fn fill(client: &async_nats::Client, replicas: usize) {
    let orders = json!({ "subjects": ["orders.>"], "num_replicas": replicas, "metadata": { "team": "a" } });
    create_stream(client, "ORDERS", orders).await;
    let one = json!({ "subjects": ["one.>"], "num_replicas": 1 });
    create_stream(client, "ONE", one).await;
    create_consumer(client, "ORDERS", "durable", json!({ "ack_policy": "explicit" })).await;
    let ignored = json!({ "num_replicas": 1, "metadata": { "leeward.dev/ignore": "true" } });
    create_consumer(client, "ORDERS", "single", ignored).await;
    create_consumer(
        client,
        "ORDERS",
        "ephemeral",
        json!({ "inactive_threshold": 600_000_000_000_u64 }),
    )
    .await;
    create_consumer(client, "ONE", "durable", json!({ "ack_policy": "explicit" })).await;
    for number in 0..20 {
        let subject = format!("orders.{number}");
        // Interest in a new stream's subjects takes a moment to reach every server.
        let publish = || jetstream::publish(client, &subject, "hello");
        eventually(LIMIT, "the stream takes a message", publish)
            .await
            .unwrap();
    }
}

fn assets(view: &AccountView) -> Vec<AssetName> {
    let of_stream = |stream: &leeward_core::snapshot::Stream| {
        let consumers = stream.consumers.iter();
        let own = AssetName::stream(stream.name.clone());
        let consumers = consumers.map(|one| AssetName::consumer(stream.name.clone(), one.name.clone()));
        std::iter::once(own).chain(consumers).collect::<Vec<_>>()
    };
    view.streams.iter().flat_map(of_stream).collect()
}

/// Leader and peers by name, with what the leader says of each.
fn named(view: &AccountView, group: &RaftGroup) -> (Option<ServerName>, Vec<(ServerName, bool, bool)>) {
    let name = |index| view.topology.get(index).unwrap().name.clone();
    let peers = group
        .peers
        .iter()
        .map(|peer| (name(peer.server), peer.current, peer.offline));
    (group.leader.map(name), peers.collect())
}

/// Compares a view with what INFO says of each asset.
async fn agrees(view: &AccountView, client: &AccountClient) -> anyhow::Result<()> {
    for asset in assets(view) {
        let ReadResult::Seen(reading) = client.read(&asset).await? else {
            anyhow::bail!("{asset} is not seen");
        };
        let (leader, mut peers) = named(view, view.group(&asset).unwrap());
        peers.sort();
        let read: Vec<_> = reading
            .peers
            .into_iter()
            .map(|peer| (peer.server, peer.current, peer.offline))
            .collect();
        ensure!(
            leader == reading.leader,
            "leader of {asset}: {leader:?}, read {:?}",
            reading.leader
        );
        ensure!(peers == read, "peers of {asset}: {peers:?}, read {read:?}");
    }
    Ok(())
}

fn connections(view: &AccountView) -> u32 {
    view.clients.iter().map(|group| group.connections).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_complete_view_of_a_supercluster_agrees_with_info_and_with_the_tenants_view() {
    let layout = Layout::supercluster(&[("us-east", 3), ("eu-west", 3)]);
    let system = System::builder(layout)
        .delay(Duration::from_millis(10))
        .start()
        .await
        .unwrap();
    let credentials = system.credentials("APP", "app").unwrap();
    let clients = [
        system.connect("us-east", credentials).await.unwrap(),
        system.connect("eu-west", credentials).await.unwrap(),
        system.connect("eu-west", credentials).await.unwrap(),
    ];
    fill(&clients[0], 3).await;
    let account = account_client(&system, "app").await;
    let observer = SystemObserver::start(system_config(&system), INTERVAL);
    // An account that nobody watches would be forgotten in between.
    let _watching = observer.watch(&AccountId::from("APP"));
    let seen = view(&*observer, "APP", |view| {
        view.gaps.is_empty() && assets(view).len() == 6 && connections(view) == 3
    })
    .await;
    eventually(LIMIT, "the view agrees with INFO", || async {
        let seen = observer.watch(&AccountId::from("APP")).borrow().clone();
        agrees(&seen, &account).await
    })
    .await
    .unwrap();

    assert_eq!(seen.topology.servers().len(), 6);
    let of_cluster = |name: &str| {
        let here = |index| seen.topology.details(index).unwrap().cluster.as_str() == name;
        seen.clients
            .iter()
            .filter(|group| here(group.server))
            .map(|group| group.connections)
            .sum::<u32>()
    };
    assert_eq!((of_cluster("us-east"), of_cluster("eu-west")), (1, 2));
    assert!(seen.clients.iter().all(|group| group.kind == ClientKind::Client));
    assert!(
        seen.clients
            .iter()
            .all(|group| group.user.as_deref() == Some("APP-app"))
    );
    let orders = seen.stream(&StreamName::from("ORDERS")).unwrap();
    assert_eq!(
        orders.metadata,
        BTreeMap::from([("team".to_owned(), "a".to_owned())])
    );
    assert_eq!(
        (orders.replicas, orders.moving, orders.placement.as_ref()),
        (3, false, None)
    );
    let kinds: Vec<_> = orders
        .consumers
        .iter()
        .map(|one| (one.name.as_str(), one.durable, one.opted_out))
        .collect();
    assert_eq!(
        kinds,
        [
            ("durable", true, false),
            ("ephemeral", false, false),
            ("single", true, true)
        ]
    );

    // Traffic and rates need a second look.
    let busy = tokio::spawn({
        let client = clients[1].clone();
        async move {
            loop {
                let _ = jetstream::publish(&client, "orders.more", "hello").await;
            }
        }
    });
    let second = view(&*observer, "APP", |view| {
        let orders = view.stream(&StreamName::from("ORDERS"));
        orders.is_some_and(|orders| orders.message_rate.is_some_and(|rate| rate > 0.0))
            && view.traffic.is_some_and(|traffic| traffic.gateway_bytes > 0)
            && view
                .clients
                .iter()
                .any(|group| group.messages.is_some_and(|messages| messages > 0))
    })
    .await;
    busy.abort();
    let traffic = second.traffic.unwrap();
    assert!(traffic.bytes >= traffic.gateway_bytes, "{traffic:?}");

    let tenant = TenantObserver::start(account.clone(), INTERVAL);
    eventually(LIMIT, "both observers say the same", || async {
        let theirs = view(&*tenant, "APP", |view| view.gaps.is_empty()).await;
        let ours = observer.watch(&AccountId::from("APP")).borrow().clone();
        ensure!(
            assets(&ours) == assets(&theirs),
            "{:?} {:?}",
            assets(&ours),
            assets(&theirs)
        );
        for asset in assets(&ours) {
            let (ours, theirs) = (
                named(&ours, ours.group(&asset).unwrap()),
                named(&theirs, theirs.group(&asset).unwrap()),
            );
            ensure!(ours == theirs, "{asset}: {ours:?} {theirs:?}");
        }
        let clients = |view: &AccountView| {
            let group = |group: &leeward_core::snapshot::ClientGroup| {
                let server = view.topology.get(group.server).unwrap().name.clone();
                (server, group.user.clone(), group.name.clone(), group.connections)
            };
            view.clients.iter().map(group).collect::<Vec<_>>()
        };
        ensure!(
            clients(&ours) == clients(&theirs),
            "{:?} {:?}",
            clients(&ours),
            clients(&theirs)
        );
        let names = |view: &AccountView| {
            let servers = view.topology.servers().iter();
            servers
                .map(|one| (one.name.clone(), one.details.as_ref().unwrap().cluster.clone()))
                .collect::<Vec<_>>()
        };
        ensure!(
            names(&ours) == names(&theirs),
            "{:?} {:?}",
            names(&ours),
            names(&theirs)
        );
        Ok(())
    })
    .await
    .unwrap();

    let east_to_west = (ClusterName::from("us-east"), ClusterName::from("eu-west"));
    let status = until(&mut observer.status(), |status| {
        status.round_trips.contains_key(&east_to_west)
    })
    .await;
    assert_eq!(status.rights, ObserverRights::System);
    assert_eq!((status.servers_expected, status.servers_answered), (6, 6));
    assert!(
        status.round_trips[&east_to_west] >= Duration::from_millis(15),
        "{:?}",
        status.round_trips
    );
    let leaders: u32 = status.clusters.iter().map(|cluster| cluster.stream_leaders).sum();
    assert_eq!((status.clusters.len(), leaders), (2, 2));
    tenant.shutdown().await;
    observer.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_becomes_a_gap_and_an_asset_without_leader_stays_listed() {
    let layout = Layout::stretched(&[("us-east", 1), ("eu-west", 1), ("ap-south", 1)]);
    let system = System::builder(layout).start().await.unwrap();
    let client = system
        .connect("us-east", system.credentials("APP", "app").unwrap())
        .await
        .unwrap();
    fill(&client, 3).await;
    let observer = SystemObserver::start(system_config(&system), INTERVAL);
    view(&*observer, "APP", |view| {
        view.gaps.is_empty() && assets(view).len() == 6
    })
    .await;
    let missing = |name: &str| Gap::MemberMissing {
        server: ServerName::from(name),
    };

    system.kill("ap-south-0").await.unwrap();
    let seen = view(&*observer, "APP", |view| {
        view.gaps.contains(&missing("ap-south-0"))
    })
    .await;
    let orders = seen.stream(&StreamName::from("ORDERS")).unwrap();
    assert_eq!(orders.group.peers.len(), 3, "the killed peer stays a peer");
    until(&mut observer.status(), |status| {
        status.servers_expected > status.servers_answered
    })
    .await;

    system.kill("eu-west-0").await.unwrap();
    let seen = view(&*observer, "APP", |view| {
        let orders = view.stream(&StreamName::from("ORDERS"));
        orders.is_some_and(|orders| orders.group.leader.is_none())
    })
    .await;
    assert!(!seen.gaps.is_empty());

    system.restart("eu-west-0").await.unwrap();
    system.restart("ap-south-0").await.unwrap();
    view(&*observer, "APP", |view| {
        let whole = |group: &RaftGroup| group.leader.is_some() && group.peers.iter().all(|peer| peer.current);
        view.gaps.is_empty()
            && view
                .stream(&StreamName::from("ORDERS"))
                .is_some_and(|orders| whole(&orders.group))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_election_is_seen_without_waiting_for_the_next_sweep() {
    let layout = Layout::stretched(&[("us-east", 1), ("eu-west", 1), ("ap-south", 1)]);
    let system = System::builder(layout)
        .auth(Auth::Operator)
        .start()
        .await
        .unwrap();
    let client = system
        .connect("us-east", system.credentials("APP", "app").unwrap())
        .await
        .unwrap();
    fill(&client, 3).await;
    let id = system.account_id("APP").unwrap().to_owned();
    let account = account_client(&system, "app").await;
    let info = until(&mut account.account(), Option::is_some).await.unwrap();
    assert_eq!(info.id, AccountId::from(id.as_str()));
    let day = Duration::from_hours(24);
    let observer = SystemObserver::start(system_config(&system), day);
    let tenant = TenantObserver::start(account, day);
    let led_by = |view: &AccountView, server: &str| {
        let asset = AssetName::consumer(StreamName::from("ORDERS"), ConsumerName::from("durable"));
        let leader = view.group(&asset).and_then(|group| group.leader);
        view.gaps.is_empty() && leader.is_some() && leader == view.topology.find(server)
    };
    let before = jetstream::leader_of_consumer(&client, "ORDERS", "durable")
        .await
        .unwrap()
        .unwrap();
    view(&*observer, &id, |view| led_by(view, &before)).await;
    view(&*tenant, &id, |view| led_by(view, &before)).await;
    let servers = system.server_names();
    let other = servers.iter().find(|name| **name != before).unwrap();
    jetstream::step_down_consumer(&client, "ORDERS", "durable", Some(other))
        .await
        .unwrap();
    view(&*observer, &id, |view| led_by(view, other)).await;
    view(&*tenant, &id, |view| led_by(view, other)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_documented_permissions_are_enough_to_observe() {
    let system_user = UserSpec::limited(
        "leeward",
        Permissions::allow(
            &[
                "$SYS.REQ.SERVER.PING.STATSZ",
                "$SYS.REQ.SERVER.PING.GATEWAYZ",
                "$SYS.REQ.SERVER.PING.CONNZ",
                "$SYS.REQ.SERVER.*.JSZ",
                "$SYS.REQ.ACCOUNT.PING.STATZ",
            ],
            &[
                "_INBOX.>",
                "$JS.EVENT.ADVISORY.*.LEADER_ELECTED.>",
                "$JS.EVENT.ADVISORY.*.QUORUM_LOST.>",
                "$SYS.ACCOUNT.*.SERVER.CONNS",
                "$SYS.SERVER.*.SHUTDOWN",
            ],
        ),
    );
    let tenant_user = UserSpec::limited(
        "leeward",
        Permissions::allow(
            &[
                "$JS.API.STREAM.LIST",
                "$JS.API.STREAM.INFO.*",
                "$JS.API.CONSUMER.LIST.*",
                "$JS.API.CONSUMER.INFO.*.*",
                "$SYS.REQ.ACCOUNT.PING.CONNZ",
                "$SYS.REQ.ACCOUNT.PING.STATZ",
                "$SYS.REQ.USER.INFO",
            ],
            &[
                "_INBOX.>",
                "$JS.EVENT.ADVISORY.*.LEADER_ELECTED.>",
                "$JS.EVENT.ADVISORY.*.QUORUM_LOST.>",
            ],
        ),
    );
    let account = AccountSpec::new("APP")
        .user(UserSpec::new("app"))
        .user(tenant_user);
    let layout = Layout::supercluster(&[("us-east", 1), ("eu-west", 1)]);
    let system = System::builder(layout)
        .system_user(system_user)
        .account(account)
        .start()
        .await
        .unwrap();
    let client = system
        .connect("us-east", system.credentials("APP", "app").unwrap())
        .await
        .unwrap();
    fill(&client, 1).await;
    let credentials = system.credentials("SYS", "leeward").unwrap();
    let observer = SystemObserver::start(crate::support::config(&system, "us-east", credentials), INTERVAL);
    view(&*observer, "APP", |view| {
        view.gaps.is_empty() && assets(view).len() == 6
    })
    .await;
    let tenant = TenantObserver::start(account_client(&system, "leeward").await, INTERVAL);
    view(&*tenant, "APP", |view| {
        view.gaps.is_empty() && assets(view).len() == 6
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_not_be_asked_is_a_gap() {
    let user = UserSpec::limited(
        "blind",
        Permissions::allow(&["$SYS.REQ.SERVER.PING.>"], &["_INBOX.>"]),
    );
    let layout = Layout::supercluster(&[("us-east", 1)]);
    let system = System::builder(layout).system_user(user).start().await.unwrap();
    let client = system
        .connect("us-east", system.credentials("APP", "app").unwrap())
        .await
        .unwrap();
    fill(&client, 1).await;
    let credentials = system.credentials("SYS", "blind").unwrap();
    let observer = SystemObserver::start(crate::support::config(&system, "us-east", credentials), INTERVAL);
    let denied = |subject: &str| Gap::Denied {
        subject: subject.to_owned(),
    };
    let seen = view(&*observer, "APP", |view| view.gaps != [Gap::WarmingUp]).await;
    assert_eq!(
        seen.gaps,
        [
            denied("$SYS.REQ.ACCOUNT.PING.STATZ"),
            denied("$SYS.REQ.SERVER.*.JSZ")
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_of_another_account_are_told_apart() {
    let system = System::builder(Layout::supercluster(&[("us-east", 1)]))
        .start()
        .await
        .unwrap();
    let credentials = system.credentials("APP", "app").unwrap();
    let observer = SystemObserver::start(crate::support::config(&system, "us-east", credentials), INTERVAL);
    let status = until(&mut observer.status(), |status| {
        status.rights != ObserverRights::Unknown
    })
    .await;
    assert_eq!(
        status.rights,
        ObserverRights::NotSystem {
            account: Some("APP".into())
        }
    );
    view(&*observer, "APP", |view| {
        matches!(view.gaps.as_slice(), [Gap::Unreadable { .. }, Gap::WarmingUp])
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn older_servers_are_seen_completely() {
    for version in [NatsVersion::V2_10, NatsVersion::V2_11] {
        let layout = Layout::stretched(&[("us-east", 1), ("eu-west", 1), ("ap-south", 1)]);
        let system = System::builder(layout).version(version).start().await.unwrap();
        let client = system
            .connect("us-east", system.credentials("APP", "app").unwrap())
            .await
            .unwrap();
        fill(&client, 3).await;
        let account = account_client(&system, "app").await;
        let observer = SystemObserver::start(system_config(&system), INTERVAL);
        let tenant = TenantObserver::start(account.clone(), INTERVAL);
        eventually(LIMIT, "the views agree with INFO", || async {
            let seen = view(&*observer, "APP", |view| {
                view.gaps.is_empty() && assets(view).len() == 6
            })
            .await;
            agrees(&seen, &account).await?;
            let seen = view(&*tenant, "APP", |view| {
                view.gaps.is_empty() && assets(view).len() == 6
            })
            .await;
            agrees(&seen, &account).await
        })
        .await
        .unwrap();
    }
}
