//! A move whose process is gone: what is left to do about the stream's placement (P10).
//!
//! A move itself continues without a process. But a repair removes the placement to set it again (nats-facts N21), and
//! a cancelled move leaves the placement of its target, or none, up to 2.14 (nats-facts N27): a process that ends in
//! between leaves the stream without its owner's placement. Nothing else is put back: what is missing otherwise, its owner
//! took away.

use crate::names::{Location, StreamName};
use crate::policy::Policy;
use crate::safety::is_moving;
use crate::snapshot::{AccountView, Placement, Stream};
use crate::target::{Destination, MoveTarget, fits};
use crate::topology::{LocationMap, ServerDetails, Version};

/// The first version on which a cancelled move has the stream's placement back.
const CANCEL_KEEPS_PLACEMENT: Version = Version::new(2, 15, 0);

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
    let (topology, key) = (&view.topology, &policy.topology);
    let locations = LocationMap::new(topology, key);
    let target = Destination::new(topology, key, &locations, &left.location, None);
    let wanted = target.placement(Some(replaced));
    let owed = match &stream.placement {
        // Of a repair the wanted placement is the one that was stored.
        None => {
            wanted == *replaced || (leaves_none_behind(view) && lies_where_placed(stream, replaced, view))
        }
        // It was cancelled: it stores the placement of the target and has no peer there.
        Some(stored) => *stored != *replaced && *stored == wanted && !target.has_peer(&stream.group),
    };
    if !owed {
        return Completion::Nothing;
    }
    let peers = stream.group.peers.iter();
    let servers = peers.filter_map(|peer| Some(view.topology.get(peer.server)?.name.clone()));
    Completion::PutBack(MoveTarget {
        location: left.location.clone(),
        placement: replaced.clone(),
        replaces: stream.placement.clone(),
        servers: servers.collect(),
        owner: None,
    })
}

/// Whether a cancelled move may have lost the placement: on servers up to 2.14 (nats-facts N27).
fn leaves_none_behind(view: &AccountView) -> bool {
    let versions = view.topology.version_range();
    versions.is_none_or(|(lowest, _)| lowest < CANCEL_KEEPS_PLACEMENT)
}

/// Whether to write the placement again moves nothing.
fn lies_where_placed(stream: &Stream, placement: &Placement, view: &AccountView) -> bool {
    let servers = stream
        .group
        .peers
        .iter()
        .map(|peer| view.topology.details(peer.server));
    let mut servers = servers.peekable();
    let matches = |details: &ServerDetails| {
        let in_cluster = placement
            .cluster
            .as_ref()
            .is_none_or(|cluster| *cluster == details.cluster);
        in_cluster && fits(placement, details)
    };
    servers.peek().is_some() && servers.all(|server| server.is_some_and(matches))
}

#[cfg(test)]
mod tests;
