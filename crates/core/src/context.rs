//! Everything that a decision depends on.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use leeward_api::vocabulary::ActionType;

use crate::history::History;
use crate::names::StreamName;
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
    /// Streams that somebody else's controller configures.
    pub managed: &'a Managed,
    /// Actions that the account's user was refused.
    pub denied: &'a BTreeSet<ActionType>,
    /// What was approved: nothing else is planned; `None` for everything.
    pub approved: Option<&'a Proposal>,
}

/// Streams whose configuration belongs to another controller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Managed {
    /// These, each with its owner's name; all others are free.
    Streams(BTreeMap<StreamName, String>),
    /// Unknown, for this reason: every stream may be owned (P6).
    Unknown(String),
}

impl Default for Managed {
    fn default() -> Self {
        Self::Streams(BTreeMap::new())
    }
}

impl Managed {
    /// Who owns a stream's configuration, where that blocks an edit.
    pub fn owner(&self, stream: &StreamName) -> Option<String> {
        match self {
            Self::Streams(owners) => owners.get(stream).cloned(),
            Self::Unknown(why) => Some(format!("somebody unknown ({why})")),
        }
    }
}
