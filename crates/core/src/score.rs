//! Gain and cost: what is worth doing first.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::snapshot::Stream;
use crate::topology::Version;

/// The round trip between two locations that nobody measured.
pub const UNMEASURED_ROUND_TRIP: Duration = Duration::from_millis(1);
/// What a step-down costs, in the unit of [`MoveCost::weight`]: clients wait for tens of milliseconds (nats-facts N14,
/// N16).
pub const STEP_DOWN_COST: f32 = 1.0;
/// What a move costs besides its bytes: seconds of copying and one transfer per asset (nats-facts N24).
const MOVE_BASE_COST: f32 = 10.0;
/// A move's cost grows by one for each of these.
const BYTES_PER_COST: f32 = 1_048_576.0;
/// What servers are expected to copy a second until a move is measured. N24's 100 MiB on three replicas took 8–14 s.
pub const ASSUMED_BYTES_PER_SECOND: u64 = 10 << 20;
/// What a move takes besides copying: elections, and adding peers one by one (nats-facts N24).
const MOVE_BASE_TIME: Duration = Duration::from_secs(5);
/// How many consumers a move transfers a second, ephemeral ones included: on 2.14.5 a stream of three replicas with
/// 2,000 of them took 34 s to move, one with 3,000 took 76 s.
const MOVED_CONSUMERS_PER_SECOND: u64 = 50;
/// The first version that takes writes while a replicated stream moves (nats-facts N24).
pub const MOVES_WITHOUT_STALL: Version = Version::new(2, 15, 0);

/// What a move is expected to cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MoveCost {
    /// Bytes that the servers copy, over all replicas.
    pub bytes: u64,
    /// How long it takes.
    pub time: Duration,
    /// For how long the stream takes no writes: servers up to 2.14 block those of a replicated stream while they copy
    /// (nats-facts N24).
    pub stall: Duration,
}

/// The waiting that one message saves for which clients wait this much longer now than at home; the negative where home
/// is farther away.
pub fn saved_milliseconds(now: Duration, at_home: Duration) -> f32 {
    (now.as_secs_f32() - at_home.as_secs_f32()) * 1000.0
}

impl MoveCost {
    /// Milliseconds of waiting that a move is expected to cause in a stream of so many messages a second: one for each of
    /// the time that it takes, and what publishers wait while the stream takes no writes.
    pub fn waiting_milliseconds(&self, rate: f32) -> f32 {
        let stall = self.stall.as_secs_f32();
        self.time.as_secs_f32() * 1000.0 + rate * stall * (stall / 2.0) * 1000.0
    }

    /// What moving a stream is expected to cost on servers of this version and later; of unknown ones the worst.
    pub fn estimate(stream: &Stream, lowest: Option<Version>, bytes_per_second: Option<u64>) -> Self {
        let rate = bytes_per_second.unwrap_or(ASSUMED_BYTES_PER_SECOND).max(1);
        let copying = Duration::from_secs(stream.bytes / rate)
            + Duration::from_millis((stream.bytes % rate).saturating_mul(1000) / rate);
        let consumers = stream.consumers.len() as u64;
        let stalls = stream.replicas > 1 && lowest.is_none_or(|lowest| lowest < MOVES_WITHOUT_STALL);
        Self {
            bytes: stream.bytes.saturating_mul(stream.replicas.max(1).into()),
            time: MOVE_BASE_TIME
                .saturating_add(copying)
                .saturating_add(Duration::from_secs(consumers / MOVED_CONSUMERS_PER_SECOND)),
            stall: if stalls { copying } else { Duration::ZERO },
        }
    }

    /// What it costs in one number, to divide gains by.
    #[expect(
        clippy::cast_precision_loss,
        reason = "an order of magnitude is enough to rank by"
    )]
    pub fn weight(&self) -> f32 {
        MOVE_BASE_COST + self.bytes as f32 / BYTES_PER_COST
    }
}

#[cfg(test)]
mod tests;
