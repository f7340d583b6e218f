//! Budgets, windows and the circuit breaker as numbers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use leeward_api::policy_status::BreakerState;
use leeward_core::limits::Limits;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::{PolicyLabels, table};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BudgetLabels {
    namespace: String,
    policy: String,
    budget: String,
}

impl BudgetLabels {
    fn new(policy: &PolicyLabels, budget: &str) -> Self {
        let PolicyLabels { namespace, policy } = policy.clone();
        Self {
            namespace,
            policy,
            budget: budget.to_owned(),
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct LimitMetrics {
    allowed: Family<BudgetLabels, Gauge>,
    used: Family<BudgetLabels, Gauge>,
    window_open: Family<PolicyLabels, Gauge>,
    breaker_open: Family<PolicyLabels, Gauge>,
    /// Budgets on the page, to remove them again.
    names: Mutex<BTreeMap<PolicyLabels, BTreeSet<String>>>,
}

impl LimitMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        table::BUDGET_ALLOWED.register(registry, self.allowed.clone());
        table::BUDGET_USED.register(registry, self.used.clone());
        table::WINDOW_OPEN.register(registry, self.window_open.clone());
        table::BREAKER_OPEN.register(registry, self.breaker_open.clone());
    }

    pub(super) fn set(&self, policy: &PolicyLabels, limits: &Limits) {
        let present: BTreeSet<String> = limits.budgets.iter().map(|budget| budget.name.clone()).collect();
        let before = self
            .names()
            .insert(policy.clone(), present.clone())
            .unwrap_or_default();
        for gone in before.difference(&present) {
            self.forget_budget(policy, gone);
        }
        for budget in &limits.budgets {
            let labels = BudgetLabels::new(policy, &budget.name);
            self.allowed.get_or_create(&labels).set(budget.allowed);
            self.used.get_or_create(&labels).set(budget.used);
        }
        let open = limits.windows.as_ref().is_none_or(|windows| windows.open);
        self.window_open.get_or_create(policy).set(open.into());
        let stopped = limits
            .breaker
            .as_ref()
            .is_some_and(|breaker| breaker.state == BreakerState::Open);
        self.breaker_open.get_or_create(policy).set(stopped.into());
    }

    pub(super) fn forget(&self, policy: &PolicyLabels) {
        for budget in self.names().remove(policy).unwrap_or_default() {
            self.forget_budget(policy, &budget);
        }
        self.window_open.remove(policy);
        self.breaker_open.remove(policy);
    }

    fn forget_budget(&self, policy: &PolicyLabels, budget: &str) {
        let labels = BudgetLabels::new(policy, budget);
        self.allowed.remove(&labels);
        self.used.remove(&labels);
    }

    fn names(&self) -> std::sync::MutexGuard<'_, BTreeMap<PolicyLabels, BTreeSet<String>>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
