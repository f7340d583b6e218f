//! Which location a placement fixes.

use std::collections::BTreeSet;

use super::Undecided;
use crate::names::{ClusterName, Location, Tag};
use crate::snapshot::Placement;
use crate::topology::{ServerDetails, Topology, TopologyKey};

/// A placement under a topology key, among the servers if they are known.
#[derive(Debug)]
pub(super) struct PlacementMatch<'a> {
    placement: &'a Placement,
    key: &'a TopologyKey,
    topology: Option<&'a Topology>,
}

/// Names that no server has.
#[derive(Debug, Default)]
pub(super) struct UnknownNames<'a> {
    pub(super) tags: Vec<&'a Tag>,
    pub(super) cluster: Option<&'a ClusterName>,
}

impl<'a> PlacementMatch<'a> {
    pub(super) fn new(
        placement: &'a Placement,
        key: &'a TopologyKey,
        topology: Option<&'a Topology>,
    ) -> Self {
        Self {
            placement,
            key,
            topology,
        }
    }

    /// The locations that the placement names, all of which a server has to be in; where it names none, the only one
    /// whose servers it fits. Empty when it leaves the location open. Undecided where unknown servers may decide.
    pub(super) fn fixed(&self) -> Result<BTreeSet<Location>, Undecided> {
        let named = self.named();
        if !named.is_empty() || *self.placement == Placement::default() {
            return Ok(named);
        }
        let mut reached: BTreeSet<Option<Location>> = self
            .known()
            .filter(|server| self.fits(server))
            .map(|server| self.key.location(server))
            .collect();
        let count = reached.len();
        match reached.pop_first() {
            Some(Some(only)) if count == 1 && self.all_known() => Ok(BTreeSet::from([only])),
            None | Some(Some(_)) if count <= 1 && !self.all_known() => Err(Undecided::LocationUnknown),
            None | Some(_) => Ok(BTreeSet::new()),
        }
    }

    /// Why the location is open, in one sentence.
    pub(super) fn open_text(&self) -> String {
        let wanted = match self.key {
            TopologyKey::Cluster { tag_prefix: None } => "a cluster".to_owned(),
            TopologyKey::Cluster {
                tag_prefix: Some(prefix),
            } => format!("a cluster or a tag {prefix}…"),
            TopologyKey::ServerTag { prefix } => format!("a tag {prefix}…"),
        };
        format!("the placement leaves the location open, and {wanted} fixes it")
    }

    /// Whether two locations are the same: a tag that names a cluster is lower-cased.
    pub(super) fn same(&self, one: &Location, other: &Location) -> bool {
        one == other || (self.is_of_tag(one) && self.key.tag_of(one) == self.key.tag_of(other))
    }

    /// Whether a location was read from a tag of a cluster's name.
    fn is_of_tag(&self, location: &Location) -> bool {
        let cluster = self.placement.cluster.as_ref().map(ClusterName::as_str);
        self.key.tag_of(location).is_some() && cluster != Some(location.as_str())
    }

    /// Names that no server has. Undecided where unknown servers may have them.
    pub(super) fn unknown(&self) -> Result<UnknownNames<'a>, Undecided> {
        let carried = |tag: &Tag| self.known().any(|server| carries(server, tag.as_str()));
        let wanted = |tag: &&Tag| !tag.as_str().starts_with('!');
        let tags: Vec<&Tag> = self
            .placement
            .tags
            .iter()
            .filter(wanted)
            .filter(|tag| !carried(tag))
            .collect();
        let cluster = self.placement.cluster.as_ref();
        let cluster = cluster.filter(|cluster| !self.known().any(|server| server.cluster == **cluster));
        if (cluster.is_some() || !tags.is_empty()) && !self.all_known() {
            return Err(Undecided::ServersUnknown);
        }
        Ok(UnknownNames { tags, cluster })
    }

    fn named(&self) -> BTreeSet<Location> {
        let prefix = self.key.tag_prefix().map(str::to_lowercase);
        let tags = self.placement.tags.iter().map(|tag| tag.as_str().to_lowercase());
        let values = tags.filter_map(|tag| {
            let value = tag.strip_prefix(prefix.as_deref()?)?;
            match self.key {
                TopologyKey::Cluster { tag_prefix: _ } => Some(Location::from(value)),
                TopologyKey::ServerTag { prefix: _ } => Some(Location::from(tag.as_str())),
            }
        });
        let mut named: BTreeSet<Location> = values.collect();
        if let (TopologyKey::Cluster { tag_prefix: _ }, Some(cluster)) = (self.key, &self.placement.cluster) {
            let cluster = Location::from(cluster.as_str());
            named.retain(|location| self.key.tag_of(location) != self.key.tag_of(&cluster));
            named.insert(cluster);
        }
        named
    }

    fn known(&self) -> impl Iterator<Item = &'a ServerDetails> {
        let servers = self.topology.map(Topology::servers).unwrap_or_default();
        servers.iter().filter_map(|server| server.details.as_ref())
    }

    fn all_known(&self) -> bool {
        let servers = self.topology.map(Topology::servers);
        servers.is_some_and(|servers| servers.iter().all(|server| server.details.is_some()))
    }

    /// Tags match case-insensitively and all must; `!tag` excludes (nats-facts N2).
    fn fits(&self, server: &ServerDetails) -> bool {
        let cluster = self.placement.cluster.as_ref();
        let mut tags = self.placement.tags.iter();
        server.jetstream
            && cluster.is_none_or(|cluster| *cluster == server.cluster)
            && tags.all(|tag| match tag.as_str().strip_prefix('!') {
                Some(excluded) => !carries(server, excluded),
                None => carries(server, tag.as_str()),
            })
    }
}

fn carries(server: &ServerDetails, wanted: &str) -> bool {
    let mut tags = server.tags.iter();
    tags.any(|tag| tag.as_str().eq_ignore_ascii_case(wanted))
}
