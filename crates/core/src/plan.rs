//! Findings → an ordered list of actions so specific that carrying one out leaves no choice.
//!
//! Everything that is not in the plan has its reason in the evaluation. Order: greatest gain per cost first, a stream
//! before its consumers, then by name (P1).

use leeward_api::vocabulary::ActionType;
use serde::{Deserialize, Serialize};

use crate::demand::Home;
use crate::evaluate::{AssetIx, Circumstances, Cure, Evaluation, Finding, Verdict, asset_name};
use crate::names::{AssetName, Location, ServerName};
use crate::policy::Policy;
use crate::safety::Ground;
use crate::score::{STEP_DOWN_COST, move_cost};
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
}

/// One thing to do to one asset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Action {
    /// The asset.
    pub asset: AssetName,
    /// The leader that was seen; another one by then means that somebody else acted.
    pub from: ServerName,
    /// What to do.
    pub deed: Deed,
}

/// The ways to bring a leader home.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Deed {
    /// Hand the leadership over.
    StepDown(StepDown),
    /// Edit the stream's placement.
    Move(Box<MoveTarget>),
}

/// A hand-over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepDown {
    /// Who takes over.
    pub aim: Aim,
    /// The asset's peers in home: any of them as leader is a success.
    pub home_peers: Vec<ServerName>,
}

/// Who takes a leadership over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Aim {
    /// This peer (servers from 2.11 on, NATS.md N10).
    Peer(ServerName),
    /// Whom the servers choose; repeated until one in home leads or attempts are used up.
    Anyone,
}

impl Action {
    /// What kind of action it is.
    pub fn kind(&self) -> ActionType {
        match (&self.deed, &self.asset.consumer) {
            (Deed::Move(_), _) => ActionType::StreamPlacement,
            (Deed::StepDown(_), None) => ActionType::StreamStepDown,
            (Deed::StepDown(_), Some(_)) => ActionType::ConsumerStepDown,
        }
    }

    /// The server that will lead, where that is known.
    pub fn target(&self) -> Option<&ServerName> {
        match &self.deed {
            Deed::StepDown(StepDown {
                aim: Aim::Peer(server),
                home_peers: _,
            }) => Some(server),
            Deed::StepDown(StepDown {
                aim: Aim::Anyone,
                home_peers: _,
            })
            | Deed::Move(_) => None,
        }
    }
}

/// Plans all movable findings of an evaluation of the same view; empty unless home is settled.
pub fn plan(
    view: &AccountView,
    policy: &Policy,
    circumstances: &Circumstances<'_>,
    evaluation: &Evaluation,
) -> Plan {
    let Some(Home::Settled { location, since: _ }) = evaluation.home.as_ref() else {
        return Plan::default();
    };
    if !evaluation.conclusive() {
        return Plan::default();
    }
    let locations = LocationMap::new(&view.topology, &policy.topology);
    let ground = Ground::new(
        view,
        policy,
        circumstances,
        &locations,
        location,
        evaluation.home.as_ref(),
    );
    let ranked = rank(view, evaluation);
    let wanting: Vec<(AssetIx, Vec<ServerIx>)> = ranked
        .iter()
        .filter(|finding| finding.verdict == Verdict::Misplaced(Cure::StepDown))
        .filter_map(|finding| {
            let group = group_of(view, finding.asset)?;
            Some((finding.asset, ground.eligible(group).collect()))
        })
        .collect();
    let chosen = Spread::new(view).assign(&wanting);
    let actions = ranked
        .iter()
        .filter_map(|finding| {
            action(
                view,
                &ground,
                location,
                finding,
                chosen.get(&finding.asset).copied(),
            )
        })
        .collect();
    Plan { actions }
}

/// Movable findings by gain per cost; a consumer never ranks before the action on its stream.
fn rank<'e>(view: &AccountView, evaluation: &'e Evaluation) -> Vec<&'e Finding> {
    let mut stream_score: Option<(u32, f32)> = None;
    let mut ranked: Vec<(f32, &Finding)> = Vec::with_capacity(evaluation.findings.len());
    for finding in &evaluation.findings {
        let Some(own) = gain_per_cost(view, finding) else {
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

/// `None` for what no action of its own cures.
fn gain_per_cost(view: &AccountView, finding: &Finding) -> Option<f32> {
    match finding.verdict {
        Verdict::Misplaced(Cure::StepDown) => Some(finding.gain / STEP_DOWN_COST),
        Verdict::Misplaced(Cure::Move) => {
            let bytes = view.streams.get(finding.asset.stream() as usize)?.bytes;
            Some(finding.gain / move_cost(bytes))
        }
        Verdict::Misplaced(Cure::FollowStream)
        | Verdict::InPlace
        | Verdict::Ignored(_)
        | Verdict::Held(_, _) => None,
    }
}

fn action(
    view: &AccountView,
    ground: &Ground<'_>,
    location: &Location,
    finding: &Finding,
    chosen: Option<ServerIx>,
) -> Option<Action> {
    let name = |server: ServerIx| view.topology.get(server).map(|server| server.name.clone());
    let asset = asset_name(view, finding.asset)?;
    let from = name(finding.leader?)?;
    let stream = view.streams.get(finding.asset.stream() as usize)?;
    let deed = if finding.verdict == Verdict::Misplaced(Cure::Move) {
        let target = ground.move_target(stream).ok()?;
        debug_assert_eq!(target.location, *location);
        Deed::Move(Box::new(target))
    } else {
        let group = group_of(view, finding.asset)?;
        let home_peers = group
            .peers
            .iter()
            .filter(|peer| ground.is_home(peer.server))
            .filter_map(|peer| name(peer.server));
        let aim = if ground.takes_aim(group) {
            Aim::Peer(name(chosen?)?)
        } else {
            Aim::Anyone
        };
        Deed::StepDown(StepDown {
            aim,
            home_peers: home_peers.collect(),
        })
    };
    Some(Action { asset, from, deed })
}

#[cfg(test)]
mod tests;
