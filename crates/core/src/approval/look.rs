//! What one complete look shows of what is proposed and of what was approved.

use std::collections::BTreeMap;

use crate::asset::{AssetIx, asset_index};
use crate::context::DecisionContext;
use crate::evaluate::{Evaluation, Finding};
use crate::names::AssetName;
use crate::proposal::{Estimate, Proposal, ProposedAction};
use crate::propose::{ProposedState, propose, states};
use crate::safety::SafetyContext;
use crate::topology::LocationMap;

/// What one complete look shows of a policy's plans.
#[derive(Clone, Debug, PartialEq)]
pub struct ProposalLook {
    /// The generation of the policy that it was judged by.
    pub generation: i64,
    /// What is proposed.
    pub proposal: Proposal,
    /// What each action of it is expected to cost and to change.
    pub estimates: BTreeMap<AssetName, Estimate>,
    /// What was approved when it was judged.
    pub approved: Proposal,
    /// What has become of each action of that.
    pub states: BTreeMap<AssetName, ProposedState>,
    /// Leaders in place.
    pub in_place: u32,
    /// Leaders that are judged.
    pub judged: u32,
    /// The share of the account's bytes that crosses gateways, in percent.
    pub gateway_percent: Option<i32>,
}

impl ProposalLook {
    /// Of an evaluation; `None` where not everything was seen.
    pub fn new(
        context: &DecisionContext<'_>,
        evaluation: &Evaluation,
        generation: i64,
        gateway_percent: Option<i32>,
    ) -> Option<Self> {
        if !evaluation.conclusive() {
            return None;
        }
        let proposal = propose(context, evaluation);
        let approved = context.approved.cloned().unwrap_or_default();
        Some(Self {
            generation,
            estimates: estimates(context, evaluation, &proposal),
            states: states(&approved, context, evaluation),
            proposal,
            approved,
            in_place: evaluation.in_place(),
            judged: evaluation.judged(),
            gateway_percent,
        })
    }
}

/// What each action is expected to cost and to change.
fn estimates(
    context: &DecisionContext<'_>,
    evaluation: &Evaluation,
    proposal: &Proposal,
) -> BTreeMap<AssetName, Estimate> {
    let view = context.view;
    let locations = LocationMap::new(&view.topology, &context.policy.topology);
    let safety_context = SafetyContext::new(context, &locations, &evaluation.homes);
    let findings: BTreeMap<AssetIx, &Finding> = evaluation
        .findings
        .iter()
        .map(|finding| (finding.asset, finding))
        .collect();
    let mut followers: BTreeMap<u32, Vec<&Finding>> = BTreeMap::new();
    for finding in evaluation
        .findings
        .iter()
        .filter(|finding| finding.follows_stream())
    {
        followers.entry(finding.asset.stream()).or_default().push(finding);
    }
    let estimate = |(asset, proposed): (&AssetName, &ProposedAction)| {
        let at = asset_index(view, asset)?;
        let moved = proposed.action.is_move();
        let with_it = followers
            .get(&at.stream())
            .filter(|_| moved)
            .map_or(&[][..], Vec::as_slice);
        let all = findings.get(&at).into_iter().chain(with_it);
        let known = all.clone().filter_map(|finding| finding.known_gain(view));
        let stream = view.streams.get(at.stream() as usize).filter(|_| moved);
        let estimate = Estimate {
            bytes: stream.map_or(0, |stream| safety_context.move_cost(stream).bytes),
            saved: known.reduce(|sum, gain| sum + gain),
            leaders: u32::try_from(all.count()).unwrap_or(u32::MAX),
        };
        Some((asset.clone(), estimate))
    };
    proposal.actions.iter().filter_map(estimate).collect()
}
