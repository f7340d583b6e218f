//! Pure decisions: where leaders belong, what may move, and in which order.
//!
//! Snapshot → [`demand`] (home) → [`evaluate`] (findings) → [`plan`] → [`operation`]; all but the last in one:
//! [`decide`]. Everything here is a function of its arguments: no IO, no clock, no randomness, no hash order (P1).

#![warn(missing_docs, clippy::wildcard_enum_match_arm)]

pub mod action;
pub mod action_set;
pub mod admission;
pub mod approval;
pub mod asset;
pub mod breaker;
pub mod budget;
pub mod conflict;
pub mod context;
pub mod decide;
pub mod definition;
pub mod demand;
pub mod evaluate;
pub mod explain;
#[cfg(test)]
mod fixtures;
pub mod forecast;
pub mod history;
pub mod homes;
pub mod limits;
pub mod names;
pub mod operation;
pub mod owner;
pub mod plan;
pub mod policy;
pub mod proposal;
pub mod propose;
pub mod refusal;
pub mod report;
pub mod resolve;
pub mod safety;
pub mod sampling;
pub mod schedule;
pub mod score;
pub mod snapshot;
pub mod spread;
pub mod target;
pub mod time;
pub mod topology;
pub mod usage;
pub mod window;
