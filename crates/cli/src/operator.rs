//! `leeward operator`: one process, until SIGTERM or SIGINT.

use std::pin::pin;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::args::OperatorConfig;
use crate::logs::{Filter, Traces, admin};
use crate::runtime::ExitSignals;
use crate::{logs, runtime};

/// Runs the operator.
pub fn run(config: OperatorConfig) -> anyhow::Result<()> {
    let traces = config.traces.as_deref().map(Traces::to).transpose()?;
    let filter = logs::start(config.log_format, &config.log_filter, traces.as_ref())?;
    let ended = runtime::block_on(until_signalled(config, filter));
    if let Some(traces) = traces {
        traces.end();
    }
    ended
}

async fn until_signalled(config: OperatorConfig, filter: Filter) -> anyhow::Result<()> {
    info!(version = env!("CARGO_PKG_VERSION"), "leeward operator");
    allow_open_files();
    let mut signals = ExitSignals::listen()?;
    let stop = CancellationToken::new();
    let mut operator = pin!(leeward_operator::run(config.operator, stop.clone()));
    tokio::select! {
        outcome = &mut operator => outcome?,
        never = admin::serve(config.admin, filter) => match never {},
        () = signals.next() => {
            stop.cancel();
            operator.await?;
        }
    }
    info!("ended");
    Ok(())
}

/// Each connection to NATS uses five files, and the default limit of open files (1,024 in many places) is a soft limit
/// that a process may raise.
fn allow_open_files() {
    let limit = getrlimit(Resource::Nofile);
    let all = Rlimit {
        current: limit.maximum,
        ..limit
    };
    if let Err(error) = setrlimit(Resource::Nofile, all) {
        warn!(%error, "the limit of open files stays as it is");
    }
}
