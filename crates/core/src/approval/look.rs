//! What one complete look shows of what is proposed and of what was approved.

use std::collections::BTreeMap;

use leeward_api::vocabulary::Remedy;

use crate::asset::{AssetIx, asset_index, asset_name};
use crate::context::DecisionContext;
use crate::evaluate::{Counts, Evaluation, Finding, Verdict};
use crate::names::AssetName;
use crate::proposal::{Estimate, Proposal};
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
        let sum = |count: fn(&Counts) -> u32| {
            count(&evaluation.streams).saturating_add(count(&evaluation.consumers))
        };
        Some(Self {
            generation,
            estimates: estimates(context, evaluation, &proposal),
            states: states(&approved, context, evaluation),
            proposal,
            approved,
            in_place: sum(|counts| counts.in_place),
            judged: sum(|counts| counts.total.saturating_sub(counts.ignored)),
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
    for finding in evaluation.findings.iter().filter(|finding| follows(finding)) {
        followers.entry(finding.asset.stream()).or_default().push(finding);
    }
    let rate = |finding: &Finding| {
        let stream = view.streams.get(finding.asset.stream() as usize)?;
        match finding.asset {
            AssetIx::Stream(_) => stream.message_rate,
            AssetIx::Consumer(_, _) => finding.asset.consumer_of(stream)?.message_rate,
        }
    };
    let estimate = |(asset, proposed): (&AssetName, &crate::proposal::ProposedAction)| {
        let at = asset_index(view, asset)?;
        let moved = proposed.action.is_move();
        let with_it = followers
            .get(&at.stream())
            .filter(|_| moved)
            .map_or(&[][..], Vec::as_slice);
        let all = findings.get(&at).into_iter().chain(with_it);
        let known = all.clone().filter(|finding| rate(finding).is_some());
        let stream = view.streams.get(at.stream() as usize).filter(|_| moved);
        let estimate = Estimate {
            bytes: stream.map_or(0, |stream| safety_context.move_cost(stream).bytes),
            saved: known.map(|finding| finding.gain).reduce(|sum, gain| sum + gain),
            leaders: u32::try_from(all.count()).unwrap_or(u32::MAX),
        };
        Some((asset_name(view, at)?, estimate))
    };
    proposal.actions.iter().filter_map(estimate).collect()
}

/// Whether it comes home with its stream.
fn follows(finding: &Finding) -> bool {
    match finding.verdict {
        Verdict::Misplaced(remedy) | Verdict::Held(remedy, _) => remedy == Remedy::FollowsStream,
        Verdict::InPlace | Verdict::Ignored(_) => false,
    }
}
