//! What only the servers can have said of an account: asked through the system account, which clients of no other account
//! can answer in.
//!
//! On an account's own connection any client of that account may answer in the servers' place. Whatever decides there is
//! compared with what is told here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use leeward_core::names::{AccountId, AssetName, ServerName, StreamName};
use leeward_core::operation::Sighting;
use serde::Deserialize;
use serde_json::json;

use super::census::Census;
use super::connections::{ByServer, read};
use super::listings::{Listings, Of, StoredStream};
use crate::account::AccountInfo;
use crate::connect::Link;
use crate::request::{Enough, Gather, RequestError, first};
use crate::wire::monitor::AccountStatz;
use crate::wire::text::Name;

const CONNZ: &str = "$SYS.REQ.SERVER.PING.CONNZ";
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
}

/// The servers that were seen last, by name; two of them may share one.
#[derive(Debug, Default)]
pub(crate) struct Directory(Mutex<BTreeMap<ServerName, BTreeSet<String>>>);

impl Directory {
    pub(crate) fn note(&self, census: &Census) {
        let mut ids: BTreeMap<ServerName, BTreeSet<String>> = BTreeMap::new();
        for (id, server) in &census.servers {
            ids.entry(server.name.clone()).or_default().insert(id.clone());
        }
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = ids;
    }

    fn ids(&self, name: &ServerName) -> BTreeSet<String> {
        let ids = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        ids.get(name).cloned().unwrap_or_default()
    }
}

/// Why the system account does not say it.
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
}

impl Witness {
    pub(crate) fn new(link: Arc<Link>, servers: Arc<Directory>) -> Self {
        Self {
            listings: Listings::new(Arc::clone(&link)),
            link,
            servers,
        }
    }

    /// The account of a connection by the server at its other end, whose INFO line named both.
    pub(crate) async fn account_of(&self, info: &async_nats::ServerInfo) -> Result<AccountInfo, Unseen> {
        let (server, cid) = (info.server_id.as_str(), info.client_id);
        let options =
            json!({ "cid": cid, "auth": true, "server_name": info.server_name, "exact_match": true });
        let connections: Connections = self.ask(CONNZ, options.to_string(), server).await?;
        let own = connections.connections.into_iter().find(|one| one.cid == cid);
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

    /// For people: what cannot be learnt is left out.
    async fn name_of(&self, account: &str, info: &async_nats::ServerInfo) -> Option<String> {
        let options = json!({
            "accounts": [account], "include_unused": true, "server_name": info.server_name, "exact_match": true,
        });
        let told: Result<AccountStatz, Unseen> = self.ask(STATZ, options.to_string(), &info.server_id).await;
        let stats = told.ok()?.account_statz;
        let own = stats.into_iter().find(|stat| stat.acc.as_str() == account)?;
        own.name.filter(|name| !name.is_empty()).map(String::from)
    }

    /// What one server answers. Before 2.12 servers with a longer name answer too (NATS.md N40).
    async fn ask<T: serde::de::DeserializeOwned + Send>(
        &self,
        subject: &str,
        payload: String,
        server: &str,
    ) -> Result<T, Unseen> {
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
            (Some((_, content)), _) => Ok(content),
            (None, Some(message)) => Err(Unseen::NotUnderstood(message)),
            (None, None) => Err(Unseen::NoServer {
                server: server.to_owned(),
            }),
        }
    }

    /// An asset by the word of the server that is said to lead it; `None` where it does not list it.
    pub(crate) async fn read(
        &self,
        account: &AccountId,
        asset: &AssetName,
        leader: &ServerName,
    ) -> Result<Option<Sighting>, Unseen> {
        let of = match &asset.consumer {
            None => Of::LedStreams,
            Some(_) => Of::Consumers,
        };
        let Some(stored) = self.stream(account, &asset.stream, leader, of).await? else {
            return Ok(None);
        };
        let Some(consumer) = &asset.consumer else {
            return Ok(Some(Sighting::Seen(stored.reading.reading())));
        };
        let stream = stored.reading;
        let mut consumers = stream.consumers.iter();
        let found = consumers.find(|one| one.name == consumer.as_str()).cloned();
        Ok(found.map(|found| Sighting::Seen(found.reading(&stream))))
    }

    /// A stream by the word of a server; `None` where it does not list it.
    pub(crate) async fn stream(
        &self,
        account: &AccountId,
        stream: &StreamName,
        server: &ServerName,
        of: Of,
    ) -> Result<Option<StoredStream>, Unseen> {
        let ids = self.servers.ids(server);
        if ids.is_empty() {
            return Err(Unseen::NoServer {
                server: server.to_string(),
            });
        }
        let mut found = Ok(None);
        for id in ids {
            let listing = self.listings.ask(&id, account, of).await;
            found = listing.and_then(|listing| listing.stream(stream, server));
            if matches!(found, Ok(Some(_))) {
                break;
            }
        }
        found
    }
}

#[derive(Deserialize)]
struct Connections {
    #[serde(default)]
    connections: Vec<Connection>,
}

#[derive(Deserialize)]
struct Connection {
    cid: u64,
    /// Left out for users without an account.
    account: Option<Name>,
}
