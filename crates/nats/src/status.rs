//! What is known of a system as a whole, for its status.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use leeward_core::names::{ClusterName, ServerName};
use leeward_core::snapshot::Gap;
use leeward_core::topology::Version;

use crate::connect::ConnectionState;

/// A system as last seen.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SystemStatus {
    /// The connection of the observer.
    pub connection: ConnectionState,
    /// What the observer's user may see.
    pub rights: ObserverRights,
    /// Servers that should have answered, those that did included.
    pub servers_expected: u32,
    pub servers_answered: u32,
    /// Servers that should have answered and did not, as far as their names are known.
    pub servers_missing: Vec<ServerName>,
    /// Sorted by name.
    pub clusters: Vec<ClusterStatus>,
    /// Measured over gateways, by (from, to).
    pub round_trips: BTreeMap<(ClusterName, ClusterName), Duration>,
    /// When all servers were last asked; `None` before that.
    pub observed_at: Option<Timestamp>,
    /// What the last look could not see of the system; each account's view has its own.
    pub gaps: Vec<Gap>,
    /// Since when every look has left something unseen.
    pub incomplete_since: Option<Timestamp>,
}

/// What an observer's user may see.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ObserverRights {
    /// Nothing has answered yet.
    #[default]
    Unknown,
    /// The user belongs to the system account.
    System,
    /// The user belongs to another account, so it sees no other account: its credentials have to be replaced, or left out for
    /// tenant mode.
    NotSystem {
        /// The account that it belongs to, where that is known.
        account: Option<String>,
    },
    /// The user belongs to the system account and may not send a request that observing needs.
    Denied { subject: String },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterStatus {
    pub name: ClusterName,
    pub servers: u32,
    pub versions: BTreeSet<Version>,
    /// Client connections of all accounts.
    pub connections: u32,
    /// Streams of watched accounts led from here.
    pub stream_leaders: u32,
    /// Consumers of watched accounts led from here.
    pub consumer_leaders: u32,
}

impl ClusterStatus {
    pub(crate) fn new(name: ClusterName) -> Self {
        let versions = BTreeSet::new();
        Self {
            name,
            servers: 0,
            versions,
            connections: 0,
            stream_leaders: 0,
            consumer_leaders: 0,
        }
    }
}

impl SystemStatus {
    pub(crate) fn set_gaps(&mut self, gaps: Vec<Gap>) {
        self.incomplete_since = match (gaps.is_empty(), self.incomplete_since) {
            (true, _) => None,
            (false, since) => since.or_else(|| Some(Timestamp::now())),
        };
        self.gaps = gaps;
    }
}
