//! Leeward's own metrics. Labels never hold stream or consumer names.

mod classic;
mod judged;
mod labels;
mod limits;
pub mod table;
mod usage;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use leeward_api::policy_status::MAX_LOCATIONS;
use leeward_api::vocabulary::{ActionResult, ActionType, DegradedReason};
use leeward_core::evaluate::Evaluation;
use leeward_core::limits::Limits;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use strum::IntoEnumIterator as _;

use self::classic::classic;
use self::judged::JudgedMetrics;
pub(crate) use self::judged::RoundNumbers;
pub use self::labels::PolicyLabels;
use self::labels::{
    ActionKindLabels, ActionLabels, AssetLabels, LeaderLabels, LocationLabels, asset_labels, kind_labels,
    leader_labels, location_labels,
};
use self::limits::LimitMetrics;
use self::usage::UsageMetrics;

type Float = Gauge<f64, AtomicU64>;

/// Those series of a policy whose labels cannot be enumerated: kept, to remove them from the page.
#[derive(Debug, Default)]
struct Series {
    locations: BTreeSet<String>,
    actions: BTreeSet<ActionLabels>,
}

const KINDS: [&str; 2] = ["stream", "consumer"];
const STATES: [&str; 4] = ["in_place", "misplaced", "held", "ignored"];

/// All metrics, with the registry that prints them.
pub struct Metrics {
    registry: Mutex<Registry>,
    series: Mutex<BTreeMap<PolicyLabels, Series>>,
    assets: Family<AssetLabels, Gauge>,
    leaders: Family<LeaderLabels, Gauge>,
    clients: Family<LocationLabels, Gauge>,
    in_place_ratio: Family<PolicyLabels, Float>,
    actions: Family<ActionLabels, Counter>,
    action_duration: Family<ActionKindLabels, Histogram>,
    operations: Family<ActionKindLabels, Gauge>,
    round_duration: Family<PolicyLabels, Histogram>,
    snapshot_age: Family<PolicyLabels, Float>,
    moved_bytes: Family<PolicyLabels, Counter>,
    gateway_ratio: Family<PolicyLabels, Float>,
    limits: LimitMetrics,
    judged: JudgedMetrics,
    usage: UsageMetrics,
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Registers everything.
    pub fn new() -> Self {
        let action_duration = Family::<ActionKindLabels, Histogram>::new_with_constructor(|| {
            Histogram::new(exponential_buckets(0.01, 2.0, 18))
        });
        let round_duration = Family::<PolicyLabels, Histogram>::new_with_constructor(|| {
            Histogram::new(exponential_buckets(0.0001, 4.0, 9))
        });
        let metrics = Self {
            registry: Mutex::new(Registry::with_prefix(table::PREFIX)),
            series: Mutex::default(),
            assets: Family::default(),
            leaders: Family::default(),
            clients: Family::default(),
            in_place_ratio: Family::default(),
            actions: Family::default(),
            action_duration,
            operations: Family::default(),
            round_duration,
            snapshot_age: Family::default(),
            moved_bytes: Family::default(),
            gateway_ratio: Family::default(),
            limits: LimitMetrics::default(),
            judged: JudgedMetrics::default(),
            usage: UsageMetrics::default(),
        };
        metrics.register();
        metrics
    }

    fn register(&self) {
        let mut guard = self.registry();
        let page = &mut *guard;
        table::ASSETS.register(page, self.assets.clone());
        table::LEADERS.register(page, self.leaders.clone());
        table::CLIENTS.register(page, self.clients.clone());
        table::IN_PLACE_RATIO.register(page, self.in_place_ratio.clone());
        table::ACTIONS.register(page, self.actions.clone());
        table::ACTION_DURATION.register(page, self.action_duration.clone());
        table::OPERATIONS_IN_FLIGHT.register(page, self.operations.clone());
        table::ROUND_DURATION.register(page, self.round_duration.clone());
        table::SNAPSHOT_AGE.register(page, self.snapshot_age.clone());
        table::MOVED.register(page, self.moved_bytes.clone());
        table::GATEWAY_BYTES_RATIO.register(page, self.gateway_ratio.clone());
        self.limits.register(page);
        self.judged.register(page);
        self.usage.register(page);
    }

    fn registry(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds metrics of an adapter to the same page.
    pub fn register_with(&self, register: impl FnOnce(&mut Registry)) {
        register(&mut self.registry());
    }

    /// The page in the `OpenMetrics` text format.
    pub fn page(&self) -> Result<String, std::fmt::Error> {
        let mut page = String::new();
        encode(&mut page, &self.registry())?;
        Ok(page)
    }

    /// The page in Prometheus's own text format.
    pub fn classic_page(&self) -> Result<String, std::fmt::Error> {
        self.page().map(|page| classic(&page))
    }

    /// Removes everything about a policy that is gone from the page.
    pub fn forget(&self, policy: &PolicyLabels) {
        self.rest(policy);
        for action in ActionType::iter() {
            self.action_duration.remove(&kind_labels(policy, action));
        }
        for labels in &self.series().remove(policy).unwrap_or_default().actions {
            self.actions.remove(labels);
        }
        self.round_duration.remove(policy);
        self.moved_bytes.remove(policy);
        self.usage.forget(policy);
    }

    /// Removes from the page the state of a policy that another replica handles now. What this process counted stays,
    /// so that counting continues from there when the policy comes back.
    pub fn rest(&self, policy: &PolicyLabels) {
        for kind in KINDS {
            for state in STATES {
                self.assets.remove(&asset_labels(policy, kind, state));
            }
        }
        let locations = self
            .series()
            .get_mut(policy)
            .map(|series| std::mem::take(&mut series.locations));
        for location in locations.iter().flatten() {
            self.forget_location(policy, location);
        }
        for action in ActionType::iter() {
            self.operations.remove(&kind_labels(policy, action));
        }
        self.in_place_ratio.remove(policy);
        self.snapshot_age.remove(policy);
        self.gateway_ratio.remove(policy);
        self.limits.forget(policy);
        self.judged.forget(policy);
        self.usage.rest(policy);
    }

    fn forget_location(&self, policy: &PolicyLabels, location: &str) {
        for kind in KINDS {
            self.leaders.remove(&leader_labels(policy, kind, location));
        }
        self.clients.remove(&location_labels(policy, location));
    }

    fn series(&self) -> MutexGuard<'_, BTreeMap<PolicyLabels, Series>> {
        self.series.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn round(&self, policy: &PolicyLabels, evaluated: &Evaluated<'_>) {
        let Evaluated {
            evaluation,
            took,
            age,
            limits,
            gateway_percent,
            judged,
        } = evaluated;
        self.limits.set(policy, limits);
        self.judged.set(policy, evaluation, judged);
        self.usage.set(policy, evaluation, judged.view);
        match gateway_percent {
            Some(percent) => {
                self.gateway_ratio
                    .get_or_create(policy)
                    .set(f64::from(*percent) / 100.0);
            }
            None => {
                self.gateway_ratio.remove(policy);
            }
        }
        for (kind, counts) in KINDS.into_iter().zip([evaluation.streams, evaluation.consumers]) {
            let numbers = [counts.in_place, counts.misplaced, counts.held, counts.ignored];
            for (state, number) in STATES.into_iter().zip(numbers) {
                self.assets
                    .get_or_create(&asset_labels(policy, kind, state))
                    .set(number.into());
            }
        }
        let shown = shown(weights(evaluation));
        for (location, leaders) in &evaluation.leaders {
            if !shown.contains(location.as_str()) {
                continue;
            }
            for (kind, number) in KINDS.into_iter().zip([leaders.streams, leaders.consumers]) {
                let labels = leader_labels(policy, kind, location.as_str());
                self.leaders.get_or_create(&labels).set(number.into());
            }
        }
        for (location, row) in &evaluation.tally.rows {
            if !shown.contains(location.as_str()) {
                continue;
            }
            let labels = location_labels(policy, location.as_str());
            self.clients.get_or_create(&labels).set(row.connections.into());
        }
        self.keep_locations(policy, shown);
        // Without a home the share is unknown, so the last one must not stay.
        match in_place_ratio(evaluation) {
            Some(ratio) => {
                self.in_place_ratio.get_or_create(policy).set(ratio);
            }
            None => {
                self.in_place_ratio.remove(policy);
            }
        }
        self.round_duration
            .get_or_create(policy)
            .observe(took.as_secs_f64());
        self.snapshot_age.get_or_create(policy).set(age.as_secs_f64());
    }

    /// Locations that are gone leave the page.
    fn keep_locations(&self, policy: &PolicyLabels, present: BTreeSet<String>) {
        let mut all = self.series();
        let series = all.entry(policy.clone()).or_default();
        for gone in series.locations.difference(&present) {
            self.forget_location(policy, gone);
        }
        series.locations = present;
    }

    pub(crate) fn started(&self, policy: &PolicyLabels, action: ActionType) {
        self.operations.get_or_create(&kind_labels(policy, action)).inc();
    }

    pub(crate) fn ended(
        &self,
        policy: &PolicyLabels,
        action: ActionType,
        result: ActionResult,
        reason: Option<&str>,
        took: Duration,
    ) {
        let labels = kind_labels(policy, action);
        self.operations.get_or_create(&labels).dec();
        self.action_duration
            .get_or_create(&labels)
            .observe(took.as_secs_f64());
        let labels = ActionLabels {
            namespace: policy.namespace.clone(),
            policy: policy.policy.clone(),
            action: action.into(),
            result: result.into(),
            reason: reason.unwrap_or("").to_owned(),
        };
        self.actions.get_or_create(&labels).inc();
        self.series()
            .entry(policy.clone())
            .or_default()
            .actions
            .insert(labels);
    }

    /// What is under way, and since when.
    pub(crate) fn underway(
        &self,
        policy: &PolicyLabels,
        operations: impl Iterator<Item = (ActionType, Timestamp)>,
    ) {
        self.judged.underway(policy, operations);
    }

    /// Whether something keeps going wrong.
    pub(crate) fn degraded(&self, policy: &PolicyLabels, reason: DegradedReason) {
        self.judged.degraded(policy, reason);
    }

    /// A stream was sampled.
    pub(crate) fn sampled(&self, policy: &PolicyLabels, messages: u32) {
        self.usage.sampled(policy, messages);
    }

    /// A stream was moved.
    pub(crate) fn moved(&self, policy: &PolicyLabels, bytes: u64) {
        self.moved_bytes.get_or_create(policy).inc_by(bytes);
    }

    /// An operation was dropped before its end, as at shutdown.
    pub(crate) fn dropped(&self, policy: &PolicyLabels, action: ActionType) {
        self.operations.get_or_create(&kind_labels(policy, action)).dec();
    }
}

/// The measured values of a round.
pub(crate) struct Evaluated<'a> {
    pub(crate) evaluation: &'a Evaluation,
    pub(crate) took: Duration,
    pub(crate) age: Duration,
    pub(crate) limits: &'a Limits,
    pub(crate) gateway_percent: Option<i32>,
    pub(crate) judged: RoundNumbers<'a>,
}

/// Clients and leaders of each location; one may come twice.
fn weights(evaluation: &Evaluation) -> impl Iterator<Item = (&str, u64)> {
    let clients = evaluation.tally.rows.iter();
    let clients = clients.map(|(location, row)| (location.as_str(), row.connections.into()));
    let leaders = evaluation.leaders.iter();
    clients.chain(leaders.map(|(location, leaders)| {
        let both = u64::from(leaders.streams).saturating_add(leaders.consumers.into());
        (location.as_str(), both)
    }))
}

/// The locations with the most weight, no more than a status lists: servers may claim any number of them.
fn shown<'a>(locations: impl Iterator<Item = (&'a str, u64)>) -> BTreeSet<String> {
    let mut weights: BTreeMap<&str, u64> = BTreeMap::new();
    for (location, weight) in locations {
        let sum = weights.entry(location).or_default();
        *sum = sum.saturating_add(weight);
    }
    let mut ranked: Vec<(&str, u64)> = weights.into_iter().collect();
    ranked.sort_by_key(|(location, weight)| (Reverse(*weight), *location));
    let shown = ranked.into_iter().take(MAX_LOCATIONS);
    shown.map(|(location, _)| location.to_owned()).collect()
}

fn in_place_ratio(evaluation: &Evaluation) -> Option<f64> {
    if !evaluation.has_homes() {
        return None;
    }
    let (streams, consumers) = (evaluation.streams, evaluation.consumers);
    let judged = streams.total + consumers.total - streams.ignored - consumers.ignored;
    Some(if judged == 0 {
        1.0
    } else {
        f64::from(streams.in_place + consumers.in_place) / f64::from(judged)
    })
}

#[cfg(test)]
mod tests;
