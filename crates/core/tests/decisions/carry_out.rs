//! What a plan makes of a world when every action succeeds, as the servers would do it. None may be refused: a plan asks for
//! nothing that the servers would not do.

use std::time::Duration;

use leeward_core::action::Plan;
use leeward_core::forecast::carried_out;
use leeward_core::snapshot::AccountView;

/// Applies every action of a plan to a view; an hour passes.
pub fn carry_out(view: &mut AccountView, plan: &Plan) {
    let long_since = view.observed_at - Duration::from_hours(1);
    let refused = carried_out::carry_out(view, &plan.actions, long_since);
    let said: Vec<String> = refused
        .iter()
        .map(|refused| format!("{}: {}", refused.asset, refused.why))
        .collect();
    assert!(said.is_empty(), "not every action could be carried out: {said:?}");
}
