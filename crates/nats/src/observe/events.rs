//! Events that make an account due for a look before its next sweep (nats-facts N48).
//!
//! An event makes the account due, and an election resets its leader's start; nothing else of it enters a view. Whoever
//! awaits an election hears of it ([`Elections`]). A lost event only costs freshness.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_nats::{Client, Message};
use futures::StreamExt;
use futures::stream::select_all;
use leeward_core::names::{AccountId, AssetName, ConsumerName, ServerName, StreamName};
use tokio::time::Instant;

use super::elections::Elections;
use super::watched_accounts::{LeaderElected, WatchedAccounts};
use crate::connect::Link;
use crate::wire;
use crate::wire::monitor::{AccountEvent, EventServer};

/// At least this long between two warnings that events were dropped.
const WARN_INTERVAL: Duration = Duration::from_mins(1);
/// How long to wait for the rest of a burst.
const DEBOUNCE: Duration = Duration::from_millis(400);
/// Connection events remembered, by account and server.
const MOST_REMEMBERED: usize = 65_536;

const LEADER_ELECTED: &str = "$JS.EVENT.ADVISORY.*.LEADER_ELECTED.>";
/// Contained in the subject of each election.
const ELECTED: &str = ".LEADER_ELECTED.";
const QUORUM_LOST: &str = "$JS.EVENT.ADVISORY.*.QUORUM_LOST.>";
const CONNECTIONS: &str = "$SYS.ACCOUNT.*.SERVER.CONNS";
const SHUTDOWN: &str = "$SYS.SERVER.*.SHUTDOWN";

#[derive(Clone, Debug)]
pub(crate) enum EventSource {
    /// The system account's events: of all accounts. Those that await elections hear of them.
    System(Elections),
    /// One account's own events.
    Account(AccountId),
}

impl EventSource {
    fn subjects(&self) -> &'static [&'static str] {
        match self {
            Self::System(_) => &[LEADER_ELECTED, QUORUM_LOST, CONNECTIONS, SHUTDOWN],
            Self::Account(_) => &[LEADER_ELECTED, QUORUM_LOST],
        }
    }
}

/// Listens on every future connection; never ends by itself.
pub(crate) async fn listen(link: Arc<Link>, board: Arc<WatchedAccounts>, source: EventSource) {
    tokio::select! {
        () = follow_connections(&link, &board, &source) => {}
        () = dropped(&link, &board) => {}
    }
}

async fn follow_connections(link: &Link, board: &WatchedAccounts, source: &EventSource) {
    let mut client = link.client();
    let mut connections = ConnectionCounts::default();
    loop {
        let now = client.borrow_and_update().clone();
        let Some(now) = now else {
            if client.changed().await.is_err() {
                return;
            }
            continue;
        };
        tokio::select! {
            () = follow(&now, board, source, &mut connections) => {
                // It ended with its connection, or could not begin: the next client is a new one.
                if client.changed().await.is_err() { return }
            }
            changed = client.changed() => if changed.is_err() { return },
        }
    }
}

/// Where events were dropped, any account may be due or have had an election.
async fn dropped(link: &Link, board: &WatchedAccounts) {
    let mut dropped = link.dropped();
    let mut warned: Option<Instant> = None;
    while dropped.changed().await.is_ok() {
        board.may_have_elected();
        board.event_for_all(DEBOUNCE);
        if warned.is_none_or(|at| at.elapsed() >= WARN_INTERVAL) {
            warned = Some(Instant::now());
            tracing::warn!(
                "more events or answers come than are read: some are dropped, and all accounts are looked at instead"
            );
        }
    }
}

async fn follow(
    client: &Client,
    board: &WatchedAccounts,
    source: &EventSource,
    connections: &mut ConnectionCounts,
) {
    let mut subscriptions = Vec::new();
    for subject in source.subjects() {
        match client.subscribe(*subject).await {
            Ok(subscription) => subscriptions.push(subscription),
            Err(error) => tracing::warn!(subject, %error, "events are not received"),
        }
    }
    board.may_have_elected();
    let mut events = select_all(subscriptions);
    while let Some(event) = events.next().await {
        take(&event, board, source, connections);
    }
}

fn take(event: &Message, board: &WatchedAccounts, source: &EventSource, connections: &mut ConnectionCounts) {
    if event.subject.ends_with(".SHUTDOWN") {
        board.event_for_all(DEBOUNCE);
        return;
    }
    let read = match wire::read::<AccountEvent>(&event.payload) {
        Ok(read) => read,
        Err(error) => {
            tracing::debug!(subject = %event.subject, %error, "an event was not understood");
            return;
        }
    };
    let account = match source {
        EventSource::Account(account) => Some(account.clone()),
        EventSource::System(_) => read
            .account
            .as_deref()
            .or(read.acc.as_deref())
            .map(AccountId::from),
    };
    let Some(account) = account.filter(|_| connections.is_news(&read)) else {
        return;
    };
    match read.stream {
        Some(stream) if event.subject.contains(ELECTED) => {
            if let (EventSource::System(elections), Some(leader)) = (source, read.leader) {
                let asset = AssetName {
                    stream: StreamName::from(stream.as_str()),
                    consumer: read
                        .consumer
                        .as_ref()
                        .map(|name| ConsumerName::from(name.as_str())),
                };
                elections.record(account.clone(), asset, ServerName::from(leader.as_str()));
            }
            let election = LeaderElected::Of {
                stream: stream.into(),
                consumer: read.consumer.map(String::from),
            };
            board.elected(&account, election, DEBOUNCE);
        }
        Some(_) | None => board.event(&account, DEBOUNCE),
    }
}

/// Connection events come every 30 s without any change; only changed counts matter.
#[derive(Debug, Default)]
struct ConnectionCounts {
    seen: BTreeMap<(String, String), (Option<u32>, Option<u32>)>,
}

impl ConnectionCounts {
    fn is_news(&mut self, event: &AccountEvent) -> bool {
        let (Some(account), Some(EventServer::Whole { id })) = (&event.acc, &event.server) else {
            return true;
        };
        if self.seen.len() >= MOST_REMEMBERED {
            self.seen.clear();
        }
        let count = (event.conns, event.leafnodes);
        let key = (account.to_string(), id.to_string());
        self.seen.insert(key, count) != Some(count)
    }
}

#[cfg(test)]
mod tests {
    use leeward_lab::hostile::{Liar, scenarios};
    use tokio_util::task::AbortOnDropHandle;

    use super::*;
    use crate::connect_config::ConnectConfig;

    #[tokio::test(flavor = "multi_thread")]
    async fn where_events_are_dropped_any_account_may_have_elected() {
        let flood = scenarios::find("events-flood").unwrap();
        let liar = Liar::start(flood.script).await.unwrap();
        let link = Arc::new(Link::open(ConnectConfig {
            servers: vec![liar.url()],
            ..ConnectConfig::default()
        }));
        let (board, quiet) = (Arc::new(WatchedAccounts::new()), AccountId::from("QUIET"));
        let _view = board.watch(&quiet);
        let _listening = AbortOnDropHandle::new(tokio::spawn(listen(
            Arc::clone(&link),
            Arc::clone(&board),
            EventSource::System(Elections::default()),
        )));
        let mut dropped = link.dropped();
        dropped.changed().await.unwrap();
        board.take_elections(&quiet);
        while board.take_elections(&quiet) != [LeaderElected::Any] {
            tokio::task::yield_now().await;
        }
    }

    #[test]
    fn an_unchanged_count_of_connections_is_no_news() {
        let event = |text: &str| wire::read::<AccountEvent>(text.as_bytes()).unwrap();
        let mut connections = ConnectionCounts::default();
        let two = r#"{"server":{"id":"S"},"acc":"A","conns":2,"leafnodes":0}"#;
        assert!(connections.is_news(&event(two)));
        assert!(!connections.is_news(&event(two)));
        assert!(connections.is_news(&event(r#"{"server":{"id":"S"},"acc":"A","conns":1}"#)));
        let elected = r#"{"account":"A","stream":"S","leader":"a","server":"a"}"#;
        assert!(connections.is_news(&event(elected)) && connections.is_news(&event(elected)));
    }
}
