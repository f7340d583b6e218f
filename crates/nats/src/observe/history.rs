//! Counters of earlier looks at one account, for rates and differences.
//!
//! Differences span at least an interval, however soon a refresh follows a sweep: the last two samples that are that
//! far apart are kept, and the older one is the base.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use leeward_core::names::ServerName;

use super::leaders::Leaders;

/// A connection: its server and its number there.
pub(crate) type ConnectionKey = (ServerName, u64);

/// The counters of one look.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) at: Timestamp,
    /// The last sequence of each stream.
    pub(crate) streams: BTreeMap<String, u64>,
    /// Deliveries of each consumer, by stream and consumer.
    pub(crate) consumers: BTreeMap<(String, String), u64>,
    /// The servers whose connections were seen.
    pub(crate) servers: BTreeSet<ServerName>,
    /// Messages and bytes of each connection.
    pub(crate) connections: BTreeMap<ConnectionKey, VolumeCount>,
    /// The account's volume on each server.
    pub(crate) volumes: BTreeMap<ServerName, Volumes>,
}

/// Messages and bytes, in and out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct VolumeCount {
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
}

/// An account's volume on one server; parts are `None` where the server does not report them (nats-facts N42).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Volumes {
    pub(crate) bytes: u64,
    pub(crate) gateway_bytes: Option<u64>,
    pub(crate) leafs: Option<VolumeCount>,
}

impl VolumeCount {
    /// The increase since `base`; a counter that fell has restarted.
    pub(crate) fn since(self, base: Self) -> Self {
        Self {
            messages: since(self.messages, base.messages),
            bytes: since(self.bytes, base.bytes),
        }
    }
}

/// The increase since `base`; a counter that fell has restarted.
pub(crate) fn since(now: u64, base: u64) -> u64 {
    now.checked_sub(base).unwrap_or(now)
}

/// The samples and the leaders of one account.
#[derive(Debug)]
pub(crate) struct CounterHistory {
    span: Duration,
    older: Option<Sample>,
    newer: Option<Sample>,
    pub(crate) leaders: Leaders,
}

impl CounterHistory {
    /// Keeps samples at least nine tenths of an interval apart, since sweeps are not exactly on time.
    pub(crate) fn new(interval: Duration) -> Self {
        Self {
            span: interval.mul_f64(0.9),
            older: None,
            newer: None,
            leaders: Leaders::default(),
        }
    }

    /// What a look is compared with; `None` at the first one.
    pub(crate) fn base(&self) -> Option<&Sample> {
        self.older.as_ref().or(self.newer.as_ref())
    }

    /// Keeps a sample if the last one is old enough.
    pub(crate) fn push(&mut self, sample: Sample) {
        let old_enough = self
            .newer
            .as_ref()
            .is_none_or(|newer| elapsed(newer.at, sample.at) >= self.span);
        if old_enough {
            self.older = self.newer.replace(sample);
        }
    }
}

/// The time between two moments; zero when the clock went back.
pub(crate) fn elapsed(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(second: i64) -> Sample {
        Sample {
            at: Timestamp::from_second(second).unwrap(),
            streams: BTreeMap::new(),
            consumers: BTreeMap::new(),
            servers: BTreeSet::new(),
            connections: BTreeMap::new(),
            volumes: BTreeMap::new(),
        }
    }

    #[test]
    fn differences_span_an_interval_however_often_is_looked() {
        let mut history = CounterHistory::new(Duration::from_secs(30));
        assert!(history.base().is_none());
        for second in 0..300 {
            if let Some(base) = history.base() {
                let span = second - base.at.as_second();
                assert!(second < 30 || (27..=60).contains(&span), "{second}: {span}");
            }
            history.push(sample(second));
        }
    }

    #[test]
    fn counters_that_fell_have_begun_anew() {
        assert_eq!((since(7, 5), since(3, 5)), (2, 3));
    }
}
