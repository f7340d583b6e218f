//! The loop over ports: rounds, operations, limits. It knows neither Kubernetes nor NATS types.

pub mod condition;
pub mod execute;
#[cfg(test)]
mod fixtures;
pub mod limits;
pub mod metrics;
pub mod occurrence;
pub mod permit;
pub mod ports;
pub mod precedence;
pub mod record;
pub mod runner;
pub mod standing;
pub mod status;
pub mod supervise;
pub mod underway;
