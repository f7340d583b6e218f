//! The built `leeward` binary as an operator process, and its objects.
//!
//! The lab does not link Leeward: it runs the binary that users run, beside the real servers.

pub mod chart;
mod home;
pub mod manifests;
mod operator;

pub use home::{kube_for, operator_in};
pub use operator::{Operator, OperatorOptions, binary};
