//! What a plan makes of a world when every action succeeds, as the servers would do it.

use leeward_core::names::ServerName;
use leeward_core::plan::{Action, Aim, Deed, Plan};
use leeward_core::snapshot::{AccountView, Peer, RaftGroup};
use leeward_core::target::MoveTarget;
use leeward_core::topology::ServerIx;

/// Applies every action of a plan to a view.
pub fn carry_out(view: &mut AccountView, plan: &Plan) {
    for action in &plan.actions {
        apply(view, action);
    }
}

fn apply(view: &mut AccountView, action: &Action) {
    let topology = view.topology.clone();
    let index = |name: &ServerName| {
        topology
            .find(name.as_str())
            .expect("the plan names servers of the view")
    };
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
            let target = match &step_down.aim {
                Aim::Peer(server) => index(server),
                // The lucky case: the servers happen to choose a peer in home.
                Aim::Anyone => index(step_down.home_peers.first().expect("a peer in home")),
            };
            assert!(
                group.peers.iter().any(|peer| peer.server == target),
                "the target is a peer"
            );
            group.leader = Some(target);
        }
        Deed::Move(target) => {
            let chosen = chosen(view.topology.as_ref(), target, usize::from(stream.replicas));
            stream.placement = Some(target.placement.clone());
            stream.group = group_of(&chosen);
            for consumer in &mut stream.consumers {
                let size = consumer.group.peers.len().min(chosen.len());
                consumer.group = group_of(&chosen[..size]);
            }
        }
    }
}

/// Peers as the servers choose them: in the target, of one cluster, up.
fn chosen(
    topology: &leeward_core::topology::Topology,
    target: &MoveTarget,
    replicas: usize,
) -> Vec<ServerIx> {
    let fit: Vec<ServerIx> = topology
        .indices()
        .filter(|index| {
            let server = topology.get(*index).expect("an index of this topology");
            let details = server.details.as_ref();
            target.servers.contains(&server.name)
                && server.answered
                && details.is_some_and(|details| {
                    details.jetstream && target.placement.tags.iter().all(|tag| details.tags.contains(tag))
                })
        })
        .collect();
    let cluster = |index: &ServerIx| &topology.details(*index).expect("known").cluster;
    let clusters = fit.iter().map(cluster);
    let best = clusters.max_by_key(|cluster| {
        fit.iter()
            .filter(|index| *cluster == cluster_of(topology, **index))
            .count()
    });
    let best = best.expect("a server that fits").clone();
    let peers: Vec<ServerIx> = fit
        .iter()
        .copied()
        .filter(|index| *cluster(index) == best)
        .take(replicas)
        .collect();
    assert_eq!(
        peers.len(),
        replicas,
        "the servers would refuse this move: too few fit"
    );
    peers
}

fn cluster_of(
    topology: &leeward_core::topology::Topology,
    index: ServerIx,
) -> &leeward_core::names::ClusterName {
    &topology.details(index).expect("known").cluster
}

fn group_of(servers: &[ServerIx]) -> RaftGroup {
    let peer = |server: &ServerIx| Peer {
        server: *server,
        current: true,
        offline: false,
        lag: 0,
    };
    RaftGroup {
        leader: servers.first().copied(),
        peers: servers.iter().map(peer).collect(),
    }
}
