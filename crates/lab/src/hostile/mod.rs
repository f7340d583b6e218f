//! A NATS server that lies: it serves the text protocol on loopback, answers monitoring and the JetStream API like the
//! servers of a small system, and deviates from the truth as a [`Script`] defines.
//!
//! [`scenarios`] are named lies; [`mutation`] generates random ones. Unlike real servers it stores nothing: a requested
//! change has no effect.

pub mod honest;
pub mod mutation;
mod packed;
mod peer;
pub mod question;
pub mod reply;
pub mod scenarios;
pub mod script;
mod server;
pub mod trial;

pub use scenarios::Scenario;
pub use script::Script;
pub use server::Liar;
