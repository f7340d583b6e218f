//! The lab itself, against real servers.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "clippy.toml allows these in test functions only; their helpers fail tests the same way"
)]

#[path = "lab/binary.rs"]
mod binary;
#[path = "lab/kube.rs"]
mod kube;
#[path = "lab/load.rs"]
mod load;
#[path = "lab/load_on_supercluster.rs"]
mod load_on_supercluster;
#[path = "lab/nats.rs"]
mod nats;
#[path = "lab/process.rs"]
mod process;
