//! Views out of what was gathered, without servers.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use leeward_core::names::{AccountId, ServerName, Tag};
use leeward_core::operation::PeerInfo;
use leeward_core::snapshot::{AccountView, ClientKind, Gap, Traffic};
use leeward_core::topology::Storage;
use leeward_core::topology::Version;

use super::assemble::{AccountParts, assemble};
use super::history::{CounterHistory, VolumeCount, Volumes};
use super::leafs::LeafLink;
use super::server_inventory::SeenServer;
use super::watched_accounts::LeaderElected;
use crate::connection_name::ConnectionName;
use crate::reading::{GroupReading, StreamReading};
use crate::wire::monitor::Connection;

const INTERVAL: Duration = Duration::from_secs(10);

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn server(name: &str) -> SeenServer {
    SeenServer {
        id: format!("N{name}"),
        name: ServerName::from(name),
        cluster: Some("c".into()),
        domain: None,
        tags: vec![],
        version: Some(Version::new(2, 15, 1)),
        jetstream: true,
        started: None,
        room: None,
        connections: None,
    }
}

fn connection(cid: u64, name: Option<&str>, messages: u64, start: i64) -> Connection {
    Connection {
        cid,
        kind: Some("Client".into()),
        start: Some(at(start)),
        name: name.map(Into::into),
        authorized_user: Some("u".into()),
        in_msgs: messages,
        out_msgs: 0,
        in_bytes: messages * 10,
        out_bytes: 0,
    }
}

fn stream(peers: &[&str], last_sequence: u64) -> StreamReading {
    let peer = |name: &&str| PeerInfo {
        server: ServerName::from(*name),
        current: true,
        offline: false,
        lag: u64::MAX,
    };
    let group = GroupReading {
        leader: peers.first().map(|name| ServerName::from(*name)),
        leader_since: None,
        peers: peers.iter().map(peer).collect(),
        moving: false,
        alone: false,
    };
    StreamReading {
        name: "S".into(),
        group,
        replicas: 1,
        placement: None,
        metadata: BTreeMap::new(),
        bytes: 0,
        storage: Storage::File,
        max_bytes: None,
        upstreams: vec![],
        subjects: Vec::new(),
        allow_direct: false,
        answers_gets_of: None,
        last_sequence,
        consumers: vec![],
    }
}

fn gathered(servers: &[&str]) -> AccountParts {
    AccountParts {
        servers: servers.iter().map(|name| server(name)).collect(),
        ..AccountParts::default()
    }
}

fn view(gathered: &AccountParts, second: i64, history: &mut CounterHistory) -> AccountView {
    assemble(&AccountId::from("A"), gathered, at(second), history)
}

fn first(gathered: &AccountParts) -> AccountView {
    view(gathered, 0, &mut CounterHistory::new(INTERVAL))
}

fn missing(name: &str) -> Gap {
    Gap::ServerMissing {
        server: ServerName::from(name),
    }
}

#[test]
fn p6_servers_that_anyone_names_and_that_did_not_answer_are_gaps() {
    let mut gathered = gathered(&["a", "b"]);
    gathered.silent = BTreeSet::from([ServerName::from("b")]);
    gathered.expected = BTreeSet::from(["lately", "meta"].map(ServerName::from));
    gathered.members = BTreeSet::from([ServerName::from("meta")]);
    gathered.streams = vec![stream(&["a", "peer"], 0)];
    // The census misses it as well, and knows less of it.
    gathered.gaps = vec![missing("meta")];
    let member = |name: &str| Gap::MemberMissing {
        server: ServerName::from(name),
    };
    let view = first(&gathered);
    assert_eq!(
        view.gaps,
        [missing("b"), missing("lately"), member("meta"), member("peer")]
    );
    assert_eq!(view.topology.servers().len(), 5);
    assert_eq!(
        view.streams[0].group.peers.len(),
        2,
        "a peer that is missing stays a peer"
    );
    assert_eq!(view.streams[0].group.peers[0].lag, u32::MAX);
}

#[test]
fn servers_in_doubt_are_gaps() {
    let mut gathered = gathered(&["a", "a", "b"]);
    gathered.servers[2].version = None;
    let gaps = first(&gathered).gaps;
    assert_eq!(gaps.len(), 2, "{gaps:?}");
}

#[test]
fn a_server_tag_keeps_placement_away() {
    let mut gathered = gathered(&["a", "b"]);
    gathered.servers[0].tags = vec![Tag::from("!jetstream")];
    let view = first(&gathered);
    let jetstream: Vec<_> = view
        .topology
        .indices()
        .map(|index| view.topology.details(index).unwrap().jetstream)
        .collect();
    assert_eq!(jetstream, [false, true]);
}

#[test]
fn connections_are_grouped_and_leewards_own_do_not_count() {
    let mut gathered = gathered(&["a"]);
    let own = |cid| {
        (
            ServerName::from("a"),
            connection(cid, Some(ConnectionName::random().as_str()), 1, 0),
        )
    };
    let named = |cid, name| (ServerName::from("a"), connection(cid, name, 1, 0));
    gathered.connections = vec![
        own(1),
        named(2, Some("x")),
        named(3, Some("x")),
        named(3, Some("x")),
        named(4, None),
    ];
    gathered.leafnodes = BTreeMap::from([(ServerName::from("a"), 2)]);
    let groups: Vec<_> = first(&gathered)
        .clients
        .into_iter()
        .map(|group| {
            (
                group.kind,
                group.name.map(|name| name.to_string()),
                group.connections,
                group.messages,
            )
        })
        .collect();
    let client = |name: Option<&str>, number| (ClientKind::Client, name.map(str::to_owned), number, None);
    assert_eq!(
        groups,
        [
            client(None, 1),
            client(Some("x"), 2),
            (ClientKind::Leafnode, None, 2, None)
        ],
        "the first look knows no messages"
    );
}

#[test]
fn a_leaf_link_counts_where_it_is_accepted_and_so_do_clients_of_a_leaf_node_without_jetstream() {
    let mut gathered = gathered(&["hub", "kiosk", "leaf", "shop"]);
    for server in &mut gathered.servers {
        server.jetstream = ["hub", "leaf"].contains(&server.name.as_str());
    }
    let at = |server: &str, cid| (ServerName::from(server), connection(cid, None, 1, 0));
    gathered.connections = vec![at("hub", 1), at("leaf", 1), at("shop", 1), at("kiosk", 1)];
    let counted = [("hub", 2), ("leaf", 1), ("shop", 2), ("kiosk", 1)];
    gathered.leafnodes = counted
        .map(|(server, links)| (ServerName::from(server), links))
        .into();
    let clients = |gathered: &AccountParts| -> Vec<(String, ClientKind, u32)> {
        let view = first(gathered);
        let name = |index| view.topology.get(index).unwrap().name.to_string();
        let groups = view.clients.iter();
        groups
            .map(|group| (name(group.server), group.kind, group.connections))
            .collect()
    };
    assert_eq!(clients(&gathered).len(), 8, "nobody says who connects to whom");
    let link = |leaf: &str, to: &str| LeafLink {
        leaf: leaf.into(),
        accepted_by: to.into(),
    };
    gathered.leaf_links = vec![link("kiosk", "shop"), link("leaf", "hub"), link("shop", "hub")];
    assert_eq!(
        clients(&gathered),
        [
            ("hub".into(), ClientKind::Client, 3),
            ("hub".into(), ClientKind::Leafnode, 2),
            ("leaf".into(), ClientKind::Client, 1),
            ("shop".into(), ClientKind::Leafnode, 1),
        ]
    );
    gathered.leaf_links = vec![link("kiosk", "shop"), link("shop", "kiosk")];
    assert_eq!(clients(&gathered).len(), 7, "in a circle, which ends");
}

#[test]
fn differences_count_from_the_last_look_and_unknown_ones_make_a_group_unknown() {
    let mut history = CounterHistory::new(INTERVAL);
    let mut gathered = gathered(&["a"]);
    let on_a = |one| (ServerName::from("a"), one);
    gathered.connections = vec![on_a(connection(1, None, 100, 0))];
    gathered.streams = vec![stream(&["a"], 50)];
    view(&gathered, 10, &mut history);

    gathered.connections = vec![
        on_a(connection(1, None, 130, 0)),
        on_a(connection(2, None, 7, 15)),
    ];
    gathered.streams = vec![stream(&["a"], 250)];
    let second = view(&gathered, 20, &mut history);
    assert_eq!(
        (second.clients[0].messages, second.clients[0].bytes),
        (Some(37), Some(370))
    );
    assert_eq!(second.streams[0].message_rate, Some(20.0));

    gathered.connections.push(on_a(connection(3, None, 9, 5)));
    let third = view(&gathered, 30, &mut history);
    assert_eq!(
        third.clients[0].messages, None,
        "an old connection that was not listed before"
    );
}

#[test]
fn a_leader_that_servers_do_not_date_counts_from_its_first_sight() {
    let mut history = CounterHistory::new(INTERVAL);
    let mut gathered = gathered(&["a", "b"]);
    gathered.streams = vec![stream(&["a", "b"], 0)];
    let mut since = |gathered: &AccountParts, second| {
        let stream = &view(gathered, second, &mut history).streams[0];
        stream.group.leader_since.map(Timestamp::as_second)
    };
    assert_eq!(since(&gathered, 10), Some(10));
    assert_eq!(since(&gathered, 20), Some(10));
    gathered.elections = vec![LeaderElected::Of {
        stream: "S".into(),
        consumer: None,
    }];
    assert_eq!(since(&gathered, 30), Some(30), "it was elected again");
    gathered.streams[0].group.leader_since = Some(at(5));
    assert_eq!(since(&gathered, 40), Some(5));
    gathered.streams = vec![stream(&["a"], 0)];
    assert_eq!(since(&gathered, 50), None, "a group of one");
}

#[test]
fn traffic_needs_every_server_twice() {
    let volumes = |bytes, gateway_bytes| Volumes {
        bytes,
        gateway_bytes,
        leafs: Some(VolumeCount {
            messages: bytes,
            bytes,
        }),
    };
    let mut history = CounterHistory::new(INTERVAL);
    let mut gathered = gathered(&["a", "b"]);
    gathered.leafnodes = BTreeMap::from([(ServerName::from("a"), 1)]);
    gathered.volumes = BTreeMap::from([(ServerName::from("a"), volumes(100, Some(10)))]);
    assert_eq!(view(&gathered, 0, &mut history).traffic, None);
    gathered.volumes = BTreeMap::from([(ServerName::from("a"), volumes(400, Some(110)))]);
    let second = view(&gathered, 10, &mut history);
    assert_eq!(
        second.traffic,
        Some(Traffic {
            bytes: 300,
            gateway_bytes: 100,
            span_milliseconds: 10_000
        })
    );
    assert_eq!(
        second.clients[0].messages,
        Some(300),
        "leaf nodes are weighed by their own volume"
    );
    gathered.volumes.insert(ServerName::from("b"), volumes(1, None));
    assert_eq!(view(&gathered, 20, &mut history).traffic, None);
}
