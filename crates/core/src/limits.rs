//! The state of budgets, windows and the circuit breaker, and what is waited for, for the status.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use leeward_api::policy_status::{BreakerState, BreakerStatus, BudgetStatus, WindowsStatus};
use leeward_api::vocabulary::{ActionType, FindingReason, ProgressingReason};

use crate::admission::selected;
use crate::breaker::BreakerPhase;
use crate::budget::{BudgetState, states};
use crate::evaluate::{Evaluation, Verdict};
use crate::history::History;
use crate::policy::{Actions, Policy};
use crate::time::elapsed;
use crate::window::{Opening, opening};

/// The limits of one policy at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Limits {
    /// Every budget.
    pub budgets: Vec<BudgetStatus>,
    /// The tightest that applies, used of allowed.
    pub budget: Option<String>,
    /// The windows, if there are any.
    pub windows: Option<WindowsStatus>,
    /// The breaker, if anything failed lately.
    pub breaker: Option<BreakerStatus>,
    /// What is waited for; `None` when nothing is.
    pub waiting: Option<(ProgressingReason, String)>,
    /// When any of it changes by itself.
    pub next_change: Option<Timestamp>,
}

impl Limits {
    /// The limits for an evaluation from which a plan was made.
    pub fn new(policy: &Policy, history: &History, evaluation: &Evaluation, now: Timestamp) -> Self {
        let rules = &policy.disruption;
        let budgets = states(&rules.budgets, &history.ledger, selected(evaluation), now);
        let windows = windows(policy, now);
        let phase = history.breaker.phase(&rules.circuit_breaker, now);
        let changes = [
            budgets.iter().filter_map(|budget| budget.resets).min(),
            windows
                .as_ref()
                .and_then(|windows| windows.next_transition_time.as_ref().map(|time| time.0)),
            retry(phase),
        ];
        let waiting = waiting(policy, history, evaluation, &budgets, windows.as_ref(), now);
        Self {
            budget: tightest(&budgets).map(|budget| format!("{}/{}", budget.used, budget.allowed)),
            windows,
            breaker: breaker(policy, history, now),
            waiting,
            next_change: changes.into_iter().flatten().filter(|time| *time > now).min(),
            budgets: budgets.into_iter().map(budget_status).collect(),
        }
    }
}

fn budget_status(state: BudgetState) -> BudgetStatus {
    let BudgetState {
        name,
        active,
        allowed,
        used,
        resets,
    } = state;
    BudgetStatus {
        name,
        active,
        allowed: allowed.into(),
        used: used.into(),
        reset_time: resets.map(Time),
    }
}

fn tightest(budgets: &[BudgetState]) -> Option<&BudgetState> {
    let left = |budget: &&BudgetState| (budget.allowed.saturating_sub(budget.used), budget.name.clone());
    budgets.iter().filter(|budget| budget.active).min_by_key(left)
}

fn retry(phase: BreakerPhase) -> Option<Timestamp> {
    match phase {
        BreakerPhase::Open { until } => Some(until),
        BreakerPhase::Closed | BreakerPhase::HalfOpen => None,
    }
}

/// The breaker, if anything failed lately.
pub fn breaker(policy: &Policy, history: &History, now: Timestamp) -> Option<BreakerStatus> {
    let phase = history.breaker.phase(&policy.disruption.circuit_breaker, now);
    let within = policy.disruption.circuit_breaker.within;
    let state = match phase {
        BreakerPhase::Closed => BreakerState::Closed,
        BreakerPhase::Open { until: _ } => BreakerState::Open,
        BreakerPhase::HalfOpen => BreakerState::HalfOpen,
    };
    let failures = history.breaker.failures.iter();
    let counted =
        failures.filter(|failure| state != BreakerState::Closed || elapsed(**failure, now) < within);
    let failures: Vec<Time> = counted.map(|failure| Time(*failure)).collect();
    let news = state != BreakerState::Closed || !failures.is_empty();
    news.then(|| BreakerStatus {
        state,
        retry_time: retry(phase).map(Time),
        failures,
    })
}

fn enabled(actions: &Actions) -> Vec<ActionType> {
    let Actions {
        consumer_step_down,
        stream_step_down,
        consumer_evacuation,
        stream_placement,
    } = actions;
    let all = [
        (*consumer_step_down, ActionType::ConsumerStepDown),
        (*stream_step_down, ActionType::StreamStepDown),
        (*consumer_evacuation, ActionType::ConsumerEvacuation),
        (stream_placement.is_some(), ActionType::StreamPlacement),
    ];
    all.into_iter()
        .filter(|(on, _)| *on)
        .map(|(_, action)| action)
        .collect()
}

fn windows(policy: &Policy, now: Timestamp) -> Option<WindowsStatus> {
    let windows = &policy.disruption.windows;
    if windows.is_empty() {
        return None;
    }
    let openings: Vec<(ActionType, Opening)> = enabled(&policy.actions)
        .into_iter()
        .map(|action| (action, opening(windows, action, now)))
        .collect();
    let (_, first) = openings.first()?;
    let alike = openings.iter().all(|(_, other)| other == first);
    let reason = if alike {
        first.why.clone()
    } else {
        let each = openings
            .iter()
            .map(|(action, opening)| format!("{action}: {}", opening.why));
        each.collect::<Vec<_>>().join("; ")
    };
    Some(WindowsStatus {
        open: openings.iter().any(|(_, opening)| opening.open),
        reason,
        next_transition_time: openings
            .iter()
            .filter_map(|(_, opening)| opening.changes)
            .min()
            .map(Time),
    })
}

/// What holds back assets that could be moved otherwise; the widest reach first.
fn waiting(
    policy: &Policy,
    history: &History,
    evaluation: &Evaluation,
    budgets: &[BudgetState],
    windows: Option<&WindowsStatus>,
    now: Timestamp,
) -> Option<(ProgressingReason, String)> {
    let mut held: BTreeMap<FindingReason, u32> = BTreeMap::new();
    for finding in &evaluation.findings {
        if let Verdict::Held(_, reason) = finding.verdict {
            *held.entry(reason).or_default() += 1;
        }
    }
    let count = |reason| held.get(&reason).copied().filter(|count| *count > 0);
    if let Some(waiting) = count(FindingReason::BreakerOpen) {
        let text = match history.breaker.phase(&policy.disruption.circuit_breaker, now) {
            BreakerPhase::Open { until } => {
                format!("{waiting} wait: actions failed repeatedly, one is tried at {until}")
            }
            BreakerPhase::HalfOpen | BreakerPhase::Closed => {
                format!("{waiting} wait for one action that is tried")
            }
        };
        return Some((ProgressingReason::BreakerOpen, text));
    }
    if let Some(waiting) = count(FindingReason::OutsideWindow) {
        let why = windows.map_or("", |windows| windows.reason.as_str());
        return Some((ProgressingReason::OutsideWindow, format!("{waiting} wait: {why}")));
    }
    if let Some(waiting) = count(FindingReason::BudgetExhausted) {
        return Some((ProgressingReason::BudgetExhausted, exhausted(waiting, budgets)));
    }
    let closed: Vec<String> = held
        .iter()
        .filter(|(reason, _)| reason.behavior().is_gate)
        .map(|(reason, count)| format!("{reason} {count}"))
        .collect();
    if !closed.is_empty() {
        return Some((
            ProgressingReason::GateClosed,
            format!("held by gates: {}", closed.join(", ")),
        ));
    }
    let cooling = count(FindingReason::CoolingDown)?;
    let until = history.next_cooled(&policy.disruption, now)?;
    Some((
        ProgressingReason::Idle,
        format!("{cooling} cool down, the first until {until}"),
    ))
}

fn exhausted(waiting: u32, budgets: &[BudgetState]) -> String {
    let used_up = budgets
        .iter()
        .find(|budget| budget.active && budget.used >= budget.allowed);
    match used_up.or_else(|| tightest(budgets)) {
        Some(budget) => {
            let until = budget
                .resets
                .map_or(String::new(), |time| format!(", the next is free at {time}"));
            format!(
                "{waiting} wait for budget {}: {} of {} used{until}",
                budget.name, budget.used, budget.allowed
            )
        }
        None => format!("{waiting} wait for the budget"),
    }
}

#[cfg(test)]
mod tests;
