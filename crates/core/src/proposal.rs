//! What a plan proposes, without when and how: which leaders go from where to where by which action. What people approve is a
//! proposal, and nothing else is started then.
//!
//! Its id depends on nothing else, neither on time nor rates nor the order in which things were seen: what was approved is still
//! approved when a later look proposes the same. What is proposed is found, and found again, in [`crate::propose`].

use std::collections::BTreeMap;

use leeward_api::policy_status::MAX_SPENT_PLANS;
use leeward_api::vocabulary::ActionType;
use sha2::{Digest as _, Sha256};

use crate::names::{AccountId, AssetName, Location};

/// Actions that are proposed, or approved, together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proposal {
    /// What is done to which asset.
    pub actions: BTreeMap<AssetName, ProposedAction>,
}

/// What is done to one asset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProposedAction {
    /// The kind of action. A step-down approves no copy of a stream.
    pub action: ActionType,
    /// Where the leader is; `None` for wherever it is.
    pub from: Option<Location>,
    /// Where it goes: its home.
    pub to: Location,
}

/// What an action is expected to cost and to change.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Estimate {
    /// Bytes that are copied, over all replicas.
    pub bytes: u64,
    /// Milliseconds of waiting saved a second, with what comes along; `None` where no message rate is known.
    pub saved: Option<f32>,
    /// Leaders that come home by it.
    pub leaders: u32,
}

impl Proposal {
    /// Its id, of one policy in one account: a hash, as 16 hexadecimal digits, and none of those that are spent. `None` where
    /// nothing is proposed.
    pub fn id(&self, policy: &str, account: &AccountId, spent: &[String]) -> Option<String> {
        self.ids(policy, account).find(|id| !spent.contains(id))
    }

    /// Whether this is one of the ids that it may have, of one policy in one account.
    pub fn may_have(&self, id: &str, policy: &str, account: &AccountId) -> bool {
        self.ids(policy, account).any(|one| one == id)
    }

    /// Its ids, in the order in which they are spent; none where nothing is proposed.
    fn ids(&self, policy: &str, account: &AccountId) -> impl Iterator<Item = String> {
        let most = if self.actions.is_empty() {
            0
        } else {
            MAX_SPENT_PLANS + 1
        };
        (0..most).filter_map(move |times| self.nth_id(policy, account, times))
    }

    /// The id after so many plans that proposed the same and ended.
    fn nth_id(&self, policy: &str, account: &AccountId, times: usize) -> Option<String> {
        let mut hash = Sha256::new();
        // Lengths keep texts apart: no choice of names makes two proposals alike.
        let mut add = |text: &str| {
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text);
        };
        add(policy);
        add(account.as_str());
        add(&times.to_string());
        for (asset, ProposedAction { action, from, to }) in &self.actions {
            add(asset.stream.as_str());
            add(asset.consumer.as_ref().map_or("", |consumer| consumer.as_str()));
            add(action.as_ref());
            add(from.as_ref().map_or("", |from| from.as_str()));
            add(to.as_str());
        }
        let digest: [u8; 32] = hash.finalize().into();
        let (first, _) = digest.split_first_chunk()?;
        Some(format!("{:016x}", u64::from_be_bytes(*first)))
    }
}
