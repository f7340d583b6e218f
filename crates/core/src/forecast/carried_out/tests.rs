use super::*;
use crate::action::LeaderTransfers;
use crate::fixtures::{asset, at, consumer, stream, supercluster, view};
use crate::score::MoveCost;
use crate::snapshot::Placement;
use crate::target::MoveTarget;
use crate::topology::{JetStreamCapacity, Resource};

fn world() -> AccountView {
    let topology = supercluster();
    let mut orders = stream(&topology, "ORDERS", &["us-east-0", "us-east-1", "us-east-2"]);
    orders.bytes = 100;
    orders.consumers = vec![
        consumer(&topology, "billing", &["us-east-0", "us-east-1", "us-east-2"]),
        consumer(&topology, "single", &["us-east-1"]),
    ];
    view(topology, Vec::new(), vec![orders])
}

fn step_down(name: &str, to: &str) -> Action {
    let server = ServerName::from(to);
    Action {
        asset: asset(name),
        from: "us-east-0".into(),
        kind: ActionKind::StepDown(StepDown {
            alternatives: Vec::new(),
            home_peers: vec![server.clone()],
            successor: Successor::Peer(server),
        }),
    }
}

fn relocation(cluster: &str, servers: &[&str]) -> Action {
    Action {
        asset: asset("ORDERS"),
        from: "us-east-0".into(),
        kind: ActionKind::Move(Box::new(Move {
            target: MoveTarget {
                location: cluster.into(),
                placement: Placement {
                    cluster: Some(cluster.into()),
                    tags: Vec::new(),
                },
                replaces: None,
                servers: servers.iter().copied().map(ServerName::from).collect(),
                owner: None,
            },
            bytes: 100,
            cost: MoveCost::default(),
            consumers: Vec::new(),
            transfers: LeaderTransfers::default(),
            dependents: Vec::new(),
        })),
    }
}

const EU_WEST: [&str; 3] = ["eu-west-0", "eu-west-1", "eu-west-2"];

/// Gives every server of eu-west so many bytes.
fn with_capacity(view: &mut AccountView, limit: u64) {
    let mut servers = view.topology.servers().to_vec();
    for server in servers.iter_mut().take(3) {
        let file = Resource {
            limit,
            ..Resource::default()
        };
        server.details.as_mut().unwrap().room = Some(JetStreamCapacity {
            file,
            ..JetStreamCapacity::default()
        });
    }
    view.topology = Arc::new(Topology::new(servers, std::collections::BTreeMap::new()));
}

fn why(view: &AccountView, action: Action) -> Refusal {
    let mut after = view.clone();
    let mut refused = carry_out(&mut after, &[action], at(0));
    assert_eq!(*view, after, "what is refused changes nothing");
    refused.remove(0).why
}

#[test]
fn a_hand_over_changes_the_leader_and_nothing_else() {
    let mut view = world();
    let before = view.clone();
    let actions = [
        step_down("ORDERS", "us-east-2"),
        step_down("ORDERS/billing", "us-east-1"),
    ];
    assert!(carry_out(&mut view, &actions, at(7)).is_empty());
    let group = &view.streams[0].group;
    assert_eq!(
        (view.topology.find("us-east-2"), Some(at(7))),
        (group.leader, group.leader_since)
    );
    assert_eq!(
        view.topology.find("us-east-1"),
        view.streams[0].consumers[0].group.leader
    );
    view.streams[0].group = before.streams[0].group.clone();
    view.streams[0].consumers[0].group = before.streams[0].consumers[0].group.clone();
    assert_eq!(before, view);
}

#[test]
fn a_move_takes_consumers_along_and_fills_servers() {
    let mut view = world();
    with_capacity(&mut view, 150);
    assert!(carry_out(&mut view, &[relocation("eu-west", &EU_WEST)], at(7)).is_empty());
    let moved = &view.streams[0];
    let sizes = (
        moved.group.peers.len(),
        moved.consumers[0].group.peers.len(),
        moved.consumers[1].group.peers.len(),
    );
    assert_eq!((3, 3, 1), sizes);
    assert_eq!(
        None, moved.consumers[1].group.leader_since,
        "a group of one elects nobody"
    );
    assert_eq!(Some("eu-west".into()), moved.placement.as_ref().unwrap().cluster);
    for server in view.topology.servers().iter().take(3) {
        let room = server.details.as_ref().unwrap().room.as_ref().unwrap();
        assert_eq!((100, 2), (room.file.used, room.ha_assets));
    }
}

#[test]
fn what_the_view_does_not_show_stays_undone() {
    assert_eq!(Refusal::NoAsset, why(&world(), step_down("GONE", "us-east-1")));
    assert_eq!(
        Refusal::NoAsset,
        why(&world(), step_down("ORDERS/gone", "us-east-1"))
    );
}

#[test]
fn nobody_but_a_member_takes_over() {
    assert_eq!(Refusal::NoMember, why(&world(), step_down("ORDERS", "eu-west-0")));
    assert_eq!(
        Refusal::NoMember,
        why(&world(), step_down("ORDERS/single", "us-east-0"))
    );
}

#[test]
fn a_move_without_enough_servers_stays_undone() {
    assert_eq!(Refusal::NoServers, why(&world(), relocation("nowhere", &EU_WEST)));
}

#[test]
fn a_move_that_would_end_outside_its_location_stays_undone() {
    let server = ServerName::from("eu-west-2");
    let action = relocation("eu-west", &EU_WEST[..2]);
    assert_eq!(Refusal::OutsideLocation { server }, why(&world(), action));
}

#[test]
fn a_move_that_no_server_has_room_for_stays_undone() {
    let mut view = world();
    with_capacity(&mut view, 99);
    let server = ServerName::from("eu-west-0");
    assert_eq!(
        Refusal::Overflow { server },
        why(&view, relocation("eu-west", &EU_WEST))
    );
}
