//! Systems that are put together in other ways than a cluster or several: a single server, leaf nodes, imports.

use leeward_core::names::{ServerName, StreamName};
use leeward_core::operation::ReadResult;
use leeward_core::snapshot::{AccountView, ClientKind, Gap};
use leeward_engine::ports::Act;
use leeward_lab::nats::{AccountSpec, Layout, NatsVersion, System, UserSpec, eventually};
use leeward_nats::{AccountClient, AccountProblem, ConnectionState, SystemObserver, TenantObserver};
use serde_json::json;

use crate::act::stream_asset;
use crate::support::{
    INTERVAL, LIMIT, account_client, config, create_consumer, create_stream, system_config, until, view,
};

async fn app(system: &System) -> async_nats::Client {
    let credentials = system.credentials("APP", "app").unwrap();
    system.connect(&system.locations()[0], credentials).await.unwrap()
}

/// The server that leads a stream, by name.
fn leader(view: &AccountView, stream: &str) -> Option<ServerName> {
    let leader = view.stream(&StreamName::from(stream))?.group.leader?;
    Some(view.topology.get(leader)?.name.clone())
}

fn connections_at(view: &AccountView, server: &str, kind: ClientKind) -> u32 {
    let here = |server: &str| view.topology.find(server);
    let groups = view.clients.iter();
    let groups = groups.filter(|group| Some(group.server) == here(server) && group.kind == kind);
    groups.map(|group| group.connections).sum()
}

/// One server in no cluster, with an account that imports the services of the system account.
#[tokio::test(flavor = "multi_thread")]
async fn a_single_server_leads_what_it_lists_and_an_import_of_monitoring_answers_for_nobody() {
    for version in [NatsVersion::Newest, NatsVersion::V2_10] {
        let exports = json!([{ "service": "$SYS.REQ.>", "response_type": "stream" }]);
        let imports = json!([{ "service": { "account": "SYS", "subject": "$SYS.REQ.ACCOUNT.PING.>" } }]);
        let system = System::builder(Layout::supercluster(&[("one", 1)]))
            .version(version)
            .system_account_setting("exports", exports)
            .account(
                AccountSpec::new("APP")
                    .user(UserSpec::new("app"))
                    .setting("imports", imports),
            )
            .account(AccountSpec::new("OTHER").user(UserSpec::new("app")))
            .start()
            .await
            .unwrap();
        let client = app(&system).await;
        let other = system.credentials("OTHER", "app").unwrap();
        let _others = [
            system.connect("one", other).await.unwrap(),
            system.connect("one", other).await.unwrap(),
        ];
        create_stream(&client, "S", json!({ "subjects": ["s"] })).await;
        create_consumer(&client, "S", "C", json!({ "ack_policy": "explicit" })).await;
        let tenant = TenantObserver::start(account_client(&system, "app").await, INTERVAL);
        let complete = |view: &AccountView| {
            view.gaps.is_empty()
                && view.streams.iter().any(|stream| !stream.consumers.is_empty())
                && !view.clients.is_empty()
        };
        let seen = view(&*tenant, "APP", complete).await;
        assert_eq!(leader(&seen, "S"), Some("one-0".into()), "{version:?}");
        let consumer = &seen.streams[0].consumers[0];
        assert_eq!(consumer.group.leader, seen.topology.find("one-0"), "{version:?}");
        let observer = SystemObserver::start(system_config(&system), INTERVAL);
        let theirs = view(&*observer, "APP", complete).await;
        assert_eq!(leader(&theirs, "S"), Some("one-0".into()), "{version:?}");
        for view in [&seen, &theirs] {
            let connected = connections_at(view, "one-0", ClientKind::Client);
            assert_eq!(connected, 1, "{version:?}: its own clients and nobody else's");
        }
        tenant.shutdown().await;
        observer.shutdown().await;
    }
}

/// Two clusters with the domain `hub`. A leaf node with a domain of its own has the name of one of their servers, and another
/// one runs no JetStream; both share the system account.
#[tokio::test(flavor = "multi_thread")]
async fn leaf_nodes_are_told_from_the_hub_by_id_and_their_clients_are_where_they_connect() {
    let hub = System::builder(Layout::supercluster(&[("us-east", 1), ("eu-west", 1)]))
        .domain("hub")
        .leaf_nodes()
        .start()
        .await
        .unwrap();
    let client = app(&hub).await;
    create_stream(&client, "ORDERS", json!({ "subjects": ["orders"] })).await;
    let remotes = |server: &str| {
        let remote = |account: &str, user: &str| hub.leaf_remote(server, account, user).unwrap();
        [remote("SYS", "sys"), remote("APP", "app")]
    };
    let shop = System::builder(Layout::supercluster(&[("shop", 1)]))
        .account(
            AccountSpec::new("APP")
                .user(UserSpec::new("app"))
                .without_jetstream(),
        )
        .without_jetstream()
        .leaf_of(&remotes("eu-west-0"))
        .start()
        .await
        .unwrap();
    let _tills = [app(&shop).await, app(&shop).await];
    let observer = SystemObserver::start(system_config(&hub), INTERVAL);
    let at_the_hub = |view: &AccountView| {
        connections_at(view, "eu-west-0", ClientKind::Client) == 2
            && connections_at(view, "eu-west-0", ClientKind::Leafnode) == 1
    };
    let seen = view(&*observer, "APP", |view| view.gaps.is_empty() && at_the_hub(view)).await;
    assert_eq!(
        connections_at(&seen, "shop-0", ClientKind::Leafnode),
        0,
        "once, where it is accepted"
    );
    assert_eq!(seen.topology.domain.as_deref(), Some("hub"));
    let details = |name: &str| seen.topology.details(seen.topology.find(name).unwrap()).unwrap();
    assert!(!details("shop-0").jetstream && details("eu-west-0").jetstream);

    let edge = System::builder(Layout::supercluster(&[("us-east", 1)]))
        .domain("edge")
        .leaf_of(&remotes("us-east-0"))
        .start()
        .await
        .unwrap();
    let their_client = app(&edge).await;
    create_stream(
        &their_client,
        "ORDERS",
        json!({ "subjects": ["edge"], "max_bytes": 4096 }),
    )
    .await;
    let same_name = Gap::SameName {
        server: "us-east-0".into(),
        clusters: vec!["us-east".into()],
    };
    let is_told = |view: &AccountView| {
        let named = |gap: &Gap| matches!(gap, Gap::SameName { server, clusters: _ } if server.as_str() == "us-east-0");
        view.gaps.iter().any(named)
    };
    let seen = view(&*observer, "APP", is_told).await;
    let orders = seen.stream(&StreamName::from("ORDERS")).unwrap();
    assert_eq!(
        orders.max_bytes, None,
        "the hub's, and not the leaf node's: {same_name:?}"
    );
    assert_eq!(seen.topology.domain.as_deref(), Some("hub"));
    let tenant = TenantObserver::start(account_client(&hub, "app").await, INTERVAL);
    view(&*tenant, "APP", is_told).await;

    // The user may be connected to a leaf node, whose JetStream is another one unless the domain is named.
    let witnessed = |system: &System, location: &str, domain: Option<&str>| {
        let config = config(system, location, system.credentials("APP", "app").unwrap());
        AccountClient::connect_witnessed(config, domain, observer.witness())
    };
    let lost = witnessed(&edge, "us-east", None);
    let problem = until(&mut lost.account_problem(), Option::is_some).await;
    assert!(
        matches!(&problem, Some(AccountProblem::OtherDomain { message })
            if message.contains("domain edge") && message.contains("domain hub") && message.contains("jetStreamDomain")),
        "{problem:?}"
    );
    assert_eq!(*lost.account().borrow(), None, "nothing is done or shown");
    for (system, location, domain) in [
        (&hub, "eu-west", None),
        (&shop, "shop", Some("hub")),
        (&edge, "us-east", Some("hub")),
    ] {
        let client = witnessed(system, location, domain);
        until(&mut client.account(), Option::is_some).await;
        let read = eventually(LIMIT, location, || async {
            let ReadResult::Seen(read) = client.read(&stream_asset("ORDERS")).await? else {
                anyhow::bail!("nobody answers");
            };
            Ok(read)
        });
        let read = read.await.unwrap();
        assert_eq!(read.leader, leader(&seen, "ORDERS"), "{location} {domain:?}");
    }

    // The domain of the leaf node, by way of the hub: the servers that are seen are not all its own.
    let credentials = hub.credentials("APP", "app").unwrap();
    let client = AccountClient::connect(config(&hub, "us-east", credentials), Some("elsewhere"));
    until(&mut client.state(), ConnectionState::is_connected).await;
    let tenant = TenantObserver::start(client, INTERVAL);
    let differs = Gap::OtherDomain {
        observed: Some("hub".into()),
        wanted: "elsewhere".into(),
    };
    view(&*tenant, "APP", |view| view.gaps.contains(&differs)).await;
}

/// A server that is gone, one whose name nobody knows any more, and one that came back without JetStream.
#[tokio::test(flavor = "multi_thread")]
async fn members_of_the_meta_group_that_hide_what_lies_there_are_named() {
    let layout = Layout::stretched(&[("us-east", 1), ("eu-west", 1), ("ap-south", 1)]);
    let system = System::builder(layout)
        .server_tag("ap-south-0", "small")
        .start()
        .await
        .unwrap();
    let client = app(&system).await;
    create_stream(
        &client,
        "HERE",
        json!({ "subjects": ["here"], "num_replicas": 3 }),
    )
    .await;
    let one = json!({ "subjects": ["one"], "placement": { "tags": ["small"] } });
    create_stream(&client, "ONE", one).await;
    let observer = SystemObserver::start(system_config(&system), INTERVAL);
    let tenant = TenantObserver::start(account_client(&system, "app").await, INTERVAL);
    let all = |view: &AccountView| view.gaps.is_empty() && view.streams.len() == 2;
    view(&*observer, "APP", all).await;
    view(&*tenant, "APP", all).await;

    system.kill("ap-south-0").await.unwrap();
    let gone = Gap::MemberMissing {
        server: "ap-south-0".into(),
    };
    view(&*observer, "APP", |view| view.gaps.contains(&gone)).await;
    view(&*tenant, "APP", |view| {
        let named = |gap: &Gap| matches!(gap, Gap::Unreadable { message } if message.contains("holds ONE"));
        view.stream(&StreamName::from("HERE")).is_some() && view.gaps.iter().any(named)
    })
    .await;

    for server in ["us-east-0", "eu-west-0"] {
        system.restart(server).await.unwrap();
    }
    view(&*observer, "APP", |view| {
        let nameless = |gap: &Gap| {
            matches!(gap, Gap::MemberMissing { server }
                if server.as_str().len() == 8 && !server.as_str().contains(' ') && !system.server_names().contains(&server.to_string()))
        };
        view.gaps.iter().any(nameless)
    })
    .await;

    system.restart_without_jetstream("ap-south-0").await.unwrap();
    let idle = Gap::WithoutJetStream {
        server: "ap-south-0".into(),
    };
    view(&*observer, "APP", |view| view.gaps == [idle.clone()]).await;
}
