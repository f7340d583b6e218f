//! One server's JSZ listing of an account's streams, shared by all who want one of the same time.
//!
//! A server cannot be asked for one stream alone (nats-facts N43), so confirming a hundred streams at once must not
//! take a hundred lists of all of them. A list is kept for as long as it may do.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use leeward_core::names::{AccountId, ServerName, StreamName};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::json;
use serde_json::value::RawValue;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::witness::Unseen;
use crate::connect::Link;
use crate::reading::StreamReading;
use crate::wire;
use crate::wire::assets::{Jsz, RawStreamInfo, StreamInfo};
use crate::wire::monitor::Envelope;
use crate::wire::text::WireText;

/// A large account takes a server long (nats-facts N44, N45).
const LIMIT: Duration = Duration::from_secs(15);
/// Lists requested at once: bounds the memory of large replies, and the servers' work.
const AT_ONCE: usize = 2;

/// Nobody wants a list that was begun longer ago.
const KEPT: Duration = Duration::from_secs(5);
/// Larger lists, in bytes, are given only to those who wait for them.
const MOST_KEPT: usize = 4 << 20;

/// What a server is asked to list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ListedAssets {
    /// Streams that it leads. Servers before 2.11 list all.
    LedStreams,
    /// All streams that it keeps.
    Streams,
    /// All streams that it keeps, with their consumers.
    Consumers,
}

/// A stream as a server reports it.
#[derive(Clone, Debug)]
pub(crate) struct StoredStream {
    pub(crate) reading: StreamReading,
    /// As the server wrote it.
    pub(crate) config: String,
}

/// Asks servers for lists. Clones share their requests.
#[derive(Clone, Debug)]
pub(crate) struct Listings {
    link: Arc<Link>,
    turns: Arc<Semaphore>,
    newest: Arc<Mutex<BTreeMap<ListRequest, AskedListing>>>,
}

/// The newest list of its kind.
#[derive(Clone, Debug)]
struct AskedListing {
    /// When the server was asked for it; `None` while it waits for its turn.
    asked: Option<Instant>,
    listing: SharedListing,
}

type ListRequest = (String, AccountId, ListedAssets);
type SharedListing = Shared<BoxFuture<'static, Result<Arc<Listing>, Unseen>>>;

impl Listings {
    pub(crate) fn new(link: Arc<Link>) -> Self {
        Self {
            link,
            turns: Arc::new(Semaphore::new(AT_ONCE)),
            newest: Arc::default(),
        }
    }

    /// What a server, by its id, lists, asked no earlier than `since`: an earlier list would miss later changes.
    pub(crate) async fn ask(
        &self,
        id: &str,
        account: &AccountId,
        of: ListedAssets,
        since: Instant,
    ) -> Result<Arc<Listing>, Unseen> {
        let question = (id.to_owned(), account.clone(), of);
        let answer = {
            let mut newest = self.newest();
            let known = newest.get(&question);
            if let Some(known) = known.filter(|known| known.asked.is_none_or(|asked| asked >= since)) {
                known.listing.clone()
            } else {
                let listing = self.begin(question.clone());
                let (asked, begun) = (None, listing.clone());
                newest.insert(question, AskedListing { asked, listing });
                begun
            }
        };
        answer.await
    }

    fn begin(&self, question: ListRequest) -> SharedListing {
        let listings = self.clone();
        let asking = tokio::spawn(async move {
            let turn = listings.turns.acquire().await;
            let asked = Instant::now();
            if let Some(newest) = listings.newest().get_mut(&question) {
                newest.asked = Some(asked);
            }
            let listing = listings.request(&question).await;
            drop(turn);
            let is_kept = |listing: &Arc<Listing>| listing.bytes <= MOST_KEPT;
            let until = asked
                .checked_add(KEPT)
                .filter(|_| listing.as_ref().is_ok_and(is_kept));
            tokio::spawn(async move {
                tokio::time::sleep_until(until.unwrap_or(asked)).await;
                let mut newest = listings.newest();
                if newest.get(&question).and_then(|newest| newest.asked) == Some(asked) {
                    newest.remove(&question);
                }
            });
            listing
        });
        let broken = |error: tokio::task::JoinError| Unseen::NotUnderstood(error.to_string());
        async move { asking.await.unwrap_or_else(|error| Err(broken(error))) }
            .boxed()
            .shared()
    }

    async fn request(&self, (id, account, of): &ListRequest) -> Result<Arc<Listing>, Unseen> {
        let options = json!({
            "account": account.as_str(), "streams": true, "config": true,
            "consumer": *of == ListedAssets::Consumers, "stream_leader_only": *of == ListedAssets::LedStreams,
        });
        let subject = format!("$SYS.REQ.SERVER.{id}.JSZ");
        let answer = self.link.request(&subject, options.to_string(), LIMIT).await?;
        let listing = Listing::new(&answer, account);
        let not_understood = |message| Unseen::NotUnderstood(format!("JSZ of {id}: {message}"));
        listing.map(Arc::new).map_err(not_understood)
    }

    fn newest(&self) -> std::sync::MutexGuard<'_, BTreeMap<ListRequest, AskedListing>> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The streams of one account as a server listed them. Each is read on demand.
#[derive(Debug)]
pub(crate) struct Listing {
    streams: BTreeMap<String, Bytes>,
    bytes: usize,
}

impl Listing {
    fn new(answer: &Bytes, account: &AccountId) -> Result<Self, String> {
        let (_, jsz) = wire::read::<Envelope<Jsz<'_, &RawValue, IgnoredAny>>>(answer)?.content()?;
        let details = jsz.account_details;
        let own = details.iter().filter(|detail| &*detail.id == account.as_str());
        let mut streams = BTreeMap::new();
        for stream in own.flat_map(|detail| &detail.stream_detail) {
            let text = stream.get().as_bytes();
            let name = wire::read::<ListedName<'_>>(text)?.name.to_string();
            streams.entry(name).or_insert_with(|| answer.slice_ref(text));
        }
        let bytes = answer.len();
        Ok(Self { streams, bytes })
    }

    pub(crate) fn stream(
        &self,
        name: &StreamName,
        server: &ServerName,
    ) -> Result<Option<StoredStream>, Unseen> {
        let Some(text) = self.streams.get(name.as_str()) else {
            return Ok(None);
        };
        let of = |message: String| Unseen::NotUnderstood(format!("JSZ of {server}: {message}"));
        let info = wire::read::<StreamInfo<'_>>(text).map_err(of)?;
        let config = wire::read::<RawStreamInfo<'_>>(text).map_err(of)?.config;
        Ok(Some(StoredStream {
            reading: StreamReading::new(&info, Some(server)).map_err(of)?,
            config: config.get().to_owned(),
        }))
    }
}

#[derive(Deserialize)]
struct ListedName<'a> {
    #[serde(borrow)]
    name: WireText<'a>,
}

#[cfg(test)]
mod tests {
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
        let look = |account: &str| {
            let listing = Listing::new(&answer, &AccountId::from(account)).unwrap();
            listing
                .stream(&StreamName::from("S"), &ServerName::from("n-0"))
                .unwrap()
        };
        let found = look("A").unwrap();
        assert_eq!(found.reading.replicas, 1);
        assert!(found.config.contains("\"new\":1.5"), "{}", found.config);
        assert!(look("C").is_none());
    }
}
