//! Decides for 1,000,000 consumers on 100,000 streams in 1,000 accounts, on one core: findings and plans.
//!
//! Prints seconds and peak memory beside a floor in the same run: one pass that only reads every leader.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark prints and fails by panicking"
)]
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a benchmark measures time and memory"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use leeward_api::policy::PlacementPolicySpec;
use leeward_core::context::DecisionContext;
use leeward_core::decide::decide;
use leeward_core::history::History;
use leeward_core::names::{AccountId, ClusterName, ConsumerName, ServerName, StreamName, Tag};
use leeward_core::owner::StreamOwners;
use leeward_core::resolve::resolve;
use leeward_core::snapshot::{AccountView, ClientGroup, ClientKind, Consumer, Peer, RaftGroup, Stream};
use leeward_core::topology::Storage;
use leeward_core::topology::{Server, ServerDetails, ServerIx, Topology, Version};

const ACCOUNTS: usize = 1_000;
const STREAMS: usize = 100;
const CONSUMERS: usize = 10;
const SERVERS: u16 = 6;
const RUNS: usize = 5;

fn main() {
    let policy = policy();
    let now = Timestamp::from_second(1_767_268_800).unwrap();
    let before = memory("VmRSS");
    let topology = Arc::new(topology());
    let views: Vec<AccountView> = (0..ACCOUNTS).map(|number| view(number, &topology, now)).collect();
    let snapshot = memory("VmRSS") - before;
    let history = History::default();
    let (owners, denied) = (StreamOwners::default(), BTreeSet::new());
    let Some(first) = views.first() else { return };
    let context = DecisionContext {
        view: first,
        policy: &policy,
        now,
        stale_after: Duration::from_mins(1),
        usage: None,
        history: &history,
        owners: &owners,
        denied: &denied,
        approved: None,
    };

    let floor = fastest(|| {
        views
            .iter()
            .flat_map(|view| &view.streams)
            .map(|stream| {
                let led = |group: &RaftGroup| usize::from(group.leader.is_some());
                led(&stream.group)
                    + stream
                        .consumers
                        .iter()
                        .map(|consumer| led(&consumer.group))
                        .sum::<usize>()
            })
            .sum()
    });
    let decide = fastest(|| {
        views
            .iter()
            .map(|view| {
                let context = DecisionContext { view, ..context };
                decide(&context).actions.len()
            })
            .sum()
    });
    let assets = ACCOUNTS * STREAMS * (CONSUMERS + 1);
    println!("decide: {assets} assets, {} actions planned", decide.result);
    println!("  snapshot           {snapshot:8.0} MB");
    println!(
        "  peak memory        {:8.0} MB   (aim: under 500)",
        memory("VmHWM")
    );
    println!(
        "  findings and plan  {:8.3} s    (aim: under 1)",
        decide.took.as_secs_f64()
    );
    println!("  floor: read only   {:8.3} s", floor.took.as_secs_f64());
    println!(
        "  ratio              {:8.1} x",
        decide.took.as_secs_f64() / floor.took.as_secs_f64()
    );
}

struct Fastest {
    took: Duration,
    result: usize,
}

fn fastest(run: impl Fn() -> usize) -> Fastest {
    let timed = || {
        let began = Instant::now();
        let result = std::hint::black_box(run());
        Fastest {
            took: began.elapsed(),
            result,
        }
    };
    (0..RUNS).map(|_| timed()).min_by_key(|run| run.took).unwrap()
}

/// A figure of this process in MB, from the kernel; 0 where it does not tell.
fn memory(field: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    let kilobytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok());
    kilobytes.unwrap_or(0.0) / 1024.0
}

fn policy() -> leeward_core::policy::Policy {
    let spec: PlacementPolicySpec = serde_json::from_value(serde_json::json!({
        "systemRef": {"name": "prod"},
        "credentialsRef": {"name": "account"},
        "mode": "Enforce",
        "topology": {"key": "ServerTag", "tagPrefix": "region:"},
        "home": {"stabilizationWindow": "0s"},
        "disruption": {"budgets": []},
    }))
    .unwrap();
    resolve(&spec).unwrap()
}

fn topology() -> Topology {
    let server = |number: u16| Server {
        name: ServerName::from(format!("n-{number}")),
        answered: true,
        details: Some(ServerDetails {
            cluster: ClusterName::from("world"),
            tags: vec![Tag::from(if number < SERVERS / 2 {
                "region:us-east"
            } else {
                "region:eu-west"
            })],
            version: Version::new(2, 15, 1),
            jetstream: true,
            started: Some(Timestamp::UNIX_EPOCH),
            room: None,
        }),
    };
    Topology::new((0..SERVERS).map(server).collect(), BTreeMap::new())
}

fn view(number: usize, topology: &Arc<Topology>, now: Timestamp) -> AccountView {
    let clients = |server: u16, connections: u32| ClientGroup {
        server: ServerIx(server),
        kind: ClientKind::Client,
        user: None,
        name: None,
        connections,
        messages: None,
        bytes: None,
    };
    AccountView {
        account: AccountId::from(format!("A{number:04}")),
        topology: Arc::clone(topology),
        observed_at: now,
        gaps: Vec::new(),
        clients: vec![clients(0, 9), clients(SERVERS - 1, 2)],
        streams: (0..STREAMS).map(|stream| stream_of(number + stream)).collect(),
        traffic: None,
    }
}

fn stream_of(seed: usize) -> Stream {
    Stream {
        name: StreamName::from(format!("ORDERS-{seed:06}")),
        replicas: 3,
        group: group(seed),
        moving: false,
        placement: None,
        metadata: BTreeMap::new(),
        bytes: 1_000_000,
        storage: Storage::File,
        max_bytes: None,
        upstreams: Vec::new(),
        subjects: Vec::new(),
        allow_direct: false,
        answers_gets_of: None,
        message_rate: Some(f32::from(u16::try_from(seed % 1000).unwrap())),
        consumers: (0..CONSUMERS).map(|nth| consumer_of(seed, nth)).collect(),
    }
}

fn consumer_of(seed: usize, nth: usize) -> Consumer {
    Consumer {
        name: ConsumerName::from(format!("worker-{nth:02}")),
        group: group(seed + nth),
        message_rate: Some(f32::from(u16::try_from((seed * 7 + nth) % 1000).unwrap())),
        durable: true,
        deliver_subject: None,
        opted_out: false,
        ack_pending: 0,
        pinned: false,
        waiting: 0,
    }
}

/// Two of three peers in one region, the third in the other; any of them leads.
fn group(seed: usize) -> RaftGroup {
    let peer = |offset: usize| {
        let server = ServerIx(u16::try_from((seed + offset * 2) % usize::from(SERVERS)).unwrap());
        Peer {
            server,
            current: true,
            offline: false,
            lag: 0,
        }
    };
    let mut peers = [peer(0), peer(1), peer(2)];
    peers.sort_by_key(|peer| peer.server);
    RaftGroup {
        leader: Some(peers[seed / 3 % 3].server),
        leader_since: Some(Timestamp::UNIX_EPOCH),
        peers: peers.into(),
    }
}
