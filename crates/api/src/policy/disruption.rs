//! How much a policy may do at once, how often and when, and what it reports.

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::KubeSchema;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use strum::{AsRefStr, Display};

use crate::duration::{GoDuration, at_least};
use crate::vocabulary::ActionType;

/// How much may be done at once, how often, and when.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq)]
#[serde(rename_all = "camelCase", default = "Disruption::default")]
#[x_kube(
    validation = Rule::new("!has(self.budgets) || self.budgets.all(b, self.budgets.exists_one(c, c.name == b.name))")
        .message("disruption.budgets has two budgets of one name: give each its own")
        .field_path(".budgets"),
)]
pub struct Disruption {
    /// Operations of this policy that may be under way at once. Consumers of one stream may be stepped down at once;
    /// nothing else is done to a stream, or to its consumers, while it steps down or moves itself. The system's own limits
    /// hold as well.
    #[schemars(range(min = 1, max = 100))]
    pub max_concurrent: u32,

    /// How long a stream or a consumer is left alone after it was acted on, such as `30m`.
    pub cooldown: GoDuration,

    /// How often a stream or a consumer is tried without success before it is given up, until `resetToken` or home
    /// changes. While the leader stays, one attempt asks up to three times, each time for another of the peers that may
    /// take over.
    #[schemars(range(min = 1))]
    pub max_attempts: u32,

    /// A stream is moved only if that saves more waiting than it causes within this time, such as `24h`; `0s` sets no
    /// limit. What is empty is moved in any case.
    pub max_payback: GoDuration,

    /// How many streams and consumers may be acted on in a span of time. All budgets that apply hold, so that the
    /// tightest wins. An empty list sets no limit.
    // Not a map by name: a field manager that applies its own budgets would keep the default one beside them.
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub budgets: Vec<Budget>,

    /// When actions may be done. Where any `Allow` window is given, the rest of the time is closed; `Deny` wins over
    /// `Allow`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub windows: Vec<Window>,

    /// What must hold of a stream, a consumer and its servers right before an action.
    pub gates: Gates,

    /// Stops all actions for a while after repeated failures.
    pub circuit_breaker: CircuitBreaker,
}

impl Default for Disruption {
    fn default() -> Self {
        Self {
            max_concurrent: 4,
            cooldown: GoDuration::from_mins(30),
            max_attempts: 3,
            max_payback: GoDuration::from_hours(24),
            budgets: vec![Budget::default()],
            windows: Vec::new(),
            gates: Gates::default(),
            circuit_breaker: CircuitBreaker::default(),
        }
    }
}

/// How many streams and consumers may be acted on.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.schedule) == has(self.duration)")
        .message("schedule and duration of a budget belong together: give both, or neither for a budget that always applies")
        .field_path(".schedule"),
    validation = Rule::new("!has(self.timeZone) || has(self.schedule)")
        .message("timeZone of a budget needs a schedule: add schedule and duration, or remove timeZone")
        .field_path(".timeZone"),
)]
pub struct Budget {
    /// A name of its own, shown in the status.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,

    /// The actions that it counts and limits; all, if none is given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub actions: Vec<ActionType>,

    /// How many may be acted on: a number, or a percentage of the selected streams and consumers that its actions are
    /// about, rounded up. `0` allows nothing.
    #[schemars(schema_with = "amount_schema")]
    pub max: IntOrString,

    /// The span of time, up to now, in which they are counted, such as `10m`. Without it, only what is under way counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(
        validation = Rule::new(at_least(GoDuration::from_secs(1)))
            .message("per of a budget must be at least 1s; leave it out to limit only what is under way at once")
    )]
    pub per: Option<GoDuration>,

    /// When the budget begins to apply, as five cron fields or a macro such as `@daily`. Always, if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    #[x_kube(validation = Rule::new(CRON).message(CRON_MESSAGE))]
    pub schedule: Option<String>,

    /// For how long it applies from then on, such as `8h`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(
        validation = Rule::new(at_least(GoDuration::from_mins(1)))
            .message("duration of a budget must be at least 1m: it says for how long the budget applies after each time of its schedule")
    )]
    pub duration: Option<GoDuration>,

    /// The IANA time zone of the schedule, such as `Europe/Berlin`. UTC, if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub time_zone: Option<String>,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            name: "default".to_owned(),
            actions: Vec::new(),
            max: IntOrString::String("10%".to_owned()),
            per: Some(GoDuration::from_mins(10)),
            schedule: None,
            duration: None,
            time_zone: None,
        }
    }
}

/// A whole number, or a percentage. The upper bound of a number is far beyond what a policy selects.
fn amount_schema(_: &mut SchemaGenerator) -> Schema {
    // Not a regular expression: Kubernetes 1.29 charges each like one on megabytes of text, since the maximum length
    // does not count for what may be a number, too. 1.34 takes either.
    let percentages: Vec<String> = (0..=100)
        .map(|percent| format!("'{percent}%'"))
        .chain((0..10).map(|percent| format!("'0{percent}%'")))
        .collect();
    let percentages = percentages.join(",");
    json_schema!({
        "x-kubernetes-int-or-string": true,
        "maxLength": 32,
        "x-kubernetes-validations": [{
            "rule": format!("type(self) == int ? self >= 0 && self <= 1000000 : self in [{percentages}]"),
            "message": "max of a budget must be a whole number from 0 to 1000000, written without quotes, or a percentage from \"0%\" to \"100%\": such as 5 or \"10%\"",
        }],
    })
}

/// Five fields of the characters that cron knows, or a macro. Whether the values are in range, the controller finds out.
const CRON: &str = r"self.matches('^(@(yearly|annually|monthly|weekly|daily|midnight|hourly)|[-+*,/?#0-9A-Za-z]+([ \t]+[-+*,/?#0-9A-Za-z]+){4})$')";
const CRON_MESSAGE: &str = "schedule must have five cron fields (minute, hour, day of month, month, day of week), such as \"0 22 * * 1-5\", or be one of @hourly, @daily, @midnight, @weekly, @monthly, @yearly, @annually";

/// A span of time that comes again and again.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Window {
    /// `Allow`: actions may be done in it, and outside of all such windows they may not. `Deny`: actions may not be done
    /// in it.
    pub kind: WindowKind,

    /// The actions that it is about; all, if none is given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub actions: Vec<ActionType>,

    /// When it opens, as five cron fields or a macro such as `@daily`.
    #[schemars(length(min = 1, max = 128))]
    #[x_kube(validation = Rule::new(CRON).message(CRON_MESSAGE))]
    pub schedule: String,

    /// How long it stays open, such as `8h`.
    #[x_kube(
        validation = Rule::new(at_least(GoDuration::from_mins(1)))
            .message("duration of a window must be at least 1m: it says for how long the window stays open after each time of its schedule")
    )]
    pub duration: GoDuration,

    /// The IANA time zone of the schedule, such as `Europe/Berlin`. UTC, if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub time_zone: Option<String>,
}

/// What a window says.
#[derive(Serialize, Deserialize, JsonSchema, Display, AsRefStr, Debug, Clone, Copy, PartialEq, Eq)]
pub enum WindowKind {
    /// Actions may be done in it.
    Allow,
    /// Actions may not be done in it.
    Deny,
}

/// What must hold right before an action.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
pub struct Gates {
    /// How many Raft entries a peer that takes over may lack. A follower across regions always lacks those that are on
    /// their way to it, so that 0 holds back everything that is written to all the time.
    #[schemars(range(min = 0))]
    pub max_replica_lag: u32,

    /// Consumers with more messages that wait for an acknowledgement are held, and the moves of their streams. No limit,
    /// if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub max_ack_pending: Option<u32>,

    /// How long a leader must have led before it is asked to step down, such as `1m`.
    pub quiet_after_leader_change: GoDuration,

    /// How long a server must have been up before leaders are brought to it, such as `2m`.
    pub quiet_after_server_start: GoDuration,
}

impl Default for Gates {
    fn default() -> Self {
        Self {
            max_replica_lag: 256,
            max_ack_pending: None,
            quiet_after_leader_change: GoDuration::from_mins(1),
            quiet_after_server_start: GoDuration::from_mins(2),
        }
    }
}

/// When repeated failures stop all actions.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default = "CircuitBreaker::default")]
pub struct CircuitBreaker {
    /// So many failures within `within` stop all actions of the policy.
    #[schemars(range(min = 1, max = 100))]
    pub failures: u32,

    /// The span of time in which failures are counted, such as `30m`.
    #[x_kube(
        validation = Rule::new(at_least(GoDuration::from_secs(1)))
            .message("circuitBreaker.within must be at least 1s: in less time failures never add up")
    )]
    pub within: GoDuration,

    /// How long nothing is done then, such as `1h`. After that one action is tried; its success lets all others go on.
    #[x_kube(
        validation = Rule::new(at_least(GoDuration::from_secs(1)))
            .message("circuitBreaker.openFor must be at least 1s: a breaker that closes at once stops nothing")
    )]
    pub open_for: GoDuration,
}

impl Default for CircuitBreaker {
    fn default() -> Self {
        Self {
            failures: 3,
            within: GoDuration::from_mins(30),
            open_for: GoDuration::from_hours(1),
        }
    }
}

/// What the status reports.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
pub struct ReportSpec {
    /// Findings that the status lists at most, those with the greatest gain first. The rest is counted.
    #[schemars(range(min = 0, max = 200))]
    pub max_findings: u32,
}

impl Default for ReportSpec {
    fn default() -> Self {
        Self { max_findings: 20 }
    }
}
