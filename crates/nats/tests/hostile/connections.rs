//! Connections that cannot be used: each attempt ends, is said, and is followed by the next one after a pause.

use std::time::{Duration, Instant};

use leeward_lab::hostile::{Liar, Script, scenarios};
use leeward_nats::{AccountClient, ConnectionState};

use crate::config;

async fn liar(name: &str) -> Liar {
    Liar::start(scenarios::find(name).unwrap().script).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_greeting_that_the_client_library_cannot_read_is_a_failed_attempt() {
    for name in ["greets-err-bare", "greets-msg-huge"] {
        let liar = liar(name).await;
        let client = AccountClient::connect(config(&liar, "app"), None);
        let mut state = client.state();
        let failed = state
            .wait_for(|state| *state != ConnectionState::Connecting)
            .await;
        let ConnectionState::Disconnected { message } = failed.unwrap().clone() else {
            panic!("{name}: not disconnected");
        };
        assert!(
            message.contains("the NATS client library cannot read"),
            "{name}: {message}"
        );
        assert!(!message.contains("defect"), "{name}: {message}");
        liar.set_script(Script::default());
        liar.hang_up();
        state.wait_for(ConnectionState::is_connected).await.unwrap();
    }
}

/// Enough for pauses to show; their sum is some seconds.
const CONNECTS: usize = 10;
/// The least pause after the first attempt; each later one is twice as long.
const LEAST_PAUSE: Duration = Duration::from_millis(50);

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_end_at_once_are_made_after_growing_pauses_and_believed_once() {
    let liar = liar("then-closes").await;
    let began = Instant::now();
    let client = AccountClient::connect(config(&liar, "app"), None);
    let mut state = client.state();
    let mut states = Vec::new();
    while liar.accepted() < CONNECTS {
        // Connections are counted between two changes too.
        let _ = tokio::time::timeout(LEAST_PAUSE, state.changed()).await;
        let now = state.borrow_and_update().clone();
        if states.last() != Some(&now) {
            states.push(now);
        }
    }
    let believed = states.iter().filter(|state| state.is_connected()).count();
    assert!(believed <= 1 && states.len() <= 4, "{states:?}");
    // async-nats may have made the next connection before it was told to stop: two for each pause.
    let pauses = u32::try_from(CONNECTS / 2 - 1).unwrap();
    let least: Duration = (0..pauses)
        .map(|doublings| LEAST_PAUSE * 2_u32.pow(doublings))
        .sum();
    assert!(
        began.elapsed() >= least,
        "{CONNECTS} connects within {:?}",
        began.elapsed()
    );
    liar.set_script(Script::default());
    state.wait_for(ConnectionState::is_connected).await.unwrap();
}
