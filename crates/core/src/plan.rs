//! Findings → an ordered list of actions so specific that carrying one out leaves no choice.
//!
//! Everything that is not in the plan has its reason in the evaluation, or in the plan where it only waits for others.
//! Order: greatest gain per cost first, a stream before its consumers, then by name (P1).

mod moves;

use std::collections::BTreeMap;

use leeward_api::vocabulary::{ActionType, FindingReason};
use serde::{Deserialize, Serialize};

use crate::admission::admit;
use crate::demand::Home;
use crate::evaluate::{AssetIx, Cure, Evaluation, EvaluationContext, Finding, Verdict, asset_name};
use crate::names::{AssetName, ConsumerName, ServerName, StreamName};
use crate::policy::Policy;
use crate::safety::SafetyContext;
use crate::score::{MoveCost, STEP_DOWN_COST};
use crate::snapshot::AccountView;
use crate::spread::{Spread, group_of};
use crate::target::MoveTarget;
use crate::topology::{LocationMap, ServerIx};

/// What to do, in order.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[must_use]
pub struct Plan {
    /// The first goes first.
    pub actions: Vec<Action>,
    /// Misplaced assets that wait all the same, and what for; the consumers of a stream that waits wait with it.
    #[serde(with = "held_list", default)]
    pub held: BTreeMap<AssetIx, FindingReason>,
}

/// One thing to do to one asset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Action {
    /// The asset.
    pub asset: AssetName,
    /// The leader that was seen; another one by then means that somebody else acted.
    pub from: ServerName,
    /// What to do.
    pub deed: ActionKind,
}

/// The ways to bring a leader home.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ActionKind {
    /// Hand the leadership over.
    StepDown(StepDown),
    /// Edit the stream's placement.
    Move(Box<Move>),
}

/// A move, with what it will cost and whom it concerns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Move {
    /// Where to.
    pub target: MoveTarget,
    /// Bytes that the stream stores.
    pub bytes: u64,
    /// What it is expected to cost.
    pub cost: MoveCost,
    /// Consumers of the stream that were in use, and must go on after it; those used most, at most [`MOST_WATCHED`].
    pub consumers: Vec<ConsumerName>,
    /// Streams of the account that mirror or source this one, which may stall after it (nats-facts N26).
    pub dependents: Vec<StreamName>,
}

/// Consumers of a moved stream that are watched after the move.
pub const MOST_WATCHED: usize = 16;

/// A hand-over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepDown {
    /// Who takes over.
    pub successor: Successor,
    /// The asset's peers in home: any of them as leader is a success.
    pub home_peers: Vec<ServerName>,
}

/// Who takes a leadership over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Successor {
    /// This peer (servers from 2.11 on, nats-facts N10).
    Peer(ServerName),
    /// Whom the servers choose; repeated until one in home leads or attempts are used up.
    Anyone,
}

impl Action {
    /// What kind of action it is.
    pub fn kind(&self) -> ActionType {
        match &self.deed {
            ActionKind::Move(_) => ActionType::StreamPlacement,
            ActionKind::StepDown(_) => step_down_of(&self.asset),
        }
    }

    /// The server that will lead, where that is known.
    pub fn target(&self) -> Option<&ServerName> {
        match &self.deed {
            ActionKind::StepDown(StepDown {
                successor: Successor::Peer(server),
                home_peers: _,
            }) => Some(server),
            ActionKind::StepDown(StepDown {
                successor: Successor::Anyone,
                home_peers: _,
            })
            | ActionKind::Move(_) => None,
        }
    }
}

/// The kind of a step-down of an asset's leader.
pub fn step_down_of(asset: &AssetName) -> ActionType {
    match asset.consumer {
        None => ActionType::StreamStepDown,
        Some(_) => ActionType::ConsumerStepDown,
    }
}

/// Plans all movable findings of an evaluation of the same view; empty unless home is settled.
pub fn plan(
    view: &AccountView,
    policy: &Policy,
    eval_context: &EvaluationContext<'_>,
    evaluation: &Evaluation,
) -> Plan {
    let Some(Home::Settled { location, since: _ }) = evaluation.home.as_ref() else {
        return Plan::default();
    };
    if !evaluation.conclusive() {
        return Plan::default();
    }
    let locations = LocationMap::new(&view.topology, &policy.topology);
    let safety_context = SafetyContext::new(
        view,
        policy,
        eval_context,
        &locations,
        location,
        evaluation.home.as_ref(),
    );
    let ranked = rank(view, &safety_context, evaluation);
    let held = moves::waiting(view, &safety_context, &ranked);
    let chosen = new_leaders(view, &safety_context, &ranked);
    let actions = ranked
        .iter()
        .filter(|finding| !held.contains_key(&finding.asset))
        .filter_map(|finding| {
            let deed = match finding.verdict {
                Verdict::Misplaced(Cure::Move) => {
                    let stream = view.streams.get(finding.asset.stream() as usize)?;
                    ActionKind::Move(Box::new(moves::move_of(view, policy, &safety_context, stream)?))
                }
                Verdict::Misplaced(Cure::StepDown) => {
                    let chosen = chosen.get(&finding.asset).copied();
                    ActionKind::StepDown(step_down(view, &safety_context, finding, chosen)?)
                }
                Verdict::Misplaced(Cure::FollowStream)
                | Verdict::InPlace
                | Verdict::Ignored(_)
                | Verdict::Held(_, _) => return None,
            };
            Some(Action {
                asset: asset_name(view, finding.asset)?,
                from: server_name(view, finding.leader?)?,
                deed,
            })
        })
        .collect();
    admit(view, policy, eval_context, evaluation, Plan { actions, held })
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

/// What consumers gain that come home with their stream, by stream.
fn gains_of_followers(evaluation: &Evaluation) -> BTreeMap<u32, f32> {
    let mut gains = BTreeMap::new();
    let follows = |finding: &&Finding| finding.verdict == Verdict::Misplaced(Cure::FollowStream);
    for finding in evaluation.findings.iter().filter(follows) {
        *gains.entry(finding.asset.stream()).or_insert(0.0) += finding.gain;
    }
    gains
}

/// `None` for what no action of its own cures.
fn gain_per_cost(
    view: &AccountView,
    safety_context: &SafetyContext<'_>,
    following: &BTreeMap<u32, f32>,
    finding: &Finding,
) -> Option<f32> {
    match finding.verdict {
        Verdict::Misplaced(Cure::StepDown) => Some(finding.gain / STEP_DOWN_COST),
        Verdict::Misplaced(Cure::Move) => {
            let at = finding.asset.stream();
            let gain = finding.gain + following.get(&at).copied().unwrap_or(0.0);
            let stream = view.streams.get(at as usize)?;
            Some(gain / safety_context.move_cost(stream).weight())
        }
        Verdict::Misplaced(Cure::FollowStream)
        | Verdict::InPlace
        | Verdict::Ignored(_)
        | Verdict::Held(_, _) => None,
    }
}

fn new_leaders(
    view: &AccountView,
    safety_context: &SafetyContext<'_>,
    ranked: &[&Finding],
) -> BTreeMap<AssetIx, ServerIx> {
    let wanting: Vec<(AssetIx, Vec<ServerIx>)> = ranked
        .iter()
        .filter(|finding| finding.verdict == Verdict::Misplaced(Cure::StepDown))
        .filter_map(|finding| {
            let group = group_of(view, finding.asset)?;
            Some((finding.asset, safety_context.eligible(group).collect()))
        })
        .collect();
    Spread::new(view).assign(&wanting)
}

fn step_down(
    view: &AccountView,
    safety_context: &SafetyContext<'_>,
    finding: &Finding,
    chosen: Option<ServerIx>,
) -> Option<StepDown> {
    let group = group_of(view, finding.asset)?;
    let home_peers = group
        .peers
        .iter()
        .filter(|peer| safety_context.is_home(peer.server))
        .filter_map(|peer| server_name(view, peer.server));
    let successor = if safety_context.takes_aim(group) {
        Successor::Peer(server_name(view, chosen?)?)
    } else {
        Successor::Anyone
    };
    Some(StepDown {
        successor,
        home_peers: home_peers.collect(),
    })
}

fn server_name(view: &AccountView, server: ServerIx) -> Option<ServerName> {
    view.topology.get(server).map(|server| server.name.clone())
}

/// Serialises what is held as a list, since JSON has no keys but text.
mod held_list {
    use std::collections::BTreeMap;

    use leeward_api::vocabulary::FindingReason;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::evaluate::AssetIx;

    type Held = BTreeMap<AssetIx, FindingReason>;

    pub(super) fn serialize<S: Serializer>(held: &Held, serializer: S) -> Result<S::Ok, S::Error> {
        held.iter().collect::<Vec<_>>().serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Held, D::Error> {
        let rows = Vec::<(AssetIx, FindingReason)>::deserialize(deserializer)?;
        Ok(rows.into_iter().collect())
    }
}

#[cfg(test)]
mod tests;
