//! One look at a system: its servers, then each account, and the status that follows.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use jiff::Timestamp;
use leeward_core::names::{AccountId, ClusterName, ServerName};
use leeward_core::snapshot::{AccountView, Gap};
use leeward_engine::supervise::{self, SupervisedTask};
use serde::de::DeserializeOwned;
use tokio::sync::watch;

use super::assemble::{AccountParts, assemble, without_repetition};
use super::connections::{self, ByServer, all_of};
use super::history::CounterHistory;
use super::jetstream;
use super::leafs::{self, LeafLink};
use super::pace::Look;
use super::round_trips::RoundTrips;
use super::server_inventory::{InventoryHistory, SeenServer, ServerInventory};
use super::watched_accounts::{AccountFilter, WatchedAccounts, on_panic};
use super::witness::Directory;
use crate::connect::{ConnectionState, Link};
use crate::gaps::{gap, unreadable};
use crate::request::{Gather, first};
use crate::request_error::RequestError;
use crate::status::{ClusterStatus, ObserverRights, SystemStatus};
use crate::user_info;
use crate::wire::monitor::{AccountStatz, Connz, Gatewayz, Routez, ServerInfo};

const STATZ: &str = "$SYS.REQ.ACCOUNT.PING.STATZ";
const GATEWAYZ: &str = "$SYS.REQ.SERVER.PING.GATEWAYZ";
const ROUTEZ: &str = "$SYS.REQ.SERVER.PING.ROUTEZ";
const ROUND_TRIPS_LIMIT: Duration = Duration::from_secs(3);
/// Every so many full looks routes are asked for: some 2 kB for each pair of servers.
const ROUTES_EVERY: u32 = 10;
/// Accounts looked at concurrently.
const ACCOUNTS_AT_ONCE: usize = 4;

pub(crate) struct Sweep {
    link: Arc<Link>,
    board: Arc<WatchedAccounts>,
    servers: Arc<Directory>,
    status: watch::Sender<SystemStatus>,
    interval: Duration,
    histories: BTreeMap<AccountId, CounterHistory>,
    round_trips: RoundTrips,
    /// Full looks until routes are asked for.
    until_routes: u32,
    inventory_history: InventoryHistory,
}

/// What all accounts of one look share.
struct SharedLook {
    server_inventory: ServerInventory,
    volumes: Result<(ByServer<AccountStatz>, Vec<Gap>), RequestError>,
}

impl Sweep {
    pub(crate) fn new(
        link: Arc<Link>,
        board: Arc<WatchedAccounts>,
        servers: Arc<Directory>,
        status: watch::Sender<SystemStatus>,
        interval: Duration,
    ) -> Self {
        let (histories, round_trips, inventory_history) = (
            BTreeMap::new(),
            RoundTrips::default(),
            InventoryHistory::default(),
        );
        Self {
            link,
            board,
            servers,
            status,
            interval,
            histories,
            round_trips,
            until_routes: 0,
            inventory_history,
        }
    }

    async fn common(
        &mut self,
        accounts: &[AccountId],
        which: AccountFilter,
    ) -> Result<SharedLook, RequestError> {
        let server_inventory = self.inventory_history.call(&self.link).await?;
        self.servers.note(&server_inventory);
        let names: Vec<&str> = accounts.iter().map(AccountId::as_str).collect();
        let enough = |replies: &ByServer<AccountStatz>| all_of(&server_inventory.servers, replies);
        let volumes = async {
            if names.is_empty() {
                return Ok((BTreeMap::new(), Vec::new()));
            }
            let counts = |id: &str, _: &AccountStatz| server_inventory.servers.contains_key(id);
            connections::volumes(&self.link, STATZ, &names, &counts, &enough).await
        };
        let gateways = async {
            match which {
                AccountFilter::All => {
                    Some(round_trips::<Gatewayz>(&self.link, &server_inventory, GATEWAYZ).await)
                }
                AccountFilter::Due => None,
            }
        };
        let routes = async {
            match which {
                AccountFilter::All if self.until_routes == 0 && is_spread(&server_inventory) => {
                    Some(round_trips::<Routez>(&self.link, &server_inventory, ROUTEZ).await)
                }
                AccountFilter::All | AccountFilter::Due => None,
            }
        };
        let (volumes, gateways, routes) = tokio::join!(volumes, gateways, routes);
        match gateways {
            Some(Ok(replies)) => self.round_trips.add_gateways(replies.values()),
            Some(Err(error)) => tracing::warn!(%error, "round trips over gateways are not known"),
            None => {}
        }
        match routes {
            Some(Ok(replies)) => self.round_trips.add_routes(&server_inventory, replies.values()),
            Some(Err(error)) => tracing::warn!(%error, "round trips inside a cluster are not known"),
            None => {}
        }
        if which == AccountFilter::All {
            self.until_routes = self.until_routes.checked_sub(1).unwrap_or(ROUTES_EVERY - 1);
        }
        Ok(SharedLook {
            server_inventory,
            volumes,
        })
    }

    /// Reports why there is no server inventory, in the status and for every account of this look.
    async fn without_inventory(&self, accounts: &[AccountId], error: RequestError) {
        let rights = match &error {
            // In another account nobody serves the subject.
            RequestError::NoResponders { subject: _ } => {
                let account = user_info::ask(&self.link).await.ok().map(|info| info.name);
                Some(ObserverRights::NotSystem { account })
            }
            RequestError::Denied { subject } => Some(ObserverRights::Denied {
                subject: subject.clone(),
            }),
            _ => None,
        };
        let gap = match &rights {
            Some(ObserverRights::NotSystem { account: _ }) => {
                unreadable("the observer's credentials are not of the system account")
            }
            _ => gap(error),
        };
        self.status.send_modify(|status| {
            status.rights = rights.unwrap_or_else(|| status.rights.clone());
            status.set_gaps(vec![gap.clone()]);
        });
        for account in accounts {
            self.board.publish_gap(account, gap.clone());
        }
    }

    fn publish(&mut self, account: &AccountId, gathered: &AccountParts, began: Timestamp) {
        let interval = self.interval;
        let history = self
            .histories
            .entry(account.clone())
            .or_insert_with(|| CounterHistory::new(interval));
        self.board.publish(assemble(account, gathered, began, history));
    }

    fn publish_status(&self, server_inventory: &ServerInventory, which: AccountFilter) {
        let views = self.board.views();
        let missing: BTreeSet<ServerName> = views
            .iter()
            .flat_map(|view| view.topology.missing().cloned().collect::<Vec<_>>())
            .collect();
        let clusters = clusters(server_inventory, &views);
        let round_trips = self.round_trips.gateways();
        self.status.send_modify(|status| {
            status.rights = ObserverRights::System;
            status.servers_answered = server_inventory.answered;
            status.servers_expected = server_inventory.expected.max(
                server_inventory
                    .answered
                    .saturating_add(unanswered(server_inventory, &missing)),
            );
            status.servers_missing = missing.into_iter().collect();
            status.clusters = clusters;
            status.round_trips = round_trips;
            status.set_gaps(gaps_of_system(server_inventory, &views));
            if which == AccountFilter::All {
                status.observed_at = Some(Timestamp::now());
            }
        });
    }
}

impl Look for Sweep {
    async fn look(&mut self, accounts: Vec<AccountId>, which: AccountFilter) {
        let began = Timestamp::now();
        let watched: BTreeSet<AccountId> = self.board.accounts().into_iter().collect();
        self.histories.retain(|account, _| watched.contains(account));
        let common = match self.common(&accounts, which).await {
            Ok(common) => common,
            Err(error) => return self.without_inventory(&accounts, error).await,
        };
        let (gateways, routes) = (self.round_trips.gateways(), self.round_trips.routes());
        let (link, board) = (Arc::clone(&self.link), Arc::clone(&self.board));
        let common = &common;
        let mut looks = futures::stream::iter(accounts)
            .map(|account| {
                let (link, board) = (Arc::clone(&link), Arc::clone(&board));
                async move {
                    let look = look_at(&link, &board, common, &account);
                    let gathered = supervise::catch(SupervisedTask::Observation, look).await;
                    (account, gathered)
                }
            })
            .buffer_unordered(ACCOUNTS_AT_ONCE);
        while let Some((account, gathered)) = looks.next().await {
            // A panic over one account ends no other's look.
            let published = gathered.and_then(|mut gathered| {
                gathered.round_trips.clone_from(&gateways);
                gathered.routes = Arc::clone(&routes);
                supervise::catch_now(SupervisedTask::Observation, || {
                    self.publish(&account, &gathered, began);
                })
            });
            if let Err(panicked) = published {
                self.board.publish_gap(&account, on_panic(&panicked));
            }
        }
        drop(looks);
        self.publish_status(&common.server_inventory, which);
    }

    fn connection(&mut self, state: &ConnectionState) {
        self.status.send_if_modified(|status| {
            let changed = status.connection != *state;
            if changed {
                status.connection = state.clone();
            }
            changed
        });
    }
}

/// Asks everything that is specific to one account.
async fn look_at(
    link: &Link,
    board: &WatchedAccounts,
    common: &SharedLook,
    account: &AccountId,
) -> AccountParts {
    let server_inventory = &common.server_inventory;
    let elections = board.take_elections(account);
    let enough = |replies: &ByServer<_>| all_of(&server_inventory.servers, replies);
    // What is not in the inventory belongs to another JetStream, or is unknown.
    let counts = |id: &str, _: &Connz| server_inventory.servers.contains_key(id);
    let (assets, connections, leaf_links) = tokio::join!(
        jetstream::ask(link, server_inventory, account),
        connections::list(link, connections::CONNZ, Some(account.as_str()), &counts, &enough),
        leaf_links(link, common, account)
    );
    let mut gathered = AccountParts {
        servers: server_inventory.servers.values().cloned().collect(),
        domain: server_inventory.domain.clone(),
        meta_leader: assets.meta_leader,
        silent: assets.silent,
        members: assets.meta_group.clone(),
        expected: assets.meta_group,
        leaf_links,
        streams: assets.streams,
        gaps: server_inventory.gaps.iter().cloned().chain(assets.gaps).collect(),
        elections,
        ..AccountParts::default()
    };
    match connections {
        Ok(connections) => {
            let answered = |id: &String| connections.servers.contains_key(id);
            gathered
                .silent
                .extend(silent(server_inventory, &connections.gaps, answered));
            gathered.gaps.extend(connections.gaps);
            gathered.connections = connections.list;
        }
        Err(error) => gathered.gaps.push(gap(error)),
    }
    match &common.volumes {
        Ok((replies, gaps)) => {
            let answered = |id: &String| replies.contains_key(id);
            gathered.silent.extend(silent(server_inventory, gaps, answered));
            gathered.gaps.extend(gaps.iter().cloned());
            add_volumes(&mut gathered, replies, account);
        }
        Err(error) => gathered.gaps.push(gap(error.clone())),
    }
    gathered
}

/// The links of leaf nodes in an account, if both ends of one may have been counted: on servers of several clusters.
/// Unknown, and no gap, where the user may not ask.
async fn leaf_links(link: &Link, common: &SharedLook, account: &AccountId) -> Vec<LeafLink> {
    let Ok((replies, _)) = &common.volumes else {
        return Vec::new();
    };
    let linked = |statz: &AccountStatz| {
        let mut stats = statz.account_statz.iter();
        stats.any(|stat| stat.acc.as_str() == account.as_str() && stat.leafnodes > 0)
    };
    let ends = replies.values().filter(|(_, statz)| linked(statz));
    let clusters: BTreeSet<&str> = ends
        .map(|(info, _)| info.cluster.as_deref().unwrap_or(info.name.as_str()))
        .collect();
    if clusters.len() < 2 {
        return Vec::new();
    }
    leafs::ask(link, &common.server_inventory, account).await
}

/// A server that answers without the account has none of its traffic.
pub(crate) fn add_volumes(
    gathered: &mut AccountParts,
    replies: &ByServer<AccountStatz>,
    account: &AccountId,
) {
    for (info, statz) in replies.values() {
        let server = ServerName::from(info.name.as_str());
        if let Some(stat) = statz
            .account_statz
            .iter()
            .find(|stat| stat.acc.as_str() == account.as_str())
        {
            gathered.leafnodes.insert(server.clone(), stat.leafnodes);
            gathered.volumes.insert(server, connections::volume(stat));
        }
    }
}

/// The servers that did not answer. Where something could not be read, its sender is unknown: then no server counts as
/// silent, and the gap is enough.
fn silent(
    server_inventory: &ServerInventory,
    gaps: &[Gap],
    answered: impl Fn(&String) -> bool,
) -> Vec<ServerName> {
    let unread = |gap: &Gap| matches!(gap, Gap::Unreadable { message: _ });
    if gaps.iter().any(unread) {
        return Vec::new();
    }
    let servers = server_inventory.servers.iter().filter(|(id, _)| !answered(id));
    servers.map(|(_, server)| server.name.clone()).collect()
}

/// Whether servers of one cluster may be far from each other: they do not all carry the same tags.
fn is_spread(server_inventory: &ServerInventory) -> bool {
    let mut tags = BTreeMap::new();
    let mut servers = server_inventory.servers.values();
    servers.any(|server| *tags.entry(&server.cluster).or_insert(&server.tags) != &server.tags)
}

/// What servers report of their gateways, or of their routes.
async fn round_trips<T: DeserializeOwned>(
    link: &Link,
    server_inventory: &ServerInventory,
    subject: &str,
) -> Result<ByServer<T>, RequestError> {
    let enough = |replies: &BTreeMap<String, (ServerInfo, T)>| all_of(&server_inventory.servers, replies);
    let gather = Gather {
        subject,
        payload: String::new(),
        limit: ROUND_TRIPS_LIMIT,
        read: &|bytes| connections::read_if(bytes, &|id, _: &T| server_inventory.servers.contains_key(id)),
        prefer: &first,
        enough: &enough,
    };
    let gathered = link.gather(gather).await?;
    for message in &gathered.unreadable {
        tracing::warn!(subject, message, "a reply about round trips was not understood");
    }
    Ok(gathered.replies)
}

/// What the inventory did not see, and what the meta group shows of the system as a whole.
fn gaps_of_system(server_inventory: &ServerInventory, views: &[Arc<AccountView>]) -> Vec<Gap> {
    let of_members = |gap: &&Gap| {
        matches!(
            gap,
            Gap::MemberMissing { server: _ } | Gap::WithoutJetStream { server: _ }
        )
    };
    let members: BTreeSet<Gap> = views
        .iter()
        .flat_map(|view| view.gaps.iter().filter(of_members).cloned())
        .collect();
    without_repetition(server_inventory.gaps.iter().cloned().chain(members).collect())
}

/// Servers that are known to be missing and did not answer the inventory either.
fn unanswered(server_inventory: &ServerInventory, missing: &BTreeSet<ServerName>) -> u32 {
    let answered: BTreeSet<&ServerName> = server_inventory
        .servers
        .values()
        .map(|server| &server.name)
        .collect();
    u32::try_from(missing.iter().filter(|name| !answered.contains(name)).count()).unwrap_or(u32::MAX)
}

fn clusters(server_inventory: &ServerInventory, views: &[Arc<AccountView>]) -> Vec<ClusterStatus> {
    let mut clusters: BTreeMap<ClusterName, ClusterStatus> = BTreeMap::new();
    for server in server_inventory.servers.values() {
        let cluster = entry(&mut clusters, &cluster_of(server));
        cluster.servers = cluster.servers.saturating_add(1);
        cluster.versions.extend(server.version);
        cluster.connections = cluster
            .connections
            .saturating_add(server.connections.unwrap_or(0));
    }
    for view in views {
        let cluster = |leader| {
            view.topology
                .details(leader)
                .map(|details| details.cluster.clone())
        };
        for stream in &view.streams {
            if let Some(name) = stream.group.leader.and_then(cluster) {
                let cluster = entry(&mut clusters, &name);
                cluster.stream_leaders = cluster.stream_leaders.saturating_add(1);
            }
            for name in stream
                .consumers
                .iter()
                .filter_map(|consumer| consumer.group.leader)
                .filter_map(cluster)
            {
                let cluster = entry(&mut clusters, &name);
                cluster.consumer_leaders = cluster.consumer_leaders.saturating_add(1);
            }
        }
    }
    clusters.into_values().collect()
}

fn cluster_of(server: &SeenServer) -> ClusterName {
    ClusterName::from(server.cluster.as_deref().unwrap_or(server.name.as_str()))
}

fn entry<'a>(
    clusters: &'a mut BTreeMap<ClusterName, ClusterStatus>,
    name: &ClusterName,
) -> &'a mut ClusterStatus {
    clusters
        .entry(name.clone())
        .or_insert_with(|| ClusterStatus::new(name.clone()))
}
