//! The adapter to Kubernetes: controllers, status, events, health and metrics endpoints.
//!
//! [`run`] watches `NatsSystem`s and `PlacementPolicy`s, observes each system once, and runs the engine for each policy.
//! It promises that of several replicas only the holder of the lease acts and speaks, that nothing acts once it is told to
//! stop, and that it looks on while the Kubernetes API is away, ready to go on when it is back.
//! What is decided is the core's matter, how NATS is spoken to the NATS adapter's.

mod cluster;
mod config;
mod endpoint;
mod error;
mod events;
mod gauges;
mod key;
pub mod lookup;
mod managed;
mod objects;
mod operator;
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
