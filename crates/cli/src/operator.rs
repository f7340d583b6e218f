//! `leeward operator`: one process, until SIGTERM or SIGINT.

use std::pin::pin;

use anyhow::Context as _;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::args::OperatorConfig;
use crate::{logs, runtime};

/// Runs the operator.
pub fn run(config: OperatorConfig) -> anyhow::Result<()> {
    logs::start(config.log_format, &config.log_filter)?;
    runtime::block_on(until_signalled(config))
}

async fn until_signalled(config: OperatorConfig) -> anyhow::Result<()> {
    info!(version = env!("CARGO_PKG_VERSION"), "leeward operator");
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    let stop = CancellationToken::new();
    let mut operator = pin!(leeward_operator::run(config.operator, stop.clone()));
    tokio::select! {
        outcome = &mut operator => outcome?,
        () = signalled(&mut terminate, &mut interrupt) => {
            stop.cancel();
            operator.await?;
        }
    }
    info!("ended");
    Ok(())
}

async fn signalled(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
