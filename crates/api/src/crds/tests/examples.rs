//! The files in `examples/`.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{schema_at, schemas};
use crate::{PlacementPolicySpec, system::NatsSystemSpec};

/// Every object of an example: its kind and its specification.
fn specifications(name: &str) -> Vec<(String, Value)> {
    let path = format!("{}/../../examples/{name}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let objects: Vec<Value> =
        serde_saphyr::from_multiple(&text).unwrap_or_else(|error| panic!("{path}: {error}"));
    let kind_and_spec = |object: Value| {
        (
            object["kind"].as_str().unwrap().to_owned(),
            object["spec"].clone(),
        )
    };
    objects.into_iter().map(kind_and_spec).collect()
}

fn examples() -> Vec<String> {
    let folder = format!("{}/../../examples", env!("CARGO_MANIFEST_DIR"));
    let entries = std::fs::read_dir(folder).unwrap().map(Result::unwrap);
    entries
        .filter(|entry| entry.path().is_file())
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect()
}

/// The path of every field that is given, as the schema's paths are written.
fn given(path: &str, value: &Value, found: &mut Vec<(String, Value)>) {
    found.push((path.to_owned(), value.clone()));
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                given(&format!("{path}.{name}"), field, found);
            }
        }
        Value::Array(items) => {
            for item in items {
                given(&format!("{path}[]"), item, found);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn given_in(name: &str) -> Vec<(String, Value)> {
    let mut found = Vec::new();
    for (kind, spec) in specifications(name) {
        given(&format!("{kind}.spec"), &spec, &mut found);
    }
    found
}

#[test]
fn the_full_example_names_every_field() {
    let given: BTreeSet<String> = given_in("full.yaml").into_iter().map(|(path, _)| path).collect();
    let fields = schemas().into_iter().map(|(path, _)| path);
    let missing: Vec<String> = fields
        .filter(|path| path.contains(".spec") && !path.ends_with("[]"))
        // Plans are written by Leeward alone.
        .filter(|path| !path.starts_with("PlacementPlan."))
        .filter(|path| !given.contains(path))
        .collect();
    assert_eq!(missing, [""; 0]);
}

/// What the full example shows otherwise than its default says so in a comment.
const NOT_THE_DEFAULT: [&str; 7] = [
    "NatsSystem.spec.allowedNamespaces.from",
    "PlacementPolicy.spec.mode",
    "PlacementPolicy.spec.home.onNoMajority",
    "PlacementPolicy.spec.clients.kinds",
    "PlacementPolicy.spec.disruption.budgets",
    "PlacementPolicy.spec.disruption.windows[].actions",
    "PlacementPolicy.spec.disruption.budgets[].actions",
];

#[test]
fn the_full_example_shows_every_default() {
    let schemas = schemas();
    for (path, value) in given_in("full.yaml") {
        let is_foreign = path.contains(".selector") || path.contains(".metadata.");
        if is_foreign || value.is_object() || NOT_THE_DEFAULT.contains(&path.as_str()) {
            continue;
        }
        let default = &schema_at(&schemas, &path)["default"];
        assert!(
            default.is_null() || *default == value,
            "{path} is {value}, by default {default}"
        );
    }
}

#[test]
fn the_full_example_begins_its_budgets_with_the_default_one() {
    let schemas = schemas();
    let default = &schema_at(&schemas, "PlacementPolicy.spec.disruption.budgets")["default"];
    let specifications = specifications("full.yaml");
    let (_, policy) = specifications
        .iter()
        .find(|(kind, _)| kind == "PlacementPolicy")
        .unwrap();
    assert_eq!(policy["disruption"]["budgets"][0], default[0]);
}

#[test]
fn every_example_names_fields_that_exist_and_can_be_read() {
    let schemas = schemas();
    let examples = examples();
    assert!(examples.len() >= 5, "{examples:?}");
    for name in examples {
        for (path, _) in given_in(&name) {
            let is_foreign = path.contains(".selector.") || path.contains(".metadata.");
            let is_known = schemas.iter().any(|(known, _)| *known == path);
            assert!(is_foreign || is_known, "{name}: there is no field {path}");
        }
        for (kind, spec) in specifications(&name) {
            let read = match kind.as_str() {
                "NatsSystem" => serde_json::from_value::<NatsSystemSpec>(spec).err(),
                "PlacementPolicy" => serde_json::from_value::<PlacementPolicySpec>(spec).err(),
                _ => panic!("{name}: {kind}"),
            };
            assert!(read.is_none(), "{name}: {kind}: {read:?}");
        }
    }
}
