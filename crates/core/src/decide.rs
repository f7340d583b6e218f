//! View + policy + memory → what to do: evaluate, plan, and hold what the plan leaves out. The engine's rounds, the
//! commands that only look, and the forecast decide by this one function.

use std::collections::BTreeMap;

use leeward_api::policy_status::Finding as FindingStatus;
use leeward_api::vocabulary::{FindingReason, Remedy};

use crate::action::{Action, Plan};
use crate::asset::{AssetIx, asset_name};
use crate::context::DecisionContext;
use crate::evaluate::{Evaluation, Finding, Verdict, evaluate};
use crate::plan::plan;
use crate::proposal::Proposal;
use crate::propose::{ProposedState, states};
use crate::report::{Report, report};

/// What was decided.
#[derive(Clone, Debug)]
#[must_use]
pub struct Decision {
    /// The judgement of every asset; what the plan leaves out is held.
    pub evaluation: Evaluation,
    /// What to do, in order. Everything that is misplaced and not held is in it, or comes along with its stream, unless
    /// only what was approved may begin.
    pub actions: Vec<Action>,
    /// What only waits for others, for budgets or for the circuit breaker.
    pub waiting: BTreeMap<AssetIx, FindingReason>,
}

/// Decides.
pub fn decide(context: &DecisionContext<'_>) -> Decision {
    let mut evaluation = evaluate(context);
    let Plan { actions, held } = match context.approved {
        None => plan(context, &evaluation),
        Some(approved) => plan(context, &only(approved, context, &evaluation)),
    };
    evaluation.hold(&held);
    Decision {
        evaluation,
        actions,
        waiting: held,
    }
}

/// An evaluation as if only approved assets were misplaced: budgets and capacity are for those alone. What comes home
/// with a stream is part of its gain.
fn only(approved: &Proposal, context: &DecisionContext<'_>, evaluation: &Evaluation) -> Evaluation {
    let states = states(approved, context, evaluation);
    let state = |finding: &Finding| states.get(&asset_name(context.view, finding.asset)?);
    let mut only = evaluation.clone();
    only.findings.retain(|finding| match finding.verdict {
        Verdict::Misplaced(Remedy::FollowsStream | Remedy::Advice) => true,
        Verdict::Misplaced(_) => state(finding) == Some(&ProposedState::Due),
        Verdict::InPlace | Verdict::Ignored(_) | Verdict::Held(_, _) => state(finding).is_some(),
    });
    only
}

impl Decision {
    /// The decision as a report; findings keep the `since` of the `previous` ones.
    pub fn report(&self, context: &DecisionContext<'_>, previous: &[FindingStatus]) -> Report {
        report(context, &self.evaluation, previous)
    }
}
