//! The state of limits in number and time: budgets, windows and the circuit breaker.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::{AsRefStr, Display};

/// A disruption budget now.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct BudgetStatus {
    /// Its name in `disruption.budgets`.
    pub name: String,

    /// Whether it applies now; one with a schedule does only at times.
    pub active: bool,

    /// How many may be acted on in its span of time.
    pub allowed: i64,

    /// How many were, or are being, acted on.
    pub used: i64,

    /// When the next one is free again, or when the budget begins or ceases to apply, if that is earlier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reset_time: Option<Time>,
}

/// The maintenance windows now.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct WindowsStatus {
    /// Whether any action that the policy enables may be done now.
    pub open: bool,

    /// Which window says so.
    pub reason: String,

    /// When that changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_transition_time: Option<Time>,
}

/// The circuit breaker now.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct BreakerStatus {
    /// Whether actions are stopped.
    pub state: BreakerState,

    /// When one action is tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_time: Option<Time>,

    /// When actions failed lately.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub failures: Vec<Time>,
}

/// Whether repeated failures stop all actions.
#[derive(Serialize, Deserialize, JsonSchema, Display, AsRefStr, Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerState {
    /// Actions are done.
    Closed,
    /// Nothing is done.
    Open,
    /// One action is tried.
    HalfOpen,
}
