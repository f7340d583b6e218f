//! Counts and latencies of one phase of a load, by location. A phase ends when its snapshot is taken, which separates
//! "before" from "after". Latencies are microseconds with three significant digits, from 1 µs to an hour.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::lock::lock;

const HIGHEST_MICROS: u64 = 3_600_000_000;
const SIGNIFICANT_DIGITS: u8 = 3;

/// What the workers of one location did and measured during one phase.
#[derive(Clone, Debug)]
pub struct LoadPhase {
    pub counts: LatencyCounts,
    /// From the first attempt to the acknowledgement, retries included: what an application waits for.
    pub publish: Latency,
    /// From a pull request to its first message, only where that message was in the stream before the request was
    /// made.
    pub fetch: Latency,
    /// From the time at which the server stored a message to its first delivery. Clients and servers share a clock in
    /// the lab.
    pub delivery: Latency,
    /// From the first attempt to publish a message to its first delivery by a consumer, also of another stream that
    /// sources it.
    pub arrival: Latency,
    /// Until a confirmed consumer acknowledgement is confirmed, retries included. Empty with plain acknowledgements.
    pub ack: Latency,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LatencyCounts {
    /// Distinct messages whose publication began.
    pub published: u64,
    /// Distinct messages that the server acknowledged.
    pub acknowledged: u64,
    /// Acknowledgements marked "duplicate": an earlier attempt had been stored although its answer was lost.
    pub duplicates: u64,
    /// Publish attempts that were refused at once, as while there is no leader, and were repeated.
    pub publishes_refused: u64,
    /// Publish attempts that nobody answered in time, and were repeated.
    pub publishes_unanswered: u64,
    /// First deliveries, per consumer.
    pub delivered: u64,
    /// Deliveries of what the same consumer had already delivered.
    pub redelivered: u64,
    /// Pull requests that were ended by a refusal or a leadership change. An idle stream does not count.
    pub fetches_refused: u64,
    /// Pull requests whose end never came.
    pub fetches_unanswered: u64,
    /// Confirmed consumer acknowledgements beyond the first attempt.
    pub ack_retries: u64,
}

/// Recorded latencies; see [`Latency::quantiles`].
#[derive(Clone, Debug)]
pub struct Latency(Histogram<u64>);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Quantiles {
    pub count: u64,
    pub p50_micros: u64,
    pub p99_micros: u64,
    pub max_micros: u64,
}

#[derive(Clone, Debug, Default)]
pub struct Phases(pub BTreeMap<String, LoadPhase>);

impl Phases {
    /// All locations together.
    pub fn total(&self) -> LoadPhase {
        let mut total = LoadPhase::default();
        for phase in self.0.values() {
            total.add(phase);
        }
        total
    }
}

impl Default for LoadPhase {
    fn default() -> Self {
        Self {
            counts: LatencyCounts::default(),
            publish: Latency::new(),
            fetch: Latency::new(),
            delivery: Latency::new(),
            arrival: Latency::new(),
            ack: Latency::new(),
        }
    }
}

impl LoadPhase {
    /// Adds what happened in another phase or location.
    pub fn add(&mut self, other: &Self) {
        let Self {
            counts,
            publish,
            fetch,
            delivery,
            arrival,
            ack,
        } = other;
        self.counts.add(*counts);
        self.publish.add(publish);
        self.fetch.add(fetch);
        self.delivery.add(delivery);
        self.arrival.add(arrival);
        self.ack.add(ack);
    }
}

impl LatencyCounts {
    fn add(&mut self, other: Self) {
        let Self {
            published,
            acknowledged,
            duplicates,
            publishes_refused,
            publishes_unanswered,
            delivered,
            redelivered,
            fetches_refused,
            fetches_unanswered,
            ack_retries,
        } = other;
        self.published += published;
        self.acknowledged += acknowledged;
        self.duplicates += duplicates;
        self.publishes_refused += publishes_refused;
        self.publishes_unanswered += publishes_unanswered;
        self.delivered += delivered;
        self.redelivered += redelivered;
        self.fetches_refused += fetches_refused;
        self.fetches_unanswered += fetches_unanswered;
        self.ack_retries += ack_retries;
    }
}

impl Latency {
    fn new() -> Self {
        #[expect(
            clippy::expect_used,
            reason = "the bounds are constants that the histogram accepts"
        )]
        Self(Histogram::new_with_bounds(1, HIGHEST_MICROS, SIGNIFICANT_DIGITS).expect("valid bounds"))
    }

    pub(super) fn record(&mut self, latency: Duration) {
        let micros = u64::try_from(latency.as_micros()).unwrap_or(HIGHEST_MICROS);
        self.0.saturating_record(micros.max(1));
    }

    fn add(&mut self, other: &Self) {
        #[expect(clippy::expect_used, reason = "all latencies have the same bounds")]
        self.0.add(&other.0).expect("the same bounds");
    }

    pub fn quantiles(&self) -> Quantiles {
        Quantiles {
            count: self.0.len(),
            p50_micros: self.0.value_at_quantile(0.5),
            p99_micros: self.0.value_at_quantile(0.99),
            max_micros: self.0.max(),
        }
    }
}

impl fmt::Display for Quantiles {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let milliseconds = |micros: u64| Duration::from_micros(micros).as_secs_f64() * 1000.0;
        write!(
            formatter,
            "p50 {:.1} ms, p99 {:.1} ms, max {:.1} ms (n={})",
            milliseconds(self.p50_micros),
            milliseconds(self.p99_micros),
            milliseconds(self.max_micros),
            self.count
        )
    }
}

impl fmt::Display for LoadPhase {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = &self.counts;
        writeln!(
            formatter,
            "published {}, acknowledged {} (attempts: {} refused, {} unanswered, {} duplicates), delivered {} and {} again",
            counts.published,
            counts.acknowledged,
            counts.publishes_refused,
            counts.publishes_unanswered,
            counts.duplicates,
            counts.delivered,
            counts.redelivered
        )?;
        writeln!(formatter, "  publish   {}", self.publish.quantiles())?;
        writeln!(formatter, "  fetch     {}", self.fetch.quantiles())?;
        writeln!(formatter, "  delivery  {}", self.delivery.quantiles())?;
        write!(formatter, "  ack       {}", self.ack.quantiles())
    }
}

/// Where the workers of one location record events. Clones write to the same place.
#[derive(Clone, Debug, Default)]
pub(super) struct LatencyMeter(Arc<Mutex<LoadPhase>>);

impl LatencyMeter {
    pub fn record(&self, record: impl FnOnce(&mut LoadPhase)) {
        record(&mut lock(&self.0));
    }

    pub fn take(&self) -> LoadPhase {
        std::mem::take(&mut *lock(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phase_starts_empty_after_a_snapshot_and_phases_add_up() {
        let meter = LatencyMeter::default();
        meter.record(|phase| {
            phase.counts.published += 2;
            phase.publish.record(Duration::from_millis(4));
        });
        let first = meter.take();
        meter.record(|phase| phase.publish.record(Duration::from_millis(8)));
        let second = meter.take();
        assert_eq!((first.counts.published, second.counts.published), (2, 0));
        let phases = Phases(BTreeMap::from([
            ("east".to_owned(), first),
            ("west".to_owned(), second),
        ]));
        let total = phases.total().publish.quantiles();
        assert_eq!((total.count, total.max_micros / 100), (2, 80));
        assert_eq!(meter.take().publish.quantiles(), Quantiles::default());
    }
}
