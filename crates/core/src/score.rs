//! Gain and cost: what is worth doing first.

use std::time::Duration;

/// The round trip between two locations that no gateway measures (regions of one stretched cluster).
const UNMEASURED_ROUND_TRIP: Duration = Duration::from_millis(1);
/// What a step-down costs, in the unit of [`move_cost`]: clients wait for tens of milliseconds (NATS.md N14, N16).
pub const STEP_DOWN_COST: f32 = 1.0;
/// What a move costs besides its bytes: seconds of copying and one hand-over per asset (NATS.md N24).
const MOVE_BASE_COST: f32 = 10.0;
/// A move's cost grows by one for each of these.
const BYTES_PER_COST: f32 = 1_048_576.0;

/// Messages a second × milliseconds of round trip saved. An unknown rate gains nothing: it only goes last.
pub fn gain(rate: Option<f32>, round_trip: Option<Duration>) -> f32 {
    rate.unwrap_or(0.0) * round_trip.unwrap_or(UNMEASURED_ROUND_TRIP).as_secs_f32() * 1000.0
}

/// What moving this many bytes costs.
#[expect(
    clippy::cast_precision_loss,
    reason = "an order of magnitude is enough to rank by"
)]
pub fn move_cost(bytes: u64) -> f32 {
    MOVE_BASE_COST + bytes as f32 / BYTES_PER_COST
}

#[cfg(test)]
mod tests;
