//! What was seen of one account at one moment, with what is missing stated as data.
//!
//! A [`Snapshot`] maps accounts to shared [`AccountView`]s: replacing one view copies nothing else. Adapters fill
//! these structures; nothing here reads a clock or a socket.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::names::{AccountId, AssetName, ClusterName, ConsumerName, ServerName, StreamName, Tag};
use crate::topology::{ServerIx, Storage, Topology};

/// Everything seen of a system: one view per watched account.
pub type Snapshot = BTreeMap<AccountId, Arc<AccountView>>;

/// One account of a system at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AccountView {
    /// The account.
    pub account: AccountId,
    /// The servers at that moment.
    pub topology: Arc<Topology>,
    /// When the observation began: nothing in it is older.
    pub observed_at: Timestamp,
    /// What could not be seen; empty when the view is complete.
    pub gaps: Vec<Gap>,
    /// Connections, grouped by what policies may select by.
    pub clients: Vec<ClientGroup>,
    /// Sorted by name.
    pub streams: Vec<Stream>,
    /// The account's traffic since the last observation; `None` where servers do not report it (before 2.11.5) or at
    /// the first look.
    pub traffic: Option<Traffic>,
}

impl Stream {
    /// Messages a second that it stores and delivers, as far as they are measured.
    pub fn message_rates(&self) -> f32 {
        let consumers = self.consumers.iter().map(|consumer| consumer.message_rate);
        consumers.chain([self.message_rate]).flatten().sum()
    }
}

impl AccountView {
    /// Sorts everything, so that the order of arrival decides nothing (P1).
    pub fn normalize(&mut self) {
        self.gaps.sort();
        self.gaps.dedup();
        self.clients.sort();
        self.streams.sort_by(|a, b| a.name.cmp(&b.name));
        for stream in &mut self.streams {
            stream.group.normalize();
            stream.consumers.sort_by(|a, b| a.name.cmp(&b.name));
            for consumer in &mut stream.consumers {
                consumer.group.normalize();
            }
        }
    }

    /// A stream by name.
    pub fn stream(&self, name: &StreamName) -> Option<&Stream> {
        let position = self
            .streams
            .binary_search_by(|stream| stream.name.cmp(name))
            .ok()?;
        self.streams.get(position)
    }

    /// The Raft group of a stream or consumer.
    pub fn group(&self, asset: &AssetName) -> Option<&RaftGroup> {
        let stream = self.stream(&asset.stream)?;
        match &asset.consumer {
            None => Some(&stream.group),
            Some(name) => stream
                .consumers
                .iter()
                .find(|found| found.name == *name)
                .map(|found| &found.group),
        }
    }
}

/// Something that an observation could not see. Any gap stops actions (P6).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Gap {
    /// No connection to the system.
    Disconnected {
        /// The last error.
        message: String,
    },
    /// The account has not been observed yet.
    WarmingUp,
    /// JetStream of another domain is seen than the policy asks for.
    OtherDomain {
        /// The domain that is seen; `None` for JetStream without a domain.
        observed: Option<String>,
        /// The domain of the policy.
        wanted: String,
    },
    /// A server that was expected did not answer.
    ServerMissing {
        /// Its name.
        server: ServerName,
    },
    /// The same of a member of JetStream's meta group, which stays one until somebody removes it.
    MemberMissing {
        /// Its name, or its peer id where no server knows the name any more.
        server: ServerName,
    },
    /// A member of JetStream's meta group answers, but does not run JetStream: its assets cannot be seen.
    WithoutJetStream {
        /// Its name.
        server: ServerName,
    },
    /// Servers share a name, by which JetStream identifies leaders and peers.
    SameName {
        /// The name.
        server: ServerName,
        /// Their clusters, as far as they are in any. Sorted.
        clusters: Vec<ClusterName>,
    },
    /// Servers answered, but fewer than they themselves count.
    ServersUncounted {
        /// How many there should be.
        expected: u32,
        /// How many answered.
        answered: u32,
    },
    /// A request was refused.
    Denied {
        /// Its subject.
        subject: String,
    },
    /// Something was read but not understood, or not to its end.
    Unreadable {
        /// What, and why.
        message: String,
    },
}

impl Gap {
    /// Whether it may pass when a server restarts, so that it is no news for those who only read conditions.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::ServerMissing { server: _ }
            | Self::MemberMissing { server: _ }
            | Self::WithoutJetStream { server: _ }
            | Self::SameName {
                server: _,
                clusters: _,
            }
            | Self::ServersUncounted {
                expected: _,
                answered: _,
            }
            | Self::Unreadable { message: _ } => true,
            Self::Disconnected { message: _ }
            | Self::WarmingUp
            | Self::OtherDomain {
                observed: _,
                wanted: _,
            }
            | Self::Denied { subject: _ } => false,
        }
    }
}

/// Connections of one account on one server that no policy can distinguish.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ClientGroup {
    /// The server they are connected to.
    pub server: ServerIx,
    /// What they are.
    pub kind: ClientKind,
    /// The user they authenticated as.
    pub user: Option<Arc<str>>,
    /// The name they gave.
    pub name: Option<Arc<str>>,
    /// How many.
    pub connections: u32,
    /// Messages in and out since the last observation; `None` at the first look.
    pub messages: Option<u64>,
    /// Bytes in and out since the last observation; `None` at the first look.
    pub bytes: Option<u64>,
}

/// What a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ClientKind {
    /// A client (also over WebSocket or MQTT).
    Client,
    /// A leaf node: all clients behind it count as one (nats-facts N51).
    Leafnode,
}

/// An account's bytes over a span of time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Traffic {
    /// What clients and leaf nodes exchanged, each byte counted once.
    pub bytes: u64,
    /// What crossed gateways, each byte counted once.
    pub gateway_bytes: u64,
    /// The span in milliseconds.
    pub span_milliseconds: u64,
}

/// A stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stream {
    /// Its name.
    pub name: StreamName,
    /// Configured replicas.
    pub replicas: u8,
    /// Leader and peers.
    pub group: RaftGroup,
    /// The servers reported that its group is changing (2.15 on; before, only the peer count shows it, nats-facts N22).
    pub moving: bool,
    /// The stored placement, which proves nothing about where the stream is (nats-facts N21).
    pub placement: Option<Placement>,
    /// Metadata, without the servers' own `_nats.` entries.
    pub metadata: BTreeMap<String, String>,
    /// Bytes stored.
    pub bytes: u64,
    /// What kind of storage it takes.
    pub storage: Storage,
    /// The most bytes that it may store, which servers reserve for it; `None` for no limit.
    pub max_bytes: Option<u64>,
    /// Streams of this account that it mirrors or sources. Sorted.
    pub upstreams: Vec<StreamName>,
    /// The subjects whose messages it stores.
    pub subjects: Vec<String>,
    /// Its replicas answer gets (`allow_direct`).
    pub allow_direct: bool,
    /// A stream that it mirrors and whose direct gets it answers in its place (`mirror_direct`).
    pub answers_gets_of: Option<StreamName>,
    /// Messages stored a second since the last observation; `None` at the first look.
    pub message_rate: Option<f32>,
    /// Sorted by name.
    pub consumers: Vec<Consumer>,
}

/// A consumer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Consumer {
    /// Its name.
    pub name: ConsumerName,
    /// Leader and peers.
    pub group: RaftGroup,
    /// Where it delivers; `None` for a pull consumer.
    pub deliver_subject: Option<String>,
    /// Messages delivered a second since the last observation; `None` at the first look.
    pub message_rate: Option<f32>,
    /// False for an ephemeral one, which lives as long as its client.
    pub durable: bool,
    /// Its owner opted it out with the metadata `leeward.dev/ignore: "true"`.
    pub opted_out: bool,
    /// Messages that were delivered and wait for an acknowledgement.
    pub ack_pending: u64,
    /// A client of one of its priority groups is pinned to it, and would lose the pin (nats-facts N16).
    pub pinned: bool,
    /// Requests of clients that wait for messages; of a push consumer one where a client listens to the deliver subject.
    pub waiting: u64,
}

/// Who leads an asset and which servers hold it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RaftGroup {
    /// The leader; `None` when there is none now.
    pub leader: Option<ServerIx>,
    /// Since when it leads, or has been seen to lead where servers do not report it (before 2.11.9); `None` for a group
    /// of one, which has no elections.
    pub leader_since: Option<Timestamp>,
    /// All members with the leader among them, sorted by server.
    pub peers: Box<[Peer]>,
}

impl RaftGroup {
    fn normalize(&mut self) {
        self.peers.sort_by_key(|peer| peer.server);
    }
}

/// A member of a Raft group, as its leader sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// Where.
    pub server: ServerIx,
    /// Recently seen and caught up.
    pub current: bool,
    /// Known to be down.
    pub offline: bool,
    /// Raft entries behind the leader.
    pub lag: u32,
}

/// A stream's stored placement, as far as it decides.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Placement {
    /// The cluster; compared exactly (nats-facts N2).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cluster: Option<ClusterName>,
    /// All tags must match; their order counts in the servers' comparison (nats-facts N20).
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub tags: Vec<Tag>,
}

#[cfg(test)]
mod tests;
