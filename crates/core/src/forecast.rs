//! What budgets, windows and waits will let happen when: a plan now, and the plans that follow as time passes.
//!
//! Nothing but time passes in it: clients stay as they are, servers neither fail nor start, what is carried out succeeds.
//! It tells no earlier time than the limits allow, and promises nothing: every plan of the engine is made anew. The mode of
//! a policy does not matter to it.

pub mod carried_out;
mod release;
mod simulation;

use std::time::Duration;

use jiff::Timestamp;
use leeward_api::vocabulary::FindingReason;
use serde::Serialize;

use self::simulation::Simulation;
use crate::action::Action;
use crate::context::EvaluationContext;
use crate::evaluate::{AssetIx, Evaluation};
use crate::policy::Policy;
use crate::snapshot::AccountView;

/// How far is looked ahead.
pub const HORIZON: Duration = Duration::from_hours(7 * 24);
/// How many waves are told at most.
pub const MOST_WAVES: usize = 200;

/// What would be done, and when.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[must_use]
pub struct Forecast {
    /// In order, none of them empty. What may begin now is the first one, if that is `at` the moment of the forecast.
    pub waves: Vec<ActionBatch>,
    /// What stays where it is until something other than time changes, and why; positions in the view, in its order.
    pub never: Vec<(AssetIx, FindingReason)>,
    /// Where the forecast ends although time would release more.
    pub cut: Option<Truncation>,
}

/// Actions that may begin at one time.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ActionBatch {
    /// When. The same as that of the wave before, when that is over in a moment.
    pub at: Timestamp,
    /// In order.
    pub actions: Vec<Action>,
}

/// The end of a forecast that could go on.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Truncation {
    /// Nothing is told of this moment and those after it.
    pub at: Timestamp,
    /// What waits then, and what for; positions in the view, in its order.
    pub waiting: Vec<(AssetIx, FindingReason)>,
}

/// Plans now, of an evaluation of the same view, and again whenever time may release something. Nothing is told of an
/// evaluation that is not conclusive.
pub fn forecast(
    view: &AccountView,
    policy: &Policy,
    eval_context: &EvaluationContext<'_>,
    evaluation: &Evaluation,
) -> Forecast {
    if !evaluation.conclusive() {
        return Forecast::default();
    }
    Simulation::new(view, policy, eval_context).run(evaluation)
}

#[cfg(test)]
mod tests;
