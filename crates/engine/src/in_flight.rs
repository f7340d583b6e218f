//! What is in flight, for watchers of an operation: its stage, and how much of a moving stream has been copied.

use jiff::Timestamp;
use leeward_core::action::Action;

use crate::execute::{Copied, Stage};
use crate::policy_state::RunningOperation;

/// An operation in flight.
#[derive(Clone, Debug, PartialEq)]
pub struct OperationInFlight {
    /// Its action.
    pub action: Action,
    /// When it began.
    pub started: Timestamp,
    /// When it counts as timed out.
    pub deadline: Timestamp,
    /// Its stage.
    pub stage: Stage,
    /// How much of a moving stream's data has arrived; `None` for a step-down, and while nothing can be measured.
    pub copied: Option<Copied>,
}

impl OperationInFlight {
    pub(crate) fn of(operation: &RunningOperation) -> Self {
        let RunningOperation {
            action,
            started,
            deadline,
            stage,
            copied,
            proof: _,
            sent: _,
        } = operation;
        Self {
            action: action.clone(),
            started: *started,
            deadline: *deadline,
            stage: *stage,
            copied: *copied,
        }
    }
}
