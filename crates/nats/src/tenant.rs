//! Observes one account through its own user, without credentials of the system account (nats-facts N50).
//!
//! Promises the same as the system observer for what an account may see: its connections on every server, its volume,
//! its streams and consumers. Round trips between clusters and the servers' capacity are not visible. A server counts
//! as started when the oldest connection seen on it was made, or when it was first seen. No server reports their number
//! here, so the expected ones are those that answered lately or that an asset names.

mod lists;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use leeward_core::names::{AccountId, ServerName};
use leeward_core::snapshot::{AccountView, Gap};
use leeward_engine::ports::Observe;
use leeward_engine::supervise::SupervisedTask;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::act::AccountClient;
use crate::connect::ConnectionState;
use crate::gaps::{gap, unreadable};
use crate::observe::Tasks;
use crate::observe::assemble::{AccountParts, assemble};
use crate::observe::connections::{self, ByServer};
use crate::observe::events::{self, EventSource};
use crate::observe::history::CounterHistory;
use crate::observe::pace::{self, Look};
use crate::observe::server_inventory::{SeenServer, connected_to, own_domain};
use crate::observe::server_start_times::ServerStartTimes;
use crate::observe::sweep::add_volumes;
use crate::observe::watched_accounts::{AccountFilter, WatchedAccounts};
use crate::request::Enough;
use crate::wire::monitor::{AccountStatz, Connection, Connz};

pub(crate) const CONNZ: &str = "$SYS.REQ.ACCOUNT.PING.CONNZ";
const STATZ: &str = "$SYS.REQ.ACCOUNT.PING.STATZ";
/// A server that answered this lately counts as missing when it does not.
const REMEMBERED_FOR: Duration = Duration::from_mins(10);
/// At the first look the number of answers is unknown; afterwards only new servers are waited for.
const FIRST_QUIET: Duration = Duration::from_secs(1);
const QUIET: Duration = Duration::from_millis(250);

/// Observes the account of one user; it ends with this value.
#[derive(Debug)]
pub struct TenantObserver {
    board: Arc<WatchedAccounts>,
    tasks: Tasks,
}

impl TenantObserver {
    /// Starts to observe the account of `client`. Views of any other account stay at the gap `WarmingUp`.
    pub fn start(client: Arc<AccountClient>, interval: Duration) -> Arc<Self> {
        let board = Arc::new(WatchedAccounts::new());
        let tasks = Tasks::new();
        let (listening, listened) = (Arc::clone(&client), Arc::clone(&board));
        tasks.keep(
            SupervisedTask::Advisories,
            |_| {},
            move || listen(Arc::clone(&listening), Arc::clone(&listened)),
        );
        let (looking, seen) = (Arc::clone(&board), Arc::clone(&board));
        tasks.keep(
            SupervisedTask::Observation,
            move |panicked| {
                seen.on_panic(panicked);
            },
            move || {
                let look = TenantLook {
                    client: Arc::clone(&client),
                    board: Arc::clone(&looking),
                    history: CounterHistory::new(interval),
                    servers: BTreeMap::new(),
                    start_times: ServerStartTimes::default(),
                };
                pace::run(Arc::clone(client.link()), Arc::clone(&looking), interval, look)
            },
        );
        Arc::new(Self { board, tasks })
    }

    /// Ends the observation; views keep their last value.
    pub async fn shutdown(&self) {
        self.tasks.shutdown().await;
    }
}

impl Observe for TenantObserver {
    fn watch(&self, account: &AccountId) -> watch::Receiver<Arc<AccountView>> {
        self.board.watch(account)
    }

    fn refresh(&self, account: &AccountId) {
        self.board.refresh(account);
    }
}

async fn listen(client: Arc<AccountClient>, board: Arc<WatchedAccounts>) {
    let Some(account) = learnt(&client).await else {
        return;
    };
    let refreshes = refresh_when_confirmed(&client, &board, &account);
    let source = EventSource::Account(account.clone());
    let events = events::listen(Arc::clone(client.link()), Arc::clone(&board), source);
    tokio::join!(events, refreshes);
}

/// A look on a connection whose account is not known yet shows nothing, so another follows once it is.
async fn refresh_when_confirmed(client: &AccountClient, board: &WatchedAccounts, account: &AccountId) {
    let mut confirmed = client.calls().confirmed.clone();
    loop {
        if confirmed.borrow_and_update().is_some() {
            board.refresh(account);
        }
        if confirmed.changed().await.is_err() {
            return;
        }
    }
}

/// Waits until the account is known.
async fn learnt(client: &AccountClient) -> Option<AccountId> {
    let mut account = client.account();
    let info = account.wait_for(Option::is_some).await.ok()?;
    info.as_ref().map(|info| info.id.clone())
}

struct TenantLook {
    client: Arc<AccountClient>,
    board: Arc<WatchedAccounts>,
    history: CounterHistory,
    /// Servers that answered, and when last.
    servers: BTreeMap<ServerName, Instant>,
    start_times: ServerStartTimes,
}

impl Look for TenantLook {
    async fn look(&mut self, accounts: Vec<AccountId>, _: AccountFilter) {
        // Another look is due once the account is known on this connection.
        let epoch = self.client.calls().confirmed_epoch();
        if epoch.is_none() {
            return;
        }
        let Some(own) = self
            .client
            .account()
            .borrow()
            .as_ref()
            .map(|info| info.id.clone())
        else {
            return;
        };
        if accounts.contains(&own) {
            let began = Timestamp::now();
            let gathered = self.gather(&own).await;
            // What another connection showed may belong to another account.
            if self.client.calls().confirmed_epoch() != epoch {
                return;
            }
            self.board
                .publish(assemble(&own, &gathered, began, &mut self.history));
        }
    }

    fn connection(&mut self, _: &ConnectionState) {}
}

impl TenantLook {
    async fn gather(&mut self, account: &AccountId) -> AccountParts {
        let now = Instant::now();
        self.servers
            .retain(|_, answered| now.duration_since(*answered) < REMEMBERED_FOR);
        let elections = self.board.take_elections(account);
        let enough = |replies: &ByServer<_>| self.enough(replies);
        // An account that imports the services of the system account gets a second answer from each server, without any
        // account's connections.
        let counts = |_: &str, connz: &Connz| connz.connections.is_some();
        let link = self.client.link();
        let connected_to = connected_to(link);
        let (assets, connections) = tokio::join!(
            lists::all(&self.client),
            connections::list(link, CONNZ, None, &counts, &enough)
        );
        let mut gathered = AccountParts {
            streams: assets.streams,
            gaps: assets.gaps,
            elections,
            ..AccountParts::default()
        };
        let mut servers = BTreeMap::new();
        match connections {
            Ok(connections) => {
                servers = connections.servers;
                gathered.connections = connections.list;
                gathered.gaps.extend(connections.gaps);
            }
            Err(error) => gathered.gaps.push(gap(error)),
        }
        self.add_statz(&mut gathered, &servers, account).await;
        self.start_times.forget_old();
        let up_since = oldest_connections(&gathered.connections);
        let mut seen = BTreeMap::new();
        for (id, info) in servers {
            let shown = up_since.get(info.name.as_str()).copied();
            let server = SeenServer {
                started: Some(self.start_times.since(&info.id, shown, Timestamp::now())),
                ..SeenServer::new(info)
            };
            self.servers.insert(server.name.clone(), now);
            seen.insert(id, server);
        }
        if !seen.is_empty() {
            settle_domain(
                &mut gathered,
                &mut seen,
                self.client.domain(),
                connected_to.as_deref(),
            );
            lead_alone(&mut gathered, &seen, connected_to.as_deref());
        }
        gathered.servers = seen.into_values().collect();
        gathered.expected = self.servers.keys().cloned().collect();
        if gathered.servers.is_empty() && gathered.gaps.is_empty() {
            let message = "no server listed the account's connections".to_owned();
            gathered.gaps.push(unreadable(message));
        }
        gathered
    }

    /// All servers that answered CONNZ have to answer STATZ as well.
    async fn add_statz(
        &self,
        gathered: &mut AccountParts,
        servers: &BTreeMap<String, crate::wire::monitor::ServerInfo>,
        account: &AccountId,
    ) {
        let enough = |replies: &ByServer<_>| {
            let all = servers.keys().all(|id| replies.contains_key(id));
            if all {
                Enough::Yes
            } else {
                Enough::IfQuietFor(FIRST_QUIET)
            }
        };
        let link = self.client.link();
        let counts = |id: &str, _: &AccountStatz| servers.contains_key(id);
        match connections::volumes(link, STATZ, &[account.as_str()], &counts, &enough).await {
            Ok((replies, gaps)) => {
                gathered.gaps.extend(gaps);
                let silent = servers.iter().filter(|(id, _)| !replies.contains_key(*id));
                gathered
                    .silent
                    .extend(silent.map(|(_, info)| ServerName::from(info.name.as_str())));
                add_volumes(gathered, &replies, account);
            }
            Err(error) => gathered.gaps.push(gap(error)),
        }
    }

    fn enough<T>(&self, replies: &ByServer<T>) -> Enough {
        let answered = |name: &ServerName| {
            replies
                .values()
                .any(|(info, _)| info.name.as_str() == name.as_str())
        };
        let known = !self.servers.is_empty() && self.servers.keys().all(answered);
        Enough::IfQuietFor(if known { QUIET } else { FIRST_QUIET })
    }
}

/// Servers of another domain are another JetStream: here they count as servers without JetStream.
fn settle_domain(
    gathered: &mut AccountParts,
    servers: &mut BTreeMap<String, SeenServer>,
    asked: Option<&str>,
    connected_to: Option<&str>,
) {
    let near = own_domain(servers, connected_to);
    gathered.domain = match asked {
        Some(asked) => Some(asked.to_owned()),
        None => match &near {
            Ok(domain) => domain.clone(),
            Err(gap) => {
                gathered.gaps.push(gap.clone());
                return;
            }
        },
    };
    for server in servers.values_mut() {
        server.jetstream &= server.domain == gathered.domain;
    }
    if let Some(wanted) = asked
        && !servers.values().any(|server| server.jetstream)
    {
        gathered.gaps.push(Gap::OtherDomain {
            observed: near.ok().flatten(),
            wanted: wanted.to_owned(),
        });
    }
}

/// An asset in no cluster is led by the one server that can have listed it: the one at the other end, or the only one.
fn lead_alone(
    gathered: &mut AccountParts,
    servers: &BTreeMap<String, SeenServer>,
    connected_to: Option<&str>,
) {
    let mut groups = gathered.streams.iter_mut().flat_map(|stream| {
        let consumers = stream.consumers.iter_mut().map(|consumer| &mut consumer.group);
        std::iter::once(&mut stream.group).chain(consumers)
    });
    if !groups.any(|group| group.alone) {
        return;
    }
    drop(groups);
    let is_alone = |server: &&SeenServer| {
        let in_none = |cluster: &String| *cluster == server.name.as_str();
        server.jetstream && server.cluster.as_ref().is_none_or(in_none)
    };
    let own = connected_to.and_then(|id| servers.get(id)).filter(is_alone);
    let mut others = servers.values().filter(is_alone);
    let server = match (own, others.next(), others.next()) {
        (Some(server), _, _) | (None, Some(server), None) => server.name.clone(),
        (None, _, _) => {
            let message =
                "it cannot be told which server holds the account's streams: none is in a cluster".to_owned();
            gathered.gaps.push(unreadable(message));
            return;
        }
    };
    for stream in &mut gathered.streams {
        stream.group.lead_alone(&server);
        for consumer in &mut stream.consumers {
            consumer.group.lead_alone(&server);
        }
    }
}

/// When the oldest connection of each server was made: no connection outlives its server's process.
fn oldest_connections(list: &[(ServerName, Connection)]) -> BTreeMap<String, Timestamp> {
    let mut oldest: BTreeMap<String, Timestamp> = BTreeMap::new();
    for (server, connection) in list {
        let Some(start) = connection.start else { continue };
        let known = oldest.entry(server.to_string()).or_insert(start);
        *known = start.min(*known);
    }
    oldest
}
