//! What a location is, and which one is home.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::{AsRefStr, Display};

use crate::duration::GoDuration;

/// What a location is.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq, Default)]
#[serde(rename_all = "camelCase", default = "TopologySpec::default")]
#[x_kube(
    validation = Rule::new("self.key != 'ServerTag' || has(self.tagPrefix)")
        .message("topology.tagPrefix is required when topology.key is ServerTag: set it to the tag prefix, such as \"region:\"")
        .field_path(".tagPrefix")
        .reason(Reason::FieldValueRequired),
)]
pub struct TopologySpec {
    /// `Cluster`: a location is a NATS cluster, named as the cluster. `ServerTag`: a location is a server tag that
    /// starts with `tagPrefix`, named as the whole tag.
    pub key: TopologyKey,

    /// The prefix of the tags that say where a server is, such as `region:`. Required with `ServerTag`. With `Cluster`
    /// it says that the servers of cluster X carry the tag `<prefix>X`, and placement edits then write that tag too.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    #[x_kube(
        validation = Rule::new(r"!self.matches('[ \t\n,]')")
            .message("topology.tagPrefix must not contain spaces or commas: set it to the start of a server tag, such as \"region:\"")
    )]
    pub tag_prefix: Option<String>,
}

/// By what servers are told apart into locations.
#[derive(
    Serialize, Deserialize, JsonSchema, Display, AsRefStr, Debug, Clone, Copy, PartialEq, Eq, Default,
)]
pub enum TopologyKey {
    /// The name of the NATS cluster.
    #[default]
    Cluster,
    /// A server tag with the prefix `tagPrefix`.
    ServerTag,
}

/// How the location in which the leaders belong is found.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default = "HomeSpec::default")]
#[x_kube(
    validation = Rule::new("self.strategy != 'Preferred' || (has(self.preferences) && size(self.preferences) > 0)")
        .message("home.preferences is required when home.strategy is Preferred: list the locations, the best one first")
        .field_path(".preferences")
        .reason(Reason::FieldValueRequired),
    validation = Rule::new("self.onNoMajority != 'UsePreferences' || (has(self.preferences) && size(self.preferences) > 0)")
        .message("home.preferences is required when home.onNoMajority is UsePreferences: list the locations, the best one first")
        .field_path(".preferences")
        .reason(Reason::FieldValueRequired),
    validation = Rule::new("!has(self.preferences) || !has(self.exclude) || !self.preferences.exists(p, p in self.exclude)")
        .message("home.preferences names a location that home.exclude excludes: remove it from one of the two")
        .field_path(".preferences"),
    validation = Rule::new("!has(self.preferences) || self.preferences.all(p, self.preferences.exists_one(q, q == p))")
        .message("home.preferences names a location twice: keep the first")
        .field_path(".preferences"),
)]
pub struct HomeSpec {
    /// `ClientMajority`: where the majority of the live clients is. `Preferred`: the first of `preferences` that is up.
    pub strategy: HomeStrategy,

    /// Locations, the best one first. With `ServerTag` each is a whole tag, such as `region:us-east`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(min = 1, max = 128)))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub preferences: Vec<String>,

    /// Whose clients decide, with `ClientMajority`. `Stream`: those that use the stream, weighed by the messages that
    /// they publish and receive; a consumer whose replicas lie in several locations follows its own. Where too little of
    /// the use is known, the account's clients decide. `Account`: all clients of the account, for all its streams.
    pub scope: HomeScope,

    /// The share of a stream's messages, in percent, whose clients must be known for them to decide.
    #[schemars(range(min = 50, max = 100))]
    pub coverage_percent: u32,

    /// How it is found out who uses a stream.
    pub sampling: SamplingSpec,

    /// What a client of the account weighs: one per connection, or the messages or bytes that go through it.
    pub weight_by: WeightBy,

    /// Below this number of connections of the account its clients have no majority.
    #[schemars(range(min = 1))]
    pub min_connections: u32,

    /// The share of the weight, in percent, that makes a majority.
    #[schemars(range(min = 51, max = 100))]
    pub majority_percent: u32,

    /// By how many percentage points another location must lead the present home before home changes.
    #[schemars(range(min = 0, max = 100))]
    pub hysteresis_percent: u32,

    /// For how long another location must lead before home changes, such as `10m`. `0s`: at once.
    pub stabilization_window: GoDuration,

    /// What happens while no location has a majority. `Hold`: nothing moves. `UsePreferences`: the first of
    /// `preferences` that is up is home.
    pub on_no_majority: OnNoMajority,

    /// Locations that are never home, such as a management cluster: names or globs, in which `*` stands for any
    /// characters and `?` for one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(min = 1, max = 128)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub exclude: Vec<String>,
}

impl Default for HomeSpec {
    fn default() -> Self {
        Self {
            strategy: HomeStrategy::default(),
            preferences: Vec::new(),
            scope: HomeScope::default(),
            coverage_percent: 80,
            sampling: SamplingSpec::default(),
            weight_by: WeightBy::default(),
            min_connections: 5,
            majority_percent: 60,
            hysteresis_percent: 10,
            stabilization_window: GoDuration::from_mins(10),
            on_no_majority: OnNoMajority::default(),
            exclude: Vec::new(),
        }
    }
}

/// How home is found.
#[derive(
    Serialize, Deserialize, JsonSchema, Display, AsRefStr, Debug, Clone, Copy, PartialEq, Eq, Default,
)]
pub enum HomeStrategy {
    /// Where the majority of the live clients is.
    #[default]
    ClientMajority,
    /// The first of the preferences that is up.
    Preferred,
}

/// Whose clients decide where the leaders of a stream belong.
#[derive(
    Serialize, Deserialize, JsonSchema, Display, AsRefStr, Debug, Clone, Copy, PartialEq, Eq, Default,
)]
pub enum HomeScope {
    /// The clients that use the stream.
    #[default]
    Stream,
    /// All clients of the account.
    Account,
}

/// How it is found out who uses a stream: by receiving a few of the messages that clients publish to it and of the
/// requests with which they fetch from it. Payloads are dropped unread.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default = "SamplingSpec::default")]
pub struct SamplingSpec {
    /// Whether messages are sampled. Without samples the account's clients decide.
    pub enabled: bool,

    /// How many messages are sampled in a minute, over all streams of the policy, on average.
    #[schemars(range(min = 1, max = 100_000))]
    pub messages_per_minute: u32,
}

impl Default for SamplingSpec {
    fn default() -> Self {
        Self {
            enabled: true,
            messages_per_minute: 200,
        }
    }
}

/// What a client weighs.
#[derive(
    Serialize, Deserialize, JsonSchema, Display, AsRefStr, Debug, Clone, Copy, PartialEq, Eq, Default,
)]
pub enum WeightBy {
    /// One per connection.
    #[default]
    Connections,
    /// The messages that go through the connection.
    Messages,
    /// The bytes that go through the connection.
    Bytes,
}

/// What happens while no location has a majority.
#[derive(
    Serialize, Deserialize, JsonSchema, Display, AsRefStr, Debug, Clone, Copy, PartialEq, Eq, Default,
)]
pub enum OnNoMajority {
    /// Nothing moves.
    #[default]
    Hold,
    /// The first of the preferences that is up is home.
    UsePreferences,
}
