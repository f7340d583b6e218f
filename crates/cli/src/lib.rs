//! `leeward`: the engine at the command line, and the operator.
//!
//! Every command is a pipeline of the same steps: [`connection`] (how to reach NATS) → [`policies`] (what is wanted) →
//! [`look`] (what is there, IO) → [`judge`] (pure) → [`document`] (plain data, also JSON) → [`output`] (for people).
//! The core decides, the engine acts.

pub mod args;
mod commands;
mod connection;
mod crds;
pub mod document;
mod exit;
mod input;
mod judge;
mod kubernetes;
mod loaded_policy;
mod logs;
mod look;
mod operator;
mod output;
mod policies;
mod program;
mod runtime;
mod schema;

pub use program::main;
