//! The async runtime that commands run in, and the signals that end them.

use anyhow::Context as _;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Runs a command to its end. Installs the one TLS provider first, for Kubernetes and NATS alike.
pub fn block_on<T>(command: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    // It fails only where one is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("the async runtime did not start")?;
    runtime.block_on(command)
}

/// The signals that ask a process to end.
#[derive(Debug)]
pub struct ExitSignals {
    interrupt: Signal,
    terminate: Signal,
}

impl ExitSignals {
    /// Listens for them from now on.
    pub fn listen() -> anyhow::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?,
            terminate: signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?,
        })
    }

    /// Waits for the next one.
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
