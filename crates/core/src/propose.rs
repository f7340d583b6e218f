//! What is proposed by an evaluation, and what has become of what was proposed.
//!
//! An action that only has to wait is proposed all the same. One that was proposed is left out once its asset has changed, and never
//! replaced by another.

use std::collections::BTreeMap;

use leeward_api::vocabulary::{ActionType, FindingReason, ReasonClass};

use crate::asset::{AssetIx, asset_index, asset_name};
use crate::context::DecisionContext;
use crate::evaluate::{Evaluation, Finding, Verdict};
use crate::names::{AssetName, Location};
use crate::proposal::{Proposal, ProposedAction};
use crate::topology::LocationMap;

/// What has become of an action that was proposed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProposedState {
    /// It is still what would be done.
    Due,
    /// So it is, when this reason has passed.
    Waits(FindingReason),
    /// The leader is where it was to go.
    Done,
    /// It is no longer what would be done: it is left out, and nothing else is done in its place.
    Changed(ProposalChange),
}

/// What changed since an action was proposed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::IntoStaticStr)]
pub enum ProposalChange {
    /// The stream or consumer does not exist any more.
    Gone,
    /// The policy does not select it any more, or its owner opted out.
    NotSelected,
    /// Its home is another location.
    HomeChanged,
    /// It is led from another location, though not from home.
    LeaderChanged,
    /// Another action would bring it home.
    ActionChanged,
    /// It is held for a reason that does not pass by itself.
    Held(FindingReason),
}

/// What an evaluation proposes: each asset that an action of its own would bring home, now or after a wait. Nothing, where not
/// everything was seen.
pub fn propose(context: &DecisionContext<'_>, evaluation: &Evaluation) -> Proposal {
    if !evaluation.conclusive() {
        return Proposal::default();
    }
    let locations = LocationMap::new(&context.view.topology, &context.policy.topology);
    let proposed = |finding: &Finding| {
        let (action, held) = remedy(finding)?;
        let passes = held.is_none_or(|reason| reason.class() == ReasonClass::Soft);
        let settled = evaluation.homes.hold(finding.asset).is_none();
        let proposed = ProposedAction {
            action,
            from: location(&locations, finding),
            to: evaluation.homes.reference(finding.asset)?.clone(),
        };
        (passes && settled).then_some((asset_name(context.view, finding.asset)?, proposed))
    };
    Proposal {
        actions: evaluation.findings.iter().filter_map(proposed).collect(),
    }
}

/// What has become of each action, as a later evaluation shows it.
pub fn states(
    proposal: &Proposal,
    context: &DecisionContext<'_>,
    evaluation: &Evaluation,
) -> BTreeMap<AssetName, ProposedState> {
    let locations = LocationMap::new(&context.view.topology, &context.policy.topology);
    let findings: BTreeMap<AssetIx, &Finding> = evaluation
        .findings
        .iter()
        .map(|finding| (finding.asset, finding))
        .collect();
    let state = |(asset, proposed): (&AssetName, &ProposedAction)| {
        let state = match asset_index(context.view, asset) {
            None => ProposedState::Changed(ProposalChange::Gone),
            Some(ix) => match findings.get(&ix) {
                Some(finding) => {
                    state_of_finding(proposed, finding, &locations, evaluation.homes.reference(ix))
                }
                None => state_without_finding(proposed, context, ix, &locations, evaluation),
            },
        };
        (asset.clone(), state)
    };
    proposal.actions.iter().map(state).collect()
}

/// Of an asset that is still not in place.
fn state_of_finding(
    proposed: &ProposedAction,
    finding: &Finding,
    locations: &LocationMap,
    home: Option<&Location>,
) -> ProposedState {
    if home != Some(&proposed.to) {
        return ProposedState::Changed(ProposalChange::HomeChanged);
    }
    let held = match finding.verdict {
        Verdict::Misplaced(_) => None,
        Verdict::Held(_, reason) => Some(reason),
        Verdict::InPlace | Verdict::Ignored(_) => return ProposedState::Changed(ProposalChange::NotSelected),
    };
    // Without a leader nobody knows where it will be.
    let led_from = location(locations, finding);
    if finding.leader.is_some() && proposed.from.is_some() && led_from != proposed.from {
        return ProposedState::Changed(ProposalChange::LeaderChanged);
    }
    match held {
        Some(reason) if passes(reason) => ProposedState::Waits(reason),
        Some(reason) => ProposedState::Changed(ProposalChange::Held(reason)),
        None if remedy(finding).is_some_and(|(action, _)| action == proposed.action) => ProposedState::Due,
        None => ProposedState::Changed(ProposalChange::ActionChanged),
    }
}

/// Of an asset that nothing is wrong with.
fn state_without_finding(
    proposed: &ProposedAction,
    context: &DecisionContext<'_>,
    asset: AssetIx,
    locations: &LocationMap,
    evaluation: &Evaluation,
) -> ProposedState {
    let leader = asset_name(context.view, asset)
        .and_then(|name| context.view.group(&name))
        .and_then(|group| group.leader);
    if leader.and_then(|leader| locations.of(leader)) == Some(&proposed.to) {
        return ProposedState::Done;
    }
    let change = if evaluation.homes.reference(asset) == Some(&proposed.to) {
        ProposalChange::NotSelected
    } else {
        ProposalChange::HomeChanged
    };
    ProposedState::Changed(change)
}

/// Whether an approved action waits for a reason to pass. Peers that are missing come back.
fn passes(reason: FindingReason) -> bool {
    let behavior = reason.behavior();
    behavior.class == ReasonClass::Soft || behavior.is_checked_before_request
}

/// The action that would bring an asset home, and what holds it.
fn remedy(finding: &Finding) -> Option<(ActionType, Option<FindingReason>)> {
    match finding.verdict {
        Verdict::Misplaced(remedy) => Some((remedy.action()?, None)),
        Verdict::Held(remedy, reason) => Some((remedy.action()?, Some(reason))),
        Verdict::InPlace | Verdict::Ignored(_) => None,
    }
}

fn location(locations: &LocationMap, finding: &Finding) -> Option<Location> {
    locations.of(finding.leader?).cloned()
}

#[cfg(test)]
mod tests;
