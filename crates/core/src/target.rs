//! Where a stream would move to: the placement that an edit writes, and the servers that fit it and have capacity, so
//! that no move is requested that the servers would refuse.

mod capacity;

use std::collections::BTreeSet;

use leeward_api::vocabulary::FindingReason;
use serde::{Deserialize, Serialize};

pub use capacity::{Need, Reserved, Shortage};

use self::capacity::CandidateServer;
use crate::names::{ClusterName, Location, ServerName, Tag};
use crate::snapshot::{Placement, RaftGroup, Stream};
use crate::topology::{
    LocationMap, Server, ServerDetails, ServerIx, Topology, TopologyKey, Version, deciding_capacities,
};

/// The destination of a move.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MoveTarget {
    /// The location that becomes the stream's.
    pub location: Location,
    /// The placement to write; all its other tags are the stream's own.
    pub placement: Placement,
    /// The stored placement that it replaces; a stream that stores another one by then is not edited.
    pub replaces: Option<Placement>,
    /// The servers of the location: what a finished move is judged by (nats-facts N21).
    pub servers: Vec<ServerName>,
    /// The object through which the placement is written, where the stream belongs to one: `Stream nats/orders`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub owner: Option<String>,
}

impl MoveTarget {
    /// Whether the wanted placement is stored already although the stream is elsewhere: the servers treat an equal
    /// placement as no change, so it has to be removed first (nats-facts N21).
    pub fn is_repair(&self) -> bool {
        self.replaces.as_ref() == Some(&self.placement)
    }
}

/// Why no move can be requested.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// No server fits.
    #[error("no JetStream server in home carries the stream's placement tags")]
    NoServersMatch,
    /// Fewer servers than replicas fit, whatever their capacity.
    #[error("{matching} servers in home can take a replica, fewer than the stream has")]
    NotEnoughServers {
        /// How many, all in one cluster.
        matching: usize,
        /// The servers' `unique_tag`, where that is what makes them so few.
        unique_tag: Option<String>,
    },
    /// Enough servers fit, but too few have capacity.
    #[error("{with_capacity} servers in home have room for a replica, fewer than the stream has")]
    NoCapacity {
        /// How many.
        with_capacity: usize,
        /// What the others lack, by server.
        short: Vec<Shortage>,
    },
}

impl TargetError {
    /// The reason of a finding that this makes.
    pub fn reason(&self) -> FindingReason {
        match self {
            Self::NoServersMatch => FindingReason::NoServersMatch,
            Self::NotEnoughServers {
                matching: _,
                unique_tag: _,
            } => FindingReason::NotEnoughServers,
            Self::NoCapacity {
                with_capacity: _,
                short: _,
            } => FindingReason::NoCapacity,
        }
    }
}

/// A location that streams may move to, and what its servers ask of a stream.
#[derive(Clone, Debug)]
pub struct Destination<'a> {
    topology: &'a Topology,
    key: &'a TopologyKey,
    location: &'a Location,
    members: Vec<bool>,
    hold: Option<FindingReason>,
    lowest: Option<Version>,
    /// The prefix that the leader of the meta group asks for, which decides; every prefix that any server asks for,
    /// where it is not seen who leads (nats-facts N2).
    unique_tags: BTreeSet<&'a str>,
    /// Likewise the leader's own, or the lowest of any.
    max_ha_assets: Option<u64>,
}

/// A server that a stream's placement allows.
#[derive(Clone, Copy, Debug)]
struct Candidate<'a> {
    index: ServerIx,
    name: &'a ServerName,
    details: &'a ServerDetails,
}

impl<'a> Destination<'a> {
    /// Gathers what is asked of every stream; `hold`: why leaders may not go there yet.
    pub fn new(
        topology: &'a Topology,
        key: &'a TopologyKey,
        locations: &LocationMap,
        location: &'a Location,
        hold: Option<FindingReason>,
    ) -> Self {
        let rooms = deciding_capacities(topology.servers(), topology.meta_leader.as_ref());
        Self {
            topology,
            key,
            location,
            members: locations.members(location),
            hold,
            lowest: topology.version_range().map(|(lowest, _)| lowest),
            unique_tags: rooms
                .iter()
                .filter_map(|room| room.unique_tag.as_deref())
                .collect(),
            max_ha_assets: rooms.iter().filter_map(|room| room.max_ha_assets).min(),
        }
    }

    /// Whether a server is in the location.
    pub fn contains(&self, server: ServerIx) -> bool {
        self.members.get(usize::from(server.0)).copied().unwrap_or(false)
    }

    /// Whether any member of a group is in the location.
    pub fn has_peer(&self, group: &RaftGroup) -> bool {
        group.peers.iter().any(|peer| self.contains(peer.server))
    }

    /// Why leaders may not go there yet.
    pub fn hold(&self) -> Option<FindingReason> {
        self.hold
    }

    /// Its first server.
    pub fn server(&self) -> Option<ServerIx> {
        let first = self.members.iter().position(|member| *member)?;
        u16::try_from(first).ok().map(ServerIx)
    }

    /// The placement that brings here a stream that stores `stored`.
    pub fn placement(&self, stored: Option<&Placement>) -> Placement {
        Placement {
            cluster: only_cluster(self.known().map(|(candidate, _)| &candidate.details.cluster)),
            tags: tags_towards(self.key, self.location, stored),
        }
    }

    /// Finds the placement that brings a stream here, and whether its servers would take it.
    pub fn target(&self, stream: &Stream) -> Result<MoveTarget, TargetError> {
        self.takers(stream, &Reserved::default(), |_| true)?;
        Ok(MoveTarget {
            location: self.location.clone(),
            placement: self.placement(stream.placement.as_ref()),
            replaces: stream.placement.clone(),
            servers: self.servers().map(|(_, server)| server.name.clone()).collect(),
            owner: None,
        })
    }

    /// What one replica of a stream takes of a server.
    pub fn need(&self, stream: &Stream) -> Need {
        Need::of(stream, self.lowest)
    }

    /// The servers that may be chosen for a stream beside what is reserved, among those that are wanted; enough for all
    /// its replicas.
    pub fn takers(
        &self,
        stream: &Stream,
        reserved: &Reserved,
        wanted: impl Fn(ServerIx) -> bool,
    ) -> Result<Vec<ServerIx>, TargetError> {
        let placement = self.placement(stream.placement.as_ref());
        let replicas = usize::from(stream.replicas);
        let unique = self.unique_among(&placement);
        let matching: Vec<Candidate<'_>> = self
            .matching(&placement)
            .filter(|candidate| wanted(candidate.index))
            .collect();
        if matching.is_empty() {
            return Err(TargetError::NoServersMatch);
        }
        let ReplicaCapacity { count, unique_tag } = seats(&matching, &unique);
        if count < replicas {
            return Err(TargetError::NotEnoughServers {
                matching: count,
                unique_tag,
            });
        }
        let CandidateServers {
            fitting,
            tight,
            short,
        } = self.split_by_capacity(matching, stream, reserved);
        let with_capacity = seats(&fitting, &unique).count;
        // Of servers with one unique tag any is taken, before capacity is compared.
        let by_room = unique.is_empty() || (placement.cluster.is_some() && unique_tag.is_none());
        let avoids = |tight| by_room && avoided(tight, &fitting, replicas, reserved);
        if with_capacity < replicas || !tight.iter().all(avoids) {
            return Err(TargetError::NoCapacity { with_capacity, short });
        }
        Ok(fitting.iter().map(|candidate| candidate.index).collect())
    }

    /// Reserves capacity for a stream that will move here, on top of `reserved`.
    pub fn reserve(&self, stream: &Stream, reserved: &mut Reserved) -> Result<(), TargetError> {
        let takers = self.takers(stream, reserved, |_| true)?;
        reserved.take(takers, self.need(stream));
        Ok(())
    }

    /// All servers of the location.
    pub fn members(&self) -> impl Iterator<Item = ServerIx> {
        self.servers().map(|(index, _)| index)
    }

    fn servers(&self) -> impl Iterator<Item = (ServerIx, &'a Server)> {
        self.topology
            .indices()
            .zip(self.topology.servers())
            .filter(|(index, _)| self.contains(*index))
    }

    fn known(&self) -> impl Iterator<Item = (Candidate<'a>, bool)> {
        self.servers().filter_map(|(index, server)| {
            let candidate = Candidate {
                index,
                name: &server.name,
                details: server.details.as_ref()?,
            };
            Some((candidate, server.answered))
        })
    }

    fn matching(&self, placement: &Placement) -> impl Iterator<Item = Candidate<'a>> {
        self.known().filter_map(|(candidate, answered)| {
            let details = candidate.details;
            (answered && details.jetstream && fits(placement, details)).then_some(candidate)
        })
    }

    /// A placement that names a tag of the prefix itself switches the servers' check off.
    fn unique_among(&self, placement: &Placement) -> Vec<&'a str> {
        let named = |prefix: &&&str| {
            let bare = |tag: &Tag| tag.as_str().trim_start_matches('!').starts_with(**prefix);
            placement.tags.iter().any(bare)
        };
        self.unique_tags
            .iter()
            .filter(|prefix| !named(prefix))
            .copied()
            .collect()
    }

    fn split_by_capacity(
        &self,
        matching: Vec<Candidate<'a>>,
        stream: &Stream,
        reserved: &Reserved,
    ) -> CandidateServers<'a> {
        let need = self.need(stream);
        let mut parted = CandidateServers::default();
        for candidate in matching {
            let site = CandidateServer {
                name: candidate.name,
                room: candidate.details.room.as_ref(),
                max_ha_assets: self.max_ha_assets,
            };
            match need.shortage(&site, reserved.of(candidate.index)) {
                None => parted.fitting.push(candidate),
                Some(shortage) => {
                    if matches!(shortage, Shortage::Bytes { .. }) && need.is_taken_by_servers(&site) {
                        parted.tight.push(candidate);
                    }
                    parted.short.push(shortage);
                }
            }
        }
        parted
    }
}

/// Servers that a placement allows, by their capacity for a stream.
#[derive(Debug, Default)]
struct CandidateServers<'a> {
    fitting: Vec<Candidate<'a>>,
    /// What the stream stores does not fit, but the servers would accept it.
    tight: Vec<Candidate<'a>>,
    /// What those that are not roomy lack.
    short: Vec<Shortage>,
}

/// Whether the servers prefer enough others in its cluster to a server: for a single peer they take the most free
/// bytes, for more the fewest assets, then the most free bytes.
fn avoided(tight: &Candidate<'_>, fitting: &[Candidate<'_>], replicas: usize, reserved: &Reserved) -> bool {
    let here = || {
        let all = fitting.iter();
        all.filter(|other| other.details.cluster == tight.details.cluster)
    };
    let preferred = |other: &&Candidate<'_>| {
        let assets = |candidate: &Candidate<'_>| candidate.details.room.as_ref().map(|room| room.ha_assets);
        let on_their_way = reserved.of(other.index).ha_assets();
        let other = assets(other).map(|present| present.saturating_add(on_their_way));
        other.is_some_and(|other| replicas == 1 || Some(other) <= assets(tight))
    };
    here().filter(preferred).count() >= replicas
}

/// How many replicas of one stream servers can hold.
#[derive(Debug, Default, PartialEq, Eq)]
struct ReplicaCapacity {
    count: usize,
    /// The prefix of tags whose values are fewer than the servers.
    unique_tag: Option<String>,
}

/// The most that one cluster offers, since all replicas are in one (nats-facts N1).
fn seats(candidates: &[Candidate<'_>], unique: &[&str]) -> ReplicaCapacity {
    let clusters: BTreeSet<&ClusterName> = candidates
        .iter()
        .map(|candidate| &candidate.details.cluster)
        .collect();
    clusters
        .into_iter()
        .map(|cluster| {
            let here: Vec<&ServerDetails> = candidates
                .iter()
                .map(|candidate| candidate.details)
                .filter(|details| details.cluster == *cluster)
                .collect();
            seats_of(&here, unique)
        })
        .max_by_key(|seats| seats.count)
        .unwrap_or_default()
}

fn seats_of(servers: &[&ServerDetails], unique: &[&str]) -> ReplicaCapacity {
    let scarcest = unique
        .iter()
        .map(|prefix| (distinct_tags(servers, prefix), *prefix))
        .min();
    match scarcest {
        Some((count, prefix)) if count < servers.len() => ReplicaCapacity {
            count,
            unique_tag: Some(prefix.to_owned()),
        },
        Some(_) | None => ReplicaCapacity {
            count: servers.len(),
            unique_tag: None,
        },
    }
}

/// A server without such a tag is never chosen; of several tags the servers compare the first.
fn distinct_tags(servers: &[&ServerDetails], prefix: &str) -> usize {
    let first = |details: &&ServerDetails| {
        let mut tags = details.tags.iter();
        tags.find(|tag| tag.as_str().starts_with(prefix)).cloned()
    };
    servers.iter().filter_map(first).collect::<BTreeSet<_>>().len()
}

fn only_cluster<'a>(mut clusters: impl Iterator<Item = &'a ClusterName>) -> Option<ClusterName> {
    let first = clusters.next()?;
    clusters.all(|cluster| cluster == first).then(|| first.clone())
}

/// The stream's own tags, with those of the key's prefix replaced by the location's.
fn tags_towards(key: &TopologyKey, location: &Location, stored: Option<&Placement>) -> Vec<Tag> {
    let prefix = key.tag_prefix().map(str::to_lowercase);
    let foreign = |tag: &&Tag| {
        let bare = tag.as_str().trim_start_matches('!').to_lowercase();
        prefix
            .as_ref()
            .is_none_or(|prefix| !bare.starts_with(prefix.as_str()))
    };
    let kept = stored
        .map(|placement| placement.tags.as_slice())
        .unwrap_or_default();
    kept.iter()
        .filter(foreign)
        .cloned()
        .chain(key.tag_of(location))
        .collect()
}

/// Tags match case-insensitively and all must; `!tag` excludes (nats-facts N2).
pub(crate) fn fits(placement: &Placement, details: &ServerDetails) -> bool {
    let carries = |wanted: &str| {
        details
            .tags
            .iter()
            .any(|tag| tag.as_str().eq_ignore_ascii_case(wanted))
    };
    placement
        .tags
        .iter()
        .all(|tag| match tag.as_str().strip_prefix('!') {
            Some(excluded) => !carries(excluded),
            None => carries(tag.as_str()),
        })
}

#[cfg(test)]
mod tests;
