//! Round trips between clusters, as gateways measure them (nats-facts N47).
//!
//! A measurement includes queueing, so the minimum counts: over the servers of a cluster, and over the last few looks.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use leeward_core::names::ClusterName;

use crate::wire::duration;
use crate::wire::monitor::{Gatewayz, ServerInfo};

/// Looks that count; servers measure about every 15 s.
const WINDOW: usize = 5;

/// By (from, to).
pub(crate) type RoundTripTable = BTreeMap<(ClusterName, ClusterName), Duration>;

#[derive(Debug, Default)]
pub(crate) struct RoundTrips {
    looks: VecDeque<RoundTripTable>,
}

impl RoundTrips {
    /// Adds what all servers report at one moment.
    pub(crate) fn add<'a>(&mut self, replies: impl Iterator<Item = &'a (ServerInfo, Gatewayz)>) {
        let mut look = RoundTripTable::new();
        for (server, gatewayz) in replies {
            let Some(from) = &server.cluster else { continue };
            for (to, gateway) in &gatewayz.outbound_gateways {
                let measured = gateway
                    .connection
                    .as_ref()
                    .and_then(|connection| connection.rtt.as_deref());
                let Some(rtt) = measured.and_then(duration::parse).filter(|rtt| !rtt.is_zero()) else {
                    continue;
                };
                keep_least(
                    &mut look,
                    (ClusterName::from(from.as_str()), ClusterName::from(to.as_str())),
                    rtt,
                );
            }
        }
        self.looks.push_back(look);
        if self.looks.len() > WINDOW {
            self.looks.pop_front();
        }
    }

    /// The minimum of each pair.
    pub(crate) fn table(&self) -> RoundTripTable {
        let mut table = RoundTripTable::new();
        for (pair, rtt) in self.looks.iter().flatten() {
            keep_least(&mut table, pair.clone(), *rtt);
        }
        table
    }
}

fn keep_least(table: &mut RoundTripTable, pair: (ClusterName, ClusterName), rtt: Duration) {
    table
        .entry(pair)
        .and_modify(|least| *least = rtt.min(*least))
        .or_insert(rtt);
}
