//! One account's connections and volume: CONNZ page by page, STATZ (nats-facts N42, N49, N51).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use leeward_core::names::ServerName;
use leeward_core::snapshot::{ClientGroup, ClientKind, Gap, Traffic};
use leeward_core::topology::Topology;
use serde_json::{Value, json};

use super::assemble::AccountParts;
use super::history::{ConnectionKey, Sample, VolumeCount, Volumes, elapsed, since};
use super::leafs::LeafLink;
use crate::connect::Link;
use crate::connection_name::ConnectionName;
use crate::gaps::unreadable;
use crate::request::{Enough, Gather, first};
use crate::request_error::RequestError;
use crate::wire;
use crate::wire::monitor::{AccountStat, AccountStatz, Connection, Connz, Envelope, ServerInfo, VolumePart};
use crate::wire::text::Words;

/// Asks all servers, as a user of the system account.
pub(crate) const CONNZ: &str = "$SYS.REQ.SERVER.PING.CONNZ";
const LIMIT: Duration = Duration::from_secs(4);
/// The servers' own default, about half a megabyte per page.
const PAGE: u64 = 1024;
/// Connections of one account, on all servers together; beyond this, reading stops.
const MOST_CONNECTIONS: usize = 200_000;
const MOST_PAGES: u64 = 256;

/// What servers answered, by id.
pub(crate) type ByServer<T> = BTreeMap<String, (ServerInfo, T)>;
/// What one server answered, with its id.
pub(crate) type OfServer<T> = (String, (ServerInfo, T));

/// All connections of an account, as listed.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    pub(crate) list: Vec<(ServerName, Connection)>,
    /// The servers that answered, by id.
    pub(crate) servers: BTreeMap<String, ServerInfo>,
    pub(crate) gaps: Vec<Gap>,
}

/// All of these servers have to answer.
pub(crate) fn all_of<T, S>(servers: &BTreeMap<String, S>, replies: &BTreeMap<String, T>) -> Enough {
    let all = servers.keys().all(|id| replies.contains_key(id));
    if all { Enough::Yes } else { Enough::No }
}

/// Whether a server's answer counts, by its id and its content.
pub(crate) type AcceptAnswer<'a, T> = &'a (dyn Fn(&str, &T) -> bool + Send + Sync);

/// Reads one server's reply, with the server's id.
pub(crate) fn read<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<OfServer<T>, String> {
    let (info, content) = wire::read::<Envelope<T>>(bytes)?.content()?;
    Ok((info.id.to_string(), (info, content)))
}

/// Reads one server's reply, if the answer counts.
pub(crate) fn read_if<T: serde::de::DeserializeOwned>(
    bytes: &[u8],
    counts: AcceptAnswer<'_, T>,
) -> Result<Option<OfServer<T>>, String> {
    let (id, (info, content)) = read(bytes)?;
    Ok(counts(&id, &content).then_some((id, (info, content))))
}

/// Reads all pages from all servers whose answers count; `enough` says when a page is complete.
pub(crate) async fn list(
    link: &Link,
    subject: &str,
    account: Option<&str>,
    counts: AcceptAnswer<'_, Connz>,
    enough: &(dyn Fn(&ByServer<Connz>) -> Enough + Send + Sync),
) -> Result<Connections, RequestError> {
    let mut connections = Connections::default();
    let mut unread: Option<BTreeSet<String>> = None;
    for page in 0..MOST_PAGES {
        let rest = |replies: &ByServer<Connz>| match &unread {
            None => enough(replies),
            Some(ids) if ids.iter().all(|id| replies.contains_key(id)) => Enough::Yes,
            Some(_) => Enough::No,
        };
        let gathered = link
            .gather(Gather {
                subject,
                payload: options(account, page.saturating_mul(PAGE)).to_string(),
                limit: LIMIT,
                read: &|bytes| read_page(bytes, counts),
                prefer: &first,
                enough: &rest,
            })
            .await?;
        connections
            .gaps
            .extend(gathered.unreadable.into_iter().map(unreadable));
        let mut more = BTreeSet::new();
        connections
            .gaps
            .extend(not_listed_to_the_end(unread.as_ref(), &gathered.replies));
        for (id, (info, connz)) in gathered.replies {
            if unread.as_ref().is_some_and(|ids| !ids.contains(&id)) {
                continue;
            }
            let ends = connz.total <= page.saturating_add(1).saturating_mul(PAGE);
            // After an empty page no more are requested: that it lists too few is a gap.
            if !ends
                && connz
                    .connections
                    .as_ref()
                    .is_some_and(|listed| !listed.is_empty())
            {
                more.insert(id.clone());
            }
            let name = ServerName::from(info.name.as_str());
            connections.gaps.extend(fewer_than_counted(&name, &connz, page));
            let ours = |one| (name.clone(), on_our_clock(one, connz.now, Timestamp::now()));
            connections
                .list
                .extend(connz.connections.into_iter().flatten().map(ours));
            connections.servers.insert(id, info);
        }
        if more.is_empty() {
            return Ok(connections);
        }
        if connections.list.len() > MOST_CONNECTIONS {
            break;
        }
        unread = Some(more);
    }
    let message = format!(
        "the account has more connections than the {MOST_CONNECTIONS} that are read: nothing is done in an account as large \
         as this"
    );
    connections.gaps.push(unreadable(message));
    Ok(connections)
}

/// Reads one page that counts; a server that puts more on it than requested does not support pages.
fn read_page(bytes: &[u8], counts: AcceptAnswer<'_, Connz>) -> Result<Option<OfServer<Connz>>, String> {
    let Some((id, (info, connz))) = read_if::<Connz>(bytes, counts)? else {
        return Ok(None);
    };
    let there = connz.connections.as_ref().map_or(0, Vec::len);
    if u64::try_from(there).is_ok_and(|there| there > PAGE) {
        return Err(format!(
            "{} put {there} connections on a page for {PAGE}",
            info.name
        ));
    }
    Ok(Some((id, (info, connz))))
}

/// The servers with more connections that did not answer this page, whatever they answered before.
fn not_listed_to_the_end<T>(unread: Option<&BTreeSet<String>>, page: &ByServer<T>) -> Option<Gap> {
    let silent = unread?.iter().filter(|id| !page.contains_key(*id)).count();
    (silent > 0).then(|| unreadable(format!("{silent} servers did not list all their connections")))
}

/// A page with fewer connections than its server counts on it.
fn fewer_than_counted(server: &ServerName, connz: &Connz, page: u64) -> Option<Gap> {
    let counted = connz.total.saturating_sub(page.saturating_mul(PAGE)).min(PAGE);
    let listed = connz.connections.as_ref().map_or(0, Vec::len);
    let listed = u64::try_from(listed).unwrap_or(u64::MAX);
    (listed < counted).then(|| {
        unreadable(format!(
            "{server} counts {counted} connections and lists {listed}"
        ))
    })
}

/// A connection's start, converted to this machine's clock.
fn on_our_clock(one: Connection, theirs: Option<Timestamp>, ours: Timestamp) -> Connection {
    let start = one
        .start
        .zip(theirs)
        .and_then(|(start, theirs)| ours.checked_sub(theirs.duration_since(start)).ok());
    Connection { start, ..one }
}

/// `auth` makes servers report the user.
fn options(account: Option<&str>, offset: u64) -> Value {
    match account {
        Some(account) => json!({ "auth": true, "limit": PAGE, "offset": offset, "acc": account }),
        None => json!({ "auth": true, "limit": PAGE, "offset": offset }),
    }
}

/// The volume of accounts on all servers whose answers count. An account that imports the services of the system
/// account gets two answers from each server: the one that contains the account counts.
pub(crate) async fn volumes(
    link: &Link,
    subject: &str,
    accounts: &[&str],
    counts: AcceptAnswer<'_, AccountStatz>,
    enough: &(dyn Fn(&ByServer<AccountStatz>) -> Enough + Send + Sync),
) -> Result<(ByServer<AccountStatz>, Vec<Gap>), RequestError> {
    let options = json!({ "accounts": accounts, "include_unused": true });
    let listed_total = |statz: &AccountStatz| {
        let all = statz.account_statz.iter();
        all.filter(|stat| accounts.contains(&stat.acc.as_str())).count()
    };
    let gathered = link
        .gather(Gather {
            subject,
            payload: options.to_string(),
            limit: LIMIT,
            read: &|bytes| read_if(bytes, counts),
            prefer: &|(_, earlier), (_, later)| listed_total(later) > listed_total(earlier),
            enough,
        })
        .await?;
    let gaps = gathered.unreadable.into_iter().map(unreadable).collect();
    Ok((gathered.replies, gaps))
}

/// The volume on one server.
pub(crate) fn volume(stat: &AccountStat) -> Volumes {
    let both = |sent: Option<VolumePart>, received: Option<VolumePart>| {
        Some(sent?.bytes.saturating_add(received?.bytes))
    };
    let gateways = both(stat.sent.gateways, stat.received.gateways);
    let routes = both(stat.sent.routes, stat.received.routes);
    let between_servers = gateways.unwrap_or(0).saturating_add(routes.unwrap_or(0));
    let all = stat.sent.bytes.saturating_add(stat.received.bytes);
    let leafs = stat.sent.leafs.zip(stat.received.leafs);
    Volumes {
        // Servers count every hop, when sending and when receiving. Halved, the bytes of clients and leaf nodes compare
        // with those that cross: a message that crosses a gateway on its way counts once in each.
        bytes: all.saturating_sub(between_servers) / 2,
        gateway_bytes: gateways.map(|bytes| bytes / 2),
        leafs: leafs.map(|(sent, received)| VolumeCount {
            messages: sent.msgs.saturating_add(received.msgs),
            bytes: sent.bytes.saturating_add(received.bytes),
        }),
    }
}

/// The counters of a list of connections.
pub(crate) fn counters(list: &[(ServerName, Connection)]) -> BTreeMap<ConnectionKey, VolumeCount> {
    let count = |one: &Connection| VolumeCount {
        messages: one.in_msgs.saturating_add(one.out_msgs),
        bytes: one.in_bytes.saturating_add(one.out_bytes),
    };
    list.iter()
        .map(|(server, one)| ((server.clone(), one.cid), count(one)))
        .collect()
}

/// What makes connections alike to every policy.
type GroupKey = (ServerName, ClientKind, Option<Arc<str>>, Option<Arc<str>>);

/// Groups connections; those of Leeward itself do not count.
pub(crate) fn groups(
    topology: &Topology,
    gathered: &AccountParts,
    now: &Sample,
    base: Option<&Sample>,
) -> Vec<ClientGroup> {
    let mut groups: BTreeMap<GroupKey, (u32, Option<VolumeCount>)> = BTreeMap::new();
    for (server, one) in unique(&gathered.connections) {
        let Some(kind) = kind(one) else { continue };
        if one.name.as_deref().is_some_and(ConnectionName::is_leewards) {
            continue;
        }
        let text = |text: &Option<Words>| text.as_deref().filter(|text| !text.is_empty()).map(Arc::from);
        let enters_at = entry(topology, &gathered.leaf_links, server).clone();
        let key = (enters_at, kind, text(&one.authorized_user), text(&one.name));
        let came = base.and_then(|base| came(server, one, now, base));
        let (number, total) = groups.entry(key).or_insert((0, Some(VolumeCount::default())));
        *number = number.saturating_add(1);
        *total = total.zip(came).map(|(total, came)| VolumeCount {
            messages: total.messages.saturating_add(came.messages),
            bytes: total.bytes.saturating_add(came.bytes),
        });
    }
    for (server, number) in &gathered.leafnodes {
        // Each link counts at the end that accepted it.
        let made = gathered
            .leaf_links
            .iter()
            .filter(|link| link.leaf == *server)
            .count();
        let number = number.saturating_sub(u32::try_from(made).unwrap_or(u32::MAX));
        if number == 0 {
            continue;
        }
        let leafs = |sample: &Sample| sample.volumes.get(server).and_then(|volumes| volumes.leafs);
        let came = base.and_then(|base| Some(leafs(now)?.since(leafs(base)?)));
        groups.insert((server.clone(), ClientKind::Leafnode, None, None), (number, came));
    }
    let group = |(key, (connections, came)): (GroupKey, (u32, Option<VolumeCount>))| {
        let (server, kind, user, name) = key;
        Some(ClientGroup {
            server: topology.find(server.as_str())?,
            kind,
            user,
            name,
            connections,
            messages: came.map(|came| came.messages),
            bytes: came.map(|came| came.bytes),
        })
    };
    groups.into_iter().filter_map(group).collect()
}

/// Leaf nodes behind leaf nodes are rare, and never many.
const MOST_LINKS: usize = 8;

/// Where a client's messages enter the servers that run JetStream: its own server, or the one that accepts the leaf
/// node connection of a server that runs none.
fn entry<'a>(topology: &Topology, links: &'a [LeafLink], server: &'a ServerName) -> &'a ServerName {
    let runs_none = |name: &ServerName| {
        let details = topology
            .find(name.as_str())
            .and_then(|index| topology.details(index));
        details.is_some_and(|details| !details.jetstream)
    };
    let next = |at: &&'a ServerName| {
        let mut links = links.iter().filter(|_| runs_none(at));
        let known = |link: &&LeafLink| topology.find(link.accepted_by.as_str()).is_some();
        links
            .find(|link| link.leaf == **at && known(link))
            .map(|link| &link.accepted_by)
    };
    let path = std::iter::successors(Some(server), next);
    path.take(MOST_LINKS).last().unwrap_or(server)
}

/// Pages may overlap when connections come and go in between.
fn unique(list: &[(ServerName, Connection)]) -> impl Iterator<Item = (&ServerName, &Connection)> {
    let by_number: BTreeMap<(&ServerName, u64), &Connection> = list
        .iter()
        .map(|(server, one)| ((server, one.cid), one))
        .collect();
    by_number.into_iter().map(|((server, _), one)| (server, one))
}

/// STATZ counts leaf nodes, since CONNZ lists clients only.
fn kind(one: &Connection) -> Option<ClientKind> {
    match one.kind.as_deref() {
        None | Some("Client") => Some(ClientKind::Client),
        Some(_) => None,
    }
}

/// What a connection moved since the base. One that is newer than the base moved all of it since; for one that the base
/// lacks for another reason it is unknown.
fn came(server: &ServerName, one: &Connection, now: &Sample, base: &Sample) -> Option<VolumeCount> {
    let key = (server.clone(), one.cid);
    let count = now.connections.get(&key).copied()?;
    let is_new = || base.servers.contains(server) && one.start.is_some_and(|start| start > base.at);
    match base.connections.get(&key) {
        Some(earlier) => Some(count.since(*earlier)),
        None => is_new().then_some(count),
    }
}

/// The account's traffic since the base; `None` unless every server reported it both times.
pub(crate) fn traffic(now: &Sample, base: &Sample) -> Option<Traffic> {
    let mut traffic = Traffic {
        bytes: 0,
        gateway_bytes: 0,
        span_milliseconds: u64::try_from(elapsed(base.at, now.at).as_millis()).ok()?,
    };
    for (server, volumes) in &now.volumes {
        let earlier = base.volumes.get(server)?;
        let gateways = since(volumes.gateway_bytes?, earlier.gateway_bytes?);
        traffic.bytes = traffic.bytes.saturating_add(since(volumes.bytes, earlier.bytes));
        traffic.gateway_bytes = traffic.gateway_bytes.saturating_add(gateways);
    }
    (!now.volumes.is_empty()).then_some(traffic)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p6_a_later_page_that_never_comes_is_a_gap() {
        let unread = BTreeSet::from(["A".to_owned(), "B".to_owned()]);
        let page = |ids: &[&str]| -> ByServer<()> {
            let info = |id: &str| {
                format!(r#"{{"server":{{"name":"{id}","id":"{id}","ver":"2.15.1"}},"data":{{}}}}"#)
            };
            let reply = |id: &str| read::<serde_json::Value>(info(id).as_bytes()).unwrap();
            let replies = ids.iter().map(|id| reply(id));
            replies.map(|(id, (info, _))| (id, (info, ()))).collect()
        };
        assert_eq!(not_listed_to_the_end(None, &page(&[])), None, "the first page");
        assert_eq!(
            not_listed_to_the_end(Some(&unread), &page(&["A", "B", "C"])),
            None
        );
        let gap = not_listed_to_the_end(Some(&unread), &page(&["A", "C"]));
        let message = "1 servers did not list all their connections".to_owned();
        assert_eq!(gap, Some(unreadable(message)));
    }

    #[test]
    fn a_page_with_more_than_was_asked_for_is_not_read() {
        let page = |number: usize| {
            let one = r#"{"cid":1,"in_msgs":0,"out_msgs":0,"in_bytes":0,"out_bytes":0}"#;
            let list = vec![one; number].join(",");
            let server = r#"{"name":"a","id":"A","ver":"2.15.1"}"#;
            read_page(
                format!(r#"{{"server":{server},"data":{{"total":9,"connections":[{list}]}}}}"#).as_bytes(),
                &|_, _| true,
            )
        };
        assert!(page(1024).is_ok());
        assert_eq!(
            page(1025).unwrap_err(),
            "a put 1025 connections on a page for 1024"
        );
    }

    #[test]
    fn numbers_of_any_size_are_added_up() {
        let most = u64::MAX;
        let part = format!(r#"{{"msgs":{most},"bytes":{most}}}"#);
        let side = format!(r#"{{"bytes":{most},"gateways":{part},"routes":{part},"leafs":{part}}}"#);
        let stat = format!(
            r#"{{"acc":"A","conns":4294967295,"leafnodes":4294967295,"sent":{side},"received":{side}}}"#
        );
        let most_volumes = volume(&wire::read::<AccountStat>(stat.as_bytes()).unwrap());
        assert_eq!(most_volumes.leafs.map(|leafs| leafs.bytes), Some(most));
        let connection = |cid: u64| {
            let counters =
                format!(r#""in_msgs":{most},"out_msgs":{most},"in_bytes":{most},"out_bytes":{most}"#);
            let text = format!(r#"{{"cid":{cid},"start":"2020-01-01T00:00:00Z",{counters}}}"#);
            (
                ServerName::from("a"),
                wire::read::<Connection>(text.as_bytes()).unwrap(),
            )
        };
        let list = [connection(1), connection(most)];
        let sample = |second: i64, volumes: Volumes| Sample {
            at: Timestamp::from_second(second).unwrap(),
            streams: BTreeMap::new(),
            consumers: BTreeMap::new(),
            servers: BTreeSet::from([ServerName::from("a")]),
            connections: if second == 0 {
                BTreeMap::new()
            } else {
                counters(&list)
            },
            volumes: BTreeMap::from([(ServerName::from("a"), volumes), (ServerName::from("b"), volumes)]),
        };
        let nothing = Volumes {
            bytes: 0,
            gateway_bytes: Some(0),
            leafs: None,
        };
        let full = Volumes {
            bytes: most,
            gateway_bytes: Some(most),
            leafs: None,
        };
        let (base, now) = (sample(0, nothing), sample(9, full));
        assert_eq!(traffic(&now, &base).map(|traffic| traffic.bytes), Some(most));
        let server = leeward_core::topology::Server {
            name: ServerName::from("a"),
            answered: true,
            details: None,
        };
        let topology = Topology::new(vec![server], BTreeMap::new());
        let gathered = AccountParts {
            connections: list.to_vec(),
            ..AccountParts::default()
        };
        let one = groups(&topology, &gathered, &now, Some(&base));
        assert_eq!(one.len(), 1);
    }

    #[test]
    fn p6_a_page_with_fewer_connections_than_are_counted_is_a_gap() {
        let listed_total = |total: u64, listed: usize, page: u64| {
            let one = r#"{"cid":1,"in_msgs":0,"out_msgs":0,"in_bytes":0,"out_bytes":0}"#;
            let list = vec![one; listed].join(",");
            let connz = format!(r#"{{"total":{total},"connections":[{list}]}}"#);
            let connz: Connz = wire::read(connz.as_bytes()).unwrap();
            fewer_than_counted(&ServerName::from("a"), &connz, page).is_some()
        };
        assert!(listed_total(2, 1, 0) && listed_total(1030, 1000, 0) && listed_total(1030, 5, 1));
        assert!(
            !listed_total(2, 2, 0)
                && !listed_total(1030, 1024, 0)
                && !listed_total(1030, 6, 1)
                && !listed_total(0, 0, 0)
        );
        assert!(!listed_total(5, 0, 1), "a page after the last");
    }
}
