//! One release from its installation to its end, on an API server that has nothing yet.

use std::path::{Path, PathBuf};

use anyhow::ensure;
use jiff::Timestamp;
use leeward_e2e::CONVERGED;
use leeward_lab::folder::Folder;
use leeward_lab::kube::Kube;
use leeward_lab::leeward::{chart, manifests};
use leeward_lab::nats::eventually;
use leeward_lab::tools::KubeVersion;
use serde_json::{Value, json};

const NAMESPACE: &str = "harbour";

struct Site {
    // Dropped in this order.
    kube: Kube,
    folder: Folder,
}

impl Site {
    async fn new() -> Self {
        let folder = Folder::temporary().unwrap();
        // The oldest one that the chart installs on: it knows the fewest fields.
        let kube = Kube::start_version(KubeVersion::V1_29, &folder.path().join("kube"))
            .await
            .unwrap();
        Self { kube, folder }
    }

    async fn helm(&self, args: &[&str]) -> String {
        let all: Vec<&str> = args.iter().copied().chain(["--namespace", NAMESPACE]).collect();
        super::helm(self.folder.path(), &self.kube.admin_kubeconfig(), &all)
            .await
            .unwrap()
    }

    async fn get(&self, kind: &str, name: &str) -> Value {
        let args = ["get", kind, name, "--namespace", NAMESPACE, "--output", "json"];
        serde_json::from_str(&self.kube.kubectl(&args).await.unwrap()).unwrap()
    }

    async fn names(&self, kind: &str) -> String {
        let args = ["get", kind, "--all-namespaces", "--output", "name"];
        self.kube.kubectl(&args).await.unwrap()
    }

    async fn crds_are_established(&self) {
        let args = [
            "wait",
            "--for=condition=Established",
            "crd",
            "--all",
            "--timeout=300s",
        ];
        self.kube.kubectl(&args).await.unwrap();
    }
}

/// The chart as it was before, with another short name in a CRD.
fn older_chart(folder: &Path) -> PathBuf {
    let older = folder.join("older");
    leeward_e2e::copy_folder(&chart::folder(), &older).unwrap();
    let path = older.join("definitions/natssystems.yaml");
    let text = std::fs::read_to_string(&path).unwrap();
    let changed = text.replace("- natssys\n", "- oldsys\n");
    assert_ne!(text, changed);
    std::fs::write(path, changed).unwrap();
    older
}

#[tokio::test]
async fn a_release_is_installed_upgraded_with_its_crds_rolled_back_and_leaves_policies_where_they_are() {
    let site = Site::new().await;
    let older = older_chart(site.folder.path()).display().to_string();
    let newer = chart::folder().display().to_string();
    let said = site
        .helm(&["install", "leeward", &older, "--create-namespace"])
        .await;
    assert!(said.contains("rollout status deployment/leeward"), "{said}");
    site.crds_are_established().await;
    assert_eq!(site.get("deployment", "leeward").await["spec"]["replicas"], 2);
    let crd = "natssystems.leeward.dev";
    assert_eq!(
        site.get("crd", crd).await["spec"]["names"]["shortNames"],
        json!(["oldsys"])
    );
    let policy = manifests::placement_policy(NAMESPACE, "orders", json!({}));
    site.kube.apply(&policy.to_string()).await.unwrap();

    let systems = r#"systems=[{"name":"prod","spec":{"servers":["nats://nats:4222"]}}]"#;
    let set = ["--set", "replicaCount=3,shards=2", "--set-json", systems];
    let upgrade: Vec<&str> = ["upgrade", "leeward", &newer].into_iter().chain(set).collect();
    let said = site.helm(&upgrade).await;
    assert!(
        said.contains("2 shards, spread over 2 replicas; 1 more waits warm"),
        "{said}"
    );
    assert_eq!(site.get("deployment", "leeward").await["spec"]["replicas"], 3);
    let shorts = &site.get("crd", crd).await["spec"]["names"]["shortNames"];
    assert_eq!(*shorts, json!(["natssys"]));
    assert_eq!(
        site.get("natssystem", "prod").await["spec"]["servers"],
        json!(["nats://nats:4222"])
    );

    site.helm(&["rollback", "leeward", "1"]).await;
    assert_eq!(site.get("deployment", "leeward").await["spec"]["replicas"], 2);
    assert_eq!(site.names("natssystems.leeward.dev").await, "");
    assert!(
        site.names("placementpolicies.leeward.dev")
            .await
            .contains("orders")
    );

    site.helm(&["uninstall", "leeward"]).await;
    let left = site
        .names(
            "deployments,services,poddisruptionbudgets,clusterroles,clusterrolebindings,roles,rolebindings",
        )
        .await;
    assert!(!left.contains("leeward"), "{left}");
    let kept = site.get("placementpolicy", "orders").await;
    assert_eq!(kept["spec"]["mode"], "Enforce");

    // What was kept is taken over by the next release, which may let it go.
    site.helm(&["install", "leeward", &newer, "--set", "crds.keep=false"])
        .await;
    assert!(
        site.names("placementpolicies.leeward.dev")
            .await
            .contains("orders")
    );
    site.helm(&["uninstall", "leeward"]).await;
    eventually(CONVERGED, "the CRDs are gone", || async {
        let left = site.names("customresourcedefinitions").await;
        for crd in left
            .split_whitespace()
            .filter(|name| name.contains("leeward.dev"))
        {
            // After a failure the API server looks again after a growing pause, or when the object changes.
            let touch = format!("test/touched={}", Timestamp::now().as_millisecond());
            let _ = site.kube.kubectl(&["annotate", crd, &touch, "--overwrite"]).await;
        }
        ensure!(!left.contains("leeward.dev"), "{left}");
        Ok(())
    })
    .await
    .unwrap();
}
