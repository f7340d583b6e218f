//! The adapter to NATS: observes a system, acts on the JetStream of one account.
//!
//! [`SystemObserver`] sees every account through a user of the system account, [`TenantObserver`] one account through
//! its own user, and [`AccountClient`] reads and changes that account's assets. All of them reconnect by themselves: a
//! system that is down, or that refuses the credentials, is a state to watch and never an error at start. Deciding on
//! what they see happens elsewhere.

// Servers may send any number and text: no sum of them overflows and no index misses.
#![cfg_attr(
    not(test),
    warn(
        clippy::arithmetic_side_effects,
        clippy::indexing_slicing,
        clippy::string_slice
    )
)]

pub mod account;
pub mod act;
mod backoff;
mod cancel;
mod client_runtime;
pub mod connect;
mod connect_config;
mod connection_name;
pub mod credentials;
mod denials;
mod gaps;
mod jetstream_api;
mod moments;
mod observe;
mod place;
mod placement_edit;
mod reading;
mod request;
mod request_error;
pub mod requests;
mod sample;
mod sample_links;
mod servers;
mod state;
pub mod status;
mod stored;
mod tenant;
mod tls;
mod user_info;
mod watchdog;
mod wire;

pub use account::AccountProblem;
pub use act::AccountClient;
pub use connect::{CertificateProblem, ConnectProblem, ConnectionState, split_userinfo};
pub use connect_config::ConnectConfig;
pub use credentials::{Credentials, CredentialsError};
pub use observe::SystemObserver;
pub use observe::accounts::AccountsError;
pub use observe::witness::Witness;
pub use status::{ClusterStatus, ObserverRights, SystemStatus};
pub use tenant::TenantObserver;
pub use tls::{TlsConfig, TlsError};
pub use user_info::AccountInfo;
