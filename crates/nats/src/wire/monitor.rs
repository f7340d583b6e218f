//! Replies of the monitoring services: STATSZ, CONNZ, GATEWAYZ, STATZ, USER.INFO, and the envelope around them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;

use super::text::{Name, Words};

/// Around every reply; STATSZ has its content in `statsz`.
#[derive(Debug, Deserialize)]
pub(crate) struct Envelope<T> {
    pub(crate) server: ServerInfo,
    #[serde(alias = "statsz")]
    pub(crate) data: Option<T>,
    pub(crate) error: Option<MonitorError>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct MonitorError {
    #[serde(default)]
    pub(crate) description: Words,
}

/// A server's own data in every reply.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct ServerInfo {
    pub(crate) name: Name,
    pub(crate) id: Name,
    /// Absent for a server without a cluster.
    pub(crate) cluster: Option<Name>,
    pub(crate) domain: Option<Name>,
    #[serde(default)]
    pub(crate) tags: Vec<Name>,
    pub(crate) ver: Words,
    /// Left out when false.
    #[serde(default)]
    pub(crate) jetstream: bool,
}

impl<T> Envelope<T> {
    /// The content, or the server's error instead.
    pub(crate) fn content(self) -> Result<(ServerInfo, T), String> {
        match (self.data, self.error) {
            (Some(data), _) => Ok((self.server, data)),
            (None, Some(error)) => Err(format!("{} answers: {}", self.server.name, error.description)),
            (None, None) => Err(format!("{} answers without content", self.server.name)),
        }
    }
}

#[derive(Debug, Deserialize)]
pub(crate) struct Statsz {
    pub(crate) start: Option<Timestamp>,
    pub(crate) connections: Option<u32>,
    /// How many servers this one knows of, itself included.
    pub(crate) active_servers: Option<u32>,
    /// Absent where JetStream does not run.
    pub(crate) jetstream: Option<JetStream>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct JetStream {
    pub(crate) config: Option<JetStreamConfig>,
    pub(crate) stats: Option<JetStreamStats>,
    pub(crate) limits: Option<JetStreamLimits>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct JetStreamConfig {
    pub(crate) max_memory: Option<i64>,
    pub(crate) max_storage: Option<i64>,
    pub(crate) unique_tag: Option<Name>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct JetStreamStats {
    pub(crate) memory: Option<u64>,
    pub(crate) storage: Option<u64>,
    pub(crate) reserved_memory: Option<u64>,
    pub(crate) reserved_storage: Option<u64>,
    pub(crate) ha_assets: Option<u64>,
}

/// Limits of JetStream; each is left out where there is none.
#[derive(Debug, Deserialize)]
pub(crate) struct JetStreamLimits {
    pub(crate) max_ha_assets: Option<i64>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Connz {
    /// The server's clock.
    pub(crate) now: Option<Timestamp>,
    pub(crate) total: u64,
    /// `None` from a server that does not know the requested account.
    pub(crate) connections: Option<Vec<Connection>>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Connection {
    pub(crate) cid: u64,
    pub(crate) kind: Option<Words>,
    pub(crate) start: Option<Timestamp>,
    pub(crate) name: Option<Words>,
    pub(crate) authorized_user: Option<Words>,
    pub(crate) in_msgs: u64,
    pub(crate) out_msgs: u64,
    pub(crate) in_bytes: u64,
    pub(crate) out_bytes: u64,
}

/// LEAFZ of one account.
#[derive(Debug, Deserialize)]
pub(crate) struct Leafz {
    #[serde(default)]
    pub(crate) leafs: Vec<Leaf>,
}

/// A leaf node connection, as one of its ends reports it.
#[derive(Debug, Deserialize)]
pub(crate) struct Leaf {
    /// The server at the other end; its id up to 2.9.
    pub(crate) name: Name,
    /// This end made the connection.
    pub(crate) is_spoke: bool,
    pub(crate) account: Name,
}

/// GATEWAYZ, limited to round trips.
#[derive(Debug, Deserialize)]
pub(crate) struct Gatewayz {
    #[serde(default)]
    pub(crate) outbound_gateways: BTreeMap<Name, Gateway>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Gateway {
    pub(crate) connection: Option<GatewayConnection>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct GatewayConnection {
    /// A Go duration; absent before the first measurement.
    pub(crate) rtt: Option<Words>,
}

/// ROUTEZ, limited to round trips.
#[derive(Debug, Deserialize)]
pub(crate) struct Routez {
    #[serde(default)]
    pub(crate) routes: Vec<RouteInfo>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct RouteInfo {
    pub(crate) remote_id: Name,
    /// A Go duration; absent before the first measurement.
    pub(crate) rtt: Option<Words>,
}

/// JSZ, limited to the list of accounts.
#[derive(Debug, Deserialize)]
pub(crate) struct JetStreamAccounts {
    #[serde(default)]
    pub(crate) account_details: Vec<JetStreamAccount>,
}

/// An account with JetStream enabled.
#[derive(Debug, Deserialize)]
pub(crate) struct JetStreamAccount {
    pub(crate) id: Name,
    pub(crate) name: Option<Name>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct AccountStatz {
    #[serde(default)]
    pub(crate) account_statz: Vec<AccountStat>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct AccountStat {
    pub(crate) acc: Name,
    /// The name of the account where `acc` is a public key.
    pub(crate) name: Option<Name>,
    #[serde(default)]
    pub(crate) conns: u32,
    pub(crate) leafnodes: u32,
    pub(crate) sent: Volume,
    pub(crate) received: Volume,
}

/// Messages and bytes, with the part of each kind of connection (from 2.11.5 on, nats-facts N42).
#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct Volume {
    pub(crate) bytes: u64,
    pub(crate) gateways: Option<VolumePart>,
    pub(crate) routes: Option<VolumePart>,
    pub(crate) leafs: Option<VolumePart>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct VolumePart {
    pub(crate) msgs: u64,
    pub(crate) bytes: u64,
}

#[derive(Debug, Deserialize)]
pub(crate) struct UserInfo {
    pub(crate) account: Name,
    pub(crate) account_name: Option<Name>,
}

/// Any advisory or event about an account.
#[derive(Debug, Deserialize)]
pub(crate) struct AccountEvent {
    /// In JetStream advisories.
    pub(crate) account: Option<Name>,
    /// In connection events.
    pub(crate) acc: Option<Name>,
    /// In JetStream advisories, like the next one.
    pub(crate) stream: Option<Name>,
    pub(crate) consumer: Option<Name>,
    /// In announcements of elections.
    pub(crate) leader: Option<Name>,
    pub(crate) conns: Option<u32>,
    pub(crate) leafnodes: Option<u32>,
    pub(crate) server: Option<EventServer>,
}

/// The sender of a connection event; advisories of JetStream name it without an id.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum EventServer {
    Whole { id: Name },
    Other(serde::de::IgnoredAny),
}
