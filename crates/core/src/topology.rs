//! Servers, clusters, tags, and the locations that a policy's topology key makes of them.
//!
//! A server that was expected and did not answer stays in the topology, marked so: it is never read as absent.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::names::{ClusterName, Location, ServerName, Tag};

/// A server's index in [`Topology::servers`]; small, for the hot structures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ServerIx(pub u16);

/// A nats-server version; pre-release suffixes are dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Version {
    /// Major.
    pub major: u16,
    /// Minor.
    pub minor: u16,
    /// Patch.
    pub patch: u16,
}

impl Version {
    /// A version from its three numbers.
    pub const fn new(major: u16, minor: u16, patch: u16) -> Self {
        Self { major, minor, patch }
    }

    /// Reads `2.15.1`, `2.15.1-RC.1` or `v2.15.1`; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let bare = text.trim_start_matches('v');
        let release = bare.split(['-', '+']).next()?;
        let mut numbers = release.split('.').map(str::parse::<u16>);
        let version = Self::new(
            numbers.next()?.ok()?,
            numbers.next()?.ok()?,
            numbers.next()?.ok()?,
        );
        numbers.next().is_none().then_some(version)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// The first version whose step-down takes a preferred peer (nats-facts N10).
pub const AIMED_STEP_DOWN: Version = Version::new(2, 11, 0);
/// The first version that moves a consumer's only replica (nats-facts N65).
pub const CONSUMER_EVACUATION: Version = Version::new(2, 15, 0);
/// The first version whose moves are trusted with data (nats-facts N29: R1 moves may lose everything up to 2.9.21).
pub const SAFE_MOVE: Version = Version::new(2, 9, 22);

/// One server of the system.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Server {
    /// Its name.
    pub name: ServerName,
    /// Whether it answered in this observation.
    pub answered: bool,
    /// What is known of it; `None` for one that was only ever named by others.
    pub details: Option<ServerDetails>,
}

/// What a server reports of itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ServerDetails {
    /// Its NATS cluster.
    pub cluster: ClusterName,
    /// Its tags, lower-cased.
    pub tags: Vec<Tag>,
    /// Its version.
    pub version: Version,
    /// Whether JetStream runs there and placement may choose it.
    pub jetstream: bool,
    /// When it started, or was first seen where that is unknown.
    pub started: Option<Timestamp>,
    /// What JetStream may use there and does; `None` when it cannot be seen.
    pub room: Option<JetStreamCapacity>,
}

/// Where a stream keeps its messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Storage {
    /// On disk.
    #[default]
    File,
    /// In memory.
    Memory,
}

/// Resources of JetStream on one server, as it reports them.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct JetStreamCapacity {
    /// Bytes on disk.
    pub file: Resource,
    /// Bytes in memory.
    pub memory: Resource,
    /// Streams and consumers with more than one replica that have a peer there.
    pub ha_assets: u64,
    /// The most of those; `None` for no limit.
    pub max_ha_assets: Option<u64>,
    /// The prefix of tags of which no two peers of a stream may share a value (`unique_tag`).
    pub unique_tag: Option<String>,
}

impl JetStreamCapacity {
    /// Bytes that are left for a kind of storage.
    pub fn free(&self, storage: Storage) -> u64 {
        let Resource {
            limit,
            used,
            reserved,
        } = match storage {
            Storage::File => self.file,
            Storage::Memory => self.memory,
        };
        limit.saturating_sub(used.max(reserved))
    }
}

/// One kind of storage of one server, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Resource {
    /// All that JetStream may use.
    pub limit: u64,
    /// What is used.
    pub used: u64,
    /// What streams with `max_bytes` have reserved.
    pub reserved: u64,
}

/// All servers of a system, sorted by name, and the round trips between its clusters.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Topology {
    /// Sorted by name; [`ServerIx`] counts in this list.
    servers: Vec<Server>,
    /// Round-trip time between clusters, measured over gateways, by (from, to).
    #[serde(with = "round_trips", default)]
    pub round_trips: BTreeMap<(ClusterName, ClusterName), Duration>,
    /// Round-trip time between servers of one cluster, measured over routes, by (from, to); shared by the views of all
    /// accounts, as it grows with the square of the servers.
    #[serde(
        serialize_with = "round_trips::serialize",
        deserialize_with = "round_trips::shared",
        default
    )]
    pub routes: Arc<BTreeMap<(ServerName, ServerName), Duration>>,
    /// The JetStream domain that is seen; `None` without one.
    #[serde(default)]
    pub domain: Option<String>,
    /// Who leads the JetStream meta group, which chooses peers; `None` where that cannot be seen.
    #[serde(default)]
    pub meta_leader: Option<ServerName>,
}

impl Topology {
    /// Sorts the servers; of two with one name the one that answered stays (nats-facts N41).
    pub fn new(
        mut servers: Vec<Server>,
        round_trips: BTreeMap<(ClusterName, ClusterName), Duration>,
    ) -> Self {
        let rank = |a: &Server, b: &Server| {
            let answered = b.answered.cmp(&a.answered);
            // Which of two that differ stays must not depend on the order of arrival (P1).
            let details = b.details.cmp(&a.details);
            a.name.cmp(&b.name).then(answered).then(details)
        };
        servers.sort_by(rank);
        servers.dedup_by(|later, first| later.name == first.name);
        Self {
            servers,
            round_trips,
            routes: Arc::default(),
            domain: None,
            meta_leader: None,
        }
    }

    /// The servers in the order of their indices.
    pub fn servers(&self) -> &[Server] {
        &self.servers
    }

    /// The indices of all servers.
    pub fn indices(&self) -> impl Iterator<Item = ServerIx> + use<> {
        (0..u16::try_from(self.servers.len()).unwrap_or(u16::MAX)).map(ServerIx)
    }

    /// The index of a server by name.
    pub fn find(&self, name: &str) -> Option<ServerIx> {
        let position = self
            .servers
            .binary_search_by(|server| server.name.as_str().cmp(name))
            .ok()?;
        u16::try_from(position).ok().map(ServerIx)
    }

    /// The server at an index; `None` for an index of another topology.
    pub fn get(&self, index: ServerIx) -> Option<&Server> {
        self.servers.get(usize::from(index.0))
    }

    /// What is known of the server at an index.
    pub fn details(&self, index: ServerIx) -> Option<&ServerDetails> {
        self.get(index)?.details.as_ref()
    }

    /// The measured round trip between two servers: by a route of theirs in one cluster, by gateways between clusters.
    pub fn round_trip(&self, one: ServerIx, other: ServerIx) -> Option<Duration> {
        let cluster = |server| self.details(server).map(|details| details.cluster.clone());
        let (from, to) = (cluster(one)?, cluster(other)?);
        if from != to {
            return measured(&self.round_trips, from, to);
        }
        let name = |server| self.get(server).map(|server| server.name.clone());
        measured(&self.routes, name(one)?, name(other)?)
    }

    /// The servers that were expected and did not answer.
    pub fn missing(&self) -> impl Iterator<Item = &ServerName> {
        self.servers
            .iter()
            .filter(|server| !server.answered)
            .map(|server| &server.name)
    }

    /// The lowest and the highest version among servers that are known; `None` without any.
    pub fn version_range(&self) -> Option<(Version, Version)> {
        let versions = || {
            self.servers
                .iter()
                .filter_map(|server| Some(server.details.as_ref()?.version))
        };
        Some((versions().min()?, versions().max()?))
    }
}

/// The capacities of the servers whose settings decide where peers go: of the leader of the meta group, or of all where
/// it is not seen who leads it (nats-facts N2).
pub fn deciding_capacities<'a>(
    servers: &'a [Server],
    meta_leader: Option<&ServerName>,
) -> Vec<&'a JetStreamCapacity> {
    let room = |server: &'a Server| server.details.as_ref()?.room.as_ref();
    let mut named = servers.iter().filter(|server| Some(&server.name) == meta_leader);
    match named.next().and_then(room) {
        Some(leader) => vec![leader],
        None => servers.iter().filter_map(room).collect(),
    }
}

/// What makes a location of a server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TopologyKey {
    /// The NATS cluster; with a prefix, servers of cluster X carry the tag `<prefix>X`, and edits write it too.
    Cluster {
        /// Prefix of the tag that names the cluster.
        tag_prefix: Option<String>,
    },
    /// The server tag that begins with the prefix.
    ServerTag {
        /// Such as `region:`, lower-cased.
        prefix: String,
    },
}

impl TopologyKey {
    /// Where a server is; `None` where it carries no such tag.
    pub fn location(&self, details: &ServerDetails) -> Option<Location> {
        match self {
            Self::Cluster { tag_prefix: _ } => Some(Location::from(details.cluster.as_str())),
            Self::ServerTag { prefix } => details
                .tags
                .iter()
                .find(|tag| tag.as_str().starts_with(prefix.as_str()))
                .map(|tag| Location::from(tag.as_str())),
        }
    }

    /// All tags of a server that name a location; only the first counts.
    pub fn location_tags<'a>(&'a self, details: &'a ServerDetails) -> impl Iterator<Item = &'a Tag> {
        let prefix = match self {
            Self::Cluster { tag_prefix: _ } => None,
            Self::ServerTag { prefix } => Some(prefix.as_str()),
        };
        let tags = details.tags.iter();
        tags.filter(move |tag| prefix.is_some_and(|prefix| tag.as_str().starts_with(prefix)))
    }

    /// The prefix of tags that name locations, if tags do.
    pub fn tag_prefix(&self) -> Option<&str> {
        match self {
            Self::Cluster { tag_prefix } => tag_prefix.as_deref(),
            Self::ServerTag { prefix } => Some(prefix),
        }
    }

    /// The tag that an edit towards a location writes, if tags name locations.
    pub fn tag_of(&self, location: &Location) -> Option<Tag> {
        match self {
            Self::Cluster { tag_prefix } => {
                let prefix = tag_prefix.as_deref()?;
                Some(Tag::from(format!("{prefix}{location}").to_lowercase()))
            }
            Self::ServerTag { prefix: _ } => Some(Tag::from(location.as_str())),
        }
    }
}

/// The locations of a topology under a key.
#[derive(Clone, Debug, PartialEq)]
pub struct LocationMap {
    locations: Vec<Location>,
    by_server: Vec<Option<u16>>,
}

impl LocationMap {
    /// Finds each server's location.
    pub fn new(topology: &Topology, key: &TopologyKey) -> Self {
        let found: Vec<Option<Location>> = topology
            .servers()
            .iter()
            .map(|server| server.details.as_ref().and_then(|details| key.location(details)))
            .collect();
        let mut locations: Vec<Location> = found.iter().flatten().cloned().collect();
        locations.sort();
        locations.dedup();
        let number = |location: &Location| {
            locations
                .binary_search(location)
                .ok()
                .and_then(|position| u16::try_from(position).ok())
        };
        let by_server = found
            .iter()
            .map(|location| location.as_ref().and_then(number))
            .collect();
        Self { locations, by_server }
    }

    /// All locations, sorted.
    pub fn locations(&self) -> &[Location] {
        &self.locations
    }

    /// Where a server is; `None` when it is unknown or carries no location.
    pub fn of(&self, server: ServerIx) -> Option<&Location> {
        let number = (*self.by_server.get(usize::from(server.0))?)?;
        self.locations.get(usize::from(number))
    }

    /// The locations that have a server on which JetStream runs: only those can lead anything.
    pub fn with_jetstream(&self, topology: &Topology) -> BTreeSet<Location> {
        let runs = |index: &ServerIx| topology.details(*index).is_some_and(|details| details.jetstream);
        let servers = topology.indices().filter(runs);
        servers.filter_map(|index| self.of(index).cloned()).collect()
    }

    /// For each server whether it is in a location, as a table for hot loops.
    pub fn members(&self, location: &Location) -> Vec<bool> {
        let wanted = self.locations.binary_search(location).ok();
        self.by_server
            .iter()
            .map(|number| number.map(usize::from) == wanted && wanted.is_some())
            .collect()
    }

    /// The servers of a location.
    pub fn servers_of(&self, location: &Location) -> impl Iterator<Item = ServerIx> + use<> {
        let members = self.members(location);
        (0..u16::MAX)
            .zip(members)
            .filter(|(_, member)| *member)
            .map(|(index, _)| ServerIx(index))
    }
}

/// Whichever of the two measured it.
fn measured<N: Clone + Ord>(table: &BTreeMap<(N, N), Duration>, one: N, other: N) -> Option<Duration> {
    let there = table.get(&(one.clone(), other.clone()));
    there.or_else(|| table.get(&(other, one))).copied()
}

/// Serialises round trips as a list, since JSON has no keys of two parts.
mod round_trips {
    use std::collections::BTreeMap;
    use std::sync::Arc;
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    type Table<N> = BTreeMap<(N, N), Duration>;

    pub(super) fn serialize<N: Serialize, S: Serializer>(
        table: &Table<N>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        table
            .iter()
            .map(|((from, to), time)| (from, to, time.as_micros()))
            .collect::<Vec<_>>()
            .serialize(serializer)
    }

    pub(super) fn shared<'de, N, D>(deserializer: D) -> Result<Arc<Table<N>>, D::Error>
    where
        N: Deserialize<'de> + Ord,
        D: Deserializer<'de>,
    {
        deserialize(deserializer).map(Arc::new)
    }

    pub(super) fn deserialize<'de, N, D>(deserializer: D) -> Result<Table<N>, D::Error>
    where
        N: Deserialize<'de> + Ord,
        D: Deserializer<'de>,
    {
        let rows = Vec::<(N, N, u64)>::deserialize(deserializer)?;
        Ok(rows
            .into_iter()
            .map(|(from, to, microseconds)| ((from, to), Duration::from_micros(microseconds)))
            .collect())
    }
}

#[cfg(test)]
mod tests;
