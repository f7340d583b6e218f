//! What is written, whatever strangers wrote.

use super::strangers::{IN_HOME, WHOLE, errors, of_files, of_folder};
use super::*;

#[test]
fn what_no_xml_may_have_and_what_steers_a_terminal_is_in_no_output() {
    let stream = IN_HOME.replace("name: A,", "name: \"A\\uFFFE\\uFFFF\\u0001\\e\\u202E\",");
    let document = of_folder(&[("policy.yaml", WHOLE), ("a.yaml", &stream)]);
    let formats = [
        CheckFormat::Table,
        CheckFormat::Json,
        CheckFormat::Junit,
        CheckFormat::Sarif,
    ];
    for format in formats {
        let text = written(format, &document).unwrap();
        for letter in ['\u{fffe}', '\u{ffff}', '\u{1}', '\u{1b}', '\u{202e}'] {
            assert!(!text.contains(letter), "{format:?}: {letter:?}");
        }
    }
    let json: Value = serde_json::from_str(&written(CheckFormat::Json, &document).unwrap()).unwrap();
    assert_eq!(
        json["checked"][0]["subject"],
        "Stream A\u{fffe}\u{ffff}\u{1}\u{1b}\u{202e}"
    );
    let junit = written(CheckFormat::Junit, &document).unwrap();
    let report = quick_junit::Report::deserialize_from_str(&junit).unwrap();
    assert_eq!(report.tests, 1, "{junit}");
}

#[test]
fn every_format_has_a_document_where_nothing_is_defined() {
    let document = of_files(&[("a.json", "[]")], &["-f", "@/a.json"]);
    assert_eq!(ending(&document), LookOutcome::Failed);
    assert!(
        errors(&document).starts_with("a.json: --offline and --home are for definitions"),
        "{document:#?}"
    );
    let log = sarif::render(&document);
    assert_eq!(log["runs"][0]["invocations"][0]["executionSuccessful"], false);
    assert!(junit::render(&document).unwrap().contains("errors=\"1\""));
}

#[test]
fn standard_input_has_a_name_that_is_a_uri() {
    let text = IN_HOME.replace("us-east", "eu-west");
    let mut document = offline(POLICY, &[("-", &text.replace("name: A,", "name: AUDIT,"))], None);
    document.errors.push(CheckError {
        message: "x".to_owned(),
        file: "-".to_owned(),
        line: None,
        column: None,
    });
    let run = &sarif::render(&document)["runs"][0];
    let uri = "/physicalLocation/artifactLocation/uri";
    let failure = &run["invocations"][0]["toolExecutionNotifications"][0]["locations"][0];
    for place in [&run["results"][0]["locations"][0], failure] {
        assert_eq!(place.pointer(uri), Some(&json!("stdin")), "{run:#}");
    }
}

#[test]
fn values_are_shown_as_the_file_has_them_and_those_that_may_be_secret_are_not() {
    for (from, to, said) in [
        (
            "cluster: us-east",
            "cluster: NO",
            "must be of type string: write \"NO\"",
        ),
        ("cluster: us-east", "tags: [0123]", "write \"0123\""),
        ("cluster: us-east", "tags: [1e3]", "write \"1e3\""),
        (
            "{name: a}",
            "{name: a, labels: {pin: 4711}}",
            "metadata.labels.pin: Invalid value: \"integer\": must be of type string: put it in quotes",
        ),
        (
            "name: A,",
            "name: A, metadata: {pin: 4711},",
            "spec.metadata.pin: Invalid value",
        ),
        (
            "name: A,",
            "name: \"${A:-4711}\",",
            "spec.name: ${A} is not filled in",
        ),
    ] {
        let text = IN_HOME.replace(from, to);
        let document = of_folder(&[("policy.yaml", WHOLE), ("a.yaml", &text)]);
        let errors = errors(&document);
        assert!(
            errors.contains(said) && !errors.contains("4711"),
            "{said}: {document:#?}"
        );
    }
}

#[test]
fn two_systems_are_no_matter_for_definitions() {
    let system = "---\napiVersion: leeward.dev/v1alpha1\nkind: NatsSystem\nmetadata: {name: a}\nspec: {servers: [\"nats://a\"]}\n";
    let systems = system.to_owned() + &system.replace("{name: a}", "{name: b}");
    let document = of_folder(&[("policy.yaml", WHOLE), ("a.yaml", IN_HOME), ("s.yaml", &systems)]);
    assert_eq!(ending(&document), LookOutcome::InPlace, "{document:#?}");
}
