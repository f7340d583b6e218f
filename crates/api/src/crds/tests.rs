use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::{Value, json};

use super::crds;
use crate::{
    NatsSystem, PlacementPolicy,
    duration::GoDuration,
    policy::{ClientKind, Mode, PlacementPolicySpec},
    policy_status::{
        MAX_ADVICE, MAX_FINDINGS, MAX_LOCATIONS, MAX_OPERATIONS, MAX_RECENT_ACTIONS, PlacementPolicyStatus,
    },
    system::{NamespacesFrom, NatsSystemSpec},
    system_status::{MAX_CLUSTERS, MAX_ROUND_TRIPS, MAX_VERSIONS, NatsSystemStatus},
};

fn committed(plural: &str) -> CustomResourceDefinition {
    let path = format!("{}/../../crds/{plural}.yaml", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[test]
fn the_committed_crds_are_what_the_types_generate() {
    for crd in crds() {
        let plural = &crd.spec.names.plural;
        assert!(
            committed(plural) == crd,
            "crds/{plural}.yaml is stale: run `cargo xtask crds`"
        );
    }
}

#[test]
fn names_and_columns_are_those_of_the_contract() {
    let described: Vec<Vec<String>> = crds().iter().map(names_and_columns).collect();
    let natssystem =
        "natssystems.leeward.dev natssys nats Servers Clusters Version Policies Ready Reason Age";
    let policy = "placementpolicies.leeward.dev plp nats Account Mode Home In-Place Ready Reason Age \
        Share/1 Observed/1 Progressing/1 Evaluated/1";
    assert_eq!(described[0], natssystem.split_whitespace().collect::<Vec<_>>());
    assert_eq!(described[1], policy.split_whitespace().collect::<Vec<_>>());
}

fn names_and_columns(crd: &CustomResourceDefinition) -> Vec<String> {
    let names = &crd.spec.names;
    let version = &crd.spec.versions[0];
    assert_eq!(
        (version.name.as_str(), crd.spec.scope.as_str()),
        ("v1alpha1", "Namespaced")
    );
    assert!(
        version
            .subresources
            .as_ref()
            .is_some_and(|subresources| subresources.status.is_some())
    );
    let mut words: Vec<String> = crd.metadata.name.iter().cloned().collect();
    words.extend(names.short_names.iter().flatten().cloned());
    words.extend(names.categories.iter().flatten().cloned());
    words.extend(
        version
            .additional_printer_columns
            .iter()
            .flatten()
            .map(|column| match column.priority {
                Some(priority) => format!("{}/{priority}", column.name),
                None => column.name.clone(),
            }),
    );
    words
}

/// Every schema of both resources with its path, as JSON.
fn schemas() -> Vec<(String, Value)> {
    let mut found = Vec::new();
    for crd in crds() {
        let schema = crd.spec.versions[0]
            .schema
            .as_ref()
            .unwrap()
            .open_api_v3_schema
            .as_ref()
            .unwrap();
        collect(
            &crd.spec.names.kind,
            &serde_json::to_value(schema).unwrap(),
            &mut found,
        );
    }
    found
}

fn collect(path: &str, schema: &Value, found: &mut Vec<(String, Value)>) {
    found.push((path.to_owned(), schema.clone()));
    for (name, child) in schema["properties"].as_object().into_iter().flatten() {
        collect(&format!("{path}.{name}"), child, found);
    }
    for inner in ["items", "additionalProperties"] {
        if schema[inner].is_object() {
            collect(&format!("{path}[]"), &schema[inner], found);
        }
    }
}

/// The fields of Kubernetes' own types, which these types only embed.
fn is_foreign(path: &str) -> bool {
    path.contains(".conditions") || path.contains(".selector.")
}

#[test]
fn every_field_is_described_and_nothing_is_nullable() {
    for (path, schema) in schemas() {
        let is_field = path.matches('.').count() > 1 && !path.ends_with("[]");
        let description = schema["description"].as_str().unwrap_or_default();
        assert!(
            !is_field || is_foreign(&path) || description.len() > 5,
            "{path} has no description"
        );
        assert!(
            !description.replace("\n\n", "").contains('\n'),
            "{path}: {description:?}"
        );
        assert_eq!(schema["nullable"], Value::Null, "{path} is nullable");
        assert_ne!(
            schema["default"],
            json!({}),
            "{path} is stored though it holds nothing"
        );
        let format = schema["format"].as_str().unwrap_or("int32");
        assert!(
            ["int32", "int64", "date-time"].contains(&format),
            "{path} has the format {format}"
        );
    }
}

#[test]
fn every_list_says_how_it_merges_and_how_long_it_may_be() {
    for (path, schema) in schemas() {
        if schema["type"] == "array" && !path.contains(".selector.") {
            assert!(
                schema["x-kubernetes-list-type"].is_string(),
                "{path} has no list type"
            );
            assert!(schema["maxItems"].is_number(), "{path} has no bound");
        }
    }
}

#[test]
fn the_caps_in_the_schema_are_the_published_ones() {
    let schemas = schemas();
    let caps = [
        ("PlacementPolicy.status.findings", MAX_FINDINGS),
        ("PlacementPolicy.status.operations", MAX_OPERATIONS),
        ("PlacementPolicy.status.recentActions", MAX_RECENT_ACTIONS),
        ("PlacementPolicy.status.locations", MAX_LOCATIONS),
        ("PlacementPolicy.status.advice", MAX_ADVICE),
        ("NatsSystem.status.clusters", MAX_CLUSTERS),
        ("NatsSystem.status.roundTrips", MAX_ROUND_TRIPS),
        ("NatsSystem.status.clusters[].versions", MAX_VERSIONS),
    ];
    for (path, cap) in caps {
        let schema = &schemas.iter().find(|(found, _)| found == path).unwrap().1;
        assert_eq!(schema["maxItems"], json!(cap), "{path}");
    }
}

fn default_of<'a>(schemas: &'a [(String, Value)], path: &str) -> &'a Value {
    let (_, schema) = schemas
        .iter()
        .find(|(found, _)| found == path)
        .unwrap_or_else(|| panic!("no {path}"));
    &schema["default"]
}

/// Checks that each value which an object read without the apiserver gets is also the schema's default.
fn agrees(schemas: &[(String, Value)], path: &str, value: &Value, given: &Value) {
    for (name, value) in value.as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        let given = &given[name];
        if given.is_null() {
            assert_eq!(default_of(schemas, &path), value, "{path}");
        }
        agrees(schemas, &path, value, given);
    }
}

#[test]
fn a_policy_read_without_the_apiserver_gets_the_defaults_of_the_schema() {
    let minimal = json!({"systemRef": {"name": "prod"}, "credentialsRef": {"name": "orders"}});
    let spec: PlacementPolicySpec = serde_json::from_value(minimal.clone()).unwrap();
    agrees(
        &schemas(),
        "PlacementPolicy.spec",
        &serde_json::to_value(&spec).unwrap(),
        &minimal,
    );

    assert_eq!(spec.mode, Mode::Observe);
    assert_eq!(
        (spec.suspend, spec.priority, spec.system_ref.namespace),
        (false, 0, None)
    );
    assert_eq!(
        (
            spec.home.min_connections,
            spec.home.majority_percent,
            spec.home.hysteresis_percent
        ),
        (5, 60, 10)
    );
    assert_eq!(spec.home.stabilization_window, GoDuration::from_mins(10));
    assert_eq!(spec.clients.kinds, [ClientKind::Client]);
    assert!(spec.streams.is_everything() && spec.consumers.is_everything());
    assert!(spec.actions.consumer_step_down.enabled && spec.actions.stream_step_down.enabled);
    assert!(spec.actions.stream_placement.enabled);
    assert_eq!(spec.actions.stream_placement.timeout, GoDuration::from_hours(1));
    assert_eq!(spec.actions.stream_placement.max_bytes(), Ok(None));
    assert_eq!(
        (spec.disruption.max_concurrent, spec.disruption.max_attempts),
        (4, 3)
    );
    assert_eq!(spec.disruption.cooldown, GoDuration::from_mins(30));
    assert_eq!(spec.report.max_findings, 20);
}

#[test]
fn a_system_read_without_the_apiserver_gets_the_defaults_of_the_schema() {
    let minimal = json!({"servers": ["nats://127.0.0.1:4222"], "tls": {"caRef": {"name": "ca"}}});
    let spec: NatsSystemSpec = serde_json::from_value(minimal.clone()).unwrap();
    agrees(
        &schemas(),
        "NatsSystem.spec",
        &serde_json::to_value(&spec).unwrap(),
        &minimal,
    );

    assert_eq!(spec.observe_interval, GoDuration::from_secs(30));
    assert_eq!(
        (spec.limits.step_downs, spec.limits.moves, spec.suspend),
        (16, 1, false)
    );
    assert_eq!(spec.allowed_namespaces.from, NamespacesFrom::Same);
    assert_eq!(spec.tls.unwrap().ca_ref.unwrap().key, "ca.crt");
}

#[test]
fn a_part_of_an_object_keeps_the_defaults_of_its_siblings() {
    let spec: PlacementPolicySpec = serde_json::from_value(json!({
        "systemRef": {"name": "prod"}, "credentialsRef": {"name": "orders"},
        "actions": {"streamPlacement": {"enabled": false, "maxBytes": "10Gi"}},
        "home": {"majorityPercent": 80},
    }))
    .unwrap();
    assert_eq!(spec.actions.stream_placement.timeout, GoDuration::from_hours(1));
    assert_eq!(spec.actions.stream_placement.max_bytes(), Ok(Some(10 << 30)));
    assert!(spec.actions.stream_step_down.enabled);
    assert_eq!((spec.home.majority_percent, spec.home.min_connections), (80, 5));
}

#[test]
fn statuses_read_back_as_they_were_written() {
    let policy: Value = serde_saphyr::from_str(include_str!("policy_status.yaml")).unwrap();
    let status: PlacementPolicyStatus = serde_json::from_value(policy.clone()).unwrap();
    assert_eq!(serde_json::to_value(&status).unwrap(), policy);
    let system: Value = serde_saphyr::from_str(include_str!("system_status.yaml")).unwrap();
    let status: NatsSystemStatus = serde_json::from_value(system.clone()).unwrap();
    assert_eq!(serde_json::to_value(&status).unwrap(), system);
}

#[test]
fn an_empty_status_holds_nothing() {
    assert_eq!(
        serde_json::to_value(PlacementPolicyStatus::default()).unwrap(),
        json!({})
    );
    assert_eq!(
        serde_json::to_value(NatsSystemStatus::default()).unwrap(),
        json!({})
    );
}

#[test]
fn both_kinds_belong_to_the_published_group() {
    use kube::Resource as _;
    assert_eq!(NatsSystem::group(&()), crate::GROUP);
    assert_eq!(PlacementPolicy::group(&()), crate::GROUP);
}
