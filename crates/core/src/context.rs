//! What a decision depends on besides the view and the policy.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use leeward_api::vocabulary::ActionType;

use crate::history::History;
use crate::names::StreamName;

/// Everything besides snapshot and policy that a decision depends on.
#[derive(Clone, Debug)]
pub struct EvaluationContext<'a> {
    /// The moment of the decision.
    pub now: Timestamp,
    /// A view older than this decides nothing.
    pub stale_after: Duration,
    /// What is remembered.
    pub history: &'a History,
    /// Streams that somebody else's controller configures.
    pub managed: &'a Managed,
    /// Actions that the account's user was refused.
    pub denied: &'a BTreeSet<ActionType>,
}

/// Streams whose configuration belongs to another controller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Managed {
    /// These, each with its owner's name; all others are free.
    Streams(BTreeMap<StreamName, String>),
    /// Nobody could tell, for this reason: every stream may be owned (P6).
    Unknown(String),
}

impl Default for Managed {
    fn default() -> Self {
        Self::Streams(BTreeMap::new())
    }
}

impl Managed {
    /// Who owns a stream's configuration, as far as that stands against an edit.
    pub fn owner(&self, stream: &StreamName) -> Option<String> {
        match self {
            Self::Streams(owners) => owners.get(stream).cloned(),
            Self::Unknown(why) => Some(format!("somebody unknown ({why})")),
        }
    }
}
