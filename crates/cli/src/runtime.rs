//! The async runtime that commands run in.

use anyhow::Context as _;

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
