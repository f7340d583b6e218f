//! Leeward's chart, rendered by Helm.
//!
//! The lab uses the operator's RBAC from here, so that tests run with what users install.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};

use crate::tools::{KubeVersion, Tool, tool};

/// The release's name, and so that of its service account.
const RELEASE: &str = "leeward";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Template {
    /// The operator's identity.
    ServiceAccount,
    /// The operator's permissions.
    Rbac,
}

impl Template {
    const fn path(self) -> &'static str {
        match self {
            Self::ServiceAccount => "templates/serviceaccount.yaml",
            Self::Rbac => "templates/rbac.yaml",
        }
    }
}

pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../charts/leeward")
}

/// The Kubernetes that the chart is rendered for; Helm's own guess depends on how Helm was built.
pub fn kube_version() -> anyhow::Result<&'static str> {
    Tool::KubeApiserver(KubeVersion::Newest).pinned_version()
}

/// These templates as YAML, for a release in `namespace` with `values` such as `replicaCount=1`.
pub fn rendered(namespace: &str, templates: &[Template], values: &[&str]) -> anyhow::Result<String> {
    let mut command = Command::new(tool(Tool::Helm)?);
    command.args(["template", RELEASE]).arg(folder());
    command.args(["--namespace", namespace, "--kube-version", kube_version()?]);
    for template in templates {
        command.args(["--show-only", template.path()]);
    }
    for value in values {
        command.args(["--set", value]);
    }
    let output = command.output().context("helm did not start")?;
    ensure!(
        output.status.success(),
        "helm template: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    String::from_utf8(output.stdout).context("helm writes text")
}
