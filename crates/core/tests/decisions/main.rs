//! Decisions as a whole: scripted scenarios and properties.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod carry_out;
mod flapping;
mod forecasts;
mod memory;
mod properties;
mod read_back;
mod scenarios;
mod sketch;
mod worlds;
