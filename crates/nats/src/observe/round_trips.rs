//! Round trips, as gateways measure them between clusters and routes inside one (nats-facts N47, N68).
//!
//! A measurement includes queueing, so the minimum counts: over the servers of a cluster or the routes between two
//! servers, and over the last few looks.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use leeward_core::names::{ClusterName, ServerName};

use super::server_inventory::ServerInventory;
use crate::wire::duration;
use crate::wire::monitor::{Gatewayz, Routez, ServerInfo};

/// Looks that count; servers measure gateways about every 15 s, routes every 2 min.
const WINDOW: usize = 5;

/// Between clusters, by (from, to).
pub(crate) type RoundTripTable = BTreeMap<(ClusterName, ClusterName), Duration>;
/// Between servers of one cluster, by (from, to).
pub(crate) type RouteTable = BTreeMap<(ServerName, ServerName), Duration>;

#[derive(Debug, Default)]
pub(crate) struct RoundTrips {
    gateways: Looks<ClusterName>,
    routes: Looks<ServerName>,
}

impl RoundTrips {
    /// Adds what all servers report of their gateways at one moment.
    pub(crate) fn add_gateways<'a>(&mut self, replies: impl Iterator<Item = &'a (ServerInfo, Gatewayz)>) {
        let mut look = RoundTripTable::new();
        for (server, gatewayz) in replies {
            let Some(from) = &server.cluster else { continue };
            for (to, gateway) in &gatewayz.outbound_gateways {
                let rtt = gateway
                    .connection
                    .as_ref()
                    .and_then(|connection| connection.rtt.as_deref());
                let pair = (ClusterName::from(from.as_str()), ClusterName::from(to.as_str()));
                keep_measured(&mut look, pair, rtt);
            }
        }
        self.gateways.push(look);
    }

    /// Adds what all servers report of their routes at one moment; only those between servers of the inventory.
    pub(crate) fn add_routes<'a>(
        &mut self,
        server_inventory: &ServerInventory,
        replies: impl Iterator<Item = &'a (ServerInfo, Routez)>,
    ) {
        let name = |id: &str| server_inventory.servers.get(id).map(|server| server.name.clone());
        let mut look = RouteTable::new();
        for (server, routez) in replies {
            let Some(from) = name(&server.id) else { continue };
            for route in &routez.routes {
                if let Some(to) = name(&route.remote_id) {
                    keep_measured(&mut look, (from.clone(), to), route.rtt.as_deref());
                }
            }
        }
        self.routes.push(look);
    }

    /// The minimum of each pair of clusters.
    pub(crate) fn gateways(&self) -> RoundTripTable {
        self.gateways.least()
    }

    /// The minimum of each pair of servers that a route was seen between.
    pub(crate) fn routes(&self) -> Arc<RouteTable> {
        Arc::new(self.routes.least())
    }
}

#[derive(Debug)]
struct Looks<N>(VecDeque<BTreeMap<(N, N), Duration>>);

impl<N> Default for Looks<N> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<N: Clone + Ord> Looks<N> {
    fn push(&mut self, look: BTreeMap<(N, N), Duration>) {
        self.0.push_back(look);
        if self.0.len() > WINDOW {
            self.0.pop_front();
        }
    }

    fn least(&self) -> BTreeMap<(N, N), Duration> {
        let mut table = BTreeMap::new();
        for (pair, rtt) in self.0.iter().flatten() {
            keep_least(&mut table, pair.clone(), *rtt);
        }
        table
    }
}

/// A server says `0s` of what it has not measured yet.
fn keep_measured<N: Ord>(table: &mut BTreeMap<(N, N), Duration>, pair: (N, N), rtt: Option<&str>) {
    if let Some(rtt) = rtt.and_then(duration::parse).filter(|rtt| !rtt.is_zero()) {
        keep_least(table, pair, rtt);
    }
}

fn keep_least<N: Ord>(table: &mut BTreeMap<(N, N), Duration>, pair: (N, N), rtt: Duration) {
    table
        .entry(pair)
        .and_modify(|least| *least = rtt.min(*least))
        .or_insert(rtt);
}
