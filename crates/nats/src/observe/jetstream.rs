//! One account's streams and consumers: JSZ of every JetStream server (nats-facts N43–N45).
//!
//! Each server is asked by itself, with compression: a missing reply concerns only that server, and no broadcast of
//! large replies crosses a leaf link. All servers are asked, not only leaders of streams, because another server may
//! lead a consumer.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use leeward_core::names::{AccountId, ServerName};
use leeward_core::snapshot::Gap;
use serde_json::json;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::merge::merge;
use super::server_inventory::{SeenServer, ServerInventory};
use crate::connect::Link;
use crate::gaps::{gap, unreadable};
use crate::reading::{StreamReading, server_name};
use crate::request::Packed;
use crate::request_error::RequestError;
use crate::wire;
use crate::wire::assets::{AccountDetail, Jsz, MetaGroup};
use crate::wire::monitor::Envelope;

/// A large account takes a server long: 25 µs per consumer, behind other requests (nats-facts N44, N45).
const LIMIT: Duration = Duration::from_secs(15);
/// Servers asked at once for one account.
const AT_ONCE: usize = 8;
/// Larger packed replies are decoded off the runtime's own threads; it is about a millisecond's work.
const LARGE: usize = 64 * 1024;
/// One is decoded at a time in the whole process, since each takes many times its size meanwhile.
static DECODING: Semaphore = Semaphore::const_new(1);
/// KiB of large replies that wait to be decoded in the whole process, for all systems together.
static WAITING: Semaphore = Semaphore::const_new(32 * 1024);
/// A reply beyond that is dropped and requested again, one after the other.
static AGAIN: Semaphore = Semaphore::const_new(1);
/// Bound of all servers' replies for one account: some 120 000 streams and consumers, each replica counted.
const MOST_TOGETHER: usize = 96 << 20;
/// The subject for permissions.
const ANY_SERVER: &str = "$SYS.REQ.SERVER.*.JSZ";

/// What all servers report of one account.
#[derive(Debug, Default)]
pub(crate) struct Assets {
    pub(crate) streams: Vec<StreamReading>,
    /// The servers of the JetStream meta group, by name, or by peer id where nobody knows the name.
    pub(crate) meta_group: BTreeSet<ServerName>,
    pub(crate) meta_leader: Option<ServerName>,
    /// Servers that did not answer.
    pub(crate) silent: BTreeSet<ServerName>,
    pub(crate) gaps: Vec<Gap>,
}

struct JszPart {
    streams: Vec<StreamReading>,
    meta_leader: Option<ServerName>,
    meta_replicas: Vec<ServerName>,
}

/// Asks all JetStream servers of the inventory.
pub(crate) async fn ask(link: &Link, server_inventory: &ServerInventory, account: &AccountId) -> Assets {
    let servers: Vec<SeenServer> = server_inventory
        .servers
        .values()
        .filter(|server| server.jetstream)
        .cloned()
        .collect();
    let together = &Arc::new(AtomicUsize::new(0));
    let answers: Vec<_> = futures::stream::iter(servers)
        .map(|server| async move {
            let answer = ask_one(link, &server, account, together).await;
            (server.name, answer)
        })
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    let mut assets = Assets::default();
    let mut parts = Vec::new();
    for (server, answer) in answers {
        match answer {
            Ok(part) => parts.push((server, part)),
            Err(Failure::Silent) => {
                assets.silent.insert(server);
            }
            Err(Failure::Gap(gap)) => assets.gaps.push(gap),
        }
    }
    match meta_group(&parts) {
        Ok((leader, group)) => {
            assets.gaps.extend(without_jetstream(server_inventory, &group));
            assets.meta_group = group;
            assets.meta_leader = Some(leader);
        }
        Err(gap) => assets.gaps.extend(gap),
    }
    assets.streams = merge(
        parts
            .into_iter()
            .map(|(server, part)| (server, part.streams))
            .collect(),
    );
    assets
}

enum Failure {
    Silent,
    Gap(Gap),
}

async fn ask_one(
    link: &Link,
    server: &SeenServer,
    account: &AccountId,
    together: &Arc<AtomicUsize>,
) -> Result<JszPart, Failure> {
    let subject = format!("$SYS.REQ.SERVER.{}.JSZ", server.id);
    let options = json!({ "account": account.as_str(), "streams": true, "consumer": true, "config": true });
    let (packed, place) = packed(link, &subject, &options.to_string()).await?;
    let small = packed.len() < LARGE;
    let (server, account) = (server.clone(), account.clone());
    let together = Arc::clone(together);
    let decode = move || {
        let answer = packed.unpack().map_err(|error| error.to_string())?;
        let before = together.fetch_add(answer.len(), Ordering::Relaxed);
        if before.saturating_add(answer.len()) > MOST_TOGETHER {
            return Err(too_much(&account));
        }
        decode(&answer, &server, &account)
    };
    let part = if small {
        decode()
    } else {
        let turn = DECODING.acquire().await;
        let decoding = tokio::task::spawn_blocking(decode).await;
        drop((turn, place));
        decoding.unwrap_or_else(|error| Err(error.to_string()))
    };
    part.map_err(|message| Failure::Gap(unreadable(message)))
}

/// A reply, with its permit to wait for decoding if it is large.
async fn packed(
    link: &Link,
    subject: &str,
    options: &str,
) -> Result<(Packed, Option<SemaphorePermit<'static>>), Failure> {
    let request = || async {
        let packed = link.request_packed(subject, options.to_owned(), LIMIT).await;
        packed.map_err(failure)
    };
    let packed = request().await?;
    if packed.len() < LARGE {
        return Ok((packed, None));
    }
    let kibibytes = u32::try_from(packed.len() >> 10).unwrap_or(u32::MAX);
    if let Ok(place) = WAITING.try_acquire_many(kibibytes) {
        return Ok((packed, Some(place)));
    }
    drop(packed);
    let place = AGAIN.acquire().await.ok();
    Ok((request().await?, place))
}

fn too_much(account: &AccountId) -> String {
    let most = MOST_TOGETHER >> 20;
    format!(
        "what the servers say of the streams and consumers of account {account} has more than {most} MiB, which is more \
         than is read: nothing is done in an account as large as this"
    )
}

fn failure(error: RequestError) -> Failure {
    match error {
        RequestError::NoResponders { .. } | RequestError::Timeout { .. } => Failure::Silent,
        RequestError::Denied { .. } => Failure::Gap(Gap::Denied {
            subject: ANY_SERVER.to_owned(),
        }),
        error => Failure::Gap(gap(error)),
    }
}

fn decode(answer: &Bytes, asked: &SeenServer, account: &AccountId) -> Result<JszPart, String> {
    let server = &asked.name;
    let of = |message: String| format!("JSZ of {server}: {message}");
    let (info, jsz) = wire::read::<Envelope<Jsz<'_>>>(answer).map_err(of)?.content()?;
    if info.id.as_str() != asked.id {
        return Err(of(format!("another server answers, {}", info.id)));
    }
    if jsz.disabled {
        return Err(of(
            "it says that JetStream is disabled although it says elsewhere that it runs".into(),
        ));
    }
    let of_account = |detail: &&AccountDetail<'_>| &*detail.id == account.as_str();
    let streams = jsz
        .account_details
        .iter()
        .filter(of_account)
        .flat_map(|detail| &detail.stream_detail)
        .map(|stream| StreamReading::new(stream, Some(server)))
        .collect::<Result<_, _>>()
        .map_err(of)?;
    let meta = jsz.meta_cluster.as_ref();
    Ok(JszPart {
        streams,
        meta_leader: meta.and_then(meta_leader),
        meta_replicas: meta
            .map(|meta| {
                meta.replicas
                    .iter()
                    .map(|replica| server_name(&replica.name))
                    .collect()
            })
            .unwrap_or_default(),
    })
}

fn meta_leader(meta: &MetaGroup<'_>) -> Option<ServerName> {
    meta.leader
        .as_deref()
        .filter(|name| !name.is_empty())
        .map(ServerName::from)
}

/// The members of the meta group as its leader lists them; up to 2.11 only the leader lists them, and later ones know
/// less about the others. A single server without a cluster has no meta group.
fn meta_group(parts: &[(ServerName, JszPart)]) -> Result<(ServerName, BTreeSet<ServerName>), Option<Gap>> {
    let named = parts.iter().find_map(|(_, part)| part.meta_leader.as_ref());
    let Some(named) = named else {
        let single = parts.len() < 2;
        let message = "the JetStream meta group has no leader".to_owned();
        return Err((!single).then_some(unreadable(message)));
    };
    let by_itself = parts
        .iter()
        .find(|(server, part)| part.meta_leader.as_ref() == Some(server));
    let members = match by_itself {
        Some((leader, part)) => part.meta_replicas.iter().chain([leader]).cloned().collect(),
        // It is expected: no answer is a gap.
        None => [named.clone()].into(),
    };
    Ok((named.clone(), members))
}

/// Members that answer without JetStream, so their assets are unseen. One that does not answer is a gap elsewhere.
fn without_jetstream(server_inventory: &ServerInventory, members: &BTreeSet<ServerName>) -> Vec<Gap> {
    let idle = server_inventory
        .servers
        .values()
        .filter(|server| !server.jetstream);
    idle.filter(|server| members.contains(&server.name))
        .map(|server| Gap::WithoutJetStream {
            server: server.name.clone(),
        })
        .collect()
}
