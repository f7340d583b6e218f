//! What the contract tests share.

use std::sync::Arc;
use std::time::Duration;

use leeward_core::names::AccountId;
use leeward_core::snapshot::AccountView;
use leeward_engine::permit::{Authorizer, Permit};
use leeward_engine::ports::Observe;
use leeward_lab::nats::{
    AccountSpec, Credentials as LabCredentials, Layout, System, SystemBuilder, UserSpec, eventually,
    jetstream,
};
use leeward_nats::{AccountClient, ConnectConfig, ConnectionState, Credentials, SystemObserver, TlsConfig};
use serde_json::Value;
use tokio::sync::watch;

pub(crate) const LIMIT: Duration = Duration::from_mins(1);
pub(crate) const INTERVAL: Duration = Duration::from_secs(1);

/// How Leeward connects to a location of a lab system.
pub(crate) fn config(system: &System, location: &str, credentials: &LabCredentials) -> ConnectConfig {
    let credentials = match credentials {
        LabCredentials::UserPassword { user, password } => Credentials::UserPassword {
            username: user.clone(),
            password: password.clone().into(),
        },
        LabCredentials::Creds(text) => Credentials::CredsFile(text.clone().into()),
        LabCredentials::Certificate(own) => Credentials::TlsClientCertificate {
            certificate: own.pem.clone(),
            key: own.key_pem.clone().into(),
        },
    };
    let urls = system.urls(location).unwrap();
    ConnectConfig {
        servers: urls.split(',').map(str::to_owned).collect(),
        tls: system.ca_pem().map(|ca| TlsConfig {
            ca_pem: Some(ca.to_owned()),
            ..TlsConfig::default()
        }),
        credentials: Some(credentials),
        inbox_prefix: None,
    }
}

pub(crate) fn system_config(system: &System) -> ConnectConfig {
    config(
        system,
        &system.locations()[0],
        system.system_credentials().unwrap(),
    )
}

/// A connected client of a user of the account APP.
pub(crate) async fn account_client(system: &System, user: &str) -> Arc<AccountClient> {
    let credentials = system.credentials("APP", user).unwrap();
    let client = AccountClient::connect(config(system, &system.locations()[0], credentials), None);
    let mut state = client.state();
    until(&mut state, ConnectionState::is_connected).await;
    client
}

/// The same, once it knows its account and may act.
pub(crate) async fn acting_client(system: &System, user: &str) -> Arc<AccountClient> {
    let client = account_client(system, user).await;
    until(&mut client.account(), Option::is_some).await;
    client
}

/// The same with a user of the system account that confirms what it is told, for as long as it is kept.
pub(crate) async fn witnessed_client(
    system: &System,
    user: &str,
) -> (Arc<AccountClient>, Arc<SystemObserver>) {
    let observer = SystemObserver::start(system_config(system), INTERVAL);
    until(&mut observer.status(), |status| status.observed_at.is_some()).await;
    let config = config(
        system,
        &system.locations()[0],
        system.credentials("APP", user).unwrap(),
    );
    let client = AccountClient::connect_witnessed(config, None, observer.witness());
    until(&mut client.account(), Option::is_some).await;
    (client, observer)
}

/// Waits for a value that will do.
pub(crate) async fn until<T: Clone + std::fmt::Debug>(
    receiver: &mut watch::Receiver<T>,
    wanted: impl Fn(&T) -> bool,
) -> T {
    let waiting = async { receiver.wait_for(|value| wanted(value)).await.unwrap().clone() };
    if let Ok(found) = tokio::time::timeout(LIMIT, waiting).await {
        return found;
    }
    panic!("it stays at {:?}", *receiver.borrow())
}

/// Waits for a view of an account that will do.
pub(crate) async fn view(
    observer: &impl Observe,
    account: &str,
    wanted: impl Fn(&AccountView) -> bool,
) -> Arc<AccountView> {
    let mut views = observer.watch(&AccountId::from(account));
    until(&mut views, |view| wanted(view)).await
}

pub(crate) fn permit() -> Permit {
    Authorizer::new([]).issue(jiff::Timestamp::now()).unwrap()
}

/// Creates a stream. Right after their start servers may take each other for offline.
pub(crate) async fn create_stream(client: &async_nats::Client, name: &str, config: Value) {
    let create = || jetstream::create_stream(client, name, config.clone());
    eventually(LIMIT, "the stream is created", create).await.unwrap();
}

/// Creates a consumer. Servers may swallow the request right after their start; creating again changes nothing.
pub(crate) async fn create_consumer(client: &async_nats::Client, stream: &str, name: &str, config: Value) {
    let create = || jetstream::create_consumer(client, stream, name, config.clone());
    eventually(LIMIT, "the consumer is created", create)
        .await
        .unwrap();
}

/// Two clusters, and a server without JetStream that is a leaf node of the account APP at one of them.
pub(crate) async fn hub_and_leaf(change: impl FnOnce(SystemBuilder) -> SystemBuilder) -> (System, System) {
    let account = || AccountSpec::new("APP").user(UserSpec::new("app"));
    let hub = System::builder(Layout::supercluster(&[("us-east", 1), ("eu-west", 1)])).account(account());
    let hub = change(hub.leaf_nodes()).start().await.unwrap();
    let remote = hub.leaf_remote("eu-west-0", "APP", "app").unwrap();
    let shop = System::builder(Layout::supercluster(&[("shop", 1)]))
        .account(account().without_jetstream())
        .without_jetstream()
        .leaf_of(&[remote])
        .start()
        .await
        .unwrap();
    (hub, shop)
}
