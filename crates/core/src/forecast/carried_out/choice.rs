//! Which servers the meta leader chooses for a stream that moves (nats-server 2.15.2, `selectPeerGroup`).
//!
//! Kept apart from what decides whether a move is requested, so that each checks the other.

use std::collections::BTreeSet;

use super::Refusal;
use crate::names::{ClusterName, ServerName, Tag};
use crate::snapshot::{Placement, Stream};
use crate::target::MoveTarget;
use crate::topology::Storage;
use crate::topology::{JetStreamCapacity, Server, ServerDetails, ServerIx, deciding_capacities};

/// Peers for all replicas, cluster by cluster; the first of them leads.
pub(super) fn choose(
    servers: &[Server],
    meta_leader: Option<&ServerName>,
    target: &MoveTarget,
    stream: &Stream,
) -> Result<Vec<ServerIx>, Refusal> {
    let clusters: BTreeSet<&ClusterName> = match &target.placement.cluster {
        Some(cluster) => BTreeSet::from([cluster]),
        None => servers
            .iter()
            .filter_map(|server| Some(&server.details.as_ref()?.cluster))
            .collect(),
    };
    let chosen = clusters
        .into_iter()
        .find_map(|cluster| choose_in((servers, meta_leader), cluster, &target.placement, stream))
        .ok_or(Refusal::NoServers)?;
    let named = |index: &ServerIx| servers.get(usize::from(index.0)).map(|server| &server.name);
    let outside = chosen
        .iter()
        .filter_map(named)
        .find(|name| !target.servers.contains(name));
    match outside {
        None => Ok(chosen),
        Some(server) => Err(Refusal::OutsideLocation {
            server: server.clone(),
        }),
    }
}

fn choose_in(
    (servers, meta_leader): (&[Server], Option<&ServerName>),
    cluster: &ClusterName,
    placement: &Placement,
    stream: &Stream,
) -> Option<Vec<ServerIx>> {
    let named = |prefix: &&str| {
        let mut tags = placement.tags.iter();
        tags.any(|tag| bare(tag).starts_with(*prefix))
    };
    // The meta leader's own options count; where it is not seen, any server may lead.
    let rooms = deciding_capacities(servers, meta_leader);
    let prefix = rooms.iter().find_map(|room| room.unique_tag.as_deref());
    let prefix = prefix.filter(|prefix| !named(prefix));
    let most = rooms.iter().filter_map(|room| room.max_ha_assets).min();
    let mut taken = BTreeSet::new();
    let mut nodes: Vec<(u64, u64, ServerIx)> = Vec::new();
    for (index, server) in (0..).map(ServerIx).zip(servers) {
        let Some(details) = server.details.as_ref().filter(|_| server.answered) else {
            continue;
        };
        let fits = details.cluster == *cluster && details.jetstream && carries(placement, details);
        if !fits || !has_room(details, stream, most) {
            continue;
        }
        if let Some(prefix) = prefix {
            let mut tags = details.tags.iter();
            let tag = tags.find(|tag| tag.as_str().starts_with(prefix));
            if !tag.is_some_and(|tag| taken.insert(tag.clone())) {
                continue;
            }
        }
        let assets = if stream.replicas > 1 { assets(details) } else { 0 };
        nodes.push((assets, u64::MAX - free(details, stream.storage), index));
    }
    nodes.sort_unstable();
    let replicas = usize::from(stream.replicas);
    let chosen = nodes.into_iter().take(replicas).map(|(_, _, index)| index);
    Some(chosen.collect::<Vec<_>>()).filter(|chosen| chosen.len() == replicas)
}

fn has_room(details: &ServerDetails, stream: &Stream, most: Option<u64>) -> bool {
    let cost = ha_cost(stream);
    let too_many = |most| cost > 0 && assets(details).saturating_add(cost) > most;
    let free = free(details, stream.storage);
    stream.max_bytes.is_none_or(|bytes| bytes <= free) && !most.is_some_and(too_many)
}

fn bare(tag: &Tag) -> &str {
    tag.as_str().trim_start_matches('!')
}

fn carries(placement: &Placement, details: &ServerDetails) -> bool {
    let has = |wanted: &str| {
        let mut tags = details.tags.iter();
        tags.any(|tag| tag.as_str().eq_ignore_ascii_case(wanted))
    };
    let mut tags = placement.tags.iter();
    tags.all(|tag| has(bare(tag)) != tag.as_str().starts_with('!'))
}

fn ha_cost(stream: &Stream) -> u64 {
    let consumers = stream.consumers.iter();
    let replicated = consumers.filter(|consumer| consumer.group.peers.len() > 1);
    if stream.replicas > 1 {
        1 + replicated.count() as u64
    } else {
        0
    }
}

fn assets(details: &ServerDetails) -> u64 {
    details.room.as_ref().map_or(0, |room| room.ha_assets)
}

fn free(details: &ServerDetails, storage: Storage) -> u64 {
    details.room.as_ref().map_or(u64::MAX, |room| room.free(storage))
}

/// The servers once the stream is there. None may exceed its capacity.
pub(super) fn fill(servers: &mut [Server], chosen: &[ServerIx], stream: &Stream) -> Result<(), Refusal> {
    let mut filled: Vec<(ServerIx, JetStreamCapacity)> = Vec::new();
    for index in chosen {
        let Some(server) = servers.get(usize::from(index.0)) else {
            continue;
        };
        let Some(room) = server.details.as_ref().and_then(|details| details.room.clone()) else {
            continue;
        };
        let room = with(room, stream).ok_or_else(|| Refusal::Overflow {
            server: server.name.clone(),
        })?;
        filled.push((*index, room));
    }
    for (index, room) in filled {
        let server = servers.get_mut(usize::from(index.0));
        if let Some(details) = server.and_then(|server| server.details.as_mut()) {
            details.room = Some(room);
        }
    }
    Ok(())
}

/// A server's capacity once a replica is there; `None` when it has too little.
fn with(mut room: JetStreamCapacity, stream: &Stream) -> Option<JetStreamCapacity> {
    room.ha_assets = room.ha_assets.saturating_add(ha_cost(stream));
    let kind = match stream.storage {
        Storage::File => &mut room.file,
        Storage::Memory => &mut room.memory,
    };
    kind.used = kind.used.saturating_add(stream.bytes);
    kind.reserved = kind.reserved.saturating_add(stream.max_bytes.unwrap_or(0));
    (kind.used.max(kind.reserved) <= kind.limit).then_some(room)
}
