//! How replicas elect leaders.

use std::num::NonZeroU8;
use std::time::Duration;

/// The Leases that replicas contend for. All replicas need the same name and namespace; those with another number of
/// shards wait for each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseConfig {
    /// The name of the Lease. With more than one shard there are several, whose names begin with this one.
    pub name: String,
    /// Its namespace; the client's default namespace, if none is given.
    pub namespace: Option<String>,
    /// How long other replicas leave a Lease alone after its last renewal: whole seconds, at least three.
    pub duration: Duration,
    /// The number of shards. With more than one there is a Lease for each.
    pub shards: NonZeroU8,
}
