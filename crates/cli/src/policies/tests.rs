use leeward_api::policy::Mode;
use serde::Deserialize;
use serde_json::Value;

use super::*;
use crate::input::{Document, Problems, parse};
use std::time::Duration;

use crate::schema;
use leeward_api::system::LimitsSpec;

#[derive(Deserialize)]
struct Case {
    name: String,
    #[serde(default)]
    expect: Vec<String>,
    object: Value,
}

fn documents(text: &str) -> Vec<Document> {
    parse("policy.yaml", text).unwrap()
}

fn read_text(text: &str) -> Result<FromFiles, Problems> {
    from_documents(&documents(text))
}

fn read_object(object: &Value) -> Result<FromFiles, Problems> {
    read_text(&object.to_string())
}

/// What may be left out of files only.
const FREE_IN_FILES: [&str; 2] = ["a policy without systemRef", "a policy without credentialsRef"];

#[test]
fn what_the_apiserver_refuses_is_refused_in_files_with_the_same_words() {
    let text = include_str!("../../../../tests/e2e/fixtures/refused.yaml");
    let cases: Vec<Case> = serde_saphyr::from_multiple(text).unwrap();
    assert!(cases.len() >= 120, "{} cases", cases.len());
    let mut wrong = Vec::new();
    for Case { name, expect, object } in cases {
        match read_object(&object) {
            Ok(_) if FREE_IN_FILES.contains(&name.as_str()) => {}
            Ok(_) => wrong.push(format!("{name}: it was taken")),
            Err(problems) => {
                let said = problems.to_string();
                let missing = expect.iter().filter(|text| !said.contains(*text));
                wrong.extend(missing.map(|text| format!("{name}: {text:?} is not in {said}")));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_the_apiserver_takes_is_taken_in_files() {
    let text = include_str!("../../../../tests/e2e/fixtures/taken.yaml");
    let cases: Vec<Case> = serde_saphyr::from_multiple(text).unwrap();
    assert!(cases.len() >= 9, "{} cases", cases.len());
    for Case { name, object, .. } in cases {
        let read = read_object(&object);
        // Only the controller knows which hours and zones there are; here that is one step.
        if name == "a schedule whose values only the controller can judge" {
            let said = read.unwrap_err().to_string();
            assert!(said.contains("spec.disruption.windows[0]"), "{said}");
        } else {
            assert!(read.is_ok(), "{name}: {}", read.unwrap_err());
        }
    }
}

#[test]
fn every_example_is_taken() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples");
    let mut read = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            let documents = input::read(std::slice::from_ref(&path), &[]).strict().unwrap();
            let found = from_documents(&documents);
            let found = found.unwrap_or_else(|problems| panic!("{problems}"));
            assert!(!found.policies.is_empty(), "{}", path.display());
            read += 1;
        }
    }
    assert!(read >= 5, "{read} examples");
}

/// Keywords of the schemas that mean something for a specification.
const KNOWN_KEYWORDS: [&str; 19] = [
    "additionalProperties",
    "default",
    "description",
    "enum",
    "format",
    "items",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minItems",
    "minLength",
    "minimum",
    "properties",
    "required",
    "type",
    "x-kubernetes-int-or-string",
    "x-kubernetes-list-type",
    "x-kubernetes-validations",
];
/// How parts merge is the apiserver's matter.
const MERGING: [&str; 2] = ["x-kubernetes-map-type", "x-kubernetes-list-map-keys"];

fn keywords(schema: &Value, found: &mut std::collections::BTreeSet<String>) {
    let Some(fields) = schema.as_object() else { return };
    found.extend(fields.keys().cloned());
    if let Some(properties) = schema["properties"].as_object() {
        properties.values().for_each(|schema| keywords(schema, found));
    }
    keywords(&schema["items"], found);
    keywords(&schema["additionalProperties"], found);
}

/// The messages of all rules of a schema.
fn rule_messages(schema: &Value, found: &mut std::collections::BTreeSet<String>) {
    let Some(fields) = schema.as_object() else { return };
    let rules = schema["x-kubernetes-validations"]
        .as_array()
        .into_iter()
        .flatten();
    found.extend(
        rules
            .filter_map(|rule| rule["message"].as_str())
            .map(str::to_owned),
    );
    let properties = schema["properties"]
        .as_object()
        .into_iter()
        .flat_map(|all| all.values());
    let inner = ["items", "additionalProperties"]
        .iter()
        .filter_map(|key| fields.get(*key));
    properties
        .chain(inner)
        .for_each(|schema| rule_messages(schema, found));
}

#[test]
fn every_rule_of_the_schemas_has_an_object_that_breaks_it() {
    let text = include_str!("../../../../tests/e2e/fixtures/refused.yaml");
    let cases: Vec<Case> = serde_saphyr::from_multiple(text).unwrap();
    let refused = cases.iter().filter_map(|case| read_object(&case.object).err());
    let refused: Vec<String> = refused.map(|problems| problems.to_string()).collect();
    let mut rules = std::collections::BTreeSet::new();
    for kind in ["PlacementPolicy", "NatsSystem"] {
        rule_messages(&schema::of(kind).unwrap()["properties"]["spec"], &mut rules);
    }
    assert!(rules.len() >= 30, "{rules:?}");
    let unbroken = |rule: &&String| !refused.iter().any(|text| text.contains(*rule));
    let unbroken: Vec<&String> = rules.iter().filter(unbroken).collect();
    assert!(
        unbroken.is_empty(),
        "no object of refused.yaml breaks {unbroken:#?}"
    );
}

#[test]
fn the_schemas_use_no_keyword_that_is_not_looked_at() {
    for kind in ["PlacementPolicy", "NatsSystem"] {
        let schema = schema::of(kind).unwrap();
        let mut used = std::collections::BTreeSet::new();
        keywords(&schema["properties"]["spec"], &mut used);
        assert!(used.len() > 10, "{used:?}");
        for keyword in used {
            let is_known = KNOWN_KEYWORDS.contains(&keyword.as_str()) || MERGING.contains(&keyword.as_str());
            assert!(is_known, "{kind}: {keyword}");
        }
    }
}

const POLICY: &str = "apiVersion: leeward.dev/v1alpha1\nkind: PlacementPolicy\nmetadata:\n  name: orders\n";

#[test]
fn all_problems_are_told_at_once_each_with_its_place() {
    let text = format!(
        "{POLICY}spec:\n  mode: enforce\n  homes: {{}}\n  home:\n    majorityPercent: 40\n    strategy: Preferred\n---\n\
         apiVersion: leeward.dev/v1\nkind: PlacementPolicy\nmetadata: {{name: Orders}}\n"
    );
    let said = read_text(&text).unwrap_err().to_string();
    insta::assert_snapshot!(said);
}

#[test]
fn what_only_resolving_finds_has_its_place_too() {
    let text = format!(
        "{POLICY}spec:\n  disruption:\n    budgets:\n    - name: nights\n      max: 1\n      schedule: \"@daily\"\n      \
         duration: 1h\n      timeZone: Europe/Atlantis\n"
    );
    let said = read_text(&text).unwrap_err().to_string();
    assert!(
        said.starts_with("policy.yaml:12:7: spec.disruption.budgets[nights].timeZone: "),
        "{said}"
    );
}

#[test]
fn references_may_be_left_out_and_defaults_apply() {
    let found = read_text(&format!("{POLICY}spec: {{mode: Enforce}}\n")).unwrap();
    let [loaded] = &found.policies[..] else {
        panic!("{found:?}")
    };
    assert_eq!((loaded.name.as_str(), loaded.namespace.as_str()), ("orders", ""));
    assert_eq!(
        (loaded.spec.mode, loaded.spec.home.majority_percent),
        (Mode::Enforce, 60)
    );
    let origin = PolicyOrigin::File {
        path: "policy.yaml".to_owned(),
        line: 1,
    };
    assert_eq!(loaded.origin, origin);
    assert_eq!(found.system, Ok(SystemRules::default()));
    assert!(read_text(POLICY).is_ok(), "nothing in it has to be given");
}

fn named(name: &str, priority: i32) -> String {
    format!(
        "---\napiVersion: leeward.dev/v1alpha1\nkind: PlacementPolicy\nmetadata: {{name: {name}}}\nspec: {{priority: {priority}}}\n"
    )
}

#[test]
fn policies_rank_by_priority_and_then_as_they_are_written() {
    let text = named("c", 0) + &named("a", 0) + &named("b", 7);
    let found = read_text(&text).unwrap();
    let names: Vec<&str> = found.policies.iter().map(|loaded| loaded.name.as_str()).collect();
    assert_eq!(names, ["b", "c", "a"]);
}

#[test]
fn two_policies_of_one_name_are_refused() {
    let said = read_text(&(named("a", 0) + &named("a", 1)))
        .unwrap_err()
        .to_string();
    assert!(
        said.starts_with("policy.yaml:9:12: metadata.name: a second"),
        "{said}"
    );
}

const SYSTEM: &str = "---\napiVersion: leeward.dev/v1alpha1\nkind: NatsSystem\nmetadata: {name: prod}\nspec:\n  servers: [\"nats://a\"]\n";

#[test]
fn limits_of_a_system_are_read_and_other_kinds_left_alone() {
    let more = "  limits: {moves: 3}\n  observeInterval: 7s\n  suspend: true\n";
    let others = "---\napiVersion: v1\nkind: Secret\nmetadata: {name: x}\n---\n[1, 2]\n---\ntext\n";
    let text = format!("{SYSTEM}{more}{others}{}", named("a", 0));
    let found = read_text(&text).unwrap();
    let expected = SystemRules {
        limits: LimitsSpec {
            step_downs: 16,
            moves: 3,
        },
        interval: Some(Duration::from_secs(7)),
        suspended: true,
    };
    assert_eq!(found.system, Ok(expected));
    assert_eq!(
        read_text(SYSTEM).unwrap().system.unwrap().interval,
        None,
        "the default is the operator's"
    );
    let said = read_text(&SYSTEM.repeat(2)).unwrap_err().to_string();
    assert!(
        said.contains("policy.yaml:9:1: kind: a second NatsSystem"),
        "{said}"
    );
}

#[test]
fn of_several_systems_the_one_that_policies_refer_to_counts() {
    let other = SYSTEM.replace("prod", "other") + "  suspend: true\n";
    let policy = named("a", 0).replace("spec: {", "spec: {systemRef: {name: prod}, ");
    let found = read_text(&format!("{SYSTEM}{other}{policy}")).unwrap();
    assert_eq!(found.system, Ok(SystemRules::default()));
    let (found, problems) = sound(&input::parse("a.yaml", &format!("{SYSTEM}{other}")).unwrap());
    assert!(problems.is_empty() && found.system.is_err(), "{problems}");
}

#[test]
fn variables_in_fields_that_nobody_knows_are_not_shown() {
    let said = read_text(&format!("{SYSTEM}  password: $hunter2\n  nkey: \"<hunter2>\"\n"));
    let said = said.unwrap_err().to_string();
    assert!(
        said.contains("unknown field \"spec.password\"") && !said.contains("hunter2"),
        "{said}"
    );
}

#[test]
fn a_kind_of_the_group_that_nobody_knows_is_refused() {
    let said = read_text("apiVersion: leeward.dev/v1alpha1\nkind: PlacementPolice\nmetadata: {name: a}\n");
    let said = said.unwrap_err().to_string();
    assert!(
        said.contains("policy.yaml:2:1: kind: Unsupported value"),
        "{said}"
    );
    let said = read_text("kind: PlacementPolicy\nmetadata: {name: a}\n")
        .unwrap_err()
        .to_string();
    assert!(
        said.contains("apiVersion: Required value: write leeward.dev/v1alpha1"),
        "{said}"
    );
}

#[test]
fn policies_of_two_domains_are_refused() {
    let domain = |name: &str| named(name, 0).replace("priority: 0", &format!("jetStreamDomain: {name}"));
    let policies = read_text(&(domain("a") + &domain("b"))).unwrap().policies;
    let said = files::common_domain(&policies).unwrap_err().to_string();
    assert!(
        said.contains("policy a is for the JetStream domain a and policy b for b"),
        "{said}"
    );
    assert_eq!(
        files::common_domain(&policies[..1]).unwrap().as_deref(),
        Some("a")
    );
}

#[test]
fn the_prefix_of_inboxes_is_the_policies_own() {
    let prefix = |name: &str| named(name, 0).replace("priority: 0", &format!("inboxPrefix: _INBOX_{name}"));
    let policies = read_text(&(prefix("a") + &prefix("b"))).unwrap().policies;
    let said = files::common_inbox_prefix(&policies).unwrap_err().to_string();
    assert!(
        said.contains("policy a is for the inbox prefix _INBOX_a"),
        "{said}"
    );
    assert_eq!(
        files::common_inbox_prefix(&policies[..1]).unwrap().as_deref(),
        Some("_INBOX_a")
    );
}

#[test]
fn without_a_policy_the_defaults_are_for_everything() {
    let found = FromFiles::defaults().unwrap();
    let [loaded] = &found.policies[..] else {
        panic!("{found:?}")
    };
    assert_eq!(
        (loaded.name.as_str(), &loaded.origin),
        ("defaults", &PolicyOrigin::Defaults)
    );
    assert!(loaded.spec.streams.is_everything());
}
