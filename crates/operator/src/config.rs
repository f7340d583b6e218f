//! What the operator is told, resolved.

use std::net::SocketAddr;
use std::num::NonZeroU8;
use std::time::Duration;

/// How the operator runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Namespaces to watch; all, if none is named.
    pub namespaces: Vec<String>,
    /// Where metrics are served; port 0 for any free one.
    pub listen: SocketAddr,
    /// Where probes are answered; port 0 for any free one.
    pub probe_listen: SocketAddr,
    /// The name of this process in events and leases; the host's, if none is given.
    pub instance: Option<String>,
    /// The lease that replicas contend for; none where this process is certainly alone.
    pub lease: Option<LeaseConfig>,
}

/// The lease whose holder acts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseConfig {
    /// Its name.
    pub name: String,
    /// Its namespace; the one that this process runs in, or that of the kubeconfig's context, if none is given.
    pub namespace: Option<String>,
    /// How long others leave it alone after its last renewal: whole seconds, at least three.
    pub duration: Duration,
    /// Over how many shards systems are spread. With more than one there is a lease for each, whose names begin with this
    /// one's.
    pub shards: NonZeroU8,
}
