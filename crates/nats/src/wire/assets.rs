//! Streams and consumers, in the one shape that JSZ, the lists and the INFO replies share. One `#[serde(borrow)]` lets
//! all fields of its struct borrow from the reply.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

pub(crate) use super::text::{Value, WireText};

/// JSZ of one account, with its streams read as `S` and the meta group as `M`.
#[derive(Debug, Deserialize)]
#[serde(bound(deserialize = "'de: 'a, S: Deserialize<'de>, M: Deserialize<'de>"))]
pub(crate) struct Jsz<'a, S = StreamInfo<'a>, M = MetaGroup<'a>> {
    pub(crate) meta_cluster: Option<M>,
    #[serde(default = "Vec::new")]
    pub(crate) account_details: Vec<AccountDetail<'a, S>>,
    #[serde(default)]
    pub(crate) disabled: bool,
}

/// The JetStream meta group; only its leader lists the replicas completely.
#[derive(Debug, Deserialize)]
pub(crate) struct MetaGroup<'a> {
    #[serde(borrow)]
    pub(crate) leader: Option<WireText<'a>>,
    #[serde(default)]
    pub(crate) replicas: Vec<Replica<'a>>,
}

/// One account's part of JSZ.
#[derive(Debug, Deserialize)]
#[serde(bound(deserialize = "'de: 'a, S: Deserialize<'de>"))]
pub(crate) struct AccountDetail<'a, S = StreamInfo<'a>> {
    /// The account as servers identify it.
    #[serde(borrow)]
    pub(crate) id: WireText<'a>,
    #[serde(default = "Vec::new")]
    pub(crate) stream_detail: Vec<S>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct StreamInfo<'a> {
    /// Absent where there is no Raft at all: a server without a cluster.
    #[serde(borrow)]
    pub(crate) cluster: Option<Group<'a>>,
    pub(crate) config: Option<StreamConfig<'a>>,
    pub(crate) state: Option<StreamState>,
    /// A mirror's state of its upstream; a leader that just took over does not report it for a moment.
    pub(crate) mirror: Option<SourceInfo<'a>>,
    /// A stream's state of its sources.
    pub(crate) sources: Option<Vec<SourceInfo<'a>>>,
    /// In JSZ only.
    #[serde(default)]
    pub(crate) consumer_detail: Vec<ConsumerInfo<'a>>,
}

/// The relevant part of a stream's configuration.
#[derive(Debug, Deserialize)]
pub(crate) struct StreamConfig<'a> {
    #[serde(borrow)]
    pub(crate) name: WireText<'a>,
    pub(crate) num_replicas: u8,
    pub(crate) storage: StoredIn,
    /// −1 for no limit.
    pub(crate) max_bytes: i64,
    #[serde(default)]
    pub(crate) subjects: Option<Vec<WireText<'a>>>,
    #[serde(default)]
    pub(crate) allow_direct: bool,
    pub(crate) mirror: Option<Source<'a>>,
    #[serde(default)]
    pub(crate) mirror_direct: bool,
    pub(crate) sources: Option<Vec<Source<'a>>>,
    pub(crate) placement: Option<StoredPlacement<'a>>,
    #[serde(default)]
    pub(crate) metadata: BTreeMap<WireText<'a>, Value<'a>>,
}

/// The storage of a stream's messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum StoredIn {
    File,
    Memory,
}

/// A stream that a mirror or source reads, as configured.
#[derive(Debug, Deserialize)]
pub(crate) struct Source<'a> {
    #[serde(borrow)]
    pub(crate) name: WireText<'a>,
    /// Set where the stream is of another account or domain.
    pub(crate) external: Option<IgnoredAny>,
}

/// A stream that a mirror or source reads, as the leader sees it.
#[derive(Debug, Deserialize)]
pub(crate) struct SourceInfo<'a> {
    #[serde(borrow)]
    pub(crate) name: WireText<'a>,
    pub(crate) external: Option<IgnoredAny>,
    pub(crate) lag: u64,
    /// Nanoseconds since the last contact; −1 for never.
    pub(crate) active: i64,
}

#[derive(Debug, Deserialize)]
pub(crate) struct StoredPlacement<'a> {
    #[serde(borrow)]
    pub(crate) cluster: Option<WireText<'a>>,
    pub(crate) tags: Option<Vec<WireText<'a>>>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct StreamState {
    pub(crate) bytes: u64,
    pub(crate) last_seq: u64,
}

#[derive(Debug, Deserialize)]
pub(crate) struct ConsumerInfo<'a> {
    #[serde(borrow)]
    pub(crate) name: WireText<'a>,
    pub(crate) cluster: Option<Group<'a>>,
    pub(crate) config: Option<ConsumerConfig<'a>>,
    pub(crate) delivered: Option<Sequences>,
    pub(crate) ack_floor: Option<Sequences>,
    pub(crate) num_ack_pending: Option<u64>,
    pub(crate) num_pending: Option<u64>,
    pub(crate) num_waiting: Option<u64>,
    /// Left out when false, like the next one.
    #[serde(default)]
    pub(crate) push_bound: bool,
    #[serde(default)]
    pub(crate) paused: bool,
    /// From 2.11 on.
    pub(crate) priority_groups: Option<Vec<PriorityGroup<'a>>>,
}

/// The relevant part of a consumer's configuration.
#[derive(Debug, Deserialize)]
pub(crate) struct ConsumerConfig<'a> {
    #[serde(borrow)]
    pub(crate) durable_name: Option<WireText<'a>>,
    pub(crate) deliver_subject: Option<WireText<'a>>,
    /// 0: as many as its stream.
    pub(crate) num_replicas: u8,
    /// Left out or −1 for no limit.
    pub(crate) max_ack_pending: Option<i64>,
    #[serde(default)]
    pub(crate) metadata: BTreeMap<WireText<'a>, Value<'a>>,
}

/// A consumer's progress, in its own sequence and the stream's.
#[derive(Debug, Deserialize)]
pub(crate) struct Sequences {
    pub(crate) consumer_seq: u64,
    pub(crate) stream_seq: u64,
}

#[derive(Debug, Deserialize)]
pub(crate) struct PriorityGroup<'a> {
    /// Absent while no client is pinned.
    #[serde(borrow)]
    pub(crate) pinned_client_id: Option<WireText<'a>>,
}

/// A Raft group as one server sees it.
#[derive(Debug, Deserialize)]
pub(crate) struct Group<'a> {
    #[serde(borrow)]
    pub(crate) leader: Option<WireText<'a>>,
    /// From 2.11.9 on, and only from the leader itself.
    pub(crate) leader_since: Option<Timestamp>,
    /// All members except the reporting server or the leader.
    #[serde(default)]
    pub(crate) replicas: Vec<Replica<'a>>,
    /// From 2.15 on, while the group is changing (nats-facts N22).
    pub(crate) desired: Option<IgnoredAny>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Replica<'a> {
    #[serde(borrow)]
    pub(crate) name: WireText<'a>,
    pub(crate) current: bool,
    /// Nanoseconds since the last contact.
    pub(crate) active: Option<u64>,
    /// Left out when false.
    #[serde(default)]
    pub(crate) offline: bool,
    /// Left out when zero.
    #[serde(default)]
    pub(crate) lag: u64,
}

/// A page of STREAM.LIST or CONSUMER.LIST.
#[derive(Debug, Deserialize)]
pub(crate) struct ApiPage<'a> {
    pub(crate) total: usize,
    pub(crate) limit: Option<usize>,
    #[serde(borrow)]
    pub(crate) streams: Option<Vec<StreamInfo<'a>>>,
    pub(crate) consumers: Option<Vec<ConsumerInfo<'a>>>,
    /// Names of assets that did not answer the server that made the list.
    pub(crate) missing: Option<Vec<WireText<'a>>>,
}

/// The configuration of STREAM.INFO, verbatim.
#[derive(Debug, Deserialize)]
pub(crate) struct RawStreamInfo<'a> {
    #[serde(borrow)]
    pub(crate) config: &'a RawValue,
}
