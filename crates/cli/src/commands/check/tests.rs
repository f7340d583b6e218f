use clap::Parser as _;
use serde_json::{Value, json};

use super::*;
use crate::args::{Args, Command};
use crate::input::Document;
use crate::judge::fixtures;

mod accounts;
mod names;
mod outputs;
mod reading;
mod strangers;
mod unready;

const SCREEN: Screen = Screen {
    width: 80,
    colour: false,
};

const POLICY: &str = "
apiVersion: leeward.dev/v1alpha1
kind: PlacementPolicy
metadata: {name: orders}
spec:
  mode: Enforce
  home: {strategy: Preferred, preferences: [us-east]}
  streams: {include: [ORDERS*, AUDIT, KV_*, OBJ_*]}
";

const NACK: &str = "---
apiVersion: jetstream.nats.io/v1beta2
kind: Stream
metadata: {name: orders}
spec:
  name: ORDERS
  replicas: 3
  placement:
    cluster: us-east
---
apiVersion: jetstream.nats.io/v1beta2
kind: Stream
metadata: {name: orders-eu}
spec:
  name: ORDERS_EU
  placement:
    cluster: eu-west
    tags: [ssd, \"hdd\"]
---
apiVersion: jetstream.nats.io/v1beta2
kind: Stream
metadata: {name: orders-open}
spec:
  name: ORDERS_OPEN
---
apiVersion: jetstream.nats.io/v1beta2
kind: Stream
metadata: {name: other}
spec: {name: OTHER}
---
apiVersion: jetstream.nats.io/v1beta2
kind: Stream
metadata: {name: ignored}
spec: {name: ORDERS_IGNORED, metadata: {leeward.dev/ignore: \"true\"}}
";

fn parsed(file: &str, text: &str) -> Vec<Document> {
    input::parse(file, text).unwrap()
}

fn policies_of(text: &str) -> Vec<LoadedPolicy> {
    policies::from_documents(&parsed("policy.yaml", text))
        .unwrap()
        .policies
}

fn offline(policy: &str, files: &[(&str, &str)], home: Option<&str>) -> CheckDocument {
    let documents: Vec<Document> = files.iter().flat_map(|(file, text)| parsed(file, text)).collect();
    let said = definitions::read(&documents);
    let mut outcome = alone(&policies_of(policy), &said.defined, home);
    outcome.undecided.splice(0..0, said.unread.iter().cloned());
    outcome.notes.extend(notes::passed(&[], &said));
    outcome.errors.extend(said.problems);
    document(outcome, fixtures::noon())
}

fn rules_of(document: &CheckDocument) -> Vec<(String, Vec<String>)> {
    let rules = |checked: &crate::document::Checked| {
        let rules = checked.findings.iter().map(|finding| finding.rule.clone());
        (checked.subject.clone(), rules.collect())
    };
    document.checked.iter().map(rules).collect()
}

fn sample() -> CheckDocument {
    offline(POLICY, &[("streams/nack.yaml", NACK)], None)
}

#[test]
fn every_definition_is_judged_by_the_policy_that_selects_it() {
    let document = sample();
    let expected = [
        ("Stream ORDERS", vec![]),
        ("Stream ORDERS_EU", vec!["LocationNotHome", "Undone"]),
        ("Stream ORDERS_OPEN", vec!["LocationOpen"]),
        ("Stream OTHER", vec![]),
        ("Stream ORDERS_IGNORED", vec![]),
    ];
    let expected = expected.map(|(subject, rules)| {
        (
            subject.to_owned(),
            rules.into_iter().map(str::to_owned).collect::<Vec<_>>(),
        )
    });
    assert_eq!(rules_of(&document), expected);
    let policies: Vec<Option<&str>> = document
        .checked
        .iter()
        .map(|checked| checked.policy.as_deref())
        .collect();
    assert_eq!(
        policies,
        [
            Some("orders"),
            Some("orders"),
            Some("orders"),
            None,
            Some("orders")
        ]
    );
    assert_eq!(document.undecided, [""; 0]);
    assert_eq!(document.notes.len(), 1, "{:?}", document.notes);
    assert_eq!(ending(&document), LookOutcome::Findings);
}

#[test]
fn findings_point_at_the_field_that_they_are_about() {
    let document = sample();
    let at = |subject: usize, finding: usize| {
        let source = document.checked[subject].findings[finding]
            .source
            .as_ref()
            .unwrap();
        (source.file.as_str(), source.line, source.column)
    };
    assert_eq!(at(1, 0), ("streams/nack.yaml", 17, 5));
    assert_eq!(at(2, 0), ("streams/nack.yaml", 24, 3));
}

#[test]
fn a_home_that_is_given_is_the_home_of_the_definitions() {
    let document = offline(POLICY, &[("nack.yaml", NACK)], Some("eu-west"));
    assert_eq!(document.checked[0].findings[0].rule, "LocationNotHome");
    assert!(document.checked[1].findings.is_empty(), "{document:?}");
    let tagged = POLICY.replace(
        "spec:",
        "spec:\n  topology: {key: ServerTag, tagPrefix: \"region:\"}",
    );
    let tagged = tagged.replace("preferences: [us-east]", "preferences: [\"region:us-east\"]");
    let stream =
        "{\"name\": \"ORDERS\", \"num_replicas\": 3, \"placement\": {\"tags\": [\"region:eu-west\"]}}";
    for home in ["eu-west", "region:eu-west", "Region:EU-west"] {
        let document = offline(&tagged, &[("a.json", stream)], Some(home));
        assert!(document.checked[0].findings.is_empty(), "{home}: {document:?}");
    }
}

#[test]
fn what_live_clients_decide_is_undecided_without_them_and_wins() {
    let policy = POLICY.replace("{strategy: Preferred, preferences: [us-east]}", "{}");
    let document = offline(&policy, &[("nack.yaml", NACK)], None);
    assert_eq!(document.undecided.len(), 2, "{:?}", document.undecided);
    assert!(
        document.undecided[0].starts_with("nack.yaml:2:1: Stream ORDERS: "),
        "{:?}",
        document.undecided
    );
    assert_eq!(
        document.checked[2].findings.len(),
        1,
        "an open location needs no home"
    );
    assert_eq!(ending(&document), LookOutcome::Incomplete);
}

#[test]
fn a_consumer_is_judged_beside_its_stream() {
    let tagged = POLICY.replace(
        "spec:",
        "spec:\n  topology: {key: ServerTag, tagPrefix: \"region:\"}",
    );
    let tagged = tagged.replace("preferences: [us-east]", "preferences: [\"region:us-east\"]");
    let text = "apiVersion: jetstream.nats.io/v1beta2\nkind: Consumer\nspec: {streamName: ORDERS, durableName: c, replicas: 1}\n---\n\
                apiVersion: jetstream.nats.io/v1beta2\nkind: Stream\nspec: {name: ORDERS, replicas: 3, placement: {tags: [region:us-east]}}\n---\n\
                apiVersion: jetstream.nats.io/v1beta2\nkind: Consumer\nspec: {streamName: ORDERS_OLD, durableName: c, replicas: 1}\n---\n\
                apiVersion: jetstream.nats.io/v1beta2\nkind: Consumer\nspec: {streamName: ORDERS_OLD, durableName: d}\n";
    let document = offline(&tagged, &[("a.yaml", text)], None);
    let rules = rules_of(&document);
    assert_eq!(
        rules[0],
        ("Consumer ORDERS/c".to_owned(), vec!["SinglePeer".to_owned()])
    );
    assert_eq!(rules.len(), 4, "{rules:?}");
    assert_eq!(document.undecided.len(), 1, "{:?}", document.undecided);
    assert!(
        document.undecided[0]
            .contains("a.yaml:9:1: Consumer ORDERS_OLD/c: Whether the consumer has fewer replicas"),
        "{:?}",
        document.undecided
    );
}

#[test]
fn servers_that_are_seen_tell_which_names_exist_and_where_home_is() {
    let policies = policies_of(&POLICY.replace("{strategy: Preferred, preferences: [us-east]}", "{}"));
    let seen = fixtures::seen(fixtures::orders());
    let judged = judge(&policies, &seen, fixtures::noon());
    let documents = parsed("nack.yaml", NACK);
    let defined = definitions::read(&documents).defined;
    let ground = CheckContext {
        policies: &policies,
        live: Some((&seen, &judged)),
        home: None,
    };
    let document = document(judged::definitions(&defined, &ground), fixtures::noon());
    assert_eq!(document.undecided, [""; 0]);
    assert!(document.checked[0].findings.is_empty(), "{document:?}");
    let rules = rules_of(&document);
    assert_eq!(
        rules[1].1,
        ["LocationNotHome", "UnknownTag", "UnknownTag", "Undone"]
    );
    let tag = document.checked[1].findings[2].source.as_ref().unwrap();
    assert_eq!((tag.line, tag.column), (18, 17), "the second tag itself");
}

#[test]
fn a_live_system_is_judged_asset_by_asset() {
    let policies = FromFiles::defaults().unwrap().policies;
    let seen = fixtures::seen(fixtures::orders());
    let judged = judge(&policies, &seen, fixtures::noon());
    let document = document(assets::judged(&seen, &judged), fixtures::noon());
    let consumers: usize = seen
        .view
        .streams
        .iter()
        .map(|stream| stream.consumers.len())
        .sum();
    assert_eq!(document.checked.len(), seen.view.streams.len() + consumers);
    let counts = &judged[0].decision.evaluation;
    let expected =
        counts.streams.misplaced + counts.streams.held + counts.consumers.misplaced + counts.consumers.held;
    let found: usize = document
        .checked
        .iter()
        .map(|checked| checked.findings.len())
        .sum();
    assert_eq!(u32::try_from(found).unwrap(), expected);
    assert!(expected > 0);
    assert_eq!(ending(&document), LookOutcome::Findings);
    let known: Vec<String> = rules::all().into_iter().map(|rule| rule.name).collect();
    for (subject, rules) in rules_of(&document) {
        assert!(
            rules.iter().all(|rule| known.contains(rule)),
            "{subject}: {rules:?}"
        );
    }
}

#[test]
fn a_live_system_that_was_not_seen_completely_is_incomplete() {
    let policies = FromFiles::defaults().unwrap().policies;
    let mut view = fixtures::orders();
    view.gaps.push(leeward_core::snapshot::Gap::WarmingUp);
    let seen = fixtures::seen(view);
    let judged = judge(&policies, &seen, fixtures::noon());
    let document = document(assets::judged(&seen, &judged), fixtures::noon());
    assert_eq!(document.undecided.len(), 1, "{:?}", document.undecided);
    assert_eq!(ending(&document), LookOutcome::Incomplete);
}

#[test]
fn a_live_system_without_a_home_is_incomplete() {
    let policies = policies_of(&POLICY.replace("{strategy: Preferred, preferences: [us-east]}", "{}"));
    let mut view = fixtures::orders();
    view.clients.clear();
    let seen = fixtures::seen(view);
    let judged = judge(&policies, &seen, fixtures::noon());
    let document = document(assets::judged(&seen, &judged), fixtures::noon());
    assert!(
        document.undecided[0].starts_with("policy orders: NoMajority: no location is home"),
        "{:?}",
        document.undecided
    );
    assert_eq!(ending(&document), LookOutcome::Incomplete);
}

#[test]
fn a_live_finding_says_where_it_is_led_from_and_points_at_the_policy() {
    let policies = policies_of(POLICY);
    let seen = fixtures::seen(fixtures::orders());
    let judged = judge(&policies, &seen, fixtures::noon());
    let document = document(assets::judged(&seen, &judged), fixtures::noon());
    let orders = &document.checked[0];
    assert_eq!(orders.subject, "Stream ORDERS");
    let message = &orders.findings[0].message;
    assert!(
        message.starts_with("led from eu-west, home is us-east: "),
        "{message}"
    );
    let log = sarif::render(&document);
    let place = &log["runs"][0]["results"][0]["locations"][0]["physicalLocation"];
    assert_eq!(place["artifactLocation"]["uri"], "policy.yaml");
    assert_eq!(place["region"], json!({"startLine": 2, "startColumn": 1}));
}

#[test]
fn a_home_that_no_server_is_in_is_refused_where_all_servers_are_known() {
    let policies = policies_of(POLICY);
    let refused = |seen: &crate::look::Looked, home| assets::refuse_unknown_home(home, seen, &policies);
    let seen = fixtures::seen(fixtures::orders());
    refused(&seen, "eu-west").unwrap();
    let error = refused(&seen, "eu-wets").unwrap_err().to_string();
    assert_eq!(
        error,
        "--home eu-wets is not a location of the system: it has ap-south, eu-west, us-east"
    );
    let mut view = fixtures::orders();
    view.gaps.push(leeward_core::snapshot::Gap::WarmingUp);
    refused(&fixtures::seen(view), "eu-wets").unwrap();
}

#[test]
fn people_read_a_table_with_every_place() {
    insta::assert_snapshot!(table::render(&sample(), SCREEN));
}

#[test]
fn junit_has_a_case_for_each_definition() {
    let mut document = sample();
    document.undecided.push("nobody knows".to_owned());
    insta::assert_snapshot!(junit::render(&document).unwrap());
}

#[test]
fn sarif_has_what_code_scanning_needs() {
    let mut document = sample();
    document.undecided.push("nobody knows".to_owned());
    let log = sarif::render(&document);
    assert_eq!(log["version"], "2.1.0");
    assert!(log["$schema"].as_str().unwrap().contains("sarif-2.1.0"));
    let run = &log["runs"][0];
    let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
    for rule in rules {
        for text in [
            "/id",
            "/shortDescription/text",
            "/fullDescription/text",
            "/help/text",
        ] {
            assert!(
                !rule.pointer(text).unwrap().as_str().unwrap().is_empty(),
                "{rule}"
            );
        }
        let level = rule["defaultConfiguration"]["level"].as_str().unwrap();
        assert!(["error", "warning", "note"].contains(&level), "{rule}");
    }
    let results = run["results"].as_array().unwrap();
    assert_eq!(results.len(), 3);
    for result in results {
        let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
        assert_eq!(rules[index]["id"], result["ruleId"]);
        assert_eq!(rules[index]["defaultConfiguration"]["level"], result["level"]);
        assert!(!result["message"]["text"].as_str().unwrap().is_empty());
        let physical = &result["locations"][0]["physicalLocation"];
        assert_eq!(physical["artifactLocation"]["uri"], "streams/nack.yaml");
        assert!(physical["region"]["startLine"].as_u64().unwrap() > 0);
        assert!(physical["region"]["startColumn"].as_u64().unwrap() > 0);
        assert!(result["partialFingerprints"].is_object());
    }
    assert_eq!(
        run["invocations"][0]["toolExecutionNotifications"][0],
        json!({"level": "warning", "message": {"text": "nobody knows"}})
    );
}

#[test]
fn names_of_files_become_addresses() {
    let uri = |file: &str| {
        let stream = "{\"name\": \"ORDERS\", \"num_replicas\": 3}";
        let log = sarif::render(&offline(POLICY, &[(file, stream)], None));
        let location = "/runs/0/results/0/locations/0/physicalLocation/artifactLocation/uri";
        log.pointer(location).and_then(Value::as_str).unwrap().to_owned()
    };
    assert_eq!(uri("./streams/a b.json"), "streams/a%20b.json");
    assert_eq!(uri("/srv/a.json"), "file:///srv/a.json");
    assert_eq!(uri("ü.json"), "%C3%BC.json");
}

fn command(words: &[&str]) -> anyhow::Result<LookOutcome> {
    let words = ["leeward", "check"].iter().chain(words);
    match Args::try_parse_from(words).unwrap().command {
        Command::Check(args) => run(&args),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_example_of_a_pipeline_passes() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/ci");
    let policy = format!("{folder}/policy.yaml");
    let streams = format!("{folder}/streams");
    let found = command(&["--offline", "-f", &policy, "-f", &streams]).unwrap();
    assert_eq!(found, LookOutcome::InPlace);
    let found = command(&["--offline", "--home", "eu-west", "-f", &policy, "-f", &streams]).unwrap();
    assert_eq!(found, LookOutcome::Findings);
    let error = command(&["--offline", "-f", &policy]).unwrap_err().to_string();
    assert!(
        error.contains("no stream and no consumer is defined in") && error.contains("policy.yaml"),
        "{error}"
    );
}

#[test]
fn all_problems_of_policies_and_definitions_are_told_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.yaml");
    let text = "apiVersion: leeward.dev/v1alpha1\nkind: PlacementPolicy\nmetadata: {name: a}\nspec: {mode: enforce}\n---\n\
                apiVersion: jetstream.nats.io/v1beta2\nkind: Stream\nspec: {}\n";
    std::fs::write(&file, text).unwrap();
    let error = command(&["--offline", "-f", &file.display().to_string()])
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("a.yaml:4:8: spec.mode: Unsupported value"),
        "{error}"
    );
    assert!(error.contains("a.yaml:8:1: spec.name: Required value"), "{error}");
}
