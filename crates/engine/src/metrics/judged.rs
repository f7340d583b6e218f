//! What a policy's last rounds judged, beyond counts: what is held and why, since when an asset is led from outside
//! home, what the policy may do, and what keeps failing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use leeward_api::policy_status::Finding as FindingStatus;
use leeward_api::vocabulary::{ActionType, DegradedReason, FindingReason, ReasonClass};
use leeward_core::asset::asset_name;
use leeward_core::evaluate::{Evaluation, Verdict};
use leeward_core::names::AssetName;
use leeward_core::policy::Mode;
use leeward_core::snapshot::AccountView;
use leeward_core::time::elapsed;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use strum::IntoEnumIterator as _;

use super::labels::{ActionKindLabels, kind_labels};
use super::{Float, PolicyLabels, table};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabels {
    namespace: String,
    policy: String,
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ModeLabels {
    namespace: String,
    policy: String,
    mode: &'static str,
}

const MODES: [Mode; 4] = [Mode::Observe, Mode::Propose, Mode::Enforce, Mode::Suspended];

/// The input of a round's judgement.
pub(crate) struct RoundNumbers<'a> {
    pub(crate) view: &'a AccountView,
    pub(crate) mode: Mode,
    /// The status's findings, which keep since when.
    pub(crate) findings: &'a [FindingStatus],
    pub(crate) now: Timestamp,
}

/// What is kept of a policy between rounds.
#[derive(Debug, Default)]
struct PolicySeries {
    /// Assets led from outside home, and since when; `None` before the first complete look.
    outside_home: Option<BTreeMap<AssetName, Timestamp>>,
    held: BTreeSet<FindingReason>,
}

#[derive(Debug, Default)]
pub(super) struct JudgedMetrics {
    held: Family<ReasonLabels, Gauge>,
    oldest: Family<PolicyLabels, Float>,
    mode: Family<ModeLabels, Gauge>,
    degraded: Family<ReasonLabels, Gauge>,
    since: Family<ActionKindLabels, Float>,
    kept: Mutex<BTreeMap<PolicyLabels, PolicySeries>>,
}

impl JudgedMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        table::HELD_ASSETS.register(registry, self.held.clone());
        table::MISPLACED_OLDEST.register(registry, self.oldest.clone());
        table::POLICY_MODE.register(registry, self.mode.clone());
        table::POLICY_DEGRADED.register(registry, self.degraded.clone());
        table::OPERATION_OLDEST_START.register(registry, self.since.clone());
    }

    pub(super) fn set(&self, policy: &PolicyLabels, evaluation: &Evaluation, judged: &RoundNumbers<'_>) {
        for mode in MODES {
            let labels = mode_labels(policy, mode);
            if mode == judged.mode {
                self.mode.get_or_create(&labels).set(1);
            } else {
                self.mode.remove(&labels);
            }
        }
        let mut all = self.kept();
        let kept = all.entry(policy.clone()).or_default();
        self.set_held(policy, evaluation, kept);
        if evaluation.conclusive() {
            kept.outside_home = Some(outside_home(evaluation, judged, kept.outside_home.take()));
        }
        if let Some(outside_home) = &kept.outside_home {
            let oldest = outside_home
                .values()
                .min()
                .map(|since| elapsed(*since, judged.now));
            let seconds = oldest.unwrap_or_default().as_secs_f64();
            self.oldest.get_or_create(policy).set(seconds);
        }
    }

    fn set_held(&self, policy: &PolicyLabels, evaluation: &Evaluation, kept: &mut PolicySeries) {
        let mut held: BTreeMap<FindingReason, i64> = BTreeMap::new();
        for finding in &evaluation.findings {
            if let Verdict::Held(_, reason) = finding.verdict {
                *held.entry(reason).or_default() += 1;
            }
        }
        for gone in kept.held.iter().filter(|reason| !held.contains_key(reason)) {
            self.held.remove(&reason_labels(policy, gone.into()));
        }
        for (reason, number) in &held {
            let labels = reason_labels(policy, reason.into());
            self.held.get_or_create(&labels).set(*number);
        }
        kept.held = held.into_keys().collect();
    }

    pub(super) fn degraded(&self, policy: &PolicyLabels, now: DegradedReason) {
        for reason in DegradedReason::iter() {
            let labels = reason_labels(policy, reason.into());
            if reason == now && reason != DegradedReason::Healthy {
                self.degraded.get_or_create(&labels).set(1);
            } else {
                self.degraded.remove(&labels);
            }
        }
    }

    pub(super) fn underway(
        &self,
        policy: &PolicyLabels,
        operations: impl Iterator<Item = (ActionType, Timestamp)>,
    ) {
        let mut oldest: BTreeMap<ActionType, Timestamp> = BTreeMap::new();
        for (action, started) in operations {
            let first = oldest.entry(action).or_insert(started);
            *first = started.min(*first);
        }
        for action in ActionType::iter() {
            let labels = kind_labels(policy, action);
            match oldest.get(&action) {
                Some(started) => {
                    let seconds = started.as_duration().as_secs_f64();
                    self.since.get_or_create(&labels).set(seconds);
                }
                None => {
                    self.since.remove(&labels);
                }
            }
        }
    }

    pub(super) fn forget(&self, policy: &PolicyLabels) {
        let kept = self.kept().remove(policy).unwrap_or_default();
        for reason in kept.held {
            self.held.remove(&reason_labels(policy, reason.into()));
        }
        for mode in MODES {
            self.mode.remove(&mode_labels(policy, mode));
        }
        self.oldest.remove(policy);
        self.degraded(policy, DegradedReason::Healthy);
        self.underway(policy, std::iter::empty());
    }

    fn kept(&self) -> MutexGuard<'_, BTreeMap<PolicyLabels, PolicySeries>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Assets led from outside home that Leeward would bring home, and since when they were found so.
fn outside_home(
    evaluation: &Evaluation,
    judged: &RoundNumbers<'_>,
    before: Option<BTreeMap<AssetName, Timestamp>>,
) -> BTreeMap<AssetName, Timestamp> {
    let before = before.unwrap_or_else(|| found_before(judged.findings));
    let outside_home = evaluation
        .findings
        .iter()
        .filter(|finding| comes_home(finding.verdict));
    outside_home
        .filter_map(|finding| asset_name(judged.view, finding.asset))
        .map(|asset| {
            let since = before.get(&asset).copied().unwrap_or(judged.now);
            (asset, since)
        })
        .collect()
}

fn comes_home(verdict: Verdict) -> bool {
    match verdict {
        Verdict::Misplaced(_) => true,
        Verdict::Held(_, reason) => reason.class() == ReasonClass::Soft,
        Verdict::InPlace | Verdict::Ignored(_) => false,
    }
}

fn found_before(findings: &[FindingStatus]) -> BTreeMap<AssetName, Timestamp> {
    let named = findings.iter().filter_map(|finding| {
        let asset = AssetName::of(finding.stream.as_deref()?, finding.consumer.as_deref());
        Some((asset, finding.since.as_ref()?.0))
    });
    named.collect()
}

fn reason_labels(policy: &PolicyLabels, reason: &'static str) -> ReasonLabels {
    let PolicyLabels { namespace, policy } = policy.clone();
    ReasonLabels {
        namespace,
        policy,
        reason,
    }
}

fn mode_labels(policy: &PolicyLabels, mode: Mode) -> ModeLabels {
    let PolicyLabels { namespace, policy } = policy.clone();
    let mode = match mode {
        Mode::Observe => "Observe",
        Mode::Propose => "Propose",
        Mode::Enforce => "Enforce",
        Mode::Suspended => "Suspended",
    };
    ModeLabels {
        namespace,
        policy,
        mode,
    }
}
