//! Small worlds for unit tests.

use crate::context::DecisionContext;
use crate::history::History;
use crate::owner::StreamOwners;
use leeward_api::vocabulary::ActionType;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use leeward_api::policy::PlacementPolicySpec;
use serde_json::{Value, json};

use crate::names::{AccountId, AssetName, ClusterName, ConsumerName, ServerName, StreamName, Tag};
use crate::policy::Policy;
use crate::resolve::resolve;
use crate::snapshot::{AccountView, ClientGroup, ClientKind, Consumer, Peer, RaftGroup, Stream};
use crate::topology::Storage;
use crate::topology::{Server, ServerDetails, ServerIx, Topology, Version};

/// This many seconds after noon of new year's day.
pub(crate) fn at(seconds: u64) -> Timestamp {
    "2026-01-01T12:00:00Z".parse::<Timestamp>().unwrap() + Duration::from_secs(seconds)
}

/// So long ago that it no longer blocks anything.
pub(crate) fn long_ago() -> Timestamp {
    at(0) - Duration::from_hours(24)
}

pub(crate) fn server(name: &str, cluster: &str, tags: &[&str]) -> Server {
    Server {
        name: ServerName::from(name),
        answered: true,
        details: Some(ServerDetails {
            cluster: ClusterName::from(cluster),
            tags: tags.iter().copied().map(Tag::from).collect(),
            version: Version::new(2, 15, 1),
            jetstream: true,
            started: Some(long_ago()),
            room: None,
        }),
    }
}

/// One cluster over two regions: n-0 to n-2 in us-east, n-3 to n-5 in eu-west.
pub(crate) fn stretched() -> Topology {
    let place = |number: u8| {
        let region = if number < 3 { "us-east" } else { "eu-west" };
        server(&format!("n-{number}"), "c1", &[&format!("region:{region}")])
    };
    Topology::new((0..6).map(place).collect(), BTreeMap::new())
}

/// Two clusters of three servers.
pub(crate) fn supercluster() -> Topology {
    let place = |(cluster, number): (&str, u8)| server(&format!("{cluster}-{number}"), cluster, &[]);
    let servers = ["us-east", "eu-west"]
        .into_iter()
        .flat_map(|cluster| (0..3).map(move |number| (cluster, number)));
    Topology::new(servers.map(place).collect(), BTreeMap::new())
}

pub(crate) fn ix(topology: &Topology, name: &str) -> ServerIx {
    topology.find(name).unwrap()
}

pub(crate) fn peer(server: ServerIx) -> Peer {
    Peer {
        server,
        current: true,
        offline: false,
        lag: 0,
    }
}

/// The first server leads.
pub(crate) fn group(topology: &Topology, servers: &[&str]) -> RaftGroup {
    RaftGroup {
        leader: servers.first().map(|name| ix(topology, name)),
        leader_since: Some(long_ago()),
        peers: servers.iter().map(|name| peer(ix(topology, name))).collect(),
    }
}

pub(crate) fn stream(topology: &Topology, name: &str, servers: &[&str]) -> Stream {
    Stream {
        name: StreamName::from(name),
        replicas: u8::try_from(servers.len()).unwrap(),
        group: group(topology, servers),
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
        consumers: Vec::new(),
    }
}

pub(crate) fn consumer(topology: &Topology, name: &str, servers: &[&str]) -> Consumer {
    Consumer {
        name: ConsumerName::from(name),
        group: group(topology, servers),
        message_rate: None,
        durable: true,
        deliver_subject: None,
        opted_out: false,
        ack_pending: 0,
        pinned: false,
        waiting: 0,
    }
}

pub(crate) fn clients(server: ServerIx, connections: u32) -> ClientGroup {
    ClientGroup {
        server,
        kind: ClientKind::Client,
        user: None,
        name: None,
        connections,
        messages: None,
        bytes: None,
    }
}

pub(crate) fn view(topology: Topology, clients: Vec<ClientGroup>, streams: Vec<Stream>) -> AccountView {
    AccountView {
        account: AccountId::from("A"),
        topology: Arc::new(topology),
        observed_at: at(0),
        gaps: Vec::new(),
        clients,
        streams,
        traffic: None,
    }
}

pub(crate) fn spec(changes: Value) -> PlacementPolicySpec {
    let mut spec = json!({"systemRef": {"name": "prod"}, "credentialsRef": {"name": "account"}});
    let Value::Object(changes) = changes else {
        panic!("an object");
    };
    for (key, value) in changes {
        spec[key] = value;
    }
    serde_json::from_value(spec).unwrap()
}

/// Locations are the regions of [`stretched`], and home is settled at once.
pub(crate) fn regional_policy(changes: &Value) -> Policy {
    let mut spec = json!({
        "mode": "Enforce",
        "topology": {"key": "ServerTag", "tagPrefix": "region:"},
        "home": {"stabilizationWindow": "0s"},
    });
    for (key, value) in changes.as_object().unwrap() {
        spec[key] = value.clone();
    }
    policy(spec)
}

pub(crate) fn policy(changes: Value) -> Policy {
    resolve(&spec(changes)).unwrap()
}

/// `S` is the stream, `S/c` a consumer.
pub(crate) fn asset(text: &str) -> AssetName {
    match text.split_once('/') {
        Some((stream, consumer)) => AssetName::consumer(stream.into(), consumer.into()),
        None => AssetName::stream(text.into()),
    }
}

static UNOWNED: StreamOwners = StreamOwners::Known(BTreeMap::new());
static NOTHING_DENIED: BTreeSet<ActionType> = BTreeSet::new();

/// A decision about a fresh view, where only the history blocks anything.
pub(crate) fn context<'a>(
    view: &'a AccountView,
    policy: &'a Policy,
    history: &'a History,
    now: Timestamp,
) -> DecisionContext<'a> {
    DecisionContext {
        view,
        policy,
        now,
        stale_after: Duration::from_secs(90),
        usage: None,
        history,
        owners: &UNOWNED,
        denied: &NOTHING_DENIED,
        approved: None,
    }
}
