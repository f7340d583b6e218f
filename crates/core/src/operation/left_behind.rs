//! A move whose process is gone: what is left to do about the stream's placement (P10).
//!
//! A move itself continues without a process. But a repair removes the placement to set it again (nats-facts N21), and
//! a cancelled move leaves the placement of its target, or none, up to 2.14 (nats-facts N27): a process that ends in
//! between leaves the stream without its owner's placement.

use crate::names::{Location, StreamName};
use crate::policy::Policy;
use crate::safety::is_moving;
use crate::snapshot::{AccountView, Placement, Stream};
use crate::target::{Destination, MoveTarget};
use crate::topology::LocationMap;

/// A move that was in flight when a status was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MoveLeftBehind {
    /// The stream.
    pub stream: StreamName,
    /// Where it was to go.
    pub location: Location,
    /// The placement that it replaced.
    pub replaced: Option<Placement>,
}

/// What is left to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Completion {
    /// Nothing yet: the stream moves, or has no leader.
    Wait,
    /// Nothing: the servers have completed it, somebody else has, or there is nothing to lose.
    Nothing,
    /// The placement from before has to be written. The target is where the stream is.
    PutBack(MoveTarget),
}

/// What is left to do about a move, by a complete view.
pub fn completion(left: &MoveLeftBehind, view: &AccountView, policy: &Policy) -> Completion {
    let is_any = |placement: &&Placement| placement.cluster.is_some() || !placement.tags.is_empty();
    let Some(replaced) = left.replaced.as_ref().filter(is_any) else {
        return Completion::Nothing;
    };
    let Some(stream) = view.stream(&left.stream) else {
        return Completion::Nothing;
    };
    if is_moving(stream) || stream.group.leader.is_none() {
        return Completion::Wait;
    }
    let stored = stream.placement.as_ref();
    if stored == Some(replaced) || !(stored.is_none() || was_cancelled(left, stream, view, policy)) {
        return Completion::Nothing;
    }
    let peers = stream.group.peers.iter();
    let servers = peers.filter_map(|peer| Some(view.topology.get(peer.server)?.name.clone()));
    Completion::PutBack(MoveTarget {
        location: left.location.clone(),
        placement: replaced.clone(),
        replaces: stream.placement.clone(),
        servers: servers.collect(),
    })
}

/// Whether a stream stores the placement of the move's target and has no peer there.
fn was_cancelled(left: &MoveLeftBehind, stream: &Stream, view: &AccountView, policy: &Policy) -> bool {
    let (topology, key) = (&view.topology, &policy.topology);
    let locations = LocationMap::new(topology, key);
    let target = Destination::new(topology, key, &locations, &left.location, None);
    let wanted = target.placement(left.replaced.as_ref());
    !target.has_peer(&stream.group) && stream.placement.as_ref() == Some(&wanted)
}

#[cfg(test)]
mod tests;
