//! The built operator against real nats-servers and a real kube-apiserver.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod access;
mod certificates;
mod chart;
mod cli;
mod converge;
mod evacuate;
mod faults;
mod guards;
mod habits;
mod handover;
mod home;
mod hostile;
mod kills;
mod left_behind;
mod metrics;
mod objects;
mod owners;
mod permissions;
mod plans;
mod shards;
mod soak;
mod spoofed;
mod stages;
mod stretched;
mod tenancy;
mod untouched;
mod wrong_side;
