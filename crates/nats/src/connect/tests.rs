use leeward_lab::hostile::honest::SYSTEM_USER;
use leeward_lab::hostile::{Liar, Script, scenarios};
use secrecy::SecretString;

use super::*;
use crate::request::{Enough, Gather, first};
use crate::request_error::RequestError;
use crate::tls::TlsConfig;

async fn settled(config: ConnectConfig) -> ConnectionState {
    let link = Link::open(config);
    let mut state = link.state();
    state
        .wait_for(|state| *state != ConnectionState::Connecting)
        .await
        .unwrap()
        .clone()
}

#[tokio::test]
async fn a_system_that_is_down_is_a_state() {
    let config = ConnectConfig {
        servers: vec!["nats://127.0.0.1:1".into()],
        ..ConnectConfig::default()
    };
    let ConnectionState::Disconnected { message } = settled(config).await else {
        panic!("not disconnected")
    };
    assert!(message.contains("refused"), "{message}");
}

#[tokio::test]
async fn a_link_that_was_given_up_stays_refused() {
    let link = Link::open(ConnectConfig {
        servers: vec!["nats://127.0.0.1:1".into()],
        ..ConnectConfig::default()
    });
    link.give_up("another account");
    let mut state = link.state();
    let refused = |state: &ConnectionState| matches!(state, ConnectionState::Refused { problem: _, message } if message == "another account");
    state.wait_for(refused).await.unwrap();
    assert_eq!(link.epoch(), None);
}

#[tokio::test]
async fn configurations_that_cannot_work_are_refused() {
    let refused = |problem| move |state: &ConnectionState| matches!(state, ConnectionState::Refused { problem: found, message: _ } if *found == problem);
    let none = settled(ConnectConfig::default()).await;
    assert!(refused(ConnectProblem::InvalidServers)(&none), "{none:?}");
    let tls = TlsConfig {
        ca_pem: Some("nothing".into()),
        ..TlsConfig::default()
    };
    let servers = vec!["tls://127.0.0.1:1".to_owned()];
    let config = ConnectConfig {
        servers,
        tls: Some(tls),
        ..ConnectConfig::default()
    };
    let tls = settled(config).await;
    assert!(refused(ConnectProblem::InvalidTls)(&tls), "{tls:?}");
}

/// Whoever holds a client, as a request that waits does, would keep its connection.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_on_which_a_server_never_stops_ends_though_its_client_is_held() {
    const TIMES: usize = 3;
    let endless = scenarios::find("then-endless-line").unwrap();
    let liar = Liar::start(endless.script).await.unwrap();
    let link = Link::open(ConnectConfig {
        servers: vec![liar.url()],
        ..ConnectConfig::default()
    });
    let mut client = link.client();
    let mut held = Vec::new();
    let ended = async {
        while liar.accepted() < TIMES || liar.connections() > 1 {
            held.extend(client.borrow_and_update().clone());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let limit = Duration::from_mins(3);
    tokio::time::timeout(limit, ended)
        .await
        .expect("connections stay");
    assert!(!held.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_come_when_a_connection_ends_is_not_taken_for_all() {
    let liar = Liar::start(Script::default()).await.unwrap();
    let link = Link::open(ConnectConfig {
        servers: vec![liar.url()],
        credentials: Some(Credentials::UserPassword {
            username: SYSTEM_USER.to_owned(),
            password: SecretString::from("password"),
        }),
        ..ConnectConfig::default()
    });
    let mut state = link.state();
    state.wait_for(ConnectionState::is_connected).await.unwrap();
    let come = AtomicU64::new(0);
    let read = |_: &[u8]| Ok(Some((come.fetch_add(1, Ordering::Relaxed), ())));
    let gathering = link.gather(Gather {
        subject: "$SYS.REQ.SERVER.PING.STATSZ",
        payload: String::new(),
        limit: Duration::from_mins(3),
        read: &read,
        prefer: &first,
        enough: &|_| Enough::No,
    });
    let end = async {
        while come.load(Ordering::Relaxed) == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        link.give_up("enough");
    };
    let (gathered, ()) = tokio::join!(gathering, end);
    assert!(
        matches!(gathered, Err(RequestError::Interrupted { .. })),
        "{gathered:?}"
    );
}
