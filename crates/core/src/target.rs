//! Where a stream would move to: the placement that an edit writes, and the servers that fit it.

use serde::{Deserialize, Serialize};

use crate::names::{ClusterName, Location, ServerName, Tag};
use crate::snapshot::{Placement, Stream};
use crate::topology::{ServerDetails, Topology, TopologyKey};

/// The destination of a move.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MoveTarget {
    /// The location that becomes the stream's.
    pub location: Location,
    /// The placement to write; all its other tags are the stream's own.
    pub placement: Placement,
    /// The stored placement that it replaces; a stream that stores another one by then is not edited.
    pub replaces: Option<Placement>,
    /// The servers of the location: what a finished move is judged by (NATS.md N21).
    pub servers: Vec<ServerName>,
}

impl MoveTarget {
    /// Whether the wanted placement is stored already although the stream lies elsewhere: the servers take an equal
    /// placement for no change, so it has to be removed first (NATS.md N21).
    pub fn is_repair(&self) -> bool {
        self.replaces.as_ref() == Some(&self.placement)
    }
}

/// Why no move can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// No server fits.
    #[error("no JetStream server in home carries the stream's placement tags")]
    NoServersMatch,
    /// Fewer servers than replicas fit.
    #[error("{matching} servers in home fit the stream's placement, fewer than its replicas")]
    NotEnoughServers {
        /// How many.
        matching: usize,
    },
}

/// Finds the placement that brings a stream to a location; `members` tells the location's servers.
pub fn move_target(
    topology: &Topology,
    key: &TopologyKey,
    location: &Location,
    members: &[bool],
    stream: &Stream,
) -> Result<MoveTarget, TargetError> {
    let in_home = || {
        topology
            .servers()
            .iter()
            .zip(members)
            .filter(|(_, member)| **member)
            .map(|(server, _)| server)
    };
    let known = || in_home().filter_map(|server| Some((server, server.details.as_ref()?)));
    let placement = Placement {
        cluster: only_cluster(known().map(|(_, details)| &details.cluster)),
        tags: tags_towards(key, location, stream.placement.as_ref()),
    };
    let fitting: Vec<&ServerDetails> = known()
        .filter(|(server, details)| server.answered && details.jetstream && fits(&placement, details))
        .map(|(_, details)| details)
        .collect();
    // All replicas lie in one cluster (NATS.md N1).
    let most = fitting
        .iter()
        .map(|one| {
            fitting
                .iter()
                .filter(|other| other.cluster == one.cluster)
                .count()
        })
        .max()
        .ok_or(TargetError::NoServersMatch)?;
    if most < usize::from(stream.replicas) {
        return Err(TargetError::NotEnoughServers { matching: most });
    }
    Ok(MoveTarget {
        location: location.clone(),
        placement,
        replaces: stream.placement.clone(),
        servers: in_home().map(|server| server.name.clone()).collect(),
    })
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

/// Tags match case-insensitively and all must; `!tag` excludes (NATS.md N2).
fn fits(placement: &Placement, details: &ServerDetails) -> bool {
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
