//! A plan that somebody approved: nothing else is begun.

use std::collections::BTreeMap;

use leeward_api::vocabulary::ActionType;

use crate::names::{AssetName, Location};

/// A plan that somebody approved.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApprovedPlan {
    /// What may be done to which asset. Whoever approved a step-down approved no copy of a stream.
    pub actions: BTreeMap<AssetName, ApprovedAction>,
}

/// What may be done to one asset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApprovedAction {
    /// The kind of action.
    pub action: ActionType,
    /// Where the leader goes: while another location is the asset's home, nothing is begun.
    pub home: Location,
}

impl ApprovedPlan {
    /// Whether this may be done to the asset while that is its home.
    pub(crate) fn allows(&self, asset: &AssetName, action: ActionType, home: Option<&Location>) -> bool {
        let approved = self.actions.get(asset);
        approved.is_some_and(|approved| approved.action == action && Some(&approved.home) == home)
    }
}
