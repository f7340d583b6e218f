//! Worlds written as text: servers, clients, streams, what is remembered, and a policy.

mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use leeward_api::policy::PlacementPolicySpec;
use leeward_api::vocabulary::ActionType;
use leeward_core::context::DecisionContext;
use leeward_core::demand::{HomeHistory, SettledHome};
use leeward_core::history::{AssetHistory, History};
use leeward_core::names::{
    AccountId, AssetName, ClusterName, ConsumerName, Location, ServerName, StreamName, Tag,
};
use leeward_core::owner::{OwnerObject, StreamOwners};
use leeward_core::policy::Policy;
use leeward_core::resolve::resolve;
use leeward_core::snapshot::{
    AccountView, ClientGroup, ClientKind, Consumer, Gap, Peer, Placement, RaftGroup, Stream, Traffic,
};
use leeward_core::topology::{
    JetStreamCapacity, Resource, Server, ServerDetails, ServerIx, Storage, Topology, Version,
};
use leeward_core::usage::{AccountUse, Sampled, SampledClient, StreamSampling, UseKind, UseSample};

use self::words::{Words, since, span};

pub const STALE_AFTER: Duration = Duration::from_secs(90);

/// A scenario: everything that a decision depends on.
pub struct World {
    pub now: Timestamp,
    pub view: AccountView,
    pub policy: Policy,
    /// `None` unless the scenario samples.
    pub usage: Option<AccountUse>,
    pub history: History,
    pub owners: StreamOwners,
    pub denied: BTreeSet<ActionType>,
}

impl World {
    pub fn context(&self) -> DecisionContext<'_> {
        DecisionContext {
            view: &self.view,
            policy: &self.policy,
            now: self.now,
            stale_after: STALE_AFTER,
            usage: self.usage.as_ref(),
            history: &self.history,
            owners: &self.owners,
            denied: &self.denied,
            approved: None,
        }
    }

    pub fn parse(text: &str) -> Self {
        let (world, policy) = text.split_once("\npolicy:").unwrap_or((text, " {}"));
        let mut script = Script::default();
        for line in world.lines() {
            let line = line.split('#').next().unwrap().trim_end();
            if !line.trim().is_empty() {
                script.line(line.trim());
            }
        }
        script.finish(policy_from(policy))
    }
}

/// A policy from YAML that leaves the references out. Without budgets of its own it has none, and no limit of payback, so that a plan shows all
/// that may be done.
pub fn policy_from(yaml: &str) -> Policy {
    let yaml = if yaml.trim().is_empty() { "{}" } else { yaml };
    let mut value: serde_json::Value = serde_saphyr::from_str(yaml).unwrap();
    value["systemRef"] = serde_json::json!({"name": "prod"});
    value["credentialsRef"] = serde_json::json!({"name": "account"});
    if value["disruption"].get("budgets").is_none() {
        value["disruption"]["budgets"] = serde_json::json!([]);
    }
    if value["disruption"].get("maxPayback").is_none() {
        value["disruption"]["maxPayback"] = serde_json::json!("0s");
    }
    let spec: PlacementPolicySpec = serde_json::from_value(value).unwrap();
    resolve(&spec).unwrap()
}

#[derive(Default)]
struct Script {
    now: Option<Timestamp>,
    observed: Option<Duration>,
    servers: Vec<Server>,
    /// Between clusters, or between servers of one.
    round_trips: Vec<(String, String, Duration)>,
    gaps: Vec<Gap>,
    domain: Option<String>,
    meta_leader: Option<String>,
    later: Vec<String>,
    history: History,
    owners: BTreeMap<StreamName, OwnerObject>,
    unknown_owners: Option<String>,
    denied: BTreeSet<ActionType>,
    traffic: Option<Traffic>,
    /// Samples of one stream at one time.
    samplings: Option<BTreeMap<(Timestamp, StreamName), Vec<UseSample>>>,
    /// Streams without a message whenever they are sampled.
    idle: BTreeSet<StreamName>,
    /// Subjects that may not be listened to, by stream.
    unheard: BTreeMap<StreamName, BTreeSet<String>>,
}

impl Script {
    fn line(&mut self, line: &str) {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let words = Words::new(rest);
        let now = || self.now.expect("`now` comes first");
        match word {
            "now" => self.now = Some(rest.parse().unwrap()),
            "observed" => self.observed = Some(span(rest)),
            "server" => self.server(&words),
            "rtt" => {
                let [from, to] = [0, 1].map(|nth| words.at(nth).to_owned());
                self.round_trips.push((from, to, span(words.at(2))));
            }
            "domain" => self.domain = Some(rest.to_owned()),
            "meta-leader" => self.meta_leader = Some(rest.to_owned()),
            "gap" => self.gaps.push(Gap::Unreadable {
                message: rest.to_owned(),
            }),
            "home" => {
                let since = now() - span(words.get("for").unwrap_or("1h"));
                let settled = Some(SettledHome {
                    location: Location::from(words.at(0)),
                    since,
                });
                match words.get("of") {
                    None => self.history.home.settled = settled,
                    Some(of) => {
                        let challenger = None;
                        let home = HomeHistory { settled, challenger };
                        self.history.asset_homes.insert(asset(of), home);
                    }
                }
            }
            "sampling" => drop(self.samplings.get_or_insert_default()),
            "idle" => {
                let stream = StreamName::from(words.at(0));
                for ago in [10, 20, 30, 40] {
                    let at = now() - Duration::from_secs(ago);
                    let samplings = self.samplings.get_or_insert_default();
                    samplings.entry((at, stream.clone())).or_default();
                }
                self.idle.insert(stream);
            }
            "unheard" => {
                let subjects = self.unheard.entry(StreamName::from(words.at(0))).or_default();
                subjects.insert(words.at(1).to_owned());
            }
            "sample" => {
                let at = now() - span(words.get("ago").unwrap_or("1s"));
                let (stream, sample) = sample(&words);
                let samplings = self.samplings.get_or_insert_default();
                samplings.entry((at, stream)).or_default().push(sample);
            }
            "tried" => {
                let past = AssetHistory {
                    attempts: words.get("attempts").unwrap_or("0").parse().unwrap(),
                    last: now() - span(words.get("ago").unwrap()),
                    undone: words.get("undone").map_or(0, |count| count.parse().unwrap()),
                    moved_to: None,
                };
                self.history.assets.insert(asset(words.at(0)), past);
            }
            "owner" => {
                let owner = rest.split_once(' ').unwrap().1.to_owned();
                let object = OwnerObject {
                    name: owner,
                    not_patched: None,
                };
                self.owners.insert(StreamName::from(words.at(0)), object);
            }
            "owners-unknown" => self.unknown_owners = Some(rest.to_owned()),
            "denied" => {
                self.denied.insert(rest.parse().unwrap());
            }
            "traffic" => {
                self.traffic = Some(Traffic {
                    bytes: words.at(0).parse().unwrap(),
                    gateway_bytes: words.at(1).parse().unwrap(),
                    span_milliseconds: 30_000,
                });
            }
            "clients" | "stream" | "consumer" => self.later.push(line.to_owned()),
            other => panic!("unknown word {other:?}"),
        }
    }

    fn server(&mut self, words: &Words) {
        let details = ServerDetails {
            cluster: ClusterName::from(words.get("cluster").unwrap_or("c1")),
            tags: words.list("tags").into_iter().map(Tag::from).collect(),
            version: Version::parse(words.get("version").unwrap_or("2.15.1")).unwrap(),
            jetstream: !words.has("no-jetstream"),
            started: since(words, "up", self.now.expect("`now` comes first")),
            room: room(words),
        };
        let unknown = words.has("unknown");
        self.servers.push(Server {
            name: ServerName::from(words.at(0)),
            answered: !words.has("missing") && !unknown,
            details: (!unknown).then_some(details),
        });
    }

    fn finish(self, policy: Policy) -> World {
        let now = self.now.expect("now");
        let mut gaps = self.gaps;
        let trips = || {
            self.round_trips
                .iter()
                .map(|(from, to, rtt)| (from.as_str(), to.as_str(), *rtt))
        };
        let clusters = trips().map(|(from, to, rtt)| ((from.into(), to.into()), rtt));
        let mut topology = Topology::new(self.servers, clusters.collect());
        topology.routes = Arc::new(
            trips()
                .map(|(from, to, rtt)| ((from.into(), to.into()), rtt))
                .collect(),
        );
        topology.domain = self.domain;
        topology.meta_leader = self.meta_leader.as_deref().map(ServerName::from);
        gaps.extend(topology.missing().map(|server| Gap::ServerMissing {
            server: server.clone(),
        }));
        let mut view = AccountView {
            account: AccountId::from("A"),
            topology: Arc::new(topology),
            observed_at: now - self.observed.unwrap_or_default(),
            gaps,
            clients: Vec::new(),
            streams: Vec::new(),
            traffic: self.traffic,
        };
        for line in self.later {
            let (word, rest) = line.split_once(' ').unwrap();
            let words = Words::new(rest);
            match word {
                "clients" => view.clients.push(clients(&view.topology, &words)),
                "stream" => view.streams.push(stream(&view.topology, now, &words)),
                _ => {
                    let consumer = consumer(&view.topology, now, &words);
                    view.streams
                        .last_mut()
                        .expect("a stream first")
                        .consumers
                        .push(consumer);
                }
            }
        }
        view.normalize();
        let owners = match self.unknown_owners {
            Some(why) => StreamOwners::Unknown(why),
            None => StreamOwners::Known(self.owners),
        };
        let (denied, idle_streams) = (self.unheard, self.idle);
        let usage = self.samplings.map(|samplings| {
            let mut usage = AccountUse::default();
            for ((at, stream), samples) in samplings {
                let idle = idle_streams.contains(&stream);
                let sampled = Sampled {
                    samples,
                    denied: denied.get(&stream).cloned().unwrap_or_default(),
                    ..Sampled::default()
                };
                usage.add(stream, StreamSampling::new(at, sampled, idle));
            }
            usage
        });
        World {
            now,
            view,
            policy,
            usage,
            history: self.history,
            owners,
            denied: self.denied,
        }
    }
}

fn asset(text: &str) -> AssetName {
    match text.split_once('/') {
        Some((stream, consumer)) => {
            AssetName::consumer(StreamName::from(stream), ConsumerName::from(consumer))
        }
        None => AssetName::stream(StreamName::from(text)),
    }
}

/// `sample STREAM[/CONSUMER] KIND seen=… independent=… by=SERVER:MESSAGES,…`; what is not said is as many as were found.
fn sample(words: &Words) -> (StreamName, UseSample) {
    let of = asset(words.at(0));
    let client = |(nth, text): (usize, &str)| {
        let (server, messages) = text.split_once(':').unwrap();
        let client = SampledClient {
            server: ServerName::from(server),
            connection: nth as u64,
            user: None,
            name: None,
        };
        (client, messages.parse::<u32>().unwrap())
    };
    let clients: BTreeMap<SampledClient, u32> =
        words.list("by").into_iter().enumerate().map(client).collect();
    let known = clients.values().sum();
    let number = |key| words.get(key).map(|text| text.parse().unwrap());
    let batch = u64::from(number("batch").unwrap_or(100));
    let sample = UseSample {
        kind: match words.at(1) {
            "publish" => UseKind::Publish,
            "pull" => UseKind::Pull,
            "push" => UseKind::Push,
            "direct-get" => UseKind::DirectGet,
            "get" => UseKind::Get,
            "create" => UseKind::Create,
            other => panic!("unknown kind of use {other:?}"),
        },
        consumer: of.consumer,
        span: span(words.get("span").unwrap_or("100ms")),
        messages: number("seen").unwrap_or(known),
        independent: number("independent").unwrap_or(known),
        asked: clients
            .iter()
            .map(|(client, requests)| (client.clone(), u64::from(*requests) * batch))
            .collect(),
        asked_by_all: u64::from(number("seen").unwrap_or(known)) * batch,
        clients,
        is_denied: words.has("denied"),
        is_cut: false,
        is_uncounted: false,
    };
    (of.stream, sample)
}

fn find(topology: &Topology, name: &str) -> ServerIx {
    topology.find(name).unwrap_or_else(|| panic!("no server {name}"))
}

fn clients(topology: &Topology, words: &Words) -> ClientGroup {
    ClientGroup {
        server: find(topology, words.at(0)),
        kind: if words.has("leaf") {
            ClientKind::Leafnode
        } else {
            ClientKind::Client
        },
        user: words.get("user").map(Arc::from),
        name: words.get("name").map(Arc::from),
        connections: words.at(1).parse().unwrap(),
        messages: words.get("messages").map(|count| count.parse().unwrap()),
        bytes: words.get("bytes").map(|count| count.parse().unwrap()),
    }
}

fn group(topology: &Topology, now: Timestamp, words: &Words) -> RaftGroup {
    let mut leader = None;
    let peer = |text: &str| {
        let mut parts = text.split(':');
        let name = parts.next().unwrap().trim_start_matches('*');
        let mut peer = Peer {
            server: find(topology, name),
            current: true,
            offline: false,
            lag: 0,
        };
        for part in parts {
            match part.split_once('=') {
                Some(("lag", lag)) => peer.lag = lag.parse().unwrap(),
                _ if part == "offline" => (peer.offline, peer.current) = (true, false),
                _ if part == "behind" => peer.current = false,
                _ => panic!("unknown {part:?}"),
            }
        }
        peer
    };
    let mut peers = Vec::new();
    for text in words.list("peers") {
        let peer = peer(text);
        if text.starts_with('*') {
            leader = Some(peer.server);
        }
        peers.push(peer);
    }
    RaftGroup {
        leader,
        leader_since: since(words, "led", now),
        peers: peers.into(),
    }
}

/// `room=FILE/USED/RESERVED`, with `memory-room`, `ha=ASSETS/MOST` and `unique-tag` beside it.
fn room(words: &Words) -> Option<JetStreamCapacity> {
    let numbers =
        |text: &str| -> Vec<u64> { text.split('/').map(|number| number.parse().unwrap()).collect() };
    let resource = |key: &str| {
        words
            .get(key)
            .map(numbers)
            .map_or(Resource::default(), |numbers| Resource {
                limit: numbers[0],
                used: numbers[1],
                reserved: numbers[2],
            })
    };
    let file = words.get("room").is_some();
    let ha = words.get("ha").map(numbers);
    (file || ha.is_some() || words.get("unique-tag").is_some()).then(|| JetStreamCapacity {
        file: if file {
            resource("room")
        } else {
            Resource {
                limit: u64::MAX,
                used: 0,
                reserved: 0,
            }
        },
        memory: resource("memory-room"),
        ha_assets: ha.as_ref().map_or(0, |numbers| numbers[0]),
        max_ha_assets: ha.map(|numbers| numbers[1]),
        unique_tag: words.get("unique-tag").map(str::to_owned),
    })
}

fn rate(words: &Words) -> Option<f32> {
    words.get("rate").map(|rate| rate.parse().unwrap())
}

fn stream(topology: &Topology, now: Timestamp, words: &Words) -> Stream {
    let group = group(topology, now, words);
    let mut metadata = BTreeMap::new();
    if words.has("ignore") {
        metadata.insert("leeward.dev/ignore".to_owned(), "true".to_owned());
    }
    for pair in words.list("meta") {
        let (key, value) = pair.split_once(':').unwrap();
        metadata.insert(key.to_owned(), value.to_owned());
    }
    let cluster = words.get("cluster").map(ClusterName::from);
    let tags: Vec<Tag> = words.list("tags").into_iter().map(Tag::from).collect();
    Stream {
        name: StreamName::from(words.at(0)),
        replicas: words.get("replicas").map_or_else(
            || u8::try_from(group.peers.len()).unwrap(),
            |count| count.parse().unwrap(),
        ),
        group,
        moving: words.has("moving"),
        placement: (cluster.is_some() || !tags.is_empty()).then_some(Placement { cluster, tags }),
        metadata,
        bytes: words.get("bytes").map_or(0, |count| count.parse().unwrap()),
        storage: if words.has("memory") {
            Storage::Memory
        } else {
            Storage::File
        },
        max_bytes: words.get("max-bytes").map(|count| count.parse().unwrap()),
        upstreams: words
            .list("upstreams")
            .into_iter()
            .map(StreamName::from)
            .collect(),
        subjects: Vec::new(),
        allow_direct: words.has("direct"),
        answers_gets_of: words.get("answers-gets-of").map(StreamName::from),
        message_rate: rate(words),
        consumers: Vec::new(),
    }
}

fn consumer(topology: &Topology, now: Timestamp, words: &Words) -> Consumer {
    Consumer {
        name: ConsumerName::from(words.at(0)),
        group: group(topology, now, words),
        message_rate: rate(words),
        durable: !words.has("ephemeral"),
        deliver_subject: None,
        opted_out: words.has("ignore"),
        ack_pending: words.get("ack-pending").map_or(0, |count| count.parse().unwrap()),
        pinned: words.has("pinned"),
        waiting: words.get("waiting").map_or(0, |count| count.parse().unwrap()),
    }
}
