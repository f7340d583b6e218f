use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde_json::{Value, json};

use super::crds;
use crate::{
    NatsSystem, PlacementPolicy,
    duration::GoDuration,
    policy::{Budget, CircuitBreaker, ClientKind, Disruption, Gates, Mode, PlacementPolicySpec},
    policy_status::{
        MAX_ADVICE, MAX_BUDGETS, MAX_FAILURES, MAX_FINDINGS, MAX_LOCATIONS, MAX_OPERATIONS,
        MAX_RECENT_ACTIONS, MAX_REMEMBERED, MAX_REPLACED_TAGS, MAX_SPENT, PlacementPolicyStatus,
    },
    system::{NamespacesFrom, NatsSystemSpec},
    system_status::{MAX_CLUSTERS, MAX_ROUND_TRIPS, MAX_VERSIONS, NatsSystemStatus},
    vocabulary::ActionType,
};

mod actions;
mod examples;

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
        Share/1 Observed/1 Progressing/1 Plan/1 Budget/1 Evaluated/1";
    let plan = "placementplans.leeward.dev plan nats Policy State Done In-Place Predicted Age Actual/1 Approved/1 By/1";
    assert_eq!(described[0], natssystem.split_whitespace().collect::<Vec<_>>());
    assert_eq!(described[1], plan.split_whitespace().collect::<Vec<_>>());
    assert_eq!(described[2], policy.split_whitespace().collect::<Vec<_>>());
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
        ("PlacementPolicy.status.budgets", MAX_BUDGETS),
        ("PlacementPolicy.spec.disruption.budgets", MAX_BUDGETS),
        ("PlacementPolicy.status.breaker.failures", MAX_FAILURES),
        ("PlacementPolicy.status.advice", MAX_ADVICE),
        (
            "PlacementPolicy.status.operations[].replaces.tags",
            MAX_REPLACED_TAGS,
        ),
        ("PlacementPolicy.status.memory.assets", MAX_REMEMBERED),
        ("PlacementPolicy.status.memory.spent", MAX_SPENT),
        ("NatsSystem.status.clusters", MAX_CLUSTERS),
        ("NatsSystem.status.roundTrips", MAX_ROUND_TRIPS),
        ("NatsSystem.status.clusters[].versions", MAX_VERSIONS),
    ];
    for (path, cap) in caps {
        assert_eq!(schema_at(&schemas, path)["maxItems"], json!(cap), "{path}");
    }
}

#[test]
fn what_the_status_lists_has_room_for_what_a_policy_may_ask() {
    let schemas = schemas();
    let asked = [
        ("PlacementPolicy.spec.report.maxFindings", MAX_FINDINGS),
        ("PlacementPolicy.spec.disruption.maxConcurrent", MAX_OPERATIONS),
        (
            "PlacementPolicy.spec.disruption.circuitBreaker.failures",
            MAX_FAILURES,
        ),
    ];
    for (path, cap) in asked {
        let cap = f64::from(u32::try_from(cap).unwrap());
        assert_eq!(schema_at(&schemas, path)["maximum"], json!(cap), "{path}");
    }
}

#[test]
fn lists_whose_parts_have_a_key_are_maps_and_those_that_belong_to_one_hand_are_atomic() {
    let schemas = schemas();
    let types = [
        ("spec.disruption.budgets", "atomic"),
        ("spec.disruption.budgets[].actions", "set"),
        ("spec.disruption.windows", "atomic"),
        ("spec.disruption.windows[].actions", "set"),
        ("status.conditions", "map"),
        ("status.locations", "map"),
        ("status.budgets", "map"),
        ("status.breaker.failures", "atomic"),
        ("status.memory.assets", "atomic"),
        ("status.memory.spent", "atomic"),
    ];
    for (path, merges) in types {
        let schema = schema_at(&schemas, &format!("PlacementPolicy.{path}"));
        assert_eq!(schema["x-kubernetes-list-type"], merges, "{path}");
        let keyed = schema["x-kubernetes-list-map-keys"].is_array();
        assert_eq!(keyed, merges == "map", "{path}");
    }
}

/// Without a bound a rule's cost is that of the largest object, and the apiserver refuses to install the CRD.
#[test]
fn every_text_that_a_rule_reads_is_bounded() {
    let mut checked = 0;
    for (path, schema) in schemas() {
        let is_text = schema["type"] == "string" || schema["x-kubernetes-int-or-string"] == true;
        let is_read = path.contains(".spec.") && !path.contains("elector.") && !path.contains(".metadata[]");
        if is_text && is_read && schema["enum"].is_null() {
            assert!(schema["maxLength"].is_number(), "{path} has no bound");
            checked += 1;
        }
    }
    assert!(checked > 30, "{checked} texts");
}

/// The apiserver takes any whole number for an `int32`; the operator could not read it.
#[test]
fn no_number_of_a_status_is_negative() {
    let mut numbers = 0;
    for (path, schema) in schemas() {
        if path.contains(".status") && !is_foreign(&path) && schema["type"] == "integer" {
            assert_eq!(schema["minimum"], 0.0, "{path}");
            numbers += 1;
        }
    }
    assert!(numbers > 30, "{numbers}");
}

#[test]
fn every_number_of_a_specification_is_bounded_by_what_its_type_holds() {
    for (path, schema) in schemas() {
        if schema["type"] == "integer" && schema["format"] == "int32" {
            let bound = |name: &str| {
                schema[name]
                    .as_f64()
                    .unwrap_or_else(|| panic!("{path}: no {name}"))
            };
            assert!(bound("minimum") >= f64::from(i32::MIN), "{path}");
            assert!(bound("maximum") <= f64::from(i32::MAX), "{path}");
        }
    }
}

fn schema_at<'a>(schemas: &'a [(String, Value)], path: &str) -> &'a Value {
    let found = schemas.iter().find(|(found, _)| found == path);
    &found.unwrap_or_else(|| panic!("no {path}")).1
}

fn default_of<'a>(schemas: &'a [(String, Value)], path: &str) -> &'a Value {
    &schema_at(schemas, path)["default"]
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
    assert_eq!(spec.actions.stream_placement.max_stall, GoDuration::from_secs(10));
    assert!(spec.actions.stream_placement.refresh_dependents);
    assert_eq!(spec.disruption.cooldown, GoDuration::from_mins(30));
    the_limits_are_those_of_the_contract(&spec.disruption);
    assert_eq!(spec.report.max_findings, 20);
}

fn the_limits_are_those_of_the_contract(disruption: &Disruption) {
    let budget = Budget {
        name: "default".to_owned(),
        actions: Vec::new(),
        max: IntOrString::String("10%".to_owned()),
        per: Some(GoDuration::from_mins(10)),
        schedule: None,
        duration: None,
        time_zone: None,
    };
    let gates = Gates {
        max_replica_lag: 256,
        max_ack_pending: None,
        quiet_after_leader_change: GoDuration::from_mins(1),
        quiet_after_server_start: GoDuration::from_mins(2),
    };
    let breaker = CircuitBreaker {
        failures: 3,
        within: GoDuration::from_mins(30),
        open_for: GoDuration::from_hours(1),
    };
    assert_eq!(
        (&disruption.budgets, &disruption.windows),
        (&vec![budget], &Vec::new())
    );
    assert_eq!(
        (&disruption.gates, &disruption.circuit_breaker),
        (&gates, &breaker)
    );
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
        (16, 4, false)
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
        "disruption": {
            "budgets": [{"name": "moves", "actions": ["StreamPlacement"], "max": 1}],
            "gates": {"maxAckPending": 0}, "circuitBreaker": {"failures": 5},
        },
    }))
    .unwrap();
    assert_eq!(spec.actions.stream_placement.timeout, GoDuration::from_hours(1));
    assert_eq!(spec.actions.stream_placement.max_bytes(), Ok(Some(10 << 30)));
    assert!(spec.actions.stream_step_down.enabled);
    assert_eq!((spec.home.majority_percent, spec.home.min_connections), (80, 5));
    let Disruption {
        budgets,
        windows,
        gates,
        circuit_breaker,
        ..
    } = spec.disruption;
    assert_eq!(
        budgets.len(),
        1,
        "the default budget is for a policy that gives none"
    );
    assert_eq!((&budgets[0].max, budgets[0].per), (&IntOrString::Int(1), None));
    assert_eq!(budgets[0].actions, [ActionType::StreamPlacement]);
    assert!(windows.is_empty());
    assert_eq!((gates.max_ack_pending, gates.max_replica_lag), (Some(0), 256));
    assert_eq!(
        (circuit_breaker.failures, circuit_breaker.open_for),
        (5, GoDuration::from_hours(1))
    );
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

/// An empty list says that there is no limit; left out, it would come back as the default budget.
#[test]
fn limits_read_back_as_they_were_written_and_no_budget_stays_none() {
    let given = json!({
        "maxConcurrent": 1, "cooldown": "1h", "maxAttempts": 2, "maxPayback": "12h", "budgets": [],
        "windows": [
            {"kind": "Allow", "schedule": "0 22 * * *", "duration": "7h", "timeZone": "Europe/Berlin"},
            {"kind": "Deny", "actions": ["StreamPlacement", "StreamStepDown"], "schedule": "@monthly", "duration": "24h"},
        ],
        "gates": {"maxReplicaLag": 0, "maxAckPending": 1000, "quietAfterLeaderChange": "0s", "quietAfterServerStart": "5m"},
        "circuitBreaker": {"failures": 1, "within": "10m", "openFor": "30m"},
    });
    let read: Disruption = serde_json::from_value(given.clone()).unwrap();
    assert_eq!(serde_json::to_value(&read).unwrap(), given);

    let budget = json!({
        "name": "nights", "actions": ["ConsumerStepDown"], "max": "25%", "per": "1h",
        "schedule": "@daily", "duration": "6h", "timeZone": "America/New_York",
    });
    let read: Budget = serde_json::from_value(budget.clone()).unwrap();
    assert_eq!(serde_json::to_value(&read).unwrap(), budget);
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
