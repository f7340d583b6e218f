use super::*;

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
