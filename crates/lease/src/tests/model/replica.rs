//! One replica as a process of its own: its tasks and its clock can be stopped, and the clock has a rate of its own.

use std::num::NonZeroU8;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use tokio::runtime::{Builder, Runtime};
use tokio::task::{JoinHandle, yield_now};
use tokio_util::sync::CancellationToken;

use super::super::Numbers;
use super::DURATION;
use super::network::Network;
use crate::timing::Timing;
use crate::{LeaderElection, Leaderships, LeaseConfig, LeaseEpoch, LeaseMetrics};

/// So often is everything polled that is ready after a step: timers, then what they wake.
const POLLS: usize = 4;

pub struct Replica {
    runtime: Runtime,
    leaderships: Leaderships,
    leave: CancellationToken,
    task: JoinHandle<()>,
    /// How fast its clock runs, in percent.
    rate: u32,
    pub is_paused: bool,
}

impl Replica {
    pub fn start(network: &Network, index: usize, shards: u8, rate: u32) -> Self {
        let runtime = Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        let config = LeaseConfig {
            name: "leeward".into(),
            namespace: None,
            duration: DURATION,
            shards: NonZeroU8::new(shards).unwrap(),
        };
        let store = network.store(index, Timing::of(DURATION).call_timeout);
        let metrics: Arc<dyn LeaseMetrics> = Arc::new(Numbers::default());
        let leave = CancellationToken::new();
        let context = runtime.enter();
        let name = format!("r{index}");
        let (election, leaderships) = LeaderElection::with_store(store, &config, Some(&name), &metrics);
        let task = runtime.spawn(election.run(leave.clone()));
        drop(context);
        Self {
            runtime,
            leaderships,
            leave,
            task,
            rate,
            is_paused: false,
        }
    }

    /// Its clock runs, also while the process is paused; nothing else happens.
    pub fn advance_clock(&self, time: Duration) {
        let _context = self.runtime.enter();
        let time = time * self.rate / 100;
        // The clock moves with the first poll; later ones would only yield.
        let _ = tokio::time::advance(time).now_or_never();
    }

    /// Everything that is ready runs, unless the process is paused.
    pub fn run(&self) {
        if !self.is_paused {
            self.runtime.block_on(async {
                for _ in 0..POLLS {
                    yield_now().await;
                }
            });
        }
    }

    /// As on SIGTERM.
    pub fn leave(&self) {
        self.leaderships.close();
        self.leave.cancel();
    }

    pub fn has_left(&self) -> bool {
        self.task.is_finished()
    }

    /// By shard: the epoch in which this replica believes to lead, by its own clock, or whether it may act at least.
    pub fn beliefs(&self) -> Vec<Belief> {
        let _context = self.runtime.enter();
        let shards = self.leaderships.by_shard().iter();
        shards
            .map(|leadership| Belief {
                epoch: leadership.lease_epoch(),
                may_act: leadership.act_deadline().holds(),
            })
            .collect()
    }
}

#[derive(Clone, Copy, Debug)]
pub struct Belief {
    pub epoch: Option<LeaseEpoch>,
    pub may_act: bool,
}
