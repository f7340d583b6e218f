//! What is remembered in the status over a restart. Bounded; what does not fit makes Leeward wait longer, never less.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::is_zero;
use crate::vocabulary::ActionType;

/// What is remembered over a restart and a hand-over.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq, Default)]
#[serde(rename_all = "camelCase")]
pub struct Memory {
    /// Streams and consumers that were acted on, the last one first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 200))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub assets: Vec<RememberedAsset>,

    /// When the last one of those was acted on that found no place in `assets`: until its cooldown has passed, all that
    /// are not listed rest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub others_acted_on: Option<Time>,

    /// What counts against budgets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub spent: Vec<SpentBudget>,

    /// Bytes a second that the last move copied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub move_bytes_per_second: Option<i64>,

    /// The `resetToken` that was obeyed last; empty if none was given. Always there: an object without a field cannot be
    /// applied over one that had some.
    #[serde(default)]
    pub reset_token: String,
}

/// What is remembered of one stream or consumer.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct RememberedAsset {
    /// The stream.
    pub stream: String,

    /// The consumer, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consumer: Option<String>,

    /// When it was last acted on.
    pub time: Time,

    /// How often without success.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub attempts: i32,

    /// How often somebody else undid what was done.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub undone: i32,

    /// The location that the stream was moved to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moved_to: Option<String>,
}

/// Actions that count against budgets.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct SpentBudget {
    /// When the last of them ended.
    pub time: Time,

    /// What was done.
    #[serde(rename = "type")]
    pub action: ActionType,

    /// How often.
    pub count: i64,
}
