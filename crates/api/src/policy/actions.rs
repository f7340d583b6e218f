//! What a policy may do.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::{AsRefStr, Display};

use crate::{
    duration::{GoDuration, at_least},
    quantity::{ParseQuantityError, byte_quantity_schema, parse_bytes},
};

/// What may be done to bring leaders home.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, PartialEq, Default)]
#[serde(rename_all = "camelCase", default)]
pub struct Actions {
    /// Asking a consumer's leader to step down in favour of a peer in home.
    pub consumer_step_down: StepDownSpec,

    /// Asking a stream's leader to step down in favour of a peer in home.
    pub stream_step_down: StepDownSpec,

    /// Evacuating the server of a consumer that has one replica while its stream has more (servers from 2.15 on): the
    /// servers choose another peer of the stream, so it is repeated until that is one in home. A client whose pull waits
    /// at that moment is told nothing: it pulls again when its request expires or its heartbeats are missed, after 30 s
    /// to 45 s with the defaults of some clients. Off by default for that reason.
    pub consumer_evacuation: ConsumerEvacuation,

    /// Editing a stream's placement, so that the servers move its replicas to home. Everything else in the stream's
    /// configuration stays as it is. A move copies the stream's data.
    pub stream_placement: StreamPlacement,
}

/// Whether a kind of step-down may be done.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
pub struct StepDownSpec {
    /// Whether it may be done.
    pub enabled: bool,
}

impl Default for StepDownSpec {
    fn default() -> Self {
        Self { enabled: true }
    }
}

/// Whether consumers with one replica may be evacuated.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, Copy, PartialEq, Eq, Default)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsumerEvacuation {
    /// Whether it may be done.
    pub enabled: bool,
}

/// Whether and how a stream's placement may be edited.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq)]
#[serde(rename_all = "camelCase", default = "StreamPlacement::default")]
pub struct StreamPlacement {
    /// Whether it may be done.
    pub enabled: bool,

    /// How long a move may take before it is reported as timed out, such as `1h`; at least `1m`.
    #[x_kube(
        validation = Rule::new(at_least(GoDuration::from_mins(1)))
            .message("actions.streamPlacement.timeout must be at least 1m: a move copies the stream's data")
    )]
    pub timeout: GoDuration,

    /// The largest stream that is moved, as a quantity of bytes such as `10Gi`. Larger ones are held. No limit, if not
    /// given.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "byte_quantity_schema")]
    pub max_bytes: Option<Quantity>,

    /// The longest that a move may block a stream's writes, such as `10s`. Servers up to 2.14 block the writes of a
    /// replicated stream while its data is copied; where that is expected to take longer, the stream is held.
    pub max_stall: GoDuration,

    /// Whether mirrors and sources of a moved stream that do not resume by themselves get their leader stepped down.
    pub refresh_dependents: bool,

    /// What becomes of a stream whose configuration belongs to another controller: one with a `Stream`, `KeyValue` or
    /// `ObjectStore` object of NACK, or one that nats-operator marked as its own.
    pub on_managed_stream: OnManagedStream,
}

/// What becomes of a stream whose configuration belongs to another controller.
#[derive(
    Serialize, Deserialize, JsonSchema, Display, AsRefStr, Debug, Clone, Copy, PartialEq, Eq, Default,
)]
pub enum OnManagedStream {
    /// It is not moved; the finding says what to write into the object.
    #[default]
    Skip,
    /// `spec.placement` of the object is patched, and its controller makes the edit. Only an object in the policy's
    /// namespace, and none that is applied by Argo CD, Flux, Helm or the like: there the finding has the patch to commit.
    PatchOwner,
    /// The stream is edited all the same. Where its controller undoes that twice, the stream is held as `Contested`.
    Override,
}

impl StreamPlacement {
    /// The largest stream that is moved, in bytes; `None` where there is no limit.
    pub fn max_bytes(&self) -> Result<Option<u64>, ParseQuantityError> {
        self.max_bytes
            .as_ref()
            .map(|quantity| parse_bytes(&quantity.0))
            .transpose()
    }
}

impl Default for StreamPlacement {
    fn default() -> Self {
        Self {
            enabled: true,
            timeout: GoDuration::from_hours(1),
            max_bytes: None,
            max_stall: GoDuration::from_secs(10),
            refresh_dependents: true,
            on_managed_stream: OnManagedStream::Skip,
        }
    }
}
