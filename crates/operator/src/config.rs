//! What the operator is told, resolved.

use std::net::SocketAddr;

/// How the operator runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Namespaces to watch; all, if none is named.
    pub namespaces: Vec<String>,
    /// Where health and metrics are served; port 0 for any free one.
    pub listen: SocketAddr,
    /// The name of this process in events.
    pub instance: Option<String>,
}
