//! The loop as a whole, over a scripted system in memory and a clock that jumps to whatever is waited for.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod approved;
mod authorizer;
mod bench;
mod clock;
mod converge;
mod fresh;
mod guarded;
mod in_flight;
mod memory;
mod model;
mod numbers;
mod outcomes;
mod proof;
mod restarts;
mod sampling;
mod worlds;
