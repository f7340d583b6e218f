//! Which of a plan's actions may begin now: what the circuit breaker and the budgets let through, in the plan's order.
//!
//! All others stay out of the plan with their reason. What is under way counts (P3).

use std::collections::BTreeMap;

use leeward_api::vocabulary::{ActionType, FindingReason, Remedy};

use crate::action::{Action, ActionKind, Plan};
use crate::asset::{AssetIx, asset_index};
use crate::breaker::BreakerPhase;
use crate::budget::{Allowance, Selected};
use crate::context::DecisionContext;
use crate::evaluate::{Evaluation, Verdict};
use crate::safety::while_stream_held;
use crate::window::opening;

/// The base of a budget's percentages.
pub fn selected(evaluation: &Evaluation) -> Selected {
    Selected {
        streams: evaluation.streams.total - evaluation.streams.ignored,
        consumers: evaluation.consumers.total - evaluation.consumers.ignored,
    }
}

/// Takes out of a plan what may not begin now.
pub fn admit(context: &DecisionContext<'_>, evaluation: &Evaluation, plan: Plan) -> Plan {
    let Plan { actions, mut held } = plan;
    let (rules, history, now) = (&context.policy.disruption, context.history, context.now);
    let mut allowance = Allowance::new(&rules.budgets, &history.ledger, selected(evaluation), now);
    let mut tries = match history.breaker.phase(&rules.circuit_breaker, now) {
        BreakerPhase::Closed => usize::MAX,
        BreakerPhase::HalfOpen => 1_usize.saturating_sub(history.ledger.in_flight()),
        BreakerPhase::Open { until: _ } => 0,
    };
    let mut admitted = Vec::with_capacity(actions.len());
    let is_open = |action_type| opening(&rules.windows, action_type, now).open;
    let (may_step_down_streams, may_step_down_consumers) = (
        is_open(ActionType::StreamStepDown),
        is_open(ActionType::ConsumerStepDown),
    );
    for mut action in actions {
        let against = if tries == 0 {
            Some(FindingReason::BreakerOpen)
        } else {
            let taken = allowance.take(action.action_type());
            taken.err().map(|_budget| FindingReason::BudgetExhausted)
        };
        match against {
            None => {
                tries -= 1;
                admit_dependents(&mut action, &mut allowance, may_step_down_streams);
                admit_transfers(&mut action, may_step_down_streams, may_step_down_consumers);
                admitted.push(action);
            }
            Some(reason) => {
                held.extend(asset_index(context.view, &action.asset).map(|asset| (asset, reason)));
            }
        }
    }
    Plan {
        actions: admitted,
        held,
    }
}

/// Leaders of streams that read a moved one are stepped down only as far as the limits allow that too; the others
/// resume by themselves, later (nats-facts N26).
fn admit_dependents(action: &mut Action, allowance: &mut Allowance, open: bool) {
    if let ActionKind::Move(moving) = &mut action.kind {
        moving
            .dependents
            .retain(|_| open && allowance.take(ActionType::StreamStepDown).is_ok());
    }
}

/// A move asks leaders to hand over only when step-downs of such may be asked for, too; they are part of the move's place in the
/// budgets.
fn admit_transfers(action: &mut Action, streams: bool, consumers: bool) {
    if let ActionKind::Move(moving) = &mut action.kind {
        moving.transfers.stream &= streams;
        if !consumers {
            moving.transfers.consumers.clear();
        }
    }
}

/// The asset whose action fixes this one: for a consumer that follows its stream, the stream.
pub fn deciding(asset: AssetIx, remedy: Remedy) -> AssetIx {
    match remedy {
        Remedy::ConsumerStepDown
        | Remedy::StreamStepDown
        | Remedy::ConsumerEvacuation
        | Remedy::StreamPlacement
        | Remedy::Advice => asset,
        Remedy::FollowsStream => AssetIx::Stream(asset.stream()),
    }
}

impl Evaluation {
    /// Applies what planning found to block movable assets: they are held, and so are the consumers that wait for their
    /// streams.
    pub fn hold(&mut self, held: &BTreeMap<AssetIx, FindingReason>) {
        if held.is_empty() {
            return;
        }
        for finding in &mut self.findings {
            let Verdict::Misplaced(remedy) = finding.verdict else {
                continue;
            };
            let of = deciding(finding.asset, remedy);
            let Some(reason) = held.get(&of).copied() else {
                continue;
            };
            let reason = if of == finding.asset {
                reason
            } else {
                while_stream_held(reason)
            };
            finding.verdict = Verdict::Held(remedy, reason);
            let counts = match finding.asset {
                AssetIx::Stream(_) => &mut self.streams,
                AssetIx::Consumer(_, _) => &mut self.consumers,
            };
            counts.misplaced -= 1;
            counts.held += 1;
        }
    }
}

#[cfg(test)]
mod tests;
