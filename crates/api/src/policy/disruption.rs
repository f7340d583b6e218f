//! How much a policy may do at once, and what it reports.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::duration::GoDuration;

/// How much may be done at once, and how often.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
pub struct Disruption {
    /// Operations of this policy that may be under way at once. There is never more than one per stream, and the
    /// system's own limits hold as well.
    #[schemars(range(min = 1, max = 100))]
    pub max_concurrent: u32,

    /// How long a stream or a consumer is left alone after it was acted on, such as `30m`.
    pub cooldown: GoDuration,

    /// How often a stream or a consumer is tried without success before it is given up, until `resetToken` or home
    /// changes.
    #[schemars(range(min = 1))]
    pub max_attempts: u32,
}

impl Default for Disruption {
    fn default() -> Self {
        Self {
            max_concurrent: 4,
            cooldown: GoDuration::from_mins(30),
            max_attempts: 3,
        }
    }
}

/// What the status reports.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
pub struct Report {
    /// Findings that the status lists at most, those with the greatest gain first. The rest is counted.
    #[schemars(range(min = 0, max = 200))]
    pub max_findings: u32,
}

impl Default for Report {
    fn default() -> Self {
        Self { max_findings: 20 }
    }
}
