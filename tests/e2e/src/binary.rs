//! The binary under test is never an old one: it is built before the first test uses it.

use std::process::Command;

use anyhow::{Context, ensure};
use tokio::sync::OnceCell;

static BUILT: OnceCell<()> = OnceCell::const_new();

/// Builds the `leeward` binary once per test run; costs a fraction of a second when it is fresh.
pub async fn build() -> anyhow::Result<()> {
    BUILT
        .get_or_try_init(|| async { tokio::task::spawn_blocking(cargo_build).await? })
        .await?;
    Ok(())
}

fn cargo_build() -> anyhow::Result<()> {
    if std::env::var_os("LEEWARD_BIN").is_some() {
        return Ok(());
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["build", "--quiet", "--locked", "--package", "leeward"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()
        .context("cannot run cargo")?;
    ensure!(status.success(), "the leeward binary does not build");
    Ok(())
}
