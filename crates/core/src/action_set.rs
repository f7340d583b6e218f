//! Which kinds of action a limit applies to.

use std::collections::BTreeSet;

use leeward_api::vocabulary::ActionType;
use strum::IntoEnumIterator as _;

/// Kinds of action; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActionSet(BTreeSet<ActionType>);

impl ActionSet {
    /// The kinds that are named; naming none means all.
    pub fn of(named: &[ActionType]) -> Self {
        if named.is_empty() {
            return Self::all();
        }
        Self(named.iter().copied().collect())
    }

    /// Every kind.
    pub fn all() -> Self {
        Self(ActionType::iter().collect())
    }

    /// Whether this kind is among them.
    pub fn contains(&self, action: ActionType) -> bool {
        self.0.contains(&action)
    }

    /// The kinds, in the order of the vocabulary.
    pub fn iter(&self) -> impl Iterator<Item = ActionType> {
        self.0.iter().copied()
    }
}

#[cfg(test)]
mod tests;
