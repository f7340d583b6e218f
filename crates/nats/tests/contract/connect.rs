//! How connections come, go and are refused.

use leeward_core::action::Successor;
use leeward_core::names::{AssetName, ServerName, StreamName};
use leeward_core::snapshot::Gap;
use leeward_engine::ports::{Act, ActError};
use leeward_lab::nats::{Auth, Layout, System, eventually};
use leeward_nats::{
    AccountClient, ConnectConfig, ConnectProblem, ConnectionState, Credentials, SystemObserver, TlsConfig,
};
use secrecy::ExposeSecret as _;

use crate::support::{INTERVAL, LIMIT, account_client, config, permit, system_config, until, view};

fn one_server() -> Layout {
    Layout::supercluster(&[("us-east", 1)])
}

fn is_refused(problem: ConnectProblem) -> impl Fn(&ConnectionState) -> bool {
    move |state| matches!(state, ConnectionState::Refused { problem: found, message: _ } if *found == problem)
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_credentials_are_refused_and_not_taken_for_an_outage() {
    let system = System::builder(one_server()).start().await.unwrap();
    let wrong = Credentials::UserPassword {
        username: "APP-app".into(),
        password: "wrong".to_owned().into(),
    };
    let config = ConnectConfig {
        credentials: Some(wrong),
        ..system_config(&system)
    };
    let client = AccountClient::connect(config.clone(), None);
    until(
        &mut client.state(),
        is_refused(ConnectProblem::InvalidCredentials),
    )
    .await;
    let observer = SystemObserver::start(config, INTERVAL);
    view(&*observer, "APP", |view| {
        matches!(view.gaps.as_slice(), [Gap::Disconnected { .. }, Gap::WarmingUp])
    })
    .await;
    until(&mut observer.status(), |status| {
        is_refused(ConnectProblem::InvalidCredentials)(&status.connection)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_connection_is_seen_and_regained() {
    let system = System::builder(one_server()).start().await.unwrap();
    let client = account_client(&system, "app").await;
    let observer = SystemObserver::start(system_config(&system), INTERVAL);
    view(&*observer, "APP", |view| view.gaps.is_empty()).await;
    system.kill("us-east-0").await.unwrap();
    until(&mut client.state(), |state| {
        matches!(state, ConnectionState::Disconnected { .. })
    })
    .await;
    view(&*observer, "APP", |view| {
        matches!(view.gaps.as_slice(), [Gap::Disconnected { .. }])
    })
    .await;
    system.restart("us-east-0").await.unwrap();
    until(&mut client.state(), ConnectionState::is_connected).await;
    view(&*observer, "APP", |view| view.gaps.is_empty()).await;
    let asset = AssetName::stream(StreamName::from("NONE"));
    eventually(LIMIT, "acts are sent again", || async {
        let refused = client
            .step_down(permit(), &asset, &ServerName::from("anybody"), &Successor::Anyone)
            .await;
        anyhow::ensure!(matches!(refused, Err(ActError::Refused { .. })), "{refused:?}");
        Ok(())
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_with_a_private_authority_and_credentials_files_connect() {
    let system = System::builder(one_server())
        .tls()
        .auth(Auth::Operator)
        .start()
        .await
        .unwrap();
    let client = account_client(&system, "app").await;
    let info = until(&mut client.account(), Option::is_some).await.unwrap();
    assert_eq!(info.id.as_str(), system.account_id("APP").unwrap());
    let mut config = config(&system, "us-east", system.credentials("APP", "app").unwrap());
    let Some(Credentials::CredsFile(content)) = &config.credentials else {
        panic!("a credentials file");
    };
    let without_line_end = content.expose_secret().trim_end().to_owned();
    let trimmed = ConnectConfig {
        credentials: Some(Credentials::CredsFile(without_line_end.into())),
        ..config.clone()
    };
    let client = AccountClient::connect(trimmed, None);
    until(&mut client.state(), ConnectionState::is_connected).await;
    let strange = rcgen::generate_simple_self_signed(["elsewhere".to_owned()])
        .unwrap()
        .cert
        .pem();
    config.tls = Some(TlsConfig {
        ca_pem: Some(strange),
        ..TlsConfig::default()
    });
    let stranger = AccountClient::connect(config, None);
    let state = until(&mut stranger.state(), |state| {
        matches!(state, ConnectionState::Disconnected { .. })
    })
    .await;
    assert!(state.to_string().contains("certificate"), "{state}");
}
