//! What budgets, windows and waits will allow, and when: a plan now, and the plans that follow as time passes.
//!
//! Only time passes in it: clients stay as they are, servers neither fail nor start, what is carried out succeeds. It
//! gives no earlier time than the limits allow, and promises nothing: the engine plans again every time. A policy's
//! mode does not matter to it.

pub mod carried_out;
mod release;
mod simulation;

use std::time::Duration;

use jiff::Timestamp;
use leeward_api::vocabulary::FindingReason;

use self::simulation::Simulation;
use crate::action::Action;
use crate::asset::AssetIx;
use crate::context::DecisionContext;
use crate::decide::Decision;

/// How far it looks ahead.
pub const HORIZON: Duration = Duration::from_hours(7 * 24);
/// The most waves in a forecast.
pub const MOST_WAVES: usize = 200;

/// What would be done, and when.
#[derive(Clone, Debug, Default, PartialEq)]
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
#[derive(Clone, Debug, PartialEq)]
pub struct ActionBatch {
    /// When. The same as that of the wave before, if that one takes no time.
    pub at: Timestamp,
    /// In order.
    pub actions: Vec<Action>,
}

/// Where a forecast is cut off.
#[derive(Clone, Debug, PartialEq)]
pub struct Truncation {
    /// This moment and later ones are not covered.
    pub at: Timestamp,
    /// What waits then, and what for; positions in the view, in its order.
    pub waiting: Vec<(AssetIx, FindingReason)>,
}

/// What follows from a decision: what it begins now, and what is decided whenever time may release something. Nothing
/// follows from one that is not conclusive.
pub fn forecast(context: &DecisionContext<'_>, decision: &Decision) -> Forecast {
    if !decision.evaluation.conclusive() {
        return Forecast::default();
    }
    Simulation::new(context).run(decision)
}

#[cfg(test)]
mod tests;
