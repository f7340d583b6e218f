//! Accounts and policies that the tests begin with.

use std::collections::BTreeMap;
use std::sync::Arc;

use leeward_api::policy::PlacementPolicySpec;
use leeward_core::names::{AccountId, AssetName, ClusterName, ConsumerName, ServerName, StreamName, Tag};
use leeward_core::policy::Policy;
use leeward_core::resolve::resolve;
use leeward_core::snapshot::{AccountView, ClientGroup, ClientKind, Consumer, RaftGroup, Stream};
use leeward_core::topology::Storage;
use leeward_core::topology::{Server, ServerDetails, Topology, Version};
use serde_json::{Value, json};

use crate::clock::PausedClock;
use crate::model::peer;

pub fn account() -> AccountId {
    AccountId::from("A")
}

pub fn stream_asset(name: &str) -> AssetName {
    AssetName::stream(StreamName::from(name))
}

pub fn consumer_asset(stream: &str, name: &str) -> AssetName {
    AssetName::consumer(StreamName::from(stream), ConsumerName::from(name))
}

/// Six servers: n-0 to n-2 in us-east, where the clients are, n-3 to n-5 in eu-west.
fn topology(version: Version, stretched: bool) -> Topology {
    let server = |number: u16| {
        let region = if number < 3 { "us-east" } else { "eu-west" };
        let cluster = if stretched { "c1" } else { region };
        Server {
            name: ServerName::from(format!("n-{number}")),
            answered: true,
            details: Some(ServerDetails {
                cluster: ClusterName::from(cluster),
                tags: vec![Tag::from(format!("region:{region}"))],
                version,
                jetstream: true,
                started: None,
                room: None,
            }),
        }
    };
    Topology::new((0..6).map(server).collect(), BTreeMap::new())
}

fn view(topology: Topology, streams: Vec<Stream>) -> AccountView {
    let clients = ClientGroup {
        server: topology.find("n-0").unwrap(),
        kind: ClientKind::Client,
        user: None,
        name: None,
        connections: 9,
        messages: None,
        bytes: None,
    };
    let mut view = AccountView {
        account: account(),
        topology: Arc::new(topology),
        observed_at: PausedClock::epoch(),
        gaps: Vec::new(),
        clients: vec![clients],
        streams,
        traffic: None,
    };
    view.normalize();
    view
}

fn group(topology: &Topology, servers: [&str; 3]) -> RaftGroup {
    let index = |name: &str| topology.find(name).unwrap();
    RaftGroup {
        leader: Some(index(servers[0])),
        leader_since: None,
        peers: servers.iter().map(|name| peer(index(name))).collect(),
    }
}

fn stream(topology: &Topology, name: &str, servers: [&str; 3], consumers: usize) -> Stream {
    let group = group(topology, servers);
    Stream {
        name: StreamName::from(name),
        replicas: 3,
        moving: false,
        placement: None,
        metadata: BTreeMap::new(),
        bytes: 0,
        storage: Storage::File,
        max_bytes: None,
        upstreams: Vec::new(),
        subjects: Vec::new(),
        allow_direct: false,
        answers_gets_of: None,
        message_rate: None,
        consumers: (0..consumers)
            .map(|number| Consumer {
                name: ConsumerName::from(format!("c{number}")),
                group: group.clone(),
                message_rate: None,
                durable: true,
                deliver_subject: None,
                opted_out: false,
                ack_pending: 0,
                pinned: false,
                waiting: 0,
            })
            .collect(),
        group,
    }
}

/// One cluster over two regions; every asset is led from eu-west and has the other peers at `others`.
pub fn stretched(names: &[&str], consumers: usize, version: Version, others: [&str; 2]) -> AccountView {
    let topology = topology(version, true);
    let led_abroad = |name: &&str| stream(&topology, name, ["n-3", others[0], others[1]], consumers);
    let streams = names.iter().map(led_abroad).collect();
    view(topology, streams)
}

/// The usual one: two peers in home.
pub fn stretched_of(count: usize, consumers: usize) -> AccountView {
    let names: Vec<String> = (0..count).map(|number| format!("S{number:02}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    stretched(&names, consumers, Version::new(2, 15, 1), ["n-0", "n-1"])
}

/// Two clusters; every stream lies in eu-west.
pub fn supercluster(names: &[&str], consumers: usize) -> AccountView {
    let topology = topology(Version::new(2, 15, 1), false);
    let away = |name: &&str| stream(&topology, name, ["n-3", "n-4", "n-5"], consumers);
    let streams = names.iter().map(away).collect();
    view(topology, streams)
}

/// An enforcing policy by region tags; `changes` is merged over it, one level deep.
pub fn policy(changes: Value) -> Arc<Policy> {
    let mut spec = json!({
        "systemRef": {"name": "prod"},
        "credentialsRef": {"name": "account"},
        "mode": "Enforce",
        "topology": {"key": "ServerTag", "tagPrefix": "region:"},
        "home": {"stabilizationWindow": "0s"},
        "disruption": {},
    });
    let Value::Object(changes) = changes else {
        panic!("an object");
    };
    for (key, value) in changes {
        spec[key] = value;
    }
    // What a test does not limit is not limited.
    let free = json!({
        "budgets": [],
        "maxPayback": "0s",
        "gates": {"quietAfterLeaderChange": "0s", "quietAfterServerStart": "0s"},
        "circuitBreaker": {"failures": 100},
    });
    let Value::Object(free) = free else {
        panic!("an object");
    };
    for (key, value) in free {
        if spec["disruption"].get(&key).is_none() {
            spec["disruption"][key] = value;
        }
    }
    let spec: PlacementPolicySpec = serde_json::from_value(spec).unwrap();
    Arc::new(resolve(&spec).unwrap())
}
