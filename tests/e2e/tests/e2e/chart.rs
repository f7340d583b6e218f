//! The chart on a real API server: rendered with many values, refused with bad ones, installed and gone again, and the
//! rights that it gives.
//!
//! Nothing runs in pods here, so `helm test` and what a kubelet or a scheduler would say are left to a cluster with nodes.

mod installed;
mod rights;

use std::path::Path;

use anyhow::{Context, bail};
use leeward_e2e::shared_kube::SharedKube;
use leeward_lab::leeward::chart;
use leeward_lab::tools::{Tool, tool};
use serde_json::{Value, json};

/// Runs helm with nothing of the user's own configuration; what it printed, or what it complained about.
async fn helm(folder: &Path, kubeconfig: &Path, args: &[&str]) -> anyhow::Result<String> {
    let output = tokio::process::Command::new(tool(Tool::Helm)?)
        .args(args)
        .env("KUBECONFIG", kubeconfig)
        .env("HELM_CACHE_HOME", folder.join("helm-cache"))
        .env("HELM_CONFIG_HOME", folder.join("helm-config"))
        .env("HELM_DATA_HOME", folder.join("helm-data"))
        .kill_on_drop(true)
        .output()
        .await
        .context("helm did not start")?;
    if !output.status.success() {
        bail!(
            "helm {}: {}{}",
            args.join(" "),
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// `helm template` for the namespace `harbour`.
async fn template(shared: &SharedKube, values: &[&str]) -> anyhow::Result<String> {
    let chart = chart::folder().display().to_string();
    let mut args = vec!["template", "leeward", &chart, "--namespace", "harbour"];
    args.extend(["--kube-version", chart::kube_version()?]);
    args.extend(values);
    helm(shared.folder(), &shared.kube().admin_kubeconfig(), &args).await
}

/// As much of the Prometheus operator's kinds as a server needs to take and check their shape.
const MONITORING: &str = include_str!("../../fixtures/monitoring.yaml");

const NAMESPACES: &str = r"
apiVersion: v1
kind: Namespace
metadata:
  name: harbour
  labels: {pod-security.kubernetes.io/enforce: restricted, pod-security.kubernetes.io/warn: restricted}
---
apiVersion: v1
kind: Namespace
metadata: {name: quay}
";

/// Values that change what is made, each set on its own and most of them together.
const MATRIX: &[&[&str]] = &[
    &[],
    &["--set", "replicaCount=1"],
    &["--set", "replicaCount=0"],
    &["--set", "crds.install=false"],
    &["--set", "crds.keep=false"],
    &["--set", "watch.namespaces={harbour,quay,quay}"],
    &[
        "--set",
        "rbac.create=false",
        "--set",
        "serviceAccount.create=false",
    ],
    &[
        "--set",
        "serviceAccount.name=pilot",
        "--set",
        "serviceAccount.annotations.team=nats",
    ],
    &["--set", "fullnameOverride=pilot", "--set", "nameOverride=lw"],
    &[
        "--set",
        "image.digest=sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
    ],
    &[
        "--set",
        "image.tag=1.2.3",
        "--set",
        "imagePullSecrets[0].name=registry",
    ],
    &["--set", "networkPolicy.enabled=true"],
    &["--set", "rbac.secretNames={nats-system,orders-nats}"],
    &[
        "--set",
        "enabled=true,fullnameOverride=pilot,watch.namespaces=null,podLabels=null,monitoring.labels=null",
        "--set",
        "monitoring.prometheusRule.enabled=true,monitoring.prometheusRule.runbookUrl=https://runbooks.example/leeward",
    ],
    &[
        "--set",
        "networkPolicy.enabled=true",
        "--set",
        "networkPolicy.metricsFrom[0].namespaceSelector.matchLabels.team=prom",
    ],
    &[
        "--set",
        "service.enabled=false",
        "--set",
        "podDisruptionBudget.enabled=false",
    ],
    &[
        "--set",
        "podDisruptionBudget.maxUnavailable=50%",
        "--set",
        "priorityClassName=system-cluster-critical",
    ],
    &[
        "--set",
        "admin.listen=,log.level=info\\,leeward=debug,log.format=plain,lease.duration=1m30s",
    ],
    &["--set", "shards=4"],
    &[
        "--set",
        "shards=64,replicaCount=64,lease.name=pilot,watch.namespaces={quay}",
    ],
    &[
        "--set",
        "otlp.endpoint=http://collector:4318,networkPolicy.enabled=true",
    ],
    &[
        "--set",
        "extraArgs={--an-option-of-a-newer-image}",
        "--set",
        "extraEnv[0].name=A",
        "--set",
        "extraEnv[0].value=b",
    ],
    &[
        "--set-json",
        r#"tolerations=[{"operator":"Exists"}]"#,
        "--set-json",
        r#"nodeSelector={"a":"b"}"#,
    ],
    &[
        "--set-json",
        r#"topologySpreadConstraints=[{"maxSkew":1,"topologyKey":"zone","whenUnsatisfiable":"DoNotSchedule"}]"#,
    ],
    &[
        "--set-json",
        r#"podLabels={"a":"b"}"#,
        "--set-json",
        r#"podAnnotations={"a":"b"}"#,
    ],
    &[
        "--set",
        "monitoring.serviceMonitor.enabled=true",
        "--set",
        "monitoring.labels.release=prom",
    ],
    &[
        "--set",
        "monitoring.podMonitor.enabled=true,service.enabled=false",
    ],
    &[
        "--set",
        "monitoring.prometheusRule.enabled=true,monitoring.dashboards.enabled=true",
    ],
    &[
        "--set-json",
        r#"systems=[{"name":"prod","spec":{"servers":["nats://nats:4222"]}}]"#,
        "--set-json",
        r#"policies=[{"name":"orders","namespace":"quay","spec":{"systemRef":{"name":"prod","namespace":"harbour"},"credentialsRef":{"name":"orders"}}}]"#,
    ],
    &[
        "--set",
        "watch.namespaces={quay},networkPolicy.enabled=true,monitoring.serviceMonitor.enabled=true",
        "--set",
        "monitoring.podMonitor.enabled=true,monitoring.prometheusRule.enabled=true",
        "--set",
        "monitoring.dashboards.enabled=true",
    ],
];

async fn dry_run(shared: &SharedKube, name: &str, yaml: &str) -> anyhow::Result<String> {
    let path = shared.folder().join(format!("{name}.yaml"));
    std::fs::write(&path, yaml)?;
    let path = path.display().to_string();
    let how = [
        "apply",
        "--server-side",
        "--force-conflicts",
        "--dry-run=server",
        "--warnings-as-errors",
    ];
    let args: Vec<&str> = how.into_iter().chain(["--filename", &path]).collect();
    shared.kube().kubectl(&args).await
}

#[tokio::test]
async fn with_any_values_the_api_server_takes_every_object_and_restricted_pod_security_has_nothing_to_say() {
    let shared = SharedKube::start().await.unwrap();
    shared.kube().apply_crds(MONITORING).await.unwrap();
    shared.kube().apply(NAMESPACES).await.unwrap();
    let mut wrong = Vec::new();
    for (index, values) in MATRIX.iter().enumerate() {
        let yaml = template(&shared, values).await.unwrap();
        if let Err(error) = dry_run(&shared, &format!("matrix-{index}"), &yaml).await {
            wrong.push(format!("{values:?}: {error:#}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));

    // That the server would have complained.
    let yaml = template(&shared, &[]).await.unwrap();
    let rooted = yaml.replace("runAsNonRoot: true", "runAsNonRoot: false");
    assert_ne!(yaml, rooted);
    let said = dry_run(&shared, "rooted", &rooted).await.unwrap_err().to_string();
    assert!(said.contains("runAsNonRoot"), "{said}");
}

#[tokio::test]
async fn the_linter_has_nothing_to_say_and_bad_values_are_refused_by_their_name() {
    let shared = SharedKube::get().await.unwrap();
    let chart = chart::folder().display().to_string();
    let kubeconfig = shared.kube().admin_kubeconfig();
    helm(shared.folder(), &kubeconfig, &["lint", "--strict", &chart])
        .await
        .unwrap();
    let cases = [
        ("replicaCount=two", "/replicaCount"),
        ("image.pullPolicy=Sometimes", "/image/pullPolicy"),
        ("image.digest=sha256:12", "/image/digest"),
        ("watch.namespaces={Not_A_Name}", "/watch/namespaces/0"),
        ("watch.namespaces=nats", "/watch/namespaces"),
        ("shards=0", "/shards"),
        ("shards=65", "/shards"),
        ("lease.duration=soon", "/lease/duration"),
        ("lease.duration=2s", "/lease/duration"),
        ("lease.duration=0m2s", "/lease/duration"),
        ("lease.duration=3500ms", "/lease/duration"),
        ("otlp.endpoint=collector:4318", "/otlp/endpoint"),
        ("extraArgs={--shards=4}", "set shards instead"),
        (
            "extraArgs={--otlp-endpoint=http://collector}",
            "set otlp.endpoint instead",
        ),
        ("extraArgs={--no-lease}", "extraArgs has --no-lease"),
        ("extraArgs={--listen=0.0.0.0:1}", "extraArgs has --listen"),
        ("log.format=xml", "/log/format"),
        ("admin.listen=0.0.0.0:8081", "/admin/listen"),
        ("crds.keeep=true", "keeep"),
        (
            "podDisruptionBudget.maxUnavailable=0",
            "/podDisruptionBudget/maxUnavailable",
        ),
        (
            "podDisruptionBudget.maxUnavailable=some",
            "/podDisruptionBudget/maxUnavailable",
        ),
        ("image.repository=registry.example/leeward:1", "/image/repository"),
        ("nameOverride=My_App", "/nameOverride"),
        (
            "watch.namespaces={quay},systems[0].name=prod,systems[0].spec.servers={nats://nats:4222}",
            "systems has prod in namespace harbour",
        ),
        ("replicas=3", "replicas"),
        ("service.port=0", "/service/port"),
        (
            "monitoring.serviceMonitor.interval=often",
            "/monitoring/serviceMonitor/interval",
        ),
        (
            "monitoring.serviceMonitor.enabled=true,service.enabled=false",
            "needs service.enabled",
        ),
    ];
    for (value, named) in cases {
        let said = template(&shared, &["--set", value])
            .await
            .unwrap_err()
            .to_string();
        assert!(said.contains(named), "{value}: {said}");
    }
    let unnamed = r#"systems=[{"spec":{}}]"#;
    let said = template(&shared, &["--set-json", unnamed])
        .await
        .unwrap_err()
        .to_string();
    assert!(said.contains("/systems/0") && said.contains("name"), "{said}");
}

#[tokio::test]
async fn traces_find_their_way_to_the_collector_where_egress_is_restricted() {
    let shared = SharedKube::get().await.unwrap();
    let off = template(&shared, &["--set", "networkPolicy.enabled=true"])
        .await
        .unwrap();
    assert!(!off.contains("--otlp-endpoint"), "{off}");
    for (endpoint, port) in [
        ("http://collector:4318", 4318),
        ("http://[::1]:14318/otlp", 14318),
        ("https://collector.example/otlp", 443),
        ("http://collector", 80),
    ] {
        let value = format!("networkPolicy.enabled=true,otlp.endpoint={endpoint}");
        let yaml = template(&shared, &["--set", &value]).await.unwrap();
        let is_let_out = |yaml: &str| {
            let objects: Vec<Value> = serde_saphyr::from_multiple(yaml).unwrap();
            let policy = objects.iter().find(|object| object["kind"] == "NetworkPolicy");
            let rules = policy.unwrap()["spec"]["egress"].as_array().unwrap().clone();
            rules
                .iter()
                .any(|rule| rule["ports"] == json!([{"protocol": "TCP", "port": port}]))
        };
        assert!(is_let_out(&yaml) && !is_let_out(&off), "{yaml}");
        assert!(yaml.contains(&format!("--otlp-endpoint={endpoint}")), "{yaml}");
    }
}
