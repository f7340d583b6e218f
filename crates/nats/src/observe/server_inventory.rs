//! Which servers there are: STATSZ of all of them, against what they themselves count (nats-facts N40, N41).
//!
//! A server is identified by its id. Names are unique only inside one JetStream domain: leaf nodes that share the
//! system account often have the names of the hub's servers.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use leeward_core::names::{ClusterName, ServerName, Tag};
use leeward_core::snapshot::Gap;
use leeward_core::topology::{JetStreamCapacity, Resource, Version};
use tokio::time::Instant;

use super::connections::{ByServer, read};
use super::server_start_times::ServerStartTimes;
use crate::connect::Link;
use crate::gaps::unreadable;
use crate::request::{Enough, Gather, first};
use crate::request_error::RequestError;
use crate::wire::monitor::{JetStream, ServerInfo, Statsz};

const LIMIT: Duration = Duration::from_secs(4);
/// Servers that their peers still count may be gone: the longest wait for one more.
const QUIET: Duration = Duration::from_millis(1500);
/// More are counted than expected, which is a guess: one that was never seen yet may still answer.
const SHORT_QUIET: Duration = Duration::from_millis(500);
/// Longer than servers count one that was killed (measured: more than a minute).
const REMEMBERED_FOR: Duration = Duration::from_mins(10);
const STATSZ: &str = "$SYS.REQ.SERVER.PING.STATSZ";

/// A server that answered.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SeenServer {
    pub(crate) id: String,
    pub(crate) name: ServerName,
    pub(crate) cluster: Option<String>,
    pub(crate) domain: Option<String>,
    pub(crate) tags: Vec<Tag>,
    /// `None` when it is not in the usual form.
    pub(crate) version: Option<Version>,
    pub(crate) jetstream: bool,
    /// When it started, or was first seen where it does not report that.
    pub(crate) started: Option<Timestamp>,
    pub(crate) room: Option<JetStreamCapacity>,
    pub(crate) connections: Option<u32>,
}

impl SeenServer {
    pub(crate) fn new(info: ServerInfo) -> Self {
        Self {
            name: ServerName::from(info.name.as_str()),
            cluster: info
                .cluster
                .filter(|cluster| !cluster.is_empty())
                .map(String::from),
            domain: info.domain.filter(|domain| !domain.is_empty()).map(String::from),
            tags: info
                .tags
                .iter()
                .map(|tag| Tag::from(tag.to_lowercase()))
                .collect(),
            version: Version::parse(&info.ver),
            jetstream: info.jetstream,
            started: None,
            room: None,
            connections: None,
            id: info.id.into(),
        }
    }
}

/// All servers at one moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct ServerInventory {
    /// The servers of the system's own JetStream domain, by id.
    pub(crate) servers: BTreeMap<String, SeenServer>,
    /// That domain; `None` for JetStream without one.
    pub(crate) domain: Option<String>,
    /// How many there should be, and how many answered.
    pub(crate) expected: u32,
    pub(crate) answered: u32,
    pub(crate) gaps: Vec<Gap>,
}

/// The servers of earlier inventories.
#[derive(Debug, Default)]
pub(crate) struct InventoryHistory {
    /// By id: the name, and when it last answered.
    known: BTreeMap<String, (ServerName, Instant)>,
    start_times: ServerStartTimes,
}

type Replies = ByServer<Statsz>;

impl InventoryHistory {
    /// Asks all servers.
    pub(crate) async fn call(&mut self, link: &Link) -> Result<ServerInventory, RequestError> {
        let enough = |replies: &Replies| {
            if replies.len() >= counted(replies) {
                Enough::Yes
            } else if replies.len() >= self.expected(replies) {
                Enough::IfQuietFor(SHORT_QUIET)
            } else {
                Enough::IfQuietFor(QUIET)
            }
        };
        let gather = Gather {
            subject: STATSZ,
            payload: String::new(),
            limit: LIMIT,
            read: &|bytes| read(bytes).map(Some),
            prefer: &first,
            enough: &enough,
        };
        let gathered = link.gather(gather).await?;
        let expected = count(self.expected(&gathered.replies));
        let answered = count(gathered.replies.len());
        let mut gaps: Vec<Gap> = gathered.unreadable.into_iter().map(unreadable).collect();
        if answered < expected {
            gaps.extend(self.missing(&gathered.replies, expected, answered));
        }
        self.remember(&gathered.replies);
        let mut servers: BTreeMap<String, SeenServer> = gathered
            .replies
            .into_iter()
            .map(|(id, reply)| (id, self.seen(reply)))
            .collect();
        // Before any of them is left out: servers of two domains with one name mistake each other for themselves.
        gaps.extend(same_names(servers.values()));
        let domain = match own_domain(&servers, connected_to(link).as_deref()) {
            Ok(domain) => {
                servers.retain(|_, server| !server.jetstream || server.domain == domain);
                domain
            }
            Err(gap) => {
                gaps.push(gap);
                None
            }
        };
        Ok(ServerInventory {
            servers,
            domain,
            expected: expected.max(answered),
            answered,
            gaps,
        })
    }

    /// How many servers there should be. The servers count themselves; a killed one stays counted under its old id for
    /// minutes, beside its new one; one that was shut down does not. So a counted server that does not answer is first
    /// one that answered before, then the old id of one that answers, and then one never seen here.
    fn expected(&self, replies: &Replies) -> usize {
        let answers = names(replies);
        let anew = |(id, (name, _)): &(&String, &(ServerName, Instant))| {
            !replies.contains_key(id.as_str()) && answers.contains(name.as_str())
        };
        let restarted = self.known.iter().filter(anew).count();
        let unanswered = counted(replies).saturating_sub(replies.len());
        let silent = self.silent(replies).len().min(unanswered);
        let never_seen = unanswered.saturating_sub(silent.saturating_add(restarted));
        replies.len().saturating_add(silent).saturating_add(never_seen)
    }

    /// The servers that answered before and do not now.
    fn silent(&self, replies: &Replies) -> BTreeSet<&ServerName> {
        let answers = names(replies);
        let known = self.known.values().map(|(name, _)| name);
        known.filter(|name| !answers.contains(name.as_str())).collect()
    }

    /// The servers that do not answer, by name where certain: those that answered before may have left for good.
    fn missing(&self, replies: &Replies, expected: u32, answered: u32) -> Vec<Gap> {
        let silent = self.silent(replies);
        if count(silent.len()) != expected.saturating_sub(answered) {
            return vec![Gap::ServersUncounted { expected, answered }];
        }
        let named = silent.into_iter().map(|server| Gap::ServerMissing {
            server: server.clone(),
        });
        named.collect()
    }

    fn seen(&mut self, (info, statsz): (ServerInfo, Statsz)) -> SeenServer {
        let arrived = self.start_times.of(&info.id, Timestamp::now());
        SeenServer {
            started: Some(statsz.start.unwrap_or(arrived)),
            room: statsz.jetstream.as_ref().and_then(room),
            connections: statsz.connections,
            ..SeenServer::new(info)
        }
    }

    fn remember(&mut self, replies: &Replies) {
        let now = Instant::now();
        for (id, (info, _)) in replies {
            self.known
                .insert(id.clone(), (ServerName::from(info.name.as_str()), now));
        }
        self.start_times.forget_old();
        self.known
            .retain(|_, (_, answered)| now.duration_since(*answered) < REMEMBERED_FOR);
    }
}

/// The highest count that any server reports.
fn counted(replies: &Replies) -> usize {
    let counts = replies.values().filter_map(|(_, statsz)| statsz.active_servers);
    counts
        .max()
        .and_then(|most| usize::try_from(most).ok())
        .unwrap_or(0)
}

fn names(replies: &Replies) -> BTreeSet<&str> {
    replies.values().map(|(info, _)| info.name.as_str()).collect()
}

/// `None` if a field is missing whose absence has no meaning.
fn room(jetstream: &JetStream) -> Option<JetStreamCapacity> {
    let (config, stats) = (jetstream.config.as_ref()?, jetstream.stats.as_ref()?);
    let resource = |limit: Option<i64>, used: Option<u64>, reserved: Option<u64>| {
        Some(Resource {
            limit: u64::try_from(limit?).ok()?,
            used: used?,
            reserved: reserved?,
        })
    };
    let most = jetstream.limits.as_ref().and_then(|limits| limits.max_ha_assets);
    Some(JetStreamCapacity {
        file: resource(config.max_storage, stats.storage, stats.reserved_storage)?,
        memory: resource(config.max_memory, stats.memory, stats.reserved_memory)?,
        // The meta group is counted too.
        ha_assets: stats.ha_assets?.saturating_sub(1),
        max_ha_assets: most
            .and_then(|most| u64::try_from(most).ok())
            .filter(|most| *most > 0),
        unique_tag: config
            .unique_tag
            .clone()
            .filter(|prefix| !prefix.is_empty())
            .map(String::from),
    })
}

/// The id of the server at the other end, from its own INFO line.
pub(crate) fn connected_to(link: &Link) -> Option<String> {
    link.connected().map(|client| client.server_info().server_id)
}

/// The names that several servers have.
pub(crate) fn same_names<'a>(servers: impl Iterator<Item = &'a SeenServer>) -> Vec<Gap> {
    let mut by_name: BTreeMap<&ServerName, Vec<&SeenServer>> = BTreeMap::new();
    for server in servers {
        by_name.entry(&server.name).or_default().push(server);
    }
    by_name.retain(|_, servers| servers.len() > 1);
    let gap = |(name, servers): (&ServerName, Vec<&SeenServer>)| {
        let clusters: BTreeSet<&str> = servers.iter().filter_map(|one| one.cluster.as_deref()).collect();
        Gap::SameName {
            server: name.clone(),
            clusters: clusters.into_iter().map(ClusterName::from).collect(),
        }
    };
    by_name.into_iter().map(gap).collect()
}

/// The JetStream domain of the server at the other end of the connection, or of its cluster where it runs no JetStream
/// itself. Leaf nodes that share the system account answer too; those with another domain are another JetStream, whose
/// streams may have the same names.
pub(crate) fn own_domain(
    servers: &BTreeMap<String, SeenServer>,
    connected_to: Option<&str>,
) -> Result<Option<String>, Gap> {
    let with_jetstream = || servers.values().filter(|server| server.jetstream);
    let own = match connected_to.map(|id| servers.get(id)) {
        Some(None) => {
            let message = "the server that Leeward is connected to does not answer".to_owned();
            return Err(unreadable(message));
        }
        Some(Some(own)) if own.jetstream => return Ok(own.domain.clone()),
        Some(own) => own,
        None => None,
    };
    let domains_of = |servers: &mut dyn Iterator<Item = &SeenServer>| -> BTreeSet<Option<String>> {
        servers.map(|server| server.domain.clone()).collect()
    };
    let near = own.and_then(|own| own.cluster.as_ref()).map(|cluster| {
        domains_of(&mut with_jetstream().filter(|server| server.cluster.as_ref() == Some(cluster)))
    });
    let mut domains = match near {
        Some(near) if near.len() == 1 => near,
        Some(_) | None => domains_of(&mut with_jetstream()),
    };
    if domains.len() > 1 {
        let names: Vec<String> = domains
            .into_iter()
            .map(|domain| domain.unwrap_or_else(|| "(none)".to_owned()))
            .collect();
        let message = format!(
            "servers of several JetStream domains answered: {}",
            names.join(", ")
        );
        return Err(unreadable(message));
    }
    Ok(domains.pop_first().flatten())
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replies(ids: &[&str], active_servers: u32) -> Replies {
        let reply = |id: &str| {
            let (name, _) = id.split_once('#').unwrap();
            let info = format!(
                r#"{{"server":{{"name":"{name}","id":"{id}","ver":"2.15.1"}},
                "statsz":{{"active_servers":{active_servers}}}}}"#
            );
            read(info.as_bytes()).unwrap()
        };
        ids.iter().map(|id| reply(id)).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_started_anew_is_expected_once_and_a_silent_one_still() {
        let mut roll = InventoryHistory::default();
        roll.remember(&replies(&["a#1", "b#1", "c#1"], 3));
        assert_eq!(roll.expected(&replies(&["a#1", "b#1"], 3)), 3, "c is silent");
        assert_eq!(
            roll.expected(&replies(&["a#1", "b#1", "c#2"], 4)),
            3,
            "c is counted twice"
        );
        assert_eq!(roll.expected(&replies(&["a#1", "c#2"], 4)), 3, "b is silent");
        assert_eq!(
            roll.expected(&replies(&["a#2", "b#2"], 3)),
            3,
            "all started anew, and nobody counts the old ones: c is silent"
        );
        assert_eq!(roll.expected(&replies(&["a#2", "b#2", "c#2"], 3)), 3);
        assert_eq!(
            roll.expected(&replies(&["a#1", "b#1", "c#1"], 5)),
            5,
            "two were never seen"
        );
        tokio::time::advance(REMEMBERED_FOR).await;
        roll.remember(&replies(&["a#1"], 1));
        assert_eq!(roll.known.len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn servers_that_were_stopped_in_order_and_started_anew_are_all_expected() {
        let mut roll = InventoryHistory::default();
        roll.remember(&replies(&["a#1", "b#1", "c#1"], 3));
        assert_eq!(roll.expected(&replies(&["a#1", "b#1", "c#2"], 3)), 3, "one");
        assert_eq!(roll.expected(&replies(&["c#2"], 3)), 3, "the first answer");
        let two_killed = replies(&["a#2", "b#2", "c#2"], 5);
        assert_eq!(roll.expected(&two_killed), 3, "two are counted twice");
    }

    fn room_of(jetstream: &str) -> Option<JetStreamCapacity> {
        room(&crate::wire::read::<JetStream>(jetstream.as_bytes()).unwrap())
    }

    #[test]
    fn room_is_read_and_a_part_that_is_not_told_makes_all_of_it_unknown() {
        let config = r#""config":{"max_memory":7,"max_storage":100,"unique_tag":"az:"}"#;
        let stats =
            r#""stats":{"memory":1,"storage":20,"reserved_memory":2,"reserved_storage":50,"ha_assets":4}"#;
        let limits = r#""limits":{"max_ha_assets":9}"#;
        let whole = room_of(&format!("{{{config},{stats},{limits}}}")).unwrap();
        let resource = |limit, used, reserved| Resource {
            limit,
            used,
            reserved,
        };
        assert_eq!(
            (whole.file, whole.memory),
            (resource(100, 20, 50), resource(7, 1, 2))
        );
        assert_eq!(
            (whole.ha_assets, whole.max_ha_assets, whole.unique_tag.as_deref()),
            (3, Some(9), Some("az:"))
        );
        let unlimited = room_of(&format!("{{{config},{stats},\"limits\":{{}}}}")).unwrap();
        assert_eq!(unlimited.max_ha_assets, None);
        for partly in [
            config.to_owned(),
            stats.to_owned(),
            format!("{config},\"stats\":{{\"storage\":20}}"),
        ] {
            assert_eq!(room_of(&format!("{{{partly}}}")), None, "{partly}");
        }
    }

    #[test]
    fn silent_servers_are_named_where_it_is_certain_which_they_are() {
        let mut roll = InventoryHistory::default();
        roll.remember(&replies(&["a#1", "b#1", "c#1"], 3));
        let missing = |server: &str| Gap::ServerMissing {
            server: ServerName::from(server),
        };
        assert_eq!(roll.missing(&replies(&["a#1", "b#1"], 3), 3, 2), [missing("c")]);
        let one_of_two = Gap::ServersUncounted {
            expected: 2,
            answered: 1,
        };
        assert_eq!(
            roll.missing(&replies(&["a#1"], 2), 2, 1),
            [one_of_two],
            "one of the two left for good"
        );
        let a_stranger = Gap::ServersUncounted {
            expected: 4,
            answered: 3,
        };
        assert_eq!(
            roll.missing(&replies(&["a#1", "b#1", "c#1"], 4), 4, 3),
            [a_stranger]
        );
    }

    fn server(id: &str, domain: Option<&str>, jetstream: bool) -> (String, SeenServer) {
        let (name, cluster) = id.split_once('@').unwrap();
        let info = ServerInfo {
            name: name.into(),
            id: id.into(),
            cluster: Some(cluster.into()),
            domain: domain.map(Into::into),
            tags: vec![],
            ver: "2.15.1".into(),
            jetstream,
        };
        (id.to_owned(), SeenServer::new(info))
    }

    #[test]
    fn the_domain_is_that_of_the_server_at_the_other_end_whatever_it_is_called() {
        let all = BTreeMap::from([
            server("n-0@edge", Some("edge"), true),
            server("n-0@hub", Some("hub"), true),
            server("n-1@edge", None, false),
            server("n-1@hub", None, false),
        ]);
        let domain = |id| own_domain(&all, Some(id));
        assert_eq!(domain("n-0@hub"), Ok(Some("hub".into())));
        assert_eq!(domain("n-0@edge"), Ok(Some("edge".into())));
        assert_eq!(domain("n-1@hub"), Ok(Some("hub".into())), "its cluster's");
        let message = "servers of several JetStream domains answered: edge, hub".to_owned();
        assert_eq!(own_domain(&all, None), Err(unreadable(message)));
        assert!(domain("elsewhere").is_err(), "it should have answered");
        let mut alike = all;
        alike.retain(|id, _| id.ends_with("hub"));
        assert_eq!(own_domain(&alike, None), Ok(Some("hub".into())));
        assert_eq!(own_domain(&BTreeMap::new(), None), Ok(None));
    }

    #[test]
    fn servers_that_share_a_name_are_named_whatever_their_domains() {
        let all = [
            server("n-0@edge", Some("edge"), true).1,
            server("n-0@hub", Some("hub"), true).1,
            server("n-1@hub", Some("hub"), true).1,
        ];
        let gap = Gap::SameName {
            server: "n-0".into(),
            clusters: vec!["edge".into(), "hub".into()],
        };
        assert_eq!(same_names(all.iter()), [gap]);
        assert_eq!(same_names(all[1..].iter()), []);
    }
}
