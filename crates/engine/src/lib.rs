//! The loop over ports: rounds, operations, limits. It knows neither Kubernetes nor NATS types.

pub mod condition;
pub mod execute;
#[cfg(test)]
mod fixtures;
pub mod in_flight;
pub mod limits;
pub mod metrics;
pub mod permit;
pub mod policy_event;
pub mod policy_state;
pub mod policy_worker;
pub mod ports;
pub mod precedence;
pub mod record;
pub mod runner;
pub mod status;
pub mod supervise;
