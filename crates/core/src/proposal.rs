//! An approved plan: nothing else is started.

use std::collections::BTreeMap;

use leeward_api::vocabulary::ActionType;

use crate::names::{AssetName, Location};

/// An approved plan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApprovedPlan {
    /// What may be done to which asset. An approved step-down approves no copy of a stream.
    pub actions: BTreeMap<AssetName, ApprovedAction>,
}

/// What may be done to one asset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApprovedAction {
    /// The kind of action.
    pub action: ActionType,
    /// Where the leader goes: while another location is the asset's home, nothing is started.
    pub home: Location,
}

impl ApprovedPlan {
    /// Whether this may be done to the asset while that is its home.
    pub(crate) fn allows(&self, asset: &AssetName, action: ActionType, home: Option<&Location>) -> bool {
        let approved = self.actions.get(asset);
        approved.is_some_and(|approved| approved.action == action && Some(&approved.home) == home)
    }
}
