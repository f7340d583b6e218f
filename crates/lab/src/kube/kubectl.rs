//! kubectl with a fixed kubeconfig, its caches in the lab's folder, nothing taken from the user's own configuration,
//! and a limit on every call.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::process::Command;

use crate::tools::{Tool, tool};

const LIMIT: Duration = Duration::from_mins(3);

#[derive(Clone, Debug)]
pub struct Kubectl {
    program: PathBuf,
    kubeconfig: PathBuf,
    cache: PathBuf,
}

impl Kubectl {
    pub fn new(folder: &Path, kubeconfig: PathBuf) -> anyhow::Result<Self> {
        Ok(Self {
            program: tool(Tool::Kubectl)?,
            kubeconfig,
            cache: folder.join("kubectl-cache"),
        })
    }

    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    #[must_use]
    pub fn with_kubeconfig(&self, kubeconfig: &Path) -> Self {
        Self {
            kubeconfig: kubeconfig.to_path_buf(),
            ..self.clone()
        }
    }

    /// Runs kubectl and returns its standard output; an error has its standard error.
    pub async fn run(&self, args: &[&str]) -> anyhow::Result<String> {
        let output = Command::new(&self.program)
            .args(args)
            .env("KUBECONFIG", &self.kubeconfig)
            .env("KUBECACHEDIR", &self.cache)
            .env("KUBECTL_KUBERC", "false")
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let output = tokio::time::timeout(LIMIT, output)
            .await
            .with_context(|| format!("kubectl {} took more than {LIMIT:?}", args.join(" ")))?
            .context("kubectl did not start")?;
        if !output.status.success() {
            bail!(
                "kubectl {}: {}",
                args.join(" "),
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}
