//! Every metric of the operator as data: name, kind, unit, labels and help.
//!
//! The page and `docs/metrics.md` are made from this one table. Labels hold names of policies, systems, locations,
//! budgets and leases, and closed vocabularies, never names of streams, consumers or servers: the number of series does
//! not grow with the number of assets. That the page has these metrics and no others is tested where it is served.

use prometheus_client::registry::{Metric, Registry, Unit};

/// What every metric's name begins with.
pub const PREFIX: &str = "leeward";

/// What a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::Display)]
#[strum(serialize_all = "lowercase")]
pub enum MetricKind {
    /// A number that goes up and down.
    Gauge,
    /// A number that only goes up while the process lives; its name ends in `_total`.
    Counter,
    /// Counts by size, in `_bucket`, `_sum` and `_count`.
    Histogram,
    /// 1, with the information in the labels; its name ends in `_info`.
    Info,
}

/// The unit of a metric; its name ends in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricUnit {
    /// A plain number.
    Number,
    /// Seconds.
    Seconds,
    /// Bytes.
    Bytes,
}

/// One metric, described.
#[derive(Clone, Copy, Debug)]
pub struct MetricRow {
    /// Without prefix, unit and suffix.
    name: &'static str,
    /// What it is.
    pub kind: MetricKind,
    /// What it is measured in.
    pub measure: MetricUnit,
    /// Its labels; without `le` of histograms.
    pub labels: &'static [&'static str],
    /// Its help: a sentence without its full stop.
    pub help: &'static str,
}

impl MetricRow {
    /// The name that queries use; for a histogram the prefix of its three names.
    pub fn full_name(&self) -> String {
        let unit = match self.measure {
            MetricUnit::Number => "",
            MetricUnit::Seconds => "_seconds",
            MetricUnit::Bytes => "_bytes",
        };
        let suffix = match self.kind {
            MetricKind::Counter => "_total",
            MetricKind::Info => "_info",
            MetricKind::Gauge | MetricKind::Histogram => "",
        };
        format!("{PREFIX}_{}{unit}{suffix}", self.name)
    }

    /// Puts a metric on the page under this name.
    pub fn register(&self, registry: &mut Registry, metric: impl Metric) {
        match self.measure {
            MetricUnit::Number => registry.register(self.name, self.help, metric),
            MetricUnit::Seconds => registry.register_with_unit(self.name, self.help, Unit::Seconds, metric),
            MetricUnit::Bytes => registry.register_with_unit(self.name, self.help, Unit::Bytes, metric),
        }
    }
}

const fn row(
    kind: MetricKind,
    name: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
) -> MetricRow {
    MetricRow {
        name,
        kind,
        measure: MetricUnit::Number,
        labels,
        help,
    }
}

const fn gauge(name: &'static str, labels: &'static [&'static str], help: &'static str) -> MetricRow {
    row(MetricKind::Gauge, name, labels, help)
}

const fn counter(name: &'static str, labels: &'static [&'static str], help: &'static str) -> MetricRow {
    row(MetricKind::Counter, name, labels, help)
}

const fn histogram(name: &'static str, labels: &'static [&'static str], help: &'static str) -> MetricRow {
    row(MetricKind::Histogram, name, labels, help).seconds()
}

impl MetricRow {
    const fn seconds(mut self) -> Self {
        self.measure = MetricUnit::Seconds;
        self
    }

    const fn bytes(mut self) -> Self {
        self.measure = MetricUnit::Bytes;
        self
    }
}

const POLICY: &[&str] = &["namespace", "policy"];
const ACTION: &[&str] = &["namespace", "policy", "action"];
const REASON: &[&str] = &["namespace", "policy", "reason"];
const BUDGET: &[&str] = &["namespace", "policy", "budget"];
const SYSTEM: &[&str] = &["namespace", "system"];

/// Assets by state.
pub const ASSETS: MetricRow = gauge(
    "assets",
    &["namespace", "policy", "kind", "state"],
    "Selected streams and consumers by kind (stream, consumer) and state: in_place, misplaced (it can be brought home), \
     held (a reason stands against that now) or ignored. Counted in Observe as in Enforce",
);
/// Held assets by reason.
pub const HELD_ASSETS: MetricRow = gauge(
    "held_assets",
    REASON,
    "Held streams and consumers by the reason that stands against bringing them home",
);
/// The longest time an asset has been misplaced.
pub const MISPLACED_OLDEST: MetricRow = gauge(
    "misplaced_oldest",
    POLICY,
    "How long the asset has been away from home that has been so the longest; those are left out that a policy's choice or \
     a hard reason holds. It goes on growing while nothing complete is seen, and is 0 when nothing is away",
)
.seconds();
/// The share in place.
pub const IN_PLACE_RATIO: MetricRow = gauge(
    "in_place_ratio",
    POLICY,
    "Share of judged leaders in home, from 0 to 1; absent while there is no home",
);
/// Where leaders are.
pub const LEADERS: MetricRow = gauge(
    "leaders",
    &["namespace", "policy", "kind", "location"],
    "Leaders of selected assets by kind (stream, consumer) and location",
);
/// Where clients are.
pub const CLIENTS: MetricRow = gauge(
    "clients",
    &["namespace", "policy", "location"],
    "Selected client connections by location",
);
/// How much of the use of streams is known.
pub const USE_COVERAGE_RATIO: MetricRow = gauge(
    "use_coverage_ratio",
    POLICY,
    "Share of the messages of selected streams whose clients are known from samples, from 0 to 1; absent where nothing is \
     sampled (home.scope: Account, or all clients in one location)",
);
/// How often streams were sampled.
pub const USE_SAMPLINGS: MetricRow = counter(
    "use_samplings",
    POLICY,
    "How often it was sampled who uses a stream",
);
/// How much was sampled.
pub const USE_SAMPLED_MESSAGES: MetricRow = counter(
    "use_sampled_messages",
    POLICY,
    "Messages and requests of clients that were received to find out who uses streams",
);
/// What crosses gateways.
pub const GATEWAY_BYTES_RATIO: MetricRow = gauge(
    "gateway_bytes_ratio",
    POLICY,
    "Share of the account's bytes that crosses gateways, from 0 to 1; absent where it is not known",
);
/// What a policy may do.
pub const POLICY_MODE: MetricRow = gauge(
    "policy_mode",
    &["namespace", "policy", "mode"],
    "1 with the policy's mode: Observe, Propose, Enforce or Suspended",
);
/// Why a policy is degraded.
pub const POLICY_DEGRADED: MetricRow = gauge(
    "policy_degraded",
    REASON,
    "1 with the reason of the policy's condition Degraded while that is True; absent while nothing keeps going wrong",
);
/// The conditions of a policy.
pub const POLICY_CONDITION: MetricRow = gauge(
    "policy_condition",
    &["namespace", "policy", "condition"],
    "Whether a condition of the policy is True (1) or not (0): Accepted, ResolvedRefs, Observed, InPlace, Approved (in mode Propose) or Ready",
);
/// Which plan waits.
pub const PLAN_PROPOSED: MetricRow = gauge(
    "plan_proposed_timestamp",
    POLICY,
    "Since when a plan waits for a person's approval, as a Unix time; absent while none does",
)
.seconds();
/// How old the view is.
pub const SNAPSHOT_AGE: MetricRow =
    gauge("snapshot_age", POLICY, "Age of the view that the last round read").seconds();
/// What a round costs.
pub const ROUND_DURATION: MetricRow = histogram("round_duration", POLICY, "Time to evaluate and plan");
/// What was done.
pub const ACTIONS: MetricRow = counter(
    "actions",
    &["namespace", "policy", "action", "result", "reason"],
    "Operations that ended, by action, result, and the reason of what did not succeed (empty where none fits)",
);
/// How long it took.
pub const ACTION_DURATION: MetricRow = histogram(
    "action_duration",
    ACTION,
    "Time from the check before a request to its proof",
);
/// What was copied.
pub const MOVED: MetricRow = counter(
    "moved",
    POLICY,
    "Bytes of streams that were moved, each replica counted",
)
.bytes();
/// What is under way.
pub const OPERATIONS_IN_FLIGHT: MetricRow = gauge("operations_in_flight", ACTION, "Operations under way");
/// The oldest start.
pub const OPERATION_OLDEST_START: MetricRow = gauge(
    "operation_oldest_start_timestamp",
    ACTION,
    "When the operation began that has been under way the longest, as a Unix time; absent while there is none",
)
.seconds();
/// What a budget allows.
pub const BUDGET_ALLOWED: MetricRow = gauge("budget_allowed", BUDGET, "What a disruption budget allows now");
/// What of a budget is used.
pub const BUDGET_USED: MetricRow = gauge("budget_used", BUDGET, "What of a disruption budget is used");
/// Whether a window is open.
pub const WINDOW_OPEN: MetricRow = gauge(
    "window_open",
    POLICY,
    "Whether maintenance windows let any action be done (1) or none (0)",
);
/// Whether the breaker is open.
pub const BREAKER_OPEN: MetricRow = gauge(
    "breaker_open",
    POLICY,
    "Whether repeated failures stop all actions (1) or not (0)",
);
/// Whether NATS is connected.
pub const NATS_CONNECTED: MetricRow = gauge(
    "nats_connected",
    SYSTEM,
    "Whether this replica's observer of a system is connected (1) or not (0); a system in tenant mode has none",
);
/// Servers that should answer.
pub const SERVERS_EXPECTED: MetricRow = gauge(
    "servers_expected",
    SYSTEM,
    "Servers of a system that should have answered",
);
/// Servers that answered.
pub const SERVERS_ANSWERED: MetricRow =
    gauge("servers_answered", SYSTEM, "Servers of a system that answered");
/// Requests to NATS.
pub const NATS_REQUESTS: MetricRow = counter(
    "nats_requests",
    &["api", "result"],
    "Requests to NATS by what was asked, such as JSZ or STREAM.INFO, and what came of it: answered (also with an error), \
     denied, no_responders, timeout, interrupted or unreadable",
);
/// Leases held.
pub const LEASE_HELD: MetricRow = gauge(
    "lease_held",
    &["lease"],
    "Whether this replica holds a lease, and so acts: on all systems, or on those of a shard. With more than one shard there \
     is one more, of the member that it is",
);
/// Errors of leader election.
pub const LEASE_ERRORS: MetricRow = counter(
    "lease_errors",
    &["lease", "reason"],
    "Calls to the Kubernetes API about a lease that failed",
);
/// Tasks that panicked.
pub const PANICS: MetricRow = counter(
    "panics",
    &["task"],
    "Tasks that broke off and were begun anew, by what they are for: connection, account, observation, advisories, policy, \
     operation, reconcile or process, a defect of Leeward each time, or nats_client, where a server sent what the NATS client \
     library cannot read",
);
/// When this process began.
pub const START: MetricRow = gauge(
    "start_timestamp",
    &[],
    "When this process started, as a Unix time",
)
.seconds();
/// The version that runs.
pub const BUILD: MetricRow = row(MetricKind::Info, "build", &["version"], "The version that runs");

/// All of them, in the order of the documentation.
pub const ALL: [&MetricRow; 34] = [
    &ASSETS,
    &HELD_ASSETS,
    &MISPLACED_OLDEST,
    &IN_PLACE_RATIO,
    &LEADERS,
    &CLIENTS,
    &USE_COVERAGE_RATIO,
    &USE_SAMPLINGS,
    &USE_SAMPLED_MESSAGES,
    &GATEWAY_BYTES_RATIO,
    &POLICY_MODE,
    &POLICY_DEGRADED,
    &POLICY_CONDITION,
    &PLAN_PROPOSED,
    &SNAPSHOT_AGE,
    &ROUND_DURATION,
    &ACTIONS,
    &ACTION_DURATION,
    &MOVED,
    &OPERATIONS_IN_FLIGHT,
    &OPERATION_OLDEST_START,
    &BUDGET_ALLOWED,
    &BUDGET_USED,
    &WINDOW_OPEN,
    &BREAKER_OPEN,
    &NATS_CONNECTED,
    &SERVERS_EXPECTED,
    &SERVERS_ANSWERED,
    &NATS_REQUESTS,
    &LEASE_HELD,
    &LEASE_ERRORS,
    &PANICS,
    &START,
    &BUILD,
];
