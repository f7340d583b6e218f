//! What only the servers can have said of an account: asked through the system account, which clients of no other account
//! can answer in.
//!
//! On an account's own connection any client of that account may answer in the servers' place. Whatever decides there is
//! compared with what is told here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use leeward_core::names::{AccountId, AssetName, ServerName};
use leeward_core::operation::Sighting;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::json;
use serde_json::value::RawValue;
use tokio::sync::Semaphore;

use super::census::Census;
use super::connections::{ByServer, read};
use crate::account::AccountInfo;
use crate::connect::Link;
use crate::reading::StreamReading;
use crate::request::{Enough, Gather, RequestError, first};
use crate::wire;
use crate::wire::assets::{RawStreamInfo, StreamInfo};
use crate::wire::monitor::{AccountStatz, Envelope};
use crate::wire::text::{Name, Text};

const CONNZ: &str = "$SYS.REQ.SERVER.PING.CONNZ";
const STATZ: &str = "$SYS.REQ.ACCOUNT.PING.STATZ";
const CONNZ_LIMIT: Duration = Duration::from_secs(3);
/// A large account takes a server a while (NATS.md N44, N45).
const JSZ_LIMIT: Duration = Duration::from_secs(15);
/// Accounts of which a server is asked at once: bounds the memory that replies take, and what the servers have to do.
const AT_ONCE: usize = 2;
/// The account of users without one, which CONNZ leaves out.
const GLOBAL: &str = "$G";

/// Asks the servers through the system account.
#[derive(Clone, Debug)]
pub struct Witness {
    link: Arc<Link>,
    servers: Arc<Directory>,
    turns: Arc<Semaphore>,
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

/// A stream as the server that leads it tells it.
#[derive(Clone, Debug)]
pub(crate) struct StoredStream {
    pub(crate) reading: StreamReading,
    /// As the server wrote it.
    pub(crate) config: String,
}

impl Witness {
    pub(crate) fn new(link: Arc<Link>, servers: Arc<Directory>) -> Self {
        Self {
            link,
            servers,
            turns: Arc::new(Semaphore::new(AT_ONCE)),
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
        let Some(stored) = self.stream(account, asset, leader).await? else {
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

    /// The stream of an asset by the word of a server; `None` where it does not list it.
    pub(crate) async fn stream(
        &self,
        account: &AccountId,
        asset: &AssetName,
        server: &ServerName,
    ) -> Result<Option<StoredStream>, Unseen> {
        let ids = self.servers.ids(server);
        if ids.is_empty() {
            return Err(Unseen::NoServer {
                server: server.to_string(),
            });
        }
        // Servers before 2.11 list all streams, not only those that they lead.
        let options = json!({
            "account": account.as_str(), "streams": true, "config": true,
            "consumer": asset.consumer.is_some(), "stream_leader_only": asset.consumer.is_none(),
        });
        let _turn = self.turns.acquire().await;
        let mut found = Ok(None);
        for id in ids {
            let subject = format!("$SYS.REQ.SERVER.{id}.JSZ");
            let answer = self.link.request(&subject, options.to_string(), JSZ_LIMIT).await;
            found = match answer {
                Ok(answer) => look_up(&answer, account, asset, server).map_err(Unseen::NotUnderstood),
                Err(error) => Err(error.into()),
            };
            if matches!(found, Ok(Some(_))) {
                return found;
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

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow)]
    data: Jsz<'a>,
}

#[derive(Deserialize)]
struct Jsz<'a> {
    #[serde(borrow, default)]
    account_details: Vec<AccountDetail<'a>>,
}

#[derive(Deserialize)]
struct AccountDetail<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    #[serde(borrow, default)]
    stream_detail: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct Named<'a> {
    #[serde(borrow)]
    name: Text<'a>,
}

/// One stream of JSZ; the others are not read.
fn look_up(
    answer: &Bytes,
    account: &AccountId,
    asset: &AssetName,
    server: &ServerName,
) -> Result<Option<StoredStream>, String> {
    let of = |message: String| format!("JSZ of {server}: {message}");
    wire::read::<Envelope<IgnoredAny>>(answer)
        .map_err(of)?
        .content()?;
    let details = wire::read::<Body<'_>>(answer).map_err(of)?.data.account_details;
    let own = details.iter().filter(|detail| &*detail.id == account.as_str());
    for stream in own.flat_map(|detail| &detail.stream_detail) {
        let text = stream.get().as_bytes();
        if &*wire::read::<Named<'_>>(text).map_err(of)?.name != asset.stream.as_str() {
            continue;
        }
        let info = wire::read::<StreamInfo<'_>>(text).map_err(of)?;
        let config = wire::read::<RawStreamInfo<'_>>(text).map_err(of)?.config;
        return Ok(Some(StoredStream {
            reading: StreamReading::new(&info, Some(server)).map_err(of)?,
            config: config.get().to_owned(),
        }));
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use leeward_core::names::{ConsumerName, StreamName};

    use super::*;

    #[test]
    fn one_stream_is_looked_up_in_the_right_account() {
        let stream = |name: &str, replicas: u8| {
            json!({
                "name": name,
                "config": { "name": name, "num_replicas": replicas, "storage": "file", "max_bytes": -1, "new": 1.50 },
                "state": { "bytes": 1, "last_seq": 2 },
                "cluster": { "leader": "n-0", "replicas": [] },
            })
        };
        let answer = json!({
            "server": { "name": "n-0", "id": "N", "ver": "2.15.1" },
            "data": { "account_details": [
                { "name": "B", "id": "B", "stream_detail": [stream("S", 5)] },
                { "name": "A", "id": "A", "stream_detail": [stream("T", 3), stream("S", 1)] },
            ]},
        });
        let answer = Bytes::from(answer.to_string());
        let asset = AssetName::consumer(StreamName::from("S"), ConsumerName::from("C"));
        let look = |account: &str| {
            look_up(
                &answer,
                &AccountId::from(account),
                &asset,
                &ServerName::from("n-0"),
            )
        };
        let found = look("A").unwrap().unwrap();
        assert_eq!(found.reading.replicas, 1);
        assert!(found.config.contains("\"new\":1.5"), "{}", found.config);
        assert!(look("C").unwrap().is_none());
    }
}
