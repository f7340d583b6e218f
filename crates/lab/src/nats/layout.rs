//! Which servers a system has and where they are: a supercluster or one stretched cluster.
//!
//! Server names are `<location>-<n>`, counted from 0. A location is the cluster in a supercluster, the region in a
//! stretched cluster; there each server carries the tag `region:<location>`. A layout of one server is no cluster: JetStream
//! runs alone and the server reports no cluster name.

use anyhow::ensure;
use std::collections::BTreeSet;

/// The cluster name of [`Layout::stretched`].
pub const STRETCHED_CLUSTER: &str = "world";

#[derive(Debug, Clone)]
pub enum Layout {
    /// Clusters joined by gateways.
    Supercluster { clusters: Vec<ClusterSpec> },
    /// One cluster over several regions.
    Stretched {
        cluster: String,
        regions: Vec<RegionSpec>,
    },
}

#[derive(Debug, Clone)]
pub struct ClusterSpec {
    pub name: String,
    pub servers: usize,
    /// Tags of every server of the cluster.
    pub tags: Vec<String>,
}

#[derive(Debug, Clone)]
pub struct RegionSpec {
    pub name: String,
    pub servers: usize,
}

impl Layout {
    /// Clusters by name and number of servers, without tags.
    pub fn supercluster(clusters: &[(&str, usize)]) -> Self {
        let clusters = clusters
            .iter()
            .map(|&(name, servers)| ClusterSpec {
                name: name.to_owned(),
                servers,
                tags: Vec::new(),
            })
            .collect();
        Self::Supercluster { clusters }
    }

    /// One cluster named [`STRETCHED_CLUSTER`] over regions by name and number of servers.
    pub fn stretched(regions: &[(&str, usize)]) -> Self {
        let regions = regions
            .iter()
            .map(|&(name, servers)| RegionSpec {
                name: name.to_owned(),
                servers,
            })
            .collect();
        Self::Stretched {
            cluster: STRETCHED_CLUSTER.to_owned(),
            regions,
        }
    }

    pub(crate) fn is_stretched(&self) -> bool {
        matches!(self, Self::Stretched { .. })
    }

    /// Every server, in order.
    pub(crate) fn members(&self) -> anyhow::Result<Vec<ClusterMember>> {
        let members: Vec<ClusterMember> = match self {
            Self::Supercluster { clusters } => clusters
                .iter()
                .flat_map(|spec| {
                    (0..spec.servers).map(|n| ClusterMember {
                        name: format!("{}-{n}", spec.name),
                        location: spec.name.clone(),
                        cluster: spec.name.clone(),
                        tags: spec.tags.clone(),
                    })
                })
                .collect(),
            Self::Stretched { cluster, regions } => regions
                .iter()
                .flat_map(|spec| {
                    (0..spec.servers).map(|n| ClusterMember {
                        name: format!("{}-{n}", spec.name),
                        location: spec.name.clone(),
                        cluster: cluster.clone(),
                        tags: vec![format!("region:{}", spec.name)],
                    })
                })
                .collect(),
        };
        let names: BTreeSet<&str> = members.iter().map(|member| member.name.as_str()).collect();
        ensure!(!members.is_empty(), "a system needs at least one server");
        ensure!(
            names.len() == members.len(),
            "two servers of the layout have the same name"
        );
        Ok(members)
    }
}

/// One server of a layout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterMember {
    pub name: String,
    pub location: String,
    /// Name of its NATS cluster.
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
