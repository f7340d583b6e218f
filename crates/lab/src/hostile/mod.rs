//! A NATS server that lies: it speaks the text protocol on loopback, answers monitoring and the JetStream API as the
//! servers of a small system would, and departs from the truth as a [`Script`] says.
//!
//! [`scenarios`] are lies with names; [`mutation`] makes ever new ones by chance. Unlike real servers it keeps nothing: what
//! is asked to change does not change.

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
