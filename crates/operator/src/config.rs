//! The operator's configuration, resolved.

use std::net::SocketAddr;

use leeward_lease::LeaseConfig;

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
    /// The lease that replicas contend for; `None` where this process is certainly the only one.
    pub lease: Option<LeaseConfig>,
}
