//! Objects in the documents and the examples match the types and the CRDs, without unknown fields; values of the chart
//! that the documents name exist in the chart.
//!
//! The rules of the CRDs are left to the apiserver of the end-to-end tests, which receives every example. The examples
//! of `docs/policies.md` equal those of `examples/policies`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use anyhow::{Context as _, ensure};
use leeward_api::crds::crds;
use leeward_api::policy::PlacementPolicy;
use leeward_api::system::NatsSystem;
use serde_json::Value;

use crate::generated::repository;
use crate::links::{documents, files};

/// The code blocks of a document that are YAML.
fn blocks(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut block: Option<String> = None;
    for line in text.lines() {
        match &mut block {
            None if line.trim() == "```yaml" => block = Some(String::new()),
            None => {}
            Some(_) if line.trim() == "```" => found.extend(block.take()),
            Some(lines) => {
                lines.push_str(line);
                lines.push('\n');
            }
        }
    }
    found
}

/// The objects of a YAML text.
fn objects(text: &str, place: &str) -> anyhow::Result<Vec<Value>> {
    let objects: Vec<Value> = serde_saphyr::from_multiple(text).with_context(|| place.to_owned())?;
    Ok(objects.into_iter().filter(|object| !object.is_null()).collect())
}

fn is_own(object: &Value) -> bool {
    let version = object["apiVersion"].as_str();
    version.is_some_and(|version| version.starts_with("leeward.dev/"))
}

/// The CRDs by kind. Generating them takes a moment.
static CRDS: LazyLock<BTreeMap<String, Value>> = LazyLock::new(|| {
    let crds = crds().into_iter();
    crds.filter_map(|crd| Some((crd.spec.names.kind.clone(), serde_json::to_value(crd).ok()?)))
        .collect()
});

/// Checks an object against its kind; an unknown kind is an error too.
fn check(object: &Value) -> anyhow::Result<()> {
    let kind = object["kind"].as_str().context("there is no kind")?;
    let crd = CRDS
        .get(kind)
        .with_context(|| format!("there is no kind {kind}"))?;
    let version = &crd["spec"]["versions"][0];
    let name = version["name"].as_str().context("the CRD has no version")?;
    ensure!(
        object["apiVersion"] == format!("leeward.dev/{name}"),
        "apiVersion of {kind}"
    );
    let spec = &version["schema"]["openAPIV3Schema"]["properties"]["spec"];
    let unknown = unknown_fields(spec, &object["spec"], "spec");
    ensure!(unknown.is_empty(), "unknown fields: {}", unknown.join(", "));
    match kind {
        "NatsSystem" => drop(serde_json::from_value::<NatsSystem>(object.clone())?),
        _ => drop(serde_json::from_value::<PlacementPolicy>(object.clone())?),
    }
    Ok(())
}

/// The paths of fields that are not in a schema.
fn unknown_fields(schema: &Value, value: &Value, path: &str) -> Vec<String> {
    match value {
        Value::Object(fields) => {
            let inner = fields.iter().flat_map(|(name, value)| {
                let path = format!("{path}.{name}");
                let others = &schema["additionalProperties"];
                match schema["properties"].get(name) {
                    Some(schema) => unknown_fields(schema, value, &path),
                    None if others.is_object() => unknown_fields(others, value, &path),
                    None => vec![path],
                }
            });
            inner.collect()
        }
        Value::Array(items) => {
            let inner = items.iter().enumerate();
            inner
                .flat_map(|(index, item)| unknown_fields(&schema["items"], item, &format!("{path}[{index}]")))
                .collect()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    }
}

/// The objects of Leeward's own kinds that the documents show, each with its document.
fn shown() -> anyhow::Result<Vec<(String, Value)>> {
    let mut shown = Vec::new();
    for document in documents()? {
        let place = document.display().to_string();
        let text = fs::read_to_string(repository().join(&document))?;
        for block in blocks(&text) {
            let own = objects(&block, &place)?.into_iter().filter(is_own);
            shown.extend(own.map(|object| (place.clone(), object)));
        }
    }
    Ok(shown)
}

/// The objects of all examples, each with its file.
fn examples(folder: &str) -> anyhow::Result<Vec<(String, Value)>> {
    let mut found = Vec::new();
    for path in files(&repository().join(folder), "yaml")? {
        let place = path.display().to_string();
        let objects = objects(&fs::read_to_string(&path)?, &place)?;
        ensure!(!objects.is_empty(), "{place} is empty");
        found.extend(objects.into_iter().map(|object| (place.clone(), object)));
    }
    Ok(found)
}

/// Without Kubernetes, as for a reader of a file, the references may be left out.
fn with_references(object: &Value, place: &str) -> Value {
    let mut object = object.clone();
    if object["kind"] == "PlacementPolicy" && place.contains("/ci/") {
        for name in ["systemRef", "credentialsRef"] {
            if object["spec"][name].is_null() {
                object["spec"][name] = serde_json::json!({"name": "left-out"});
            }
        }
    }
    object
}

fn check_all(found: &[(String, Value)]) -> Vec<String> {
    let own = found.iter().filter(|(_, object)| is_own(object));
    let failed = own.filter_map(|(place, object)| {
        let error = check(&with_references(object, place)).err()?;
        Some(format!("{place}: {}: {error:#}", object["metadata"]["name"]))
    });
    failed.collect()
}

#[test]
fn every_object_in_the_documents_is_one_of_its_kind() {
    let shown = shown().unwrap();
    assert!(shown.len() >= 12, "{} objects", shown.len());
    let wrong = check_all(&shown);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_example_is_yaml_and_those_of_our_kinds_are_of_them() {
    let examples = examples("examples").unwrap();
    assert!(examples.len() >= 20, "{} objects", examples.len());
    let wrong = check_all(&examples);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn policies_by_example_are_the_examples_in_their_folder() {
    let page = Path::new("docs/policies.md");
    let text = fs::read_to_string(repository().join(page)).unwrap();
    let shown: Vec<Value> = blocks(&text)
        .iter()
        .flat_map(|block| objects(block, "docs/policies.md").unwrap())
        .collect();
    let there: Vec<(String, Value)> = examples("examples/policies").unwrap();
    for (place, object) in &there {
        assert!(shown.contains(object), "docs/policies.md does not show {place}");
    }
    for object in &shown {
        let is_there = there.iter().any(|(_, other)| other == object);
        assert!(
            is_there,
            "examples/policies has no {}",
            object["metadata"]["name"]
        );
    }
}

#[test]
fn a_field_that_no_kind_has_is_found() {
    let text = "apiVersion: leeward.dev/v1alpha1\nkind: PlacementPolicy\nmetadata: {name: a}\nspec:\n  systemRef: {name: a}\n  \
                credentialsRef: {name: a}\n  disruption: {budgets: [{name: a, max: 1, each: 1h}]}\n";
    let object = &objects(text, "here").unwrap()[0];
    let error = check(object).unwrap_err().to_string();
    assert!(error.contains("spec.disruption.budgets[0].each"), "{error}");
}

#[test]
fn blocks_of_other_languages_are_left_out() {
    assert_eq!(blocks("```sh\na\n```\n```yaml\nb: 1\n```\n"), ["b: 1\n"]);
}

/// The default at a path of the chart's values.
fn value<'a>(values: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(values, |value, name| value.get(name))
}

#[test]
fn values_that_the_documents_set_are_the_charts() {
    let text = fs::read_to_string(repository().join("charts/leeward/values.yaml")).unwrap();
    let values: Value = serde_saphyr::from_str(&text).unwrap();
    let page = fs::read_to_string(repository().join("docs/install.md")).unwrap();
    let rows = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once("` | `"));
    let rows: Vec<(&str, &str)> = rows
        .filter_map(|(path, rest)| Some((path, rest.split_once("` |")?.0)))
        .collect();
    assert!(rows.len() >= 10, "{rows:?}");
    for (path, default) in rows {
        let default: Value = serde_saphyr::from_str(default).unwrap();
        assert_eq!(value(&values, path), Some(&default), "{path}");
    }
    for document in documents().unwrap() {
        let text = fs::read_to_string(repository().join(&document)).unwrap();
        for path in set(&text) {
            assert!(
                value(&values, &path).is_some(),
                "{}: --set {path}",
                document.display()
            );
        }
    }
}

fn set(text: &str) -> Vec<String> {
    let rests = text.split("--set ").skip(1);
    let paths = rests.filter_map(|rest| rest.trim_start_matches('\'').split_once('='));
    paths.map(|(path, _)| path.to_owned()).collect()
}
