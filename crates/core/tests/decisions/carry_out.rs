//! What a plan makes of a world when every action succeeds, as the servers would do it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use leeward_core::names::{ClusterName, ServerName, Tag};
use leeward_core::plan::{Action, Aim, Deed, Plan};
use leeward_core::snapshot::{AccountView, Peer, Placement, RaftGroup, Storage, Stream};
use leeward_core::target::MoveTarget;
use leeward_core::topology::{Room, Server, ServerDetails, ServerIx, Topology};

/// Applies every action of a plan to a view; an hour passes.
pub fn carry_out(view: &mut AccountView, plan: &Plan) {
    for action in &plan.actions {
        apply(view, action);
    }
}

fn apply(view: &mut AccountView, action: &Action) {
    let mut topology = Topology::clone(&view.topology);
    let long_since = Some(view.observed_at - Duration::from_hours(1));
    let stream = view
        .streams
        .iter_mut()
        .find(|stream| stream.name == action.asset.stream)
        .expect("the plan names streams of the view");
    match &action.deed {
        Deed::StepDown(step_down) => {
            let group = match &action.asset.consumer {
                None => &mut stream.group,
                Some(name) => {
                    let found = stream
                        .consumers
                        .iter_mut()
                        .find(|consumer| consumer.name == *name);
                    &mut found.expect("the plan names consumers of the view").group
                }
            };
            let named = |name: &ServerName| topology.find(name.as_str()).expect("a server of the view");
            let target = match &step_down.aim {
                Aim::Peer(server) => named(server),
                // The lucky case: the servers happen to choose a peer in home.
                Aim::Anyone => named(step_down.home_peers.first().expect("a peer in home")),
            };
            assert!(
                group.peers.iter().any(|peer| peer.server == target),
                "the target is a peer"
            );
            (group.leader, group.leader_since) = (Some(target), long_since);
        }
        Deed::Move(moving) => {
            let chosen = choose(&topology, &moving.target, stream);
            topology = filled(&topology, &chosen, stream);
            stream.placement = Some(moving.target.placement.clone());
            let group_of = |servers: &[ServerIx]| RaftGroup {
                leader: servers.first().copied(),
                leader_since: long_since,
                peers: servers.iter().copied().map(peer).collect(),
            };
            stream.group = group_of(&chosen);
            for consumer in &mut stream.consumers {
                let size = consumer.group.peers.len().min(chosen.len());
                consumer.group = group_of(&chosen[..size]);
            }
        }
    }
    view.topology = Arc::new(topology);
}

fn peer(server: ServerIx) -> Peer {
    Peer {
        server,
        current: true,
        offline: false,
        lag: 0,
    }
}

/// Peers as the meta leader chooses them (nats-server 2.15.2, `selectPeerGroup`), cluster by cluster.
fn choose(topology: &Topology, target: &MoveTarget, stream: &Stream) -> Vec<ServerIx> {
    let clusters: BTreeSet<&ClusterName> = match &target.placement.cluster {
        Some(cluster) => BTreeSet::from([cluster]),
        None => topology
            .indices()
            .filter_map(|index| Some(&topology.details(index)?.cluster))
            .collect(),
    };
    let chosen = clusters
        .into_iter()
        .find_map(|cluster| choose_in(topology, cluster, &target.placement, stream));
    let chosen = chosen.unwrap_or_else(|| panic!("the servers would refuse to move {}", stream.name));
    for index in &chosen {
        let server = topology.get(*index).unwrap();
        assert!(
            target.servers.contains(&server.name),
            "{} is not in home",
            server.name
        );
    }
    chosen
}

fn choose_in(
    topology: &Topology,
    cluster: &ClusterName,
    placement: &Placement,
    stream: &Stream,
) -> Option<Vec<ServerIx>> {
    let prefix = unique_prefix(topology).filter(|prefix| {
        !placement
            .tags
            .iter()
            .any(|tag| bare(tag).starts_with(prefix.as_str()))
    });
    let mut taken = BTreeSet::new();
    let mut nodes: Vec<(u64, u64, ServerIx)> = Vec::new();
    for index in topology.indices() {
        let server = topology.get(index).unwrap();
        let Some(details) = server.details.as_ref().filter(|_| server.answered) else {
            continue;
        };
        let fits = details.cluster == *cluster && details.jetstream && carries(placement, details);
        let (free, assets) = (
            details
                .room
                .as_ref()
                .map_or(u64::MAX, |room| free(room, stream.storage)),
            details.room.as_ref().map_or(0, |room| room.ha_assets),
        );
        let too_many = max_ha_assets(topology)
            .is_some_and(|most| ha_cost(stream) > 0 && assets + ha_cost(stream) > most);
        if !fits || stream.max_bytes.is_some_and(|bytes| bytes > free) || too_many {
            continue;
        }
        if let Some(prefix) = &prefix {
            let mut tags = details.tags.iter();
            let tag = tags.find(|tag| tag.as_str().starts_with(prefix.as_str()));
            if !tag.is_some_and(|tag| taken.insert(tag.clone())) {
                continue;
            }
        }
        let assets = if stream.replicas > 1 { assets } else { 0 };
        nodes.push((assets, u64::MAX - free, index));
    }
    nodes.sort_unstable();
    let replicas = usize::from(stream.replicas);
    let chosen = nodes.into_iter().take(replicas).map(|(_, _, index)| index);
    Some(chosen.collect::<Vec<_>>()).filter(|chosen| chosen.len() == replicas)
}

fn bare(tag: &Tag) -> &str {
    tag.as_str().trim_start_matches('!')
}

fn carries(placement: &Placement, details: &ServerDetails) -> bool {
    let has = |wanted: &str| {
        let mut tags = details.tags.iter();
        tags.any(|tag| tag.as_str().eq_ignore_ascii_case(wanted))
    };
    placement
        .tags
        .iter()
        .all(|tag| has(bare(tag)) != tag.as_str().starts_with('!'))
}

fn rooms(topology: &Topology) -> impl Iterator<Item = &Room> {
    let known = topology
        .servers()
        .iter()
        .filter_map(|server| server.details.as_ref());
    known.filter_map(|details| details.room.as_ref())
}

/// The meta leader's own options count; any server may lead.
fn unique_prefix(topology: &Topology) -> Option<String> {
    rooms(topology).find_map(|room| room.unique_tag.clone())
}

fn max_ha_assets(topology: &Topology) -> Option<u64> {
    rooms(topology).filter_map(|room| room.max_ha_assets).min()
}

fn ha_cost(stream: &Stream) -> u64 {
    let replicated = stream
        .consumers
        .iter()
        .filter(|consumer| consumer.group.peers.len() > 1);
    if stream.replicas > 1 {
        1 + u64::try_from(replicated.count()).unwrap()
    } else {
        0
    }
}

fn free(room: &Room, storage: Storage) -> u64 {
    let kind = match storage {
        Storage::File => room.file,
        Storage::Memory => room.memory,
    };
    kind.limit.saturating_sub(kind.used.max(kind.reserved))
}

/// The servers once the stream is there. None may be fuller than it can be.
fn filled(topology: &Topology, chosen: &[ServerIx], stream: &Stream) -> Topology {
    let mut servers: Vec<Server> = topology.servers().to_vec();
    for index in chosen {
        let server = &mut servers[usize::from(index.0)];
        let Some(room) = server.details.as_mut().and_then(|details| details.room.as_mut()) else {
            continue;
        };
        room.ha_assets += ha_cost(stream);
        let kind = match stream.storage {
            Storage::File => &mut room.file,
            Storage::Memory => &mut room.memory,
        };
        kind.used += stream.bytes;
        kind.reserved += stream.max_bytes.unwrap_or(0);
        assert!(
            kind.used.max(kind.reserved) <= kind.limit,
            "{} overflows on {}",
            stream.name,
            server.name
        );
    }
    let round_trips: BTreeMap<_, _> = topology.round_trips.clone();
    Topology::new(servers, round_trips)
}
