//! The result of `leeward report`.

use jiff::Timestamp;
use leeward_api::policy_status::{Advice, AssetCounts, Finding, GatewayStatus, HomeStatus, LocationStatus};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{DocumentHeader, ReasonText};

/// `leeward report`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReportDocument {
    /// When the report was made.
    #[schemars(with = "String")]
    pub time: Timestamp,
    /// The system, where a user of the system account looked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system: Option<SystemPart>,
    /// One for each policy and account.
    pub reports: Vec<PolicyReport>,
    /// Accounts without a stream, of which nothing is said.
    #[serde(skip_serializing_if = "is_zero", default)]
    pub accounts_without_streams: usize,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde's skip_serializing_if passes a reference"
)]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// The system as a whole.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SystemPart {
    /// Servers that should have answered.
    pub servers_expected: u32,
    /// Servers that did.
    pub servers_answered: u32,
    /// Those that did not, as far as their names are known.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub servers_missing: Vec<String>,
    /// Clusters by name.
    pub clusters: Vec<ClusterPart>,
    /// Measured over gateways.
    pub round_trips: Vec<RoundTripPart>,
}

/// One cluster of the system.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClusterPart {
    /// Its name.
    pub name: String,
    /// Servers that answered.
    pub servers: u32,
    /// Their versions.
    pub versions: Vec<String>,
    /// Client connections of all accounts.
    pub connections: u32,
}

/// A round trip between two clusters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RoundTripPart {
    /// From this cluster.
    pub from: String,
    /// To this one.
    pub to: String,
    /// In milliseconds.
    pub milliseconds: f64,
}

/// What one policy says of its account.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicyReport {
    /// Whom this is about.
    #[serde(flatten)]
    pub about: DocumentHeader,
    /// Whether leaders are home, as in the condition `InPlace`.
    pub in_place: ReasonText,
    /// Streams and consumers that are, of all that count, such as `37/40`; absent without a home.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub in_place_of: Option<String>,
    /// Home.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub home: Option<HomeStatus>,
    /// Every location.
    pub locations: Vec<LocationStatus>,
    /// Streams by judgement.
    pub streams: AssetCounts,
    /// Consumers by judgement.
    pub consumers: AssetCounts,
    /// What is misplaced or held, and what else is wrong, sorted and limited as asked.
    pub findings: Vec<FindingPart>,
    /// Findings beyond the limit.
    pub findings_omitted: usize,
    /// Who uses the busiest streams, from where; only if asked for.
    #[serde(rename = "use", skip_serializing_if = "Vec::is_empty", default)]
    pub usage: Vec<StreamUsePart>,
    /// Share of bytes that cross gateways.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gateway: Option<GatewayStatus>,
    /// What could help where no leader can.
    pub advice: Vec<Advice>,
}

/// Who uses a stream and its consumers, from where, as far as a sample showed it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StreamUsePart {
    /// The stream.
    pub stream: String,
    /// The location that its leader is in; absent without a leader, and where the leader's server carries no location.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub led_from: Option<String>,
    /// Locations from which it is used, the most first.
    pub locations: Vec<LocationUsePart>,
    /// Use by clients on servers that carry no location.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unplaced: Option<LocationUsePart>,
    /// The share of the stream's traffic whose clients were found, in percent; absent where no use was seen and no traffic
    /// is measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub coverage_percent: Option<u8>,
    /// Why it was not sampled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// The use of a stream from one location. Rates are in messages a second.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LocationUsePart {
    /// The location; empty for servers that carry none.
    pub name: String,
    /// The share of all messages whose clients were found, in percent.
    pub percent: u8,
    /// Connections that were found.
    pub connections: u32,
    /// Published.
    pub publish: f64,
    /// Delivered on request of pull consumers' clients.
    pub pull: f64,
    /// Delivered to push consumers' clients.
    pub push: f64,
    /// Read one by one, by direct gets, which any replica answers.
    pub direct_get: f64,
    /// Read one by one through the stream's leader.
    pub get: f64,
}

/// A finding, with what its cure would gain.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FindingPart {
    /// As in a policy's status.
    #[serde(flatten)]
    pub finding: Finding,
    /// Milliseconds of waiting saved a second: message rate times round trip saved. Absent of what is about no stream, and
    /// where the rate is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gain: Option<f32>,
}
