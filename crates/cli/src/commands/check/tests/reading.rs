//! How files become definitions.

use leeward_core::names::ClusterName;
use leeward_core::snapshot::Placement;

use super::definitions::DefinedKind;
use super::*;

#[test]
fn configurations_of_the_nats_command_are_read() {
    let stream = "{\n  \"name\": \"AUDIT\",\n  \"num_replicas\": 3,\n  \"placement\": {\"cluster\": \"\", \"tags\": null}\n}";
    let consumer = "{\"durable_name\": \"billing\", \"ack_policy\": \"explicit\", \"num_replicas\": 1}";
    let files = [
        ("streams/audit.json", stream),
        ("streams/billing.json", consumer),
        ("package.json", "{\"name\": \"x\"}"),
    ];
    let document = offline(POLICY, &files, None);
    assert_eq!(document.checked[0].findings[0].rule, "LocationOpen");
    let source = document.checked[0].findings[0].source.as_ref().unwrap();
    assert_eq!((source.line, source.column), (4, 3));
    assert_eq!(
        document.checked[1].subject, "Consumer AUDIT/billing",
        "the only stream of its folder"
    );
    let note = "Consumer AUDIT/billing: its stream is not said, and AUDIT is taken for it";
    assert!(
        document.notes.iter().any(|said| said.contains(note)),
        "{:?}",
        document.notes
    );
    assert!(
        document.undecided[0].starts_with("package.json:1:1: cannot be recognised"),
        "the reader passes it over by its name: {:?}",
        document.undecided
    );
}

#[test]
fn what_the_nats_command_prints_is_read_in_lists_as_well() {
    let stream = "{\n  \"config\": {\"name\": \"AUDIT\", \"retention\": \"limits\",\n    \"placement\": {\"cluster\": \"eu-west\"}},\n  \"state\": {\"messages\": 4}}";
    let consumer = "{\"stream_name\": \"AUDIT\", \"name\": \"c\", \"config\": {\"durable_name\": \"c\", \"ack_policy\": \"explicit\"}}";
    let list = format!("[{stream},\n{consumer},\n{{\"name\": \"ORDERS\", \"storage\": \"file\"}}]");
    let document = offline(POLICY, &[("a/audit.json", stream), ("b/all.json", &list)], None);
    assert_eq!(document.undecided, [""; 0]);
    let rules = rules_of(&document);
    let subjects: Vec<&str> = rules.iter().map(|(subject, _)| subject.as_str()).collect();
    assert_eq!(
        subjects,
        [
            "Stream AUDIT",
            "Stream AUDIT",
            "Consumer AUDIT/c",
            "Stream ORDERS"
        ]
    );
    assert_eq!(rules[0].1, ["LocationNotHome", "Undone"]);
    assert_eq!(rules[3].1, ["LocationOpen"]);
    for (subject, file) in [(0, "a/audit.json"), (1, "b/all.json")] {
        let source = document.checked[subject].findings[0].source.as_ref().unwrap();
        assert_eq!((source.file.as_str(), source.line), (file, 3));
    }
}

#[test]
fn what_cannot_be_recognised_is_undecided_and_other_objects_are_left_alone() {
    let unread = |text: &str| definitions::read(&parsed("a.yaml", text)).unread.len();
    for text in ["name: ORDERS", "apiVersion: v1", "just text", "[1, {}]"] {
        assert!(unread(text) > 0, "{text}");
    }
    for text in [
        "apiVersion: v1\nkind: ConfigMap",
        "apiVersion: jetstream.nats.io/v1beta2\nkind: Account",
        POLICY,
    ] {
        assert_eq!(unread(text), 0, "{text}");
    }
    let documents = parsed("a.yaml", "kind: Stream\nname: ORDERS");
    let error = definitions::read(&documents).problems.to_string();
    assert!(
        error.starts_with("a.yaml:1:1: apiVersion: Required value"),
        "{error}"
    );
    let documents = parsed("a.yaml", "apiVersion: jetstream.nats.io/v1beta2\nkind: Steam");
    let error = definitions::read(&documents).problems.to_string();
    assert!(error.starts_with("a.yaml:2:1: kind: must be Stream"), "{error}");
    assert!(error.ends_with("; Stream is meant"), "{error}");
}

#[test]
fn files_that_cannot_be_recognised_do_not_make_the_live_system_be_judged() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.json");
    std::fs::write(&file, "{\"name\": \"ORDERS\"}").unwrap();
    let found = command(&[
        "--server",
        "nats://127.0.0.1:1",
        "-f",
        &file.display().to_string(),
    ]);
    assert_eq!(found.unwrap(), LookOutcome::Incomplete);
}

#[test]
fn buckets_and_object_stores_are_streams() {
    let text = "apiVersion: jetstream.nats.io/v1beta2\nkind: KeyValue\nspec: {bucket: a, placement: {cluster: us-east}}\n---\n\
                apiVersion: jetstream.nats.io/v1beta2\nkind: ObjectStore\nspec: {bucket: b, replicas: 3}\n";
    let documents = parsed("buckets.yaml", text);
    let defined = definitions::read(&documents).defined;
    let streams: Vec<_> = defined
        .iter()
        .map(|defined| match &defined.what {
            DefinedKind::Stream(stream) => stream.clone(),
            DefinedKind::Consumer(_) => panic!("{defined:?}"),
        })
        .collect();
    assert_eq!((streams[0].stream.as_str(), streams[0].replicas), ("KV_a", 1));
    let placement = Placement {
        cluster: Some(ClusterName::from("us-east")),
        tags: Vec::new(),
    };
    assert_eq!(streams[0].placement, Some(placement));
    assert_eq!((streams[1].stream.as_str(), streams[1].replicas), ("OBJ_b", 3));
}

#[test]
fn a_definition_that_cannot_be_read_is_an_error_with_its_place() {
    let refused = |text: &str| {
        let documents = parsed("a.yaml", text);
        definitions::read(&documents).problems.to_string()
    };
    let nack = |spec: &str| format!("apiVersion: jetstream.nats.io/v1beta2\nkind: Stream\nspec:\n  {spec}\n");
    assert!(
        refused(&nack("replicas: 3")).starts_with("a.yaml:3:1: spec.name: Required value"),
        "{}",
        refused(&nack("replicas: 3"))
    );
    assert_eq!(
        refused(&nack("{name: A, replicas: three}")),
        "a.yaml:4:13: spec.replicas: must be a whole number from 0 to 5"
    );
    assert!(refused(&nack("{name: A, placement: us}")).contains("spec.placement: must be an object"));
    assert!(
        refused(&nack("{name: A, placement: {tags: us}}")).contains("spec.placement.tags: must be a list")
    );
    assert!(
        refused(&nack("{name: A, metadata: us}"))
            .contains("spec.metadata: Invalid value: \"string\": must be of type object")
    );
    assert!(refused(&nack("name: A\n  metadata:\n    a: 1")).starts_with(
        "a.yaml:6:5: spec.metadata.a: Invalid value: \"integer\": must be of type string: put it in quotes"
    ));
}
