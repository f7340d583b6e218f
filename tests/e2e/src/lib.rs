//! End-to-end tests: what they share. The tests are in `tests/e2e`.
//!
//! A [`Stage`] is one NATS system, a namespace of a kube-apiserver that tests share, and the built operator, which runs
//! with a service account's rights. Tests look with `kubectl` and the `nats` command, as users do.

pub mod assets;

mod binary;
pub mod cli;
pub mod shared_kube;
mod stage;

pub use binary::build;
pub use stage::{CONVERGED, Stage, condition};
