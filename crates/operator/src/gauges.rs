//! Numbers about the adapter itself, on the same page as the engine's.

use std::sync::atomic::AtomicU64;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use leeward_api::vocabulary::PolicyCondition;
use leeward_engine::metrics::{Metrics, PolicyLabels, table};
use leeward_engine::supervise;
use leeward_lease::LeaseMetrics;
use leeward_nats::requests::{self, RequestCount};
use prometheus_client::encoding::{EncodeLabelSet, EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;

use crate::key::Key;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SystemLabels {
    namespace: String,
    system: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ConditionLabels {
    namespace: String,
    policy: String,
    condition: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LeaseLabels {
    lease: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LeaseErrorLabels {
    lease: String,
    reason: &'static str,
}

type Float = Gauge<f64, AtomicU64>;

/// The requests to NATS, which the NATS adapter counts.
#[derive(Debug)]
struct Requests;

impl EncodeMetric for Requests {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), std::fmt::Error> {
        for RequestCount { api, result, number } in requests::counts() {
            let labels = [("api", api), ("result", result)];
            ConstCounter::new(number).encode(encoder.encode_family(&labels)?)?;
        }
        Ok(())
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Counter
    }

    fn is_empty(&self) -> bool {
        requests::counts().next().is_none()
    }
}

/// The tasks that panicked, which the engine counts.
#[derive(Debug)]
struct Panics;

impl EncodeMetric for Panics {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), std::fmt::Error> {
        for (task, number) in supervise::panics() {
            ConstCounter::new(number).encode(encoder.encode_family(&[("task", task)])?)?;
        }
        Ok(())
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Counter
    }

    // Zeros too, so that the first one is an increase.
    fn is_empty(&self) -> bool {
        false
    }
}

/// The conditions that have a gauge; `Progressing` and `Degraded` have metrics of their own.
const CONDITIONS: [PolicyCondition; 6] = [
    PolicyCondition::Accepted,
    PolicyCondition::ResolvedRefs,
    PolicyCondition::Observed,
    PolicyCondition::InPlace,
    PolicyCondition::Approved,
    PolicyCondition::Ready,
];

/// Gauges per system, per policy and per lease.
#[derive(Clone, Debug, Default)]
pub struct Gauges {
    expected: Family<SystemLabels, Gauge>,
    answered: Family<SystemLabels, Gauge>,
    connected: Family<SystemLabels, Gauge>,
    conditions: Family<ConditionLabels, Gauge>,
    plan_waits: Family<PolicyLabels, Float>,
    lease_held: Family<LeaseLabels, Gauge>,
    lease_errors: Family<LeaseErrorLabels, Counter>,
}

impl Gauges {
    /// Adds them to the page, with the version of this build.
    pub fn register(metrics: &Metrics) -> Self {
        let gauges = Self::default();
        let added = gauges.clone();
        metrics.register_with(|registry| {
            table::SERVERS_EXPECTED.register(registry, added.expected);
            table::SERVERS_ANSWERED.register(registry, added.answered);
            table::NATS_CONNECTED.register(registry, added.connected);
            table::POLICY_CONDITION.register(registry, added.conditions);
            table::PLAN_PROPOSED.register(registry, added.plan_waits);
            table::LEASE_HELD.register(registry, added.lease_held);
            table::LEASE_ERRORS.register(registry, added.lease_errors);
            table::NATS_REQUESTS.register(registry, Requests);
            table::PANICS.register(registry, Panics);
            let start = Float::default();
            start.set(Timestamp::now().as_duration().as_secs_f64());
            table::START.register(registry, start);
            let build = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
            table::BUILD.register(registry, build);
        });
        gauges
    }

    /// Sets the numbers of a system.
    pub fn set(&self, system: &Key, connected: bool, expected: u32, answered: u32) {
        let labels = labels(system);
        self.connected.get_or_create(&labels).set(connected.into());
        self.expected.get_or_create(&labels).set(expected.into());
        self.answered.get_or_create(&labels).set(answered.into());
    }

    /// Sets whether the conditions of a policy hold, for those that exist.
    pub fn set_conditions(&self, policy: &Key, conditions: &[Condition]) {
        for kind in CONDITIONS {
            let labels = condition_labels(policy, kind);
            match conditions
                .iter()
                .find(|condition| condition.type_ == labels.condition)
            {
                Some(condition) => {
                    let holds = condition.status == "True";
                    self.conditions.get_or_create(&labels).set(holds.into());
                }
                None => {
                    self.conditions.remove(&labels);
                }
            }
        }
    }

    /// Forgets a policy that is gone, or that another replica is the leader of.
    pub fn forget_policy(&self, policy: &Key) {
        self.set_conditions(policy, &[]);
        self.set_plan_waits(policy, None);
    }

    /// Sets since when a plan of a policy waits for a person, if one does.
    pub fn set_plan_waits(&self, policy: &Key, since: Option<Timestamp>) {
        let labels = PolicyLabels {
            namespace: policy.namespace.clone(),
            policy: policy.name.clone(),
        };
        match since {
            Some(since) => {
                let gauge = self.plan_waits.get_or_create(&labels);
                gauge.set(since.as_duration().as_secs_f64());
            }
            None => {
                self.plan_waits.remove(&labels);
            }
        }
    }

    /// Forgets a system.
    pub fn remove(&self, system: &Key) {
        let labels = labels(system);
        self.connected.remove(&labels);
        self.expected.remove(&labels);
        self.answered.remove(&labels);
    }
}

impl LeaseMetrics for Gauges {
    fn set_held(&self, lease: &str, is_held: bool) {
        let lease = lease.to_owned();
        let labels = LeaseLabels { lease };
        self.lease_held.get_or_create(&labels).set(is_held.into());
    }

    fn count_error(&self, lease: &str, reason: &'static str) {
        let lease = lease.to_owned();
        let labels = LeaseErrorLabels { lease, reason };
        self.lease_errors.get_or_create(&labels).inc();
    }
}

fn condition_labels(policy: &Key, condition: PolicyCondition) -> ConditionLabels {
    ConditionLabels {
        namespace: policy.namespace.clone(),
        policy: policy.name.clone(),
        condition: condition.into(),
    }
}

fn labels(system: &Key) -> SystemLabels {
    SystemLabels {
        namespace: system.namespace.clone(),
        system: system.name.clone(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_page_has_a_systems_numbers_while_it_exists() {
        let metrics = Metrics::new();
        let gauges = Gauges::register(&metrics);
        let system = Key::new("nats", "prod");
        gauges.set(&system, true, 6, 5);
        let page = metrics.page().unwrap();
        let line = "leeward_servers_answered{namespace=\"nats\",system=\"prod\"} 5";
        assert!(page.contains(line), "{page}");
        assert!(page.contains("leeward_build_info{version="), "{page}");
        gauges.remove(&system);
        assert!(!metrics.page().unwrap().contains("prod"));
    }

    #[test]
    fn what_is_on_the_page_is_described_in_the_table() {
        let metrics = Metrics::new();
        let gauges = Gauges::register(&metrics);
        gauges.set(&Key::new("nats", "prod"), true, 6, 5);
        gauges.set_held("leeward", false);
        gauges.count_error("leeward", "forbidden");
        let page = metrics.classic_page().unwrap();
        let described: BTreeSet<String> = table::ALL.iter().map(|row| row.full_name()).collect();
        let helps = page
            .lines()
            .filter_map(|line| line.strip_prefix("# HELP ")?.split(' ').next());
        let shown: Vec<&str> = helps.collect();
        assert!(shown.len() > 6, "{page}");
        for name in shown {
            assert!(
                described.contains(name),
                "{name} is not in leeward_engine::metrics::table: add a row"
            );
        }
    }

    #[test]
    fn a_policy_has_its_conditions_on_the_page_while_this_replica_speaks_for_it() {
        let metrics = Metrics::new();
        let gauges = Gauges::register(&metrics);
        let policy = Key::new("apps", "nearby");
        let condition = |kind: &str, status: &str| Condition {
            last_transition_time: k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(Timestamp::UNIX_EPOCH),
            message: String::new(),
            observed_generation: None,
            reason: "Word".into(),
            status: status.into(),
            type_: kind.into(),
        };
        gauges.set_conditions(
            &policy,
            &[
                condition("Accepted", "True"),
                condition("ResolvedRefs", "Unknown"),
            ],
        );
        let page = metrics.page().unwrap();
        let of = |kind: &str| format!("{{namespace=\"apps\",policy=\"nearby\",condition=\"{kind}\"}}");
        assert!(page.contains(&format!("{} 1", of("Accepted"))), "{page}");
        assert!(page.contains(&format!("{} 0", of("ResolvedRefs"))), "{page}");
        assert!(!page.contains(&of("Ready")), "{page}");
        gauges.forget_policy(&policy);
        assert!(!metrics.page().unwrap().contains("nearby"));
    }

    #[test]
    fn a_lease_is_on_the_page_before_it_is_held() {
        let metrics = Metrics::new();
        let gauges = Gauges::register(&metrics);
        let has = |line: &str| metrics.page().unwrap().contains(line);
        gauges.set_held("leeward", false);
        assert!(has("leeward_lease_held{lease=\"leeward\"} 0"));
        gauges.set_held("leeward", true);
        assert!(has("leeward_lease_held{lease=\"leeward\"} 1"));
        gauges.count_error("leeward", "forbidden");
        assert!(has(
            "leeward_lease_errors_total{lease=\"leeward\",reason=\"forbidden\"} 1"
        ));
    }
}
