//! Everything that a decision depends on.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use leeward_api::vocabulary::ActionType;

use crate::history::History;
use crate::owner::StreamOwners;
use crate::policy::Policy;
use crate::proposal::Proposal;
use crate::snapshot::AccountView;
use crate::usage::AccountUse;

/// Everything that a decision depends on: two equal contexts are decided alike (P1).
#[derive(Clone, Copy, Debug)]
pub struct DecisionContext<'a> {
    /// What was observed.
    pub view: &'a AccountView,
    /// What is wanted.
    pub policy: &'a Policy,
    /// The moment of the decision.
    pub now: Timestamp,
    /// A view older than this decides nothing.
    pub stale_after: Duration,
    /// What was sampled of who uses streams; `None` where nobody samples, and the account's clients decide.
    pub usage: Option<&'a AccountUse>,
    /// What is remembered.
    pub history: &'a History,
    /// Whose the configurations of streams are.
    pub owners: &'a StreamOwners,
    /// Actions that the account's user was refused.
    pub denied: &'a BTreeSet<ActionType>,
    /// What was approved: nothing else is planned; `None` for everything.
    pub approved: Option<&'a Proposal>,
}
