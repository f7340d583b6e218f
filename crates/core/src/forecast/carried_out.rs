//! What a view becomes when every action succeeds, as the servers would do it (nats-facts N4, N10, N21).
//!
//! What the servers would refuse, or could only do with harm, is not done and is named. Time is up to the caller.

mod choice;

use std::sync::Arc;

use jiff::Timestamp;

use self::choice::{choose, fill};
use crate::action::{Action, ActionKind, Move, StepDown, Successor};
use crate::names::{AssetName, ServerName};
use crate::snapshot::{AccountView, Peer, RaftGroup, Stream};
use crate::topology::{Server, ServerIx, Topology};

/// An action that was not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SimulatedRefusal {
    /// Its asset.
    pub asset: AssetName,
    /// Why.
    pub why: Refusal,
}

/// Why an action was not done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The view does not show the asset.
    #[error("the view does not show it")]
    NoAsset,
    /// The successor is not a member of the group.
    #[error("no member of its group shall take over")]
    NoMember,
    /// Too few servers would take it.
    #[error("the servers would refuse to move it")]
    NoServers,
    /// The servers would choose one that is outside the location.
    #[error("{server} would be chosen, which is outside the location")]
    OutsideLocation {
        /// Which.
        server: ServerName,
    },
    /// A server would exceed its capacity.
    #[error("{server} would overflow")]
    Overflow {
        /// Which.
        server: ServerName,
    },
}

/// Carries out actions, in order; new leaders lead from `led_since` on. Returns those not done.
pub fn carry_out(view: &mut AccountView, actions: &[Action], led_since: Timestamp) -> Vec<SimulatedRefusal> {
    let topology = Arc::clone(&view.topology);
    let mut servers: Option<Vec<Server>> = None;
    let mut refused = Vec::new();
    for action in actions {
        let done = match (stream_of(view, &action.asset), &action.kind) {
            (None, _) => Err(Refusal::NoAsset),
            (Some(stream), ActionKind::StepDown(step_down)) => {
                let group = group_of(stream, &action.asset);
                transfer_leader(&topology, group, step_down, led_since)
            }
            (Some(stream), ActionKind::Move(moving)) => {
                let servers = servers.get_or_insert_with(|| topology.servers().to_vec());
                relocate(servers, topology.meta_leader.as_ref(), stream, moving, led_since)
            }
        };
        if let Err(why) = done {
            let asset = action.asset.clone();
            refused.push(SimulatedRefusal { asset, why });
        }
    }
    if let Some(servers) = servers {
        let mut filled = Topology::new(servers, topology.round_trips.clone());
        filled.routes = Arc::clone(&topology.routes);
        filled.domain.clone_from(&topology.domain);
        filled.meta_leader.clone_from(&topology.meta_leader);
        view.topology = Arc::new(filled);
    }
    refused
}

fn stream_of<'v>(view: &'v mut AccountView, asset: &AssetName) -> Option<&'v mut Stream> {
    let named = |stream: &Stream| stream.name.cmp(&asset.stream);
    let at = view.streams.binary_search_by(named).ok()?;
    view.streams.get_mut(at)
}

fn group_of<'s>(stream: &'s mut Stream, asset: &AssetName) -> Option<&'s mut RaftGroup> {
    let Some(name) = &asset.consumer else {
        return Some(&mut stream.group);
    };
    let consumers = &mut stream.consumers;
    let at = consumers
        .binary_search_by(|consumer| consumer.name.cmp(name))
        .ok()?;
    consumers.get_mut(at).map(|consumer| &mut consumer.group)
}

fn transfer_leader(
    topology: &Topology,
    group: Option<&mut RaftGroup>,
    step_down: &StepDown,
    led_since: Timestamp,
) -> Result<(), Refusal> {
    let group = group.ok_or(Refusal::NoAsset)?;
    let taker = match &step_down.successor {
        Successor::Peer(server) => Some(server),
        // The lucky case: the servers happen to choose a peer in home.
        Successor::Anyone | Successor::OtherServer => step_down.home_peers.first(),
    };
    let taker = taker.and_then(|server| topology.find(server.as_str()));
    if step_down.successor == Successor::OtherServer
        && let (Some(taker), Some(only)) = (taker, group.peers.first_mut())
    {
        only.server = taker;
    }
    let member = taker.filter(|taker| group.peers.iter().any(|peer| peer.server == *taker));
    group.leader = Some(member.ok_or(Refusal::NoMember)?);
    group.leader_since = Some(led_since);
    Ok(())
}

fn relocate(
    servers: &mut [Server],
    meta_leader: Option<&ServerName>,
    stream: &mut Stream,
    moving: &Move,
    led_since: Timestamp,
) -> Result<(), Refusal> {
    let chosen = choose(servers, meta_leader, &moving.target, stream)?;
    fill(servers, &chosen, stream)?;
    stream.placement = Some(moving.target.placement.clone());
    stream.group = led_by_first(&chosen, led_since);
    for consumer in &mut stream.consumers {
        let size = consumer.group.peers.len().min(chosen.len());
        consumer.group = led_by_first(chosen.get(..size).unwrap_or_default(), led_since);
    }
    Ok(())
}

fn led_by_first(servers: &[ServerIx], led_since: Timestamp) -> RaftGroup {
    let peer = |server| Peer {
        server,
        current: true,
        offline: false,
        lag: 0,
    };
    let mut peers: Vec<Peer> = servers.iter().copied().map(peer).collect();
    peers.sort_by_key(|peer| peer.server);
    RaftGroup {
        leader: servers.first().copied(),
        // A group of one has no elections.
        leader_since: (servers.len() > 1).then_some(led_since),
        peers: peers.into(),
    }
}

#[cfg(test)]
mod tests;
