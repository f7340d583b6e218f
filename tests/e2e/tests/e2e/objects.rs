//! What the API server refuses, and what it takes: the newest one, and the oldest that the chart installs on.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use leeward_e2e::shared_kube::SharedKube;
use leeward_lab::kube::{Kind, ObjectClient};
use leeward_lab::tools::KubeVersion;
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
struct Refused {
    name: String,
    expect: Vec<String>,
    object: Value,
}

/// `shows` has JSON pointers.
#[derive(Deserialize)]
struct Taken {
    name: String,
    shows: BTreeMap<String, Value>,
    object: Value,
}

#[tokio::test]
async fn every_bad_object_is_refused_with_the_field_and_the_rule() {
    bad_objects_are_refused(&SharedKube::get().await.unwrap()).await;
}

#[tokio::test]
async fn every_object_at_an_edge_is_taken_and_holds_what_was_meant() {
    objects_at_an_edge_are_taken(&SharedKube::get().await.unwrap()).await;
}

#[tokio::test]
async fn every_example_is_taken_and_shows_its_defaults() {
    examples_are_taken(&SharedKube::get().await.unwrap()).await;
}

#[tokio::test]
async fn the_oldest_kubernetes_refuses_and_takes_the_same() {
    let oldest = SharedKube::start_version(KubeVersion::V1_29).await.unwrap();
    let version = oldest.kube().kubectl(&["version"]).await.unwrap();
    assert!(version.contains("Server Version: v1.29."), "{version}");
    bad_objects_are_refused(&oldest).await;
    objects_at_an_edge_are_taken(&oldest).await;
    examples_are_taken(&oldest).await;
}

async fn bad_objects_are_refused(shared: &SharedKube) {
    let text = include_str!("../../fixtures/refused.yaml");
    let cases: Vec<Refused> = serde_saphyr::from_multiple(text).unwrap();
    assert!(cases.len() >= 120, "{} cases", cases.len());
    let objects = shared.kube().objects().await.unwrap();
    let mut wrong = Vec::new();
    for Refused { name, expect, object } in cases {
        match create(&objects, &object).await {
            Ok(_) => wrong.push(format!("{name}: it was taken")),
            Err(message) => {
                let missing = expect.iter().filter(|text| !message.contains(*text));
                wrong.extend(missing.map(|text| format!("{name}: {text:?} is not in {message}")));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

async fn objects_at_an_edge_are_taken(shared: &SharedKube) {
    let cases: Vec<Taken> = serde_saphyr::from_multiple(include_str!("../../fixtures/taken.yaml")).unwrap();
    let objects = shared.kube().objects().await.unwrap();
    let mut wrong = Vec::new();
    for Taken { name, shows, object } in cases {
        match create(&objects, &object).await {
            Err(message) => wrong.push(format!("{name}: {message}")),
            Ok(stored) => {
                let other = shows
                    .iter()
                    .filter(|(path, value)| stored.pointer(path) != Some(value));
                wrong.extend(other.map(|(path, _)| format!("{name}: {path} is {:?}", stored.pointer(path))));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// As `kubectl apply` does, which validates strictly; nothing stays behind.
async fn create(objects: &ObjectClient, object: &Value) -> Result<Value, String> {
    let kind = match object["kind"].as_str() {
        Some("NatsSystem") => Kind::NatsSystem,
        Some("PlacementPolicy") => Kind::PlacementPolicy,
        other => panic!("a case of the kind {other:?}"),
    };
    let created = objects.would_create(kind, object).await;
    created.map_err(|error| format!("{error:#}"))
}

async fn examples_are_taken(shared: &SharedKube) {
    shared.kube().create_namespace("examples").await.unwrap();
    let folder = shared.folder().join("examples");
    let written = write_examples(&folder);
    assert!(written >= 25, "{written} examples");
    let folder = folder.display().to_string();
    let args = ["apply", "--namespace", "examples", "--filename", &folder];
    let said = shared.kube().kubectl(&args).await;
    assert!(said.is_ok(), "{:#}", said.unwrap_err());
    let spec = spec_of_orders(shared, "examples").await;
    assert_eq!(spec["home"]["majorityPercent"], 60);
    assert_eq!(spec["disruption"]["maxAttempts"], 3);
}

/// One file for each example, named after it, with those of its objects that are for this API server; returns how many
/// objects there are.
fn write_examples(folder: &Path) -> usize {
    std::fs::create_dir_all(folder).unwrap();
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples"));
    let mut written = 0;
    for path in examples(root) {
        let text = std::fs::read_to_string(&path).unwrap();
        let objects: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
        let own: Vec<&Value> = objects.iter().filter(|object| is_own(object)).collect();
        if own.is_empty() {
            continue;
        }
        written += own.len();
        let name = path.strip_prefix(root).unwrap().display().to_string();
        let list = json!({"apiVersion": "v1", "kind": "List", "items": own});
        let file = folder.join(format!("{}.json", name.replace('/', "-")));
        std::fs::write(file, list.to_string()).unwrap();
    }
    written
}

/// The examples for Kubernetes, those in folders included. What pipelines read has no references to a system.
fn examples(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("ci") {
            found.extend(examples(&path));
        } else if path.extension().is_some_and(|extension| extension == "yaml") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Objects of other kinds, such as those of Argo CD and Flux, are not for this API server.
fn is_own(object: &Value) -> bool {
    let version = object["apiVersion"].as_str();
    version.is_some_and(|version| version.starts_with("leeward.dev/"))
}

async fn spec_of_orders(shared: &SharedKube, namespace: &str) -> Value {
    let args = [
        "get",
        "placementpolicy",
        "orders",
        "--namespace",
        namespace,
        "--output",
        "json",
    ];
    let policy: Value = serde_json::from_str(&shared.kube().kubectl(&args).await.unwrap()).unwrap();
    policy["spec"].clone()
}

/// A list that merges by name would keep the default budget beside those of the policy.
#[tokio::test]
async fn budgets_of_ones_own_take_the_place_of_the_default_one_however_they_are_applied() {
    let shared = SharedKube::get().await.unwrap();
    let ways = [
        ("by-the-server", "--server-side=true"),
        ("by-the-client", "--server-side=false"),
    ];
    for (namespace, how) in ways {
        shared.kube().create_namespace(namespace).await.unwrap();
        apply_limits(&shared, how, namespace, &json!({})).await;
        let by_default = spec_of_orders(&shared, namespace).await;
        assert_eq!(by_default["disruption"]["budgets"][0]["name"], "default", "{how}");

        let own = json!([{"name": "moves", "actions": ["StreamPlacement"], "max": 1, "per": "1h"}]);
        apply_limits(&shared, how, namespace, &json!({"budgets": own})).await;
        let spec = spec_of_orders(&shared, namespace).await;
        assert_eq!(spec["disruption"]["budgets"], own, "{how}");
        assert_eq!(spec["disruption"]["gates"]["maxReplicaLag"], 256, "{how}");

        apply_limits(&shared, how, namespace, &json!({"budgets": []})).await;
        let spec = spec_of_orders(&shared, namespace).await;
        assert_eq!(spec["disruption"]["budgets"], json!([]), "{how}");
    }
}

async fn apply_limits(shared: &SharedKube, how: &str, namespace: &str, disruption: &Value) {
    let policy = json!({
        "apiVersion": "leeward.dev/v1alpha1",
        "kind": "PlacementPolicy",
        "metadata": {"name": "orders", "namespace": namespace},
        "spec": {
            "systemRef": {"name": "prod"},
            "credentialsRef": {"name": "orders"},
            "disruption": disruption,
        },
    });
    let path = shared.folder().join(format!("{namespace}.json"));
    std::fs::write(&path, policy.to_string()).unwrap();
    let path = path.display().to_string();
    shared
        .kube()
        .kubectl(&["apply", how, "--filename", &path])
        .await
        .unwrap();
}
