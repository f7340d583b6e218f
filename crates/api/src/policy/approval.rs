//! Which plans begin without asking, which wait for a person, and for how long.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::duration::{GoDuration, at_least};
use crate::quantity::{ParseQuantityError, byte_quantity_schema, parse_bytes};
use crate::vocabulary::ActionType;

/// How plans are approved, in mode `Propose`.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq)]
#[serde(rename_all = "camelCase", default = "Approval::default")]
pub struct Approval {
    /// The id of a plan that may be carried out, as the plan's name ends and `status.approval.plan` says: an approval by
    /// commit. A plan is carried out once; an id that is neither waiting nor carried out already is reported and does
    /// nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[x_kube(
        validation = Rule::new("self.matches('^[0-9a-f]{16}$')")
            .message("approval.approvedPlan must be a plan's id, 16 hexadecimal digits: as status.approval.plan has it")
    )]
    #[schemars(length(max = 512))]
    pub approved_plan: Option<String>,

    /// How long a plan waits for its approval, such as `72h`; at least `1m`. One that nobody approved by then expires, and
    /// the next look proposes anew, under another id.
    #[serde(rename = "planTTL")]
    #[x_kube(
        validation = Rule::new(at_least(GoDuration::from_mins(1)))
            .message("approval.planTTL must be at least 1m: somebody has to read the plan")
    )]
    pub plan_ttl: GoDuration,

    /// What begins without asking. Nothing, if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auto_approve: Option<AutoApprove>,
}

impl Default for Approval {
    fn default() -> Self {
        Self {
            approved_plan: None,
            plan_ttl: GoDuration::from_hours(72),
            auto_approve: None,
        }
    }
}

/// What begins without asking: an action for which all that is given here holds. The others wait for a person.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq)]
#[serde(rename_all = "camelCase", default = "AutoApprove::default")]
pub struct AutoApprove {
    /// Actions of these types.
    #[schemars(length(min = 1, max = 4))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub actions: Vec<ActionType>,

    /// Those that copy at most so many bytes, over all replicas, as a quantity such as `1Gi`. No limit, if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "byte_quantity_schema")]
    pub max_bytes: Option<Quantity>,

    /// Where one look proposes more such actions than this, all of them ask.
    #[schemars(range(min = 1, max = 500))]
    pub max_actions: u32,

    /// Those that save at least so many milliseconds of waiting a second, as far as message rates are known. No limit, if not
    /// given.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub min_gain: Option<u32>,
}

impl AutoApprove {
    /// The most bytes that an action may copy; `None` where there is no limit.
    pub fn max_bytes(&self) -> Result<Option<u64>, ParseQuantityError> {
        self.max_bytes
            .as_ref()
            .map(|quantity| parse_bytes(&quantity.0))
            .transpose()
    }
}

impl Default for AutoApprove {
    fn default() -> Self {
        Self {
            actions: vec![ActionType::ConsumerStepDown, ActionType::StreamStepDown],
            max_bytes: None,
            max_actions: 20,
            min_gain: None,
        }
    }
}
