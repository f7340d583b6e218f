//! Real NATS and Kubernetes servers on loopback for tests, demo and benches

pub mod audit;
pub mod bench;
pub mod demo;
pub mod folder;
pub mod hostile;
pub mod kube;
pub mod leeward;
pub mod load;
pub mod nats;
pub mod ports;
pub mod process;
pub mod soak;
pub mod tools;
