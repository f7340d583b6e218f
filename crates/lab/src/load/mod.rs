//! Publishers and consumers of a `JetStream` account that account for every message.
//!
//! A [`Load`] runs publishers, pull workers and push workers, each with its own client and location. It promises to
//! know, for every message that a server acknowledged, whether each tracked consumer delivered it, and can read a
//! stream back to check whether anything was lost or stored twice. Lost connections, elections, moves and refusals are
//! normal: workers continue until they are stopped. Streams and consumers have to exist; a tracked consumer is expected
//! to deliver its whole stream, without a filter. Exactly-once storage holds within the stream's duplicate window (two
//! minutes by default).

mod check;
mod idle;
mod ids;
mod intake;
mod ledger;
mod meter;
mod publish;
mod pull;
mod push;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use async_nats::Client;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub use check::StreamCheck;
pub use idle::{Connect, IdleClients};
pub use intake::Acknowledge;
pub use ledger::{ConsumerSummary, MessageLedger, StreamSummary, Summary};
pub use meter::{Latency, LatencyCounts, LoadPhase, Phases, Quantiles};
pub use publish::{PATIENCE, Publisher};
pub use pull::PullWorker;
pub use push::PushWorker;

use meter::LatencyMeter;

/// At a stop, how long consumers may deliver nothing while messages are outstanding. Longer than an election and than
/// the usual redelivery after 30 s.
const DRAIN_LIMIT: Duration = Duration::from_secs(40);
const DRAIN_INTERVAL: Duration = Duration::from_millis(20);

/// Running workers. Dropping it aborts them.
#[derive(Debug)]
pub struct Load {
    ledger: MessageLedger,
    meters: BTreeMap<String, LatencyMeter>,
    publishers: JoinSet<()>,
    consumers: JoinSet<()>,
    stop_publishers: CancellationToken,
    stop_consumers: CancellationToken,
}

/// One running worker, to stop it before the others. Dropping it does nothing.
#[derive(Clone, Debug)]
pub struct Worker(CancellationToken);

impl Worker {
    /// The worker finishes what it has begun and ends.
    pub fn stop(&self) {
        self.0.cancel();
    }
}

/// What is left when a load has stopped.
#[derive(Clone, Debug)]
#[must_use]
pub struct LoadTotals {
    /// Of the whole run.
    pub summary: Summary,
    /// Since the latest [`Load::snapshot_and_reset`].
    pub phases: Phases,
}

impl Default for Load {
    fn default() -> Self {
        Self::new()
    }
}

impl Load {
    pub fn new() -> Self {
        Self {
            ledger: MessageLedger::new(),
            meters: BTreeMap::new(),
            publishers: JoinSet::new(),
            consumers: JoinSet::new(),
            stop_publishers: CancellationToken::new(),
            stop_consumers: CancellationToken::new(),
        }
    }

    pub fn publish(&mut self, publisher: Publisher) -> Worker {
        let stop = self.stop_publishers.child_token();
        let meter = self.meter(&publisher.location);
        self.publishers
            .spawn(publisher.run(self.ledger.clone(), meter, stop.clone()));
        Worker(stop)
    }

    pub fn pull(&mut self, worker: PullWorker) -> Worker {
        let stop = self.stop_consumers.child_token();
        let meter = self.meter(&worker.location);
        self.consumers
            .spawn(worker.run(self.ledger.clone(), meter, stop.clone()));
        Worker(stop)
    }

    pub fn push(&mut self, worker: PushWorker) -> Worker {
        let stop = self.stop_consumers.child_token();
        let meter = self.meter(&worker.location);
        self.consumers
            .spawn(worker.run(self.ledger.clone(), meter, stop.clone()));
        Worker(stop)
    }

    /// The totals until now. It stays readable after the load has stopped.
    pub fn ledger(&self) -> &MessageLedger {
        &self.ledger
    }

    pub fn summary(&self) -> Summary {
        self.ledger.summary()
    }

    /// Ends a phase: what happened since the last call, by location.
    pub fn snapshot_and_reset(&self) -> Phases {
        Phases(
            self.meters
                .iter()
                .map(|(location, meter)| (location.clone(), meter.take()))
                .collect(),
        )
    }

    /// Publishers start no new messages and return when the pending ones are acknowledged, or given up after 20 s.
    pub async fn stop_publishing(&mut self) {
        self.stop_publishers.cancel();
        while self.publishers.join_next().await.is_some() {}
        self.stop_publishers = CancellationToken::new();
    }

    /// Stops publishers, lets consumers deliver everything that was acknowledged, and stops those. What consumers do
    /// not deliver shows as outstanding in the totals.
    pub async fn stop(&mut self) -> LoadTotals {
        self.stop_publishing().await;
        self.drain().await;
        self.stop_consumers.cancel();
        while self.consumers.join_next().await.is_some() {}
        self.stop_consumers = CancellationToken::new();
        LoadTotals {
            summary: self.summary(),
            phases: self.snapshot_and_reset(),
        }
    }

    /// Reads the stream back: is every message that was acknowledged until now in it, exactly once?
    pub async fn verify_stream(&self, client: &Client, stream: &str) -> anyhow::Result<StreamCheck> {
        self.verify_stream_from(client, stream, 1).await
    }

    /// As [`Self::verify_stream`], where all messages of the load have this sequence or a later one.
    pub async fn verify_stream_from(
        &self,
        client: &Client,
        stream: &str,
        from: u64,
    ) -> anyhow::Result<StreamCheck> {
        check::verify_stream(&self.ledger, client, stream, from).await
    }

    async fn drain(&mut self) {
        let mut fewest = u64::MAX;
        let mut progressed = Instant::now();
        loop {
            // Workers that have already stopped need no wait.
            while self.consumers.try_join_next().is_some() {}
            let outstanding = self.summary().outstanding();
            if outstanding < fewest {
                (fewest, progressed) = (outstanding, Instant::now());
            }
            if outstanding == 0 || self.consumers.is_empty() || progressed.elapsed() > DRAIN_LIMIT {
                return;
            }
            tokio::time::sleep(DRAIN_INTERVAL).await;
        }
    }

    fn meter(&mut self, location: &str) -> LatencyMeter {
        self.meters.entry(location.to_owned()).or_default().clone()
    }
}
