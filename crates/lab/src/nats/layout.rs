//! Which servers a system has and where they are: a supercluster or one stretched cluster.
//!
//! Server names are `<location>-<n>`, counted from 0. A location is the cluster in a supercluster, the region in a
//! stretched cluster; there each server carries the tag `region:<location>`. A layout of one server is no cluster: JetStream
//! runs alone and the server reports no cluster name.

use std::collections::BTreeSet;

use anyhow::ensure;

/// The cluster name of [`Layout::stretched`].
pub const STRETCHED_CLUSTER: &str = "world";

/// Locations by name and number of servers.
#[derive(Debug, Clone)]
pub struct Layout {
    locations: Vec<(String, usize)>,
    stretched: bool,
    /// Of every server, with `{location}` for its location.
    tags: Vec<String>,
}

impl Layout {
    /// Clusters joined by gateways.
    pub fn supercluster(clusters: &[(&str, usize)]) -> Self {
        Self::new(clusters, false)
    }

    /// One cluster named [`STRETCHED_CLUSTER`] over several regions.
    pub fn stretched(regions: &[(&str, usize)]) -> Self {
        Self::new(regions, true).tag("region:{location}")
    }

    /// Adds a tag to every server, in which `{location}` is replaced by the server's location.
    #[must_use]
    pub fn tag(mut self, tag: &str) -> Self {
        self.tags.push(tag.to_owned());
        self
    }

    fn new(locations: &[(&str, usize)], stretched: bool) -> Self {
        let named = locations.iter();
        let named = named.map(|(name, servers)| ((*name).to_owned(), *servers));
        Self {
            locations: named.collect(),
            stretched,
            tags: Vec::new(),
        }
    }

    pub(crate) fn is_stretched(&self) -> bool {
        self.stretched
    }

    /// Every server, in order.
    pub(crate) fn members(&self) -> anyhow::Result<Vec<ClusterMember>> {
        let member = |location: &str, number: usize| ClusterMember {
            name: format!("{location}-{number}"),
            location: location.to_owned(),
            cluster: if self.stretched {
                STRETCHED_CLUSTER
            } else {
                location
            }
            .to_owned(),
            tags: self
                .tags
                .iter()
                .map(|tag| tag.replace("{location}", location))
                .collect(),
        };
        let locations = self.locations.iter();
        let members: Vec<ClusterMember> = locations
            .flat_map(|(location, servers)| (0..*servers).map(|number| member(location, number)))
            .collect();
        let names: BTreeSet<&str> = members.iter().map(|member| member.name.as_str()).collect();
        ensure!(!members.is_empty(), "a system needs at least one server");
        ensure!(
            names.len() == members.len(),
            "two servers of the layout have the same name"
        );
        Ok(members)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterMember {
    pub name: String,
    pub location: String,
    pub cluster: String,
    pub tags: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_become_tags_and_server_names() {
        let members = Layout::stretched(&[("us-east", 2), ("eu-west", 1)])
            .members()
            .unwrap();
        let names: Vec<&str> = members.iter().map(|member| member.name.as_str()).collect();
        assert_eq!(names, ["us-east-0", "us-east-1", "eu-west-0"]);
        assert_eq!(members[2].tags, ["region:eu-west"]);
        assert_eq!(members[2].cluster, STRETCHED_CLUSTER);
    }

    #[test]
    fn equal_server_names_are_refused() {
        assert!(Layout::supercluster(&[("a", 1), ("a", 1)]).members().is_err());
        assert!(Layout::supercluster(&[]).members().is_err());
    }
}
