//! The status of a `NatsSystem`: what of it was seen.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The most clusters that a status lists.
pub const MAX_CLUSTERS: usize = 128;
/// The most round trips that a status lists.
pub const MAX_ROUND_TRIPS: usize = 256;
/// The most versions that a status lists per cluster.
pub const MAX_VERSIONS: usize = 16;

/// What was seen of the system.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Default)]
#[serde(rename_all = "camelCase", default = "NatsSystemStatus::default")]
pub struct NatsSystemStatus {
    /// The `metadata.generation` that this status is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// Connected, Observed and Ready.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,

    /// The servers, counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub servers: Option<ServerCounts>,

    /// The clusters of the system.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub clusters: Vec<ClusterStatus>,

    /// Round-trip times between clusters, as the servers measure them over their gateways.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["from".into(), "to".into()]))]
    pub round_trips: Vec<RoundTrip>,

    /// Policies that refer to the system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policies: Option<i64>,

    /// When the system was last looked at with a result that differs from the one before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_observation_time: Option<Time>,

    /// The system in single words, for `kubectl get`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub summary: Option<SystemSummary>,
}

/// Servers, counted.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ServerCounts {
    /// Servers that the others know of.
    pub expected: i64,

    /// Servers that answered the last look.
    pub answered: i64,
}

/// The system in single words.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct SystemSummary {
    /// Servers that answered, of those expected: `6/6`.
    pub servers: String,

    /// The number of clusters.
    pub clusters: i64,

    /// The servers' version, `2.11.10`, or the lowest and the highest one, `2.10.29–2.11.10`.
    pub version: String,
}

/// One cluster.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ClusterStatus {
    /// The cluster's name.
    pub name: String,

    /// Servers in it that answered.
    pub servers: i64,

    /// The versions of those servers, ascending.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub versions: Vec<String>,

    /// Client connections to it.
    pub connections: i64,

    /// Streams that are led in it.
    pub stream_leaders: i64,

    /// Consumers that are led in it.
    pub consumer_leaders: i64,
}

/// The round-trip time from one cluster to another.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct RoundTrip {
    /// The cluster that measured it.
    pub from: String,

    /// The other cluster.
    pub to: String,

    /// The time, in milliseconds.
    pub milliseconds: i64,
}
