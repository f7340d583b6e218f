//! Facts about an account that only the servers can have reported: asked through the system account, where clients of
//! other accounts cannot answer.
//!
//! On an account's own connection any client of that account may answer in the servers' place. Whatever is decisive
//! there is compared with the answers here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use leeward_core::names::{AccountId, AssetName, ServerName, StreamName};
use leeward_core::operation::AssetInfo;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::watch;
use tokio::time::Instant;

use super::connections::{ByServer, CONNZ, read};
use super::elections::Elections;
use super::listings::{ListedAssets, Listings, StoredStream};
use super::server_inventory::{SeenServer, ServerInventory};
use crate::connect::Link;
use crate::connection_name::ConnectionName;
use crate::reading::StreamReading;
use crate::request::{Enough, Gather, first};
use crate::request_error::RequestError;
use crate::user_info::AccountInfo;
use crate::wire::monitor::{AccountStatz, ServerInfo};
use crate::wire::text::{Name, Words};

const STATZ: &str = "$SYS.REQ.ACCOUNT.PING.STATZ";
const CONNZ_LIMIT: Duration = Duration::from_secs(3);
/// The account of users without one, which CONNZ leaves out.
const GLOBAL: &str = "$G";

/// Asks the servers through the system account.
#[derive(Clone, Debug)]
pub struct Witness {
    link: Arc<Link>,
    servers: Arc<Directory>,
    listings: Listings,
    elections: Elections,
}

/// The servers seen last.
#[derive(Debug, Default)]
pub(crate) struct Directory(watch::Sender<Option<KnownServers>>);

#[derive(Debug)]
struct KnownServers {
    /// Their ids by name, which two of them may share.
    ids: BTreeMap<ServerName, BTreeSet<String>>,
    /// Their JetStream domain.
    domain: Option<String>,
    /// Whether all expected servers are known.
    complete: bool,
}

impl Directory {
    pub(crate) fn note(&self, server_inventory: &ServerInventory) {
        let mut ids: BTreeMap<ServerName, BTreeSet<String>> = BTreeMap::new();
        for (id, server) in &server_inventory.servers {
            ids.entry(server.name.clone()).or_default().insert(id.clone());
        }
        self.0.send_replace(Some(KnownServers {
            ids,
            domain: server_inventory.domain.clone(),
            complete: server_inventory.answered >= server_inventory.expected,
        }));
    }

    fn ids(&self, name: &ServerName) -> BTreeSet<String> {
        let known = self.0.borrow();
        let ids = known.as_ref().and_then(|known| known.ids.get(name));
        ids.cloned().unwrap_or_default()
    }

    /// All servers, if they are known.
    fn names(&self) -> Option<Vec<ServerName>> {
        let known = self.0.borrow();
        let all = known.as_ref().filter(|known| known.complete)?;
        Some(all.ids.keys().cloned().collect())
    }

    /// Whether a server's JetStream is the observed one; waits until that is known.
    async fn includes(&self, server: &ServerInfo) -> Result<(), Unseen> {
        let mut known = self.0.subscribe();
        let known = tokio::time::timeout(CONNZ_LIMIT, known.wait_for(Option::is_some)).await;
        let Ok(Ok(known)) = known else {
            return Err(Unseen::NoServer {
                server: server.name.to_string(),
            });
        };
        let Some(KnownServers { ids, domain, .. }) = &*known else {
            return Ok(());
        };
        let reached = SeenServer::new(server.clone());
        let is_known = ids
            .get(&reached.name)
            .is_some_and(|ids| ids.contains(&reached.id));
        if is_known || !reached.jetstream || reached.domain == *domain {
            return Ok(());
        }
        Err(Unseen::OtherDomain {
            server: reached.name,
            reached: reached.domain,
            observed: domain.clone(),
        })
    }
}

/// Why the system account does not confirm it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unseen {
    #[error(transparent)]
    Unanswered(#[from] RequestError),
    #[error("{0}")]
    NotUnderstood(String),
    #[error("server {server} does not list the connection")]
    NoConnection { server: String },
    #[error("{server} is not among the servers that the system account sees")]
    NoServer { server: String },
    #[error("not all servers answer")]
    NotAll,
    #[error(
        "the account's user is connected to {server}, whose JetStream is of {}, and JetStream of {} is seen: correct the \
         servers, or name that domain as jetStreamDomain (--js-domain)",
        domain(reached.as_ref()),
        domain(observed.as_ref())
    )]
    OtherDomain {
        server: ServerName,
        reached: Option<String>,
        observed: Option<String>,
    },
}

fn domain(name: Option<&String>) -> String {
    name.map_or_else(|| "no domain".to_owned(), |name| format!("domain {name}"))
}

impl Witness {
    pub(crate) fn new(link: Arc<Link>, servers: Arc<Directory>, elections: Elections) -> Self {
        Self {
            listings: Listings::new(Arc::clone(&link)),
            link,
            servers,
            elections,
        }
    }

    /// The connection as a user of the system account.
    pub(crate) fn link(&self) -> &Link {
        &self.link
    }

    /// The account of a connection, asked from the server at its other end, whose INFO line named both, before TLS; the
    /// name that the connection gave itself proves that it is this one. `domain` is the JetStream domain of its
    /// requests, if they name one. Otherwise they go to that server's JetStream, which has to be the observed one.
    pub(crate) async fn account_of(
        &self,
        info: &async_nats::ServerInfo,
        own: &ConnectionName,
        domain: Option<&str>,
    ) -> Result<AccountInfo, Unseen> {
        let (server, cid) = (info.server_id.as_str(), info.client_id);
        let options =
            json!({ "cid": cid, "auth": true, "server_name": info.server_name, "exact_match": true });
        let (seen, connections): (_, ListedConnections) =
            self.ask(CONNZ, options.to_string(), server).await?;
        if domain.is_none() {
            self.servers.includes(&seen).await?;
        }
        let own = connections
            .connections
            .into_iter()
            .find(|one| one.cid == cid && one.name.as_deref() == Some(own.as_str()));
        let Some(own) = own else {
            return Err(Unseen::NoConnection {
                server: info.server_name.clone(),
            });
        };
        let id = own.account.map_or_else(|| GLOBAL.to_owned(), String::from);
        let name = match nkeys::KeyPair::from_public_key(&id) {
            Ok(_) => self.name_of(&id, info).await,
            Err(_) => None,
        };
        Ok(AccountInfo {
            name: name.unwrap_or_else(|| id.clone()),
            id: AccountId::from(id),
        })
    }

    /// For display: what cannot be learnt is left out.
    async fn name_of(&self, account: &str, info: &async_nats::ServerInfo) -> Option<String> {
        let options = json!({
            "accounts": [account], "include_unused": true, "server_name": info.server_name, "exact_match": true,
        });
        let answer = self
            .ask::<AccountStatz>(STATZ, options.to_string(), &info.server_id)
            .await;
        let (
            _,
            AccountStatz {
                account_statz: stats, ..
            },
        ) = answer.ok()?;
        let own = stats.into_iter().find(|stat| stat.acc.as_str() == account)?;
        own.name.filter(|name| !name.is_empty()).map(String::from)
    }

    /// One server's answer. Before 2.12 servers with a longer name answer too (nats-facts N40).
    async fn ask<T: serde::de::DeserializeOwned + Send>(
        &self,
        subject: &str,
        payload: String,
        server: &str,
    ) -> Result<(ServerInfo, T), Unseen> {
        let enough = |replies: &ByServer<T>| {
            if replies.contains_key(server) {
                Enough::Yes
            } else {
                Enough::No
            }
        };
        let gather = Gather {
            subject,
            payload,
            limit: CONNZ_LIMIT,
            read: &|answer| read::<T>(answer).map(Some),
            prefer: &first,
            enough: &enough,
        };
        let mut gathered = self.link.gather(gather).await?;
        match (gathered.replies.remove(server), gathered.unreadable.pop()) {
            (Some(answer), _) => Ok(answer),
            (None, Some(message)) => Err(Unseen::NotUnderstood(message)),
            (None, None) => Err(Unseen::NoServer {
                server: server.to_owned(),
            }),
        }
    }

    /// Waits until the servers announce an asset's election, and gives the leader that was elected.
    pub(crate) async fn elected(&self, account: AccountId, asset: AssetName, since: Instant) -> ServerName {
        self.elections.next(account, asset, since).await
    }

    /// An asset as reported by the server that should lead it, no earlier than `since`; `None` where it does not list it.
    pub(crate) async fn read(
        &self,
        account: &AccountId,
        asset: &AssetName,
        leader: &ServerName,
        since: Instant,
    ) -> Result<Option<AssetInfo>, Unseen> {
        let of = match &asset.consumer {
            None => ListedAssets::LedStreams,
            Some(_) => ListedAssets::Consumers,
        };
        let stored = self
            .stream_since(account, &asset.stream, leader, of, since)
            .await?;
        Ok(stored.and_then(|stored| reading(&stored.reading, asset)))
    }

    /// Whether any server lists an asset, as its leader or as another of its peers.
    pub(crate) async fn is_listed(&self, account: &AccountId, asset: &AssetName) -> Result<bool, Unseen> {
        let of = match &asset.consumer {
            None => ListedAssets::Streams,
            Some(_) => ListedAssets::Consumers,
        };
        for server in self.servers.names().ok_or(Unseen::NotAll)? {
            let stored = self.stream(account, &asset.stream, &server, of).await?;
            if stored.is_some_and(|stored| reading(&stored.reading, asset).is_some()) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// A stream as reported by a server from now on; `None` where it does not list it.
    pub(crate) async fn stream(
        &self,
        account: &AccountId,
        stream: &StreamName,
        server: &ServerName,
        of: ListedAssets,
    ) -> Result<Option<StoredStream>, Unseen> {
        self.stream_since(account, stream, server, of, Instant::now())
            .await
    }

    async fn stream_since(
        &self,
        account: &AccountId,
        stream: &StreamName,
        server: &ServerName,
        of: ListedAssets,
        since: Instant,
    ) -> Result<Option<StoredStream>, Unseen> {
        let ids = self.servers.ids(server);
        if ids.is_empty() {
            return Err(Unseen::NoServer {
                server: server.to_string(),
            });
        }
        let mut found = Ok(None);
        for id in ids {
            let listing = self.listings.ask(&id, account, of, since).await;
            found = listing.and_then(|listing| listing.stream(stream, server));
            if matches!(found, Ok(Some(_))) {
                break;
            }
        }
        found
    }
}

/// An asset in the listing of its stream.
fn reading(stream: &StreamReading, asset: &AssetName) -> Option<AssetInfo> {
    let Some(consumer) = &asset.consumer else {
        return Some(stream.clone().reading());
    };
    let mut consumers = stream.consumers.iter();
    let found = consumers.find(|one| one.name == consumer.as_str()).cloned()?;
    Some(found.reading(stream))
}

#[derive(Deserialize)]
struct ListedConnections {
    #[serde(default)]
    connections: Vec<ListedConnection>,
}

#[derive(Deserialize)]
struct ListedConnection {
    cid: u64,
    name: Option<Words>,
    /// Left out for users without an account.
    account: Option<Name>,
}
