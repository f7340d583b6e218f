//! What the API server refuses, and what it takes.

use leeward_e2e::shared_kube::SharedKube;
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
struct Refused {
    name: String,
    expect: Vec<String>,
    object: Value,
}

#[tokio::test]
async fn every_bad_object_is_refused_with_the_field_and_the_rule() {
    let shared = SharedKube::get().await.unwrap();
    let text = include_str!("../../fixtures/refused.yaml");
    let cases: Vec<Refused> = serde_saphyr::from_multiple(text).unwrap();
    assert!(cases.len() >= 25, "{} cases", cases.len());
    let mut wrong = Vec::new();
    for Refused { name, expect, object } in cases {
        match create(&shared, &object).await {
            Ok(_) => wrong.push(format!("{name}: it was taken")),
            Err(message) => {
                let missing = expect.iter().filter(|text| !message.contains(*text));
                wrong.extend(missing.map(|text| format!("{name}: {text:?} is not in {message}")));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// `kubectl create` validates strictly, as `kubectl apply` does, and a refused object leaves nothing behind.
async fn create(shared: &SharedKube, object: &Value) -> Result<String, String> {
    let path = shared.folder().join("refused.json");
    std::fs::write(&path, object.to_string()).unwrap();
    let path = path.display().to_string();
    let created = shared
        .kube()
        .kubectl(&["create", "--dry-run=server", "--filename", &path])
        .await;
    created.map_err(|error| format!("{error:#}"))
}

#[tokio::test]
async fn every_example_is_taken_and_shows_its_defaults() {
    let shared = SharedKube::get().await.unwrap();
    shared.kube().create_namespace("examples").await.unwrap();
    let folder = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples"));
    let mut applied = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "yaml") {
            let file = path.display().to_string();
            let args = ["apply", "--namespace", "examples", "--filename", &file];
            let said = shared.kube().kubectl(&args).await;
            assert!(said.is_ok(), "{}: {:#}", path.display(), said.unwrap_err());
            applied += 1;
        }
    }
    assert!(applied >= 4, "{applied} examples");
    let args = [
        "get",
        "placementpolicy",
        "orders",
        "--namespace",
        "examples",
        "--output",
        "json",
    ];
    let policy: Value = serde_json::from_str(&shared.kube().kubectl(&args).await.unwrap()).unwrap();
    assert_eq!(policy["spec"]["home"]["majorityPercent"], 60);
    assert_eq!(policy["spec"]["disruption"]["cooldown"], "30m");
}
