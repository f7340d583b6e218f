//! `PlacementPolicy`: where one account's leaders belong. The specification; the status is in `policy_status`.
#![expect(
    clippy::duplicated_attributes,
    reason = "each column of kube's derive has the same parts"
)]

mod actions;
mod approval;
mod disruption;
mod home;
mod selection;

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::{AsRefStr, Display};

pub use actions::{Actions, OnManagedStream, StepDownSpec, StreamPlacement};
pub use approval::{Approval, AutoApprove};
pub use disruption::{Budget, CircuitBreaker, Disruption, Gates, ReportSpec, Window, WindowKind};
pub use home::{
    HomeScope, HomeSpec, HomeStrategy, OnNoMajority, SamplingSpec, TopologyKey, TopologySpec, WeightBy,
};
pub use selection::{ClientKind, Clients, ConsumerSelection, StreamSelection};

use crate::policy_status::PlacementPolicyStatus;

/// Where the leaders of one NATS account's streams and consumers belong, and what may be done to bring them there.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq)]
#[kube(
    group = "leeward.dev",
    version = "v1alpha1",
    kind = "PlacementPolicy",
    namespaced,
    status = "PlacementPolicyStatus",
    derive = "PartialEq",
    shortname = "plp",
    category = "nats",
    doc = "Where the leaders of one NATS account's streams and consumers belong, and what may be done to bring them there.",
    printcolumn(name = "Account", type_ = "string", json_path = ".status.account.name"),
    printcolumn(name = "Mode", type_ = "string", json_path = ".spec.mode"),
    printcolumn(name = "Home", type_ = "string", json_path = ".status.home.location"),
    printcolumn(name = "In-Place", type_ = "string", json_path = ".status.inPlace"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"InPlace\")].reason"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Share",
        type_ = "integer",
        description = "Percent of the clients that are in home",
        json_path = ".status.home.percent",
        priority = 1
    ),
    printcolumn(
        name = "Observed",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Observed\")].reason",
        priority = 1
    ),
    printcolumn(
        name = "Progressing",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Progressing\")].reason",
        priority = 1
    ),
    printcolumn(
        name = "Plan",
        type_ = "string",
        description = "The plan that waits or is carried out, in mode Propose",
        json_path = ".status.approval.plan",
        priority = 1
    ),
    printcolumn(
        name = "Budget",
        type_ = "string",
        description = "The tightest disruption budget: used of allowed",
        json_path = ".status.budget",
        priority = 1
    ),
    printcolumn(
        name = "Evaluated",
        type_ = "date",
        json_path = ".status.lastEvaluationTime",
        priority = 1
    )
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.topology.key != 'ServerTag' || !has(self.topology.tagPrefix) || !has(self.home.preferences) || self.home.preferences.all(p, p.startsWith(self.topology.tagPrefix))")
        .message("home.preferences must carry topology.tagPrefix when topology.key is ServerTag: write each as a whole tag, such as \"region:us-east\"")
        .field_path(".home.preferences"),
    validation = Rule::new("self.topology.key != 'ServerTag' || !has(self.topology.tagPrefix) || !has(self.home.exclude) || self.home.exclude.all(e, e.startsWith(self.topology.tagPrefix))")
        .message("home.exclude must carry topology.tagPrefix when topology.key is ServerTag: write each as a whole tag, such as \"region:us-east\"")
        .field_path(".home.exclude"),
    validation = Rule::new("self.mode == 'Observe' || self.actions.consumerStepDown.enabled || self.actions.streamStepDown.enabled || self.actions.consumerEvacuation.enabled || self.actions.streamPlacement.enabled")
        .message("actions has nothing enabled, which modes Propose and Enforce need: enable consumerStepDown, streamStepDown, consumerEvacuation or streamPlacement, or set mode to Observe")
        .field_path(".actions"),
)]
pub struct PlacementPolicySpec {
    /// The `NatsSystem` that the account belongs to.
    pub system_ref: SystemRef,

    /// A user of the account, in a Secret of the policy's namespace. Which account it is, the server tells.
    pub credentials_ref: CredentialsRef,

    /// The account's `JetStream` domain, if it has one: API requests then go to `$JS.<domain>.API`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    #[x_kube(
        validation = Rule::new(r"!self.matches('[ \t\n.*>]')")
            .message("jetStreamDomain must be one word without dots, wildcards or spaces, as in the servers' configuration: such as \"hub\"")
    )]
    pub jet_stream_domain: Option<String>,

    /// The first part of the subjects on which the account's user is answered, if it is not `_INBOX`: one that no other user
    /// of the account may subscribe or publish to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    #[x_kube(validation = Rule::new(INBOX_PREFIX).message(INBOX_PREFIX_MESSAGE))]
    pub inbox_prefix: Option<String>,

    /// What the policy may do: `Observe` looks and reports, `Propose` plans and does what a person approves, `Enforce` acts.
    #[serde(default)]
    pub mode: Mode,

    /// Stops acting while it is true. Reports go on.
    #[serde(default)]
    pub suspend: bool,

    /// Which of two policies wins where both select the same stream or consumer: the higher priority, then the older
    /// policy, then the name.
    #[serde(default)]
    pub priority: i32,

    /// What a location is.
    #[serde(default)]
    pub topology: TopologySpec,

    /// How the location in which the leaders belong is found.
    #[serde(default)]
    pub home: HomeSpec,

    /// Which client connections count.
    #[serde(default)]
    pub clients: Clients,

    /// Which streams the policy is for. All, if nothing is given.
    #[serde(default, skip_serializing_if = "StreamSelection::is_everything")]
    pub streams: StreamSelection,

    /// Which consumers of those streams the policy is for. All durable ones, if nothing is given.
    #[serde(default, skip_serializing_if = "ConsumerSelection::is_everything")]
    pub consumers: ConsumerSelection,

    /// What may be done to bring leaders home.
    #[serde(default)]
    pub actions: Actions,

    /// How plans are approved, in mode `Propose`.
    #[serde(default)]
    pub approval: Approval,

    /// How much may be done at once, how often, and when.
    #[serde(default)]
    pub disruption: Disruption,

    /// What the status reports.
    #[serde(default)]
    pub report: ReportSpec,

    /// What the `Ready` condition asks: `Evaluated`, that the policy is evaluated completely; `InPlace`, that every
    /// selected leader is in home as well.
    #[serde(default)]
    pub ready_when: ReadyWhen,

    /// Any text. A changed value clears exhausted attempts, contested streams and the circuit breaker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub reset_token: Option<String>,
}

/// One or more words of a subject. Those that begin with a dollar are the servers' own.
pub(crate) const INBOX_PREFIX: &str = "self.matches('^[^ \\t\\n.*>$][^ \\t\\n.*>]*([.][^ \\t\\n.*>]+)*$')";
pub(crate) const INBOX_PREFIX_MESSAGE: &str = "inboxPrefix must be words separated by dots, without wildcards or spaces, \
     and not begin with $: such as \"_INBOX_leeward\"";

/// What a policy may do.
#[derive(
    Serialize, Deserialize, JsonSchema, Display, AsRefStr, Debug, Clone, Copy, PartialEq, Eq, Default,
)]
pub enum Mode {
    /// Look and report.
    #[default]
    Observe,
    /// Plan, and do what a person approves.
    Propose,
    /// Act.
    Enforce,
}

/// What the `Ready` condition asks.
#[derive(
    Serialize, Deserialize, JsonSchema, Display, AsRefStr, Debug, Clone, Copy, PartialEq, Eq, Default,
)]
pub enum ReadyWhen {
    /// The policy is evaluated completely.
    #[default]
    Evaluated,
    /// Every selected leader is in home as well.
    InPlace,
}

/// Names a `NatsSystem`.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct SystemRef {
    /// The name of the `NatsSystem`.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,

    /// Its namespace; the policy's own, if not given. Another one must be allowed by the system's `allowedNamespaces`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub namespace: Option<String>,
}

/// Names a Secret with NATS credentials, in the namespace of the object that refers to it.
///
/// The Secret holds exactly one of: `user.creds` (a credentials file), `nkey` (a seed), `token`, `username` and
/// `password`, or `tls.crt` and `tls.key`; only these last two may stand beside another, for servers that ask every client
/// for a certificate.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct CredentialsRef {
    /// The name of the Secret.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,

    /// The key of a credentials file in the Secret, if it is not `user.creds`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub key: Option<String>,
}
