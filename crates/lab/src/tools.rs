//! Paths of the third-party servers and clients that the lab runs.
//!
//! A tool's own variable (`LEEWARD_ETCD=/path/to/etcd`) wins; otherwise the repository's `tools/build --path` is asked,
//! once per tool and process. Nothing is built or downloaded here: the error for a missing tool names the command to
//! run.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use anyhow::{Context, bail, ensure};

use crate::lock::lock;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tool {
    NatsServer(NatsVersion),
    Nats,
    Etcd,
    KubeApiserver(KubeVersion),
    Kubectl,
    Helm,
    Promtool,
}

/// The server lines that Leeward is tested against; the exact versions are in `tools/versions`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NatsVersion {
    #[default]
    Newest,
    V2_14,
    V2_11,
    V2_10,
}

/// The Kubernetes versions that Leeward is tested against.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KubeVersion {
    Newest,
    /// The oldest that the chart installs on.
    V1_29,
}

const VERSIONS: &str = include_str!("../../../tools/versions");

impl Tool {
    /// The name in `tools/versions`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NatsServer(NatsVersion::Newest) => "nats-server",
            Self::NatsServer(NatsVersion::V2_14) => "nats-server-2.14",
            Self::NatsServer(NatsVersion::V2_11) => "nats-server-2.11",
            Self::NatsServer(NatsVersion::V2_10) => "nats-server-2.10",
            Self::Nats => "nats",
            Self::Etcd => "etcd",
            Self::KubeApiserver(KubeVersion::Newest) => "kube-apiserver",
            Self::KubeApiserver(KubeVersion::V1_29) => "kube-apiserver-1.29",
            Self::Kubectl => "kubectl",
            Self::Helm => "helm",
            Self::Promtool => "promtool",
        }
    }

    /// `LEEWARD_NATS_SERVER_2_14` for `nats-server-2.14`.
    pub fn variable(self) -> String {
        format!("LEEWARD_{}", self.name().to_uppercase().replace(['-', '.'], "_"))
    }

    /// The version in `tools/versions`, such as `2.10.29`.
    pub fn pinned_version(self) -> anyhow::Result<&'static str> {
        VERSIONS
            .lines()
            .find_map(|line| line.strip_prefix(self.name())?.strip_prefix(' '))
            .with_context(|| format!("tools/versions has no {}", self.name()))
    }
}

static FOUND: Mutex<BTreeMap<Tool, PathBuf>> = Mutex::new(BTreeMap::new());

/// The path of a tool's program.
pub fn tool(tool: Tool) -> anyhow::Result<PathBuf> {
    let mut found = lock(&FOUND);
    if let Some(path) = found.get(&tool) {
        return Ok(path.clone());
    }
    let path = locate(tool)?;
    found.insert(tool, path.clone());
    Ok(path)
}

fn locate(tool: Tool) -> anyhow::Result<PathBuf> {
    let variable = tool.variable();
    match std::env::var_os(&variable).filter(|value| !value.is_empty()) {
        Some(value) => {
            let path = PathBuf::from(value);
            ensure!(
                path.is_file(),
                "{variable} is set to {}, which is not a file",
                path.display()
            );
            Ok(path)
        }
        None => ask_the_repository(tool),
    }
}

fn ask_the_repository(tool: Tool) -> anyhow::Result<PathBuf> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tools/build");
    let advice = || {
        format!(
            "{} is not there; run `make tools`, or set {}",
            tool.name(),
            tool.variable()
        )
    };
    let output = std::process::Command::new(&script)
        .args(["--path", tool.name()])
        .output()
        .with_context(|| format!("{} did not run", script.display()))
        .with_context(advice)?;
    if !output.status.success() {
        bail!("{}: {}", advice(), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(PathBuf::from(
        String::from_utf8(output.stdout).with_context(advice)?.trim(),
    ))
}
