//! Findings → an ordered list of actions so specific that carrying one out leaves no choice.
//!
//! Everything that is not in the plan has its reason in the evaluation, or in the plan where it only waits for others.
//! Order: greatest gain per cost first, a stream before its consumers, then by name (P1).

mod moves;

use std::collections::BTreeMap;

use leeward_api::vocabulary::{ActionClass, Remedy};

use crate::action::{Action, ActionKind, Plan, StepDown, Successor};
use crate::admission::admit;
use crate::asset::{AssetIx, asset_name};
use crate::context::DecisionContext;
use crate::evaluate::{Evaluation, Finding, Verdict};
use crate::names::ServerName;
use crate::safety::SafetyContext;
use crate::score::STEP_DOWN_COST;
use crate::snapshot::{AccountView, RaftGroup};
use crate::spread::{Spread, group_of};
use crate::target::Destination;
use crate::topology::{LocationMap, ServerIx};

/// Plans all movable findings of an evaluation of the same view; only those whose home is settled.
pub fn plan(context: &DecisionContext<'_>, evaluation: &Evaluation) -> Plan {
    let DecisionContext { view, policy, .. } = *context;
    let homes = &evaluation.homes;
    let settled = |finding: &&Finding| homes.hold(finding.asset).is_none();
    if !evaluation.conclusive() || !evaluation.findings.iter().any(|finding| settled(&finding)) {
        return Plan::default();
    }
    let locations = LocationMap::new(&view.topology, &policy.topology);
    let safety_context = SafetyContext::new(context, &locations, homes);
    let mut ranked = rank(view, &safety_context, evaluation);
    ranked.retain(settled);
    let held = moves::waiting(view, &safety_context, &ranked);
    let mut spread = Spread::new(view);
    moves::share_moving(view, &safety_context, evaluation, &mut spread);
    let successors = new_leaders(view, &safety_context, &ranked, &mut spread);
    let actions = ranked
        .iter()
        .filter(|finding| !held.contains_key(&finding.asset))
        .filter_map(|finding| {
            let Verdict::Misplaced(remedy) = finding.verdict else {
                return None;
            };
            let home = safety_context.destination(finding.asset)?;
            let kind = match remedy {
                Remedy::StreamPlacement => {
                    let stream = view.streams.get(finding.asset.stream() as usize)?;
                    let moving = moves::move_of(&safety_context, home, stream, &mut spread)?;
                    ActionKind::Move(Box::new(moving))
                }
                Remedy::StreamStepDown | Remedy::ConsumerStepDown => {
                    let successors = successors.get(&finding.asset).map_or(&[][..], Vec::as_slice);
                    let step_down = step_down(view, &safety_context, home, finding, successors)?;
                    let asset = asset_name(view, finding.asset)?;
                    let past = context.history.assets.get(&asset);
                    ActionKind::StepDown(step_down.after(past.map_or(0, |past| past.attempts), |_| true)?)
                }
                Remedy::ConsumerEvacuation => {
                    let stream = view.streams.get(finding.asset.stream() as usize)?;
                    ActionKind::StepDown(StepDown {
                        successor: Successor::OtherServer,
                        alternatives: Vec::new(),
                        home_peers: peers_in(view, home, &stream.group),
                    })
                }
                Remedy::FollowsStream | Remedy::Advice => return None,
            };
            Some(Action {
                asset: asset_name(view, finding.asset)?,
                from: server_name(view, finding.leader?)?,
                kind,
            })
        })
        .collect();
    admit(context, evaluation, Plan { actions, held })
}

/// Movable findings by gain per cost; a consumer never ranks before the action on its stream.
fn rank<'e>(
    view: &AccountView,
    safety_context: &SafetyContext<'_>,
    evaluation: &'e Evaluation,
) -> Vec<&'e Finding> {
    let following = gains_of_followers(evaluation);
    let mut stream_score: Option<(u32, f32)> = None;
    let mut ranked: Vec<(f32, &Finding)> = Vec::with_capacity(evaluation.findings.len());
    for finding in &evaluation.findings {
        let Some(own) = gain_per_cost(view, safety_context, &following, finding) else {
            continue;
        };
        let score = match (finding.asset, stream_score) {
            (AssetIx::Stream(stream), _) => {
                stream_score = Some((stream, own));
                own
            }
            (AssetIx::Consumer(stream, _), Some((of, score))) if of == stream => own.min(score),
            (AssetIx::Consumer(_, _), _) => own,
        };
        ranked.push((score, finding));
    }
    ranked.sort_by(|(a, left), (b, right)| b.total_cmp(a).then(left.asset.cmp(&right.asset)));
    ranked.into_iter().map(|(_, finding)| finding).collect()
}

/// The gain of consumers that come home with their stream, by stream.
fn gains_of_followers(evaluation: &Evaluation) -> BTreeMap<u32, f32> {
    let mut gains = BTreeMap::new();
    let follows = |finding: &&Finding| finding.verdict == Verdict::Misplaced(Remedy::FollowsStream);
    for finding in evaluation.findings.iter().filter(follows) {
        *gains.entry(finding.asset.stream()).or_insert(0.0) += finding.gain;
    }
    gains
}

/// `None` where no action of its own is the remedy.
fn gain_per_cost(
    view: &AccountView,
    safety_context: &SafetyContext<'_>,
    following: &BTreeMap<u32, f32>,
    finding: &Finding,
) -> Option<f32> {
    let Verdict::Misplaced(remedy) = finding.verdict else {
        return None;
    };
    match remedy {
        Remedy::StreamStepDown | Remedy::ConsumerStepDown | Remedy::ConsumerEvacuation => {
            Some(finding.gain / STEP_DOWN_COST)
        }
        Remedy::StreamPlacement => {
            let at = finding.asset.stream();
            let gain = finding.gain + following.get(&at).copied().unwrap_or(0.0);
            let stream = view.streams.get(at as usize)?;
            Some(gain / safety_context.move_cost(stream).weight())
        }
        Remedy::FollowsStream | Remedy::Advice => None,
    }
}

/// Who may take over what is to be stepped down: the chosen peer first.
fn new_leaders(
    view: &AccountView,
    safety_context: &SafetyContext<'_>,
    ranked: &[&Finding],
    spread: &mut Spread,
) -> BTreeMap<AssetIx, Vec<ServerIx>> {
    let wanting: Vec<(AssetIx, Vec<ServerIx>)> = ranked
        .iter()
        .filter(|finding| is_step_down(finding.verdict))
        .filter_map(|finding| {
            let group = group_of(view, finding.asset)?;
            let home = safety_context.destination(finding.asset)?;
            Some((finding.asset, safety_context.eligible(home, group).collect()))
        })
        .collect();
    let chosen = spread.assign(&wanting);
    let mut successors: BTreeMap<AssetIx, Vec<ServerIx>> = wanting.into_iter().collect();
    for (asset, candidates) in &mut successors {
        candidates.sort_by_key(|server| (chosen.get(asset) != Some(server), spread.led(*server), *server));
    }
    successors
}

fn is_step_down(verdict: Verdict) -> bool {
    let action = match verdict {
        Verdict::Misplaced(remedy) => remedy.action(),
        Verdict::InPlace | Verdict::Ignored(_) | Verdict::Held(_, _) => None,
    };
    action.is_some_and(|action| action.class() == ActionClass::StepDown)
}

fn step_down(
    view: &AccountView,
    safety_context: &SafetyContext<'_>,
    home: &Destination<'_>,
    finding: &Finding,
    successors: &[ServerIx],
) -> Option<StepDown> {
    let group = group_of(view, finding.asset)?;
    let mut named = successors.iter().filter_map(|server| server_name(view, *server));
    let (successor, alternatives) = if safety_context.takes_aim(group) {
        (Successor::Peer(named.next()?), named.collect())
    } else {
        (Successor::Anyone, Vec::new())
    };
    Some(StepDown {
        successor,
        alternatives,
        home_peers: peers_in(view, home, group),
    })
}

fn peers_in(view: &AccountView, home: &Destination<'_>, group: &RaftGroup) -> Vec<ServerName> {
    let inside = group.peers.iter().filter(|peer| home.contains(peer.server));
    inside.filter_map(|peer| server_name(view, peer.server)).collect()
}

fn server_name(view: &AccountView, server: ServerIx) -> Option<ServerName> {
    view.topology.get(server).map(|server| server.name.clone())
}

#[cfg(test)]
mod tests;
