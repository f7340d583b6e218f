//! Simulated time in a forecast: plan, carry out, let time pass, plan again.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use leeward_api::vocabulary::{ActionResult, ActionType, FindingReason};

use super::carried_out::{SimulatedRefusal, carry_out};
use super::{ActionBatch, Forecast, HORIZON, MOST_WAVES, Truncation, release};
use crate::action::{Action, ActionKind};
use crate::asset::{AssetIx, asset_index, asset_name};
use crate::context::DecisionContext;
use crate::decide::{Decision, decide};
use crate::evaluate::{Evaluation, Verdict};
use crate::history::{EndedOperation, History, MoveRecord};
use crate::names::AssetName;
use crate::snapshot::AccountView;
use crate::time::later;

/// The most moments that are looked at: limits may change often without releasing anything.
const MOST_LOOKS: usize = 1000;
/// Gates that open one after the other are looked at this often at most, since any asset may have one of its own.
const GATES_EVERY: Duration = Duration::from_secs(10);

/// Everything as it will be at one moment.
pub(super) struct Simulation<'a> {
    given: &'a DecisionContext<'a>,
    view: AccountView,
    history: History,
    now: Timestamp,
    gates_from: Timestamp,
    waves: Vec<ActionBatch>,
    acted: BTreeSet<AssetName>,
}

impl<'a> Simulation<'a> {
    pub(super) fn new(context: &'a DecisionContext<'a>) -> Self {
        Self {
            given: context,
            view: context.view.clone(),
            history: context.history.clone(),
            now: context.now,
            gates_from: context.now,
            waves: Vec::new(),
            acted: BTreeSet::new(),
        }
    }

    pub(super) fn run(mut self, first: &Decision) -> Forecast {
        let horizon = later(self.now, HORIZON);
        let mut decision = first.clone();
        for _ in 0..MOST_LOOKS {
            let Evaluation {
                home_history,
                asset_homes,
                ..
            } = &decision.evaluation;
            self.history.settle(home_history.clone(), asset_homes.clone());
            if !decision.actions.is_empty() {
                if self.waves.len() == MOST_WAVES {
                    return self.cut(&decision);
                }
                self.carry_out(decision.actions);
            } else if let Some(next) = self.released(&decision.evaluation) {
                if next > horizon {
                    self.now = horizon;
                    return self.cut(&decision);
                }
                self.now = next;
                self.gates_from = later(next, GATES_EVERY);
            } else {
                let never = self.held(&decision.evaluation);
                return self.forecast(never, None);
            }
            decision = self.look();
        }
        self.cut(&decision)
    }

    fn context(&self) -> DecisionContext<'_> {
        DecisionContext {
            view: &self.view,
            now: self.now,
            history: &self.history,
            ..*self.given
        }
    }

    /// A look at what is then: never stale, and unbroken since the one before.
    fn look(&mut self) -> Decision {
        self.view.observed_at = self.now;
        if let Some(challenger) = &mut self.history.home.challenger {
            challenger.confirmed = self.now;
        }
        self.history.prune(&self.given.policy.disruption, self.now);
        decide(&self.context())
    }

    fn released(&self, evaluation: &Evaluation) -> Option<Timestamp> {
        release::next(&self.context(), evaluation, self.gates_from)
    }

    /// All actions of a wave count as ended when the last of them has: no budget frees too early.
    fn carry_out(&mut self, actions: Vec<Action>) {
        let at = self.now;
        self.now = later(
            at,
            duration(&actions, self.given.policy.disruption.max_concurrent),
        );
        let refused: BTreeSet<AssetName> = carry_out(&mut self.view, &actions, self.now)
            .into_iter()
            .map(|SimulatedRefusal { asset, why: _ }| asset)
            .collect();
        for action in &actions {
            self.remember(action, refused.contains(&action.asset));
            self.acted.insert(action.asset.clone());
        }
        self.waves.push(ActionBatch { at, actions });
    }

    fn remember(&mut self, action: &Action, refused: bool) {
        let rules = &self.given.policy.disruption;
        self.history.begin(&action.asset, action.action_type());
        let (result, requests) = if refused {
            // All attempts are used up: it is not planned again.
            (ActionResult::Missed, rules.max_attempts.max(1))
        } else {
            (ActionResult::Succeeded, 1)
        };
        let mut moved = None;
        if let ActionKind::Move(moving) = &action.kind {
            moved = (!refused).then(|| MoveRecord {
                to: moving.target.location.clone(),
                // Nothing is measured here.
                bytes: 0,
                took: moving.cost.time,
            });
            // Whether they will step down is not known; what they take of a budget is.
            for dependent in &moving.dependents {
                let dependent = AssetName::stream(dependent.clone());
                self.history.begin(&dependent, ActionType::StreamStepDown);
                self.history.ledger.end(&dependent, true, self.now);
            }
        }
        let ended = EndedOperation {
            asset: action.asset.clone(),
            result,
            reason: None,
            attempts: requests,
            at: self.now,
            moved,
        };
        let _ = self.history.record(&ended, rules);
    }

    /// What is held and was in no wave; a refused action was in one.
    fn held(&self, evaluation: &Evaluation) -> Vec<(AssetIx, FindingReason)> {
        let findings = evaluation.findings.iter();
        findings
            .filter_map(|finding| match finding.verdict {
                Verdict::Held(_, reason) => Some((finding.asset, reason)),
                Verdict::InPlace | Verdict::Ignored(_) | Verdict::Misplaced(_) => None,
            })
            .filter(|(asset, _)| {
                asset_name(&self.view, *asset).is_none_or(|name| !self.acted.contains(&name))
            })
            .collect()
    }

    fn cut(self, decision: &Decision) -> Forecast {
        // What only waits for others waits as long as they do.
        let waits = |(asset, reason): &(AssetIx, FindingReason)| {
            let stream = AssetIx::Stream(asset.stream());
            release::passes(*reason) || decision.waiting.contains_key(&stream)
        };
        let held = self.held(&decision.evaluation);
        let (mut waiting, never): (Vec<_>, Vec<_>) = held.into_iter().partition(waits);
        waiting.extend(self.next_in_turn(decision));
        waiting.sort_unstable();
        let at = self.now;
        self.forecast(never, Some(Truncation { at, waiting }))
    }

    /// What would be next: it waited for those before it.
    fn next_in_turn(&self, decision: &Decision) -> Vec<(AssetIx, FindingReason)> {
        let planned: BTreeSet<AssetIx> = decision
            .actions
            .iter()
            .filter_map(|action| asset_index(&self.view, &action.asset))
            .collect();
        let goes =
            |asset: &AssetIx| planned.contains(asset) || planned.contains(&AssetIx::Stream(asset.stream()));
        let findings = decision
            .evaluation
            .findings
            .iter()
            .filter(|finding| match finding.verdict {
                Verdict::Misplaced(_) => goes(&finding.asset),
                Verdict::InPlace | Verdict::Ignored(_) | Verdict::Held(_, _) => false,
            });
        findings
            .map(|finding| (finding.asset, FindingReason::BudgetExhausted))
            .collect()
    }

    fn forecast(self, never: Vec<(AssetIx, FindingReason)>, cut: Option<Truncation>) -> Forecast {
        Forecast {
            waves: self.waves,
            never,
            cut,
        }
    }
}

/// Step-downs take tens of milliseconds (nats-facts N14), so only moves count; as many as may run at once share the
/// time.
fn duration(actions: &[Action], at_once: usize) -> Duration {
    let times = || {
        actions.iter().filter_map(|action| match &action.kind {
            ActionKind::Move(moving) => Some(moving.cost.time),
            ActionKind::StepDown(_) => None,
        })
    };
    let at_once = u32::try_from(at_once.max(1)).unwrap_or(u32::MAX);
    let all = times().fold(Duration::ZERO, Duration::saturating_add);
    times().max().unwrap_or_default().max(all / at_once)
}
