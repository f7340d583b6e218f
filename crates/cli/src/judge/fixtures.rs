//! A small supercluster for unit tests: `us-east` with three servers, `eu-west` with three, `ap-south` with one.

use leeward_core::forecast::ActionBatch;
use leeward_core::usage::AccountUse;
use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use leeward_api::policy_status::PlacementPolicyStatus;
use leeward_core::names::{AccountId, ClusterName, ServerName};
use leeward_core::owner::StreamOwners;
use leeward_core::resolve::resolve;
use leeward_core::snapshot::{AccountView, ClientGroup, ClientKind, Consumer, Peer, RaftGroup, Stream};
use leeward_core::topology::Storage;
use leeward_core::topology::{Server, ServerDetails, Topology, Version};
use leeward_nats::AccountInfo;
use serde_json::{Value, json};

use super::{Assessment, judge};
use crate::loaded_policy::{LoadedPolicy, PolicyOrigin};
use crate::look::Looked;

/// Noon of new year's day.
pub fn noon() -> Timestamp {
    "2026-01-01T12:00:00Z".parse().unwrap()
}

/// The servers, in the order of their indices.
pub const SERVERS: [&str; 7] = [
    "ap-south-0",
    "eu-west-0",
    "eu-west-1",
    "eu-west-2",
    "us-east-0",
    "us-east-1",
    "us-east-2",
];

fn topology() -> Topology {
    let servers = SERVERS.iter().map(|name| Server {
        name: ServerName::from(*name),
        answered: true,
        details: Some(ServerDetails {
            cluster: cluster_of(name),
            tags: Vec::new(),
            version: Version::new(2, 14, 3),
            jetstream: true,
            started: Some(noon() - Duration::from_hours(24)),
            room: None,
        }),
    });
    let trip = |from: &str, to: &str, milliseconds| {
        let between = (ClusterName::from(from), ClusterName::from(to));
        (between, Duration::from_millis(milliseconds))
    };
    let round_trips = [
        trip("us-east", "eu-west", 78),
        trip("us-east", "ap-south", 190),
        trip("eu-west", "ap-south", 140),
    ];
    Topology::new(servers.collect(), BTreeMap::from(round_trips))
}

fn cluster_of(server: &str) -> ClusterName {
    let (cluster, _) = server.rsplit_once('-').unwrap();
    ClusterName::from(cluster)
}

/// An account without anything.
pub fn view() -> AccountView {
    AccountView {
        account: AccountId::from("orders"),
        topology: Arc::new(topology()),
        observed_at: noon(),
        gaps: Vec::new(),
        clients: Vec::new(),
        streams: Vec::new(),
        traffic: None,
    }
}

/// Connections to one server.
pub fn clients(view: &AccountView, server: &str, connections: u32) -> ClientGroup {
    ClientGroup {
        server: view.topology.find(server).unwrap(),
        kind: ClientKind::Client,
        user: None,
        name: None,
        connections,
        messages: None,
        bytes: None,
    }
}

/// The first of the servers leads.
pub fn group(view: &AccountView, servers: &[&str]) -> RaftGroup {
    let peer = |name: &&str| Peer {
        server: view.topology.find(name).unwrap(),
        current: true,
        offline: false,
        lag: 0,
    };
    RaftGroup {
        leader: servers.first().map(|name| view.topology.find(name).unwrap()),
        leader_since: Some(noon() - Duration::from_hours(5)),
        peers: servers.iter().map(peer).collect(),
    }
}

/// A stream of 300 MiB that stores a hundred messages a second.
pub fn stream(view: &AccountView, name: &str, servers: &[&str]) -> Stream {
    Stream {
        name: name.into(),
        replicas: u8::try_from(servers.len()).unwrap(),
        group: group(view, servers),
        moving: false,
        placement: None,
        metadata: BTreeMap::new(),
        bytes: 300 << 20,
        storage: Storage::File,
        max_bytes: None,
        upstreams: Vec::new(),
        subjects: Vec::new(),
        allow_direct: false,
        answers_gets_of: None,
        message_rate: Some(100.0),
        consumers: Vec::new(),
    }
}

/// A durable consumer that delivers forty messages a second.
pub fn consumer(view: &AccountView, name: &str, servers: &[&str]) -> Consumer {
    Consumer {
        name: name.into(),
        group: group(view, servers),
        message_rate: Some(40.0),
        durable: true,
        deliver_subject: None,
        opted_out: false,
        ack_pending: 3,
        pinned: false,
        waiting: 0,
    }
}

/// 32 clients in `us-east` and 9 in `eu-west`; `ORDERS` with two consumers is in `eu-west`, `PAYMENTS` with one in
/// `us-east`.
pub fn orders() -> AccountView {
    let mut view = view();
    view.clients = vec![
        clients(&view, "us-east-0", 20),
        clients(&view, "us-east-1", 12),
        clients(&view, "eu-west-2", 9),
    ];
    let mut orders = stream(&view, "ORDERS", &["eu-west-1", "eu-west-0", "eu-west-2"]);
    orders.consumers = vec![
        consumer(&view, "billing", &["eu-west-0", "eu-west-1", "eu-west-2"]),
        consumer(&view, "mail", &["eu-west-2", "eu-west-0", "eu-west-1"]),
    ];
    let mut payments = stream(&view, "PAYMENTS", &["us-east-1", "us-east-0", "us-east-2"]);
    payments.consumers = vec![consumer(
        &view,
        "ledger",
        &["us-east-0", "us-east-1", "us-east-2"],
    )];
    view.streams = vec![orders, payments];
    view.normalize();
    view
}

/// What was seen of an account.
pub fn seen(view: AccountView) -> Looked {
    Looked {
        account: AccountInfo {
            id: view.account.clone(),
            name: String::new(),
        },
        view: Arc::new(view),
        system: None,
        usage: AccountUse::default(),
    }
}

/// A policy from a file, with these fields besides references.
pub fn loaded(name: &str, mut spec: Value) -> LoadedPolicy {
    let fields = spec.as_object_mut().unwrap();
    fields.insert("systemRef".into(), json!({"name": "prod"}));
    fields.insert("credentialsRef".into(), json!({"name": "orders"}));
    let spec = serde_json::from_value(spec).unwrap();
    LoadedPolicy {
        namespace: "payments".into(),
        name: name.into(),
        generation: 1,
        uid: None,
        policy: resolve(&spec).unwrap(),
        spec,
        past: PlacementPolicyStatus::default(),
        owners: StreamOwners::default(),
        approved: None,
        approved_id: None,
        origin: PolicyOrigin::File {
            path: "policy.yaml".into(),
            line: 1,
        },
    }
}

/// Everything at once, by one policy.
pub fn judged<'a>(loaded: &'a LoadedPolicy, seen: &'a Looked) -> Assessment<'a> {
    judge(std::slice::from_ref(loaded), seen, noon()).remove(0)
}

/// No budgets that would hold anything back.
pub fn free() -> Value {
    json!({
        "mode": "Enforce",
        "actions": {"streamPlacement": {"maxStall": "1h"}},
        "disruption": {"budgets": [{"name": "all", "max": "100%"}], "maxPayback": "0s"},
    })
}

/// Changes what would be done, and when.
pub fn edit_forecast(judged: &mut Assessment<'_>, change: impl FnOnce(&mut Vec<ActionBatch>)) {
    let mut forecast = judged.forecast().clone();
    change(&mut forecast.waves);
    judged.forecast = OnceCell::from(forecast);
}
