//! The servers' part of the model: who leads what, what a hand-over, a move and the failure of a location do to that.

use std::time::Duration;

use jiff::Timestamp;
use leeward_core::names::{AssetName, ServerName};
use leeward_core::policy::Policy;
use leeward_core::resolve::resolve;
use leeward_core::snapshot::{AccountView, ClientGroup, ClientKind, Gap, Peer, RaftGroup, Stream};
use leeward_core::topology::ServerIx;

use super::patterns::{LOCATIONS, Weather};
use crate::worlds::World;

/// How long a move takes.
pub const MOVE: Duration = Duration::from_secs(90);
/// How long a hand-over takes.
pub const HAND_OVER: Duration = Duration::from_secs(2);

/// Servers in each location.
const SERVERS: usize = 3;
const NAMES: [&str; LOCATIONS] = ["us-east", "eu-west", "ap-south"];

/// How the servers are put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deployment {
    /// One cluster, a peer of every asset in every location: step-downs do.
    Stretched,
    /// A cluster in every location: streams have to move, and consumers follow.
    Supercluster,
}

impl Deployment {
    /// The location as a policy calls it.
    pub fn location(self, number: usize) -> String {
        match self {
            Self::Stretched => format!("region:{}", NAMES[number]),
            Self::Supercluster => NAMES[number].to_owned(),
        }
    }

    /// An account with some streams, all led from the first location, which is home.
    pub fn world(self, streams: usize, consumers: usize, policy: &str) -> World {
        let mut lines = vec!["now 2026-01-01T00:00:00Z".to_owned()];
        for (number, name) in NAMES.iter().enumerate() {
            for nth in 0..SERVERS {
                let cluster = match self {
                    Self::Stretched => "c1",
                    Self::Supercluster => NAMES[number],
                };
                lines.push(format!(
                    "server {name}-{nth} cluster={cluster} tags=region:{name} up=1h"
                ));
            }
        }
        lines.push(format!("home {}", self.location(0)));
        for stream in 0..streams {
            let peers = self.peers(stream);
            lines.push(format!(
                "stream S{stream} peers={peers} rate=100 bytes=1000000 led=1h"
            ));
            for consumer in 0..consumers {
                lines.push(format!("consumer C{consumer} peers={peers} rate=100 led=1h"));
            }
        }
        let key = match self {
            Self::Stretched => "topology: {key: ServerTag, tagPrefix: \"region:\"}\n",
            Self::Supercluster => "",
        };
        World {
            policy: policy_of(&format!("mode: Enforce\n{key}{policy}")),
            ..World::parse(&lines.join("\n"))
        }
    }

    fn peers(self, stream: usize) -> String {
        let server = |number: usize, nth: usize| format!("{}-{}", NAMES[number], nth % SERVERS);
        let peer = |nth: usize| match self {
            Self::Stretched => server(nth, stream),
            Self::Supercluster => server(0, nth + stream),
        };
        format!("*{},{},{}", peer(0), peer(1), peer(2))
    }
}

/// A policy from YAML that leaves the references out, with all defaults of the API.
fn policy_of(yaml: &str) -> Policy {
    let mut value: serde_json::Value = serde_saphyr::from_str(yaml).unwrap();
    value["systemRef"] = serde_json::json!({"name": "prod"});
    value["credentialsRef"] = serde_json::json!({"name": "account"});
    resolve(&serde_json::from_value(value).unwrap()).unwrap()
}

/// An account and its servers.
#[derive(Clone, Debug)]
pub struct Estate {
    /// As the next look shows it.
    pub view: AccountView,
    /// The time of the last look.
    pub now: Timestamp,
    moves: Vec<Moving>,
}

#[derive(Clone, Debug)]
struct Moving {
    stream: usize,
    to: usize,
    until: Timestamp,
}

impl Estate {
    pub fn new(view: AccountView, now: Timestamp) -> Self {
        let moves = Vec::new();
        Self { view, now, moves }
    }

    /// Time passes until the next look.
    pub fn pass(&mut self, pause: Duration, weather: &Weather) {
        self.now += pause;
        self.view.observed_at = self.now;
        self.view.clients = (0..LOCATIONS)
            .map(|number| clients(number, weather.clients[number]))
            .collect();
        self.view.gaps = weather.down.iter().flat_map(|number| missing(*number)).collect();
        self.arrive(pause, weather);
        let now = self.now;
        for group in groups(&mut self.view.streams) {
            endure(group, weather, now);
        }
    }

    fn arrive(&mut self, pause: Duration, weather: &Weather) {
        for moving in &mut self.moves {
            let stream = &self.view.streams[moving.stream];
            let lies = location(stream.group.peers[0].server);
            if weather.down.is_some_and(|down| down == moving.to || down == lies) {
                moving.until += pause;
            }
        }
        let (arrived, under_way) = self.moves.drain(..).partition(|moving| moving.until <= self.now);
        self.moves = under_way;
        for Moving { stream, to, until } in arrived {
            let stream = &mut self.view.streams[stream];
            stream.moving = false;
            stream.group = settled_in(to, until);
            for consumer in &mut stream.consumers {
                consumer.group = settled_in(to, until);
            }
        }
    }

    /// A peer takes an asset over.
    pub fn transfer_leader(&mut self, asset: &AssetName, to: ServerIx, at: Timestamp) {
        let stream = self
            .view
            .streams
            .iter_mut()
            .find(|stream| stream.name == asset.stream)
            .unwrap();
        let group = match &asset.consumer {
            None => &mut stream.group,
            Some(name) => {
                let found = stream
                    .consumers
                    .iter_mut()
                    .find(|consumer| consumer.name == *name);
                &mut found.unwrap().group
            }
        };
        assert!(group.peers.iter().any(|peer| peer.server == to && !peer.offline));
        (group.leader, group.leader_since) = (Some(to), Some(at));
    }

    /// The servers begin to move a stream; returns when it arrives, if no location fails meanwhile.
    pub fn begin_move(&mut self, stream: usize, to: usize) -> Timestamp {
        assert!(!self.view.streams[stream].moving, "it moves already");
        self.view.streams[stream].moving = true;
        let until = self.now + MOVE;
        self.moves.push(Moving { stream, to, until });
        until
    }

    /// Assets led from a location, and all.
    pub fn led_from(&self, number: usize) -> (usize, usize) {
        let consumers = |stream: &Stream| {
            stream
                .consumers
                .iter()
                .map(|consumer| consumer.group.leader)
                .collect()
        };
        let leaders = self.view.streams.iter().flat_map(|stream| {
            let consumers: Vec<Option<ServerIx>> = consumers(stream);
            std::iter::once(stream.group.leader).chain(consumers)
        });
        let leaders: Vec<Option<ServerIx>> = leaders.collect();
        let there = leaders
            .iter()
            .flatten()
            .filter(|leader| location(**leader) == number);
        (there.count(), leaders.len())
    }

    pub fn server(&self, name: &ServerName) -> ServerIx {
        self.view.topology.find(name.as_str()).unwrap()
    }
}

/// Servers are sorted by name: ap-south first.
const SORTED: [usize; LOCATIONS] = [2, 1, 0];

/// The location of a server.
pub fn location(server: ServerIx) -> usize {
    SORTED[usize::from(server.0) / SERVERS]
}

fn servers(number: usize) -> impl Iterator<Item = ServerIx> {
    let first = SORTED[number] * SERVERS;
    (first..first + SERVERS).map(|index| ServerIx(u16::try_from(index).unwrap()))
}

fn clients(number: usize, connections: u32) -> ClientGroup {
    ClientGroup {
        server: servers(number).next().unwrap(),
        kind: ClientKind::Client,
        user: None,
        name: None,
        connections,
        messages: None,
        bytes: None,
    }
}

fn missing(number: usize) -> impl Iterator<Item = Gap> {
    (0..SERVERS).map(move |nth| Gap::ServerMissing {
        server: ServerName::from(format!("{}-{nth}", NAMES[number])),
    })
}

fn settled_in(number: usize, since: Timestamp) -> RaftGroup {
    let peer = |server| Peer {
        server,
        current: true,
        offline: false,
        lag: 0,
    };
    RaftGroup {
        leader: servers(number).next(),
        leader_since: Some(since),
        peers: servers(number).map(peer).collect(),
    }
}

fn groups(streams: &mut [Stream]) -> impl Iterator<Item = &mut RaftGroup> {
    streams.iter_mut().flat_map(|stream| {
        let consumers = stream.consumers.iter_mut().map(|consumer| &mut consumer.group);
        std::iter::once(&mut stream.group).chain(consumers)
    })
}

/// Peers of a location that is down are offline; the others elect one of them, if they are a majority.
fn endure(group: &mut RaftGroup, weather: &Weather, now: Timestamp) {
    let down = |server: ServerIx| weather.down == Some(location(server));
    for peer in &mut group.peers {
        (peer.offline, peer.current) = (down(peer.server), !down(peer.server));
    }
    let up = group.peers.iter().filter(|peer| !peer.offline);
    let quorum = up.clone().count() * 2 > group.peers.len();
    let elected = up.map(|peer| peer.server).next().filter(|_| quorum);
    if group.leader.is_none_or(down) && group.leader != elected {
        (group.leader, group.leader_since) = (elected, elected.map(|_| now));
    }
}
