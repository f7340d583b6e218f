//! Arguments of `leeward log-level`.

use crate::logs::admin::AdminAddress;

/// Arguments of `leeward log-level`. In a cluster: `kubectl exec deploy/leeward -- /leeward log-level debug`.
#[derive(Debug, clap::Args)]
pub struct LogLevelArgs {
    /// What is to be logged from now on, until the process ends: off, error, warn, info, debug, trace, or TARGET=LEVEL for a
    /// part of the program, with commas between. Without it nothing changes.
    #[arg(value_name = "FILTER")]
    pub filter: Option<String>,
    /// Where the operator's administration listens (its --admin-listen).
    #[arg(
        long,
        env = "LEEWARD_ADMIN_LISTEN",
        value_name = "ADDRESS",
        default_value = "127.0.0.1:8081"
    )]
    pub admin: AdminAddress,
}
