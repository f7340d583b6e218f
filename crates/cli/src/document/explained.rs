//! The result of `leeward explain`.

use jiff::Timestamp;
use leeward_api::policy_status::{HomeStatus, LocationStatus, RecentAction};
use leeward_api::vocabulary::Remedy;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ActionPart, DocumentHeader, StreamUsePart};

/// `leeward explain`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExplainDocument {
    /// When it was looked at.
    #[schemars(with = "String")]
    pub time: Timestamp,
    /// The stream.
    pub stream: String,
    /// The consumer, if it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consumer: Option<String>,
    /// Whom this is about.
    #[serde(flatten)]
    pub about: DocumentHeader,
    /// Where it is.
    pub place: PeerPlace,
    /// Who uses it.
    pub usage: Usage,
    /// What was decided, and why.
    pub decision: ExplainedDecision,
}

/// Where an asset is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Place")]
pub struct PeerPlace {
    /// All that hold it, the leader first.
    pub peers: Vec<PeerPart>,
    /// Since when its leader leads, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub leader_since: Option<Timestamp>,
    /// Configured replicas of the stream.
    pub replicas: u8,
    /// Bytes that the stream stores.
    pub bytes: u64,
    /// The cluster of the stream's stored placement.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub placement_cluster: Option<String>,
    /// The tags of the stream's stored placement.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub placement_tags: Vec<String>,
    /// Whether the servers move it now.
    pub moving: bool,
}

/// One server that holds an asset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PeerPart {
    /// Its name.
    pub server: String,
    /// Its location, where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// Whether it leads.
    pub leader: bool,
    /// Heard of lately and caught up.
    pub current: bool,
    /// Known to be down.
    pub offline: bool,
    /// Raft entries behind the leader.
    pub lag: u32,
}

/// Who uses an asset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Usage {
    /// Messages a second, stored of a stream, delivered of a consumer; absent where no time was given to count them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_rate: Option<f32>,
    /// Consumers of the stream.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub consumers: Vec<String>,
    /// Streams that it mirrors or sources.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub upstreams: Vec<String>,
    /// Streams that mirror or source it.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub dependents: Vec<String>,
    /// Messages that were delivered and wait for an acknowledgement, of a consumer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ack_pending: Option<u64>,
    /// The account's clients by location: who may use it.
    pub locations: Vec<LocationStatus>,
    /// Who does, as far as a sample showed it; only if asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sampled: Option<StreamUsePart>,
}

/// What was decided.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Decision")]
pub struct ExplainedDecision {
    /// `InPlace`, `Misplaced`, `Held`, `Ignored`, `NotSelected` or `Undecided`.
    pub verdict: String,
    /// The reason code, where one stands against the remedy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What cures it, where it is misplaced or held.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<Remedy>,
    /// Milliseconds of waiting that the remedy would save a second: message rate times round trip saved; absent where the
    /// rate is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gain: Option<f32>,
    /// Why, with names and numbers.
    pub because: String,
    /// What would change it.
    pub changes: Vec<String>,
    /// Where it belongs, if its own clients decide that and it is not the account's home.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub own_home: Option<String>,
    /// The account's home.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub home: Option<HomeStatus>,
    /// What would be done to it, or to the stream that it follows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<ActionPart>,
    /// When that may begin.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub action_time: Option<Timestamp>,
    /// What was done to it lately, where a policy's status tells.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub recent: Vec<RecentAction>,
}
