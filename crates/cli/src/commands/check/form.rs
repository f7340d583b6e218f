//! The forms that streams and consumers are written in.

/// NACK's group of kinds.
pub const NACK: &str = "jetstream.nats.io";
/// The version of it that is stored.
pub const NACK_VERSION: &str = "jetstream.nats.io/v1beta2";
/// Another that the apiserver takes.
pub const NACK_OLD_VERSION: &str = "jetstream.nats.io/v1beta1";

/// The form that a definition is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `Stream` of NACK.
    NackStream,
    /// `KeyValue` of NACK.
    NackBucket,
    /// `ObjectStore` of NACK.
    NackStore,
    /// `Consumer` of NACK.
    NackConsumer,
    /// A stream's configuration.
    StreamConfig,
    /// A consumer's configuration.
    ConsumerConfig,
}

impl Form {
    /// The kinds of NACK that define something.
    pub const NACK: [(&'static str, Self); 4] = [
        ("Stream", Self::NackStream),
        ("Consumer", Self::NackConsumer),
        ("KeyValue", Self::NackBucket),
        ("ObjectStore", Self::NackStore),
    ];

    /// Of a kind of NACK.
    pub fn of_kind(kind: &str) -> Option<Self> {
        Self::NACK
            .into_iter()
            .find(|(known, _)| *known == kind)
            .map(|(_, form)| form)
    }

    /// The JSON pointer of the configuration.
    pub fn base(self) -> &'static str {
        match self {
            Self::NackStream | Self::NackBucket | Self::NackStore | Self::NackConsumer => "/spec",
            Self::StreamConfig | Self::ConsumerConfig => "",
        }
    }

    /// Where its name is.
    pub fn name(self) -> &'static str {
        match self {
            Self::NackStream => "/spec/name",
            Self::NackBucket | Self::NackStore => "/spec/bucket",
            Self::NackConsumer => "/spec/durableName",
            Self::StreamConfig => "/name",
            Self::ConsumerConfig => "/durable_name",
        }
    }

    /// Where its replicas are.
    pub fn replicas(self) -> &'static str {
        match self {
            Self::NackStream | Self::NackBucket | Self::NackStore | Self::NackConsumer => "/spec/replicas",
            Self::StreamConfig | Self::ConsumerConfig => "/num_replicas",
        }
    }

    /// Whether it can have metadata of the stream or consumer; NACK accepts none for buckets.
    pub fn has_metadata(self) -> bool {
        self != Self::NackBucket
    }

    /// The fields that it may have at its base.
    pub fn fields(self) -> impl Iterator<Item = &'static str> {
        let lists: [&[&str]; 2] = match self {
            Self::NackStream => [&NACK_ALL, &NACK_STREAM],
            Self::NackBucket => [&NACK_ALL, &NACK_BUCKET],
            Self::NackStore => [&NACK_ALL, &NACK_STORE],
            Self::NackConsumer => [&NACK_ALL, &NACK_CONSUMER],
            Self::StreamConfig => [&BOTH, &STREAM],
            Self::ConsumerConfig => [&BOTH, &CONSUMER],
        };
        lists.into_iter().flatten().copied()
    }
}

/// Fields of a placement; `preferred` is for a leader, on servers from 2.11 on.
pub const PLACEMENT: [&str; 3] = ["cluster", "tags", "preferred"];
/// Fields of configurations of streams and consumers alike.
pub const BOTH: [&str; 4] = ["name", "description", "num_replicas", "metadata"];
/// Fields of a stream's configuration alone, up to 2.14.
pub const STREAM: [&str; 36] = [
    "subjects",
    "retention",
    "storage",
    "placement",
    "mirror",
    "sources",
    "max_consumers",
    "max_msgs",
    "max_bytes",
    "max_age",
    "max_msg_size",
    "max_msgs_per_subject",
    "discard",
    "discard_new_per_subject",
    "duplicate_window",
    "no_ack",
    "template_owner",
    "sealed",
    "deny_delete",
    "deny_purge",
    "allow_rollup_hdrs",
    "allow_direct",
    "mirror_direct",
    "republish",
    "subject_transform",
    "compression",
    "first_seq",
    "consumer_limits",
    "allow_msg_ttl",
    "subject_delete_marker_ttl",
    "allow_atomic",
    "allow_msg_counter",
    "allow_msg_schedules",
    "allow_batched",
    "persist_mode",
    "mirror_lag",
];
/// Fields of a consumer's configuration alone.
pub const CONSUMER: [&str; 31] = [
    "durable_name",
    "deliver_policy",
    "deliver_subject",
    "deliver_group",
    "ack_policy",
    "ack_wait",
    "max_deliver",
    "backoff",
    "filter_subject",
    "filter_subjects",
    "replay_policy",
    "opt_start_seq",
    "opt_start_time",
    "rate_limit_bps",
    "sample_freq",
    "max_waiting",
    "max_ack_pending",
    "max_batch",
    "max_expires",
    "max_bytes_per_batch",
    "inactive_threshold",
    "flow_control",
    "idle_heartbeat",
    "headers_only",
    "mem_storage",
    "direct",
    "pause_until",
    "priority_groups",
    "priority_policy",
    "priority_timeout",
    "stream_name",
];
/// Of every kind of NACK (deploy/crds.yml of its repository, as of April 2026).
const NACK_ALL: [&str; 13] = [
    "account",
    "servers",
    "creds",
    "nkey",
    "tls",
    "tlsFirst",
    "jsDomain",
    "preventDelete",
    "preventUpdate",
    "replicas",
    "description",
    "placement",
    "metadata",
];
const NACK_STREAM: [&str; 33] = [
    "name",
    "subjects",
    "retention",
    "storage",
    "mirror",
    "sources",
    "maxConsumers",
    "maxMsgs",
    "maxBytes",
    "maxAge",
    "maxMsgSize",
    "maxMsgsPerSubject",
    "discard",
    "discardPerSubject",
    "duplicateWindow",
    "noAck",
    "sealed",
    "denyDelete",
    "denyPurge",
    "allowRollup",
    "allowDirect",
    "mirrorDirect",
    "republish",
    "subjectTransform",
    "compression",
    "firstSequence",
    "consumerLimits",
    "allowMsgTtl",
    "subjectDeleteMarkerTtl",
    "persistMode",
    "allowAtomicPublish",
    "allowMsgCounter",
    "allowMsgSchedules",
];
const NACK_BUCKET: [&str; 11] = [
    "bucket",
    "history",
    "ttl",
    "maxBytes",
    "maxValueSize",
    "storage",
    "compression",
    "mirror",
    "sources",
    "republish",
    "limitMarkerTtl",
];
const NACK_STORE: [&str; 5] = ["bucket", "ttl", "maxBytes", "storage", "compression"];
const NACK_CONSUMER: [&str; 31] = [
    "streamName",
    "durableName",
    "name",
    "deliverPolicy",
    "deliverSubject",
    "deliverGroup",
    "ackPolicy",
    "ackWait",
    "maxDeliver",
    "backoff",
    "filterSubject",
    "filterSubjects",
    "replayPolicy",
    "optStartSeq",
    "optStartTime",
    "rateLimitBps",
    "sampleFreq",
    "maxWaiting",
    "maxAckPending",
    "maxRequestBatch",
    "maxRequestExpires",
    "maxRequestMaxBytes",
    "inactiveThreshold",
    "flowControl",
    "heartbeatInterval",
    "headersOnly",
    "memStorage",
    "pauseUntil",
    "priorityGroups",
    "priorityPolicy",
    "pinnedTtl",
];
