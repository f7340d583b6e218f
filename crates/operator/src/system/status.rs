//! The status of a system from what its observer saw. Pure.
//!
//! What cannot be seen now keeps its last value: the conditions show that it is old.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use leeward_api::system_status::{
    ClusterStatus, MAX_CLUSTERS, MAX_ROUND_TRIPS, MAX_VERSIONS, NatsSystemStatus, RoundTrip, ServerCounts,
    SystemSummary,
};
use leeward_api::vocabulary::{ConnectedReason, ObservedReason, SystemCondition, SystemReadyReason};
use leeward_core::refusal::may_not;
use leeward_core::report::unseen;
use leeward_core::snapshot::Gap;
use leeward_core::time::elapsed;
use leeward_engine::condition::{Conditions, ReasonMessage};
use leeward_engine::runner::stale_after;
use leeward_nats::{CertificateProblem, ConnectProblem, ConnectionState, ObserverRights, SystemStatus};

/// An observation that is older than this many intervals is stale.
const STALE_INTERVALS: u32 = 3;

/// Everything that a status is made of.
#[derive(Clone, Debug)]
pub struct SystemStatusInput<'a> {
    /// The system's generation.
    pub generation: Option<i64>,
    /// How often it is observed.
    pub interval: Duration,
    /// Policies that refer to it.
    pub policies: usize,
    /// What can be seen.
    pub observation: SystemObservation<'a>,
}

/// What can be seen of a system.
#[derive(Clone, Debug)]
pub enum SystemObservation<'a> {
    /// Nothing, for this reason.
    Unreachable(ReasonMessage<ConnectedReason>),
    /// There is no observer: each policy observes its own account.
    Tenant,
    /// What the observer saw.
    Seen(&'a SystemStatus),
}

impl SystemStatusInput<'_> {
    /// Whether it is connected, servers expected, and servers that answered; `None` where no observer is wanted.
    pub fn numbers(&self) -> Option<(bool, u32, u32)> {
        match &self.observation {
            SystemObservation::Tenant => None,
            SystemObservation::Unreachable(_) => Some((false, 0, 0)),
            SystemObservation::Seen(seen) => Some((
                seen.connection.is_connected(),
                seen.servers_expected,
                seen.servers_answered,
            )),
        }
    }
}

/// The status that follows from its inputs and the status so far.
pub fn build(
    previous: &NatsSystemStatus,
    status_input: &SystemStatusInput<'_>,
    now: Timestamp,
) -> NatsSystemStatus {
    let mut status = previous.clone();
    status.observed_generation = status_input.generation;
    status.conditions = conditions(&previous.conditions, status_input, now);
    status.policies = Some(i64::try_from(status_input.policies).unwrap_or(i64::MAX));
    match &status_input.observation {
        SystemObservation::Tenant => forget(&mut status),
        SystemObservation::Seen(seen) if seen.observed_at.is_some() => take_over(&mut status, seen),
        SystemObservation::Unreachable(_) | SystemObservation::Seen(_) => {}
    }
    if same(previous, &status) {
        status
            .last_observation_time
            .clone_from(&previous.last_observation_time);
    }
    status
}

/// Without an observer servers are not counted.
fn forget(status: &mut NatsSystemStatus) {
    status.servers = None;
    status.clusters.clear();
    status.round_trips.clear();
    status.summary = None;
    status.last_observation_time = None;
}

fn take_over(status: &mut NatsSystemStatus, seen: &SystemStatus) {
    status.servers = Some(ServerCounts {
        expected: seen.servers_expected.into(),
        answered: seen.servers_answered.into(),
    });
    status.clusters = seen.clusters.iter().take(MAX_CLUSTERS).map(cluster).collect();
    status.round_trips = round_trips(&status.round_trips, seen);
    status.summary = Some(summary(seen));
    status.last_observation_time = seen.observed_at.map(Time);
}

fn cluster(seen: &leeward_nats::ClusterStatus) -> ClusterStatus {
    ClusterStatus {
        name: seen.name.to_string(),
        servers: seen.servers.into(),
        versions: seen
            .versions
            .iter()
            .take(MAX_VERSIONS)
            .map(ToString::to_string)
            .collect(),
        connections: seen.connections.into(),
        stream_leaders: seen.stream_leaders.into(),
        consumer_leaders: seen.consumer_leaders.into(),
    }
}

/// Times always vary: one within a fifth or two milliseconds of the last one is no change.
fn round_trips(before: &[RoundTrip], seen: &SystemStatus) -> Vec<RoundTrip> {
    let steadied = |from: String, to: String, milliseconds: i64| {
        let last = before.iter().find(|trip| trip.from == from && trip.to == to);
        let near = |last: &&RoundTrip| {
            last.milliseconds.abs_diff(milliseconds) <= (last.milliseconds.unsigned_abs() / 5).max(2)
        };
        RoundTrip {
            milliseconds: last.filter(near).map_or(milliseconds, |last| last.milliseconds),
            from,
            to,
        }
    };
    seen.round_trips
        .iter()
        .take(MAX_ROUND_TRIPS)
        .map(|((from, to), time)| {
            let milliseconds = i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
            steadied(from.to_string(), to.to_string(), milliseconds)
        })
        .collect()
}

fn summary(seen: &SystemStatus) -> SystemSummary {
    let versions = || seen.clusters.iter().flat_map(|cluster| cluster.versions.iter());
    let version = match (versions().min(), versions().max()) {
        (Some(lowest), Some(highest)) if lowest != highest => format!("{lowest}–{highest}"),
        (Some(only), _) => only.to_string(),
        (None, _) => String::new(),
    };
    SystemSummary {
        servers: format!("{}/{}", seen.servers_answered, seen.servers_expected),
        clusters: i64::try_from(seen.clusters.len()).unwrap_or(i64::MAX),
        version,
    }
}

/// Whether two statuses differ in nothing but the time of the observation.
pub fn same(one: &NatsSystemStatus, other: &NatsSystemStatus) -> bool {
    let timeless = |status: &NatsSystemStatus| {
        let status = NatsSystemStatus {
            last_observation_time: None,
            ..status.clone()
        };
        // As it is stored: times in whole seconds.
        serde_json::to_value(status).ok()
    };
    timeless(one) == timeless(other)
}

fn conditions(
    previous: &[Condition],
    status_input: &SystemStatusInput<'_>,
    now: Timestamp,
) -> Vec<Condition> {
    let connected = connected(status_input);
    let observed = observed(previous, status_input, &connected, now);
    let ready = if !connected.holds() {
        ReasonMessage::new(
            SystemReadyReason::Connected(connected.reason),
            connected.message.as_str(),
        )
    } else if observed.holds() {
        ReasonMessage::new(SystemReadyReason::Ready, "policies can use the system")
    } else {
        ReasonMessage::new(
            SystemReadyReason::Observed(observed.reason),
            observed.message.as_str(),
        )
    };
    let mut conditions = Conditions::new(previous, status_input.generation, now);
    conditions.add(SystemCondition::Connected, &connected);
    conditions.add(SystemCondition::Observed, &observed);
    conditions.add(SystemCondition::Ready, &ready);
    conditions.finish()
}

fn connected(status_input: &SystemStatusInput<'_>) -> ReasonMessage<ConnectedReason> {
    let seen = match &status_input.observation {
        SystemObservation::Unreachable(verdict) => return verdict.clone(),
        SystemObservation::Tenant => {
            let text = "tenant mode: without credentialsRef each policy connects as its own account's user";
            return ReasonMessage::new(ConnectedReason::Connected, text);
        }
        SystemObservation::Seen(seen) => seen,
    };
    match &seen.connection {
        ConnectionState::Connecting => {
            ReasonMessage::new(ConnectedReason::Connecting, "the first connection is being made")
        }
        ConnectionState::Connected { .. } => rights(seen),
        ConnectionState::Disconnected { message } => ReasonMessage::new(
            ConnectedReason::Unreachable,
            format!("no server can be reached ({message}): {}", remedy(message)),
        ),
        ConnectionState::Refused { problem, message } => refused(*problem, message),
    }
}

fn remedy(message: &str) -> &'static str {
    match CertificateProblem::of(message) {
        Some(CertificateProblem::NotTrusted) => {
            "name the authority of the servers' certificates in tls.caRef"
        }
        Some(CertificateProblem::NoneShown) => {
            "the servers want a client certificate: name it in tls.clientCertificateRef, or in the Secret that credentialsRef \
             names where the user is taken from it"
        }
        None => "check servers and the network between",
    }
}

fn refused(problem: ConnectProblem, message: &str) -> ReasonMessage<ConnectedReason> {
    let (reason, remedy) = match problem {
        ConnectProblem::InvalidCredentials => (
            ConnectedReason::InvalidCredentials,
            "correct the Secret that credentialsRef names",
        ),
        ConnectProblem::InvalidTls => (
            ConnectedReason::TlsFailed,
            "check tls.caRef and the client certificate",
        ),
        ConnectProblem::InvalidServers => (ConnectedReason::Unreachable, "correct servers"),
    };
    ReasonMessage::new(reason, format!("{message}: {remedy}"))
}

fn rights(seen: &SystemStatus) -> ReasonMessage<ConnectedReason> {
    match &seen.rights {
        ObserverRights::Unknown | ObserverRights::System => {
            ReasonMessage::new(ConnectedReason::Connected, seen.connection.to_string())
        }
        ObserverRights::NotSystem { account } => {
            let whose = account
                .as_ref()
                .map_or_else(|| "another account".to_owned(), |name| format!("account {name}"));
            let text = format!(
                "the user belongs to {whose} and not to the system account: name a user of the system account in \
                 credentialsRef, or remove it for tenant mode"
            );
            ReasonMessage::new(ConnectedReason::InvalidCredentials, text)
        }
        ObserverRights::Denied { subject } => {
            let text = format!(
                "the user {}: allow it, or name a user of the system account if this one is not",
                may_not(subject)
            );
            ReasonMessage::new(ConnectedReason::PermissionDenied, text)
        }
    }
}

fn observed(
    previous: &[Condition],
    status_input: &SystemStatusInput<'_>,
    connected: &ReasonMessage<ConnectedReason>,
    now: Timestamp,
) -> ReasonMessage<ObservedReason> {
    let seen = match &status_input.observation {
        SystemObservation::Tenant => {
            let text = "tenant mode: each policy observes its own account; servers, clusters and round trips are not \
                        known here";
            return ReasonMessage::new(ObservedReason::Complete, text);
        }
        SystemObservation::Unreachable(_) => None,
        SystemObservation::Seen(seen) => Some(seen),
    };
    let Some(seen) = seen.filter(|_| connected.holds()) else {
        let reason = match connected.reason {
            ConnectedReason::Connecting => ObservedReason::WarmingUp,
            _ => ObservedReason::Disconnected,
        };
        return ReasonMessage::new(reason, "not observed while Connected is False");
    };
    if let Some(verdict) = unseen(&seen.gaps).map(|(reason, text)| ReasonMessage::new(reason, text)) {
        return while_it_may_pass(previous, seen, now, status_input.interval).unwrap_or(verdict);
    }
    let Some(at) = seen.observed_at else {
        return ReasonMessage::new(ObservedReason::WarmingUp, "the first look is under way");
    };
    if elapsed(at, now) > status_input.interval.saturating_mul(STALE_INTERVALS) {
        return ReasonMessage::new(ObservedReason::Stale, "the last complete observation is too old");
    }
    let text = format!("all {} servers answered", seen.servers_answered);
    ReasonMessage::new(ObservedReason::Complete, text)
}

/// The verdict on the last complete look, while a server may only be restarting.
fn while_it_may_pass(
    previous: &[Condition],
    seen: &SystemStatus,
    now: Timestamp,
    interval: Duration,
) -> Option<ReasonMessage<ObservedReason>> {
    let patience = stale_after(interval);
    let passes = seen.gaps.iter().all(Gap::may_pass)
        && seen
            .incomplete_since
            .is_some_and(|since| elapsed(since, now) < patience);
    let kind: &str = SystemCondition::Observed.as_ref();
    let before = previous.iter().find(|condition| condition.type_ == kind)?;
    (passes && before.reason == ObservedReason::Complete.as_ref())
        .then(|| ReasonMessage::new(ObservedReason::Complete, before.message.as_str()))
}

#[cfg(test)]
mod tests;
