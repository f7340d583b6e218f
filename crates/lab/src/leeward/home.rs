//! A Kubernetes API with Leeward's CRDs and one namespace for it, and the operator running there.

use std::path::Path;

use anyhow::{Context, ensure};

use super::manifests;
use super::operator::{Operator, OperatorOptions, binary};
use crate::kube::Kube;

/// Starts a Kubernetes API in `folder`, with the CRDs that the binary prints and a namespace with the operator's rights.
pub async fn kube_for(namespace: &str, folder: &Path) -> anyhow::Result<Kube> {
    let kube = Kube::start(&folder.join("kube")).await?;
    let printed = tokio::process::Command::new(binary()?)
        .arg("crds")
        .output()
        .await?;
    ensure!(
        printed.status.success(),
        "leeward crds failed: {}",
        String::from_utf8_lossy(&printed.stderr)
    );
    kube.apply_crds(&String::from_utf8(printed.stdout).context("CRDs are text")?)
        .await?;
    kube.create_namespace(namespace).await?;
    kube.apply(&manifests::rbac_without_helm(namespace)).await?;
    Ok(kube)
}

/// Starts the operator for a namespace with the rights of its service account; its log is `operator.log` in `folder`.
pub async fn operator_in(namespace: &str, kube: &Kube, folder: &Path) -> anyhow::Result<Operator> {
    let token = kube.service_account_token(namespace, "leeward").await?;
    Operator::start(OperatorOptions {
        kubeconfig: kube.kubeconfig_for_token("leeward", &token)?,
        home: namespace.to_owned(),
        namespaces: vec![namespace.to_owned()],
        log: folder.join("operator.log"),
        arguments: Vec::new(),
    })
    .await
}
