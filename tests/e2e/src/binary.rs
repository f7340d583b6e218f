//! The binary under test is never outdated: it is built before the first test uses it.

use std::process::Command;

use anyhow::{Context, ensure};
use tokio::sync::OnceCell;

static BUILT: OnceCell<()> = OnceCell::const_new();

/// Builds the `leeward` binary once per test run; costs a fraction of a second when it is up to date.
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
    let mut build = Command::new(cargo);
    build
        // For all packages, as this test was built: the features of one package alone change half of all crates.
        .args(["build", "--quiet", "--locked", "--workspace", "--bin", "leeward"])
        .current_dir(env!("CARGO_MANIFEST_DIR"));
    // Variables that cargo sets for this test's package, or `cargo xtask test` for libtest, would look changed to build
    // scripts that read them: half of all crates would be rebuilt here, and once more afterwards.
    for (name, _) in std::env::vars_os() {
        let of_this_test = ["CARGO_MANIFEST_", "CARGO_PKG_", "RUSTC_BOOTSTRAP"];
        if of_this_test
            .iter()
            .any(|prefix| name.as_encoded_bytes().starts_with(prefix.as_bytes()))
        {
            build.env_remove(name);
        }
    }
    let status = build.status().context("cannot run cargo")?;
    ensure!(status.success(), "the leeward binary does not build");
    Ok(())
}
