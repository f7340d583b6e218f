//! Puts what was gathered about one account together into its view. Pure, except for updating the history.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use leeward_core::names::{AccountId, ClusterName, ConsumerName, ServerName, StreamName};
use leeward_core::operation::PeerInfo;
use leeward_core::snapshot::{AccountView, Consumer, Gap, Peer, RaftGroup, Stream};
use leeward_core::topology::{Server, ServerDetails, Topology};

use super::connections::{counters, groups, traffic};
use super::history::{CounterHistory, Sample, Volumes, elapsed, since};
use super::leaders::Leaders;
use super::leafs::LeafLink;
use super::round_trips::{RoundTripTable, RouteTable};
use super::server_inventory::{SeenServer, same_names};
use super::watched_accounts::LeaderElected;
use crate::gaps::unreadable;
use crate::reading::{ConsumerReading, GroupReading, StreamReading};
use crate::wire::monitor::Connection;

/// The tag that keeps a server out of placement (nats-facts N2).
const NO_PLACEMENT: &str = "!jetstream";

/// Everything gathered about one account.
#[derive(Debug, Default)]
pub(crate) struct AccountParts {
    /// The servers that answered at all.
    pub(crate) servers: Vec<SeenServer>,
    /// Servers that answered, but not every request.
    pub(crate) silent: BTreeSet<ServerName>,
    /// Servers that have to exist.
    pub(crate) expected: BTreeSet<ServerName>,
    /// Expected servers that are members of JetStream's meta group.
    pub(crate) members: BTreeSet<ServerName>,
    /// The observed JetStream domain.
    pub(crate) domain: Option<String>,
    /// Who leads the meta group.
    pub(crate) meta_leader: Option<ServerName>,
    /// Which servers leaf nodes of the account connect to, as far as that is known.
    pub(crate) leaf_links: Vec<LeafLink>,
    pub(crate) streams: Vec<StreamReading>,
    pub(crate) connections: Vec<(ServerName, Connection)>,
    /// Leaf nodes of the account on each server.
    pub(crate) leafnodes: BTreeMap<ServerName, u32>,
    pub(crate) volumes: BTreeMap<ServerName, Volumes>,
    pub(crate) round_trips: RoundTripTable,
    pub(crate) routes: Arc<RouteTable>,
    pub(crate) gaps: Vec<Gap>,
    /// Elections since the last look.
    pub(crate) elections: Vec<LeaderElected>,
}

/// Makes the view of an account at a moment, and keeps its counters in the history.
pub(crate) fn assemble(
    account: &AccountId,
    gathered: &AccountParts,
    now: Timestamp,
    history: &mut CounterHistory,
) -> AccountView {
    let topology = topology(gathered);
    let mut gaps = gathered.gaps.clone();
    gaps.extend(missing(gathered, &topology));
    gaps.extend(unclear(&gathered.servers));
    let gaps = without_repetition(gaps);
    let sample = sample(gathered, now);
    let mut leaders = std::mem::take(&mut history.leaders);
    leaders.begin(&gathered.elections);
    let base = history.base();
    let mut place = AssemblyContext {
        topology: &topology,
        leaders: &mut leaders,
        now: &sample,
        base,
    };
    let streams = gathered.streams.iter();
    let streams = streams.map(|stream| place.view_stream(stream)).collect();
    leaders.end();
    let mut view = AccountView {
        account: account.clone(),
        observed_at: now,
        gaps,
        clients: groups(&topology, gathered, &sample, base),
        streams,
        traffic: base.and_then(|base| traffic(&sample, base)),
        topology: Arc::new(topology),
    };
    view.normalize();
    history.leaders = leaders;
    history.push(sample);
    view
}

/// All servers that answered or that any answer names.
fn topology(gathered: &AccountParts) -> Topology {
    let mut servers: Vec<Server> = gathered
        .servers
        .iter()
        .map(|seen| Server {
            name: seen.name.clone(),
            answered: !gathered.silent.contains(&seen.name),
            details: details(seen),
        })
        .collect();
    let known: BTreeSet<ServerName> = servers.iter().map(|server| server.name.clone()).collect();
    let named = gathered
        .expected
        .iter()
        .chain(gathered.streams.iter().flat_map(named_by));
    let others: BTreeSet<&ServerName> = named.filter(|name| !known.contains(*name)).collect();
    servers.extend(others.into_iter().map(|name| Server {
        name: name.clone(),
        answered: false,
        details: None,
    }));
    let mut topology = Topology::new(servers, gathered.round_trips.clone());
    topology.routes = Arc::clone(&gathered.routes);
    topology.domain.clone_from(&gathered.domain);
    topology.meta_leader.clone_from(&gathered.meta_leader);
    topology
}

/// The servers that did not answer; those that hold replicas are members of the meta group, even if it is not visible.
fn missing(gathered: &AccountParts, topology: &Topology) -> Vec<Gap> {
    let holds = |server: &ServerName| {
        let mut named = gathered.streams.iter().flat_map(named_by);
        named.any(|name| name == server)
    };
    let gap = |server: &ServerName| {
        let server = server.clone();
        if gathered.members.contains(&server) || holds(&server) {
            Gap::MemberMissing { server }
        } else {
            Gap::ServerMissing { server }
        }
    };
    topology.missing().map(gap).collect()
}

/// Reports a missing member of the meta group as that, and not again as a server.
pub(crate) fn without_repetition(mut gaps: Vec<Gap>) -> Vec<Gap> {
    let members: BTreeSet<ServerName> = gaps
        .iter()
        .filter_map(|gap| match gap {
            Gap::MemberMissing { server } => Some(server.clone()),
            _ => None,
        })
        .collect();
    gaps.retain(|gap| !matches!(gap, Gap::ServerMissing { server } if members.contains(server)));
    gaps
}

fn named_by(stream: &StreamReading) -> impl Iterator<Item = &ServerName> {
    let consumers = stream.consumers.iter().flat_map(|consumer| &consumer.group.peers);
    stream
        .group
        .peers
        .iter()
        .chain(consumers)
        .map(|peer| &peer.server)
}

/// A server without a cluster is a cluster of its own.
fn details(seen: &SeenServer) -> Option<ServerDetails> {
    Some(ServerDetails {
        cluster: ClusterName::from(seen.cluster.as_deref().unwrap_or(seen.name.as_str())),
        tags: seen.tags.clone(),
        version: seen.version?,
        jetstream: seen.jetstream && !seen.tags.iter().any(|tag| tag.as_str() == NO_PLACEMENT),
        started: seen.started,
        room: seen.room.clone(),
    })
}

/// Names in the answers that leave in doubt which server is meant.
fn unclear(servers: &[SeenServer]) -> Vec<Gap> {
    let unversioned = servers.iter().filter(|server| server.version.is_none());
    let unversioned = unversioned.map(|server| {
        let message = format!("{} does not say its version in the usual form", server.name);
        unreadable(message)
    });
    unversioned.chain(same_names(servers.iter())).collect()
}

fn sample(gathered: &AccountParts, at: Timestamp) -> Sample {
    let streams = || gathered.streams.iter();
    let deliveries = |stream: &StreamReading| {
        let name = stream.name.clone();
        let entry = move |consumer: &ConsumerReading| {
            ((name.clone(), consumer.name.clone()), consumer.progress.delivered)
        };
        stream.consumers.iter().map(entry).collect::<Vec<_>>()
    };
    Sample {
        at,
        streams: streams()
            .map(|stream| (stream.name.clone(), stream.last_sequence))
            .collect(),
        consumers: streams().flat_map(deliveries).collect(),
        servers: gathered
            .servers
            .iter()
            .map(|server| server.name.clone())
            .filter(|name| !gathered.silent.contains(name))
            .collect(),
        connections: counters(&gathered.connections),
        volumes: gathered.volumes.clone(),
    }
}

/// The context of one account's assets.
struct AssemblyContext<'a> {
    topology: &'a Topology,
    leaders: &'a mut Leaders,
    now: &'a Sample,
    base: Option<&'a Sample>,
}

impl AssemblyContext<'_> {
    fn view_stream(&mut self, stream: &StreamReading) -> Stream {
        let earlier = self.base.and_then(|base| base.streams.get(&stream.name)).copied();
        let since = self.leaders.of_stream(&stream.name, &stream.group, self.now.at);
        let consumers = stream.consumers.iter();
        Stream {
            name: StreamName::from(stream.name.as_str()),
            replicas: stream.replicas,
            group: group(&stream.group, since, self.topology),
            moving: stream.group.moving,
            placement: stream.placement.clone(),
            metadata: stream.metadata.clone(),
            bytes: stream.bytes,
            storage: stream.storage,
            max_bytes: stream.max_bytes,
            upstreams: stream
                .upstreams
                .iter()
                .map(|upstream| upstream.stream.clone())
                .collect(),
            subjects: stream.subjects.clone(),
            allow_direct: stream.allow_direct,
            answers_gets_of: stream.answers_gets_of.clone(),
            message_rate: rate(stream.last_sequence, earlier, self.now, self.base),
            consumers: consumers
                .map(|consumer| self.view_consumer(&stream.name, consumer))
                .collect(),
        }
    }

    fn view_consumer(&mut self, stream: &str, consumer: &ConsumerReading) -> Consumer {
        let key = (stream.to_owned(), consumer.name.clone());
        let earlier = self.base.and_then(|base| base.consumers.get(&key)).copied();
        let since = self
            .leaders
            .of_consumer(stream, &consumer.name, &consumer.group, self.now.at);
        Consumer {
            name: ConsumerName::from(consumer.name.as_str()),
            group: group(&consumer.group, since, self.topology),
            message_rate: rate(consumer.progress.delivered, earlier, self.now, self.base),
            durable: consumer.durable,
            deliver_subject: consumer.deliver_subject.clone(),
            opted_out: consumer.opted_out,
            ack_pending: consumer.progress.ack_pending,
            pinned: consumer.pinned,
            waiting: consumer.progress.waiting.max(consumer.progress.push_bound.into()),
        }
    }
}

/// Messages per second since the base; `None` where the base lacks the asset.
fn rate(count: u64, earlier: Option<u64>, now: &Sample, base: Option<&Sample>) -> Option<f32> {
    let seconds = elapsed(base?.at, now.at).as_secs_f32();
    #[expect(clippy::cast_precision_loss, reason = "a rate needs no more precision")]
    let messages = since(count, earlier?) as f32;
    (seconds > 0.0).then(|| messages / seconds)
}

fn group(reading: &GroupReading, leader_since: Option<Timestamp>, topology: &Topology) -> RaftGroup {
    let index = |name: &ServerName| topology.find(name.as_str());
    let peer = |peer: &PeerInfo| {
        Some(Peer {
            server: index(&peer.server)?,
            current: peer.current,
            offline: peer.offline,
            lag: u32::try_from(peer.lag).unwrap_or(u32::MAX),
        })
    };
    RaftGroup {
        leader: reading.leader.as_ref().and_then(index),
        leader_since,
        peers: reading.peers.iter().filter_map(peer).collect(),
    }
}
