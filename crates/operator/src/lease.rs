//! Leases (`coordination.k8s.io`): of the replicas that want one, exactly one holds it, and acts on the systems of its shard.
//!
//! Promises: what hangs on a lease ends on this process's own clock, before anybody else may take it, whether or not
//! this process runs or reaches the Kubernetes API at that time; updates are refused where somebody else wrote in
//! between; a lease that is given up is free at once. Without an answer of the API nobody begins to act. One system is
//! never handled by two replicas, also where they were told different numbers of shards, unless a person deletes a lease
//! that is held: its holder learns of that with the next renewal.
//!
//! [`layout`] says which leases there are, [`member`] whether this process takes part, [`balance`] and [`shards`] which
//! shards it holds. What a leadership is good for is [`leadership`]'s and its users' matter.

mod balance;
mod layout;
mod leadership;
mod lease_handle;
mod lease_table;
mod log_throttle;
mod member;
mod observed_lease;
mod record;
mod shard;
mod shards;
mod store;
mod timing;

use std::sync::Arc;

use futures::future::join_all;
use kube::Client;
use tokio_util::sync::CancellationToken;

use crate::config::LeaseConfig;
use crate::gauges::Gauges;
use crate::key::Key;
use layout::ShardLayout;
use leadership::LeaderHandle;
use lease_handle::LeaseCandidate;
use member::Member;
use shards::{ShardLease, Shards};
use store::LeaseStore;
use timing::Timing;

pub use leadership::{Leadership, LeaseEpoch, PendingWrite};

/// One replica's part in the election of leaders.
pub struct LeaderElection {
    member: Member,
    shards: Option<Shards>,
}

impl LeaderElection {
    /// A part in the election, and what follows from it. Nothing is held until [`LeaderElection::hold`] runs.
    pub fn new(
        client: Client,
        config: &LeaseConfig,
        instance: Option<&str>,
        gauges: &Gauges,
    ) -> (Self, Leaderships) {
        let namespace = config.namespace.as_deref().unwrap_or(client.default_namespace());
        let namespace = namespace.to_owned();
        let timing = Timing::of(config.duration);
        let candidate = LeaseCandidate {
            store: LeaseStore::new(client, &namespace, timing.call),
            me: identity(instance),
            timing,
        };
        let layout = ShardLayout::new(&config.name, usize::from(config.shards.get()));
        let (handle, own) = LeaderHandle::new();
        let numbers = gauges.lease(&layout.member_group());
        let member = Member::new(candidate.clone(), &layout, handle, numbers);
        let mut each = vec![own.clone()];
        let mut shards = None;
        if layout.is_sharded() {
            let lease = |shard| shard_lease(&layout, shard, gauges);
            let leases: Vec<ShardLease> = (0..layout.shards()).map(lease).collect();
            each = leases.iter().map(|lease| lease.leadership.clone()).collect();
            shards = Some(Shards::new(candidate, layout.clone(), own, leases));
        }
        let leaderships = Leaderships {
            layout,
            each: each.into(),
        };
        (Self { member, shards }, leaderships)
    }

    /// Takes and keeps what it can until `leave`; then gives everything up.
    pub async fn hold(self, leave: CancellationToken) {
        let Some(shards) = self.shards else {
            return self.member.keep(leave).await;
        };
        // Others must know of this process for as long as it holds a shard.
        let last = CancellationToken::new();
        let spread = async {
            shards.spread(leave).await;
            last.cancel();
        };
        tokio::join!(self.member.keep(last.clone()), spread);
    }
}

fn shard_lease(layout: &ShardLayout, shard: usize, gauges: &Gauges) -> ShardLease {
    let (handle, leadership) = LeaderHandle::new();
    ShardLease {
        leadership,
        handle: Some(handle),
        gauges: gauges.lease(&layout.shard_lease(shard)),
    }
}

/// The rights of this process, by shard; clones share them.
#[derive(Clone, Debug)]
pub struct Leaderships {
    layout: ShardLayout,
    each: Arc<[Leadership]>,
}

impl Leaderships {
    /// The rights of a process that is alone: it has them from the beginning.
    pub fn alone() -> Self {
        Self {
            layout: ShardLayout::new("", 1),
            each: Arc::new([Leadership::alone()]),
        }
    }

    /// The right to act on a system, and to speak of it and of its policies.
    pub fn of(&self, system: &Key) -> &Leadership {
        // There is a leadership for each shard of the layout.
        &self.each[self.shard_of(system)]
    }

    /// Each shard's, in order.
    pub fn each(&self) -> &[Leadership] {
        &self.each
    }

    /// The shard of a system.
    pub fn shard_of(&self, system: &Key) -> usize {
        self.layout.shard_of(system)
    }

    /// The one whose present term this is.
    pub fn in_epoch(&self, lease_epoch: LeaseEpoch) -> Option<&Leadership> {
        self.each
            .iter()
            .find(|leadership| leadership.lease_epoch() == Some(lease_epoch))
    }

    /// Ends all acts of this process for good; it may still say what it did.
    pub fn close(&self) {
        for leadership in &*self.each {
            leadership.close();
        }
    }

    /// Waits until everything is said that somebody had to say in the present terms.
    pub async fn drain(&self) {
        join_all(self.each.iter().map(Leadership::drain)).await;
    }
}

/// A name that no other process has, not even the next one in the same pod.
fn identity(instance: Option<&str>) -> String {
    let host = instance.map(str::to_owned).or_else(hostname);
    let chance: String = std::iter::repeat_with(fastrand::alphanumeric).take(10).collect();
    format!("{}_{chance}", host.as_deref().unwrap_or("leeward"))
}

fn hostname() -> Option<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    let name = name.trim();
    (!name.is_empty()).then(|| name.to_owned())
}

#[cfg(test)]
mod tests;
