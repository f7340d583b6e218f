//! Labels: what a number is about. None ever holds the name of a stream, a consumer or a server.

use leeward_api::vocabulary::ActionType;
use prometheus_client::encoding::EncodeLabelSet;

/// The policy that a number is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, EncodeLabelSet)]
pub struct PolicyLabels {
    /// The policy's namespace.
    pub namespace: String,
    /// The policy's name.
    pub policy: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct AssetLabels {
    pub(super) namespace: String,
    pub(super) policy: String,
    pub(super) kind: &'static str,
    pub(super) state: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct LeaderLabels {
    pub(super) namespace: String,
    pub(super) policy: String,
    pub(super) kind: &'static str,
    pub(super) location: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct LocationLabels {
    pub(super) namespace: String,
    pub(super) policy: String,
    pub(super) location: String,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, EncodeLabelSet)]
pub(super) struct ActionLabels {
    pub(super) namespace: String,
    pub(super) policy: String,
    pub(super) action: &'static str,
    pub(super) result: &'static str,
    pub(super) reason: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ActionKindLabels {
    pub(super) namespace: String,
    pub(super) policy: String,
    pub(super) action: &'static str,
}

pub(super) fn asset_labels(policy: &PolicyLabels, kind: &'static str, state: &'static str) -> AssetLabels {
    let PolicyLabels { namespace, policy } = policy.clone();
    AssetLabels {
        namespace,
        policy,
        kind,
        state,
    }
}

pub(super) fn leader_labels(policy: &PolicyLabels, kind: &'static str, location: &str) -> LeaderLabels {
    let PolicyLabels { namespace, policy } = policy.clone();
    LeaderLabels {
        namespace,
        policy,
        kind,
        location: location.to_owned(),
    }
}

pub(super) fn location_labels(policy: &PolicyLabels, location: &str) -> LocationLabels {
    let PolicyLabels { namespace, policy } = policy.clone();
    LocationLabels {
        namespace,
        policy,
        location: location.to_owned(),
    }
}

pub(super) fn kind_labels(policy: &PolicyLabels, action: ActionType) -> ActionKindLabels {
    ActionKindLabels {
        namespace: policy.namespace.clone(),
        policy: policy.policy.clone(),
        action: action.into(),
    }
}
