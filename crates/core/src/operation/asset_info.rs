//! An asset as the server that leads it answers, just now: what operations are judged by (P9).

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::names::{ServerName, StreamName};
use crate::safety::is_healthy;
use crate::snapshot::Placement;

/// An asset as read from the server that leads it, just now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AssetInfo {
    /// The leader; `None` during an election.
    pub leader: Option<ServerName>,
    /// All members, the leader among them.
    pub peers: Vec<PeerInfo>,
    /// Configured replicas.
    pub replicas: u8,
    /// The servers report that the group is changing.
    pub moving: bool,
    /// A stream's stored placement; for a consumer its stream's is not read.
    pub placement: Option<Placement>,
    /// Bytes stored by a stream; 0 for a consumer.
    pub bytes: u64,
    /// A consumer's progress; `None` for a stream.
    pub progress: Option<Progress>,
    /// The mirror's or the sources' state of a stream; empty for a consumer.
    pub upstreams: Vec<Upstream>,
}

/// How far a consumer is, and whether anybody uses it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Messages delivered, redeliveries included (`delivered.consumer_seq`).
    pub delivered: u64,
    /// The last message of the stream below which all are acknowledged (`ack_floor.stream_seq`).
    pub ack_floor: u64,
    /// Messages not yet delivered.
    pub pending: u64,
    /// Messages delivered and not acknowledged.
    pub ack_pending: u64,
    /// At this many of those it stops delivering (`max_ack_pending`); `None` for no limit.
    pub max_ack_pending: Option<u64>,
    /// Pull requests that wait for messages.
    pub waiting: u64,
    /// A client listens to the deliver subject of a push consumer.
    pub push_bound: bool,
    /// Its owner paused it.
    pub paused: bool,
}

/// A mirror or source as the stream that reads it sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upstream {
    /// The stream that is read.
    pub stream: StreamName,
    /// How long ago it was active; `None` if never since the leader took over.
    pub last_active: Option<Duration>,
    /// Messages that are still to come.
    pub lag: u64,
}

/// A member as read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerInfo {
    /// Where.
    pub server: ServerName,
    /// Recently seen and caught up.
    pub current: bool,
    /// Known to be down.
    pub offline: bool,
    /// Raft entries behind.
    pub lag: u64,
}

/// The answer to a read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadResult {
    /// The asset as it is.
    Seen(AssetInfo),
    /// It does not exist any more.
    Gone,
    /// No answer: an election, or a lost connection. Never read as absence.
    Unanswered,
}

impl AssetInfo {
    /// Whether its group is changing: the servers report it, or it has more members than replicas (nats-facts N22).
    pub fn is_moving(&self) -> bool {
        self.moving || self.peers.len() > usize::from(self.replicas.max(1))
    }

    /// Whether all members are among these servers.
    pub(super) fn has_peers(&self, servers: &[ServerName]) -> bool {
        !self.peers.is_empty() && self.peers.iter().all(|peer| servers.contains(&peer.server))
    }

    /// Whether a server is a member that is up and caught up.
    pub fn is_ready(&self, server: &ServerName, max_lag: u64) -> bool {
        self.peers
            .iter()
            .any(|peer| peer.server == *server && peer.is_healthy(max_lag))
    }
}

impl PeerInfo {
    pub(super) fn is_healthy(&self, max_lag: u64) -> bool {
        is_healthy(self.current, self.offline, self.lag, max_lag)
    }
}
