//! One replica's part in the election, put together.

use std::sync::Arc;

use kube::Client;
use tokio_util::sync::CancellationToken;

use crate::config::LeaseConfig;
use crate::layout::ShardLayout;
use crate::leadership::LeaderHandle;
use crate::leaderships::Leaderships;
use crate::lease_handle::LeaseCandidate;
use crate::member::Member;
use crate::metrics::{LeaseGauge, LeaseMetrics};
use crate::shards::{ShardLease, Shards};
use crate::store::{KubernetesStore, LeaseStore};
use crate::timing::Timing;

/// One replica's part in the election of a leader for each shard.
pub struct LeaderElection {
    member: Member,
    shards: Option<Shards>,
}

impl LeaderElection {
    /// A replica that holds nothing until [`LeaderElection::run`] runs, and its leaderships.
    ///
    /// `instance` is the name that the holder's identity begins with; the host's name, if none is given.
    pub fn new(
        client: Client,
        config: &LeaseConfig,
        instance: Option<&str>,
        metrics: &Arc<dyn LeaseMetrics>,
    ) -> (Self, Leaderships) {
        let namespace = config.namespace.as_deref().unwrap_or(client.default_namespace());
        let namespace = namespace.to_owned();
        let limit = Timing::of(config.duration).call_timeout;
        let store = Arc::new(KubernetesStore::new(client, &namespace, limit));
        Self::with_store(store, config, instance, metrics)
    }

    /// The same over any store of Leases.
    pub(crate) fn with_store(
        store: Arc<dyn LeaseStore>,
        config: &LeaseConfig,
        instance: Option<&str>,
        metrics: &Arc<dyn LeaseMetrics>,
    ) -> (Self, Leaderships) {
        let candidate = LeaseCandidate {
            store,
            identity: identity(instance),
            timing: Timing::of(config.duration),
        };
        let layout = ShardLayout::new(&config.name, usize::from(config.shards.get()));
        let (handle, membership) = LeaderHandle::new();
        let gauge = LeaseGauge::new(metrics, &layout.member_group());
        let member = Member::new(candidate.clone(), &layout, handle, gauge);
        if !layout.is_sharded() {
            let leaderships = Leaderships::new(layout, vec![membership]);
            return (Self { member, shards: None }, leaderships);
        }
        let leases: Vec<ShardLease> = (0..layout.shards())
            .map(|shard| ShardLease::new(LeaseGauge::new(metrics, &layout.shard_lease(shard))))
            .collect();
        let by_shard = leases.iter().map(|lease| lease.leadership.clone()).collect();
        let leaderships = Leaderships::new(layout.clone(), by_shard);
        let shards = Some(Shards::new(candidate, layout, membership, leases));
        (Self { member, shards }, leaderships)
    }

    /// Acquires and renews Leases until `leave` is cancelled, then releases them.
    pub async fn run(self, leave: CancellationToken) {
        let Some(shards) = self.shards else {
            return self.member.run(leave).await;
        };
        // Other replicas must see this one as a member for as long as it holds a shard.
        let shards_released = CancellationToken::new();
        let run_shards = async {
            shards.run(leave).await;
            shards_released.cancel();
        };
        tokio::join!(self.member.run(shards_released.clone()), run_shards);
    }
}

/// An identity that no other process has, not even the next one in the same pod.
fn identity(instance: Option<&str>) -> String {
    let host = instance.map(str::to_owned).or_else(hostname);
    let suffix: String = std::iter::repeat_with(fastrand::alphanumeric).take(10).collect();
    format!("{}_{suffix}", host.as_deref().unwrap_or("leeward"))
}

fn hostname() -> Option<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    let name = name.trim();
    (!name.is_empty()).then(|| name.to_owned())
}
