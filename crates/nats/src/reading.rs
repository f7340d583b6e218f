//! Assets as read: one shape from JSZ, from the lists and from INFO, with servers by name.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use leeward_core::names::{ClusterName, ServerName, StreamName, Tag};
use leeward_core::operation::{AssetInfo, PeerInfo, Progress, Upstream};
use leeward_core::snapshot::Placement;
use leeward_core::topology::Storage;

use crate::wire::assets::{
    ConsumerConfig, ConsumerInfo, Group, Replica, SourceInfo, StoredIn, StoredPlacement, StreamConfig,
    StreamInfo, Value, WireText,
};

/// Prefix of the servers' own entries in an asset's metadata.
pub(crate) const OWN_METADATA: &str = "_nats.";
const IGNORE_KEY: &str = "leeward.dev/ignore";

/// A Raft group as one server reports it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct GroupReading {
    pub(crate) leader: Option<ServerName>,
    pub(crate) leader_since: Option<Timestamp>,
    /// All members, the leader among them, sorted by name.
    pub(crate) peers: Vec<PeerInfo>,
    pub(crate) moving: bool,
    /// There is no Raft at all, and the reporting server is unknown: a server without a cluster leads what it lists.
    pub(crate) alone: bool,
}

/// A stream as one server reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StreamReading {
    pub(crate) name: String,
    pub(crate) group: GroupReading,
    pub(crate) replicas: u8,
    pub(crate) placement: Option<Placement>,
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) bytes: u64,
    pub(crate) storage: Storage,
    pub(crate) max_bytes: Option<u64>,
    /// All that are configured, sorted by name.
    pub(crate) upstreams: Vec<Upstream>,
    pub(crate) subjects: Vec<String>,
    pub(crate) allow_direct: bool,
    /// A stream that it mirrors and whose direct gets it answers.
    pub(crate) answers_gets_of: Option<StreamName>,
    pub(crate) last_sequence: u64,
    pub(crate) consumers: Vec<ConsumerReading>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ConsumerReading {
    pub(crate) name: String,
    pub(crate) group: GroupReading,
    /// 0: as many as its stream.
    pub(crate) replicas: u8,
    pub(crate) durable: bool,
    pub(crate) deliver_subject: Option<String>,
    pub(crate) opted_out: bool,
    pub(crate) pinned: bool,
    pub(crate) progress: Progress,
}

impl StreamReading {
    /// Reads a stream; `reporting_server` is the server whose list it is in, where that is known.
    pub(crate) fn new(info: &StreamInfo<'_>, reporting_server: Option<&ServerName>) -> Result<Self, String> {
        let config = info
            .config
            .as_ref()
            .ok_or("a stream came without its configuration")?;
        let name = config.name.to_string();
        let state = info
            .state
            .as_ref()
            .ok_or_else(|| format!("stream {name} came without its state"))?;
        let consumers = info
            .consumer_detail
            .iter()
            .map(|consumer| {
                ConsumerReading::new(consumer, reporting_server)
                    .map_err(|error| format!("stream {name}: {error}"))
            })
            .collect::<Result<_, _>>()?;
        Ok(Self {
            group: GroupReading::new(info.cluster.as_ref(), reporting_server),
            replicas: config.num_replicas,
            placement: config.placement.as_ref().map(placement),
            metadata: metadata(&config.metadata),
            bytes: state.bytes,
            storage: match config.storage {
                StoredIn::File => Storage::File,
                StoredIn::Memory => Storage::Memory,
            },
            max_bytes: u64::try_from(config.max_bytes).ok().filter(|bytes| *bytes > 0),
            upstreams: upstreams(config, info),
            subjects: config
                .subjects
                .iter()
                .flatten()
                .map(|subject| subject.to_string())
                .collect(),
            allow_direct: config.allow_direct,
            answers_gets_of: answers_gets_of(config),
            last_sequence: state.last_seq,
            consumers,
            name,
        })
    }

    /// The stream's Raft group is changing: reported, or (up to 2.14) with more peers than replicas (nats-facts N22).
    pub(crate) fn is_moving(&self) -> bool {
        self.group.moving || self.group.peers.len() > usize::from(self.replicas.max(1))
    }

    pub(crate) fn reading(self) -> AssetInfo {
        AssetInfo {
            moving: self.group.moving,
            leader: self.group.leader,
            peers: self.group.peers,
            replicas: self.replicas,
            placement: self.placement,
            bytes: self.bytes,
            progress: None,
            upstreams: self.upstreams,
        }
    }
}

impl ConsumerReading {
    /// Reads a consumer; see [`StreamReading::new`].
    pub(crate) fn new(
        info: &ConsumerInfo<'_>,
        reporting_server: Option<&ServerName>,
    ) -> Result<Self, String> {
        let name = info.name.to_string();
        let config = info
            .config
            .as_ref()
            .ok_or_else(|| format!("consumer {name} came without its configuration"))?;
        let pinned = |client: &WireText<'_>| !client.is_empty();
        Ok(Self {
            group: GroupReading::new(info.cluster.as_ref(), reporting_server),
            replicas: config.num_replicas,
            durable: config.durable_name.as_ref().is_some_and(|name| !name.is_empty()),
            deliver_subject: config.deliver_subject.as_deref().map(ToString::to_string),
            opted_out: config
                .metadata
                .iter()
                .any(|(key, value)| &**key == IGNORE_KEY && &**value == "true"),
            pinned: info
                .priority_groups
                .iter()
                .flatten()
                .any(|group| group.pinned_client_id.as_ref().is_some_and(pinned)),
            progress: progress(info, config)
                .ok_or_else(|| format!("consumer {name} came without its state"))?,
            name,
        })
    }

    /// The reading of a consumer of `stream`. A step-down of a consumer whose stream moves is as wrong as one of the
    /// stream (nats-facts N15), but as part of the move (N70), so the stream's move counts.
    pub(crate) fn reading(self, stream: &StreamReading) -> AssetInfo {
        AssetInfo {
            moving: self.group.moving || stream.is_moving(),
            leader: self.group.leader,
            peers: self.group.peers,
            replicas: if self.replicas == 0 {
                stream.replicas
            } else {
                self.replicas
            },
            placement: None,
            bytes: 0,
            progress: Some(self.progress),
            upstreams: Vec::new(),
        }
    }
}

fn progress(info: &ConsumerInfo<'_>, config: &ConsumerConfig<'_>) -> Option<Progress> {
    let limit = config.max_ack_pending.and_then(|most| u64::try_from(most).ok());
    Some(Progress {
        delivered: info.delivered.as_ref()?.consumer_seq,
        ack_floor: info.ack_floor.as_ref()?.stream_seq,
        pending: info.num_pending?,
        ack_pending: info.num_ack_pending?,
        max_ack_pending: limit.filter(|most| *most > 0),
        waiting: info.num_waiting?,
        push_bound: info.push_bound,
        paused: info.paused,
    })
}

/// The streams of the same account that are read. All configured ones: a leader that just took over reports none of
/// them for a moment, which counts as no contact ever. Of several sources of one stream the worst counts.
fn upstreams(config: &StreamConfig<'_>, info: &StreamInfo<'_>) -> Vec<Upstream> {
    let configured = config.mirror.iter().chain(config.sources.iter().flatten());
    let mut names: Vec<&str> = configured
        .filter(|source| source.external.is_none())
        .map(|source| &*source.name)
        .collect();
    names.sort_unstable();
    names.dedup();
    let sources = || info.mirror.iter().chain(info.sources.iter().flatten());
    let upstream = |name: &str| {
        let of_it = || sources().filter(|source| source.external.is_none() && &*source.name == name);
        let active = of_it().map(last_active).reduce(|a, b| Some(a?.max(b?)));
        Upstream {
            stream: StreamName::from(name),
            last_active: active.flatten(),
            lag: of_it().map(|source| source.lag).max().unwrap_or(0),
        }
    };
    names.into_iter().map(upstream).collect()
}

fn answers_gets_of(config: &StreamConfig<'_>) -> Option<StreamName> {
    let mirror = config.mirror.as_ref().filter(|mirror| mirror.external.is_none());
    mirror
        .filter(|_| config.mirror_direct)
        .map(|mirror| StreamName::from(&*mirror.name))
}

fn last_active(source: &SourceInfo<'_>) -> Option<Duration> {
    u64::try_from(source.active).ok().map(Duration::from_nanos)
}

impl GroupReading {
    /// The leader and all members. A group of one has no Raft group and an empty list: its leader is its peer; without
    /// a cluster the reporting server is.
    fn new(group: Option<&Group<'_>>, reporting_server: Option<&ServerName>) -> Self {
        let Some(group) = group else {
            let peers = reporting_server
                .map(|name| member(name.clone()))
                .into_iter()
                .collect();
            return Self {
                leader: reporting_server.cloned(),
                peers,
                leader_since: None,
                moving: false,
                alone: reporting_server.is_none(),
            };
        };
        let leader = group
            .leader
            .as_deref()
            .filter(|name| !name.is_empty())
            .map(ServerName::from);
        let mut peers: Vec<PeerInfo> = group.replicas.iter().map(peer).collect();
        for name in [
            leader.as_ref(),
            reporting_server.filter(|_| !group.replicas.is_empty()),
        ]
        .into_iter()
        .flatten()
        {
            if !peers.iter().any(|peer| peer.server == *name) {
                peers.push(member(name.clone()));
            }
        }
        peers.sort_by(|a, b| a.server.cmp(&b.server));
        peers.dedup_by(|later, first| later.server == first.server);
        Self {
            leader,
            leader_since: group.leader_since,
            peers,
            moving: group.desired.is_some(),
            alone: false,
        }
    }

    /// Makes a server without a cluster the leader of what it lists.
    pub(crate) fn lead_alone(&mut self, server: &ServerName) {
        if self.alone {
            *self = Self::new(None, Some(server));
        }
    }

    /// Whether the reporting server leads the group; only such a reading is right about the others (nats-facts N43).
    pub(crate) fn is_led_by(&self, reporting_server: &ServerName) -> bool {
        self.leader.as_ref() == Some(reporting_server)
    }
}

/// Followers answer heartbeats every second.
const RECENTLY_ACTIVE: u64 = 2_500_000_000;

/// The leader itself.
fn member(server: ServerName) -> PeerInfo {
    PeerInfo {
        server,
        current: true,
        offline: false,
        lag: 0,
    }
}

/// A leader calls a follower current when it has acknowledged everything applied. Over a WAN under load that is never
/// so: its acknowledgements are a round trip old. So one that was active just now and lags counts as current too; the
/// policy limits the lag.
fn peer(replica: &Replica<'_>) -> PeerInfo {
    let recently_active = replica
        .active
        .is_some_and(|nanoseconds| nanoseconds < RECENTLY_ACTIVE);
    PeerInfo {
        server: server_name(&replica.name),
        current: replica.current || replica.lag > 0 && recently_active,
        offline: replica.offline,
        lag: replica.lag,
    }
}

/// What servers report instead of the name of a peer that was gone when they started, followed by the peer's id.
const NAMELESS: &str = "Server name unknown at this time (peerID: ";

/// The name of a peer, or its id where no server knows the name any more.
pub(crate) fn server_name(sources: &str) -> ServerName {
    let id = sources
        .strip_prefix(NAMELESS)
        .and_then(|rest| rest.strip_suffix(')'));
    ServerName::from(id.unwrap_or(sources))
}

/// A stored placement, unchanged: neither case nor order is touched, for both matter (nats-facts N2, N20).
pub(crate) fn placement(stored: &StoredPlacement<'_>) -> Placement {
    Placement {
        cluster: stored
            .cluster
            .as_deref()
            .filter(|name| !name.is_empty())
            .map(ClusterName::from),
        tags: stored
            .tags
            .iter()
            .flatten()
            .map(|tag| Tag::from(&**tag))
            .collect(),
    }
}

fn metadata(entries: &BTreeMap<WireText<'_>, Value<'_>>) -> BTreeMap<String, String> {
    entries
        .iter()
        .filter(|(key, _)| !key.starts_with(OWN_METADATA))
        .map(|(key, value)| (key.to_string(), value.to_string()))
        .collect()
}
