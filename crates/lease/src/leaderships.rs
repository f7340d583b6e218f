//! The leaderships of one replica, by shard.

use std::sync::Arc;

use futures::future::join_all;

use crate::layout::ShardLayout;
use crate::leadership::{Leadership, LeaseEpoch};

/// The leaderships of this replica, by shard; clones share them.
#[derive(Clone, Debug)]
pub struct Leaderships {
    layout: ShardLayout,
    by_shard: Arc<[Leadership]>,
}

impl Leaderships {
    /// There is a leadership for each shard of the layout.
    pub(crate) fn new(layout: ShardLayout, by_shard: Vec<Leadership>) -> Self {
        Self {
            layout,
            by_shard: by_shard.into(),
        }
    }

    /// Those of a process that runs without an election: it leads the only shard from the beginning.
    pub fn alone() -> Self {
        Self::new(ShardLayout::new("", 1), vec![Leadership::alone()])
    }

    /// The leadership of the shard that a key belongs to.
    pub fn of(&self, key: &str) -> &Leadership {
        &self.by_shard[self.shard_of(key)]
    }

    /// The leadership of each shard, in order.
    pub fn by_shard(&self) -> &[Leadership] {
        &self.by_shard
    }

    /// The shard that a key belongs to: the same in every replica, in every release.
    pub fn shard_of(&self, key: &str) -> usize {
        self.layout.shard_of(key)
    }

    /// The leadership whose present epoch this is.
    pub fn in_epoch(&self, lease_epoch: LeaseEpoch) -> Option<&Leadership> {
        self.by_shard
            .iter()
            .find(|leadership| leadership.lease_epoch() == Some(lease_epoch))
    }

    /// Ends all acts of this process for good; what was done may still be written.
    pub fn close(&self) {
        for leadership in &*self.by_shard {
            leadership.close();
        }
    }

    /// Waits until nothing is pending that has to be written in the present epochs.
    pub async fn drain(&self) {
        join_all(self.by_shard.iter().map(Leadership::drain)).await;
    }
}
