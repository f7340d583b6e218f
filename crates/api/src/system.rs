//! `NatsSystem`: one NATS deployment. The specification; the status is in `system_status`.
#![expect(
    clippy::duplicated_attributes,
    reason = "each column of kube's derive has the same parts"
)]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::{AsRefStr, Display};

use crate::{
    duration::{GoDuration, at_least},
    policy::{CredentialsRef, INBOX_PREFIX, INBOX_PREFIX_MESSAGE},
    system_status::NatsSystemStatus,
};

/// One NATS deployment: clusters joined by gateways, or one stretched cluster.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq)]
#[kube(
    group = "leeward.dev",
    version = "v1alpha1",
    kind = "NatsSystem",
    namespaced,
    status = "NatsSystemStatus",
    derive = "PartialEq",
    shortname = "natssys",
    category = "nats",
    doc = "One NATS deployment: clusters joined by gateways, or one stretched cluster.",
    printcolumn(
        name = "Servers",
        type_ = "string",
        description = "Servers that answered, of those expected",
        json_path = ".status.summary.servers"
    ),
    printcolumn(name = "Clusters", type_ = "integer", json_path = ".status.summary.clusters"),
    printcolumn(name = "Version", type_ = "string", json_path = ".status.summary.version"),
    printcolumn(name = "Policies", type_ = "integer", json_path = ".status.policies"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.servers.all(s, !s.startsWith('ws://')) || (!has(self.tls) && self.servers.all(s, !s.startsWith('tls://') && !s.startsWith('wss://')))")
        .message("servers must not have a ws:// URL beside tls, or beside a URL with TLS, since it goes without: write wss://")
        .field_path(".servers"),
)]
pub struct NatsSystemSpec {
    /// Where to connect: URLs with the schemes `nats`, `tls`, `ws` or `wss`, such as `tls://nats-east.example:4222`.
    /// One that can be reached is enough; with one of each location, who uses a busy stream is seen next to its leader. No
    /// other server is connected to, whatever the servers say of each other. Where one URL has TLS, or `tls` is given, all
    /// connections have it.
    #[schemars(length(min = 1, max = 32), inner(length(min = 1, max = 256)))]
    #[x_kube(
        merge_strategy = ListMerge::Set,
        validation = Rule::new("self.all(s, !s.contains('@'))")
            .message("servers must not contain a user or a password: put them into the Secret that credentialsRef names"),
        validation = Rule::new("self.all(s, s.contains('@') || s.matches('^(nats|tls|ws|wss)://([A-Za-z0-9_][A-Za-z0-9._-]*|[[][0-9A-Fa-f:.]+[]])(:[0-9]{1,5})?(/[^ ]*)?$'))")
            .message("servers must be URLs with the scheme nats, tls, ws or wss and a host, such as \"tls://nats.example:4222\""),
    )]
    pub servers: Vec<String>,

    /// How TLS connections are made. The system's usual certificate authorities are trusted, if it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,

    /// A user of the SYSTEM account, in a Secret of this object's namespace. Without it each policy sees the system with
    /// its own account's user, as far as that user may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials_ref: Option<CredentialsRef>,

    /// The first part of the subjects on which the system account's user is answered, if it is not `_INBOX`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    #[x_kube(validation = Rule::new(INBOX_PREFIX).message(INBOX_PREFIX_MESSAGE))]
    pub inbox_prefix: Option<String>,

    /// The namespaces whose policies may refer to this system.
    #[serde(default)]
    pub allowed_namespaces: AllowedNamespaces,

    /// How often everything is looked at, such as `30s`; at least `5s`. Events are followed in between.
    #[serde(default = "default_observe_interval")]
    #[x_kube(
        validation = Rule::new(at_least(GoDuration::from_secs(5)))
            .message("observeInterval must be at least 5s: events are followed in between anyway")
    )]
    pub observe_interval: GoDuration,

    /// Operations that may be under way at once, over all policies of the system.
    #[serde(default)]
    pub limits: LimitsSpec,

    /// The halt switch: while it is true, no policy of this system acts. Reports go on.
    #[serde(default)]
    pub suspend: bool,
}

fn default_observe_interval() -> GoDuration {
    GoDuration::from_secs(30)
}

/// How TLS connections are made.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, PartialEq, Eq, Default)]
#[serde(rename_all = "camelCase")]
pub struct Tls {
    /// Certificate authorities to trust, in PEM, in a Secret of this object's namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_ref: Option<CaRef>,

    /// A Secret of type `kubernetes.io/tls` in this object's namespace with the certificate that the system account's user
    /// shows to the servers. Policies do not: each brings its own in the Secret of its `credentialsRef`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_certificate_ref: Option<CertificateRef>,

    /// Whether TLS starts before the server says anything, as servers with `handshake_first` ask.
    #[serde(default)]
    pub handshake_first: bool,
}

/// Names a Secret with certificate authorities.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct CaRef {
    /// The name of the Secret.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,

    /// The key in the Secret.
    #[serde(default = "default_ca_key")]
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}

fn default_ca_key() -> String {
    "ca.crt".to_owned()
}

/// Names a Secret of type `kubernetes.io/tls`.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct CertificateRef {
    /// The name of the Secret.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// The namespaces whose policies may refer to a system.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Default)]
#[serde(rename_all = "camelCase", default = "AllowedNamespaces::default")]
#[x_kube(
    validation = Rule::new("self.from != 'Selector' || has(self.selector)")
        .message("allowedNamespaces.selector is required when from is Selector: say which labels the namespaces have")
        .field_path(".selector")
        .reason(Reason::FieldValueRequired),
    validation = Rule::new("self.from == 'Selector' || !has(self.selector)")
        .message("allowedNamespaces.selector is only read when from is Selector: set from to Selector, or remove the selector")
        .field_path(".selector")
        .reason(Reason::FieldValueForbidden),
)]
pub struct AllowedNamespaces {
    /// `Same`: only this object's namespace. `All`: every namespace. `Selector`: those whose labels match `selector`.
    pub from: NamespacesFrom,

    /// Labels of the namespaces; given exactly with `from: Selector`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[x_kube(merge_strategy = MapMerge::Atomic)]
    pub selector: Option<LabelSelector>,
}

/// Which namespaces are meant.
#[derive(
    Serialize, Deserialize, JsonSchema, Display, AsRefStr, Debug, Clone, Copy, PartialEq, Eq, Default,
)]
pub enum NamespacesFrom {
    /// Only the object's own.
    #[default]
    Same,
    /// Every one.
    All,
    /// Those whose labels match the selector.
    Selector,
}

/// Operations that may be under way at once, over all policies of a system.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
pub struct LimitsSpec {
    /// Step-downs of streams and consumers. At most half of them go to one server.
    #[schemars(range(min = 1))]
    pub step_downs: u32,

    /// Moves of streams; each copies a stream's data. Streams of more than 8 MiB begin to move one after the other. Where several
    /// accounts have policies, the moves of one account leave one of two or more places to the others.
    #[schemars(range(min = 1))]
    pub moves: u32,
}

impl Default for LimitsSpec {
    fn default() -> Self {
        Self {
            step_downs: 16,
            moves: 4,
        }
    }
}
