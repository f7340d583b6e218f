//! What was sampled of who uses streams, and how much that explains.

use leeward_core::asset::AssetIx;
use leeward_core::evaluate::Evaluation;
use leeward_core::snapshot::AccountView;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use super::{Float, PolicyLabels, table};

#[derive(Debug, Default)]
pub(super) struct UsageMetrics {
    coverage: Family<PolicyLabels, Float>,
    samplings: Family<PolicyLabels, Counter>,
    messages: Family<PolicyLabels, Counter>,
}

impl UsageMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        table::USE_COVERAGE_RATIO.register(registry, self.coverage.clone());
        table::USE_SAMPLINGS.register(registry, self.samplings.clone());
        table::USE_SAMPLED_MESSAGES.register(registry, self.messages.clone());
    }

    pub(super) fn set(&self, policy: &PolicyLabels, evaluation: &Evaluation, view: &AccountView) {
        match coverage(evaluation, view) {
            Some(ratio) => {
                self.coverage.get_or_create(policy).set(ratio);
            }
            // Without samples the share is unknown, so the last one must not stay.
            None => self.rest(policy),
        }
    }

    pub(super) fn sampled(&self, policy: &PolicyLabels, messages: u32) {
        self.samplings.get_or_create(policy).inc();
        self.messages.get_or_create(policy).inc_by(messages.into());
    }

    pub(super) fn rest(&self, policy: &PolicyLabels) {
        self.coverage.remove(policy);
    }

    pub(super) fn forget(&self, policy: &PolicyLabels) {
        self.samplings.remove(policy);
        self.messages.remove(policy);
    }
}

/// The explained share of the messages of all streams whose own clients count; `None` where there are none.
fn coverage(evaluation: &Evaluation, view: &AccountView) -> Option<f64> {
    let (mut explained, mut all) = (0.0, 0.0);
    for (stream, at) in view.streams.iter().zip(0u32..) {
        let Some(home) = evaluation.homes.own(AssetIx::Stream(at)) else {
            continue;
        };
        let percent = home.used().and_then(|used| used.coverage_percent);
        let rate = f64::from(stream.message_rates());
        explained += rate * f64::from(percent.unwrap_or(0)) / 100.0;
        all += rate;
    }
    (all > 0.0).then(|| explained / all)
}
