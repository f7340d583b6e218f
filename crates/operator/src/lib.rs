//! The adapter to Kubernetes: controllers, status, events, health and metrics endpoints.
//!
//! [`run`] watches `NatsSystem`s and `PlacementPolicy`s, observes each system once, and runs the engine for each
//! policy. It promises that of several replicas only the holder of the lease acts and reports, that nothing acts once
//! it is asked to stop, and that it keeps observing while the Kubernetes API is unreachable, ready to resume when it is
//! back. Decisions are made in the core; the NATS protocol is the NATS adapter's.

mod cluster;
mod config;
mod endpoint;
mod error;
mod events;
mod gauges;
mod key;
pub mod lookup;
mod objects;
mod operator;
mod owners;
mod policy;
mod reconcile_queue;
mod registry;
mod scope;
mod shared;
mod system;
mod systems;
mod watch;

pub use config::Config;
pub use leeward_lease::LeaseConfig;
pub use operator::{OperatorError, run};
