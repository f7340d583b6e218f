//! Which accounts a system has, and since when its servers are up as an account sees it.

use std::collections::BTreeMap;

use anyhow::ensure;
use jiff::Timestamp;
use leeward_core::names::AccountId;
use leeward_core::snapshot::AccountView;
use leeward_lab::nats::{AccountSpec, Auth, Layout, NatsVersion, System, UserSpec, eventually};
use leeward_nats::{SystemObserver, TenantObserver};
use serde_json::json;

use crate::support::{INTERVAL, LIMIT, account_client, create_stream, system_config, view};

fn two_clusters() -> Layout {
    Layout::supercluster(&[("us-east", 3), ("eu-west", 1)])
}

async fn lists_the_accounts_in_use(auth: Auth, version: NatsVersion) {
    let builder = System::builder(two_clusters())
        .auth(auth)
        .version(version)
        .account(AccountSpec::new("STORES").user(UserSpec::new("app")))
        .account(
            AccountSpec::new("TALKS")
                .without_jetstream()
                .user(UserSpec::new("app")),
        )
        .account(
            AccountSpec::new("UNUSED")
                .without_jetstream()
                .user(UserSpec::new("app")),
        );
    let system = builder.start().await.unwrap();
    let stores = system.credentials("STORES", "app").unwrap();
    let client = system.connect("us-east", stores).await.unwrap();
    create_stream(&client, "S", json!({ "subjects": ["s"], "num_replicas": 1 })).await;
    // From now on only its stream tells of the account.
    drop(client);
    let talks = system.credentials("TALKS", "app").unwrap();
    let _talking = system.connect("eu-west", talks).await.unwrap();
    let observer = SystemObserver::start(system_config(&system), INTERVAL);
    let id = |name: &str| AccountId::from(system.account_id(name).unwrap());
    let listed = || async {
        let accounts = observer.accounts().await?;
        let accounts: BTreeMap<AccountId, String> = accounts
            .into_iter()
            .map(|account| (account.id, account.name))
            .collect();
        for name in ["STORES", "TALKS"] {
            ensure!(
                accounts.get(&id(name)).is_some_and(|told| told == name),
                "{name}: {accounts:?}"
            );
        }
        Ok(accounts)
    };
    let accounts = eventually(LIMIT, "both accounts are listed", listed)
        .await
        .unwrap();
    for name in ["UNUSED", "SYS"] {
        assert!(!accounts.values().any(|told| told == name), "{accounts:?}");
    }
    observer.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_with_streams_or_clients_are_listed_and_the_system_account_is_not() {
    lists_the_accounts_in_use(Auth::Config, NatsVersion::Newest).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_of_an_operator_are_listed_by_key_and_name() {
    lists_the_accounts_in_use(Auth::Operator, NatsVersion::Newest).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_of_old_servers_are_listed_too() {
    lists_the_accounts_in_use(Auth::Config, NatsVersion::V2_10).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_knows_a_server_to_be_up_since_its_oldest_connection() {
    let system = System::builder(Layout::supercluster(&[("us-east", 3)]))
        .start()
        .await
        .unwrap();
    let credentials = system.credentials("APP", "app").unwrap();
    let servers = system.servers_in("us-east");
    let before = Timestamp::now();
    let _long = system.connect_to(&servers[1], credentials).await.unwrap();
    let account = account_client(&system, "app").await;
    // Clocks are compared to a few milliseconds.
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    let observed = Timestamp::now();
    let tenant = TenantObserver::start(account, INTERVAL);
    let started_at = |view: &AccountView, server: &str| {
        let index = view.topology.find(server)?;
        view.topology.details(index)?.started
    };
    // A server that has not listed the connection yet counts as started when it was first seen.
    let listed = |view: &AccountView| {
        view.gaps.is_empty()
            && !view.clients.is_empty()
            && started_at(view, &servers[1]).is_some_and(|since| since < observed)
    };
    let seen = view(&*tenant, "APP", listed).await;
    let started = |server: &str| started_at(&seen, server).unwrap();
    let up_since = started(&servers[1]);
    assert!(
        before - std::time::Duration::from_millis(500) < up_since,
        "connected at {before}, looked at {observed}, and it says {up_since}"
    );
    let unused = servers
        .iter()
        .map(|server| started(server))
        .filter(|since| *since >= observed);
    assert!(
        unused.count() >= 1,
        "a server without a connection was seen just now"
    );
    tenant.shutdown().await;
}
