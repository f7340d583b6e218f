//! Numbers about the adapter itself, on the same page as the engine's.

use leeward_engine::metrics::Metrics;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
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
struct LeaseLabels {
    lease: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LeaseErrorLabels {
    lease: String,
    reason: &'static str,
}

/// Gauges per system and per lease.
#[derive(Clone, Debug, Default)]
pub struct Gauges {
    expected: Family<SystemLabels, Gauge>,
    answered: Family<SystemLabels, Gauge>,
    connected: Family<SystemLabels, Gauge>,
    lease_held: Family<LeaseLabels, Gauge>,
    lease_errors: Family<LeaseErrorLabels, Counter>,
}

/// The numbers of one lease.
#[derive(Clone, Debug)]
pub struct LeaseGauges {
    name: String,
    held: Gauge,
    errors: Family<LeaseErrorLabels, Counter>,
}

impl LeaseGauges {
    /// Sets whether this replica holds it.
    pub fn hold(&self, held: bool) {
        self.held.set(held.into());
    }

    /// Counts a call that failed.
    pub fn fail(&self, reason: &'static str) {
        let labels = LeaseErrorLabels {
            lease: self.name.clone(),
            reason,
        };
        self.errors.get_or_create(&labels).inc();
    }
}

impl Gauges {
    /// Adds them to the page, with the version of this build.
    pub fn register(metrics: &Metrics) -> Self {
        let gauges = Self::default();
        let added = gauges.clone();
        metrics.register_with(|registry| {
            registry.register(
                "servers_expected",
                "Servers of a system that should have answered",
                added.expected,
            );
            registry.register(
                "servers_answered",
                "Servers of a system that answered",
                added.answered,
            );
            registry.register(
                "nats_connected",
                "Whether a system's observer is connected",
                added.connected,
            );
            registry.register(
                "lease_held",
                "Whether this replica holds a lease, and so acts",
                added.lease_held,
            );
            registry.register(
                "lease_errors",
                "Calls to the Kubernetes API about a lease that failed",
                added.lease_errors,
            );
            let build = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
            registry.register("build", "The version that runs", build);
        });
        gauges
    }

    /// The numbers of a lease, which is not held yet.
    pub fn lease(&self, name: &str) -> LeaseGauges {
        let labels = LeaseLabels {
            lease: name.to_owned(),
        };
        let held = self.lease_held.get_or_create(&labels).clone();
        held.set(0);
        LeaseGauges {
            name: name.to_owned(),
            held,
            errors: self.lease_errors.clone(),
        }
    }

    /// Sets the numbers of a system.
    pub fn set(&self, system: &Key, connected: bool, expected: u32, answered: u32) {
        let labels = labels(system);
        self.connected.get_or_create(&labels).set(connected.into());
        self.expected.get_or_create(&labels).set(expected.into());
        self.answered.get_or_create(&labels).set(answered.into());
    }

    /// Forgets a system.
    pub fn remove(&self, system: &Key) {
        let labels = labels(system);
        self.connected.remove(&labels);
        self.expected.remove(&labels);
        self.answered.remove(&labels);
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
    fn a_lease_is_on_the_page_before_it_is_held() {
        let metrics = Metrics::new();
        let lease = Gauges::register(&metrics).lease("leeward");
        let has = |line: &str| metrics.page().unwrap().contains(line);
        assert!(has("leeward_lease_held{lease=\"leeward\"} 0"));
        lease.hold(true);
        assert!(has("leeward_lease_held{lease=\"leeward\"} 1"));
        lease.fail("forbidden");
        assert!(has(
            "leeward_lease_errors_total{lease=\"leeward\",reason=\"forbidden\"} 1"
        ));
    }
}
