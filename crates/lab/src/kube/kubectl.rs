//! kubectl with a fixed kubeconfig, its caches in the lab's folder, nothing taken from the user's own configuration,
//! and a limit on every call.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::io::AsyncWriteExt;
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
        self.run_with_input(args, "").await
    }

    /// Server-side apply of YAML documents; conflicts with other field managers are overridden.
    pub async fn apply(&self, yaml: &str) -> anyhow::Result<String> {
        let args = [
            "apply",
            "--server-side",
            "--force-conflicts",
            "--field-manager=leeward-lab",
            "-f",
            "-",
        ];
        self.run_with_input(&args, yaml).await
    }

    async fn run_with_input(&self, args: &[&str], input: &str) -> anyhow::Result<String> {
        let output = tokio::time::timeout(LIMIT, self.output(args, input))
            .await
            .with_context(|| format!("kubectl {} took more than {LIMIT:?}", args.join(" ")))??;
        if !output.status.success() {
            bail!(
                "kubectl {}: {}",
                args.join(" "),
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    async fn output(&self, args: &[&str], input: &str) -> anyhow::Result<Output> {
        let mut child = Command::new(&self.program)
            .args(args)
            .env("KUBECONFIG", &self.kubeconfig)
            .env("KUBECACHEDIR", &self.cache)
            .env("KUBECTL_KUBERC", "false")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("kubectl did not start")?;
        let mut pipe = child.stdin.take().context("kubectl has no input")?;
        // Both at once: a full pipe in either direction must not block the other. That kubectl reads its input to the
        // end is its affair; what matters is its status.
        let feed = async move {
            let _ = pipe.write_all(input.as_bytes()).await;
        };
        let ((), output) = tokio::join!(feed, child.wait_with_output());
        Ok(output?)
    }
}
