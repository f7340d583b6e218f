//! Real NATS systems on loopback: superclusters and stretched clusters with accounts, TLS and WAN links.
//!
//! ```no_run
//! # async fn example() -> anyhow::Result<()> {
//! use leeward_lab::nats::{Layout, System, jetstream};
//! let system = System::builder(Layout::supercluster(&[("us-east", 3), ("eu-west", 3)]))
//!     .delay(std::time::Duration::from_millis(20))
//!     .start()
//!     .await?;
//! let client = system.connect("us-east", system.credentials("APP", "app")?).await?;
//! let stream = serde_json::json!({ "subjects": ["orders.>"], "num_replicas": 3 });
//! jetstream::create_stream(&client, "ORDERS", stream).await?;
//! # Ok(())
//! # }
//! ```
//!
//! Promises: servers, relays and folders end with the [`System`], and servers end with the process however it ends; two
//! labs on one machine do not disturb each other. Unlike on a real WAN there is no loss and no limit of bandwidth, gateways
//! and routes are not encrypted, and servers know each other from their configs only, not by gossip.

pub mod accounts;
mod answered;
mod builder;
mod cli;
mod config;
pub mod gateways;
pub mod jetstream;
mod jwt;
pub mod layout;
mod leading;
mod meta_group;
mod ready;
mod relay;
mod spoofer;
mod system;
mod tls;
mod wan;

pub use accounts::{
    AccountSpec, Auth, Credentials, DEFAULT_ACCOUNT, DEFAULT_USER, Permissions, SYSTEM_ACCOUNT, SYSTEM_USER,
    Subjects, UserSpec,
};
pub use builder::SystemBuilder;
pub use jetstream::eventually;
pub use layout::Layout;
pub use ready::{go_duration, ping};
pub use spoofer::Spoofer;
pub use system::System;
pub use tls::ClientCertificate;
pub use wan::Wan;

pub use crate::tools::NatsVersion;
