//! Leader election of shards over replicas, by Kubernetes Leases (`coordination.k8s.io/v1`).
//!
//! A [`LeaderElection`] is one replica's part in it. Its [`Leaderships`] hold one [`Leadership`] for each shard: whether
//! this replica is the shard's leader now, in which [`LeaseEpoch`], and until which [`Deadline`] it may act. The README of
//! this crate says what is guaranteed, and why.

mod balance;
mod config;
mod deadline;
mod election;
mod layout;
mod leadership;
mod leaderships;
mod lease_handle;
mod lease_table;
mod log_throttle;
mod member;
mod metrics;
mod observed_lease;
mod record;
mod shard;
mod shards;
mod store;
mod timing;

#[cfg(test)]
mod tests;

pub use config::LeaseConfig;
pub use deadline::Deadline;
pub use election::LeaderElection;
pub use leadership::{Leadership, LeaseEpoch, PendingWrite};
pub use leaderships::Leaderships;
pub use metrics::LeaseMetrics;
